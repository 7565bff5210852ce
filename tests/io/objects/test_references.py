"""What the images refer to."""

from __future__ import annotations

import shutil

import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset

from refinefuse_med.io import DicomOptions, Shown, write_dicom
from refinefuse_med.io.objects.multiframe import write_multiframe_capture
from refinefuse_med.io.objects.references import source_images
from refinefuse_med.io.objects.registered_series import write_registered_series
from refinefuse_med.io.objects.secondary_capture import write_secondary_capture
from refinefuse_med.volume import Grid, grid_of, make_volume
from tests.io.dicom_sources import ct_source, enhanced_source, mr_source, nm_source, pet_source
from tests.io.objects.helpers import NIFTI, SHAPE, functional, headers_of, validation_errors

MAPS = DicomOptions(multiframe=True, quantitative=True)

FINE = Grid((20, 20, 12), np.diag([-2.0, -2.0, 1.0, 1.0]))
COARSE = Grid((8, 8, 5), np.diag([-5.0, -5.0, 4.0, 1.0]))


def _uids(items):
    return [item.ReferencedSOPInstanceUID for item in items]


def _of(source):
    return [header.SOPInstanceUID for header in source.datasets]


def test_each_slice_names_the_functional_slices_it_lies_between():
    anatomical, moving = mr_source(FINE), pet_source(COARSE)
    sources = source_images(FINE, anatomical, moving, np.eye(4))
    # Slice 5 of the fine grid lies at 5 mm, between those at 4 and 8 mm.
    assert _uids(sources[5]) == [_of(anatomical)[5], *_of(moving)[1:3]]
    assert _uids(sources[8]) == [_of(anatomical)[8], *_of(moving)[1:4]]
    assert {uid for k in range(12) for uid in _uids(sources[k])} == {
        *_of(anatomical),
        *_of(moving)[:4],
    }


def test_a_slice_names_the_one_at_its_place_whichever_way_the_slices_run():
    anatomical = mr_source(FINE)
    over = Grid(FINE.shape, FINE.affine_ras @ np.diag([1.0, 1, -1, 1]))
    over.affine_ras[:3, 3] += FINE.affine_ras[:3, 2] * (FINE.shape[2] - 1)
    sources = source_images(over, anatomical, NIFTI, None)
    assert [_uids(sources[k])[0] for k in range(12)] == _of(anatomical)[::-1]


def test_a_volume_on_another_grid_claims_no_slice_of_its_own_series(oblique):
    anatomical = mr_source(FINE)
    turned = Grid(FINE.shape, oblique)
    assert not any(source_images(turned, anatomical, NIFTI, None)[k] for k in range(12))
    far = Grid(FINE.shape, FINE.affine_ras + np.outer((0, 0, 1, 0), (0, 0, 0, 9.0)))
    sources = source_images(far, anatomical, NIFTI, None)
    assert _uids(sources[2]) == _of(anatomical)[11:]
    assert not _uids(sources[3])


def test_the_transform_is_what_says_where_the_slices_lie():
    moving = pet_source(COARSE)
    up = np.eye(4)
    up[2, 3] = 8
    sources = source_images(FINE, NIFTI, moving, up)
    assert _uids(sources[5]) == _of(moving)[3:5]
    across = np.array([[1, 0, 0, 0], [0, 0, -1, 0], [0, 1, 0, 0], [0, 0, 0, 1.0]])
    assert _uids(source_images(FINE, NIFTI, moving, across)[0]) == _of(moving)


def test_without_a_transform_the_whole_series_is_named():
    moving = pet_source(COARSE)
    assert _uids(source_images(FINE, NIFTI, moving, None)[3]) == _of(moving)


def test_multi_frame_sources_are_named_once():
    anatomical, moving = enhanced_source(FINE), nm_source(COARSE)
    sources = source_images(FINE, anatomical, moving, np.eye(4))
    for k in range(12):
        assert _uids(sources[k]) == [*_of(anatomical), *_of(moving)]


def test_headers_without_uids_are_not_referred_to():
    anatomical, moving = mr_source(FINE, SOPClassUID=None), pet_source(COARSE, SOPInstanceUID=None)
    sources = source_images(FINE, anatomical, moving, np.eye(4))
    assert not any(sources[k] for k in range(12))
    target = Dataset()
    sources.add_to(target, 0)
    sources.add_all_to(target)
    assert len(target) == 0


