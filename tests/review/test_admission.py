"""What is read of an AdmissionReview, and what of it is judged."""

from __future__ import annotations

import copy

import pytest

from tests.server.judges import body, deployment, pod
from webhook.errors import ReviewError
from webhook.review.admission import MAX_BODY, mirrored, parse, to_judge


def judged(document=None, **request):
    """The images that are judged; None when nothing is."""
    workload = to_judge(parse(body(document, **request)))
    return None if workload is None else [c.image for c in workload.containers]


def update(new, old, **request):
    return judged(new, oldObject=old, operation="UPDATE", **request)


def test_the_envelope():
    request = parse(body(pod(), dryRun=True, subResource="resize", operation="UPDATE"))
    assert request.uid == "705ab4f5-6393-11e8-b7cc-42010a800002"
    assert (request.operation, request.dry_run, request.subresource) == ("UPDATE", True, "resize")
    assert (request.group, request.resource, request.kind) == ("", "pods", "Pod")
    assert (request.namespace, request.name, request.user) == ("prod", "web", "jane")
    assert request.object == pod()
    assert request.old_object is None
    assert not request.advisory


def test_the_server_makes_the_name():
    document = {**pod(), "metadata": {"generateName": "web-"}}
    request = parse(body(document, name=None))
    assert request.name == ""
    assert to_judge(request).title == "Pod/web-*"


@pytest.mark.parametrize(
    ("sent", "error"),
    [
        pytest.param(b"", "truncated", id="empty"),
        pytest.param(b"{", "truncated", id="cut off"),
        pytest.param(b"[]", "Expected `object`", id="a list"),
        pytest.param(b"{}", "must be an AdmissionReview of admission.k8s.io/v1", id="an object"),
        pytest.param(b'{"kind": "\xff"}', "utf-8", id="not UTF-8"),
        pytest.param(b'{"a": NaN}', "malformed", id="NaN"),
        pytest.param(b'{"a":' * 5_000, "nested too deep", id="deep"),
        pytest.param(
            body(pod()).replace(b"k8s.io/v1", b"k8s.io/v1beta1"),
            "admission.k8s.io/v1",
            id="v1beta1",
        ),
        pytest.param(
            body(pod()).replace(b'"AdmissionReview"', b'"Pod"'), "AdmissionReview", id="a Pod"
        ),
        pytest.param(
            b'{"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview"}',
            "request: missing",
            id="no request",
        ),
        pytest.param(body(pod(), uid=None), "uid", id="no uid"),
        pytest.param(body(pod(), uid=""), "uid", id="empty uid"),
        pytest.param(body(pod(), uid="u" * 300), "uid", id="long uid"),
        pytest.param(body(pod(), uid=7), "`$.request.uid`", id="uid of a wrong type"),
        pytest.param(body(pod(), operation="PATCH"), "`$.request.operation`", id="operation"),
        pytest.param(body(pod(), object="x"), "request.object", id="object of a wrong type"),
        pytest.param(body(pod(), resource={}), "resource", id="no resource"),
    ],
)
def test_what_is_no_review(sent, error):
    with pytest.raises(ReviewError) as raised:
        parse(sent)
    assert error in str(raised.value)
    assert len(str(raised.value)) < 300
    assert raised.value.status == 400


def test_size_is_bounded():
    sent = body(pod())
    assert parse(sent + b" " * (MAX_BODY - len(sent))).uid
    with pytest.raises(ReviewError) as raised:
        parse(sent + b" " * (MAX_BODY - len(sent) + 1))
    assert raised.value.status == 413


@pytest.mark.parametrize("subresource", ["", "ephemeralcontainers", "resize", "fromTheFuture"])
def test_pods_are_judged_by_whatever_subresource(subresource):
    assert judged(pod(), subResource=subresource) == ["app:1"]


@pytest.mark.parametrize(
    "subresource",
    ["attach", "binding", "eviction", "exec", "log", "portforward", "proxy", "scale", "status"],
)
def test_subresources_without_images_pass(subresource):
    assert judged({"kind": "Whatever"}, resource=PODS, subResource=subresource) is None


