"""The record as JSON and as a page."""

from __future__ import annotations

import json
import re

import pytest

from refinefuse_med.io.record import write_json
from refinefuse_med.io.report import write_report

INPUT = {"modality": "MR", "shape": [4, 5, 6], "spacing_mm": [1.0, 1.0, 2.5], "units": None}
RECORD = {
    "schema": 1,
    "version": "0.1.0",
    "inputs": {"anatomical": INPUT, "functional": {**INPUT, "modality": "PT", "units": "SUVbw"}},
    "registration": {
        "method": "rigid",
        "verdict": "suspect",
        "quality": {"spread_mm": 1.8472},
        "matrix_fixed_to_moving_lps": [[1.0, 0, 0, 3], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]],
        "seconds": 4.2,
    },
    "fusion": {"plane": "axial", "device": "cpu"},
    "metrics": {},
    "outputs": ["fused.nii.gz"],
    "warnings": ["<script>alert('&')</script>"],
}
# One transparent pixel would do; the page does not look inside.
PICTURE = b"\x89PNG picture"


@pytest.fixture
def page(tmp_path) -> str:
    (tmp_path / "preview.png").write_bytes(PICTURE)
    path = write_report(
        tmp_path / "report.html", RECORD, {"three planes": tmp_path / "preview.png"}
    )
    return path.read_text(encoding="utf-8")


def test_page_shows_the_record(page):
    for text in ("suspect", "rigid", "1.847", "4 × 5 × 6", "SUVbw", "fused.nii.gz", "3.000000"):
        assert text in page
    assert "not for diagnosis" in page


def test_page_needs_nothing_else(page):
    assert "data:image/png;base64," in page
    assert 'alt="three planes"' in page
    assert re.findall(r"""(?:src|href)=["'](?!data:)""", page) == []
    assert "http" not in page


def test_texts_are_escaped(page):
    assert "<script" not in page
    assert "&lt;script&gt;" in page


def test_page_of_an_unregistered_record_without_picture(tmp_path):
    record = {"inputs": {"anatomical": INPUT}, "fusion": {"plane": "axial"}, "warnings": []}
    page = write_report(tmp_path / "report.html", record).read_text(encoding="utf-8")
    assert "<img" not in page
    assert "Registration" not in page
    assert "Warnings" not in page


def test_json_keeps_order_and_content(tmp_path):
    path = write_json(RECORD, tmp_path / "result.json")
    assert json.loads(path.read_text(encoding="utf-8")) == RECORD
    assert list(json.loads(path.read_text(encoding="utf-8"))) == list(RECORD)
    assert [p.name for p in tmp_path.iterdir()] == ["result.json"]


def test_json_refuses_what_json_does_not_have(tmp_path):
    with pytest.raises(ValueError, match="JSON"):
        write_json({"a": float("nan")}, tmp_path / "result.json")
    assert list(tmp_path.iterdir()) == []
