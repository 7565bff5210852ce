"""C-STORE to an archive that does not always want."""

from __future__ import annotations

import time

import pytest
from pydicom.uid import (
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    SecondaryCaptureImageStorage,
)

from refinefuse_med.errors import OutputError, UsageError
from refinefuse_med.io.pacs import dimse
from refinefuse_med.io.pacs.dimse import Peer, echo, store
from refinefuse_med.io.pacs.outbox import outbox
from tests.io.pacs.conftest import free_port


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch):
    monkeypatch.setattr(dimse, "_MAX_WAIT_S", 0.01)


def test_every_object_arrives_and_what_refers_to_others_last(study, archive):
    deliveries = store(outbox(study), Peer.parse(archive.address))
    assert {delivery.status for delivery in deliveries} == {"stored"}
    assert len(archive.received) == len(list(study.rglob("*.dcm")))
    assert [d.Modality for d in archive.received[-4:]] == ["REG", "REG", "PR", "PR"]


def test_an_archive_of_the_implicit_encoding_alone_is_served(study, running):
    def implicit(entity):
        entity.add_supported_context(SecondaryCaptureImageStorage, ImplicitVRLittleEndian)

    with running(implicit) as archive:
        letters = outbox(study / "slices" / "fused")
        assert letters[0].transfer_syntax_uid == ExplicitVRLittleEndian
        assert {d.status for d in store(letters, Peer.parse(archive.address))} == {"stored"}
        assert archive.received[0].pixel_array.shape == (11, 9, 3)


def test_what_the_archive_does_not_take_is_told_and_the_rest_sent(study, running):
    def captures(entity):
        entity.add_supported_context(SecondaryCaptureImageStorage)

    with running(captures) as archive:
        deliveries = store(outbox(study / "slices"), Peer.parse(archive.address))
    failed = {d.name: d.reason for d in deliveries if d.status == "failed"}
    assert "registration.dcm" in failed
    assert "takes no Spatial Registration Storage" in failed["registration.dcm"]
    assert all(d.status == "stored" for d in deliveries if d.name.startswith("fused"))


@pytest.mark.parametrize(
    ("answers", "status", "attempts"),
    [
        ([0xA700], "stored", 2),  # busy, then not
        ([0xA700] * 9, "failed", 3),  # busy all the time
        ([0xC000], "failed", 1),  # cannot understand: no use in sending it again
        ([0xB000], "warning", 1),
        (["abort"], "stored", 2),
    ],
)
def test_what_may_pass_is_tried_again(study, archive, answers, status, attempts):
    (letter, *_) = outbox(study / "slices" / "fused")
    archive.answers = answers
    told = []
    (delivery,) = store([letter], Peer.parse(archive.address), retries=2, on_delivery=told.append)
    assert (delivery.status, delivery.attempts) == (status, attempts)
    assert told == [delivery]
    assert bool(delivery.reason) == (status != "stored")


def test_after_a_lost_connection_only_the_rest_is_sent(study, archive):
    letters = outbox(study / "slices" / "fused")
    archive.answers = [0, 0, "abort"]
    deliveries = store(letters, Peer.parse(archive.address))
    assert {delivery.status for delivery in deliveries} == {"stored"}
    assert [delivery.attempts for delivery in deliveries] == [1, 1, 2, 2, 2, 2]
    assert len(archive.received) == len(letters)


def test_more_kinds_than_one_association_can_name_take_several(study, archive, monkeypatch):
    monkeypatch.setattr(dimse, "_MAX_CONTEXTS", 4)
    deliveries = store(outbox(study), Peer.parse(archive.address))
    assert {delivery.status for delivery in deliveries} == {"stored"}


def test_an_archive_that_is_not_there_is_told_at_once():
    start = time.monotonic()
    with pytest.raises(OutputError, match="cannot be reached"):
        echo(Peer("ARCHIVE", "127.0.0.1", free_port()))
    assert time.monotonic() - start < 10


def test_a_wrong_name_is_told(archive):
    archive_of_another_name = Peer("OTHER", "127.0.0.1", archive.port)
    with pytest.raises(OutputError, match="refuses the association") as caught:
        echo(archive_of_another_name)
    assert "Called AE title not recognised" in str(caught.value)
    assert "AE titles" in str(caught.value)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("A@host:104", ("A", "host", 104)),
        ("MY PACS@10.0.0.1:4242", ("MY PACS", "10.0.0.1", 4242)),
        ("A@[::1]:104", ("A", "::1", 104)),
    ],
)
def test_addresses(text, expected):
    peer = Peer.parse(text)
    assert (peer.ae_title, peer.host, peer.port) == expected


@pytest.mark.parametrize(
    "text", ["", "A", "A@h", "@h:1", "A@:1", "A@h:x", "A@h:0", "A@h:70000", "A" * 17 + "@h:1"]
)
def test_what_is_no_address_is_refused(text):
    with pytest.raises(UsageError, match="AET@HOST:PORT"):
        Peer.parse(text)
