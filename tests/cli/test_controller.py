"""``slimgate controller``: what it is told, before it speaks to an API server."""

from __future__ import annotations

import json
import signal
import subprocess
import sys

import pytest

from tests.cluster.support.processes import closed_port, eventually, free_port
from tests.cluster.support.web import answers, request


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("", id="empty"),
        pytest.param("a: [", id="no YAML"),
        pytest.param("- 1", id="a list"),
        pytest.param("hello", id="a word"),
        pytest.param("clusters: 3\ncurrent-context: x", id="wrong types"),
        pytest.param("apiVersion: v1\nkind: Config", id="without a context"),
    ],
)
def test_a_kubeconfig_that_is_none(slimgate, tmp_path, text):
    """Wrong usage, by the file's name; not a traceback."""
    file = tmp_path / "config"
    file.write_text(text)
    words = ("--state", tmp_path, "--namespace", "x", "--kubeconfig", file)
    ran = slimgate("controller", *map(str, words))
    assert ran.code == 64
    assert str(file) in ran.err
    assert "object does not" not in ran.err  # what the client's code met is nobody's concern
    assert "Traceback" not in ran.err


def test_outside_a_pod_it_asks_for_a_kubeconfig(slimgate, tmp_path):
    """And says how."""
    ran = slimgate("controller", "--state", str(tmp_path), "--namespace", "x")
    assert ran.code == 64
    assert "--kubeconfig" in ran.err


def test_without_an_api_server_it_lives_and_waits(tmp_path):
    """Alive, not ready, and gone at once when told so."""
    port, log = free_port(), tmp_path / "log"
    with closed_port() as nobody:
        config = {
            "clusters": [{"name": "c", "cluster": {"server": f"http://127.0.0.1:{nobody}"}}],
            "users": [{"name": "u", "user": {"token": "secret-token"}}],
            "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}],
            "current-context": "x",
        }
        (tmp_path / "config").write_text(json.dumps(config))
        (tmp_path / "state").mkdir()
        words = ("--state", tmp_path / "state", "--namespace", "x", "--name", "gate")
        places = ("--kubeconfig", tmp_path / "config", "--metrics", f"127.0.0.1:{port}")
        with log.open("wb") as output:
            process = subprocess.Popen(
                [sys.executable, "-m", "webhook", "controller", *words, *places], stderr=output
            )
        try:
            url = f"http://127.0.0.1:{port}"
            assert eventually(lambda: answers(f"{url}/readyz", status=503))
            assert eventually(lambda: told(url))
            assert answers(f"{url}/healthz")
        finally:
            process.send_signal(signal.SIGTERM)
            status = process.wait(60)
    assert status == 0
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    watching = [one for one in lines if one["event"] == "watch-error"]
    assert len(watching) == 3  # one for each kind, however often it is tried
    assert "secret-token" not in log.read_text()


def told(url):
    """Whether it has met what is wrong with each kind: every watch is a thread of its own."""
    said = request("GET", f"{url}/readyz").body
    return all(
        kind in said for kind in (b"/imagepolicies", b"/api/v1/namespaces", b"/api/v1/nodes")
    )
