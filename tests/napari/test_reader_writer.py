"""Files to layers and back."""

from __future__ import annotations

import nibabel as nib
import numpy as np
import pytest

pytest.importorskip("napari")

from napari.layers import Layer
from pydicom.data import get_testdata_file

from refinefuse_med.errors import InputError
from refinefuse_med.io import write_nifti as write_volume
from refinefuse_med.volume import make_volume
from refinefuse_napari._bridge import METADATA
from refinefuse_napari._reader import get_reader, read
from refinefuse_napari._writer import write_nifti

pytestmark = pytest.mark.filterwarnings("ignore:Non-orthogonal slicing")


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


def test_a_single_slice_is_refused_in_one_line():
    with pytest.raises(InputError) as caught:
        read(get_testdata_file("CT_small.dcm"))
    assert "\n" not in str(caught.value)


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
