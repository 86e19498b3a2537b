"""``make demo-cluster``: the demo's answers, met by kubectl."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.cluster import build

pytestmark = pytest.mark.cluster


def test_plays_through_a_real_api_server(provide):
    """What kubectl prints is as expected in every namespace, and comes from the real one."""
    for program in (build.ETCD, build.KUBE_APISERVER, build.KUBECTL):
        provide(program)  # skips where it is not to be had
    seen = subprocess.run(
        [sys.executable, "-m", "demo", "--cluster"],
        cwd=Path(__file__).parents[2],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert seen.returncode == 0, seen.stdout + seen.stderr
    assert "a Kubernetes API server at https://127.0.0.1:" in seen.stdout
    assert "12 answers, all as expected" in seen.stdout
