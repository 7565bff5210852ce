"""What napari is told of the plugin, and at what price."""

from __future__ import annotations

import subprocess
import sys
from importlib import import_module

import pytest

MODEL = (
    *("_aligning", "_bridge", "_compare", "_controller", "_cursor", "_display", "_estimate"),
    *("_fusing", "_opening", "_options", "_outcome", "_pair", "_parts", "_place", "_preview"),
    *("_reader", "_results", "_screenshots", "_settings", "_snapshot", "_swipe", "_values"),
    "_writer",
)

npe2 = pytest.importorskip("npe2")


@pytest.fixture(scope="module")
def manifest():
    return npe2.PluginManifest.from_distribution("refinefuse-med")


def test_the_manifest_is_valid_and_every_command_is_there(manifest):
    assert manifest.name == "refinefuse-med"
    manifest.validate_imports()


def test_reader_writer_panel_and_samples_are_offered(manifest):
    offered = manifest.contributions
    assert [widget.display_name for widget in offered.widgets] == ["RefineFuse"]
    assert {"*.nii", "*.nii.gz", "*.dcm", "*.zip"} <= set(offered.readers[0].filename_patterns)
    assert offered.readers[0].accepts_directories
    written = {(w.layer_types[0], e) for w in offered.writers for e in w.filename_extensions}
    assert {("image", ".nii.gz"), ("labels", ".nii.gz"), ("image", ".dcm")} <= written
    assert set(offered.menus) == {"napari/layers/register", "napari/layers/visualize"}
    assert set(offered.configurations) == {"fusion", "privacy"}
    assert [sample.display_name for sample in offered.sample_data] == [
        "Brain MR + PET",
        "Brain MR + CT",
        "Brain MR + SPECT",
    ]


def test_reading_is_decided_without_loading_torch_or_qt():
    code = (
        "import sys, refinefuse_napari._reader, refinefuse_napari._sample, "
        "refinefuse_napari._writer, refinefuse_napari._controller\n"
        "heavy = {'torch', 'monai', 'qtpy', 'napari'} & set(sys.modules)\n"
        "sys.exit(f'loaded: {heavy}' if heavy else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("module", MODEL)
def test_the_model_of_the_panel_knows_no_qt(module):
    source = import_module(f"refinefuse_napari.{module}").__loader__.get_source(
        f"refinefuse_napari.{module}"
    )
    assert "qtpy" not in source
    assert "napari.qt" not in source
