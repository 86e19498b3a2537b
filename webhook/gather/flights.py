"""One call per key at a time: a burst of pods with one image makes one fetch."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from concurrent.futures import Future
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass
from functools import partial
from threading import Lock
from typing import Generic, Protocol, TypeVar

from webhook.errors import Busy, ImageError, IntegrityError
from webhook.gather.lanes import Lanes
from webhook.limits import Deadline

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")
K_contra = TypeVar("K_contra", bound=Hashable, contravariant=True)


class Cache(Protocol[K_contra, V]):
    """What a store does; it may forget at any time."""

    def get(self, key: K_contra) -> V | None:
        """The value, None where it is not known."""

    def put(self, key: K_contra, value: V) -> None:
        """Keep the value for a while."""

    def ageing(self, key: K_contra) -> bool:
        """Whether the value that is known will soon be forgotten for its age."""


class Facts(Cache[K_contra, V], Protocol[K_contra, V]):
    """What is kept for longer, and perhaps by several processes: ``get`` asks this one's memory."""

    def recall(self, key: K_contra) -> V | None:
        """The value from wherever it is kept: that may take a moment, so it is for flights."""

    def forget(self, key: K_contra) -> None:
        """It is no longer so: whoever is finding it out at this moment does not keep it, either."""

    def turn(
        self, key: K_contra, claim: object, deadline: Deadline
    ) -> AbstractContextManager[Callable[[V], None]]:
        """Find the value out within this context, one process at a time; it yields how to keep it.

        Whoever waited for another's looks again with ``recall``. ``claim``, by its ``repr``, says
        what of the key is done once only.
        """


@dataclass(frozen=True, slots=True)
class _Flight(Generic[V]):
    """A call that waits for its turn, or is under way."""

    future: Future[V]
    call: Callable[[], V]
    turns: set[str]
    """In which it waits: whoever joins it need not wait for whoever asked first."""


class Flights(Generic[K, V]):
    """One call per key at a time, in its lane; whoever asks meanwhile shares its future."""

    def __init__(self, lanes: Lanes, failures: Cache[Hashable, ImageError]) -> None:
        """Remember failures in ``failures``; values are the calls' own business."""
        self._lanes, self._failures = lanes, failures
        self._flying: dict[K, _Flight[V]] = {}
        self._lock = Lock()

    def start(
        self,
        key: K,
        known: Callable[[], V | None],
        call: Callable[[], V],
        *,
        lane: str,
        turn: str = "",
        ageing: Callable[[], bool] = lambda: False,
    ) -> Future[V]:
        """The future of what answers ``key``: what is known, the call under way, or a new call.

        A call makes its value known before it ends, so one of the three always holds. What is
        known and ``ageing`` is an answer, and asked for anew meanwhile: nobody waits for that.

        Raises:
            Busy: too much waits for this turn in this lane already.
        """
        with self._lock:
            value = known()
            if value is not None:
                if ageing() and key not in self._flying and self._failures.get(key) is None:
                    with suppress(Busy):
                        self._depart(key, call, lane, turn)
                return _Settled(value)
            flight = self._flying.get(key)
            if flight is None:
                failure = self._failures.get(key)
                if failure is not None:
                    return failed(failure)
                flight = self._depart(key, call, lane, turn)
            elif turn not in flight.turns:
                self._lanes.join(lane, flight.future, flight.call, turn)
                flight.turns.add(turn)
            return flight.future

    def _depart(self, key: K, call: Callable[[], V], lane: str, turn: str) -> _Flight[V]:
        fly = partial(self._fly, key, call)
        flight = _Flight(self._lanes.submit(lane, fly, turn), fly, {turn})
        self._flying[key] = flight
        return flight

    def _fly(self, key: K, call: Callable[[], V]) -> V:
        try:
            return call()
        except ImageError as error:
            # Other bytes may come the next time, so that is never remembered.
            if not isinstance(error, IntegrityError):
                self._failures.put(key, error)
            raise bare(error) from None
        finally:
            with self._lock:
                self._flying.pop(key, None)


class _Settled(Future[V]):
    """A future that is done already, without the locks by which others are waited for.

    So it is not for ``concurrent.futures.wait``.
    """

    def __init__(self, value: V) -> None:
        self._value = value

    def done(self) -> bool:
        """It is."""
        return True

    def result(self, timeout: float | None = None) -> V:  # noqa: ARG002 - nothing is waited for
        """The value."""
        return self._value

    def exception(self, timeout: float | None = None) -> None:
        """None."""


def bare(error: ImageError) -> ImageError:
    """The error without what led to it: its frames hold whole documents, and it is kept."""
    error.__context__ = error.__cause__ = None
    return error.with_traceback(None)


def failed(error: ImageError) -> Future[V]:
    """A future that has failed already."""
    future: Future[V] = Future()
    future.set_exception(error)
    return future
