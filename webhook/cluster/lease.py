"""Who leads: one replica at a time, by a Lease, as client-go elects.

Others' clocks are never compared with ours: a Lease is over when it has not changed for its
whole duration, on our clock. The leader counts itself out at a deadline before that, even where
its own thread hangs. Both clocks go on while a machine sleeps.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime

from kubernetes.dynamic import DynamicClient

from webhook.cluster.objects import CONFLICT, ApiRefused, Document, Objects

DURATION, DEADLINE, RETRY = 15.0, 10.0, 2.0
"""Seconds: a Lease lasts, a leader goes on without renewing it, between two attempts."""
_STUCK = 60.0


def boottime() -> float:
    """Seconds that no adjustment of the wall clock changes, sleep included."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


class Leader:
    """A candidate. ``report`` gets a word and a text at each change and each new trouble."""

    def __init__(
        self,
        api: DynamicClient,
        name: str,
        namespace: str,
        identity: str,
        *,
        duration: float = DURATION,
        deadline: float = DEADLINE,
        retry: float = RETRY,
        report: Callable[[str, str], None] = lambda word, text: None,  # noqa: ARG005
        clock: Callable[[], float] = boottime,
    ) -> None:
        self._objects = Objects(api)
        self._leases = f"/apis/coordination.k8s.io/v1/namespaces/{namespace}/leases"
        self._name, self._identity = name, identity
        self._duration, self._deadline, self._retry = duration, deadline, retry
        self._report, self._clock = report, clock
        self._observed: Document = {}
        self._observed_at = self._beat = clock()
        self._until = float("-inf")
        self._trouble = ""
        self._led = False

    @property
    def leading(self) -> bool:
        """Whether this replica may write, now."""
        return self._clock() < self._until

    def alive(self) -> bool:
        """Whether the election goes on."""
        return self._clock() - self._beat < _STUCK

    def run(self, stop: threading.Event) -> None:
        """Take part until ``stop``, then give the Lease up."""
        while not stop.is_set():
            self.step()
            stop.wait(self._retry)
        self.release()

    def step(self) -> None:
        """Try once to take or renew the Lease."""
        begun = self._beat = self._clock()
        try:
            if self._attempt(begun):
                self._until = begun + self._deadline
            self._trouble = ""
        except ApiRefused as error:
            if error.status != CONFLICT and str(error) != self._trouble:
                self._trouble = str(error)
                self._report("lease-error", self._trouble)
        if self.leading != self._led:
            self._led = self.leading
            self._report("leading" if self._led else "not-leading", self._identity)

    def release(self) -> None:
        """Let another lead at once."""
        was, self._until = self.leading, float("-inf")
        if not was:
            return
        try:
            lease = self._objects.get(f"{self._leases}/{self._name}")
            if lease is not None and _spec(lease).get("holderIdentity") == self._identity:
                lease["spec"] |= {"holderIdentity": "", "leaseDurationSeconds": 1}
                self._objects.put(f"{self._leases}/{self._name}", lease)
        except ApiRefused as error:
            self._report("lease-error", str(error))

    def _attempt(self, now: float) -> bool:
        """Whether the Lease is ours, renewed at ``now``."""
        lease = self._objects.get(f"{self._leases}/{self._name}")
        if lease is None:
            document = {
                "apiVersion": "coordination.k8s.io/v1",
                "kind": "Lease",
                "metadata": {"name": self._name},
                "spec": self._record({}),
            }
            self._objects.create(self._leases, document)
            return True
        spec = _spec(lease)
        if spec != self._observed:
            self._observed, self._observed_at = spec, now
        if spec.get("holderIdentity") not in {None, "", self._identity} and not self._over(now):
            self._until = float("-inf")  # another took it: there is nothing to wait for
            return False
        lease["spec"] = self._record(spec)
        self._objects.put(f"{self._leases}/{self._name}", lease)
        return True

    def _over(self, now: float) -> bool:
        """Whether the holder has let its Lease lapse, as seen from here."""
        lasts = self._observed.get("leaseDurationSeconds") or self._duration
        return now - self._observed_at >= lasts

    def _record(self, before: Document) -> Document:
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        ours = before.get("holderIdentity") == self._identity
        changes = before.get("leaseTransitions") or 0
        return {
            **before,
            "holderIdentity": self._identity,
            "leaseDurationSeconds": max(1, int(self._duration)),
            "acquireTime": before.get("acquireTime") or now if ours else now,
            "renewTime": now,
            "leaseTransitions": changes if ours or not before else changes + 1,
        }


def _spec(lease: Document) -> Document:
    return lease.get("spec") or {}
