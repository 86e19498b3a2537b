"""From a Kubernetes object to the ``Workload`` that is judged.

Knows where pods and pod templates name images, how a container's security context overrides
the pod's, and what node selector and affinity say of the platform. Knows neither admission
nor policies: the webhook, the command line and the audit all come through here.

Source: k8s.io/api core/v1, apps/v1, batch/v1; pod-security-admission's
``defaultPodSpecResources`` for the list of kinds.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from webhook.errors import ReviewError
from webhook.limits import Limits
from webhook.pod import Container, ContainerKind, Hook, Workload
from webhook.review.fields import Fields, shallow

MAX_IMAGES = 1_000
"""Images of one workload; the API server's own bound is only the object's size."""

_SPEC_TEMPLATE = ("spec", "template")
PODS: Mapping[tuple[str, str], tuple[str, ...]] = {
    ("", "Pod"): (),
    ("", "PodTemplate"): ("template",),
    ("", "ReplicationController"): _SPEC_TEMPLATE,
    ("apps", "ReplicaSet"): _SPEC_TEMPLATE,
    ("apps", "Deployment"): _SPEC_TEMPLATE,
    ("apps", "StatefulSet"): _SPEC_TEMPLATE,
    ("apps", "DaemonSet"): _SPEC_TEMPLATE,
    ("batch", "Job"): _SPEC_TEMPLATE,
    ("batch", "CronJob"): ("spec", "jobTemplate", "spec", "template"),
}
"""Where the pod is in an object, by API group and kind."""

_PLATFORM_TEXT = 1_000
"""Characters of all the systems or architectures that one pod names: they are part of the key
that its images are remembered by. Who names more is taken to mean any."""
_PROBES = ("livenessProbe", "readinessProbe", "startupProbe")
_LIFECYCLE = ("postStart", "preStop")
_ARCH, _OS = "kubernetes.io/arch", "kubernetes.io/os"


def workload_of(document: Mapping[str, Any], *, namespace: str) -> Workload | None:
    """The workload an object is, templates as the pods they create; None for other kinds.

    Args:
        document: the object with ``apiVersion`` and ``kind``, as decoded from JSON or YAML.
        namespace: where it is (to be) created; the object's own word is not asked.

    Raises:
        ReviewError: a field is of the wrong type, or it is nested too deep; names the field.
    """
    shallow(document, Limits().json_depth)
    top = Fields(document)
    kind = top.text("kind") or ""
    path = PODS.get((_group(top), kind))
    if path is None:
        return None
    pod = top
    for key in path:
        pod = pod.inner(key)
    return _workload(top.inner("metadata"), pod, kind=kind, namespace=namespace)


def _group(top: Fields) -> str:
    return (top.text("apiVersion") or "").rpartition("/")[0]


def _workload(metadata: Fields, pod: Fields, *, kind: str, namespace: str) -> Workload:
    spec = pod.inner("spec")
    return Workload(
        kind=kind,
        name=metadata.text("name") or "",
        generate_name=metadata.text("generateName") or "",
        namespace=namespace,
        containers=_bounded(_containers(spec), spec),
        template=kind != "Pod",
        os=spec.inner("os").text("name") or _only(_labelled(spec, _OS)),
        architectures=_labelled(spec, _ARCH),
        host_users=spec.flag("hostUsers") is not False,
        service_account=(
            spec.text("serviceAccountName") or spec.text("serviceAccount") or "default"
        ),
        pull_secrets=tuple(s.text("name") or "" for s in spec.each("imagePullSecrets")),
        document={key: pod.document[key] for key in ("metadata", "spec") if key in pod.document},
    )


def _bounded(containers: Iterator[Container], spec: Fields) -> tuple[Container, ...]:
    found = []
    for container in containers:
        found.append(container)
        if len(found) > MAX_IMAGES:
            raise ReviewError(f"{spec.path}: names more than {MAX_IMAGES} images")
    return tuple(found)


def _containers(spec: Fields) -> Iterator[Container]:
    security = spec.inner("securityContext")
    for fields in spec.each("initContainers"):
        always = fields.text("restartPolicy") == "Always"
        yield _container(fields, security, ContainerKind.SIDECAR if always else ContainerKind.INIT)
    for fields in spec.each("containers"):
        yield _container(fields, security, ContainerKind.CONTAINER)
    for fields in spec.each("ephemeralContainers"):
        yield _container(fields, security, ContainerKind.EPHEMERAL)
    for fields in spec.each("volumes"):
        if fields.document.get("image") is not None:
            yield _image_volume(fields)


def _container(fields: Fields, pod_security: Fields, kind: ContainerKind) -> Container:
    own = fields.inner("securityContext")
    user, group = own.number("runAsUser"), own.number("runAsGroup")
    non_root = own.flag("runAsNonRoot")
    windows, pod_windows = own.inner("windowsOptions"), pod_security.inner("windowsOptions")
    return Container(
        name=fields.text("name") or "",
        image=fields.text("image") or "",
        kind=kind,
        # An empty list is none: then the image's entrypoint stays.
        command=fields.texts("command") or None,
        args=fields.texts("args") or None,
        run_as_user=pod_security.number("runAsUser") if user is None else user,
        run_as_group=pod_security.number("runAsGroup") if group is None else group,
        run_as_non_root=pod_security.flag("runAsNonRoot") if non_root is None else non_root,
        run_as_user_name=windows.text("runAsUserName") or pod_windows.text("runAsUserName"),
        env=_literal_env(fields),
        working_dir=fields.text("workingDir") or None,
        hooks=tuple(_hooks(fields)),
        document=fields.document,
    )


def _image_volume(fields: Fields) -> Container:
    return Container(
        name=fields.text("name") or "",
        image=fields.inner("image").text("reference") or "",
        kind=ContainerKind.VOLUME,
        document=fields.document,
    )


def _literal_env(fields: Fields) -> dict[str, str]:
    """The last of two values of one name is the one the kubelet sets."""
    return {
        env.text("name") or "": env.text("value") or ""
        for env in fields.each("env")
        if env.document.get("valueFrom") is None
    }


def _hooks(fields: Fields) -> Iterator[Hook]:
    lifecycle = fields.inner("lifecycle")
    for where in (*_PROBES, *_LIFECYCLE):
        owner = fields if where in _PROBES else lifecycle
        if where in owner.document:
            command = owner.inner(where).inner("exec").texts("command")
            if command:
                yield Hook(where=where, command=command)


def _only(values: frozenset[str] | None) -> str | None:
    return next(iter(values)) if values is not None and len(values) == 1 else None


def _labelled(spec: Fields, label: str) -> frozenset[str] | None:
    """What nodes the scheduler may choose from, by a label's values.

    None where everything, or nothing, is left. Wide when in doubt: one architecture too many is
    judged, never one too few.
    """
    selected = spec.inner("nodeSelector").text(label)
    left = _required(spec, label)
    if selected is not None:
        left = frozenset({selected}) if left is None or selected in left else None
    return left if left is not None and sum(map(len, left)) <= _PLATFORM_TEXT else None


def _required(spec: Fields, label: str) -> frozenset[str] | None:
    affinity = spec.inner("affinity").inner("nodeAffinity")
    required = affinity.inner("requiredDuringSchedulingIgnoredDuringExecution")
    terms = [_term(term, label) for term in required.each("nodeSelectorTerms")]
    if any(term is None for term in terms):
        return None
    return frozenset().union(*(term for term in terms if term)) or None


def _term(term: Fields, label: str) -> frozenset[str] | None:
    """Expressions of one term all hold; only ``In`` names values outright."""
    left: frozenset[str] | None = None
    for expression in term.each("matchExpressions"):
        values = frozenset(expression.texts("values") or ())
        if expression.text("key") == label and expression.text("operator") == "In":
            left = values if left is None else left & values
    return left
