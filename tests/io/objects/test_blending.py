"""The two source series over each other, as a presentation state."""

from __future__ import annotations

import numpy as np
import pydicom
import pytest

from refinefuse_med.errors import InputError
from refinefuse_med.io import Shown, write_dicom
from refinefuse_med.io.objects.blending import Layer, write_blending
from refinefuse_med.io.objects.derived import derive_study
from refinefuse_med.io.suv import calibrate
from refinefuse_med.volume import Grid, grid_of
from tests.io.dicom_sources import FRAME_UID, mr_source, pet_source
from tests.io.objects.helpers import NIFTI, colour, functional

COLOURS = np.stack([np.arange(256), np.zeros(256), np.full(256, 255)], axis=1).astype(np.uint8)


@pytest.fixture
def blending(tmp_path, oblique):
    fused = colour(oblique)
    moving = pet_source(
        Grid((4, 4, 3), np.eye(4)), FrameOfReferenceUID="2.25.55", StudyInstanceUID="2.25.77"
    )
    write_dicom(
        tmp_path,
        fused,
        functional(oblique, "PT", "SUVbw", moving),
        mr_source(grid_of(fused)),
        matrix_fixed_to_moving_lps=np.eye(4),
        shown=Shown((0, 900), (0, 8), COLOURS, "hot_iron", calibrate(moving.datasets).factor),
    )
    return pydicom.dcmread(tmp_path / "blending.dcm"), moving, tmp_path


def test_it_points_at_the_source_series_and_at_the_registration(blending):
    state, moving, folder = blending
    anatomical, overlay = state.AdvancedBlendingSequence
    assert state.FrameOfReferenceUID == FRAME_UID
    assert (anatomical.GeometryForDisplay, overlay.GeometryForDisplay) == ("TRUE", "FALSE")
    uids = [item.ReferencedSOPInstanceUID for item in overlay.ReferencedImageSequence]
    assert uids == [header.SOPInstanceUID for header in moving.datasets]
    assert overlay.StudyInstanceUID == "2.25.77"
    (study,) = overlay.ReferencedSpatialRegistrationSequence
    (item,) = study.ReferencedSeriesSequence[0].ReferencedSOPSequence
    registration = pydicom.dcmread(folder / "registration.dcm")
    assert item.ReferencedSOPInstanceUID == registration.SOPInstanceUID
    assert study.StudyInstanceUID == registration.StudyInstanceUID == state.StudyInstanceUID


def test_window_is_in_the_values_of_the_files(blending):
    state, moving, _ = blending
    (voi,) = state.AdvancedBlendingSequence[1].SoftcopyVOILUTSequence
    factor = calibrate(moving.datasets).factor
    assert factor != 1
    assert float(voi.WindowWidth) * factor == pytest.approx(8)


def test_overlay_alone_is_coloured_and_is_what_the_opacity_is_of(blending):
    state, _, _ = blending
    anatomical, overlay = state.AdvancedBlendingSequence
    assert "PaletteColorLookupTableSequence" not in anatomical
    (palette,) = overlay.PaletteColorLookupTableSequence
    red = np.frombuffer(palette.RedPaletteColorLookupTableData, "<u2")
    np.testing.assert_array_equal(red, np.arange(256) * 257)
    (display,) = state.BlendingDisplaySequence
    numbers = [item.BlendingInputNumber for item in display.BlendingDisplayInputSequence]
    assert (numbers, display.BlendingMode, display.RelativeOpacity) == ([2, 1], "FOREGROUND", 0.5)


def test_it_needs_two_dicom_series(tmp_path, oblique):
    fixed = mr_source(Grid((4, 4, 3), oblique))
    study = derive_study(fixed, colour(oblique))
    with pytest.raises(InputError, match="two DICOM series"):
        write_blending(Layer(fixed), Layer(NIFTI), study, tmp_path / "b.dcm", study=study)


def test_without_a_registration_it_is_not_written(tmp_path, oblique):
    fused = colour(oblique)
    paths = write_dicom(
        tmp_path,
        fused,
        functional(oblique, "PT", "SUVbw", pet_source(Grid((4, 4, 3), np.eye(4)))),
        mr_source(grid_of(fused)),
        matrix_fixed_to_moving_lps=np.eye(4),
        method="none",
        shown=Shown((0, 900), (0, 8)),
    )
    assert {"registration.dcm", "blending.dcm"}.isdisjoint(path.name for path in paths)
