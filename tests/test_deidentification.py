"""Nothing that is written, said or named tells who the patient is."""

from __future__ import annotations

import json
import re

import pydicom
import pytest
from pydicom.dataset import Dataset

from refinefuse_med.cli.main import main
from refinefuse_med.io.deidentify import Deidentifier
from refinefuse_med.pseudonyms import Pseudonyms
from refinefuse_med.volume import SourceHeader
from tests.personal import everything_in, personal_values, write_personal_study

KEY = Pseudonyms(bytes(32))


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    return write_personal_study(tmp_path_factory.mktemp("in"))


def _fuse(study, out, capfd, *options):
    arguments = ["fuse", study / "mr", study / "pet", "-o", out, "--deidentify", *options]
    with pytest.raises(SystemExit) as ended:
        main([str(argument) for argument in arguments])
    printed = capfd.readouterr()
    assert ended.value.code == 0, printed.err
    return printed


EVERYTHING = (
    "--format", "nifti,dicom,mha,nrrd", "--preview", "--report", "--contribution", "--colour-bar",
    "--json", "-v",
)  # fmt: skip


@pytest.mark.parametrize("more", [(), ("--multiframe", "--quantitative")], ids=["slices", "maps"])
def test_no_personal_value_is_in_any_byte_name_or_line(study, tmp_path, capfd, more):
    out = tmp_path / "out"
    printed = _fuse(study, out, capfd, *EVERYTHING, *more)
    # What was given on the command line is the user's own.
    said = printed.out + printed.err.replace(str(study), "")
    places = {"stdout, stderr": said.encode(), **everything_in(out)}
    assert len(places) > 20
    for value in personal_values(study):
        found = [place for place, data in places.items() if value.encode() in data]
        assert found == [], value


def test_objects_tell_what_was_done_and_stay_valid(study, tmp_path, capfd):
    out = tmp_path / "out"
    _fuse(study, out, capfd, "--format", "dicom")
    for path in (out / "dicom").rglob("*.dcm"):
        header = pydicom.dcmread(path)
        assert header.PatientIdentityRemoved == "YES"
        assert header.DeidentificationMethod[0] == "DICOM PS3.15 basic profile, headers only"
        assert [c.CodeValue for c in header.DeidentificationMethodCodeSequence] == [
            "113100",
            "113105",
        ]
        assert header.LongitudinalTemporalInformationModified == "REMOVED"
        assert not header.StudyDate
        assert not header.PatientBirthDate
        assert not [element for element in header.iterall() if element.tag.is_private]
    warnings = json.loads((out / "result.json").read_text())["warnings"]
    assert any("shows the face" in warning for warning in warnings)


def test_the_window_of_the_blending_stays_that_of_the_files(study, tmp_path, capfd):
    _fuse(study, tmp_path / "a", capfd, "--format", "dicom", "--functional-window", "0,8",
          "--register", "header")  # fmt: skip
    state = pydicom.dcmread(tmp_path / "a" / "dicom" / "blending.dcm")
    (voi,) = state.AdvancedBlendingSequence[1].SoftcopyVOILUTSequence
    # 70 kg and 200 MBq of F-18, decayed for an hour: what 8 SUV are in Bq/ml.
    expected = 8 * 2e8 * 2 ** (-3600 / 6586.2) / 70000
    assert float(voi.WindowWidth) == pytest.approx(expected, rel=1e-5)


def test_one_key_maps_alike_and_another_does_not(study, tmp_path, capfd):
    found = {}
    for name, key in (("a", 1), ("b", 1), ("c", 2)):
        path = tmp_path / f"{name}.key"
        path.write_text(bytes([key] * 32).hex())
        _fuse(study, tmp_path / name, capfd, "--format", "dicom", "--key", path,
              "--deterministic-uids")  # fmt: skip
        headers = [pydicom.dcmread(p) for p in (tmp_path / name / "dicom").rglob("*.dcm")]
        found[name] = {
            (h.PatientID, h.StudyInstanceUID, h.FrameOfReferenceUID, h.SOPInstanceUID)
            for h in headers
        }
        assert len({row[:3] for row in found[name]}) == 1
        first = headers[0]
        assert first.StudyInstanceUID.startswith("2.25.")
    assert found["a"] == found["b"]
    assert found["a"].isdisjoint(found["c"])


def test_uids_of_the_standard_stand_for_themselves():
    deidentifier = Deidentifier(KEY, [])
    assert deidentifier.uid("1.2.840.10008.5.1.4.1.1.2") == "1.2.840.10008.5.1.4.1.1.2"
    other = deidentifier.uid("1.2.3")
    assert re.fullmatch(r"2\.25\.\d{30,39}", other)
    assert len(other) <= 64


def test_what_measures_depend_on_is_kept():
    header = Dataset()
    header.PatientID = "P1"
    header.Modality = "PT"
    header.BodyPartExamined = "BRAIN"
    header.StudyDescription = "BRAIN"
    header.Units = "GML"
    header.SeriesDate = "20200101"
    header.SOPClassUID = "1.2.840.10008.5.1.4.1.1.128"
    (cleaned,) = Deidentifier(KEY, []).source(SourceHeader("dicom", "x", (header,))).datasets
    assert (cleaned.Modality, cleaned.BodyPartExamined, cleaned.Units) == ("PT", "BRAIN", "GML")
    assert cleaned.SeriesDate == "19000101"
    assert "StudyDescription" not in cleaned
    assert cleaned.PatientID not in ("P1", "", None)
    assert header.PatientID == "P1"


def test_texts_lose_names_but_not_words_that_contain_them():
    header = Dataset()
    header.PatientName = "Ott^Jo Anne"
    source = SourceHeader(
        "dicom", "in/Otto42.zip", (header,), ("OTT: file of Ottawa, Jo Anne; Otto42: late",)
    )
    cleaned = Deidentifier(KEY, [source]).source(source)
    assert cleaned.warnings == ("[removed]: file of Ottawa, [removed]; [removed]: late",)
    assert cleaned.path == ""
