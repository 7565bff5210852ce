"""Into Orthanc by C-STORE and STOW-RS, and out by QIDO-RS and WADO-RS: the same objects."""

from __future__ import annotations

import numpy as np
import pydicom
import pytest

from refinefuse_med.io.pacs import dicomweb, dimse
from refinefuse_med.io.pacs.outbox import outbox

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
    for keyword in ("SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence"):
        assert back.get(keyword) == original.get(keyword)
    if "PixelData" in original:
        np.testing.assert_array_equal(back.pixel_array, original.pixel_array)
    assert back.get("FloatPixelData") == original.get("FloatPixelData")


def test_sent_again_an_object_replaces_itself(study, orthanc):
    for _ in range(2):
        _send("C-STORE", study / "slices", orthanc)
    assert orthanc.ask("/statistics")["CountInstances"] == len(outbox(study / "slices"))
