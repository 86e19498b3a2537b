"""Events on objects that belong to no namespace: policies, and namespaces themselves.

Such events live in the namespace ``default``, where ``kubectl describe`` looks for them. One that
cannot be written is told of and forgotten: nothing depends on an event.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

from webhook.cluster.objects import ApiRefused, Objects

_PATH = "/api/v1/namespaces/default/events"
_NOTE = 1_024
"""Characters of a message that the API server takes."""
_NAME = 200
SOURCE = "slimgate"


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """What an event is about."""

    api_version: str
    kind: str
    name: str
    uid: str


class Events:
    """Writes events; ``instance`` is the replica's name."""

    def __init__(
        self,
        objects: Objects,
        instance: str,
        report: Callable[[str, str], None],
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._objects, self._instance, self._report, self._now = objects, instance, report, now

    def warn(self, subject: Subject, reason: str, message: str) -> None:
        """A Warning, as ``kubectl describe`` shows it."""
        at = self._now().strftime("%Y-%m-%dT%H:%M:%SZ")
        event = {
            "apiVersion": "v1",
            "kind": "Event",
            "metadata": {"name": _name(subject), "namespace": "default"},
            "involvedObject": {
                "apiVersion": subject.api_version,
                "kind": subject.kind,
                "name": subject.name,
                "uid": subject.uid,
            },
            "type": "Warning",
            "reason": reason,
            "message": message if len(message) <= _NOTE else f"{message[: _NOTE - 1]}…",
            "source": {"component": SOURCE},
            "reportingComponent": SOURCE,
            "reportingInstance": self._instance,
            "firstTimestamp": at,
            "lastTimestamp": at,
            "count": 1,
        }
        try:
            self._objects.create(_PATH, event)
        except ApiRefused as error:
            self._report("event-lost", str(error))


def _name(subject: Subject) -> str:
    """Of its own; a subject's name may be as long as an event's."""
    return f"{subject.name[:_NAME].rstrip('-.')}.{secrets.token_hex(8)}"
