"""Certificates in a cluster: the leader rotates them in two Secrets, each replica installs one.

A step reads the webhook configuration, the leaf's Secret and the CA's, in that order, and writes
in the opposite one, each write checked by ``resourceVersion``. Whoever reads a leaf therefore
knows of its CA, and a leader that was overtaken can write nothing.
"""

from __future__ import annotations

import os
import shutil
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from kubernetes.dynamic import DynamicClient
from prometheus_client import CollectorRegistry, Counter, Gauge

from webhook.certs.authority import (
    Data,
    Keys,
    Plan,
    Terms,
    Watched,
    ca_data,
    observe,
    plan,
    read_keys,
    read_leaf,
    tls_data,
)
from webhook.certs.issue import fingerprint
from webhook.cluster.objects import (
    NOT_FOUND,
    ApiRefused,
    Document,
    Objects,
    encoded,
    secret_data,
)
from webhook.cluster.registration import (
    Configuration,
    Enforcement,
    Registration,
    Report,
    changed_meanwhile,
)

ROTATE = "slimgate.dev/rotate"
"""Annotation of the CA's Secret: ``ca`` or ``leaf``, removed when done."""
_TICK = 5.0
_STUCK = 120.0


class Instruments:
    """What is counted of certificates."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._expiry = Gauge(
            "slimgate_certificate_expiry_timestamp_seconds",
            "When a certificate ends, in seconds since 1970; the leader tells it.",
            ("certificate",),
            registry=registry,
        )
        self.errors = Counter(
            "slimgate_certificate_errors",
            "Certificates or keys that could not be used, read or written.",
            registry=registry,
        )
        self.restored = Counter(
            "slimgate_ca_bundle_writes",
            "Times the webhook configuration was given the bundle.",
            registry=registry,
        )
        self.leader = Gauge("slimgate_leader", "1 where this replica leads.", registry=registry)

    def expires(self, certificate: str, at: datetime) -> None:
        """``certificate`` is ``ca`` or ``leaf``."""
        self._expiry.labels(certificate).set(at.timestamp())

    def leads(self, *, leading: bool) -> None:
        """Only the leader knows what is issued: what one knew that leads no more is forgotten."""
        self.leader.set(float(leading))
        if not leading:
            self._expiry.clear()


def secret_path(namespace: str, name: str) -> str:
    """Of one Secret."""
    return f"/api/v1/namespaces/{namespace}/secrets/{name}"


class Rotation:
    """The leader's part."""

    def __init__(
        self,
        api: DynamicClient,
        *,
        release: str,
        terms: Terms,
        leading: Callable[[], bool],
        registration: Registration,
        instruments: Instruments,
        report: Report,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        monotonic: Callable[[], float] = time.monotonic,
        tick: float = _TICK,
    ) -> None:
        self._objects = Objects(api)
        self._namespace, self._terms = terms.namespace, terms
        self._ca, self._tls = f"{release}-ca", f"{release}-tls"
        self._leading, self._registration = leading, registration
        self._instruments = instruments
        self._troubles = Troubles(report, instruments)
        self._report = report
        self._now, self._monotonic, self._tick = now, monotonic, tick
        self._watched = Watched(at=float("-inf"))

    def step(self) -> Plan | None:
        """Look, and write what is next; None where another replica leads.

        Raises:
            ApiRefused: the API server refused something, or was overtaken by another's write.
        """
        if not self._leading():
            self._watched = Watched(at=float("-inf"))
            return None
        configuration = self._registration.read()
        tls = self._objects.get(secret_path(self._namespace, self._tls))
        ca = self._objects.get(secret_path(self._namespace, self._ca))
        keys, problems = read_keys(secret_data(ca), secret_data(tls))
        self._troubles.are(problems)
        bundle = None if configuration is None else configuration.bundle
        self._watched = observe(
            self._watched,
            bundle=bundle or (),
            leaf=None if keys.leaf is None else keys.leaf.certificate,
            at=self._monotonic(),
            gap=max(self._terms.overlap / 2, 3 * self._tick),
        )
        forced = _annotations(ca).get(ROTATE, "")
        planned = plan(
            keys, self._watched, terms=self._terms, now=self._now(), bundle=bundle, forced=forced
        )
        self._write(planned, keys, (ca, tls), configuration, forced)
        self._tell(planned.keys)
        return planned

    def _write(
        self,
        planned: Plan,
        before: Keys,
        secrets: tuple[Document | None, Document | None],
        configuration: Configuration | None,
        forced: str,
    ) -> None:
        """All that differs, in the order that never serves what is not trusted yet."""
        ca, tls = secrets
        done_with_ca = forced == "ca" and planned.done
        unasked = forced not in {"", "ca", "leaf"}
        ca = self._save(self._ca, ca, ca_data(planned.keys), settled=done_with_ca or unasked)
        if configuration is not None and self._may_write():
            try:
                if self._registration.publish(configuration, planned.keys.bundle):
                    self._instruments.restored.inc()
            except ApiRefused as error:
                if error.status != NOT_FOUND:  # deleted just now
                    raise
        leaf = planned.keys.leaf
        if leaf is not None and leaf is not before.leaf:
            self._save(self._tls, tls, tls_data(planned.keys, leaf))
            self._report("certificate-issued", f"{self._tls}, {_until(leaf.certificate)}")
        if forced == "leaf" and planned.done:
            self._save(self._ca, ca, ca_data(planned.keys), settled=True)

    def _save(
        self, name: str, seen: Document | None, data: Data, *, settled: bool = False
    ) -> Document | None:
        """The Secret with that data; as it is, where it has it already."""
        if seen is not None and secret_data(seen) == data and not settled:
            return seen
        if not self._may_write():
            return seen
        metadata = {"name": name} if seen is None else dict(seen["metadata"])
        if settled:
            kept = {key: text for key, text in _annotations(seen).items() if key != ROTATE}
            metadata["annotations"] = kept
        written = {"apiVersion": "v1", "kind": "Secret", "type": "Opaque", **(seen or {})}
        written |= {"metadata": metadata, "data": encoded(data)}
        path = secret_path(self._namespace, name)
        if seen is None:
            return self._objects.create(path.rpartition("/")[0], written)
        return self._objects.put(path, written)

    def _may_write(self) -> bool:
        """Asked again before each write.

        Raises:
            ApiRefused: no more.
        """
        if not self._leading():
            raise ApiRefused("this replica leads no more", status=0)
        return True

    def _tell(self, keys: Keys) -> None:
        for name, pair in (("ca", keys.current), ("leaf", keys.leaf)):
            if pair is not None:
                self._instruments.expires(name, pair.certificate.not_valid_after_utc)