def test_registered_slices_say_that_they_were_moved(tmp_path, oblique):
    grid = Grid(SHAPE, oblique)
    volume = functional(oblique, "PT", "SUVbw", pet_source(grid))
    header = headers_of(
        write_registered_series(
            volume, mr_source(grid_of(volume)), tmp_path, matrix_fixed_to_moving_lps=np.eye(4)
        )
    )[2]
    assert header.DerivationCodeSequence[0].CodeMeaning == "Spatial resampling"
    still, *moved = header.SourceImageSequence
    assert still.SpatialLocationsPreserved == "YES"
    assert {item.SpatialLocationsPreserved for item in moved} == {"NO"}
    assert {item.PurposeOfReferenceCodeSequence[0].CodeValue for item in moved} == {"121322"}
    uids = [header.SOPInstanceUID for header in volume.meta["source"].datasets]
    assert _uids(moved) == uids[1:4]


def _listed(header):
    """UIDs of the Common Instance Reference module, of this study and of others."""
    own = header.get("ReferencedSeriesSequence", [])
    studies = header.get("StudiesContainingOtherReferencedInstancesSequence", [])
    series = [*own, *(item for study in studies for item in study.ReferencedSeriesSequence)]
    return [uid for item in series for uid in _uids(item.ReferencedInstanceSequence)]


@pytest.mark.parametrize("options", [DicomOptions(), MAPS], ids=["slices", "maps"])
@pytest.mark.parametrize("make", [pet_source, nm_source, ct_source])
@pytest.mark.parametrize("study", ["2.25.11", "2.25.77"], ids=["same study", "another study"])
def test_every_source_instance_is_named_in_each_series(tmp_path, options, make, study):
    # The scan is longer than the anatomy: its last slices are in no image, but are named.
    anatomical, moving = mr_source(FINE), make(COARSE, StudyInstanceUID=study)
    modality = moving.datasets[0].Modality
    volume = make_volume(
        np.ones(FINE.shape), FINE.affine_ras, modality=modality, units="counts", source=moving
    )
    fused = make_volume(np.ones((3, *FINE.shape), np.uint8), FINE.affine_ras)
    paths = write_dicom(
        tmp_path,
        fused,
        volume,
        anatomical,
        matrix_fixed_to_moving_lps=np.eye(4),
        shown=Shown((0, 1), (0, 1)),
        contribution=make_volume(np.ones(FINE.shape), FINE.affine_ras, units="ratio"),
        options=options,
    )
    everything = {*_of(anatomical), *_of(moving)}
    listed = {}
    for header in headers_of(paths):
        listed.setdefault(header.SeriesInstanceUID, set()).update(_listed(header))
    assert len(listed) == 5
    for uids in listed.values():
        assert everything <= uids


def test_images_that_cross_hundreds_are_written_once_for_all(tmp_path):
    fine = Grid((4, 4, 200), FINE.affine_ras)
    across = np.eye(4)
    across[:3, :3] = np.array([[0, 0, -0.001], [1, 0, 0], [0, 1, 0]])
    anatomical, moving = mr_source(fine), pet_source(Grid((4, 4, 200), across))
    fused = make_volume(np.ones((3, *fine.shape), np.uint8), fine.affine_ras)
    how = {"functional": moving, "matrix_fixed_to_moving_lps": np.eye(4)}
    slices = write_secondary_capture(fused, anatomical, tmp_path / "slices", **how)
    for path in slices[1:3]:
        header = pydicom.dcmread(path)
        assert len(header.SourceImageSequence) == 201
        assert path.stat().st_size < 70_000
        assert not _listed(header)
    assert len(_listed(pydicom.dcmread(slices[0]))) == 400
    # All frames would name 40 000.
    path = write_multiframe_capture(fused, anatomical, tmp_path / "a.dcm", **how)
    assert path.stat().st_size < 300_000
    header = pydicom.dcmread(path)
    assert _uids(header.SourceImageSequence) == [*_of(anatomical), *_of(moving)]
    (derivation,) = header.PerFrameFunctionalGroupsSequence[9].DerivationImageSequence
    assert _uids(derivation.SourceImageSequence) == [_of(anatomical)[9]]
    if shutil.which("dciodvfy"):
        for one in (path, *slices[:2]):
            assert validation_errors(one) == []
