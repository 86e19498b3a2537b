"""Kubernetes objects as people write them, as small as they may be."""

from __future__ import annotations

from typing import Any


def pod(name: str, image: str, **spec: Any) -> dict[str, Any]:
    """A pod with one container, ``app``; a name that ends in ``-`` is left to the server."""
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"generateName" if name.endswith("-") else "name": name},
        "spec": {"containers": [{"name": "app", "image": image}], **spec},
    }


def template(kind: str, name: str, image: str) -> dict[str, Any]:
    """An object of a kind that makes such pods: ``Deployment``, ``CronJob``, …"""
    labels = {"app": name}
    spec = pod(name, image)["spec"]
    once = {
        "template": {"metadata": {"labels": labels}, "spec": {**spec, "restartPolicy": "Never"}}
    }
    pods = {"template": {"metadata": {"labels": labels}, "spec": spec}}
    selected = {"selector": {"matchLabels": labels}, **pods}
    version, body = {
        "ReplicationController": ("v1", {"spec": {"selector": labels, **pods}}),
        "PodTemplate": ("v1", pods),
        "ReplicaSet": ("apps/v1", {"spec": selected}),
        "Deployment": ("apps/v1", {"spec": selected}),
        "StatefulSet": ("apps/v1", {"spec": {"serviceName": name, **selected}}),
        "DaemonSet": ("apps/v1", {"spec": selected}),
        "Job": ("batch/v1", {"spec": once}),
        "CronJob": ("batch/v1", {"spec": {"schedule": "@daily", "jobTemplate": {"spec": once}}}),
    }[kind]
    return {"apiVersion": version, "kind": kind, "metadata": {"name": name}, **body}
