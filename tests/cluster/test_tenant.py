"""What a tenant can try who administers a namespace, but not the cluster: none of it gets by.

The tenant holds in prod what Kubernetes' own ``admin`` ClusterRole is made of (the controller that
adds it up does not run here), and the ephemeral containers that ``kubectl debug`` needs. That
nobody changes the ``slimgate.dev/*`` labels of a namespace by such rights is in tests/chart.
"""

from __future__ import annotations

import json

import pytest

from tests.cluster.support.objects import pod, template
from tests.cluster.support.processes import eventually

pytestmark = pytest.mark.cluster

IN_PROD = ("--namespace", "prod")
ADMIN = tuple(f"system:aggregate-to-{role}" for role in ("view", "edit", "admin"))
EXEMPTIONS = {
    "slimgate.dev/policy": "none",
    "slimgate.dev/break-glass": "true",
    "slimgate.dev/ignore": "true",
    "admission.slimgate.dev/skip": "true",
    "control-plane": "slimgate",
    "app.kubernetes.io/name": "slimgate",
}
"""Labels and annotations that would be obeyed by a webhook that trusts what it judges."""


@pytest.fixture(scope="module")
def tenant(governed):
    """Run kubectl as somebody who may do in prod whatever a namespace's administrator may."""
    words = ("--verb=get,update,patch", "--resource=pods/ephemeralcontainers")
    governed.must("create", "role", "debugger", *words, *IN_PROD)
    for role in (*(f"--clusterrole={name}" for name in ADMIN), "--role=debugger"):
        name = role.replace(":", "-").rpartition("=")[2]
        governed.must("create", "rolebinding", name, role, "--user=tenant", *IN_PROD)

    def run(*words, stdin=None):
        return governed.kubectl("--as=tenant", *IN_PROD, *words, stdin=stdin)

    for what in (("create", "pods"), ("patch", "pods/ephemeralcontainers")):
        assert eventually(lambda what=what: run("auth", "can-i", *what).out.strip() == "yes")
    return run


@pytest.fixture(scope="module")
def good(governed, images):
    """A good pod of the tenant's, to be changed."""
    governed.must("create", *IN_PROD, "-f", "-", stdin=json.dumps(pod("ours", images["scratch"])))
    return "ours"


def create(tenant, document):
    """Create an object as the tenant."""
    return tenant("create", "-f", "-", stdin=json.dumps(document))


def refused(said):
    """Whether slimgate, and nobody else, refused it."""
    return said.status != 0 and 'admission webhook "pods.slimgate.dev" denied' in said.err


@pytest.mark.parametrize("where", ["labels", "annotations"])
def test_no_label_or_annotation_of_a_pod_exempts_it(where, tenant, images):
    """The policy is the namespace's: what a pod says of itself is not asked."""
    document = pod(f"marked-{where}", images["shell-by-name"])
    document["metadata"][where] = EXEMPTIONS
    assert refused(create(tenant, document))


def test_a_made_up_owner_exempts_nothing(tenant, images):
    """Pods are judged whoever is said to have made them: an owner is a field like any other."""
    document = pod("owned", images["shell-by-name"])
    document["metadata"]["ownerReferences"] = [
        {
            "apiVersion": "apps/v1",
            "kind": "ReplicaSet",
            "name": "shop-5d4f8c7b9",
            "uid": "0a1b2c3d-0000-4000-8000-000000000000",
            "controller": True,
        }
    ]
    assert refused(create(tenant, document))


@pytest.mark.parametrize(
    "annotation", ["kubernetes.io/config.mirror", "kubernetes.io/config.source"]
)
def test_the_look_of_a_static_pod_exempts_nothing(annotation, tenant, images):
    """Only a node's own pods are static, and those the kubelet starts whatever anybody says."""
    document = pod("static", images["shell-by-name"], nodeName="node1")
    document["metadata"]["annotations"] = {annotation: "0123456789abcdef"}
    assert refused(create(tenant, document))


@pytest.fixture(scope="module")
def node(governed):
    """Run kubectl as the node ``node1``, which shows its static pods as mirror pods."""
    governed.must("create", "role", "mirrors", "--verb=create", "--resource=pods", *IN_PROD)
    governed.must(
        "create", "rolebinding", "nodes", "--role=mirrors", "--group=system:nodes", *IN_PROD
    )
    who = ("--as=system:node:node1", "--as-group=system:nodes", "--as-group=system:authenticated")

    def run(*words, stdin=None):
        return governed.kubectl(*who, *IN_PROD, *words, stdin=stdin)

    assert eventually(lambda: run("auth", "can-i", "create", "pods").out.strip() == "yes")
    return run


