"""A study whose headers, folders and files are full of what names a person."""

from __future__ import annotations

import gzip

import pydicom
from pydicom.dataset import Dataset

from tests.io.corpus import Scan, pet_tags, write_scan

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


def write_personal_study(folder):
    """An MR and a PET of one named patient, in folders and files of that name."""
    root = folder / "Zwerglein_PHI-4711-X"
    size = {"columns": 20, "rows": 18, "slices": 6}
    frame = "1.2.826.0.1.3680043.8.498.777001"
    write_scan(root / "mr", Scan("MR", frame_of_reference_uid=frame, **size), _stamp)
    pet = Scan("PT", frame_of_reference_uid=frame, tags=pet_tags(), **size)
    pet.tags |= {"CountsSource": "EMISSION", "FrameReferenceTime": 0, "SeriesType": ["STATIC", "X"]}
    write_scan(root / "pet", pet, _stamp)
    for path in sorted(root.rglob("*.dcm")):
        path.rename(path.with_name(f"Zwerglein {path.name}"))
    return root


def personal_values(root):
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


def everything_in(out):
    """The names and the bytes of all files below a folder, unpacked too."""
    places = {}
    for path in out.rglob("*"):
        places[f"name of {path.name}"] = str(path.relative_to(out)).encode()
        if path.is_file():
            data = path.read_bytes()
            places[str(path.relative_to(out))] = data
            if path.suffix == ".gz":
                places[f"{path.name} unpacked"] = gzip.decompress(data)
    return places
