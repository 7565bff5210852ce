"""Labels as a DICOM Segmentation, read back by highdicom."""

from __future__ import annotations

import shutil

import highdicom as hd
import numpy as np
import pydicom
import pytest

from refinefuse_med.errors import InputError
from refinefuse_med.io import write_segmentation
from refinefuse_med.volume import Grid, make_volume
from tests.io.dicom_sources import FRAME_UID, STUDY_UID, ct_source, enhanced_source, mr_source
from tests.io.objects.helpers import NIFTI, SHAPE, validation_errors, where

VOXELS = {3: (1, 2, 0), 7: (7, 1, 1), 12: (2, 9, 4)}
"""One voxel of each label: not in one plane, so that a flip shows."""


def labels(affine):
    data = np.zeros(SHAPE)
    for label, voxel in VOXELS.items():
        data[voxel] = label
    return make_volume(data, affine)


def test_each_label_lies_where_it_was_drawn(tmp_path, affine):
    source = mr_source(Grid(SHAPE, affine))
    path = write_segmentation(labels(affine), source, tmp_path / "a.dcm", names={7: "lesion"})
    seg = hd.seg.segread(path)
    assert [seg.get_segment_description(n).segment_label for n in (1, 2, 3)] == [
        "Label 3",
        "lesion",
        "Label 12",
    ]
    volume = seg.get_volume(combine_segments=True)
    to_ras = np.diag([-1, -1, 1, 1]) @ volume.affine
    for number, voxel in enumerate(VOXELS.values(), start=1):
        (index,) = np.argwhere(volume.array == number)
        np.testing.assert_allclose(where(to_ras, index), where(affine, voxel), atol=1e-3)


def test_patient_study_and_slices_are_those_of_the_scan(tmp_path, oblique):
    source = mr_source(Grid(SHAPE, oblique), PatientName="Doe^Jane")
    path = write_segmentation(labels(oblique), source, tmp_path / "a.dcm")
    header = pydicom.dcmread(path)
    assert (header.StudyInstanceUID, header.FrameOfReferenceUID) == (STUDY_UID, FRAME_UID)
    assert header.PatientName == "Doe^Jane"
    named = [
        groups.DerivationImageSequence[0].SourceImageSequence[0].ReferencedSOPInstanceUID
        for groups in header.PerFrameFunctionalGroupsSequence
    ]
    slices = [voxel[2] for voxel in VOXELS.values()]
    assert named == [source.datasets[k].SOPInstanceUID for k in slices]
    (series,) = header.ReferencedSeriesSequence
    assert series.SeriesInstanceUID == source.datasets[0].SeriesInstanceUID
    assert "esearch" in header.ImageComments


def test_labels_on_another_grid_refer_to_the_slices_within_reach(tmp_path, oblique):
    source = mr_source(Grid(SHAPE, oblique))
    moved = oblique.copy()
    moved[:3, 3] += oblique[:3, 2] / 2
    path = write_segmentation(labels(moved), source, tmp_path / "a.dcm")
    header = pydicom.dcmread(path)
    (derivation,) = header.PerFrameFunctionalGroupsSequence[1].DerivationImageSequence
    named = {item.ReferencedSOPInstanceUID for item in derivation.SourceImageSequence}
    assert named >= {source.datasets[k].SOPInstanceUID for k in (1, 2)}
    assert {item.SpatialLocationsPreserved for item in derivation.SourceImageSequence} == {"NO"}
    assert len(named) < SHAPE[2]


@pytest.mark.parametrize(
    ("values", "said"), [(0, "no label"), (-1, "whole numbers"), (0.5, "whole numbers")]
)
def test_what_are_no_labels_is_refused(tmp_path, oblique, values, said):
    volume = make_volume(np.full(SHAPE, float(values)), oblique)
    with pytest.raises(InputError, match=said):
        write_segmentation(volume, NIFTI, tmp_path / "a.dcm")
    assert not list(tmp_path.iterdir())


@pytest.mark.skipif(shutil.which("dciodvfy") is None, reason="dicom3tools is not installed")
@pytest.mark.parametrize(
    "make",
    [mr_source, ct_source, enhanced_source, lambda grid: NIFTI],
    ids=["mr", "ct", "enhanced", "nifti"],
)
def test_validator_finds_no_error(tmp_path, oblique, make):
    path = write_segmentation(labels(oblique), make(Grid(SHAPE, oblique)), tmp_path / "a.dcm")
    assert validation_errors(path) == []
