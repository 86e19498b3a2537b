"""What pods are judged by, beside their images: policies, namespaces, the nodes' platforms.

Two places it comes from: files, read once, or a cluster, as the controller beside us sees it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock
from typing import Protocol

from webhook.cluster.link import Question, ask
from webhook.cluster.state import NamespaceState, Snapshot, SnapshotFile
from webhook.errors import StateUnknown
from webhook.gather.credentials import Candidates, candidates_of, question_of
from webhook.image.reference import Reference
from webhook.judge.policy import Namespace, Policy
from webhook.judge.state import PolicyState, policy_of
from webhook.limits import Deadline
from webhook.pod import Account
from webhook.wiring.documents import NAME_LABEL, Namespaces

_SECRETS = 5.0
"""Seconds for a pod's credentials: some Secrets, one after the other."""
_ASKING = 2.0
"""Seconds for a namespace that is not in the snapshot yet."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Situation:
    """What a pod is judged by in its namespace: all of one and the same time.

    A policy that was made before a namespace was labelled for it is there where that label is.
    """

    namespace: Namespace
    policies: Sequence[Policy]
    platforms: frozenset[str] = frozenset()
    """Of the cluster's nodes; empty where they are not known."""


class Knowledge(Protocol):
    """All but ``missing`` may raise ``StateUnknown``."""

    def missing(self) -> str | None:
        """Why no review can be answered yet; None when it can."""

    def policies(self) -> Sequence[Policy]:
        """All of them, as they stand now."""

    def at(self, namespace: str, deadline: Deadline) -> Situation:
        """What pods of a namespace are judged by, as it stands now."""


@dataclass(frozen=True, slots=True, kw_only=True)
class InFiles:
    """Read at the start, and never too old."""

    chosen: Sequence[Policy]
    known: Namespaces

    def missing(self) -> str | None:
        """Nothing, since it was read."""
        return None

    def policies(self) -> Sequence[Policy]:
        """As the files had them."""
        return self.chosen

    def at(self, namespace: str, deadline: Deadline) -> Situation:  # noqa: ARG002 - nothing is waited for
        """As the file has it; one that is not there has the label that all have."""
        return Situation(namespace=self.known(namespace), policies=self.chosen)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Seen:
    """A snapshot, made ready to be asked."""

    snapshot: Snapshot
    compiled: Mapping[str, tuple[PolicyState, Policy]]
    """By name."""
    policies: tuple[Policy, ...]
    namespaces: Mapping[str, NamespaceState] = field(repr=False)
    platforms: frozenset[str]


class InCluster:
    """By the snapshot of the controller that shares ``folder``; safe for threads."""

    def __init__(self, folder: Path, *, max_stale: float) -> None:
        """Refuse to answer by what is older than ``max_stale`` seconds."""
        self._folder, self._max_stale = folder, max_stale
        self._file = SnapshotFile(folder)
        self._seen: _Seen | None = None
        self._lock = Lock()

    def age(self) -> float:
        """Seconds since the API server was last heard of."""
        return self._file.age()

    def missing(self) -> str | None:
        """Why no review can be answered yet; None once there was a snapshot."""
        return None if self._file.current() is not None else "the cluster is not known yet"

    def policies(self) -> Sequence[Policy]:
        """As they stood when the API server was last heard of."""
        return self._current().policies

    def at(self, namespace: str, deadline: Deadline) -> Situation:
        """By one snapshot; a namespace that is not in it was made just now, and is read live."""
        seen = self._current()
        found = seen.namespaces.get(namespace)
        if found is None:
            deadline.before_waiting()
            found = self._live(namespace)
        labels = {**found.labels, NAME_LABEL: namespace}
        metadata = {"name": namespace, "labels": labels, "annotations": found.annotations}
        return Situation(
            namespace=Namespace(name=namespace, labels=labels, document={"metadata": metadata}),
            policies=seen.policies,
            platforms=seen.platforms,
        )

    def credentials(self, account: Account, reference: Reference) -> Candidates:
        """As ``PodCredentials``: the controller reads the secrets, this process cannot."""
        question = Question(credentials=question_of(account, reference))
        try:
            reply = ask(self._folder, question, _SECRETS)
            return candidates_of(reply.credentials or {})
        except StateUnknown as error:
            return Candidates(problems=(str(error),))
        except (KeyError, TypeError, AttributeError):
            return Candidates(problems=("the controller's answer makes no sense",))

    def _live(self, name: str) -> NamespaceState:
        reply = ask(self._folder, Question(namespace=name), _ASKING)
        if reply.namespace is None:
            why = reply.error or "there is no such namespace"
            raise StateUnknown(f"namespace {name} could not be read: {why}")
        return reply.namespace

    def _current(self) -> _Seen:
        age = self._file.age()  # first: what comes in between is younger
        snapshot = self._file.current()
        if snapshot is None:
            raise StateUnknown("the cluster is not known yet")
        if age > self._max_stale:
            raise StateUnknown(
                f"slimgate has not heard of the API server for {age:.0f} s: policies and "
                "namespaces may have changed since"
            )
        seen = self._seen
        if seen is None or seen.snapshot is not snapshot:
            with self._lock:
                seen = self._seen
                if seen is None or seen.snapshot is not snapshot:  # nobody did it meanwhile
                    seen = self._seen = _ready(snapshot, seen)
        return seen


def _ready(snapshot: Snapshot, before: _Seen | None) -> _Seen:
    """Compile the policies that changed; the others are as they were."""
    known = {} if before is None else before.compiled
    compiled = {}
    for state in snapshot.policies:
        kept = known.get(state.name)
        if kept is None or kept[0] != state:
            kept = (state, policy_of(state))
        compiled[state.name] = kept
    return _Seen(
        snapshot=snapshot,
        compiled=compiled,
        policies=tuple(policy for _, policy in compiled.values()),
        namespaces={one.name: one for one in snapshot.namespaces},
        platforms=frozenset(snapshot.platforms),
    )
