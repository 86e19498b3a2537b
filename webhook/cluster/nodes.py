"""What the nodes can run: the platforms that an image is judged for."""

from __future__ import annotations

from webhook.cluster.objects import Document

PATH = "/api/v1/nodes"


def keep(item: Document, _before: object) -> str | None:
    """``linux/amd64``; None of a node that has not said yet."""
    info = (item.get("status") or {}).get("nodeInfo") or {}
    os, architecture = info.get("operatingSystem"), info.get("architecture")
    return f"{os}/{architecture}" if os and architecture else None
