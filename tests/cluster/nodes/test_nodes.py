"""The cluster is what later tests take it for."""

from __future__ import annotations

import subprocess

import pytest

from tests.cluster.support.objects import pod
from tests.cluster.support.processes import eventually
from tests.support.push import push
from tests.support.samples import SAMPLES
from webhook import __version__

pytestmark = pytest.mark.nodes


@pytest.fixture
def place(real):
    """A namespace for one test."""
    real.must("create", "namespace", "place")
    real.must("wait", "--for=create", "serviceaccount/default", "--namespace=place")
    yield "place"
    real.must("delete", "namespace", "place", "--timeout=100s")


@pytest.fixture
def image(real):
    """An image whose program tells its uid, and sleeps."""
    return push(real.registry.host, "samples/distroless", SAMPLES["distroless"].image)


def ready(real, place):
    real.must("wait", "--for=condition=Ready", "pod", "--all", "-n", place, "--timeout=100s")


def test_pods_run_and_are_spoken_to(real, place, image):
    """Logs and exec go through the API server to the kubelet."""
    spec = {"terminationGracePeriodSeconds": 1}
    assert real.create(pod("app", image, **spec), "-n", place).status == 0
    ready(real, place)
    assert eventually(lambda: real.must("logs", "app", "-n", place) == "uid 65532 gid 65532\n")
    said = real.kubectl("exec", "app", "-n", place, "--", "/missing")
    assert "stat /missing: no such file or directory" in said.err


def test_slimgates_own_image_runs(real, place, own_image):
    """As the chart will run it: nothing may be written, and the kubelet proves it is not root."""
    context = {"readOnlyRootFilesystem": True, "runAsNonRoot": True}
    one = pod("own", push(real.registry.host, "slimgate", own_image.image), restartPolicy="Never")
    one["spec"]["containers"][0] |= {"args": ["--version"], "securityContext": context}
    assert real.create(one, "-n", place).status == 0
    done = "--for=jsonpath={.status.phase}=Succeeded"
    real.must("wait", done, "pod/own", "-n", place, "--timeout=100s")
    assert real.must("logs", "own", "-n", place) == f"slimgate {__version__}\n"


def test_a_drained_node_is_empty_and_the_other_takes_over(real, place, image):
    """… with the API server restarted in between."""
    real.must("create", "deployment", "web", f"--image={image}", "--replicas=4", "-n", place)
    limit = '{"spec": {"template": {"spec": {"terminationGracePeriodSeconds": 1}}}}'
    real.must("patch", "deployment", "web", "-n", place, "-p", limit)
    real.must("rollout", "status", "deployment/web", "-n", place, "--timeout=100s")
    real.restart_api_server()

    def drained():
        # A scheduler that has not heard of the cordon yet may still send a pod there.
        real.drain("node2")
        real.must("rollout", "status", "deployment/web", "-n", place, "--timeout=100s")
        return {one["spec"]["nodeName"] for one in real.objects("pods", "-n", place)} == {"node1"}

    try:
        assert eventually(drained, seconds=300)
    finally:
        real.uncordon("node2")


def test_a_node_is_no_administrator(real):
    """The API server knows kubelets as nodes: each sees and changes its own only."""
    config = real.folder / "node1.kubeconfig"
    kubectl = [real.program, "--kubeconfig", config]
    for words, told in (
        (["get", "secrets", "-A"], "can only read namespaced object of this type"),
        (["label", "node", "node2", "a=b"], "only its own Node object"),
    ):
        done = subprocess.run([*kubectl, *words], capture_output=True, text=True, check=False)
        assert done.returncode == 1
        assert told in done.stderr
