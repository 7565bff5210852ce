"""Real numbers as a Parametric Map, read back by highdicom."""

from __future__ import annotations

import highdicom as hd
import numpy as np
import pydicom
import pytest

from refinefuse_med.errors import InputError
from refinefuse_med.io import load_volume
from refinefuse_med.io.objects.parametric_map import (
    CONTRIBUTION,
    FUNCTIONAL,
    write_parametric_map,
)
from refinefuse_med.volume import Grid, Keys, get_meta, grid_of, make_volume, modality_of
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


UNITS = [
    ("PT", "SUVbw"),
    ("PT", "Bq/ml"),
    ("NM", "counts"),
    ("CT", "HU"),
    ("OT", "ratio"),
    ("MR", "a.u."),
    ("CT", "a.u."),
]


@pytest.mark.parametrize(("modality", "units"), UNITS)
def test_our_own_reader_gets_values_units_and_places_back(tmp_path, affine, modality, units):
    volume = functional(affine, modality, units, scale=-7e-3)
    content = CONTRIBUTION if units == "ratio" else FUNCTIONAL
    write_parametric_map(volume, NIFTI, tmp_path / "a.dcm", content)
    back = load_volume(tmp_path / "a.dcm")
    assert (modality_of(back), get_meta(back, Keys.UNITS)) == (modality, units)
    found = _on_grid_of(volume, back)
    np.testing.assert_array_equal(found, volume.numpy()[0])


def _on_grid_of(volume, back):
    """The values of `back` at the voxels of `volume`; K may run the other way."""
    voxels = np.stack(np.indices(SHAPE)).reshape(3, -1)
    places = grid_of(volume).affine_ras @ np.vstack([voxels, np.ones(voxels.shape[1])])
    index = (np.linalg.inv(grid_of(back).affine_ras) @ places)[:3]
    np.testing.assert_allclose(index, np.rint(index), atol=1e-3)
    return back.numpy()[0][tuple(np.rint(index).astype(int))].reshape(SHAPE)


def _remapped(path, change):
    """Change the mapping of every frame of a map."""
    header = pydicom.dcmread(path)
    groups = [*header.SharedFunctionalGroupsSequence, *header.PerFrameFunctionalGroupsSequence]
    items = [
        g.RealWorldValueMappingSequence[0] for g in groups if "RealWorldValueMappingSequence" in g
    ]
    for n, item in enumerate(items):
        change(n, item)
    header.save_as(path)


def test_slope_intercept_and_unknown_units_of_other_makers_are_obeyed(tmp_path, oblique):
    def change(_, mapping):
        mapping.RealWorldValueSlope, mapping.RealWorldValueIntercept = 2.5, -10.0
        mapping.MeasurementUnitsCodeSequence[0].CodeValue = "um2/s"

    volume = functional(oblique, "MR", "a.u.")
    path = write_parametric_map(volume, NIFTI, tmp_path / "a.dcm", FUNCTIONAL)
    _remapped(path, change)
    back = load_volume(path)
    assert get_meta(back, Keys.UNITS) == "um2/s"
    np.testing.assert_allclose(_on_grid_of(volume, back), volume.numpy()[0] * 2.5 - 10, atol=1e-5)


def test_a_map_of_a_table_instead_of_a_slope_is_refused(tmp_path, oblique):
    def change(_, mapping):
        del mapping.RealWorldValueSlope

    path = write_parametric_map(
        functional(oblique, "PT", "SUVbw"), NIFTI, tmp_path / "a.dcm", FUNCTIONAL
    )
    _remapped(path, change)
    with pytest.raises(InputError, match="without the slope"):
        load_volume(path)
