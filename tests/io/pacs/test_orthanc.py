"""Into Orthanc by C-STORE and STOW-RS, and out by QIDO-RS and WADO-RS: the same objects."""

from __future__ import annotations

import shutil

import numpy as np
import pydicom
import pytest

from refinefuse_med.io.pacs import dicomweb, dimse
from refinefuse_med.io.pacs.outbox import outbox
from refinefuse_med.volume import Grid
from tests.io.dicom_sources import ct_source, enhanced_source, mr_source
from tests.io.objects.conftest import AFFINES
from tests.io.objects.helpers import SHAPE
from tests.io.objects.readers import KINDS, assert_in_place, by_dcm2niix, write_markers

SOURCES = {
    "oblique": mr_source,
    "sagittal": mr_source,
    "flipped": enhanced_source,
    "decubitus": lambda grid: ct_source(grid, PatientPosition="HFDR"),
}
KINDS_OF_IMAGES = sorted({kind for kinds in KINDS.values() for kind in kinds})
GEOMETRY = (
    "ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing", "SliceThickness",
    "FrameOfReferenceUID",
)  # fmt: skip


def _send(how, study, orthanc):
    letters = outbox(study)
    if how == "C-STORE":
        peer = dimse.Peer.parse(orthanc.address)
        dimse.echo(peer)
        return dimse.store(letters, peer)
    return dicomweb.store(letters, orthanc.dicomweb)


@pytest.mark.parametrize("how", ["C-STORE", "STOW-RS"])
def test_what_comes_out_is_what_went_in(study, orthanc, how):
    from dicomweb_client.api import DICOMwebClient

    deliveries = _send(how, study, orthanc)
    assert {delivery.status for delivery in deliveries} == {"stored"}
    sent = {d.SOPInstanceUID: d for d in map(pydicom.dcmread, study.rglob("*.dcm"))}
    assert orthanc.ask("/statistics")["CountInstances"] == len(sent) == len(deliveries)

    client = DICOMwebClient(orthanc.dicomweb)
    (found,) = client.search_for_studies()
    assert found["0020000D"]["Value"] == [str(next(iter(sent.values())).StudyInstanceUID)]
    series = client.search_for_series(found["0020000D"]["Value"][0])
    assert len(series) == len({d.SeriesInstanceUID for d in sent.values()})
    for one in series:
        uids = found["0020000D"]["Value"][0], one["0020000E"]["Value"][0]
        for back in client.retrieve_series(*uids):
            _assert_same(back, sent.pop(back.SOPInstanceUID))
    assert not sent


def _assert_same(back, original):
    for keyword in (*GEOMETRY, "PatientName", "PatientID", "SOPClassUID", "Modality"):
        assert back.get(keyword) == original.get(keyword), keyword
    if "PixelData" in original:
        np.testing.assert_array_equal(back.pixel_array, original.pixel_array)
    for element in original:
        assert back[element.tag] == element


def test_sent_again_an_object_replaces_itself(study, orthanc):
    for _ in range(2):
        _send("C-STORE", study / "slices", orthanc)
    assert orthanc.ask("/statistics")["CountInstances"] == len(outbox(study / "slices"))


@pytest.fixture(scope="module", params=SOURCES)
def marked(request, tmp_path_factory):
    """Markers on a grid that was acquired in some way, as every kind of image."""
    folder, affine = tmp_path_factory.mktemp(request.param), AFFINES[request.param]
    source = SOURCES[request.param](Grid(SHAPE, affine))
    for kind in KINDS_OF_IMAGES:
        write_markers(kind, affine, folder / kind, source)
    return folder, affine


@pytest.mark.parametrize("how", ["C-STORE", "STOW-RS"])
def test_each_reader_finds_every_marker_in_what_comes_out(marked, orthanc, tmp_path, how):
    from dicomweb_client.api import DICOMwebClient

    sent, affine = marked
    deliveries = _send(how, sent, orthanc)
    assert {delivery.status for delivery in deliveries} == {"stored"}
    client = DICOMwebClient(orthanc.dicomweb)
    for kind in KINDS_OF_IMAGES:
        originals = {d.SOPInstanceUID: d for d in map(pydicom.dcmread, sent.glob(f"{kind}/*.dcm"))}
        first = next(iter(originals.values()))
        came = tmp_path / kind / "dicom"
        came.mkdir(parents=True)
        for number, back in enumerate(
            client.retrieve_series(first.StudyInstanceUID, first.SeriesInstanceUID)
        ):
            _assert_same(back, originals.pop(back.SOPInstanceUID))
            back.save_as(came / f"{number}.dcm", enforce_file_format=True)
        assert not originals
        # In the order of the patient, as a viewer would have them.
        paths = sorted(came.iterdir(), key=lambda path: pydicom.dcmread(path).InstanceNumber)
        for reader, kinds in KINDS.items():
            if kind in kinds and (reader is not by_dcm2niix or shutil.which("dcm2niix")):
                assert_in_place(reader(paths), affine)
