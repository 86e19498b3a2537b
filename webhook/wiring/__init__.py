"""Builds everything once from ``Settings`` and files, and hands it down. Knows every room."""

from webhook.wiring.bases import known_bases, read_bases
from webhook.wiring.build import Wired, build, judge_by, read_apart, today
from webhook.wiring.documents import (
    NAME_LABEL,
    KubernetesObject,
    Namespaces,
    read_namespaces,
    read_objects,
    read_policies,
)
from webhook.wiring.knowledge import InCluster, InFiles, Knowledge
from webhook.wiring.shelves import shelved
from webhook.wiring.sources import Sources

__all__ = [
    "NAME_LABEL",
    "InCluster",
    "InFiles",
    "Knowledge",
    "KubernetesObject",
    "Namespaces",
    "Sources",
    "Wired",
    "build",
    "judge_by",
    "known_bases",
    "read_apart",
    "read_bases",
    "read_namespaces",
    "read_objects",
    "read_policies",
    "shelved",
    "today",
]
