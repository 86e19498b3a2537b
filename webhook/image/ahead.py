"""An iterator worked off by a thread of its own, a few items ahead of whoever takes them.

It pays where the items come from calls that let go of Python's lock for long: decompressing,
hashing, reading from a socket. What they cost is then spent on another core.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from queue import SimpleQueue
from threading import Thread
from typing import Final, TypeVar

T = TypeVar("T")

DEPTH: Final = 8
"""Items made before the first is taken: with pieces of 256 KiB, 2 MiB."""

_MORE, _ENOUGH = "more", "enough"

_Item = tuple[T | None, BaseException | None]
"""An item, what ended the iterator, or neither: its end."""


@contextmanager
def ahead(items: Iterator[T], *, depth: int = DEPTH) -> Iterator[Iterator[T]]:
    """The same items, and the same error. Left early, a few more items are made, for nobody."""
    room: SimpleQueue[str] = SimpleQueue()
    ready: SimpleQueue[_Item[T]] = SimpleQueue()
    for _ in range(depth):
        room.put(_MORE)
    thread = Thread(target=_work, args=(items, room, ready), name="ahead", daemon=True)
    thread.start()
    try:
        yield _taken(room, ready)
    finally:
        room.put(_ENOUGH)
        thread.join()


def _work(items: Iterator[T], room: SimpleQueue[str], ready: SimpleQueue[_Item[T]]) -> None:
    try:
        for item in items:
            if room.get() == _ENOUGH:
                return
            ready.put((item, None))
    except BaseException as error:  # noqa: BLE001 - whoever takes the items gets it
        ready.put((None, error))
    else:
        ready.put((None, None))


def _taken(room: SimpleQueue[str], ready: SimpleQueue[_Item[T]]) -> Iterator[T]:
    while True:
        item, error = ready.get()
        if error is not None:
            raise error
        if item is None:
            return
        room.put(_MORE)
        yield item
