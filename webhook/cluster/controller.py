"""The controller: what of slimgate speaks to the API server, beside the process that answers.

In every replica it watches policies, namespaces and nodes into the snapshot, answers the other
process's questions and installs the serving certificate; in the one that leads it also rotates
certificates, keeps the registration and says of policies how they stand.

Each part is a thread with a sign of life; none waits for another.
"""

from __future__ import annotations

import threading
import time
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any, Literal, Protocol

from kubernetes.dynamic import DynamicClient
from prometheus_client import CollectorRegistry

from webhook.certs.authority import Terms
from webhook.cluster import namespaces, nodes, policies, state
from webhook.cluster.certificates import Installer, Instruments, Rotation, Steps, leader_step
from webhook.cluster.events import Events
from webhook.cluster.instruments import ClusterInstruments
from webhook.cluster.keeper import Keeper
from webhook.cluster.lease import Leader
from webhook.cluster.link import Answering, Question, Reply
from webhook.cluster.namespaces import BrokenGlass, HeldNamespace
from webhook.cluster.objects import NOT_FOUND, ApiRefused, Objects
from webhook.cluster.policies import Held, PolicyStatus
from webhook.cluster.pull_secrets import PullSecrets, Unreadable, answer
from webhook.cluster.registration import Enforcement, FailurePolicy, Registration
from webhook.cluster.watch import Watch

Report = Callable[[str, str], None]
"""Gets a constant word and a text."""

_DEBOUNCE, _BEAT = 0.1, 1.0
"""Seconds: to gather changes in before the snapshot is written, and between signs of life."""
_DEAF = 300.0
"""Seconds without a word on one kind of object, while there is one on others."""
_FRESH = 60.0
_RELEASED = 5.0
"""Seconds in which the Lease is given up at the end."""
_LEADERS = frozenset({"lease", "leader", "status"})
"""Parts that end at once: another replica is to do that."""
_FRAMES = 4
"""Of a traceback, the innermost."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Duties:
    """What the controller of one release is to do."""

    folder: Path
    """Shared with the process that answers."""
    release: str
    """Name of its Lease, its Service and, with ``-ca`` and ``-tls``, of its Secrets."""
    namespace: str
    identity: str
    """Of this replica: its pod's name."""
    certificates: Literal["self", "external"] = "self"
    failure_policy: FailurePolicy = "Auto"
    audit_only: bool = False
    break_glass: bool = False
    """Whether the process that answers enforces nothing anywhere: told of here."""
    probe_namespace: str = "default"
    ca: timedelta = timedelta(days=365)
    leaf: timedelta = timedelta(days=30)
    overlap: float = 60.0
    linger: float = 0.0
    """Seconds after the end has begun in which all but the leader's part goes on: the process
    that answers is a lame duck then, and still has questions."""

    @property
    def registration(self) -> str:
        """Of its ValidatingWebhookConfiguration."""
        return f"{self.release}.{self.namespace}"


class _Part(Protocol):
    def run(self, stop: threading.Event) -> None: ...
    def alive(self) -> bool: ...


@dataclass(slots=True)
class _Watches:
    """What is watched, and what is made of it."""

    policies: Watch[Held]
    namespaces: Watch[HeldNamespace]
    nodes: Watch[str | None]

    @property
    def all(self) -> dict[str, Watch[Held] | Watch[HeldNamespace] | Watch[str | None]]:
        return {
            "imagepolicies": self.policies,
            "namespaces": self.namespaces,
            "nodes": self.nodes,
        }

    def snapshot(self) -> state.Snapshot | None:
        """None before the first list of each is whole."""
        held, spaces, platforms = self.policies.items, self.namespaces.items, self.nodes.items
        if held is None or spaces is None or platforms is None:
            return None
        return state.Snapshot(
            policies=tuple(held[name].state for name in sorted(held)),
            namespaces=tuple(spaces[name].state for name in sorted(spaces)),
            platforms=tuple(sorted({one for one in platforms.values() if one})),
        )

    def silent(self) -> float:
        """Seconds since the API server was last heard of on all of them."""
        return max(one.silent() for one in self.all.values())


