"""Which entries of an index a pod could land on: all of them are judged, the worst counts."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from webhook.image.manifest import Descriptor
from webhook.image.platform import Platform, runs, runs_on

_DEFAULT_OS = "linux"


def landing(
    entries: Sequence[Descriptor],
    *,
    os: str | None = None,
    architectures: Collection[str] | None = None,
    nodes: Collection[Platform] = (),
) -> tuple[Descriptor, ...]:
    """The entries some node of the cluster could choose for the pod, in document order.

    Args:
        entries: of the index; those without a platform are always kept, for a node that finds
            no other takes them.
        os: what the pod asks for; None is Linux where ``nodes`` does not know better.
        architectures: what the pod's node selector and affinity leave; None: any.
        nodes: the platforms of the cluster's nodes; empty where that is not known.

    Returns:
        Every entry, where the conditions leave none: better too strict than unjudged.
        Never the same digest twice.
    """
    wanted_os = os or (None if nodes else _DEFAULT_OS)
    kept = [
        entry
        for entry in entries
        if entry.platform is None or _fits(entry.platform, wanted_os, architectures, nodes)
    ]
    if not any(entry.platform for entry in kept):
        kept = list(entries)
    once: dict[str, Descriptor] = {}
    for entry in kept:
        once.setdefault(entry.digest, entry)
    return tuple(once.values())


def _fits(
    platform: Platform,
    os: str | None,
    architectures: Collection[str] | None,
    nodes: Collection[Platform],
) -> bool:
    return (
        (os is None or platform.os == os)
        and (architectures is None or any(runs(platform, a) for a in architectures))
        and (not nodes or any(runs_on(platform, node) for node in nodes))
    )