class Installer:
    """Every replica's part: the leaf from its Secret into files, whole pairs only."""

    def __init__(
        self,
        api: DynamicClient,
        *,
        release: str,
        namespace: str,
        folder: Path,
        instruments: Instruments,
        report: Report,
    ) -> None:
        self._objects = Objects(api)
        self._path = secret_path(namespace, f"{release}-tls")
        self._folder = folder
        self._troubles = Troubles(report, instruments)
        self._report = report
        self._installed = b""

    def step(self) -> bool:
        """Whether a new pair was installed; raises ``ApiRefused``, ``OSError``."""
        data = secret_data(self._objects.get(self._path))
        if not data.get("tls.crt") and not data.get("tls.key"):
            return False  # not issued yet
        pair, problem = read_leaf(data)
        self._troubles.are((problem,) if problem else ())
        if pair is None or fingerprint(pair.certificate) == self._installed:
            return False
        install(self._folder, pair.cert_pem, pair.key_pem)
        self._installed = fingerprint(pair.certificate)
        self._report("certificate-installed", _until(pair.certificate))
        return True


def install(folder: Path, cert: bytes, key: bytes) -> None:
    """Have ``folder/tls`` hold the pair, by one rename: no reader sees half of it.

    ``tls`` is a symbolic link to a folder beside it. The one before stays for whoever is reading
    it; older ones go.
    """
    link = folder / "tls"
    before = link.readlink().name if link.is_symlink() else ""
    if link.is_dir() and not link.is_symlink():
        shutil.rmtree(link)  # somebody made it in advance
    fresh = folder / f".tls-{time.time_ns()}"
    fresh.mkdir(mode=0o700)
    for name, text in (("tls.crt", cert), ("tls.key", key)):
        descriptor = os.open(fresh / name, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(text)
    pointer = folder / ".tls-link"
    pointer.unlink(missing_ok=True)
    pointer.symlink_to(fresh.name)
    pointer.replace(link)
    for other in folder.glob(".tls-*"):
        if other.name not in {fresh.name, before} and other.is_dir():
            shutil.rmtree(other, ignore_errors=True)


class Steps:
    """Something done again and again, in a thread; what goes wrong is told and tried again."""

    def __init__(
        self,
        step: Callable[[], object],
        *,
        name: str,
        instruments: Instruments,
        report: Report,
        every: float = _TICK,
        wake: threading.Event | None = None,
    ) -> None:
        self._step, self._every = step, every
        self._troubles = Troubles(report, instruments, word=f"{name}-error")
        self._beat = time.monotonic()
        self._wake = wake or threading.Event()

    def alive(self) -> bool:
        """Whether it is still being done."""
        return time.monotonic() - self._beat < _STUCK + self._every

    def run(self, stop: threading.Event) -> None:
        """Until ``stop``; a set ``wake`` brings the next step forward."""
        while not stop.is_set():
            self._beat = time.monotonic()
            try:
                self._step()
                self._troubles.are(())
            except ApiRefused as error:
                if not changed_meanwhile(error):
                    self._troubles.are((str(error),))
            except OSError as error:
                self._troubles.are((str(error),))
            self._pause(stop)

    def _pause(self, stop: threading.Event) -> None:
        end = time.monotonic() + self._every
        while not stop.is_set() and time.monotonic() < end and not self._wake.wait(0.2):
            pass
        self._wake.clear()


class Troubles:
    """Tells of what is wrong once, when it begins."""

    def __init__(
        self, report: Report, instruments: Instruments, *, word: str = "certificate-error"
    ) -> None:
        self._report, self._instruments, self._word = report, instruments, word
        self._told: frozenset[str] = frozenset()

    def are(self, problems: tuple[str, ...]) -> None:
        """All that is wrong now."""
        for one in problems:
            if one not in self._told:
                self._instruments.errors.inc()
                self._report(self._word, one)
        self._told = frozenset(problems)


def leader_step(
    rotation: Rotation | None,
    enforcement: Enforcement | None,
    registration: Registration,
    leading: Callable[[], bool],
    instruments: Instruments,
) -> None:
    """All that only the leader does about certificates and registration; raises ``ApiRefused``.

    ``rotation`` is None with certificates of somebody else's, ``enforcement`` where failurePolicy
    stays as the chart set it.
    """
    leads = leading()
    instruments.leads(leading=leads)
    if not leads:
        return
    if rotation is not None:
        rotation.step()
    if enforcement is not None and leading():
        enforcement.step(registration.read())


def _annotations(secret: Document | None) -> dict[str, str]:
    return ((secret or {}).get("metadata") or {}).get("annotations") or {}


def _until(certificate: object) -> str:
    return f"valid until {getattr(certificate, 'not_valid_after_utc', '?')}"
