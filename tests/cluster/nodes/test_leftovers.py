"""Nothing of a cluster stays behind, however it ended."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cluster.support import leftovers
from tests.cluster.support.nodes import only_one

pytestmark = pytest.mark.nodes

CRASH = """
import os, signal, sys, pathlib
from tests.cluster import build
from tests.cluster.support.nodes import real_cluster
from tests.support.push import push
from tests.support.samples import SAMPLES

with real_cluster(pathlib.Path(sys.argv[1]), lambda it: build.provide(it, print), nodes=1) as one:
    image = push(one.registry.host, "app", SAMPLES["distroless"].image)
    one.must("run", "app", f"--image={image}")
    one.must("wait", "--for=condition=Ready", "pod/app", "--timeout=100s")
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_what_a_crash_leaves_is_cleared(nodes_possible, provide, tmp_path_factory):
    """… by process id, mount, bridge and cgroup, and again without harm."""
    folder = tmp_path_factory.mktemp("crash")  # a short name: it holds sockets (108 bytes)
    # It waits until no other process has a cluster; a minute is enough for the rest.
    done = subprocess.run([sys.executable, "-c", CRASH, folder], timeout=3600, check=False)
    assert done.returncode == -signal.SIGKILL
    assert set(leftovers.marked().values()) == {str(folder)}
    bystander = subprocess.Popen(["sleep", "60"])
    try:
        with only_one():
            leftovers.clear()
            leftovers.clear()
        assert bystander.poll() is None
    finally:
        bystander.kill()
        bystander.wait()
    assert not leftovers.marked()
    assert not list(leftovers.CGROUPS.glob(f"*/{leftovers.BRIDGE}*"))
    assert not list(Path("/sys/class/net").glob(f"{leftovers.BRIDGE}*"))
    assert str(folder) not in Path("/proc/self/mounts").read_text()
    for program in ("iptables-save", "ip6tables-save"):
        rules = subprocess.run([program], capture_output=True, text=True, check=True).stdout
        assert "KUBE-" not in rules
        assert "CNI-" not in rules
