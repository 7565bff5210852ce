"""The fused volume as one multi-frame object."""

from __future__ import annotations

import numpy as np
import pydicom
import pytest

from refinefuse_med.errors import GeometryError, OutputError
from refinefuse_med.io.objects import multiframe
from refinefuse_med.io.objects.multiframe import write_multiframe_capture
from refinefuse_med.volume import Grid, grid_of, make_volume
from tests.io.dicom_sources import FRAME_UID, enhanced_source, mr_source, pet_source
from tests.io.objects.helpers import NIFTI, SHAPE, colour


def test_colours_are_identical(tmp_path, oblique):
    data = np.random.default_rng(0).integers(0, 256, (3, *SHAPE), dtype=np.uint8)
    path = write_multiframe_capture(make_volume(data, oblique), NIFTI, tmp_path / "a.dcm")
    header = pydicom.dcmread(path)
    assert header.SOPClassUID.name == "Multi-frame True Color Secondary Capture Image Storage"
    np.testing.assert_array_equal(header.pixel_array.transpose(3, 2, 1, 0), data)


def test_greys_are_16_bit_and_not_stretched(tmp_path, oblique):
    data = np.linspace(0.2, 0.6, int(np.prod(SHAPE)), dtype=np.float32).reshape(SHAPE)
    path = write_multiframe_capture(make_volume(data, oblique), NIFTI, tmp_path / "a.dcm")
    header = pydicom.dcmread(path)
    assert header.SOPClassUID.name == "Multi-frame Grayscale Word Secondary Capture Image Storage"
    assert (header.WindowCenter, header.WindowWidth) == (32768, 65536)
    np.testing.assert_allclose(header.pixel_array.T / 65535, data, atol=1e-5)


def test_each_frame_refers_to_the_images_it_was_made_from(tmp_path, oblique):
    volume = colour(oblique)
    source, functional = mr_source(grid_of(volume)), pet_source(Grid((4, 4, 3), np.eye(4)))
    path = write_multiframe_capture(volume, source, tmp_path / "a.dcm", functional=functional)
    header = pydicom.dcmread(path)
    assert header.FrameOfReferenceUID == FRAME_UID
    for k, groups in enumerate(header.PerFrameFunctionalGroupsSequence):
        (derivation,) = groups.DerivationImageSequence
        uids = [item.ReferencedSOPInstanceUID for item in derivation.SourceImageSequence]
        expected = [source.datasets[k], *functional.datasets]
        assert uids == [header.SOPInstanceUID for header in expected]
    listed = {
        item.ReferencedSOPInstanceUID
        for series in header.ReferencedSeriesSequence
        for item in series.ReferencedInstanceSequence
    }
    assert len(listed) == len(source.datasets) + len(functional.datasets)


def test_side_of_an_enhanced_source_is_kept(tmp_path, oblique):
    volume = colour(oblique)
    source = enhanced_source(grid_of(volume))
    header = pydicom.dcmread(write_multiframe_capture(volume, source, tmp_path / "a.dcm"))
    assert header.Laterality == "L"


def test_more_than_one_object_can_hold_is_refused(tmp_path, oblique, monkeypatch):
    monkeypatch.setattr(multiframe, "_MAX_BYTES", 1000)
    with pytest.raises(OutputError, match="do not fit"):
        write_multiframe_capture(colour(oblique), NIFTI, tmp_path / "a.dcm")
    assert list(tmp_path.iterdir()) == []


def test_sheared_grid_is_refused(tmp_path, oblique):
    oblique[:3, 2] += 0.5 * oblique[:3, 0]
    with pytest.raises(GeometryError, match="sheared"):
        write_multiframe_capture(colour(oblique), NIFTI, tmp_path / "a.dcm")
