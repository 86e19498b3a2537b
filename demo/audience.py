"""Who asks for pods: we, in the API server's words, or kubectl through a real API server."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from demo.scene import Outcome
from tests.cluster.support.apiserver import Cluster
from tests.cluster.support.slimgate import Gate
from tests.cluster.support.web import request

WEBHOOK = "pods.slimgate.dev"
"""The name the webhook is registered by, which kubectl shows."""


@dataclass(frozen=True)
class Answer:
    """What came of ``kubectl apply``."""

    outcome: Outcome
    lines: tuple[str, ...]
    """As kubectl prints them."""
    audit: Mapping[str, str]
    """The annotations in the API server's audit log."""


Ask = Callable[[Mapping[str, Any], str], Answer]
"""A pod and the name of a namespace to an answer."""


def in_the_api_servers_words(gate: Gate) -> Ask:
    """Send AdmissionReviews as an API server would."""

    def ask(pod: Mapping[str, Any], namespace: str) -> Answer:
        body = json.dumps(_review(pod, namespace)).encode()
        headers = {"Content-Type": "application/json"}
        answer = request("POST", f"{gate.url}?timeout=30s", body, headers=headers, trust=gate.trust)
        if answer.status != HTTPStatus.OK:
            raise RuntimeError(f"slimgate answered {answer.status}: {answer.body.decode()}")
        return as_kubectl_shows(answer.json["response"], pod["metadata"]["name"])

    return ask


def by_kubectl(cluster: Cluster) -> Ask:
    """Create the pods by kubectl, and look into the API server's audit log."""

    def ask(pod: Mapping[str, Any], namespace: str) -> Answer:
        said = cluster.create(pod, "--namespace", namespace)
        annotations = cluster.audited(namespace, pod["metadata"]["name"])["annotations"]
        ours = {
            key.removeprefix(f"{WEBHOOK}/"): text
            for key, text in annotations.items()
            if key.startswith(f"{WEBHOOK}/")
        }
        if said.status:
            outcome = Outcome.REFUSED
        else:
            outcome = Outcome.WARNED if said.warnings else Outcome.QUIET
        return Answer(outcome, (*said.err.splitlines(), *said.out.splitlines()), ours)

    return ask


def as_kubectl_shows(response: Mapping[str, Any], name: str) -> Answer:
    """An AdmissionResponse in kubectl's words; those of a refusal are the API server's."""
    audit = response.get("auditAnnotations", {})
    warned = [f"Warning: {text}" for text in response.get("warnings", ())]
    if response["allowed"]:
        outcome = Outcome.WARNED if warned else Outcome.QUIET
        return Answer(outcome, (*warned, f"pod/{name} created"), audit)
    status = response["status"]
    refusal = (
        f'Error from server ({status["reason"]}): error when creating "{name}.yaml": '
        f'admission webhook "{WEBHOOK}" denied the request: {status["message"]}'
    )
    return Answer(Outcome.REFUSED, (*warned, *refusal.splitlines()), audit)


def _review(pod: Mapping[str, Any], namespace: str) -> dict[str, Any]:
    """The AdmissionReview of a pod that is being created."""
    kind = {"group": "", "version": "v1", "kind": "Pod"}
    resource = {"group": "", "version": "v1", "resource": "pods"}
    placed = {**pod, "metadata": {**pod["metadata"], "namespace": namespace}}
    return {
        "apiVersion": "admission.k8s.io/v1",
        "kind": "AdmissionReview",
        "request": {
            "uid": str(uuid.uuid4()),
            "kind": kind,
            "requestKind": kind,
            "resource": resource,
            "requestResource": resource,
            "name": pod["metadata"]["name"],
            "namespace": namespace,
            "operation": "CREATE",
            "userInfo": {"username": "kubernetes-admin", "groups": ["system:authenticated"]},
            "object": placed,
            "oldObject": None,
            "dryRun": False,
            "options": {"apiVersion": "meta.k8s.io/v1", "kind": "CreateOptions"},
        },
    }
