"""A digital head in template (MNI) space: tissue maps that the simulated scanners look at.

Brain and ventricles are the ICBM152 2009a template; the template is skull-stripped, so
everything around it (skull, sinuses, orbits, scalp, neck) is painted from simple solids at
their anatomical places. All coordinates are RAS millimetres; +x is the patient's right.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import nibabel as nib
import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from solids import Array, Point, Space, inside, signed_distance, smooth_noise, union

LESION: Point = (-34.0, 16.0, 35.0)
LESION_RADIUS = 12.0
MARKER: Point = (-74.0, 40.0, 8.0)
MARKER_RADIUS = 4.0
"""A capsule taped to the left temple."""


class Tissue(NamedTuple):
    """T1 intensity (white matter 240), CT (HU), FDG (SUV), perfusion (grey matter 100)."""

    t1: float
    hu: float
    fdg: float
    perfusion: float


AIR = Tissue(0, -1000, 0, 0)
SKIN = Tissue(120, 40, 0.6, 14)
FAT = Tissue(255, -95, 0.25, 5)
MUSCLE = Tissue(105, 55, 0.7, 14)
MUCOSA = Tissue(125, 35, 1.2, 18)
CORTICAL_BONE = Tissue(14, 1350, 0.3, 4)
MARROW = Tissue(150, 480, 0.8, 8)
PETROUS = Tissue(22, 1500, 0.4, 5)
FACIAL_BONE = Tissue(40, 850, 0.4, 6)
CARTILAGE = Tissue(95, 70, 0.4, 8)
DURA = Tissue(60, 55, 0.8, 12)
CSF = Tissue(42, 8, 0.3, 3)
GREY = Tissue(160, 38, 7.6, 100)
WHITE = Tissue(240, 29, 1.9, 33)
VITREOUS = Tissue(35, 10, 0.3, 4)
LENS = Tissue(95, 75, 0.4, 4)
TUMOUR = Tissue(96, 22, 14.0, 8)
CAPSULE = Tissue(330, 120, 0, 0)


@dataclass
class Head:
    """Tissue maps on one 1 mm grid.

    Attributes
    ----------
    maps : dict of str to array, shape (I, J, K)
        One map for each field of `Tissue`.
    affine_ras : array, shape (4, 4)
    landmarks : dict of str to point
        Measured centres of the lesion and the marker, RAS mm.
    """

    maps: dict[str, Array]
    affine_ras: NDArray[np.float64]
    landmarks: dict[str, Point]


class Canvas:
    """Tissue maps, painted one solid over the other."""

    def __init__(self, shape: tuple[int, ...]) -> None:
        self.maps = {
            name: np.full(shape, value, np.float32) for name, value in AIR._asdict().items()
        }

    def paint(self, alpha: Array, tissue: Tissue) -> None:
        """Cover by `tissue` with opacity `alpha`."""
        box = ndimage.find_objects((alpha > 0).view(np.int8))
        if not box:
            return
        for name, value in tissue._asdict().items():
            part = self.maps[name][box[0]]
            part += alpha[box[0]] * (np.float32(value) - part)


def load_template(folder: Path, space: Space) -> dict[str, Array]:
    """The ICBM152 2009a T1, grey and white matter in [0, 1] (T1: 0 to 255), bent into `space`."""
    result = {}
    for name in ("t1", "gm", "wm"):
        image = nib.load(folder / f"mni_icbm152_{name}_tal_nlin_sym_09a_converted.nii.gz")
        data = np.asarray(image.dataobj, np.float32)
        # The template's own affine is a pure shift.
        index = space.bent - image.affine[:3, 3].astype(np.float32).reshape(3, 1, 1, 1)
        sampled = ndimage.map_coordinates(data, index, order=1)
        result[name] = sampled if name == "t1" else sampled / 255
    return result


def build_head(template_folder: Path, rng: np.random.Generator) -> Head:
    """Paint the head, from the outside in."""
    space = Space(rng)
    template = load_template(template_folder, space)
    canvas = Canvas(space.shape)
    brain = template["t1"] > 8
    # Closing by 14 mm bridges the sulci and fissures: the inside of the skull.
    grown = ndimage.distance_transform_edt(~brain) <= 14
    hull = ndimage.distance_transform_edt(grown) > 14
    depth = ndimage.gaussian_filter(signed_distance(hull), 2.5)
    skull = _skull_thickness(space, rng)
    _paint_soft_tissue(canvas, space, depth - 2.5 - skull, rng)
    _paint_face_bones(canvas, space)
    _paint_skull(canvas, space, depth - 2.5, skull, rng)
    _paint_base_of_skull(canvas, space, rng)
    _paint_airways(canvas, space, rng)
    _paint_orbits(canvas, space)
    _paint_cavity(canvas, depth, template)
    landmarks = _paint_markers(canvas, space, rng)
    return Head(canvas.maps, space.affine_ras, landmarks)


def _skull_thickness(space: Space, rng: np.random.Generator) -> Array:
    x, y, z = space.bent
    thickness = 6.2 + 0.5 * smooth_noise(space.shape, 28, rng)
    thickness += 3.5 * space.bump((0, -112, -22), 16)  # external occipital protuberance
    thickness += 2.0 * space.bump((0, 78, -5), 30)
    squama = np.exp(-(((y - 5) / 45) ** 2) - ((z + 22) / 26) ** 2) * np.clip(
        (np.abs(x) - 45) / 20, 0, 1
    )
    base = 1 / (1 + np.exp((z + 28) / 4))
    return np.clip(thickness - 2.8 * squama - 2.6 * base, 2.4, 11).astype(np.float32)


def _paint_soft_tissue(
    canvas: Canvas, space: Space, outer_skull: Array, rng: np.random.Generator
) -> None:
    solid = space.ellipsoid
    scalp = 5.0 + 0.5 * smooth_noise(space.shape, 22, rng)
    scalp += 3.0 * space.bump((0, -112, -45), 25)
    body = union(
        outer_skull - scalp,
        solid((0, 38, -62), (63, 53, 62)),
        solid((0, 44, -98), (50, 48, 40)),
        solid((0, -38, -92), (58, 58, 60)),
        solid((0, 74, -26), (44, 16, 18)),
        solid((51, 10, -74), (21, 44, 50), paired=True),
        solid((55, -30, -60), (18, 24, 34), paired=True),
        solid((55, 32, -14), (15, 32, 32), paired=True),  # the temporal fossa is filled
        blend=14,
    )
    nose = union(
        space.rod((0, 88, -28), (0, 106, -58), 6, end_radius=9),
        solid((0, 100, -64), (17, 12, 8)),
        blend=8,
    )
    body = union(body, nose, blend=9)
    ear = union(
        solid((80, -26, -34), (4.5, 13, 22), paired=True),
        solid((80, -22, -52), (5, 8, 11), paired=True),
        blend=4,
    )
    body = union(body, ear, blend=3)
    canvas.paint(inside(body), SKIN)
    fat = inside(body + 2.0) * inside(-(ear - 1.0))
    canvas.paint(fat, FAT)
    canvas.paint(inside(nose + 3.5, 2), CARTILAGE)
    # Below the vault the muscles lie in fat, in bundles along the neck.
    bundles = smooth_noise(space.shape, 13, rng) + 0.5 * smooth_noise(space.shape, 5, rng)
    planes = np.clip(1.6 - 2.2 * np.abs(bundles), 0, 1) * 0.3
    muscle = inside(body + 7.5, 3.0) * (1 - planes)
    canvas.paint(muscle, MUSCLE)
    temporalis = union(
        solid((61, 18, -22), (9, 30, 34), paired=True),
        solid((57, 8, -62), (10, 14, 30), paired=True),
    )
    canvas.paint(inside(np.maximum(temporalis, body + 4.5), 1.5), MUSCLE)
    cheek = solid((40, 60, -74), (17, 17, 20), paired=True)
    canvas.paint(inside(np.maximum(cheek, body + 2.5), 3) * 0.8, FAT)


def _paint_face_bones(canvas: Canvas, space: Space) -> None:
    bones = union(
        space.ellipsoid((27, 56, -66), (19, 18, 20), paired=True),  # maxilla
        space.rod((36, 72, -22), (51, 57, -34), 4, paired=True),  # orbital rim, lateral
        space.rod((51, 57, -34), (44, 63, -54), 4.5, paired=True),
        space.rod((45, 66, -54), (20, 76, -56), 4, paired=True),
        space.rod((50, 56, -52), (65, 6, -50), 3.2, paired=True),  # zygomatic arch
        space.rod((2, 84, -30), (4, 93, -46), 2.4, paired=True),  # nasal bones
        space.rod((0, 80, -84), (0, 40, -82), 7),  # palate
        space.rod((14, 76, -86), (26, 46, -84), 7, paired=True),  # alveolar process
        space.rod((30, 20, -50), (22, 26, -84), 2.6, paired=True),  # pterygoid plates
        space.rod((53, -6, -58), (51, 6, -110), 4.2, paired=True),  # mandible
        space.rod((54, 16, -66), (51, 10, -110), 3.0, paired=True),
    )
    canvas.paint(inside(bones), FACIAL_BONE)
    spine = union(
        space.ellipsoid((0, -24, -84), (7, 6, 14)),
        space.rod((12, -26, -86), (34, -34, -84), 6.5, paired=True),
        space.rod((34, -34, -84), (6, -72, -86), 4.2, paired=True),
        space.ellipsoid((0, -24, -106), (16, 12, 12)),
    )
    canvas.paint(inside(spine), CORTICAL_BONE)
    canvas.paint(inside(spine + 2.0), MARROW)


def _paint_skull(
    canvas: Canvas, space: Space, inner: Array, thickness: Array, rng: np.random.Generator
) -> None:
    # The canal of the spinal cord opens below the foramen magnum.
    open_below = space.bent[2] + 64
    shell = np.maximum(np.maximum(-inner, inner - thickness), -open_below)
    canvas.paint(inside(shell), CORTICAL_BONE)
    table = np.clip(0.27 * thickness, 1.3, 2.6)
    diploe = np.maximum(table - inner, inner - (thickness - table))
    grain = np.clip(0.8 + 0.25 * smooth_noise(space.shape, 3, rng), 0.2, 1)
    canvas.paint(inside(diploe, 1.5) * inside(shell) * grain, MARROW)


def _paint_base_of_skull(canvas: Canvas, space: Space, rng: np.random.Generator) -> None:
    petrous = union(
        space.rod((16, -14, -40), (54, -34, -42), 7, end_radius=12, paired=True),
        space.rod((56, -36, -52), (54, -32, -70), 10, end_radius=6, paired=True),
        blend=6,
    )
    central = union(
        space.rod((0, 2, -38), (0, -24, -62), 8),  # clivus
        space.ellipsoid((0, 14, -38), (17, 15, 11)),  # sphenoid
        space.rod((16, 22, -38), (40, 34, -40), 4, paired=True),  # its greater wing
        space.rod((8, 24, -20), (40, 30, -22), 2.6, paired=True),  # and lesser wing
        blend=5,
    )
    canvas.paint(inside(petrous), PETROUS)
    canvas.paint(inside(central), FACIAL_BONE)
    canvas.paint(inside(central + 3.5, 2), MARROW)
    cells = np.clip(1.5 * smooth_noise(space.shape, 4, rng) + 0.2, 0, 1)
    mastoid = union(
        space.ellipsoid((57, -38, -46), (8, 9, 12), paired=True),
        space.ellipsoid((55, -34, -62), (6, 7, 8), paired=True),
    )
    canvas.paint(inside(mastoid, 2) * cells, AIR)
    canvas.paint(inside(space.rod((54, -24, -45), (78, -22, -44), 2.5, paired=True)), AIR)
    canvas.paint(inside(space.ellipsoid((46, -24, -43), (3, 4, 5), paired=True)), AIR)


def _paint_airways(canvas: Canvas, space: Space, rng: np.random.Generator) -> None:
    lining = 1.3
    sinuses = union(
        space.ellipsoid((27, 55, -64), (15, 15, 15), paired=True),
        space.ellipsoid((7, 15, -38), (6.5, 11, 8), paired=True),
        space.ellipsoid((9, 80, -14), (8, 4, 9), paired=True),
    )
    ethmoid = space.ellipsoid((5, 45, -40), (6, 25, 10), paired=True)
    nose = union(
        space.ellipsoid((7, 52, -62), (6.5, 32, 15), paired=True),
        space.rod((6, 86, -66), (7, 102, -72), 4, paired=True),
        blend=4,
    )
    throat = space.ellipsoid((0, 14, -76), (13, 9, 20))
    canvas.paint(
        inside(union(ethmoid, space.ellipsoid((0, 52, -62), (16, 32, 17))) - lining), MUCOSA
    )
    canvas.paint(inside(sinuses - lining, 0.8), FACIAL_BONE)
    septa = np.clip(2.2 * np.abs(smooth_noise(space.shape, 7, rng)) - 0.35, 0, 1)
    canvas.paint(inside(ethmoid) * septa, AIR)
    turbinates = union(
        space.ellipsoid((7.5, 50, -70), (4.2, 24, 5), paired=True),
        space.ellipsoid((7, 48, -58), (3.4, 20, 4), paired=True),
    )
    canvas.paint(inside(np.maximum(nose, -turbinates + 0.8)), AIR)
    septum = np.maximum(np.abs(space.bent[0]) - 1.2, space.ellipsoid((0, 56, -60), (9, 38, 18)))
    canvas.paint(inside(septum), CARTILAGE)
    canvas.paint(inside(union(sinuses, throat)), AIR)


def _paint_orbits(canvas: Canvas, space: Space) -> None:
    globe: Point = (32, 66, -38)
    cone = space.rod((13, 22, -33), (33, 60, -38), 5, end_radius=17.5, paired=True)
    rim = np.maximum(cone, space.bent[1] - 76)
    canvas.paint(inside(np.maximum(rim - 2.0, space.bent[1] - 68)), FACIAL_BONE)
    canvas.paint(inside(np.maximum(rim, space.bent[1] - 72)), FAT)
    muscles = union(
        space.rod((14, 26, -33), (44, 62, -37), 2.3, paired=True),
        space.rod((13, 26, -34), (20, 62, -38), 2.5, paired=True),
        space.rod((14, 26, -30), (31, 62, -26), 2.2, paired=True),
        space.rod((14, 26, -36), (31, 62, -50), 2.3, paired=True),
    )
    canvas.paint(inside(muscles), MUSCLE)
    canvas.paint(inside(space.rod((11, 20, -31), (31, 55, -38), 2.0, paired=True)), WHITE)
    eye = space.ellipsoid(globe, (12, 12, 12), paired=True)
    lids = space.ellipsoid((32, 75, -38), (16, 5, 10), paired=True)
    canvas.paint(inside(lids, 2), SKIN)
    canvas.paint(inside(eye), MUCOSA)
    canvas.paint(inside(eye + 1.3), VITREOUS)
    canvas.paint(inside(space.ellipsoid((32, 74, -38), (4.5, 2.2, 4.5), paired=True)), LENS)


def _paint_cavity(canvas: Canvas, depth: Array, template: dict[str, Array]) -> None:
    canvas.paint(inside(depth - 2.5), DURA)
    canvas.paint(inside(depth - 1.4), CSF)
    grey, white = template["gm"], template["wm"]
    cover = np.clip((template["t1"] - 8) / 40, 0, 1)
    rest = np.clip(1 - grey - white, 0, 1)
    canvas.maps["t1"] += cover * (template["t1"] - canvas.maps["t1"])
    for name in ("hu", "fdg", "perfusion"):
        value = grey * getattr(GREY, name) + white * getattr(WHITE, name)
        value += rest * getattr(CSF, name)
        canvas.maps[name] += cover * (value - canvas.maps[name])


def _paint_markers(canvas: Canvas, space: Space, rng: np.random.Generator) -> dict[str, Point]:
    # The lesion's centre is measured: its rough surface moves it a little.
    roughness = 1.3 * smooth_noise(space.shape, 12, rng)
    lesion = inside(space.ball(LESION, LESION_RADIUS) + roughness, 4.0)
    texture = np.exp(0.12 * smooth_noise(space.shape, 5, rng))
    canvas.paint(lesion, TUMOUR)
    canvas.maps["t1"] *= 1 + lesion * (texture - 1)
    canvas.paint(inside(space.ball(MARKER, MARKER_RADIUS)), CAPSULE)
    x, y, z = (float((lesion * axis).sum() / lesion.sum()) for axis in space.straight)
    return {"lesion": (x, y, z), "marker": MARKER}
