"""Judges as plain functions, and the reviews to ask them with."""

from __future__ import annotations

import json
import time

from webhook.checks.check import Finding
from webhook.judge.decision import Action, Decision, Judgement

SHELL = Finding(
    check="noShell",
    result="fail",
    reason="shell",
    detail="/bin/sh is a shell",
    remedy="build FROM a distroless base",
    path="/bin/sh",
    layer_digest="sha256:" + "ab" * 32,
    created_by="RUN apk add busybox",
)


def by_name(workload, deadline):
    """An image's name says what is wrong with it."""
    if any(word in c.image for word in ("short", "slow", "hang") for c in workload.containers):
        deadline.before_waiting()
    return Decision(judgements=tuple(_judgement(workload, c) for c in workload.containers))


def _judgement(workload, container):
    if "bug" in container.image:
        raise ZeroDivisionError("s3cret")
    if "short" in container.image:
        time.sleep(0.01)
    if "slow" in container.image:
        time.sleep(1)
    if "hang" in container.image:
        time.sleep(20)
    bad, old = "bad" in container.image, "old" in container.image
    return Judgement(
        workload=workload.title,
        container=container.name,
        image=container.image,
        digest="sha256:" + "cd" * 32,
        platform="linux/amd64",
        policy="distroless",
        action=Action.ENFORCE if bad else Action.WARN,
        allowed=not bad,
        findings=(SHELL,) if bad or old else (),
        warned=(SHELL,) if old else (),
    )


def pod(image="app:1", **more):
    """A pod with one container; ``more`` goes into its spec."""
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "web", "namespace": "prod"},
        "spec": {"containers": [{"name": "app", "image": image}], **more},
    }


def deployment(image="app:1"):
    template = {"spec": pod(image)["spec"]}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "web"},
        "spec": {"template": template},
    }


def review(document=None, **request):
    """An AdmissionReview as the API server sends it; ``request`` replaces fields (None removes)."""
    kind = (document or {}).get("kind", "Pod")
    group = "apps" if kind == "Deployment" else ""
    fields = {
        "uid": "705ab4f5-6393-11e8-b7cc-42010a800002",
        "kind": {"group": group, "version": "v1", "kind": kind},
        "resource": {"group": group, "version": "v1", "resource": f"{kind.lower()}s"},
        "name": "web",
        "namespace": "prod",
        "operation": "CREATE",
        "userInfo": {"username": "jane", "groups": ["dev"]},
        "object": document,
        "oldObject": None,
        "dryRun": False,
        "options": {"apiVersion": "meta.k8s.io/v1", "kind": "CreateOptions"},
        **request,
    }
    return {
        "apiVersion": "admission.k8s.io/v1",
        "kind": "AdmissionReview",
        "request": {key: value for key, value in fields.items() if value is not None},
    }


def body(document=None, **request):
    """The same, as bytes."""
    return json.dumps(review(document, **request)).encode()


def places(node, path=()):
    """Every place in a document."""
    yield path
    if isinstance(node, dict | list):
        for key, child in node.items() if isinstance(node, dict) else enumerate(node):
            yield from places(child, (*path, key))
