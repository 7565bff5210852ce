"""Real scans of several makers, read as SimpleITK reads them; skipped where they are absent."""

from __future__ import annotations

import warnings
import zipfile
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk
from pydicom import dcmread
from scipy.ndimage import map_coordinates

from refinefuse_med.errors import InputError, RefineFuseError
from refinefuse_med.io import inspect_path, load_volume
from refinefuse_med.volume import Keys, affine_lps, affine_ras, from_sitk, grid_of, source_of


@pytest.fixture(scope="module")
def unzipped(shared_data, tmp_path_factory):
    root = tmp_path_factory.mktemp("real")
    for name in ("thigh_pet_ct_mr", "dicom_cases"):
        with zipfile.ZipFile(shared_data / "dicom" / f"{name}.zip") as file:
            file.extractall(root / name)
    return root


def by_simpleitk(volume, folder: Path):
    """The same series by SimpleITK, the files in our order."""
    names = {str(sitk_uid(path)): str(path) for path in sorted(folder.iterdir()) if path.is_file()}
    order = [names[h.SOPInstanceUID] for h in source_of(volume).datasets]
    return from_sitk(sitk.Cast(sitk.ReadImage(order), sitk.sitkFloat32))


def sitk_uid(path: Path) -> str:
    reader = sitk.ImageFileReader()
    reader.SetFileName(str(path))
    reader.ReadImageInformation()
    return reader.GetMetaData("0008|0018").rstrip("\0 ")


@pytest.mark.parametrize(
    ("folder", "slices"),
    [
        ("thigh_pet_ct_mr/thigh_study/MR_T1", 30),
        ("thigh_pet_ct_mr/thigh_study/CT", 12),
        ("dicom_cases/vendors/ge/anatomical/001", 4),
        ("dicom_cases/vendors/philips/anatomical/001_implicit", 4),
        ("dicom_cases/vendors/hitachi/anatomical/001", 4),
        ("dicom_cases/vendors/failing/slicecount/001", 2),
        ("dicom_cases/vendors/generic/anatomical/002_non_isotropic", 4),
    ],
)
def test_geometry_and_values_are_those_of_simpleitk(unzipped, folder, slices):
    volume = load_volume(unzipped / folder)
    other = by_simpleitk(volume, unzipped / folder)
    assert volume.shape == other.shape
    assert volume.shape[-1] == slices
    assert grid_of(volume).same_as(grid_of(other), tolerance_mm=1e-2)
    np.testing.assert_allclose(volume.numpy(), other.numpy(), rtol=1e-5, atol=1e-3)


def test_pet_is_that_of_simpleitk_times_one_factor(unzipped):
    folder = unzipped / "thigh_pet_ct_mr" / "thigh_study" / "PET"
    volume = load_volume(folder)
    other = by_simpleitk(volume, folder)
    assert volume.meta[Keys.UNITS] == "SUVbw"
    assert volume.shape == (1, 128, 128, 74)
    assert grid_of(volume).same_as(grid_of(other), tolerance_mm=1e-2)
    header = source_of(volume).datasets[0]
    agent = header.RadiopharmaceuticalInformationSequence[0]
    start = agent.RadiopharmaceuticalStartTime
    seconds = [int(t[:2]) * 3600 + int(t[2:4]) * 60 + float(t[4:]) for t in
               (header.SeriesTime, start)]  # fmt: skip
    decay = 2 ** (-(seconds[0] - seconds[1]) / float(agent.RadionuclideHalfLife))
    factor = float(header.PatientWeight) * 1000 / (float(agent.RadionuclideTotalDose) * decay)
    np.testing.assert_allclose(volume.numpy(), other.numpy() * factor, rtol=1e-4, atol=1e-5)


def test_the_enhanced_philips_frames_are_in_place(unzipped):
    path = next((unzipped / "dicom_cases/vendors/philips_enhanced").rglob("*.dcm"))
    volume = load_volume(path)
    header = source_of(volume).datasets[0]
    for group in header.PerFrameFunctionalGroupsSequence:
        place = np.append(group.PlanePositionSequence[0].ImagePositionPatient, 1.0).astype(float)
        index = np.linalg.solve(affine_lps(volume), place)
        np.testing.assert_allclose(index[:3], [0, 0, round(index[2])], atol=1e-3)


