"""``slimgate controller``: what it is told, before it speaks to an API server."""

from __future__ import annotations

import contextlib
import json
import signal
import subprocess
import sys
from pathlib import Path

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
    with closed_port() as nobody, controller(tmp_path, nobody) as (process, url):
        assert eventually(lambda: told(url))
        assert answers(f"{url}/healthz")
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0
    log = (tmp_path / "log").read_text()
    lines = [json.loads(line) for line in log.splitlines()]
    watching = [one for one in lines if one["event"] == "watch-error"]
    assert len(watching) == 3  # one for each kind, however often it is tried
    assert "secret-token" not in log


def test_it_ends_where_it_was_frozen_when_told_so(tmp_path):
    """Any of its threads may be given the signal then: most of three would not have ended."""
    with closed_port() as nobody, contextlib.ExitStack() as stack:
        running = []
        for name in "abc":
            (tmp_path / name).mkdir()
            running.append(stack.enter_context(controller(tmp_path / name, nobody)))
        for process, url in running:
            assert eventually(lambda url=url: told(url))
            process.send_signal(signal.SIGSTOP)
            assert eventually(lambda one=process: state(one) == "T")
            process.send_signal(signal.SIGTERM)
            process.send_signal(signal.SIGCONT)
        assert [process.wait(60) for process, _ in running] == [0, 0, 0]


@pytest.mark.parametrize("last", [signal.SIGTERM, signal.SIGINT])
def test_it_lingers_until_it_is_told_again(tmp_path, last):
    """What slimgate serve needs of it goes on meanwhile."""
    with closed_port() as nobody, controller(tmp_path, nobody, "--linger", "300s") as (one, url):
        assert eventually(lambda: told(url))
        one.send_signal(signal.SIGTERM)
        with pytest.raises(subprocess.TimeoutExpired):
            one.wait(2)
        assert answers(f"{url}/healthz")
        one.send_signal(last)
        assert one.wait(60) == 0


def test_ctrl_c_does_not_let_it_linger(tmp_path):
    with closed_port() as nobody, controller(tmp_path, nobody, "--linger", "300s") as (one, url):
        assert eventually(lambda: told(url))
        one.send_signal(signal.SIGINT)
        assert one.wait(60) == 0


@contextlib.contextmanager
def controller(folder, nobody, *more):
    """One whose API server is away, and where its probes are."""
    port = free_port()
    config = {
        "clusters": [{"name": "c", "cluster": {"server": f"http://127.0.0.1:{nobody}"}}],
        "users": [{"name": "u", "user": {"token": "secret-token"}}],
        "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}],
        "current-context": "x",
    }
    (folder / "config").write_text(json.dumps(config))
    (folder / "state").mkdir()
    words = ("--state", folder / "state", "--namespace", "x", "--name", "gate")
    places = ("--kubeconfig", folder / "config", "--metrics", f"127.0.0.1:{port}")
    command = [sys.executable, "-m", "webhook", "controller", *words, *places, *more]
    with (folder / "log").open("wb") as output:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stderr=output)
    try:
        yield process, f"http://127.0.0.1:{port}"
    finally:
        process.kill()
        process.wait()


def state(process):
    """As the kernel has it: S sleeps, T is stopped."""
    return Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()[0]


def told(url):
    """Whether it has met what is wrong with each kind: every watch is a thread of its own."""
    if not answers(f"{url}/readyz", status=503):
        return False
    said = request("GET", f"{url}/readyz").body
    return all(
        kind in said for kind in (b"/imagepolicies", b"/api/v1/namespaces", b"/api/v1/nodes")
    )
