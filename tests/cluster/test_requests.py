"""The kinds of requests an API server sends, in a namespace that enforces."""

from __future__ import annotations

import json

import pytest

from tests.cluster.support.objects import pod, template
from tests.cluster.support.slimgate import policy_name

pytestmark = pytest.mark.cluster

IN_PROD = ("--namespace", "prod")


def patch_image(cluster, name, image):
    """Change a running pod's image."""
    return cluster.kubectl("set", "image", f"pod/{name}", f"app={image}", *IN_PROD)


@pytest.mark.parametrize(
    "kind",
    [
        "ReplicationController",
        "PodTemplate",
        "ReplicaSet",
        "Deployment",
        "StatefulSet",
        "DaemonSet",
        "Job",
        "CronJob",
    ],
)
def test_a_template_is_warned_of_and_created(kind, governed, images):
    """Whoever makes pods is advised: the pods are what is refused."""
    said = governed.create(template(kind, "shop", images["shell-by-name"]), *IN_PROD)
    assert said.status == 0, said.err
    assert any("noShell" in line and "/bin/sh" in line for line in said.warnings)


def test_a_template_that_is_fine_brings_no_warning(governed, images):
    """Silence is the answer to a good Deployment."""
    said = governed.create(template("Deployment", "quiet", images["distroless"]), *IN_PROD)
    assert (said.status, said.err) == (0, "")


def test_a_scaled_deployment_is_not_judged_again(governed, images):
    """Neither by the scale subresource nor by an update that leaves the pods as they are."""
    created = governed.create(template("Deployment", "scaled", images["shell-by-name"]), *IN_PROD)
    assert created.warnings
    for words in (
        ("scale", "deployment/scaled", "--replicas=3"),
        ("annotate", "deployment/scaled", "note=kept"),
        ("label", "deployment/scaled", "tier=web"),
    ):
        said = governed.kubectl(*words, *IN_PROD)
        assert (said.status, said.err) == (0, "")


def test_dry_run_is_answered_as_the_real_thing(governed, images):
    """``--dry-run=server`` shows the refusal beforehand, and stores nothing either way."""
    refused = governed.create(pod("dry", images["root-zero"]), *IN_PROD, "--dry-run=server")
    assert refused.status != 0
    assert "nonRoot" in refused.err
    let_in = governed.create(pod("dry", images["distroless"]), *IN_PROD, "--dry-run=server")
    assert (let_in.status, let_in.err) == (0, "")
    assert governed.kubectl("get", "pod", "dry", *IN_PROD).status != 0


def test_a_pod_without_a_name_is_refused_by_its_stem(governed, images):
    """``generateName``: servers of our day make the name before they ask, older ones after."""
    answer = governed.post("/api/v1/namespaces/prod/pods", pod("web-", images["root-zero"]))
    assert answer.status == 403
    assert answer.json["code"] == 403
    assert answer.json["reason"] == "Forbidden"
    assert f"policy {policy_name('prod')} denies Pod/web-" in answer.json["message"]


def test_a_pod_that_was_there_before_may_be_changed(governed, veteran, images):
    """An update that leaves the images alone is no reason to look into them; a new image is."""
    labelled = governed.kubectl("label", "pod", veteran, "seen=yes", *IN_PROD)
    assert (labelled.status, labelled.err) == (0, "")
    refused = patch_image(governed, veteran, images["shell-by-name"])
    assert refused.status != 0
    assert "noShell" in refused.err
    let_in = patch_image(governed, veteran, images["distroless"])
    assert (let_in.status, let_in.err) == (0, "")


def test_a_pod_nobody_would_let_in_can_be_deleted(governed, images):
    """DELETE is never judged: not even of what should never have come in."""
    document = json.dumps(pod("leaving", images["root-zero"]))
    governed.must("create", "--namespace", "rehearsal", "-f", "-", stdin=document)
    words = ("--namespace", "rehearsal", "--grace-period=0", "--force")
    assert governed.kubectl("delete", "pod", "leaving", *words).status == 0


def test_every_kind_of_container_is_judged(governed, images):
    """Init and sidecar containers, and a second container behind a good one."""
    bad = {"name": "second", "image": images["root-zero"]}
    good = {"name": "app", "image": images["distroless"]}
    for name, spec in {
        "second": {"containers": [good, bad]},
        "init": {"initContainers": [bad]},
        "sidecar": {"initContainers": [{**bad, "restartPolicy": "Always"}]},
    }.items():
        said = governed.create(pod(name, images["distroless"], **spec), *IN_PROD)
        assert said.status != 0, name
        assert "container second" in said.err


@pytest.fixture(scope="module")
def running(governed, images):
    """A good pod in prod, to be debugged."""
    document = json.dumps(pod("running", images["distroless"]))
    governed.must("create", *IN_PROD, "-f", "-", stdin=document)
    return "running"


def debug(cluster, name, image, container):
    """What ``kubectl debug`` does to a pod: an ephemeral container more."""
    words = ("debug", name, f"--image={image}", f"--container={container}", "--profile=general")
    return cluster.kubectl(*words, *IN_PROD)


def test_kubectl_debug_brings_no_shell_into_prod(governed, running, images):
    """An ephemeral container is judged as any other."""
    said = debug(governed, running, images["shell-by-content"], "debugger")
    assert said.status != 0
    assert "container debugger" in said.err
    assert "/app/metrics-helper" in said.err


def test_kubectl_debug_with_a_good_image_is_let_in(governed, running, images):
    """… and a good one joins the pod."""
    said = debug(governed, running, images["scratch"], "probe")
    assert said.status == 0, said.err
    names = "jsonpath={.spec.ephemeralContainers[*].name}"
    assert governed.must("get", "pod", running, *IN_PROD, "-o", names) == "probe"
