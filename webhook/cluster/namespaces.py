"""Namespaces as policies see them, and those for which somebody has broken the glass."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from webhook.cluster.events import Events, Subject
from webhook.cluster.objects import Document, Objects
from webhook.cluster.state import NAMESPACE, NamespaceState
from webhook.judge.policy import breaks_glass

PATH = "/api/v1/namespaces"
_HERE = (
    "slimgate enforces nothing here while the label slimgate.dev/break-glass is true; take it "
    "away when the emergency is over"
)
_ALL = (
    "slimgate enforces nothing in any namespace, since it was installed with breakGlass: true; "
    "set that to false when the emergency is over"
)
_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"
"""kubectl's own copy of the object: as large as all the rest, and asked for by nobody."""
_AGAIN = 3600.0
"""Seconds after which a broken glass is told of again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HeldNamespace:
    """A namespace as it was seen last."""

    state: NamespaceState
    uid: str


def keep(item: Document, _before: object) -> HeldNamespace:
    """What is kept of a namespace."""
    return HeldNamespace(state=_state(item), uid=str((item.get("metadata") or {}).get("uid", "")))


def read(objects: Objects, name: str) -> NamespaceState | None:
    """A namespace as it is now; None where there is none. Raises ``ApiRefused``.

    Whoever reaches the webhook's port says the name: ``x/secrets/y`` and ``?watch=true`` are none.
    """
    if not NAMESPACE.fullmatch(name):
        return None
    found = objects.get(f"{PATH}/{name}")
    return None if found is None else _state(found)


class BrokenGlass:
    """Tells of every namespace where nothing is enforced, for as long as that lasts."""

    def __init__(
        self,
        events: Events,
        clock: Callable[[], float] = time.monotonic,
        *,
        everywhere: str | None = None,
    ) -> None:
        """``everywhere``: slimgate's own namespace, where the operator broke it for all."""
        self._events, self._clock, self._everywhere = events, clock, everywhere
        self._told: dict[str, float] = {}

    def tell(self, held: Mapping[str, HeldNamespace]) -> None:
        """An event for each that is new, and again every hour."""
        broken = {
            name: one
            for name, one in held.items()
            if name == self._everywhere or breaks_glass(one.state.labels)
        }
        now = self._clock()
        self._told = {name: at for name, at in self._told.items() if name in broken}
        for name, one in broken.items():
            if now - self._told.get(name, float("-inf")) >= _AGAIN:
                self._told[name] = now
                subject = Subject(api_version="v1", kind="Namespace", name=name, uid=one.uid)
                self._events.warn(
                    subject, "BreakGlass", _ALL if name == self._everywhere else _HERE
                )


def _state(item: Document) -> NamespaceState:
    metadata = item.get("metadata") or {}
    annotations: dict[str, str] = metadata.get("annotations") or {}
    return NamespaceState(
        name=str(metadata.get("name", "")),
        labels=metadata.get("labels") or {},
        annotations={key: text for key, text in annotations.items() if key != _APPLIED},
    )
