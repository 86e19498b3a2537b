"""AdmissionReview v1 bytes to a ``Request``, and what of it is to be judged.

Knows the envelope, the resources and subresources, and what an update must have changed to
be looked at again. Does not know policies, HTTP or how an answer looks.

Source: k8s.io/api/admission/v1 types.go; pod-security-admission's admission.go
(``ignoredPodSubresources``, ``isSignificantPodUpdate``).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

import msgspec

from webhook.errors import ReviewError
from webhook.judge.message import clean
from webhook.limits import MIB
from webhook.pod import Container, ContainerKind, Workload
from webhook.review.fields import Fields
from webhook.review.probe import ANNOTATION, NONCE
from webhook.review.workload import workload_of

MAX_BODY = 7 * MIB
"""Two objects of the API server's 3 MiB and their envelope (controller-runtime's bound)."""
MAX_UID = 253

PODS = ("", "pods")
PROBED = ("", "podtemplates")
MIRROR = "kubernetes.io/config.mirror"
NODE = "system:node:"
NODES = "system:nodes"
"""What the API server calls a node, and the group that all nodes are in."""
RESOURCES: Mapping[tuple[str, str], str] = {
    PODS: "Pod",
    ("", "podtemplates"): "PodTemplate",
    ("", "replicationcontrollers"): "ReplicationController",
    ("apps", "replicasets"): "ReplicaSet",
    ("apps", "deployments"): "Deployment",
    ("apps", "statefulsets"): "StatefulSet",
    ("apps", "daemonsets"): "DaemonSet",
    ("batch", "jobs"): "Job",
    ("batch", "cronjobs"): "CronJob",
}
"""The kind that each judged resource holds."""

IMAGELESS = frozenset(
    ("attach", "binding", "eviction", "exec", "log", "portforward", "proxy", "scale", "status")
)
"""Subresources of pods that cannot bring an image. All others are judged, so that one that
Kubernetes adds later fails safe."""

Operation = Literal["CREATE", "UPDATE", "DELETE", "CONNECT"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What the API server asks. ``name`` is empty where the server makes it."""

    uid: str
    """Identifies this one call, not the user's request: echoed and logged, never a key."""
    operation: Operation
    group: str
    resource: str
    subresource: str = ""
    kind: str = ""
    namespace: str = ""
    name: str = ""
    user: str = ""
    groups: tuple[str, ...] = ()
    """Who asks, by the API server's own word."""
    dry_run: bool = False
    object: Mapping[str, Any] | None = None
    old_object: Mapping[str, Any] | None = None

    @property
    def advisory(self) -> bool:
        """Whether it is about a template: its pods are judged again when they are created."""
        return (self.group, self.resource) != PODS


class _Kind(msgspec.Struct):
    kind: str = ""


class _Resource(msgspec.Struct):
    resource: str
    group: str = ""


class _User(msgspec.Struct):
    username: str = ""
    groups: tuple[str, ...] | None = None


class _Request(msgspec.Struct, rename="camel"):
    uid: str
    operation: Operation
    resource: _Resource
    kind: _Kind = msgspec.field(default_factory=_Kind)
    sub_resource: str = ""
    namespace: str = ""
    name: str = ""
    user_info: _User = msgspec.field(default_factory=_User)
    dry_run: bool | None = None
    object: msgspec.Raw = msgspec.Raw(b"null")
    old_object: msgspec.Raw = msgspec.Raw(b"null")


class _Review(msgspec.Struct, rename="camel"):
    api_version: str = ""
    kind: str = ""
    request: _Request | None = None


_REVIEW = msgspec.json.Decoder(_Review)
_OBJECT = msgspec.json.Decoder(dict[str, Any] | None)


def parse(body: bytes) -> Request:
    """Read an AdmissionReview.

    Raises:
        ReviewError: it is none of version v1 (400), or longer than ``MAX_BODY`` (413).
    """
    if len(body) > MAX_BODY:
        raise ReviewError(f"body: longer than {MAX_BODY} bytes", status=413)
    review = _decoded(_REVIEW, body, "body")
    if (review.api_version, review.kind) != ("admission.k8s.io/v1", "AdmissionReview"):
        raise ReviewError("body: must be an AdmissionReview of admission.k8s.io/v1")
    if review.request is None:
        raise ReviewError("request: missing")
    if not 0 < len(review.request.uid) <= MAX_UID:
        raise ReviewError(f"request.uid: must have 1 to {MAX_UID} characters")
    return _request(review.request)