PODS = {"group": "", "version": "v1", "resource": "pods"}


@pytest.mark.parametrize(
    "request_",
    [
        pytest.param(body(operation="DELETE", oldObject=pod()), id="delete"),
        pytest.param(body({"kind": "Pod"}, operation="CONNECT"), id="connect"),
        pytest.param(body({"kind": "ConfigMap", "apiVersion": "v1"}), id="another resource"),
        pytest.param(body(deployment(), subResource="scale"), id="a template's subresource"),
        pytest.param(
            body(deployment(), resource={"group": "x.example", "resource": "deployments"}),
            id="another group's resource of that name",
        ),
    ],
)
def test_what_is_not_judged(request_):
    assert to_judge(parse(request_)) is None


@pytest.mark.parametrize(
    ("document", "resource"),
    [
        pytest.param(None, PODS, id="no object"),
        pytest.param({"apiVersion": "v1", "kind": "Binding"}, PODS, id="another kind"),
        pytest.param({"apiVersion": "v2/x", "kind": "Pod"}, PODS, id="another group's Pod"),
        pytest.param(deployment(), PODS, id="another judged kind"),
    ],
)
def test_an_object_that_is_not_what_the_resource_says(document, resource):
    request = parse(body(document, resource=resource))
    with pytest.raises(ReviewError, match="must be a Pod"):
        to_judge(request)


def test_templates():
    assert judged(deployment()) == ["app:1"]
    assert parse(body(deployment())).advisory


def _with(document, path, value):
    """A copy with one field set; the path is dotted, numbers are indexes."""
    changed = copy.deepcopy(document)
    *parents, last = path.split(".")
    node = changed
    for part in parents:
        node = node[int(part)] if part.isdecimal() else node.setdefault(part, {})
    node[last] = value
    return changed


TWO = pod(
    containers=[{"name": "a", "image": "a:1"}, {"name": "b", "image": "b:1"}],
    initContainers=[{"name": "i", "image": "i:1"}],
    ephemeralContainers=[{"name": "e", "image": "e:1"}],
)


@pytest.mark.parametrize(
    ("path", "value", "images"),
    [
        pytest.param("metadata.labels", {"a": "b"}, None, id="labels"),
        pytest.param("metadata.finalizers", [], None, id="finalizers"),
        pytest.param("spec.tolerations", [], None, id="tolerations"),
        pytest.param("spec.containers.1.image", "b:2", ["b:2"], id="one image"),
        pytest.param("spec.initContainers.0.image", "i:2", ["i:2"], id="an init image"),
        pytest.param("spec.containers.1.resources", {"limits": {}}, None, id="resources"),
        pytest.param("spec.ephemeralContainers.0.image", "e:2", ["e:2"], id="an ephemeral image"),
        pytest.param(
            "spec.ephemeralContainers.0.securityContext",
            {"runAsUser": 0},
            ["e:1"],
            id="an ephemeral container's user",
        ),
        pytest.param(
            "spec.ephemeralContainers",
            [{"name": "e", "image": "e:1"}, {"name": "new", "image": "a:1"}],
            ["a:1"],
            id="a new ephemeral container",
        ),
        pytest.param("spec.containers.0.name", "c", ["a:1"], id="a name nobody knew"),
    ],
)
def test_an_update_of_a_pod_is_judged_where_images_changed(path, value, images):
    assert update(_with(TWO, path, value), TWO) == images


@pytest.mark.parametrize(
    "old",
    [
        pytest.param(None, id="absent"),
        pytest.param({"apiVersion": "v1", "kind": "Pod", "spec": []}, id="of a wrong type"),
        pytest.param({"apiVersion": "v1", "kind": "Secret"}, id="another kind"),
        pytest.param(_with(pod(), "metadata.deletionTimestamp", 7), id="bad metadata"),
    ],
)
def test_an_old_object_that_cannot_be_read_counts_as_changed(old):
    assert update(pod(), old) == ["app:1"]


