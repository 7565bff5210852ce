"""An export from the panel that tells nobody who the patient is."""

from __future__ import annotations

import json

import pytest

pytest.importorskip("napari")

from napari.layers import Layer

from refinefuse_med.config import FusionConfig, OutputConfig
from refinefuse_napari._fusing import Models, export, fuse
from refinefuse_napari._outcome import RECORD, Request
from refinefuse_napari._reader import layers_of
from refinefuse_napari._settings import Settings, read_settings
from refinefuse_napari._snapshot import snapshot
from tests.personal import everything_in, personal_values, write_personal_study


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    return write_personal_study(tmp_path_factory.mktemp("in"))


@pytest.fixture(scope="module")
def fusion(study):
    """Of layers that were read as the panel reads them."""
    layers = [layers_of(study / name, plain=False)[0][0] for name in ("mr", "pet")]
    assert "Blasebalg" in layers[0][1]["name"]
    config = FusionConfig.model_validate({"registration": {"method": "header", "force": True}})
    shots = [snapshot(Layer.create(*layer)) for layer in layers]
    return fuse(Request(*shots, config), None, Models())


def test_no_personal_value_is_in_any_byte_or_name_of_what_is_exported(study, fusion, tmp_path):
    config = OutputConfig(
        formats=("nifti", "dicom"), preview=True, report=True, deidentify=True, key=tmp_path / "key"
    )
    export(fusion.fusion, tmp_path / "out", config)
    places = everything_in(tmp_path / "out")
    assert len(places) > 20
    for value in personal_values(study):
        assert [place for place, data in places.items() if value.encode() in data] == [], value


def test_the_layers_keep_what_the_export_leaves_out(fusion, tmp_path):
    record = fusion.layer[1]["metadata"][RECORD]
    before = json.dumps(record)
    cleaned = OutputConfig(formats=("nifti",), deidentify=True, key=tmp_path / "key")
    for name in ("a", "b"):
        export(fusion.fusion, tmp_path / name, cleaned)
        said = json.loads((tmp_path / name / "result.json").read_text())["warnings"]
        assert len([text for text in said if "shows the face" in text]) == 1
    assert json.dumps(record) == before
    export(fusion.fusion, tmp_path / "c", OutputConfig(formats=("nifti",)))
    series = json.loads((tmp_path / "c" / "result.json").read_text())["inputs"]["anatomical"]
    assert series == record["inputs"]["anatomical"]


def test_the_box_is_remembered_and_the_key_is_that_of_the_settings(panel, monkeypatch, tmp_path):
    box = panel.export.deidentify
    assert not box.isChecked()
    box.click()
    assert read_settings().deidentify
    box.click()
    assert not read_settings().deidentify
    assert "face" in box.toolTip()
    assert Settings().key is None
    assert Settings(key_file=str(tmp_path / "key")).key == tmp_path / "key"


def test_the_panel_exports_as_the_box_says(panel, press, tmp_path):
    press(panel.fuse.fuse)
    panel.export.deidentify.setChecked(True)
    panel.export.folder.setText(str(tmp_path / "out"))
    panel.export._key = tmp_path / "key"
    press(panel.export.export)
    said = json.loads((tmp_path / "out" / "result.json").read_text())["warnings"]
    assert any("shows the face" in text for text in said)
    assert (tmp_path / "key").is_file()
