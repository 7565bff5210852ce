"""What the images refer to."""

from __future__ import annotations

import numpy as np

from refinefuse_med.io.objects.references import source_images
from refinefuse_med.io.objects.registered_series import write_registered_series
from refinefuse_med.volume import Grid, grid_of
from tests.io.dicom_sources import enhanced_source, mr_source, nm_source, pet_source
from tests.io.objects.helpers import NIFTI, SHAPE, functional, headers_of

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
    assert {uid for items in sources for uid in _uids(items)} == {
        *_of(anatomical),
        *_of(moving)[:4],
    }


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
    assert all(_uids(items) == [*_of(anatomical), *_of(moving)] for items in sources)


def test_headers_without_uids_are_not_referred_to():
    anatomical, moving = mr_source(FINE, SOPClassUID=None), pet_source(COARSE, SOPInstanceUID=None)
    assert not any(source_images(FINE, anatomical, moving, np.eye(4)))


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
