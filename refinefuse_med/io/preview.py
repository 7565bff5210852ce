"""A picture of the result: three planes of anatomy, function and fusion."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np
import torch
from monai.data import MetaTensor
from nibabel.affines import obliquity

from refinefuse_med.io.atomic import atomic_file
from refinefuse_med.io.scene import PLANES, Plane, Scene, make_scene
from refinefuse_med.io.wording import RESEARCH_ONLY
from refinefuse_med.volume import affine_ras

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from numpy.typing import ArrayLike, NDArray

__all__ = ["render_alignment", "render_preview"]

_VERDICT_COLOURS: Final = {"ok": "#4cc38a", "suspect": "#ffb224", "failed": "#ff6369"}
_TEXT: Final = "#e8e8e8"
_MUTED: Final = "#9a9a9a"
_WIDTH_INCHES: Final = 11.0
_MAX_HEIGHT_INCHES: Final = 16.0
_DPI: Final = 150
_MARGINS_INCHES: Final = (0.35, 0.95, 0.42, 0.42, 0.06)
"""Left, right, top, bottom, and between pictures."""
_MIN_ROW_INCHES: Final = 1.25
"""Keeps the name of a plane legible beside a thin slab."""
_SCALE_BAR_MM: Final = 50.0
_OBLIQUE_DEGREES: Final = 5.0
"""Tilt from which the picture says that the letters are only the nearest ones."""


def render_preview(
    path: str | Path,
    anatomical: MetaTensor,
    functional_rgb: ArrayLike | torch.Tensor,
    fused: MetaTensor,
    *,
    contribution_rgb: ArrayLike | torch.Tensor | None = None,
    window_anatomical: tuple[float, float],
    window_functional: tuple[float, float],
    colours: ArrayLike | torch.Tensor,
    units: str = "",
    verdict: str = "",
    method: str = "",
    labels: tuple[str, ...] = ("Anatomy", "Function", "RefineFuse", "Contribution"),
    point_ijk: tuple[int, int, int] | None = None,
) -> Path:
    """Write a picture of three planes, each as anatomy, function and fusion.

    A fourth column, where it is given, shows which of the two each grey value comes from.

    Planes are those of the voxel grid, the patient's right on the left, pixels in their
    true proportions. Nothing in it names the patient.

    Parameters
    ----------
    path : Path
        A PNG file.
    anatomical : MetaTensor, shape (1, I, J, K)
        In its own units.
    functional_rgb : array, shape (3, I, J, K) of uint8
        The registered functional volume in its colours.
    fused : MetaTensor, shape (3, I, J, K) of uint8, or (1, I, J, K) of float in [0, 1]
    contribution_rgb : array, shape (3, I, J, K) of uint8, optional
        The contribution map, in colours.
    window_anatomical, window_functional : (float, float)
        Low and high, in each volume's units.
    colours : array, shape (256, 3) in [0, 1]
        Palette of the functional volume, for the colour bar.
    units : str
        Of the functional volume.
    verdict : {"ok", "suspect", "failed", ""}
        Of the registration; empty where there was none.
    method : str
        Of the registration.
    labels : tuple of str
        Heads of the columns.
    point_ijk : (int, int, int), optional
        Voxel the planes go through. By default the centre of mass of the functional
        signal, or the middle of the grid where there is none.

    Returns
    -------
    Path
        `path`.

    Raises
    ------
    InputError
        The volumes do not share one grid.
    OutputError
        The file cannot be written.
    """
    low, high = window_anatomical
    grey = (anatomical.as_tensor().float() - low).div_(max(high - low, 1e-12)).clamp_(0, 1)
    volumes = [grey, functional_rgb, fused]
    if contribution_rgb is not None:
        volumes.append(contribution_rgb)
    return _render(
        Path(path),
        dict(zip(labels, volumes, strict=False)),
        affine_ras(anatomical),
        _Bar(np.asarray(colours), window_functional, units),
        verdict,
        method,
        point_ijk,
    )


def render_alignment(
    path: str | Path,
    pictures: Mapping[str, ArrayLike | torch.Tensor],
    affine: NDArray[np.float64],
    *,
    window_moving: tuple[float, float],
    colours: ArrayLike | torch.Tensor,
    units: str = "",
    verdict: str = "",
    method: str = "",
    point_ijk: tuple[int, int, int] | None = None,
) -> Path:
    """Write a picture of three planes that shows how two scans lie on each other.

    Parameters
    ----------
    path : Path
        A PNG file.
    pictures : mapping of str to array, each (3, I, J, K) of uint8 or (1, I, J, K) in [0, 1]
        The columns by their heads; the second is the moving scan.
    affine : array, shape (4, 4)
        Voxel index to RAS mm, of all of them.
    window_moving : (float, float)
        Low and high, in the units of the moving scan.
    colours, units, verdict, method, point_ijk
        As of `render_preview`.

    Raises
    ------
    InputError, OutputError
        As `render_preview`.
    """
    bar = _Bar(np.asarray(colours), window_moving, units)
    return _render(Path(path), pictures, affine, bar, verdict, method, point_ijk)


class _Bar(NamedTuple):
    """What the colour bar shows: colours (256, 3) from the low to the high end of a window."""

    colours: NDArray[np.float64]
    window: tuple[float, float]
    units: str


def _render(
    path: Path,
    pictures: Mapping[str, ArrayLike | torch.Tensor],
    affine: NDArray[np.float64],
    bar: _Bar,
    verdict: str,
    method: str,
    point_ijk: tuple[int, int, int] | None,
) -> Path:
    scene = make_scene(list(pictures.values()), affine, point_ijk)
    tilt = float(np.degrees(obliquity(affine).max()))
    figure = _draw(scene, tuple(pictures))
    _add_colour_bar(figure, len(pictures), bar)
    _add_footer(figure, len(pictures), verdict, method, tilt)
    with atomic_file(path) as partial:
        # No software name and version: the same picture gives the same bytes.
        figure.savefig(partial, format="png", dpi=_DPI, metadata={"Software": None})
    return path


def _draw(scene: Scene, labels: tuple[str, ...]) -> Figure:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    columns = len(scene.volumes)
    sizes = [scene.size_mm(plane) for plane in PLANES]
    widest = max(width for width, _ in sizes)
    left, right, top, bottom, gap = _MARGINS_INCHES
    scale = min(
        (_WIDTH_INCHES - left - right - (columns - 1) * gap) / (columns * widest),
        (_MAX_HEIGHT_INCHES - top - bottom - 2 * gap) / sum(height for _, height in sizes),
    )
    rows = [max(height * scale, _MIN_ROW_INCHES) for _, height in sizes]
    width = left + right + (columns - 1) * gap + columns * widest * scale
    height = top + bottom + 2 * gap + sum(rows)
    figure = Figure(figsize=(width, height), facecolor="black")
    FigureCanvasAgg(figure)
    floor = height - top
    for plane, row in zip(PLANES, rows, strict=True):
        floor -= row
        for column in range(columns):
            x = left + column * (widest * scale + gap)
            axes = figure.add_axes(
                (x / width, floor / height, widest * scale / width, row / height)
            )
            _draw_plane(axes, scene, plane, column)
            if plane is PLANES[0]:
                axes.set_title(labels[column], color=_TEXT, fontsize=12, pad=7)
            if column == 0:
                number = scene.point[plane.normal] + scene.offset[plane.normal] + 1
                count = scene.full_shape[plane.normal]
                _edge_label(figure, axes, f"{plane.name}  {number}/{count}")
        floor -= gap
    _add_scale_bar(figure.axes[0])
    return figure


def _draw_plane(axes: Axes, scene: Scene, plane: Plane, column: int) -> None:
    width, height = scene.size_mm(plane)
    axes.imshow(scene.picture(column, plane), extent=(0, width, height, 0), interpolation="bicubic")
    axes.set_anchor("C")
    axes.axis("off")
    if column:
        return
    style: dict[str, Any] = {"transform": axes.transAxes, **_on_picture()}
    for letter, x, y in zip(
        plane.letters, (0.015, 0.985, 0.5, 0.5), (0.5, 0.5, 0.985, 0.015), strict=True
    ):
        horizontal = {0.015: "left", 0.985: "right"}.get(x, "center")
        vertical = {0.985: "top", 0.015: "bottom"}.get(y, "center")
        axes.text(x, y, letter, ha=horizontal, va=vertical, **style)


def _on_picture() -> dict[str, Any]:
    """Style of text that is legible on any picture."""
    from matplotlib.patheffects import withStroke

    outline = withStroke(linewidth=2, foreground="black")
    return {"color": _TEXT, "fontsize": 9, "path_effects": [outline]}


def _edge_label(figure: Figure, axes: Axes, text: str) -> None:
    box = axes.get_position(original=True)
    x = box.x0 / 2
    y = (box.y0 + box.y1) / 2
    figure.text(x, y, text, color=_MUTED, fontsize=9, rotation=90, ha="center", va="center")


def _add_scale_bar(axes: Axes) -> None:
    (_, right), (bottom, _) = axes.get_xlim(), axes.get_ylim()
    x, y = 0.04 * right, 0.96 * bottom
    axes.plot([x, x + _SCALE_BAR_MM], [y, y], color=_TEXT, linewidth=1.5, solid_capstyle="butt")
    axes.text(x, y - 0.015 * bottom, "5 cm", va="bottom", **_on_picture())


def _add_colour_bar(figure: Figure, columns: int, bar: _Bar) -> None:
    last_column = (axes.get_position(original=True) for axes in figure.axes[columns - 1 :: columns])
    box = max(last_column, key=lambda box: round(box.height, 6))
    width = 0.13 / figure.get_figwidth()
    x = box.x1 + 0.16 / figure.get_figwidth()
    axes = figure.add_axes((x, box.y0, width, box.height))
    low, high = bar.window
    axes.imshow(bar.colours[:, None, :], origin="lower", extent=(0, 1, low, high), aspect="auto")
    axes.set_xticks([])
    axes.yaxis.tick_right()
    axes.tick_params(colors=_TEXT, labelsize=8, length=2)
    axes.set_title(bar.units, color=_TEXT, fontsize=9, pad=6)
    for spine in axes.spines.values():
        spine.set_edgecolor(_MUTED)
        spine.set_linewidth(0.6)


def _add_footer(figure: Figure, columns: int, verdict: str, method: str, tilt: float) -> None:
    first = figure.axes[0].get_position(original=True)
    y = 0.2 / figure.get_figheight()
    if verdict:
        figure.text(
            first.x0, y, "●", color=_VERDICT_COLOURS.get(verdict, _MUTED), fontsize=11, va="center"
        )
    how = ", ".join(word for word in (method, verdict) if word)
    text = f"Registration: {how}" if how else "Not registered"
    if tilt > _OBLIQUE_DEGREES:
        text += f"   |   Grid tilted {tilt:.0f}°: letters are the nearest"
    x = first.x0 + (0.2 / figure.get_figwidth() if verdict else 0)
    figure.text(x, y, text, color=_TEXT, fontsize=9, va="center")
    last = figure.axes[columns - 1].get_position(original=True)
    figure.text(last.x1, y, RESEARCH_ONLY, color=_MUTED, fontsize=9, ha="right", va="center")
