"""What the cluster is told of its policies: their status, and an event for each that is broken.

Written by the leader only, by patches that say what is so: two leaders for a moment write the
same. Nothing here is in the way of a review.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from webhook.cluster.events import Events, Subject
from webhook.cluster.objects import NOT_FOUND, ApiRefused, Document, Objects
from webhook.judge.state import PolicyState, observed

PATH = "/apis/slimgate.dev/v1alpha1/imagepolicies"
_MESSAGE = 4_096
"""Characters of a condition's message."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """A policy as it was seen last."""

    state: PolicyState
    uid: str = ""
    status: Mapping[str, Any]
    """As it stands in the cluster."""


def keep(item: Document, before: Held | None) -> Held:
    """What is kept of an ImagePolicy: the last good version stays, whatever comes after it."""
    uid = str((item.get("metadata") or {}).get("uid", ""))
    same = before is not None and before.uid in {"", uid}  # and no namesake of one deleted
    return Held(
        state=observed(item, before.state if same and before is not None else None),
        uid=uid,
        status=item.get("status") or {},
    )


class PolicyStatus:
    """Writes ``status``, and one event for each broken version."""

    def __init__(
        self,
        objects: Objects,
        events: Events,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._objects, self._events, self._now = objects, events, now
        self._told: dict[str, tuple[str, int]] = {}
        self._written: dict[str, Held] = {}
        """Of what was written: as it was seen before."""

    def write(self, held: Mapping[str, Held]) -> None:
        """Bring every status up to date.

        Raises:
            ApiRefused: one could not be written; the others were, if the API server is there.
        """
        self._told = {name: at for name, at in self._told.items() if name in held}
        self._written = {name: it for name, it in self._written.items() if name in held}
        refusal: ApiRefused | None = None
        for name, one in held.items():
            try:
                self._bring(name, one)
            except ApiRefused as error:
                if not error.status:
                    raise
                refusal = error
        if refusal is not None:
            raise refusal

    def _bring(self, name: str, one: Held) -> None:
        wanted = status_of(one.state, one.status, self._now())
        if wanted == one.status:
            self._written.pop(name, None)
            return
        if self._written.get(name) == one:
            return  # written; the watch has not brought it yet
        try:
            self._objects.merge(f"{PATH}/{name}/status", {"status": wanted})
        except ApiRefused as error:
            if error.status == NOT_FOUND:  # deleted just now
                return
            if error.status:
                self._tell(name, one)
            raise
        self._written[name] = one
        self._tell(name, one)

    def _tell(self, name: str, one: Held) -> None:
        """An event, once for each broken version, whether or not its status can be written."""
        told = (one.uid, one.state.generation)
        if one.state.problems and self._told.get(name) != told:
            self._told[name] = told
            self._events.warn(_subject(name, one.uid), "PolicyBroken", _message(one.state))


def status_of(state: PolicyState, before: Mapping[str, Any], now: datetime) -> dict[str, Any]:
    """The status that a policy should have; ``before`` itself where nothing of it changes."""
    ready = "False" if state.problems else "True"
    last: Mapping[str, Any] = next(
        (c for c in before.get("conditions") or () if c.get("type") == "Ready"), {}
    )
    since = last.get("lastTransitionTime") if last.get("status") == ready else None
    condition = {
        "type": "Ready",
        "status": ready,
        "reason": _reason(state),
        "message": _message(state),
        "observedGeneration": state.generation,
        "lastTransitionTime": since or now.strftime("%Y-%m-%dT%H:%M:%SZ"),
    }
    return {"observedGeneration": state.generation, "conditions": [condition]}


def _reason(state: PolicyState) -> str:
    if not state.problems:
        return "Compiled"
    return "Broken" if state.document is None else "BrokenLastGoodJudges"


def _message(state: PolicyState) -> str:
    if not state.problems:
        return "understood, and judging"
    judged = (
        "what it selects is unknown"
        if state.document is None
        else "its last good version goes on judging"
    )
    text = f"{judged}; {'; '.join(state.problems)}"
    return text if len(text) <= _MESSAGE else f"{text[: _MESSAGE - 1]}…"


def _subject(name: str, uid: str) -> Subject:
    return Subject(api_version="slimgate.dev/v1alpha1", kind="ImagePolicy", name=name, uid=uid)
