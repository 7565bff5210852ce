"""What every test may use."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The developers' real scans, which are not part of the project."""
    folder = ROOT.parent / "shared" / "data"
    if not folder.is_dir():
        pytest.skip("the developers' real scans (../shared/data) are not here")
    return folder


def oblique_affine(
    spacing: tuple[float, float, float] = (0.9, 1.3, 4.1),
    angles: tuple[float, float, float] = (17.0, -23.0, 41.0),
    origin: tuple[float, float, float] = (-83.0, 57.0, -31.0),
    flips: tuple[int, int, int] = (1, -1, 1),
) -> np.ndarray:
    """An RAS affine that is oblique, anisotropic and flipped at once."""
    affine = np.eye(4)
    rotation = Rotation.from_euler("xyz", angles, degrees=True).as_matrix()
    affine[:3, :3] = rotation * (np.asarray(spacing) * np.asarray(flips))
    affine[:3, 3] = origin
    return affine


@pytest.fixture
def oblique() -> np.ndarray:
    """An oblique, anisotropic, left-handed RAS affine."""
    return oblique_affine()


def phantom(affine_ras: np.ndarray, shape: tuple[int, int, int], modality: str) -> np.ndarray:
    """A head without symmetry, sampled on any grid; ``modality`` is MR or PT.

    Ellipsoid of semi-axes 70, 85, 60 mm about the world's origin, with three inner bodies; the
    hot one (PT) lies on the patient's left (RAS x < 0), in front, above.
    """
    index = np.stack(np.meshgrid(*map(np.arange, shape), indexing="ij"), axis=-1)
    place = index @ affine_ras[:3, :3].T + affine_ras[:3, 3]

    def inside(center: tuple[float, ...], axes: tuple[float, ...]) -> np.ndarray:
        distance = np.sqrt((((place - np.array(center)) / np.array(axes)) ** 2).sum(-1))
        return 1 / (1 + np.exp((distance - 1) * 25))

    head = inside((0, 0, 0), (70, 85, 60))
    front = inside((25, 40, 5), (18, 22, 30))
    back = inside((-20, -45, -10), (28, 18, 16))
    hot = inside((-35, 30, 20), (14, 14, 14))
    if modality == "MR":
        return 600 * head - 350 * front + 300 * back + 150 * hot
    return 2.0 * head + 2.5 * front - 1.2 * back + 8.0 * hot


@pytest.fixture(scope="session")
def head_pair() -> tuple:
    """An MR and a PET volume of one phantom in one space, on grids of their own."""
    from refinefuse_med.volume import make_volume

    mr_affine = oblique_affine((4, 4, 5), (8, -5, 12), (-80, -100, -70), (1, 1, 1))
    pt_affine = oblique_affine((5, 5, 5), (0, 0, 0), (90, 100, -75), (-1, -1, 1))
    mr = make_volume(phantom(mr_affine, (44, 50, 30), "MR"), mr_affine, modality="MR")
    pt = make_volume(
        phantom(pt_affine, (37, 41, 31), "PT"), pt_affine, modality="PT", units="SUVbw"
    )
    return mr, pt


@pytest.fixture(scope="session")
def files(tmp_path_factory: pytest.TempPathFactory, head_pair: tuple) -> dict[str, Path]:
    """The phantom pair as NIfTI files."""
    from refinefuse_med.io import write_nifti

    folder = tmp_path_factory.mktemp("scans")
    for volume, name in zip(head_pair, ("mr.nii.gz", "pet.nii.gz"), strict=True):
        write_nifti(volume, folder / name)
    return {"anatomical": folder / "mr.nii.gz", "functional": folder / "pet.nii.gz"}


@pytest.fixture(autouse=True)
def _own_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No test makes or reads the key in the configuration folder of whoever runs it."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
