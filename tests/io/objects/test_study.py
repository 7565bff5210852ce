"""All DICOM objects of one fusion, and our own reader on them."""

from __future__ import annotations

import numpy as np
import pydicom
import pytest

from refinefuse_med.io import DicomOptions, load_volume, write_dicom
from refinefuse_med.volume import (
    Grid,
    Keys,
    SourceHeader,
    get_meta,
    grid_of,
    make_volume,
    modality_of,
)
from tests.io.dicom_sources import FRAME_UID, mr_source, pet_source

SHAPE = (7, 9, 5)


def _write(folder, affine, source=None, options=None):
    grid = Grid(SHAPE, affine)
    rng = np.random.default_rng(0)
    fused = make_volume(rng.integers(0, 256, (3, *SHAPE), dtype=np.uint8), affine)
    functional = make_volume(
        rng.random(SHAPE) * 12,
        affine,
        modality="PT",
        units="SUVbw",
        source=pet_source(Grid((4, 4, 3), np.eye(4))),
    )
    paths = write_dicom(
        folder,
        fused,
        functional,
        source or mr_source(grid),
        matrix_fixed_to_moving_lps=np.eye(4),
        options=options,
    )
    return paths, functional


def test_all_objects_lie_in_one_study_and_one_frame_of_reference(tmp_path, oblique):
    paths, _ = _write(tmp_path, oblique)
    names = {path.relative_to(tmp_path).parts[0] for path in paths}
    assert names == {"fused", "functional_registered", "registration.dcm"}
    headers = [pydicom.dcmread(path, stop_before_pixels=True) for path in paths]
    assert len({header.StudyInstanceUID for header in headers}) == 1
    assert {header.FrameOfReferenceUID for header in headers} == {FRAME_UID}
    assert len({header.SeriesInstanceUID for header in headers}) == 3
    assert len({header.SeriesNumber for header in headers}) == 3
    assert len({header.SOPInstanceUID for header in headers}) == len(headers)


def test_no_registration_object_without_two_dicom_series(tmp_path, oblique):
    paths, _ = _write(tmp_path, oblique, SourceHeader("nifti"))
    assert "registration.dcm" not in {path.name for path in paths}


def test_our_reader_gets_the_registered_volume_back(tmp_path, oblique):
    _, functional = _write(tmp_path, oblique)
    back = load_volume(tmp_path / "functional_registered")
    assert modality_of(back) == "PT"
    assert get_meta(back, Keys.UNITS) == "SUVbw"
    assert get_meta(back, Keys.FRAME_OF_REFERENCE_UID) == FRAME_UID
    # The reader may run K the other way; the places of the values must be the same.
    voxels = np.array([(0, 0, 0, 1), (6, 2, 1, 1), (3, 8, 4, 1)]).T
    places = grid_of(functional).affine_ras @ voxels
    found = np.linalg.inv(grid_of(back).affine_ras) @ places
    np.testing.assert_allclose(found, np.rint(found), atol=1e-3)
    index = tuple(np.rint(found[:3]).astype(int))
    expected = functional.numpy()[0][tuple(voxels[:3])]
    np.testing.assert_allclose(back.numpy()[0][index], expected, atol=12 / 32767)


def _uids(folder):
    headers = [pydicom.dcmread(path, stop_before_pixels=True) for path in folder.rglob("*.dcm")]
    keys = ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID", "FrameOfReferenceUID")
    return {tuple(str(header[key].value) for key in (*keys, "PatientID")) for header in headers}


@pytest.mark.parametrize("source", [None, SourceHeader("nifti")], ids=["DICOM", "NIfTI"])
def test_uids_are_those_of_the_seed(tmp_path, oblique, source):
    source = source or mr_source(Grid(SHAPE, oblique))
    for name, seed in {"a": "x", "b": "x", "c": "y", "d": None, "e": None}.items():
        _write(tmp_path / name, oblique, source, DicomOptions(seed=seed))
    sets = [_uids(tmp_path / name) for name in "abcde"]
    assert sets[0] == sets[1]
    for other in sets[2:]:
        assert sets[0].isdisjoint(other)
    assert sets[3].isdisjoint(sets[4])
