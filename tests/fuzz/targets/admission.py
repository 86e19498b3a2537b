"""AdmissionReview: always answered, with the same uid, or ReviewError; and a no stays a no."""

from __future__ import annotations

import json
from typing import Any

from webhook.checks.check import Finding
from webhook.errors import ReviewError
from webhook.judge.decision import Action, Decision, Judgement
from webhook.limits import KIB, Deadline
from webhook.pod import Workload
from webhook.review.answer import MAX_ANNOTATION, MAX_WARNING, MAX_WARNINGS, Reviewed, answer

MAX_BYTES = 4 * KIB
WORDS = (
    *(b'"uid":', b'"operation":', b'"CREATE"', b'"UPDATE"', b'"DELETE"', b'"subResource":'),
    *(b'"object":', b'"oldObject":', b'"spec":', b'"containers":', b'"initContainers":'),
    *(
        b'"ephemeralContainers":',
        b'"securityContext":',
        b'"runAsUser":',
        b'"image":',
        b'"volumes":',
    ),
    *(b'"deployments"', b'"apps"', b'"template":', b'"metadata":', b'"deletionTimestamp":'),
    *(b"null", b"[]", b"{}", b"\\ud800", b'"command":', b'"lifecycle":', b'"nodeSelector":'),
)


def _review(document: Any, *, group: str = "", resource: str = "pods", **fields: Any) -> bytes:
    request = {
        "uid": "705ab4f5",
        "operation": "CREATE",
        "resource": {"group": group, "version": "v1", "resource": resource},
        "namespace": "team",
        "object": document,
        **fields,
    }
    return json.dumps(
        {"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": request}
    ).encode()


SPEC = {
    "securityContext": {"runAsNonRoot": True},
    "initContainers": [{"name": "i", "image": "a", "restartPolicy": "Always"}],
    "containers": [
        {
            "name": "c",
            "image": "busybox:1",
            "command": ["sh"],
            "securityContext": {"runAsUser": 0},
            "livenessProbe": {"exec": {"command": ["x"]}},
        }
    ],
    "volumes": [{"name": "v", "image": {"reference": "b"}}],
}
POD = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"}, "spec": SPEC}
DEPLOYMENT = {
    "apiVersion": "apps/v1",
    "kind": "Deployment",
    "metadata": {"name": "d"},
    "spec": {"template": {"spec": SPEC}},
}
CRON = {
    "apiVersion": "batch/v1",
    "kind": "CronJob",
    "spec": {"jobTemplate": {"spec": {"template": {"spec": SPEC}}}},
}
SEEDS = {
    "pod": _review(POD),
    "deployment": _review(DEPLOYMENT, group="apps", resource="deployments"),
    "cron-job": _review(CRON, group="batch", resource="cronjobs"),
    "update": _review(POD, operation="UPDATE", oldObject=POD),
    "delete": _review(None, operation="DELETE", oldObject=POD),
    "ephemeral": _review(
        {**POD, "spec": {**SPEC, "ephemeralContainers": [{"name": "e", "image": "x"}]}},
        operation="UPDATE",
        oldObject=POD,
        subResource="ephemeralcontainers",
    ),
    "exec": _review(None, operation="CONNECT", subResource="exec"),
    "wrong-kind": _review(DEPLOYMENT),
    "wrong-types": _review({**POD, "spec": {"containers": {"a": 1}}}),
    "no-request": b'{"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview"}',
    "other-version": b'{"apiVersion": "admission.k8s.io/v1beta1", "kind": "AdmissionReview"}',
    "no-object": _review(None),
}


class _Recorder:
    def __init__(self) -> None:
        self.reviews: list[Reviewed] = []

    def reviewed(self, review: Reviewed) -> None:
        self.reviews.append(review)


def check(data: bytes) -> None:
    recorder = _Recorder()
    try:
        given = answer(data, _deny, deadline=Deadline.never(), recorder=recorder)
    except ReviewError as error:
        refused: ReviewError | None = error
    else:
        refused = None
    if refused is not None:
        assert refused.status in {400, 413, 415}
        assert recorder.reviews == []
        return
    [recorded] = recorder.reviews
    # A bug would be answered, too; here it is to be seen.
    assert recorded.error is None or isinstance(recorded.error, ReviewError), recorded.error
    # Bytes that are no UTF-8 are let be in fields that nobody reads.
    asked = json.loads(data.decode("utf-8", "replace"))["request"]
    review = json.loads(given)
    response = review["response"]
    assert (review["apiVersion"], review["kind"]) == ("admission.k8s.io/v1", "AdmissionReview")
    assert response["uid"] == asked["uid"]
    assert isinstance(response["allowed"], bool)
    assert response["allowed"] is recorded.allowed
    if _creates_pod(asked):
        assert response["allowed"] is False
        assert response["status"]["code"] in {400, 403}
    warned = response.get("warnings", [])
    assert sum(map(len, warned)) <= MAX_WARNINGS
    assert all(len(text) <= MAX_WARNING for text in warned)
    for text in response["auditAnnotations"].values():
        assert len(text) <= MAX_ANNOTATION


def _creates_pod(asked: dict[str, Any]) -> bool:
    resource = asked["resource"]
    return (
        asked["operation"] == "CREATE"
        and (resource.get("group", ""), resource["resource"]) == ("", "pods")
        and asked.get("subResource", "") == ""
    )


def _deny(workload: Workload, _deadline: Deadline) -> Decision:
    """A judge that refuses everything, in the words that the request brought."""
    return Decision(
        judgements=tuple(
            Judgement(
                workload=workload.title,
                container=name,
                image=image,
                digest=None,
                platform=None,
                policy="deny",
                action=Action.ENFORCE,
                allowed=False,
                findings=(
                    Finding(check="noShell", result="fail", reason="shell", detail=image or "none"),
                ),
            )
            for name, image in [(c.name, c.image) for c in workload.containers] or [("", "")]
        )
    )