@dataclass(slots=True)
class Controller:
    """One replica's controller; whether the API server is there, its parts find out."""

    api: DynamicClient
    duties: Duties
    registry: CollectorRegistry
    report: Report
    reads_secrets: bool = True
    """Whether pods' pull secrets are read, where the ServiceAccount may."""
    _changed: threading.Event = field(default_factory=threading.Event)
    _woken: threading.Event = field(default_factory=threading.Event)
    _parts: dict[str, _Part] = field(default_factory=dict)
    _threads: dict[str, threading.Thread] = field(default_factory=dict)
    _link: Answering | None = None
    _keeper: Keeper | None = None
    _synced: bool = False
    _ending: bool = False

    def run(self, stop: threading.Event, over: threading.Event | None = None) -> None:
        """Do it all until ``stop``; then give the Lease up, so that another leads at once.

        What this replica's reviews need goes on for ``linger`` seconds, or until ``over`` is set.
        """
        over = over or threading.Event()
        instruments = ClusterInstruments(self.registry)
        instruments.glass_broken(self.duties.break_glass)
        certificates = Instruments(self.registry)
        objects = Objects(self.api)
        watches = self._watches(instruments)
        instruments.ages({name: one.silent for name, one in watches.all.items()})
        leader = Leader(
            self.api,
            self.duties.release,
            self.duties.namespace,
            self.duties.identity,
            report=self.report,
        )
        parts: dict[str, _Part] = {f"watch-{name}": one for name, one in watches.all.items()}
        parts |= {
            "lease": leader,
            "leader": self._leading(leader, certificates),
            "status": self._reporting(objects, watches, leader, certificates),
            "snapshot": _Writing(
                self._changed, lambda: self._write(watches, instruments), self.report
            ),
        }
        if self.duties.certificates == "self":
            parts["installer"] = self._installing(certificates)
        link = Answering(
            self.duties.folder, lambda question: self._answer(objects, question), self.report
        )
        self._link, self._keeper = link, Keeper(self.duties.folder)
        threads = {
            name: threading.Thread(
                target=self._live,
                args=(name, part, stop if name in _LEADERS else over),
                name=name,
                daemon=True,
            )
            for name, part in parts.items()
        }
        for thread in threads.values():
            thread.start()
        self._threads, self._parts = threads, parts  # whole: probes ask meanwhile
        stop.wait()
        self._ending = True
        if self.dead() is None:
            over.wait(self.duties.linger)
        over.set()
        self._keeper.close()
        link.close()
        threads["lease"].join(_RELEASED)

    def dead(self) -> str | None:
        """What of it does not live any more; None: all is well.

        What the API server refuses is no death: to begin anew would mend nothing.
        """
        if self._link is not None and not self._link.alive():
            return "link is dead"
        if self._keeper is not None and not self._keeper.alive():
            return "keeper is dead"
        for name, part in self._parts.items():
            if self._ending and name in _LEADERS:
                continue
            if not (self._threads[name].is_alive() and part.alive()):
                return f"{name} is dead"
        watches = {n: p for n, p in self._parts.items() if isinstance(p, Watch)}
        silent = {name: one.silent() for name, one in watches.items()}
        if self._synced and silent and min(silent.values()) < _FRESH:
            for name, seconds in silent.items():
                if seconds > _DEAF and not watches[name].refused():
                    return f"{name} has heard nothing for {seconds:.0f} s"
        return None

    def missing(self) -> str | None:
        """Why it is not ready; None when everything was listed once."""
        if self._synced:
            return None
        watches = [one for one in self._parts.values() if isinstance(one, Watch)]
        troubles = "; ".join(text for one in watches if (text := one.trouble()))
        return f"policies, namespaces and nodes are not listed yet; {troubles}".rstrip("; ")

    def _live(self, name: str, part: _Part, stop: threading.Event) -> None:
        """A part's whole life. What ends it before its time is told; ``dead`` sees that it did."""
        try:
            part.run(stop)
        except Exception as error:  # noqa: BLE001 - a bug, whatever it is
            trace = "".join(traceback.format_exception(error)[-_FRAMES:])
            self.report(f"{name}-error", f"died: {trace}")

    def _watches(self, instruments: ClusterInstruments) -> _Watches:
        before = state.read(self.duties.folder)
        known = (
            {} if before is None else {p.name: Held(state=p, status={}) for p in before.policies}
        )

        def changed_policies() -> None:
            self._changed.set()
            self._woken.set()

        watch = partial(Watch, self.api, report=self.report)
        return _Watches(
            policies=watch(
                policies.PATH,
                keep=policies.keep,
                changed=changed_policies,
                known=known,
                relisted=instruments.relisted("imagepolicies"),
            ),
            namespaces=watch(
                namespaces.PATH,
                keep=namespaces.keep,
                changed=self._changed.set,
                relisted=instruments.relisted("namespaces"),
            ),
            nodes=watch(
                nodes.PATH,
                keep=nodes.keep,
                changed=self._changed.set,
                relisted=instruments.relisted("nodes"),
            ),
        )

    def _write(self, watches: _Watches, instruments: ClusterInstruments) -> None:
        """The snapshot, if it changed, and in any case when the API server was last heard of.

        Where it cannot be written, the one that is there must grow old.
        """
        silent = watches.silent()  # first: what comes from here on may not be in it
        if self._changed.is_set():
            self._changed.clear()
            snapshot = watches.snapshot()
            if snapshot is None:
                return
            state.write(self.duties.folder, snapshot, silent)
            instruments.known(snapshot)
            if not self._synced:
                self._synced = True
                self.report("synced", f"{len(snapshot.policies)} policies")
        elif self._synced:
            state.heard(self.duties.folder, silent)

    def _answer(self, objects: Objects, question: Question) -> Reply:
        if question.credentials is not None:
            read = partial(_read, objects) if self.reads_secrets else None
            return Reply(credentials=answer(PullSecrets(read), question.credentials))
        if question.namespace is None:
            return Reply(error="nothing was asked")
        try:
            return Reply(namespace=namespaces.read(objects, question.namespace))
        except ApiRefused as error:
            return Reply(error=str(error))

    def _leading(self, leader: Leader, instruments: Instruments) -> Steps:
        duties = self.duties
        registration = Registration(self.api, duties.registration, report=self.report)
        terms = Terms(
            service=duties.release,
            namespace=duties.namespace,
            ca=duties.ca,
            leaf=duties.leaf,
            overlap=duties.overlap,
        )
        rotation = Rotation(
            self.api,
            release=duties.release,
            terms=terms,
            leading=lambda: leader.leading,
            registration=registration,
            instruments=instruments,
            report=self.report,
        )
        enforcement = Enforcement(
            self.api, registration, namespace=duties.probe_namespace, report=self.report
        )
        flips = duties.failure_policy == "Auto" and not duties.audit_only
        return Steps(
            lambda: leader_step(
                rotation if duties.certificates == "self" else None,
                enforcement if flips else None,
                registration,
                lambda: leader.leading,
                instruments,
            ),
            name="leader",
            instruments=instruments,
            report=self.report,
        )

    def _reporting(
        self, objects: Objects, watches: _Watches, leader: Leader, instruments: Instruments
    ) -> Steps:
        events = Events(objects, self.duties.identity, self.report)
        status = PolicyStatus(objects, events)
        everywhere = self.duties.namespace if self.duties.break_glass else None
        glass = BrokenGlass(events, everywhere=everywhere)

        def step() -> None:
            if leader.leading:
                glass.tell(watches.namespaces.items or {})
                status.write(watches.policies.items or {})

        return Steps(
            step,
            name="status",
            instruments=instruments,
            report=self.report,
            every=2.0,
            wake=self._woken,
        )

    def _installing(self, instruments: Instruments) -> Steps:
        installer = Installer(
            self.api,
            release=self.duties.release,
            namespace=self.duties.namespace,
            folder=self.duties.folder,
            instruments=instruments,
            report=self.report,
        )
        return Steps(
            installer.step, name="installer", instruments=instruments, report=self.report, every=1.0
        )


def _read(objects: Objects, path: str) -> Mapping[str, Any]:
    """As ``pull_secrets.Read``."""
    try:
        found = objects.get(path)
    except ApiRefused as error:
        raise Unreadable(error.status or None) from error
    if found is None:
        raise Unreadable(NOT_FOUND)
    return found


class _Writing:
    """Writes soon after a change, and gives a sign of life otherwise."""

    def __init__(self, changed: threading.Event, write: Callable[[], None], report: Report) -> None:
        self._changed, self._write, self._report = changed, write, report
        self._beat = time.monotonic()
        self._trouble = ""

    def alive(self) -> bool:
        return time.monotonic() - self._beat < 30 * _BEAT

    def run(self, stop: threading.Event) -> None:
        while not stop.is_set():
            self._beat = time.monotonic()
            if self._changed.wait(_BEAT):
                stop.wait(_DEBOUNCE)
            try:
                self._write()
                self._trouble = ""
            except OSError as error:  # no space left
                self._changed.set()  # and so tried again
                if str(error) != self._trouble:
                    self._report("snapshot-error", str(error))
                self._trouble = str(error)
                stop.wait(_BEAT)
