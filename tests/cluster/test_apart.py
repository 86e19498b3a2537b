"""The process that answers reviews holds no Kubernetes client."""

from __future__ import annotations

import signal
import sys

import trustme

from tests.cluster.support.processes import free_port, running
from tests.cluster.support.web import answers
from webhook.cluster import state


def test_serve_imports_no_kubernetes(tmp_path):
    """Python itself tells of each import, in every process that it begins."""
    leaf = trustme.CA().issue_cert("127.0.0.1")
    (tmp_path / "tls.crt").write_bytes(b"".join(pem.bytes() for pem in leaf.cert_chain_pems))
    leaf.private_key_pem.write_to_path(tmp_path / "tls.key")
    state.write(tmp_path, state.Snapshot())
    port, log = free_port(), tmp_path / "log"
    command = [
        *(sys.executable, "-X", "importtime", "-m", "webhook", "serve", "--state", tmp_path),
        *("--listen", f"127.0.0.1:{free_port()}", "--metrics", f"127.0.0.1:{port}"),
        *("--cert", tmp_path / "tls.crt", "--key", tmp_path / "tls.key"),
        *("--lame-duck", "1s", "--drain", "1s"),
    ]
    with running(
        command,
        log=log,
        ready=lambda: answers(f"http://127.0.0.1:{port}/readyz"),
        end=signal.SIGTERM,
    ):
        pass
    imported = [line.split("|")[-1].strip() for line in log.read_text().splitlines()]
    assert "webhook.wiring.knowledge" in imported
    assert "webhook.cluster.link" in imported
    assert [name for name in imported if name.split(".")[0] == "kubernetes"] == []
    assert "webhook.cluster.watch" not in imported
