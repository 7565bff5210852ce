"""Nothing that is written, said or named tells who the patient is."""

from __future__ import annotations

import gzip
import json
import re

import pydicom
import pytest
from pydicom.dataset import Dataset

from refinefuse_med.cli.main import main
from refinefuse_med.io.deidentify import Deidentifier
from refinefuse_med.pseudonyms import Pseudonyms
from refinefuse_med.volume import SourceHeader
from tests.io.corpus import Scan, pet_tags, write_scan

KEY = Pseudonyms(bytes(32))
PERSONAL = {
    "PatientName": "Zwerglein^Adelheid^Quirina",
    "PatientID": "PHI-4711-X",
    "PatientBirthDate": "19520317",
    "PatientSex": "F",
    "PatientAge": "068Y",
    "PatientAddress": "Krummgasse 9, Buxtehude",
    "PatientTelephoneNumbers": "555-0199-77",
    "PatientComments": "sister of the mayor",
    "EthnicGroup": "Klingon",
    "OtherPatientIDs": ["OLD-9931", "OLD-9932"],
    "AccessionNumber": "ACC-77123",
    "StudyID": "ST-8842",
    "StudyDate": "20190823",
    "StudyTime": "081533",
    "StudyDescription": "Staging of Zwerglein",
    "SeriesDescription": "AX for Dr Blasebalg",
    "ProtocolName": "PROT Zwerglein",
    "AcquisitionDate": "20190823",
    "AcquisitionTime": "083141",
    "ContentDate": "20190823",
    "SeriesDate": "20190823",
    "SeriesTime": "082212",
    "ReferringPhysicianName": "Blasebalg^Ottokar",
    "PerformingPhysicianName": "Wackelpeter^Ute",
    "OperatorsName": "Hampelmann^Kai",
    "InstitutionName": "Klinikum Kummerland",
    "InstitutionAddress": "Lindwurmallee 3",
    "InstitutionalDepartmentName": "Abteilung Nepomuk",
    "StationName": "LUMMERLAND1",
    "DeviceSerialNumber": "SN-314159",
    "ImageComments": "looked at by Wackelpeter",
    "RequestedProcedureDescription": "PET of Zwerglein",
    # no element that the profile knows, but it names the patient
    "CollimatorGridName": "Zwerglein grid",
}


PET_TIMES = ("SeriesDate", "SeriesTime", "AcquisitionDate", "AcquisitionTime")


def _stamp(ds, k):
    for keyword, value in PERSONAL.items():
        if not (ds.Modality == "PT" and keyword in PET_TIMES):
            setattr(ds, keyword, value)
    other = Dataset()
    other.PatientID = "OTHER-5150"
    ds.OtherPatientIDsSequence = [other]
    block = ds.private_block(0x0011, "KUMMERLAND PRIVATE", create=True)
    block.add_new(0x01, "LO", "private Zwerglein")


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    """An MR and a PET of one named patient, in folders and files of that name."""
    root = tmp_path_factory.mktemp("in") / "Zwerglein_PHI-4711-X"
    size = {"columns": 20, "rows": 18, "slices": 6}
    frame = "1.2.826.0.1.3680043.8.498.777001"
    write_scan(root / "mr", Scan("MR", frame_of_reference_uid=frame, **size), _stamp)
    pet = Scan("PT", frame_of_reference_uid=frame, tags=pet_tags(), **size)
    pet.tags |= {"CountsSource": "EMISSION", "FrameReferenceTime": 0, "SeriesType": ["STATIC", "X"]}
    write_scan(root / "pet", pet, _stamp)
    for path in sorted(root.rglob("*.dcm")):
        path.rename(path.with_name(f"Zwerglein {path.name}"))
    return root


def _personal_values(root):
    """Every value that may occur nowhere, parts of names and UIDs among them."""
    values = {"Zwerglein", "OTHER-5150", "private", "KUMMERLAND", "777001"}
    for value in PERSONAL.values():
        for one in value if isinstance(value, list) else [value]:
            values.update(part for part in one.split("^") if len(part) > 3)
    for path in root.rglob("*.dcm"):
        header = pydicom.dcmread(path, stop_before_pixels=True)
        uids = ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID")
        values.update(str(header[uid].value) for uid in uids)
    return {value for value in values if len(value) > 5}


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
    places = {"stdout, stderr": said.encode()}
    for path in out.rglob("*"):
        places[f"name of {path.name}"] = str(path.relative_to(out)).encode()
        if path.is_file():
            data = path.read_bytes()
            places[str(path.relative_to(out))] = data
            if path.suffix == ".gz":
                places[f"{path.name} unpacked"] = gzip.decompress(data)
    assert len(places) > 20
    for value in _personal_values(study):
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