def test_a_pod_being_deleted_passes():
    stamp = "2026-11-01T00:00:00Z"
    old = _with(pod(), "metadata.deletionTimestamp", stamp)
    assert update(pod("app:2"), old) is None
    # On the new object alone it is the client's own word.
    assert update(_with(pod("app:2"), "metadata.deletionTimestamp", stamp), pod()) == ["app:2"]
    assert judged(_with(pod(), "metadata.deletionTimestamp", stamp)) == ["app:1"]


POD_SPEC = "spec.template.spec"


@pytest.mark.parametrize(
    ("path", "value", "changed"),
    [
        pytest.param("spec.replicas", 5, False, id="replicas"),
        pytest.param("metadata.labels", {"a": "b"}, False, id="labels"),
        pytest.param("spec.template.metadata", {"annotations": {"a": "b"}}, False, id="restart"),
        pytest.param(f"{POD_SPEC}.containers.0.image", "app:2", True, id="image"),
        pytest.param(f"{POD_SPEC}.containers.0.command", ["/bin/sh"], True, id="command"),
        pytest.param(f"{POD_SPEC}.containers.0.args", ["-v"], True, id="args"),
        pytest.param(
            f"{POD_SPEC}.containers.0.livenessProbe",
            {"exec": {"command": ["sh"]}},
            True,
            id="exec probe",
        ),
        pytest.param(f"{POD_SPEC}.containers.0.securityContext", {"runAsUser": 0}, True, id="user"),
        pytest.param(f"{POD_SPEC}.securityContext", {"runAsUser": 0}, True, id="the pod's user"),
        pytest.param(f"{POD_SPEC}.hostUsers", False, True, id="host users"),
    ],
)
def test_an_update_of_a_template_is_judged_when_what_is_judged_changed(path, value, changed):
    new = _with(deployment(), path, value)
    assert (update(new, deployment()) is not None) is changed


NODE = {"username": "system:node:node1", "groups": ["system:nodes", "system:authenticated"]}


def static(**spec):
    """A pod as a kubelet shows it."""
    document = pod(**{"nodeName": "node1", **spec})
    document["metadata"]["annotations"] = {"kubernetes.io/config.mirror": "0123456789abcdef"}
    return document


def test_a_nodes_own_static_pod():
    request = parse(body(static(), userInfo=NODE))
    assert mirrored(request) == "node1"
    assert to_judge(request) is not None


@pytest.mark.parametrize(
    ("document", "request_"),
    [
        pytest.param(static(), {}, id="the annotation alone"),
        pytest.param(pod(nodeName="node1"), {"userInfo": NODE}, id="the node alone"),
        pytest.param(
            static(), {"userInfo": {"username": "system:node:node1"}}, id="without the group"
        ),
        pytest.param(
            static(), {"userInfo": {**NODE, "groups": None}}, id="with null for its groups"
        ),
        pytest.param(
            static(), {"userInfo": {**NODE, "username": "node1"}}, id="the group without the name"
        ),
        pytest.param(
            static(), {"userInfo": {**NODE, "username": "system:node:node2"}}, id="another node's"
        ),
        pytest.param(
            static(nodeName=""), {"userInfo": {**NODE, "username": "system:node:"}}, id="no node's"
        ),
        pytest.param(
            static(), {"userInfo": NODE, "operation": "UPDATE", "oldObject": pod()}, id="an update"
        ),
        pytest.param(
            static(),
            {"userInfo": NODE, "subResource": "ephemeralcontainers"},
            id="a subresource",
        ),
        pytest.param(deployment(), {"userInfo": NODE}, id="a template"),
        pytest.param({"kind": "Pod"}, {"userInfo": NODE}, id="nothing to read"),
        pytest.param(
            {**pod(), "metadata": {"annotations": {"kubernetes.io/config.mirror": 7}}},
            {"userInfo": NODE},
            id="of a wrong type",
        ),
    ],
)
def test_no_static_pod(document, request_):
    assert mirrored(parse(body(document, **request_))) is None
