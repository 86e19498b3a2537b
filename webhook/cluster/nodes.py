"""What the nodes can run: the platforms that an image is judged for."""

from __future__ import annotations

from webhook.cluster.objects import Document
from webhook.errors import UsageError
from webhook.image.platform import Platform

PATH = "/api/v1/nodes"


def keep(item: Document, _before: object) -> str | None:
    """``linux/amd64``; None of a node that has not said yet, or says what is no platform.

    A node writes its own status: one of them must not spoil what all pods are judged for.
    """
    info = (item.get("status") or {}).get("nodeInfo") or {}
    platform = f"{info.get('operatingSystem')}/{info.get('architecture')}"
    try:
        Platform.parse(platform)
    except UsageError:
        return None
    return platform if info.get("operatingSystem") and info.get("architecture") else None