def static(name, image, on):
    """A pod that looks as the mirror of a static one."""
    document = pod(name, image, nodeName=on)
    document["metadata"]["annotations"] = {"kubernetes.io/config.mirror": "0123456789abcdef"}
    return document


def test_a_nodes_static_pod_is_shown_and_reported(node, governed, images):
    """It runs whatever is said, so a refusal would only hide it."""
    said = create(node, static("shown", images["shell-by-name"], "node1"))
    assert said.status == 0, said.err
    assert any("this static pod runs all the same" in line for line in said.warnings)
    found = governed.audited("prod", "shown")["annotations"]
    assert found["pods.slimgate.dev/decision"] == "would-deny"
    assert found["pods.slimgate.dev/mirror"] == "node1"
    assert "noShell" in found["pods.slimgate.dev/violations"]


def test_a_node_exempts_no_pod_of_another(node, images):
    """Nor one that is no mirror: both are what NodeRestriction refuses, where it is on."""
    assert refused(create(node, static("elsewhere", images["shell-by-name"], "node2")))
    assert refused(create(node, pod("plain", images["shell-by-name"], nodeName="node1")))


def test_another_scheduler_or_a_chosen_node_exempts_nothing(tenant, images):
    """``nodeName`` goes round the scheduler, not round admission."""
    document = pod("placed", images["shell-by-name"], nodeName="node1", schedulerName="mine")
    assert refused(create(tenant, document))


def test_host_users_false_makes_no_root_harmless(tenant, images):
    """A user namespace keeps it from being root on the node; in the container it still is."""
    said = create(tenant, pod("mapped", images["root-zero"], hostUsers=False))
    assert refused(said)
    assert "hostUsers: false keeps it from being root on the node; in the container it is" in (
        said.err
    )


def test_run_as_non_root_does_not_stand_for_a_user(tenant, images):
    """``runAsNonRoot`` chooses no user: such a pod would be let in and never start."""
    document = pod("promised", images["root-zero"], securityContext={"runAsNonRoot": True})
    said = create(tenant, document)
    assert refused(said)
    assert "the kubelet will refuse to start it" in said.err


def test_a_running_pod_gets_no_bad_image(tenant, good, images):
    """The image is what of a running pod can be changed."""
    said = tenant("set", "image", f"pod/{good}", f"app={images['shell-by-name']}")
    assert refused(said)


def test_a_running_pod_gets_no_bad_ephemeral_container(tenant, good, images):
    """By ``kubectl debug``, and by writing to the subresource oneself."""
    shell = images["shell-by-content"]
    words = ("debug", good, f"--image={shell}", "--container=peek", "--profile=general")
    assert refused(tenant(*words))
    patch = {"spec": {"ephemeralContainers": [{"name": "peek", "image": shell}]}}
    words = ("patch", "pod", good, "--subresource=ephemeralcontainers", "-p", json.dumps(patch))
    assert refused(tenant(*words))


def test_a_good_pod_under_a_bad_name_of_an_update_is_no_way_round(tenant, good, images):
    """An update that marks the pod in every way, and changes the image in the same breath."""
    patch = {
        "metadata": {"labels": EXEMPTIONS, "finalizers": ["example.com/hold"]},
        "spec": {"containers": [{"name": "app", "image": images["root-zero"]}]},
    }
    assert refused(tenant("patch", "pod", good, "-p", json.dumps(patch)))


def test_scaling_brings_no_pods_in(tenant, images):
    """``scale`` itself is let be; the pods that it asks for are judged as all are."""
    made = create(tenant, template("ReplicaSet", "scaled-up", images["shell-by-name"]))
    assert made.status == 0, made.err
    scaled = tenant("scale", "replicaset/scaled-up", "--replicas=3")
    assert scaled.status == 0, scaled.err
    document = pod("scaled-up-x7k2p", images["shell-by-name"])
    document["metadata"]["labels"] = {"app": "scaled-up"}
    assert refused(create(tenant, document))


def test_the_namespace_is_not_the_tenants(tenant):
    """Labels of a namespace are the cluster administrator's by Kubernetes' own roles already."""
    said = tenant("label", "namespace", "prod", "slimgate.dev/policy-")
    assert said.status != 0
    assert "Forbidden" in said.err or "forbidden" in said.err
