"""What a replica knows of its cluster, handed from the controller to the process that answers.

A snapshot is a file in a folder that both share, written whole. Its time of modification is when
the API server was last heard of on everything in it, so its age is how old the knowledge may be.
It outlives the controller: while that is away, reviews are judged by what was known last.

Knows files and clocks; nothing of Kubernetes' API.
"""

from __future__ import annotations

import os
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


def write(folder: Path, snapshot: Snapshot) -> None:
    """Replace the snapshot in one step: who reads has the old one or the new one, whole."""
    fresh = folder / f".{SNAPSHOT}"
    fresh.write_bytes(msgspec.json.encode(snapshot))
    fresh.replace(folder / SNAPSHOT)


def heard(folder: Path, seconds_ago: float) -> None:
    """Say when the API server was last heard of; nothing where there is no snapshot yet."""
    at = time.time() - seconds_ago
    with suppress(FileNotFoundError):
        os.utime(folder / SNAPSHOT, (at, at))


def read(folder: Path) -> Snapshot | None:
    """The snapshot; None where there is none that can be read."""
    try:
        return _DECODER.decode((folder / SNAPSHOT).read_bytes())
    except (OSError, msgspec.DecodeError):
        return None


class SnapshotFile:
    """The snapshot as the answering process sees it; safe for threads."""

    def __init__(self, folder: Path, clock: Callable[[], float] = time.time) -> None:
        self._folder, self._clock = folder, clock
        self._stamp: _Stamp | None = None
        self._snapshot: Snapshot | None = None
        self._lock = Lock()

    def current(self) -> Snapshot | None:
        """The newest that could be read, None before there was one."""
        stamp = self._look()
        if stamp is not None and stamp != self._stamp:
            with self._lock:
                if stamp != self._stamp:
                    self._snapshot = read(self._folder) or self._snapshot
                    self._stamp = stamp
        return self._snapshot

    def age(self) -> float:
        """Seconds since the API server was last heard of; infinite before there is a snapshot."""
        try:
            return max(0.0, self._clock() - (self._folder / SNAPSHOT).stat().st_mtime)
        except OSError:
            return float("inf")

    def _look(self) -> _Stamp | None:
        """Which file it is: a new one has another inode; ``heard`` changes only its time."""
        try:
            stat = (self._folder / SNAPSHOT).stat()
        except OSError:
            return None
        return stat.st_ino, stat.st_size