def probe(request: Request) -> str | None:
    """The nonce of a dry run that asks whether reviews come here; None: it is none.

    Nothing is exempted by it: no pod comes of a PodTemplate, and none is stored by a dry run.
    """
    resource = (request.group, request.resource, request.subresource)
    if (request.operation, request.dry_run, resource) != ("CREATE", True, (*PROBED, "")):
        return None
    try:
        nonce = Fields(request.object or {}).inner("metadata").inner("annotations").text(ANNOTATION)
    except ReviewError:
        return None
    return nonce if nonce is not None and NONCE.fullmatch(nonce) else None


def mirrored(request: Request) -> str | None:
    """The node that shows the API server a static pod of its own; None: this is none.

    A static pod comes from a file on the node, and runs whatever is answered: a refusal only
    hides it. The annotation alone, which anybody can write, says nothing: the pod is the node's
    own, and the node is who asks.

    Source: kubelet's pkg/kubelet/pod/mirror_client.go; NodeRestriction's ``admitPodCreate``.
    """
    resource = (request.group, request.resource)
    if (request.operation, resource, request.subresource) != ("CREATE", PODS, ""):
        return None
    node = request.user.removeprefix(NODE)
    if not request.user.startswith(NODE) or NODES not in request.groups:
        return None
    pod = Fields(request.object or {})
    try:
        marked = pod.inner("metadata").inner("annotations").text(MIRROR) is not None
        placed = pod.inner("spec").text("nodeName")
    except ReviewError:
        return None
    return node if node and marked and node == placed else None


def to_judge(request: Request) -> Workload | None:
    """The workload to judge, with the containers to judge; None: nothing here can matter.

    Of an updated pod, the containers with another image, and new or changed ephemeral ones; of
    an updated template, all if any image, command or security context changed. An old object
    that cannot be read counts as changed.

    Raises:
        ReviewError: the object is not what the request says, or a field has a wrong type.
    """
    kind = RESOURCES.get((request.group, request.resource))
    if kind is None or request.operation in {"DELETE", "CONNECT"} or _imageless(request):
        return None
    new = _workload(request.object, request, kind)
    if request.operation == "CREATE":
        return new
    try:
        old = _workload(request.old_object, request, kind)
        deleting = _deleting(request.old_object)
    except ReviewError:
        return new
    return None if deleting else _changed(new, old)


def _request(request: _Request) -> Request:
    return Request(
        uid=request.uid,
        operation=request.operation,
        group=request.resource.group,
        resource=request.resource.resource,
        subresource=request.sub_resource,
        kind=request.kind.kind,
        namespace=request.namespace,
        name=request.name,
        user=request.user_info.username,
        groups=request.user_info.groups or (),
        dry_run=request.dry_run is True,
        object=_decoded(_OBJECT, request.object, "request.object"),
        old_object=_decoded(_OBJECT, request.old_object, "request.oldObject"),
    )


def _decoded(decoder: msgspec.json.Decoder[Any], data: bytes | msgspec.Raw, path: str) -> Any:
    try:
        return decoder.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise ReviewError(f"{path}: {clean(str(error), 200)}") from error
    except RecursionError as error:
        raise ReviewError(f"{path}: nested too deep") from error


def _imageless(request: Request) -> bool:
    if request.advisory:
        return request.subresource != ""
    return request.subresource in IMAGELESS


def _workload(document: Mapping[str, Any] | None, request: Request, kind: str) -> Workload:
    workload = workload_of(document or {}, namespace=request.namespace)
    if workload is None or workload.kind != kind:
        raise ReviewError(f"request.object: must be a {kind}")
    return workload


def _deleting(document: Mapping[str, Any] | None) -> bool:
    """By the stored object: there, only the API server sets it."""
    metadata = Fields(document or {}, "request.oldObject").inner("metadata")
    return metadata.text("deletionTimestamp") is not None


def _changed(new: Workload, old: Workload) -> Workload | None:
    if new.template:
        return None if _essence(new) == _essence(old) else new
    known = {(container.kind, container.name): container for container in old.containers}
    changed = tuple(c for c in new.containers if _differs(c, known.get((c.kind, c.name))))
    return replace(new, containers=changed) if changed else None


def _differs(new: Container, old: Container | None) -> bool:
    if old is None or new.image != old.image:
        return True
    return new.kind is ContainerKind.EPHEMERAL and new.document != old.document


def _essence(workload: Workload) -> tuple[object, ...]:
    """Of a template, what the checks judge."""
    spec = Fields(workload.document).inner("spec")
    return (
        workload.os,
        workload.architectures,
        workload.host_users,
        spec.document.get("securityContext"),
        [
            (c.kind, c.name, c.image, c.command, c.args, c.hooks, c.document.get("securityContext"))
            for c in workload.containers
        ],
    )
