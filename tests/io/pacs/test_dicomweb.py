"""STOW-RS to a service that does not always want."""

from __future__ import annotations

import json
import logging
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from refinefuse_med.errors import UsageError
from refinefuse_med.io.pacs import dicomweb
from refinefuse_med.io.pacs.dicomweb import store
from refinefuse_med.io.pacs.outbox import outbox
from tests.io.pacs.conftest import free_port


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch):
    monkeypatch.setattr(dicomweb, "_MAX_WAIT_S", 0.01)


@pytest.fixture
def service():
    """A service that gives the answers it is told to: a status, and a dataset as JSON."""
    answers, requests = [], []

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self):
            body = self._body()
            requests.append({"body": body, "headers": dict(self.headers)})
            status, content = answers.pop(0) if answers else (200, {})
            data = json.dumps(content).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/dicom+json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def _body(self):
            if "Content-Length" in self.headers:
                return self.rfile.read(int(self.headers["Content-Length"]))
            body = b""
            while size := int(self.rfile.readline(), 16):
                body += self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
            return body

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    server.answers, server.requests = answers, requests
    server.url = f"http://127.0.0.1:{server.server_port}/dicom-web"
    yield server
    server.shutdown()
    server.server_close()


def _failed(uid, reason):
    return {
        "00081198": {
            "vr": "SQ",
            "Value": [
                {
                    "00081155": {"vr": "UI", "Value": [uid]},
                    "00081197": {"vr": "US", "Value": [reason]},
                }
            ],
        }
    }


def test_several_files_go_in_one_request(study, service):
    letters = outbox(study / "slices" / "fused")
    assert {delivery.status for delivery in store(letters, service.url)} == {"stored"}
    (request,) = service.requests
    assert request["body"].count(b"DICM") == len(letters)
    assert request["headers"]["Content-Type"].startswith("multipart/related")


def test_large_files_are_spread_over_requests(study, service, monkeypatch):
    monkeypatch.setattr(dicomweb, "_MAX_BYTES", 10000)
    letters = outbox(study / "slices" / "fused")
    store(letters, service.url)
    assert 1 < len(service.requests) <= len(letters)


def test_what_the_service_refuses_of_a_request_is_told(study, service):
    letters = outbox(study / "slices" / "fused")
    service.answers.append((202, _failed(letters[2].sop_instance_uid, 0x0122)))
    deliveries = store(letters, service.url)
    assert [d.status for d in deliveries].count("failed") == 1
    assert (deliveries[2].status, deliveries[2].reason) == ("failed", "status 0x0122")


def test_a_request_that_fails_is_sent_again_file_by_file(study, service):
    letters = outbox(study / "slices" / "fused")
    service.answers += [(409, {}), (200, {}), (409, {})]
    deliveries = store(letters, service.url)
    assert [d.status for d in deliveries] == ["stored", "failed", *["stored"] * 4]
    assert deliveries[1].reason == "the service says HTTP 409"


def test_a_refusal_that_says_why_of_each_is_not_asked_again(study, service):
    letters = outbox(study / "slices" / "fused")[:2]
    one, two = (_failed(letter.sop_instance_uid, 0x0110 + n) for n, letter in enumerate(letters))
    one["00081198"]["Value"] += two["00081198"]["Value"]
    service.answers.append((409, one))
    deliveries = store(letters, service.url)
    assert [(d.status, d.reason) for d in deliveries] == [
        ("failed", "status 0x0110"),
        ("failed", "status 0x0111"),
    ]
    assert len(service.requests) == 1


def test_what_the_service_passes_over_was_not_stored(study, service):
    letters = outbox(study / "slices" / "fused")[:2]
    stored = _failed(letters[0].sop_instance_uid, 0)["00081198"]
    del stored["Value"][0]["00081197"]
    service.answers.append((202, {"00081199": stored}))
    deliveries = store(letters, service.url)
    assert [d.status for d in deliveries] == ["stored", "failed"]
    assert "does not say that it was stored" in deliveries[1].reason


@pytest.mark.parametrize(("times", "status"), [(2, "stored"), (9, "failed")])
def test_a_busy_service_is_asked_again(study, service, times, status):
    letters = outbox(study / "slices" / "fused")[:1]
    service.answers += [(503, {})] * times
    (delivery,) = store(letters, service.url, retries=2)
    assert (delivery.status, delivery.attempts) == (status, 3)


def test_an_absent_service_is_given_up_for_all_files(study, monkeypatch):
    monkeypatch.setattr(dicomweb, "_MAX_BYTES", 1)
    letters = outbox(study / "slices" / "fused")
    deliveries = store(letters, f"http://127.0.0.1:{free_port()}/dicom-web", retries=1)
    assert all("cannot be reached" in delivery.reason for delivery in deliveries)
    assert [delivery.attempts for delivery in deliveries] == [2, 0, 0, 0, 0, 0]


def test_password_and_token_go_into_the_header_and_nowhere_else(
    study, service, monkeypatch, caplog
):
    # A command that ran before in this process may have set up logging for itself.
    monkeypatch.setattr(logging.getLogger("refinefuse_med"), "propagate", True)
    caplog.set_level(logging.WARNING, "refinefuse_med")
    letters = outbox(study / "slices" / "fused")[:1]
    url = service.url.replace("http://", "http://user:secret@")
    store(letters, url)
    assert service.requests[0]["headers"]["Authorization"].startswith("Basic ")
    assert "secret" not in service.requests[0]["headers"]["Host"]
    assert dicomweb.PASSWORD_VARIABLE in caplog.text
    assert "secret" not in caplog.text
    monkeypatch.setenv(dicomweb.PASSWORD_VARIABLE, "secret")
    store(letters, service.url.replace("http://", "http://user@"))
    both = [request["headers"]["Authorization"] for request in service.requests]
    assert both[0] == both[1]
    monkeypatch.setenv(dicomweb.TOKEN_VARIABLE, "abc")
    store(letters, service.url)
    assert service.requests[2]["headers"]["Authorization"] == "Bearer abc"


@pytest.mark.parametrize(
    "url", ["", "http://[::1", "localhost:8042", "ftp://host/x", "file:///etc/passwd"]
)
def test_what_is_no_url_of_http_is_refused(study, url):
    with pytest.raises(UsageError, match="not a URL"):
        store(outbox(study), url)
