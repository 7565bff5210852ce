"""Files to layers and back."""

from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np
import pydicom
import pytest
import torch

pytest.importorskip("napari")

from napari.layers import Layer
from pydicom.data import get_testdata_file

from refinefuse_med.errors import InputError, OutputError
from refinefuse_med.io import load_volume
from refinefuse_med.io import write_nifti as write_volume
from refinefuse_med.volume import grid_of, make_volume
from refinefuse_napari._aligning import GEOMETRY_OF
from refinefuse_napari._bridge import image_layer, on_grid_of
from refinefuse_napari._reader import get_reader, read
from refinefuse_napari._settings import Settings, read_settings
from refinefuse_napari._snapshot import METADATA, placement_of, snapshot
from refinefuse_napari._writer import (
    SEGMENT_NAMES,
    write_dicom,
    write_labels,
    write_nifti,
    write_segmentation,
    write_segmentation_on,
)
from tests.io.dicom_sources import mr_source


@pytest.fixture
def nifti(tmp_path, oblique):
    values = np.random.default_rng(0).normal(size=(5, 6, 7)).astype(np.float32)
    path = tmp_path / "head.nii.gz"
    write_volume(make_volume(values, oblique, modality="PT", units="SUVbw"), path)
    return path


def test_a_nifti_file_becomes_one_layer_named_after_it(nifti):
    (layer_data,) = get_reader(str(nifti))(str(nifti))
    layer = Layer.create(*layer_data)
    assert layer.name == "head"
    assert layer.metadata[METADATA]["modality"] == "PT"
    assert layer.metadata[METADATA]["units"] == "SUVbw"


def test_what_is_read_and_written_again_is_the_same_file(nifti, tmp_path):
    layer = Layer.create(*read(str(nifti))[0])
    out = tmp_path / "again.nii.gz"
    assert write_nifti(str(out), *layer.as_layer_data_tuple()[:2]) == [str(out)]
    before, after = nib.load(nifti), nib.load(out)
    np.testing.assert_array_equal(np.asarray(after.dataobj), np.asarray(before.dataobj))
    np.testing.assert_allclose(after.affine, before.affine, atol=1e-5)


def test_a_colour_layer_is_written_as_rgb24(tmp_path):
    data = np.random.default_rng(0).integers(0, 255, (4, 5, 6, 3), dtype=np.uint8)
    layer = Layer.create(data, {"rgb": True, "units": "mm"}, "image")
    write_nifti(str(tmp_path / "colour.nii"), *layer.as_layer_data_tuple()[:2])
    written = np.asarray(nib.load(tmp_path / "colour.nii").dataobj)
    assert written.dtype.names == ("R", "G", "B")
    np.testing.assert_array_equal(written["G"], data[..., 1].T)


def test_a_folder_is_ours_only_if_dicom_is_in_it(tmp_path):
    (tmp_path / "notes.txt").write_text("nothing")
    assert get_reader(str(tmp_path)) is None
    deep = tmp_path / "study" / "series"
    deep.mkdir(parents=True)
    (deep / "IM0001").write_bytes(bytes(128) + b"DICM")
    assert get_reader(str(tmp_path)) is read


def test_stacks_and_missing_files_are_not_ours(tmp_path):
    assert get_reader([str(tmp_path)]) is None
    assert get_reader(str(tmp_path / "absent.nii")) is None


def test_a_single_slice_is_shown_with_a_warning():
    ((data, attributes, _),) = read(get_testdata_file("CT_small.dcm"))
    assert data.shape == (1, 128, 128)
    (warning,) = attributes["metadata"][METADATA]["source"].warnings
    assert "a single slice: its thickness is taken" in warning


def test_a_real_study_gives_the_best_series_of_each_modality(shared_data):
    layers = read(str(shared_data / "dicom" / "thigh_pet_ct_mr.zip"))
    found = {attributes["metadata"][METADATA]["modality"]: data for data, attributes, _ in layers}
    assert set(found) == {"MR", "CT", "PT"}
    assert found["PT"].shape == (74, 128, 128)
    (mr,) = (Layer.create(*x) for x in layers if x[1]["metadata"][METADATA]["modality"] == "MR")
    np.testing.assert_allclose(mr.scale, (5.2, 0.39, 0.39), atol=0.01)
    source = mr.metadata[METADATA]["source"]
    assert source.format == "dicom"
    assert len(source.datasets) == len(mr.data)


def test_labels_are_written_as_integers_on_the_grid_they_were_drawn_on(nifti, tmp_path):
    image = Layer.create(*read(str(nifti))[0])
    drawn = np.zeros(image.data.shape, dtype=np.int64)
    drawn[1:3, 2:4, 1:2] = 7
    labels = Layer.create(
        drawn, {"name": "lesion", "metadata": image.metadata, **placement_of(image)}, "labels"
    )
    out = tmp_path / "lesion.nii.gz"
    assert write_labels(str(out), *labels.as_layer_data_tuple()[:2]) == [str(out)]
    written, source = nib.load(out), nib.load(nifti)
    assert written.get_data_dtype() == np.int16
    np.testing.assert_allclose(written.affine, source.affine, atol=1e-5)
    inside = Layer.create(*read(str(nifti))[0]).data[drawn == 7]
    values = np.asarray(source.dataobj)[np.asarray(written.dataobj) == 7]
    np.testing.assert_array_equal(np.sort(values), np.sort(inside))