def test_four_encodings_of_one_series_read_alike(unzipped):
    root = unzipped / "dicom_cases" / "vendors" / "generic"
    volumes = [
        load_volume(root / f"compressed_{codec}" / "001")
        for codec in ("rle", "jpeg", "jpegls", "j2k")
    ]
    for other in volumes[1:]:
        np.testing.assert_array_equal(volumes[0].numpy(), other.numpy())
        np.testing.assert_array_equal(affine_ras(volumes[0]), affine_ras(other))


def test_transfer_syntaxes_read_alike_or_say_which_is_not_supported(unzipped):
    folder = unzipped / "dicom_cases" / "transfer_syntaxes"
    whole = load_volume_alone(folder / "CTImage.dcm")
    for path in sorted(folder.iterdir()):
        if "Process10_12" in path.name:
            with pytest.raises(InputError, match="no decoder is known"):
                load_volume_alone(path)
        elif "Process2_4" in path.name:
            with pytest.raises(InputError, match=r"gpl-codecs"):
                load_volume_alone(path)
        else:
            np.testing.assert_array_equal(load_volume_alone(path).numpy(), whole.numpy())


def load_volume_alone(path: Path):
    """Read a slice that lies among other versions of itself, in a folder of its own."""
    import tempfile

    with tempfile.TemporaryDirectory() as name:
        (Path(name) / "slice.dcm").write_bytes(path.read_bytes())
        return load_volume(name)


def test_awkward_files_are_all_accounted_for(unzipped):
    root = unzipped / "dicom_cases"
    found = inspect_path(root)
    files = sum(path.is_file() for path in root.rglob("*"))
    assert sum(entry.files for entry in found.series) + len(found.skipped) == files
    for entry in found.series:
        assert entry.usable or entry.reason
        if entry.usable:
            volume = load_volume(root / entry.path, series_uid=entry.series_instance_uid)
            assert volume.shape[1:] == entry.shape
        else:
            assert "\n" not in entry.reason


def test_of_a_study_the_role_decides(unzipped):
    study = unzipped / "thigh_pet_ct_mr"
    anatomical = load_volume(study, role="anatomical")
    functional = load_volume(study, role="functional")
    assert anatomical.meta[Keys.MODALITY] == "MR"
    assert functional.meta[Keys.MODALITY] == "PT"
    with pytest.raises(RefineFuseError):
        load_volume(study, modality="NM")


def test_a_sheared_nifti_is_read_upright(shared_data):
    """Interpolated at the places of its own voxels, it gives back what the file holds."""
    path = shared_data / "volumes" / "sheared_affine_ct.nii.gz"
    (entry,) = inspect_path(path).series
    assert entry.usable
    volume = load_volume(path)
    assert grid_of(volume).is_orthogonal()
    stored = nib.load(path)
    index = np.stack(np.mgrid[40:260:20, 40:380:20, 5:50:9], axis=-1).reshape(-1, 3)
    places = index @ stored.affine[:3, :3].T + stored.affine[:3, 3]
    inverse = np.linalg.inv(affine_ras(volume))
    found = map_coordinates(
        volume.numpy()[0], (places @ inverse[:3, :3].T + inverse[:3, 3]).T, order=1
    )
    wanted = stored.get_fdata()[tuple(index.T)]
    assert np.corrcoef(found, wanted)[0, 1] > 0.99


def test_mosaics_are_unpacked_as_nibabel_unpacks_them(unzipped):
    folder = unzipped / "dicom_cases/mr_misc/siemens_12bit_mosaic"
    for path in sorted(folder.iterdir()):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # nibabel calls its own readers experimental
            from nibabel.nicom.dicomwrappers import wrapper_from_file

            other = wrapper_from_file(path)
            values, other_affine = other.get_data(), other.affine
        volume = load_volume_alone(path)
        assert volume.shape == (1, 64, 64, 35)
        # nibabel runs along rows first, columns second.
        np.testing.assert_array_equal(volume.numpy()[0], values.transpose(1, 0, 2))
        np.testing.assert_allclose(affine_lps(volume), other_affine[:, [1, 0, 2, 3]], atol=1e-3)
    with pytest.raises(InputError, match="SOPInstanceUID of another file"):
        load_volume(folder)  # three encodings of one scan that claim to be one image


