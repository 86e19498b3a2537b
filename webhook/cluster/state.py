"""What a replica knows of its cluster, handed from the controller to the process that answers.

A snapshot is a file in a folder that both share, written whole. Its time of modification is when
the API server was last heard of on everything in it, so its age is how old the knowledge may be.
It outlives the controller: while that is away, reviews are judged by what was known last.

Knows files and clocks; nothing of Kubernetes' API.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from threading import Lock

import msgspec

from webhook.judge.state import PolicyState

SNAPSHOT = "snapshot.json"
SOCKET = "controller.sock"
"""Names in the shared folder."""

NAMESPACE = re.compile(r"[a-z0-9](?:[-a-z0-9]{0,61}[a-z0-9])?")
"""A name that a namespace can have: no other may become part of a path."""

_Stamp = tuple[int, int]


class NamespaceState(msgspec.Struct, frozen=True, kw_only=True):
    """What policies ask of a namespace."""

    name: str
    labels: dict[str, str] = {}
    annotations: dict[str, str] = {}


class Snapshot(msgspec.Struct, frozen=True, kw_only=True):
    """All that is known of the cluster at one time."""

    policies: tuple[PolicyState, ...] = ()
    namespaces: tuple[NamespaceState, ...] = ()
    platforms: tuple[str, ...] = ()
    """Of the nodes, each once: ``linux/amd64``."""


_DECODER = msgspec.json.Decoder(Snapshot)


def write(folder: Path, snapshot: Snapshot, seconds_ago: float = 0.0) -> None:
    """Replace the snapshot in one step: who reads has the old one or the new one, whole.

    Args:
        folder: shared by both.
        snapshot: what is known.
        seconds_ago: when the API server was last heard of on it.
    """
    fresh = folder / f".{SNAPSHOT}"
    fresh.write_bytes(msgspec.json.encode(snapshot))
    _stamp(fresh, seconds_ago)
    fresh.replace(folder / SNAPSHOT)


def heard(folder: Path, seconds_ago: float) -> None:
    """Say when the API server was last heard of; nothing where there is no snapshot yet."""
    with suppress(FileNotFoundError):
        _stamp(folder / SNAPSHOT, seconds_ago)


def read(folder: Path) -> Snapshot | None:
    """The snapshot; None where there is none that can be read."""
    try:
        return _decoded((folder / SNAPSHOT).read_bytes())
    except OSError:
        return None


class SnapshotFile:
    """The snapshot as the answering process sees it; safe for threads."""

    def __init__(
        self,
        folder: Path,
        clock: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._folder, self._clock, self._monotonic = folder, clock, monotonic
        self._stamp: _Stamp | None = None
        self._snapshot: Snapshot | None = None
        self._lock = Lock()
        self._descriptor = -1
        """Of the file that was read last. While it is open, no other file has its inode."""
        self._readable, self._heard = False, float("-inf")
        self._moved = (0.0, 0.0)
        """The file's time, and since when it is that, on the monotonic clock."""

    def __del__(self) -> None:
        """Let go of the file."""
        if self._descriptor >= 0:
            os.close(self._descriptor)

    def current(self) -> Snapshot | None:
        """The newest that could be read, None before there was one."""
        if self._look() != self._stamp:
            with self._lock:
                if self._look() != self._stamp:
                    self._load()
        return self._snapshot

    def age(self) -> float:
        """Seconds since the API server was last heard of; infinite before there is a snapshot.

        Of the newest that could be read. Ask before ``current``, which is then no older than that.
        A wall clock that is put back makes it no younger than it was seen to become.
        """
        self.current()
        try:
            changed = (self._folder / SNAPSHOT).stat().st_mtime
        except OSError:
            return float("inf")
        if self._readable:
            self._heard = changed
        now = self._monotonic()
        if self._moved[0] != changed:
            self._moved = (changed, now)
        return max(0.0, self._clock() - self._heard, now - self._moved[1])

    def _look(self) -> _Stamp | None:
        """Which file it is: a new one has another inode; ``heard`` changes only its time."""
        try:
            stat = (self._folder / SNAPSHOT).stat()
        except OSError:
            return self._stamp  # none at all: what is known stays
        return stat.st_dev, stat.st_ino

    def _load(self) -> None:
        try:
            descriptor = os.open(self._folder / SNAPSHOT, os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            return
        before, self._descriptor = self._descriptor, descriptor
        if before >= 0:
            os.close(before)
        stat = os.fstat(descriptor)
        with os.fdopen(descriptor, "rb", closefd=False) as file:
            snapshot = _decoded(file.read())
        self._readable = snapshot is not None
        self._snapshot = snapshot or self._snapshot
        self._stamp = stat.st_dev, stat.st_ino


def _stamp(path: Path, seconds_ago: float) -> None:
    at = time.time() - seconds_ago
    os.utime(path, (at, at))


def _decoded(text: bytes) -> Snapshot | None:
    try:
        return _DECODER.decode(text)
    except (msgspec.DecodeError, ValueError):
        return None
