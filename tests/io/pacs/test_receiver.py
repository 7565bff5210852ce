import socket

import pytest
from pydicom import dcmread

from refinefuse_med.errors import InputError
from refinefuse_med.io import inspect_path
from refinefuse_med.io.pacs import dimse
from refinefuse_med.io.pacs.outbox import outbox
from refinefuse_med.io.pacs.receiver import receiving
from refinefuse_med.sample import make_sample

pytest.importorskip("pynetdicom")


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    folder = tmp_path_factory.mktemp("receiver") / "study"
    make_sample(folder, dicom=True)
    return folder


def _peer(port, caller="REFINEFUSE"):
    return dimse.Peer("REFINEFUSE", "127.0.0.1", port, calling_ae_title=caller)


def test_what_is_sent_is_filed_by_series_under_hashes_as_it_was(study, tmp_path):
    told = []
    with receiving(tmp_path / "in", 0, on_file=told.append) as port:
        dimse.echo(_peer(port))
        fates = dimse.store(outbox(study / "PT") + outbox(study / "NM"), _peer(port))
        assert {fate.status for fate in fates} == {"stored"}
    found = inspect_path(tmp_path / "in")
    sent = inspect_path(study)
    kinds = {"PT", "NM"}
    assert not found.skipped
    assert {(e.series_instance_uid, e.shape, e.files) for e in found.series} == {
        (e.series_instance_uid, e.shape, e.files) for e in sent.series if e.modality in kinds
    }
    files = [path for path in (tmp_path / "in").rglob("*") if path.is_file()]
    assert sorted(files) == sorted(told)
    originals = {dcmread(p).SOPInstanceUID: dcmread(p) for p in (study / "PT").iterdir()}
    one = next(dcmread(p) for p in files if dcmread(p).Modality == "PT")
    assert one == originals[one.SOPInstanceUID]
    assert all(part not in str(files) for part in ("Sample", one.SeriesInstanceUID))


@pytest.mark.parametrize("uid", ["../../etc", "/etc/x", "<script>", "a" * 200, ""])
def test_no_uid_becomes_a_path(study, tmp_path, uid):
    from pynetdicom import AE

    dataset = dcmread(next((study / "MR").iterdir()))
    dataset.SeriesInstanceUID = uid
    with receiving(tmp_path / "in", 0) as port:
        entity = AE()
        entity.add_requested_context(dataset.SOPClassUID, dataset.file_meta.TransferSyntaxUID)
        association = entity.associate("127.0.0.1", port)
        association.send_c_store(dataset)
        association.release()
    everything = list(tmp_path.rglob("*"))
    assert len([path for path in everything if path.is_file()]) <= 1
    assert all(path.is_relative_to(tmp_path / "in") for path in everything)
    assert all(len(path.name) <= 28 for path in everything)


def test_callers_that_are_not_named_are_refused(study, tmp_path):
    from refinefuse_med.errors import OutputError

    with receiving(tmp_path / "in", 0, callers=["SCANNER"]) as port:
        dimse.echo(_peer(port, "SCANNER"))
        with pytest.raises(OutputError, match="refuses the association"):
            dimse.echo(_peer(port, "STRANGER"))


def test_a_full_disk_is_told_to_the_sender(study, tmp_path, monkeypatch):
    def full(_):
        raise OSError(28, "No space left on device")

    with receiving(tmp_path / "in", 0) as port:
        monkeypatch.setattr("os.fsync", full)
        (fate,) = dimse.store(outbox(study / "NM"), _peer(port), retries=0)
    assert fate.status == "failed"
    assert not [path for path in (tmp_path / "in").rglob("*") if path.is_file()]


def test_a_port_in_use_is_one_clear_error(tmp_path):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(InputError, match="cannot listen"):
            receiving(tmp_path, taken.getsockname()[1]).__enter__()
