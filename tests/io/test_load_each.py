"""Loading a study in one go: the best series of each modality."""

from __future__ import annotations

import zipfile

import numpy as np
import pytest

from refinefuse_med.errors import CancelledError, InputError
from refinefuse_med.io import load_each_modality, load_volume, write_nifti
from refinefuse_med.progress import Monitor
from refinefuse_med.sample.dicom_study import write_study
from refinefuse_med.volume import make_volume, modality_of


@pytest.fixture(scope="module")
def study(head_pair, tmp_path_factory):
    out = tmp_path_factory.mktemp("study")
    mr, pt = head_pair
    write_study({"mr": mr.clip(0), "pet": pt.clip(0)}, out, seed=0, patient_id="nobody")
    return out


@pytest.fixture
def write(tmp_path):
    def write(name, modality):
        volume = make_volume(np.random.default_rng(0).random((4, 5, 6)), np.eye(4))
        volume.meta["modality"] = modality
        write_nifti(volume, tmp_path / f"{name}.nii.gz")

    return write


def test_each_is_what_is_loaded_for_its_modality(study):
    volumes = load_each_modality(study)
    assert [modality_of(volume) for volume in volumes] == ["MR", "PT"]
    for volume in volumes:
        alone = load_volume(study, modality=modality_of(volume))
        assert (volume.as_tensor() == alone.as_tensor()).all()
        assert (volume.affine == alone.affine).all()
        assert volume.meta["source"].warnings == alone.meta["source"].warnings


def test_a_zip_is_unpacked_once(study, tmp_path):
    path = tmp_path / "study.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for file in study.rglob("*.dcm"):
            archive.write(file, file.relative_to(study))
    stages = []
    volumes = load_each_modality(path, monitor=Monitor(lambda stage, _: stages.append(stage)))
    assert [modality_of(volume) for volume in volumes] == ["MR", "PT"]
    assert stages.count("unpacking") == len(list(study.rglob("*.dcm")))
    assert volumes[0].meta["source"].path == str(path)


def test_one_file_is_one_volume(study):
    (volume,) = load_each_modality(next((study / "PT").iterdir()))
    assert modality_of(volume) == "PT"


def test_nifti_files_of_different_modalities_are_a_study(write, tmp_path):
    write("t1", "MR")
    write("fdg", "PT")
    assert {modality_of(v) for v in load_each_modality(tmp_path)} == {"MR", "PT"}
    write("t2", "MR")
    with pytest.raises(InputError, match="several of one modality"):
        load_each_modality(tmp_path)


@pytest.mark.parametrize("stage", ["reading headers", "reading"])
def test_reading_stops_on_request(study, stage):
    at = []
    monitor = Monitor(lambda stage, _: at.append(stage), lambda: stage in at)
    with pytest.raises(CancelledError):
        load_each_modality(study, monitor=monitor)
    assert at[-1] == stage
    assert at.count(stage) == 1


def test_reading_nifti_stops_on_request(write, tmp_path):
    write("t1", "MR")
    with pytest.raises(CancelledError):
        load_volume(tmp_path / "t1.nii.gz", monitor=Monitor(is_cancelled=lambda: True))