CASES = {
    # what is refused must say so in these words
    "enhanced/emri_small": "a multi-frame object without positions of its frames",
    "mr_misc": "has the SOPInstanceUID of another file, but other content",
    "nm_multiframe/NM1": "secondary capture: a picture, not a scan",
    "no_preamble_and_bigendian/MR_truncated": "truncated: 8130 of 8192 bytes",
    "no_preamble_and_bigendian/ExplVR_BigEnd": "modality US",
    "no_preamble_and_bigendian/image_dfl": "secondary capture: a picture, not a scan",
    "no_preamble_and_bigendian/CT_Implicit_Little_Headless": "no PhotometricInterpretation",
    "no_preamble_and_bigendian/no_meta": "not a DICOM file, although named like one",
    "transfer_syntaxes/CTImage.dcm_JPEGProcess10_12": "no decoder is known",
    "transfer_syntaxes/CTImage.dcm_JPEGProcess2_4": "gpl-codecs",
}


def test_every_file_of_its_own_is_read_as_pydicom_reads_it_or_says_why_not(unzipped):
    """By pydicom's own decoding and rescale, in the place that the header says."""
    root = unzipped / "dicom_cases"
    read = refused = 0
    alone = [p for p in root.rglob("*") if p.is_file() and p.name != "README.md"]
    for path in sorted(
        p for p in alone if "vendors" not in p.parts or "frame" in str(p) or "enhanced" in str(p)
    ):
        name = path.relative_to(root).as_posix()
        expected = next((words for start, words in CASES.items() if name.startswith(start)), None)
        if expected is not None and not name.startswith("mr_misc"):
            with pytest.raises(RefineFuseError) as caught:
                load_volume_alone(path)
            assert expected in str(caught.value), name
            refused += 1
            continue
        volume = load_volume_alone(path)
        read += 1
        if name.startswith("mr_misc"):
            continue  # compared with nibabel above
        dataset = dcmread(path, force=True)
        pixels = np.atleast_3d(dataset.pixel_array.T).astype(np.float32)
        if "PerFrameFunctionalGroupsSequence" in dataset:
            places = [
                np.array(g.PlanePositionSequence[0].ImagePositionPatient, float)
                for g in dataset.PerFrameFunctionalGroupsSequence
            ]
            along = np.linalg.inv(affine_lps(volume)) @ np.vstack(
                [np.array(places).T, [1] * len(places)]
            )
            pixels = pixels[..., np.argsort(along[2])]
            transform = dataset.PerFrameFunctionalGroupsSequence[0].get(
                "PixelValueTransformationSequence", [dataset]
            )[0]
        else:
            transform = dataset
        slope = float(transform.get("RescaleSlope", 1))
        pixels = pixels * slope + float(transform.get("RescaleIntercept", 0))
        np.testing.assert_allclose(volume.numpy()[0], pixels, rtol=1e-6, atol=1e-4, err_msg=name)
    assert (read, refused) == (19, 17)


def test_twins_of_one_image_in_other_encodings_read_alike(unzipped):
    folder = unzipped / "dicom_cases" / "no_preamble_and_bigendian"
    first, *others = (
        load_volume_alone(folder / f"MR_small{kind}.dcm")
        for kind in ("", "_bigendian", "_implicit")
    )
    for other in others:
        np.testing.assert_array_equal(first.numpy(), other.numpy())
        np.testing.assert_array_equal(affine_ras(first), affine_ras(other))


def test_colour_pictures_keep_their_colours(unzipped):
    volume = load_volume(unzipped / "dicom_cases/vendors/generic/rgb/001")
    paths = sorted((unzipped / "dicom_cases/vendors/generic/rgb/001").iterdir())
    datasets = sorted((dcmread(p) for p in paths), key=lambda ds: ds.ImagePositionPatient[2])
    wanted = np.stack([ds.pixel_array.transpose(2, 1, 0) for ds in datasets], axis=-1)
    np.testing.assert_array_equal(volume.numpy(), wanted)
    assert "the colours are kept" in " ".join(source_of(volume).warnings)