def test_a_label_that_single_precision_would_change_is_refused(tmp_path):
    layer = Layer.create(np.full((2, 3, 4), 2**24 + 1), {"scale": (2, 2, 2)}, "labels")
    with pytest.raises(InputError, match="too large"):
        write_labels(str(tmp_path / "x.nii"), *layer.as_layer_data_tuple()[:2])
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("first", ["labels", "image"])
def test_labels_and_their_scan_are_written_as_a_segmentation_of_it(pair, tmp_path, first):
    mr = pair[0]
    source = mr_source(grid_of(mr))
    mr = make_volume(mr.as_tensor(), mr.affine, modality="MR", source=source)
    image = Layer.create(*image_layer(mr, "mr"))
    drawn = np.zeros(image.data.shape, dtype=np.int32)
    drawn[3, 4, 5] = 2
    # As napari makes labels on the layer that is active: its place, and nothing of its metadata.
    place = {**placement_of(image), "metadata": {SEGMENT_NAMES: {2: "lesion"}}}
    labels = Layer.create(drawn, {"name": "drawn", **place}, "labels")
    layers = [labels.as_layer_data_tuple(), image.as_layer_data_tuple()]
    if first == "image":
        layers.reverse()
    (path,) = write_segmentation_on(str(tmp_path / "seg.dcm"), layers)
    header = pydicom.dcmread(path)
    assert header.PatientID == source.datasets[0].PatientID
    assert header.SegmentSequence[0].SegmentLabel == "lesion"
    (frame,) = header.PerFrameFunctionalGroupsSequence
    (k,) = (n for n, v in enumerate(mr.numpy()[0].T) if (v == image.data[3, 4, 5]).any())
    (named,) = frame.DerivationImageSequence[0].SourceImageSequence
    assert named.ReferencedSOPInstanceUID == source.datasets[k].SOPInstanceUID
    j, i = np.argwhere(header.pixel_array.squeeze() == 1)[0]
    assert mr.numpy()[0, i, j, k] == image.data[3, 4, 5]


def test_labels_alone_become_a_segmentation_of_nobody(tmp_path):
    drawn = np.zeros((3, 4, 5), dtype=np.int32)
    drawn[1, 2, 3] = 1
    labels = Layer.create(drawn, {"scale": (2, 1, 1), "units": "mm"}, "labels")
    (path,) = write_segmentation(str(tmp_path / "a.dcm"), *labels.as_layer_data_tuple()[:2])
    assert pydicom.dcmread(path).PatientName == "Anonymous"


@pytest.mark.parametrize("rgb", [True, False])
def test_a_result_layer_is_written_as_a_dicom_series_on_the_anatomical_grid(pair, tmp_path, rgb):
    mr = pair[0]
    source = mr_source(grid_of(mr))
    mr = make_volume(mr.as_tensor(), mr.affine, modality="MR", source=source)
    shot = snapshot(Layer.create(*image_layer(mr, "mr")))
    values = torch.rand(3 if rgb else 1, *mr.shape[1:], generator=torch.Generator().manual_seed(0))
    values = (values * 255).to(torch.uint8) if rgb else values
    shown = make_volume(values, mr.affine, source=source)
    layer = Layer.create(*on_grid_of(shot, shown, name="result", metadata={GEOMETRY_OF: source}))
    paths = write_dicom(str(tmp_path / "series.dcm"), *layer.as_layer_data_tuple()[:2])
    assert len(paths) == mr.shape[3]
    assert all(Path(path).is_file() for path in paths)
    first = pydicom.dcmread(paths[0])
    assert first.PatientID == source.datasets[0].PatientID
    assert "research use only" in first.SeriesDescription
    again = load_volume(tmp_path / "series")
    # A series is read along the normal of its rows and columns; this one was made against it.
    turned = mr.affine.numpy() @ [
        [1, 0, 0, 0],
        [0, 1, 0, 0],
        [0, 0, -1, len(paths) - 1],
        [0, 0, 0, 1],
    ]
    np.testing.assert_allclose(again.affine, turned, atol=1e-3)
    np.testing.assert_allclose(again, shown.flip(-1), atol=1e-4)
    with pytest.raises(OutputError):
        write_dicom(str(tmp_path / "series.dcm"), *layer.as_layer_data_tuple()[:2])


def test_layers_are_named_by_their_modality_where_that_is_set(nifti, monkeypatch):
    settings = Settings(plain_names=True)
    monkeypatch.setattr("refinefuse_napari._settings.read_settings", lambda: settings)
    ((_, attributes, _),) = read(str(nifti))
    assert attributes["name"] == "PT"


def test_result_folders_are_numbered_on_from_those_that_are_there(tmp_path):
    settings = Settings(output_folder=str(tmp_path))
    (tmp_path / "fused_1").mkdir()
    assert settings.new_folder() == str(tmp_path / "fused_2")
    assert Settings().new_folder() == ""


def test_the_settings_are_those_of_the_manifest():
    assert read_settings() == Settings()
