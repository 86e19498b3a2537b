"""``slimgate serve``: the program, over TLS, with policies and namespaces from files."""

from __future__ import annotations

import json
import os
import signal
import ssl
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import trustme

from tests.cli.conftest import refused_start
from tests.cli.test_review import NAMESPACES
from tests.cluster.support.processes import eventually
from tests.support.registry import Registry
from tests.support.samples import SAMPLES
from tests.support.served import can_read, review
from webhook.certs.issue import read_certificates


@contextmanager
def _serving(*arguments: str) -> Iterator[str]:
    """A server of its own; yields the URL of /validate."""
    with subprocess.Popen(
        [sys.executable, "-m", "webhook", "serve", "--listen", "127.0.0.1:0", *arguments],
        stderr=subprocess.PIPE, text=True, env={**os.environ, "NO_PROXY": "*"},
    ) as process:  # fmt: skip
        try:
            lines = (json.loads(line) for line in process.stderr)
            url = next(line["validate"] for line in lines if line["event"] == "listening")
            assert eventually(lambda: can_read(process.pid))
            yield url
        finally:
            process.send_signal(signal.SIGTERM)
            process.communicate(timeout=120)
    assert process.returncode == 0


def _post(url: str, body: bytes) -> dict:
    trusting = ssl._create_unverified_context()
    request = urllib.request.Request(
        f"{url}?timeout=30s", body, {"Content-Type": "application/json"}, method="POST"
    )
    with urllib.request.urlopen(request, context=trusting, timeout=60) as answer:
        return json.load(answer)["response"]


@pytest.mark.parametrize("audit_only", [False, True], ids=["enforcing", "audit-only"])
def test_a_pod_is_judged(tmp_path, audit_only):
    """Denied in the namespace that asks for it, let in elsewhere, never denied with audit-only."""
    namespaces = tmp_path / "namespaces.yaml"
    namespaces.write_text(NAMESPACES)
    with Registry({"team/root:1": SAMPLES["root-zero"].image}) as registry:
        image = f"{registry.host}/team/root:1"
        with _serving(
            "--namespaces", str(namespaces), "--plain-http", registry.host, "--allow-loopback",
            *(["--audit-only"] if audit_only else []),
        ) as url:  # fmt: skip
            shop, lab = (_post(url, review(image, space=name)) for name in ("shop", "lab"))

    assert shop["allowed"] is audit_only
    assert lab["allowed"] is True
    if not audit_only:
        assert "USER" in shop["status"]["message"]


def test_the_metrics_tell_when_the_certificate_ends(tmp_path):
    """Whoever made it; that of the file, which may be another by now."""
    cert, key = tmp_path / "tls.crt", tmp_path / "tls.key"

    def issued():
        """When it ends."""
        leaf = trustme.CA().issue_cert("localhost")
        leaf.private_key_pem.write_to_path(key)
        leaf.cert_chain_pems[0].write_to_path(cert)
        return read_certificates(cert.read_bytes())[0].not_valid_after_utc.timestamp()

    def told(url):
        trusting = ssl._create_unverified_context()
        at = url.replace("/validate", "/metrics")
        with urllib.request.urlopen(at, context=trusting, timeout=60) as answer:
            text = answer.read().decode()
        name = 'slimgate_certificate_expiry_timestamp_seconds{certificate="served"}'
        return [float(line.split()[1]) for line in text.splitlines() if line.startswith(name)]

    ends = issued()
    with _serving("--cert", str(cert), "--key", str(key)) as url:
        assert told(url) == [ends]
        cert.write_text("no certificate")
        assert told(url) == []


@pytest.mark.parametrize("denied", [(), ("--allow-loopback", "--deny-address", "127.0.0.0/8")])
def test_loopback_is_not_dialled_unless_allowed(tmp_path, denied):
    """What listens beside the webhook is none of a pod's business."""
    namespaces = tmp_path / "namespaces.yaml"
    namespaces.write_text(NAMESPACES)
    with Registry({"team/root:1": SAMPLES["root-zero"].image}) as registry:
        body = review(f"{registry.host}/team/root:1")
        arguments = ("--namespaces", str(namespaces), "--plain-http", registry.host)
        with _serving(*arguments, *denied) as url:
            answer = _post(url, body)

    assert registry.requests == []
    assert "blocked" in answer["status"]["message"]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        pytest.param(["--listen", "nowhere"], "HOST:PORT", id="address"),
        pytest.param(["--cert", "pyproject.toml"], "needs its key", id="no key"),
        pytest.param(["--policies", "pyproject.toml"], "pyproject.toml:", id="no policy"),
        pytest.param(["--allow-address", "10.1"], "is no network", id="network"),
        pytest.param(["--deny-address", "10.1"], "is no network", id="denied network"),
        pytest.param(["--ca-file", "pyproject.toml"], "certificate", id="no CA"),
    ],
)
def test_mistakes_end_the_start(tmp_path, arguments, says):
    """64 and one line, before anything listens."""
    (tmp_path / "pyproject.toml").write_text("# no policy, no certificate")

    assert says in refused_start(arguments, tmp_path)
