"""Room in memory for the documents of images: large ones wait for each other.

Hundreds of threads may fetch a manifest or a config at the same moment, each of which may have
megabytes, and several times as many while it is parsed. Nearly all have a few kilobytes: those are
bounded by the number of threads.
"""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

from webhook.errors import DeadlineExceeded
from webhook.gather.shares import Shares
from webhook.limits import KIB, MIB, Deadline

SMALL = 64 * KIB
"""Bytes up to which a document is small."""
ROOM = 32 * MIB
"""For all large ones together, as they are sent."""


class Room:
    """Room for so many bytes, shared among turns as ``Shares`` has it.

    So whoever has a registry drip large documents keeps no other namespace's from being read.
    """

    def __init__(self, size: int = ROOM) -> None:
        self._most = size // 2
        """Of one document: a turn may hold as much as it leaves free."""
        self._bytes = Shares(size)

    def taken(self, size: int, turn: str, deadline: Deadline) -> AbstractContextManager[None]:
        """Hold room for a document of ``size`` bytes for as long as the context lasts.

        Raises:
            DeadlineExceeded: there was none in time.
        """
        if size <= SMALL:
            return nullcontext()
        # One that would not fit at all is refused by whoever reads it.
        return self._bytes.taken(
            turn,
            min(size, self._most),
            seconds=deadline.patience(),
            otherwise=DeadlineExceeded("too many large manifests and configs are being read"),
        )
