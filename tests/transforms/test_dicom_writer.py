"""DICOM by MONAI's own ``SaveImage``."""

import numpy as np
import pytest
import torch
from monai.data import MetaTensor, resolve_writer
from monai.transforms import SaveImage, Spacing
from pydicom import dcmread

from refinefuse_med.io import load_volume
from refinefuse_med.sample import make_sample
from refinefuse_med.transforms import ColourFunctional, CoRegister, DicomWriter
from refinefuse_med.volume import grid_of, like, source_of, with_frame_of_reference


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    folder = tmp_path_factory.mktemp("study")
    make_sample(folder, dicom=True)
    return load_volume(folder / "MR")


@pytest.fixture
def picture(study):
    return ColourFunctional("hot_iron")(study)


def test_dicom_is_ours_and_nifti_stays_monais():
    assert resolve_writer(".dcm") == (DicomWriter,)
    assert "NibabelWriter" in [writer.__name__ for writer in resolve_writer(".nii.gz")]


def test_save_image_writes_the_patient_and_the_place(study, picture, tmp_path):
    SaveImage(tmp_path, output_ext=".dcm", separate_folder=False, print_log=False)(picture)
    (folder,) = (path for path in tmp_path.iterdir() if path.is_dir())
    files = sorted(folder.glob("*.dcm"))
    assert len(files) == picture.shape[-1]
    slices = [dcmread(path) for path in files]
    header = source_of(study).datasets[0]
    assert slices[0].PatientID == header.PatientID
    assert slices[0].StudyInstanceUID == header.StudyInstanceUID
    assert slices[0].FrameOfReferenceUID == header.FrameOfReferenceUID
    for k in (0, 40):
        assert np.array_equal(slices[k].pixel_array, picture[..., k].permute(2, 1, 0).numpy())
        place = grid_of(study).affine_lps @ (0, 0, k, 1)
        np.testing.assert_allclose(slices[k].ImagePositionPatient, place[:3], atol=1e-4)


def test_a_picture_goes_back_to_the_grid_it_was_loaded_on(study, picture, tmp_path):
    picture.meta["original_affine"] = picture.affine.clone()
    picture.meta["spatial_shape"] = np.array(picture.shape[1:])
    coarse = Spacing((3.0, 3.0, 4.0), dtype=torch.float32)(picture)
    coarse = MetaTensor(coarse.as_tensor().round().to(torch.uint8), meta=coarse.meta)
    save = SaveImage(tmp_path, output_ext=".dcm", resample=True, print_log=False)
    save(coarse, filename=tmp_path / "back")
    back, grid = sorted((tmp_path / "back").glob("*.dcm")), grid_of(study)
    assert len(back) == grid.shape[2]
    last = dcmread(back[-1])
    assert (last.Columns, last.Rows) == grid.shape[:2]
    place = grid.affine_lps @ (0, 0, grid.shape[2] - 1, 1)
    np.testing.assert_allclose(last.ImagePositionPatient, place[:3], atol=1e-3)
    apart = last.pixel_array.astype(int) - picture[..., -1].permute(2, 1, 0).numpy()
    assert np.abs(apart).mean() < 12


def test_what_was_registered_is_written_in_the_frame_of_reference_of_fixed(study, tmp_path):
    fixed = with_frame_of_reference(like(study, study.as_tensor()), "1.2.3")
    moved = CoRegister("none")(fixed, study).registered
    SaveImage(tmp_path, output_ext=".dcm", separate_folder=False, print_log=False)(
        ColourFunctional("hot_iron")(moved)
    )
    header = dcmread(next(tmp_path.rglob("*.dcm")), stop_before_pixels=True)
    assert header.FrameOfReferenceUID == "1.2.3"
    assert header.StudyInstanceUID == source_of(study).datasets[0].StudyInstanceUID


def test_an_existing_series_is_kept_unless_told_otherwise(picture, tmp_path):
    save = SaveImage(tmp_path, output_ext=".dcm", print_log=False)
    save(picture, filename=tmp_path / "a")
    before = (tmp_path / "a" / "0001.dcm").read_bytes()
    with pytest.raises(RuntimeError, match="already exists"):
        save(picture, filename=tmp_path / "a")
    assert (tmp_path / "a" / "0001.dcm").read_bytes() == before
    save.set_options(init_kwargs={"if_exists": "overwrite"})(picture, filename=tmp_path / "a")
    assert (tmp_path / "a" / "0001.dcm").read_bytes() != before


@pytest.mark.parametrize("spoil", [lambda v: like(v, v * 3 - 7), lambda v: v.as_tensor()])
def test_what_is_no_picture_with_a_place_is_refused_and_nothing_is_left(study, tmp_path, spoil):
    with pytest.raises(RuntimeError, match=r"values outside \[0, 1\]|no affine"):
        SaveImage(tmp_path, output_ext=".dcm", print_log=False)(
            spoil(study), filename=tmp_path / "a"
        )
    assert list(tmp_path.iterdir()) == []
