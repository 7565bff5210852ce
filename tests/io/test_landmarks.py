"""Landmarks as 3D Slicer and spreadsheets write them."""

from __future__ import annotations

import json

import numpy as np
import pytest

from refinefuse_med.errors import InputError
from refinefuse_med.io.landmarks import Landmarks, pair_landmarks, read_landmarks

LPS = np.array([[-19.5, 13.25, 29.0], [-7.0, -76.5, 17.5], [81.0, -42.0, 9.5]])
RAS = LPS * (-1, -1, 1)
LABELS = ("nasion", "left ear", "right ear")


def _fcsv(points, system):
    rows = [
        f"{n},{x},{y},{z},0,0,0,1,1,1,0,{label},,"
        for n, ((x, y, z), label) in enumerate(zip(points, LABELS, strict=True))
    ]
    columns = "id,x,y,z,ow,ox,oy,oz,vis,sel,lock,label,desc,associatedNodeID"
    head = f"# Markups fiducial file version = 4.13\n{system}# columns = {columns}\n"
    return head + "\n".join(rows) + "\n"


def _csv(points, columns, head=""):
    rows = [
        f"{label},{x},{y},{z}" for label, (x, y, z) in zip(LABELS, points.tolist(), strict=True)
    ]
    return f"{head}label,{columns}\n" + "\n".join(rows) + "\n"


def _markups(points, system):
    listed = [
        {"label": label, "position": list(point), "positionStatus": "defined"}
        for label, point in zip(LABELS, points.tolist(), strict=True)
    ]
    listed.append({"label": "later", "position": [0, 0, 0], "positionStatus": "undefined"})
    return json.dumps(
        {"markups": [{"type": "Fiducial", "coordinateSystem": system, "controlPoints": listed}]}
    )


FILES = {
    "lps.fcsv": _fcsv(LPS, "# CoordinateSystem = LPS\n"),
    "ras.fcsv": _fcsv(RAS, "# CoordinateSystem = RAS\n"),
    "old.fcsv": _fcsv(RAS, "# CoordinateSystem = 0\n"),
    "lps.mrk.json": _markups(LPS, "LPS"),
    "ras.mrk.json": _markups(RAS, "RAS"),
    "lps.csv": _csv(LPS, "l,p,s"),
    "ras.csv": _csv(RAS, "R,A,S"),
    "xyz.csv": _csv(RAS, "x,y,z", "# CoordinateSystem = RAS\n"),
    "bom.csv": "\ufeff" + _csv(LPS, "x,y,z", "# CoordinateSystem = LPS\n"),
}


@pytest.mark.parametrize("name", FILES)
def test_every_kind_of_file_gives_the_same_places(name, tmp_path):
    (tmp_path / name).write_text(FILES[name], encoding="utf-8")
    read = read_landmarks(tmp_path / name)
    np.testing.assert_allclose(read.points_lps, LPS)
    assert read.labels == LABELS


def test_a_point_that_was_not_placed_is_left_out(tmp_path):
    text = "label,r,a,s,defined\na,1,2,3,1\nb,0,0,0,0\n"
    (tmp_path / "t.csv").write_text(text)
    assert read_landmarks(tmp_path / "t.csv").labels == ("a",)


BAD = {
    "convention.csv": (_csv(LPS, "x,y,z"), "LPS or RAS"),
    "ijk.fcsv": (_fcsv(LPS, "# CoordinateSystem = 2\n"), "LPS or RAS"),
    "columns.csv": ("label,u,v,w\na,1,2,3\n", "no columns"),
    "text.csv": ("label,l,p,s\na,1,two,3\n", "landmark 1"),
    "short.csv": ("label,l,p,s\na,1,2,3\nb,1\n", "landmark 2"),
    "empty.csv": ("label,l,p,s\n", "no landmarks"),
    "nothing.csv": ("", "no columns"),
    "nan.csv": ("l,p,s\n1,2,nan\n", "finite"),
    "broken.json": ("{", "markups"),
    "other.json": ('{"a": 1}', "markups"),
}


@pytest.mark.parametrize("name", BAD)
def test_what_cannot_be_understood_is_refused_by_name(name, tmp_path):
    text, says = BAD[name]
    (tmp_path / name).write_text(text)
    with pytest.raises(InputError, match=says) as caught:
        read_landmarks(tmp_path / name)
    assert name in str(caught.value)


def test_a_missing_file_is_told(tmp_path):
    with pytest.raises(InputError, match="no such file"):
        read_landmarks(tmp_path / "gone.csv")


def test_names_go_before_order():
    turned = Landmarks(LABELS[::-1], LPS[::-1])
    pairs = pair_landmarks(Landmarks(LABELS, LPS), turned)
    np.testing.assert_allclose(pairs.fixed_lps, pairs.moving_lps)
    assert pairs.warnings == ()


def test_what_has_no_partner_is_left_out_and_said():
    more = Landmarks((*LABELS, "extra"), np.vstack([LPS, [0, 0, 0]]))
    pairs = pair_landmarks(Landmarks(LABELS, LPS), more)
    np.testing.assert_allclose(pairs.fixed_lps, pairs.moving_lps)
    assert "1 landmarks have no partner" in pairs.warnings[0]


def test_order_counts_where_names_do_not_match_and_is_said():
    other = Landmarks(("F-1", "F-2", "F-3"), LPS)
    pairs = pair_landmarks(Landmarks(LABELS, LPS), other)
    np.testing.assert_allclose(pairs.fixed_lps, pairs.moving_lps)
    assert "order" in pairs.warnings[0]
    with pytest.raises(InputError, match="do not match"):
        pair_landmarks(Landmarks(LABELS, LPS), Landmarks(("a", "b"), LPS[:2]))
