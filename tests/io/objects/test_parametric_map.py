"""Real numbers as a Parametric Map, read back by highdicom."""

from __future__ import annotations

import highdicom as hd
import numpy as np
import pydicom
import pytest

from refinefuse_med.io.objects.parametric_map import (
    CONTRIBUTION,
    FUNCTIONAL,
    write_parametric_map,
)
from refinefuse_med.volume import Grid, grid_of, make_volume
from tests.io.dicom_sources import FRAME_UID, STUDY_UID, mr_source, pet_source
from tests.io.objects.helpers import NIFTI, SHAPE, functional


@pytest.mark.parametrize(
    ("modality", "units", "code"),
    [
        ("PT", "SUVbw", "g/ml{SUVbw}"),
        ("PT", "Bq/ml", "Bq/ml"),
        ("NM", "counts", "{counts}"),
        ("CT", "HU", "[hnsf'U]"),
        ("MR", "a.u.", "1"),
    ],
)
def test_values_are_kept_to_the_bit_and_their_units_coded(tmp_path, oblique, modality, units, code):
    volume = functional(oblique, modality, units, scale=-1e-3)
    path = write_parametric_map(volume, NIFTI, tmp_path / "a.dcm", FUNCTIONAL)
    back = hd.imread(path)
    values = back.get_volume(apply_real_world_transform=True, dtype=np.float32).array
    np.testing.assert_array_equal(values.transpose(2, 1, 0), volume.numpy()[0])
    mapping = back.SharedFunctionalGroupsSequence[0].get("RealWorldValueMappingSequence") or (
        back.PerFrameFunctionalGroupsSequence[0].RealWorldValueMappingSequence
    )
    assert mapping[0].MeasurementUnitsCodeSequence[0].CodeValue == code


def test_patient_study_and_references_are_those_of_the_sources(tmp_path, oblique):
    volume = functional(oblique, "PT", "SUVbw")
    source = mr_source(grid_of(volume), PatientSex="X", PatientName="Müller^Jürgen")
    moving = pet_source(Grid((4, 4, 3), np.eye(4)), StudyInstanceUID="2.25.77")
    path = write_parametric_map(
        volume, source, tmp_path / "a.dcm", FUNCTIONAL, functional=moving, window=(0, 8)
    )
    header = pydicom.dcmread(path)
    assert str(header.PatientName) == "Müller^Jürgen"
    assert (header.StudyInstanceUID, header.FrameOfReferenceUID) == (STUDY_UID, FRAME_UID)
    assert header.DerivationCodeSequence[0].CodeMeaning == "Spatial resampling"
    (derivation,) = header.PerFrameFunctionalGroupsSequence[2].DerivationImageSequence
    first = derivation.SourceImageSequence[0]
    assert first.ReferencedSOPInstanceUID == source.datasets[2].SOPInstanceUID
    (other,) = header.StudiesContainingOtherReferencedInstancesSequence
    assert other.StudyInstanceUID == "2.25.77"
    (voi,) = header.SharedFunctionalGroupsSequence[0].FrameVOILUTSequence
    assert (voi.WindowCenter, voi.WindowWidth) == (4, 8)


def test_without_dicom_sources_nothing_is_referred_to(tmp_path, oblique):
    volume = make_volume(np.full(SHAPE, 0.5), oblique, units="ratio")
    path = write_parametric_map(volume, NIFTI, tmp_path / "a.dcm", CONTRIBUTION)
    text = str(pydicom.dcmread(path))
    assert "Referenced SOP Instance UID" not in text


def test_constant_volume_is_written(tmp_path, oblique):
    volume = make_volume(np.zeros(SHAPE), oblique, units="SUVbw")
    path = write_parametric_map(volume, NIFTI, tmp_path / "a.dcm", FUNCTIONAL)
    assert not hd.imread(path).get_volume(apply_real_world_transform=False).array.any()
