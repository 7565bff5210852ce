"""Values planted in every element that the basic profile acts on come out nowhere."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pydicom
import pytest
from pydicom.datadict import dictionary_has_tag, dictionary_VR, keyword_for_tag
from pydicom.dataset import Dataset
from pydicom.tag import Tag

from refinefuse_med.cli.main import main
from refinefuse_med.io.deidentify import Deidentifier, _actions
from refinefuse_med.pseudonyms import Pseudonyms
from refinefuse_med.volume import SourceHeader
from tests.io.corpus import Scan, pet_tags, write_enhanced, write_nm, write_scan

UID = "1.2.826.0.1.77077"
DAY, TIME, NUMBER = "19770707", "070717", "7770777"
PLANTED = ("CANARY", DAY, TIME, NUMBER, UID, "077Y")
SHORT = {
    "AE": "CANARY1",
    "CS": "CANARY",
    "SH": "CANARY1",
    "AS": "077Y",
    "UR": "http://canary/CANARY",
}
VALUES = {
    **dict.fromkeys(("LO", "LT", "PN", "ST", "UC", "UT"), "Ca\u00f1as CANARY the patient"),
    **SHORT,
    "DA": DAY,
    "TM": TIME,
    "DT": DAY + TIME,
    "DS": NUMBER,
    "IS": NUMBER,
    "UI": f"{UID}.1",
    "OB": b"CANARY",
    "OW": b"CANARY",
    "UN": b"CANARY",
    "FD": 7.0,
    "FL": 7.0,
    "SL": 7770777,
    "SS": 7077,
    "UL": 7770777,
    "US": 7077,
}
KEPT = (
    # what the files are read by
    "SOPClassUID", "FrameOfReferenceUID", "SpecificCharacterSet", "AcquisitionDate",
    "AcquisitionTime", "SeriesDate", "SeriesTime",
)  # fmt: skip
CARRIERS = (
    # sequences that written objects take over, or whose items could be
    "RadiopharmaceuticalInformationSequence", "DetectorInformationSequence",
    "EnergyWindowInformationSequence", "RotationInformationSequence", "OtherPatientIDsSequence",
    "RequestAttributesSequence", "SharedFunctionalGroupsSequence",
    "PerFrameFunctionalGroupsSequence", "PatientOrientationCodeSequence",
    "DeidentificationMethodCodeSequence",
)  # fmt: skip


def _plant(target: Dataset, depth: int = 0) -> None:
    """Put a value that must not come out into every element of the profile, and beside them."""
    for number in _actions():
        tag = Tag(number)
        if (
            not dictionary_has_tag(tag)
            or keyword_for_tag(tag) == "ConcatenationUID"
            or tag.group in (0x0000, 0x0002, 0x0004)
        ):
            continue
        keyword, vr = keyword_for_tag(tag), dictionary_VR(tag)
        if (keyword in KEPT and tag in target) or (keyword in CARRIERS and depth):
            continue
        if vr == "SQ":
            item = Dataset()
            item.PatientName = item.PatientComments = "CANARY in a sequence"
            item.CodeMeaning = "CANARY the patient"
            value = target[tag].value if tag in target else [item]
        elif vr in VALUES:
            value = VALUES[vr]
        else:
            continue
        target.add_new(tag, vr, value)
    block = target.private_block(0x0011, "CANARY MAKER", create=True)
    for element, (vr, value) in enumerate(VALUES.items()):
        block.add_new(element, vr, value)
    nested = Dataset()
    nested.PatientName = "CANARY"
    block.add_new(0x80, "SQ", [nested])


def _stamp(ds: Dataset, k: int) -> None:
    frame, uid = ds.FrameOfReferenceUID, ds.SOPInstanceUID
    for keyword in CARRIERS:
        for item in ds.get(keyword) or ():
            _plant(item, 1)
    _plant(ds)
    ds.FrameOfReferenceUID = frame
    ds.SOPInstanceUID = f"{UID}.{k + 1}.{uid[-20:].lstrip('0.')}"
    ds.file_meta.MediaStorageSOPInstanceUID = ds.SOPInstanceUID
    ds.SeriesInstanceUID = f"{UID}.{9 + len(ds.Modality) + ord(ds.Modality[0])}"
    ds.SpecificCharacterSet = "ISO_IR 100"
    ds.PatientID = "CANARY-7"
    # words that the profile does not know, but that name the patient
    ds.CollimatorGridName = "CANARY-7 grid"


def _write(kind: str, folder: Path) -> Path:
    frame = f"{UID}.99"
    size = {"columns": 20, "rows": 18, "slices": 6, "frame_of_reference_uid": frame}
    folder.mkdir(parents=True)
    if kind == "PT":
        scan = Scan("PT", tags=pet_tags(), **size)
        scan.tags |= {
            "CountsSource": "EMISSION", "FrameReferenceTime": 0, "SeriesType": ["STATIC", "X"],
        }  # fmt: skip
        write_scan(folder, scan, _stamp)
    elif kind in ("MR", "CT"):
        write_scan(folder, Scan(kind, **size), _stamp)
    else:
        path = folder / "a.dcm"
        if kind == "enhanced":
            write_enhanced(path, Scan("MR", **size), list(range(6)))
        else:
            write_nm(path, Scan("NM", **size))
        header = pydicom.dcmread(path)
        _stamp(header, 0)
        header.save_as(path)
    return folder


MAPS = ("--multiframe", "--quantitative")


@pytest.mark.parametrize(
    ("anatomical", "functional", "more"),
    [("MR", "PT", ()), ("CT", "NM", ()), ("MR", "CT", MAPS), ("enhanced", "PT", MAPS)],
)
def test_nothing_planted_comes_out(tmp_path, capfd, anatomical, functional, more):
    inputs = [_write(k, tmp_path / "in" / k) for k in (anatomical, functional)]
    out = tmp_path / "out"
    arguments = [
        "fuse", *inputs, "-o", out, "--deidentify", "--register", "header", "--format",
        "nifti,dicom,mha,nrrd", "--preview", "--report", "--contribution", "--colour-bar", "--json",
        "-v", *more,
    ]  # fmt: skip
    with pytest.raises(SystemExit) as ended:
        main([str(argument) for argument in arguments])
    printed = capfd.readouterr()
    assert ended.value.code == 0, printed.err
    places = {"stdout": printed.out.encode(), "stderr": printed.err.encode()}
    for path in out.rglob("*"):
        name = path.relative_to(out).as_posix()
        places[f"name of {name}"] = name.encode()
        if path.is_file():
            data = path.read_bytes()
            places[name] = data
            if path.suffix == ".gz":
                places[f"{name} unpacked"] = gzip.decompress(data)
    assert len(places) > 20
    found = {
        (value, place)
        for place, data in places.items()
        for value in PLANTED
        if value.lower().encode() in data.lower()
    }
    assert not found
    _assert_mapped_alike(out)


def _assert_mapped_alike(out: Path) -> None:
    """What stands for a source is the same in every object and in the record."""
    headers = [pydicom.dcmread(path) for path in (out / "dicom").rglob("*.dcm")]
    (study,) = {header.StudyInstanceUID for header in headers}
    (patient,) = {header.PatientID for header in headers}
    assert study
    assert patient
    assert len({h.FrameOfReferenceUID for h in headers if "FrameOfReferenceUID" in h}) == 1
    record = json.loads((out / "result.json").read_text())
    series = {described["series_instance_uid"] for described in record["inputs"].values()}
    related = {
        item.SeriesInstanceUID for header in headers for item in header.RelatedSeriesSequence
    }
    assert related == series
    listed = {
        item.SeriesInstanceUID
        for header in headers
        if header.Modality == "REG"
        for item in header.ReferencedSeriesSequence
    }
    assert listed == series


ACTIONS = {
    # PS3.15 table E.1-1, basic profile: of what the objects take over from headers
    "Z": "PatientName PatientBirthDate PatientSex AccessionNumber StudyDate StudyTime "
    "ReferringPhysicianName StudyID",
    "X": "IssuerOfPatientID OtherPatientIDsSequence StudyDescription PatientAge PatientSize "
    "PatientWeight ProtocolName DeviceSerialNumber GantryID AcquisitionProtocolDescription "
    "DateOfLastCalibration TimeOfLastCalibration DetectorID",
    "X/Z/D": "SeriesDate SeriesTime AcquisitionDate AcquisitionTime",
    "U": "StudyInstanceUID SeriesInstanceUID SOPInstanceUID FrameOfReferenceUID",
}


@pytest.mark.parametrize(
    ("action", "keyword"),
    [(action, keyword) for action, names in ACTIONS.items() for keyword in names.split()],
)
def test_what_is_taken_over_is_acted_on_as_the_standard_says(action, keyword):
    header = Dataset()
    vr = dictionary_VR(keyword)
    setattr(header, keyword, [Dataset()] if vr == "SQ" else VALUES[vr])
    pseudonyms = Pseudonyms(bytes(32))
    (cleaned,) = Deidentifier(pseudonyms, []).source(SourceHeader("dicom", "", (header,))).datasets
    if action == "X":
        assert keyword not in cleaned
    elif action == "U":
        assert cleaned[keyword].value.startswith("2.25.")
    elif action == "Z":
        assert not cleaned[keyword].value
    else:
        assert cleaned.get(keyword) in (None, "", "19000101", "000000")
