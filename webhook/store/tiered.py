"""Facts in memory, and behind that on a shelf that outlives the process or is shared by several.

What is in memory is had at once. The shelf is looked at by whoever is about to fetch something,
and never while a review holds a lock.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import sha256
from threading import Event, Thread
from typing import Final, Generic, Protocol, TypeVar

from webhook.gather.flights import Facts
from webhook.limits import Deadline
from webhook.store.codec import sealed, unsealed
from webhook.store.shelf import Shelf, Watch

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")

CLAIM_SECONDS: Final = 6.0
"""After which a holder that died is missed."""
_RENEWED: Final = 2.0
"""How often one that lives says so."""
_POLL: Final = 0.1
"""How often the others look."""
PATIENCE: Final = 60.0
"""Seconds that anybody waits for another: longer than any review, and not for ever, since whoever
can write to the server can claim everything."""


class Packing(Protocol[V]):
    """Values to bytes and back; both raise ``ValueError``."""

    def encode(self, value: V) -> bytes:
        """As bytes."""

    def decode(self, data: bytes) -> V:
        """The value again."""


@dataclass(frozen=True, kw_only=True)  # slots and Generic do not go together
class Place(Generic[K, V]):
    """Where on a shelf values of a kind are, and in what form."""

    shelf: Shelf
    kind: str
    """``images``, ``layers``, ``files``."""
    edition: str
    """Of the analysis that finds them out."""
    codec: Packing[V]
    watch: Watch
    seal: bytes = b""
    """The key by which entries are known for ours; empty where nobody else writes."""
    name: Callable[[K], object] = lambda key: key
    """What of a key tells it from others, with a ``repr`` that is the same in all processes."""

    def path(self, key: K) -> str:
        """The name on the shelf."""
        digest = sha256(repr(self.name(key)).encode("utf-8", "backslashreplace")).hexdigest()
        return f"{self.kind}/{self.edition}/{digest}"

    def get(self, key: K) -> V | None:
        """The value; None where there is none that we put there."""
        path = self.path(key)
        data = self.shelf.get(path)
        if data is None:
            return None
        try:
            value = self.codec.decode(unsealed(data, name=path, key=self.seal))
        except ValueError:
            self.watch.looked(self.kind, "broken")
            return None
        self.watch.looked(self.kind, "hit")
        return value

    def put(self, key: K, value: V, generation: int | None) -> None:
        """Keep it; what cannot be written is not kept."""
        try:
            data = self.codec.encode(value)
        except ValueError:
            return
        path = self.path(key)
        self.shelf.put(path, sealed(data, name=path, key=self.seal), generation)


class Tiered(Generic[K, V]):
    """A mapping in memory, in front of a place on a shelf; safe for threads."""

    def __init__(self, memory: Facts[K, V], place: Place[K, V]) -> None:
        """``memory`` is what ``get`` looks into, ``place`` what ``recall`` does."""
        self._memory, self._place = memory, place

    def get(self, key: K) -> V | None:
        """The value, None where it is not in memory."""
        return self._memory.get(key)

    def ageing(self, key: K) -> bool:
        """Whether the value in memory has less than a fifth of its time left."""
        return self._memory.ageing(key)

    def put(self, key: K, value: V) -> None:
        """Keep a value, whatever anybody forgot."""
        self._memory.put(key, value)
        self._place.put(key, value, None)

    def recall(self, key: K) -> V | None:
        """The value from memory or the shelf, which may take a moment."""
        value = self.get(key)
        if value is not None:
            return value
        with self._memory.turn(key, None, Deadline.never()) as remember:
            value = self._place.get(key)
            if value is not None:
                remember(value)
        return value

    def forget(self, key: K) -> None:
        """It is no longer so: nor is what anybody is finding out at this moment kept."""
        self._memory.forget(key)
        self._place.shelf.forget(self._place.path(key))

    @contextmanager
    def turn(self, key: K, claim: object, deadline: Deadline) -> Iterator[Callable[[V], None]]:
        """Find out the value of a key within this context, alone among those who share the shelf.

        Whoever comes second waits until the value is there, or the first one has failed or died:
        so look again with ``recall`` before anything else.

        Args:
            key: what is to be found out.
            claim: what of it is done once only: other claims on the same key do not wait. With a
                ``repr`` that is the same in all processes.
            deadline: for all of it; half of what is left is not waited for, but kept for doing it.

        Yields:
            How to keep the value: that does nothing where the key was forgotten meanwhile.
        """
        place = self._place
        generation = place.shelf.generation(place.kind)
        with self._memory.turn(key, claim, deadline) as remember:

            def keep(value: V) -> None:
                remember(value)
                place.watch.looked(place.kind, "miss")
                place.put(key, value, generation)

            if self.recall(key) is not None:
                yield keep
                return
            with self._claimed(key, claim, deadline):
                yield keep

    @contextmanager
    def _claimed(self, key: K, claim: object, deadline: Deadline) -> Iterator[None]:
        place = self._place
        path = place.path(key)
        wanted = sha256(f"{path} {claim!r}".encode("utf-8", "backslashreplace")).hexdigest()
        name, holder = f"claims/{place.edition}/{wanted}", secrets.token_hex(16)
        waiting = Deadline.after(min(PATIENCE, deadline.left() / 2), deadline.clock)
        while not place.shelf.claim(name, holder, CLAIM_SECONDS):
            if waiting.over():
                yield
                return
            _pause(min(_POLL, waiting.left()))
            if place.shelf.get(path) is not None:
                yield
                return
        over = Event()
        Thread(
            target=_renew, args=(place.shelf, name, holder, over), name="claim", daemon=True
        ).start()
        try:
            yield
        finally:
            over.set()
            place.shelf.release(name, holder)


def _renew(shelf: Shelf, name: str, holder: str, over: Event) -> None:
    while not over.wait(_RENEWED):
        shelf.renew(name, holder, CLAIM_SECONDS)


def _pause(seconds: float) -> None:
    Event().wait(seconds)
