"""Who may ask, and a certificate that is not there yet."""

from __future__ import annotations

import http.client
import ssl
import time
import urllib.error
import urllib.request
from contextlib import closing

import pytest
import trustme

from tests.server.conftest import started
from tests.server.judges import body, pod
from tests.server.test_ending import _status
from tests.server.test_serve import JSON, _write, once
from webhook.server.front import names_of

AUTHORITY = trustme.CA()
SERVER = trustme.CA()


@pytest.fixture
def folder(tmp_path):
    _write(SERVER, "127.0.0.1", tmp_path)
    SERVER.cert_pem.write_to_path(tmp_path / "ca")
    AUTHORITY.cert_pem.write_to_path(tmp_path / "clients")
    return tmp_path


@pytest.fixture
def process(folder):
    files = {"cert": folder / "tls.crt", "key": folder / "tls.key"}
    with started(
        **files, client_ca=folder / "clients", client_names=["kube-apiserver", "front.example"]
    ) as server:
        yield server


def validate(server, folder, client=None):
    """Status and text of a review that shows a client's certificate."""
    context = ssl.create_default_context(cafile=folder / "ca")
    if client is not None:
        client.configure_cert(context)
    connection = http.client.HTTPSConnection(server.host, server.port, context=context, timeout=30)
    with closing(connection):
        connection.request("POST", "/validate", body(pod()), JSON)
        response = connection.getresponse()
        return response.status, response.read().decode()


@pytest.mark.parametrize(
    "names",
    [
        pytest.param({"common_name": "kube-apiserver"}, id="the common name"),
        pytest.param({"identities": ["front.example"]}, id="an alternative name"),
    ],
)
def test_a_client_of_one_of_the_names_is_answered(process, folder, names):
    client = AUTHORITY.issue_cert(*names.pop("identities", []), **names)
    assert validate(process, folder, client)[0] == 200


def test_another_client_of_the_same_authority_is_told_why_not(process, folder):
    client = AUTHORITY.issue_cert(common_name="kubelet")
    assert validate(process, folder, client) == (
        403,
        "the client's certificate is for kubelet: not one of --client-name\n",
    )
    _, log = process.stop()
    assert any(line.get("status") == 403 and "kubelet" in line["detail"] for line in log)


@pytest.mark.parametrize(
    "client",
    [
        pytest.param(None, id="none"),
        pytest.param(trustme.CA().issue_cert(common_name="kube-apiserver"), id="another CA's"),
    ],
)
def test_without_a_certificate_of_that_authority_nothing_is_read(process, folder, client):
    with pytest.raises((ssl.SSLError, OSError)):
        validate(process, folder, client)
    assert _status(f"{process.metrics}/readyz") == 200  # the second port asks for none


def test_a_new_client_authority_is_read_without_a_restart(process, folder):
    other = trustme.CA()
    client = other.issue_cert(common_name="kube-apiserver")
    with pytest.raises((ssl.SSLError, OSError)):
        validate(process, folder, client)
    other.cert_pem.write_to_path(folder / "new")
    (folder / "new").replace(folder / "clients")
    assert validate(process, folder, client)[0] == 200


def test_a_certificate_that_is_written_later(tmp_path):
    SERVER.cert_pem.write_to_path(tmp_path / "ca")
    files = {"cert": tmp_path / "tls.crt", "key": tmp_path / "tls.key"}
    with started(**files, wait_for_certificate=True) as server:
        assert _status(f"{server.metrics}/healthz") == 200
        while (missing := _missing(server)) == b"starting\n":
            time.sleep(0.05)
        assert missing == b"no certificate yet\n"
        with pytest.raises((ConnectionError, ssl.SSLError)):
            once(server, ca=tmp_path / "ca")
        (tmp_path / "tls.crt").write_text("half")
        assert _status(f"{server.metrics}/readyz") == 503
        _write(SERVER, "127.0.0.1", tmp_path)
        assert _status(f"{server.metrics}/readyz") == 200
        assert once(server, ca=tmp_path / "ca")[1]["allowed"]
        status, log = server.stop()
    assert status == 0
    assert {line["event"] for line in log} <= {"listening", "stopping", "review"}


def _missing(server):
    with pytest.raises(urllib.error.HTTPError, match="503") as refused:
        urllib.request.urlopen(f"{server.metrics}/readyz", timeout=30)
    with refused.value as told:
        return told.read()


def test_names_of_a_certificate():
    assert names_of({}) == ()
    given = {
        "subject": ((("organizationName", "o"),), (("commonName", "a"),)),
        "subjectAltName": (("DNS", "b"), ("URI", "spiffe://c")),
    }
    assert names_of(given) == ("a", "b", "spiffe://c")
