"""Threads that no registry can take from another: each works in a lane of its own.

A registry that drips holds its own few threads for as long as a fetch may take, and whatever
else is asked of it waits behind them; what is asked of others does not.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable
from concurrent.futures import Future
from threading import Lock, Thread
from typing import Any, TypeVar

T = TypeVar("T")
_Job = tuple[str, "Future[Any]", Callable[[], Any]]


class Lanes:
    """At most ``each`` calls of a lane at a time, and ``most`` of all lanes together.

    ``spare`` more there are for lanes that have none: who names many slow hosts fills ``most``.
    Threads live as long as there is work, and do not keep the process from ending.
    """

    def __init__(self, each: int, most: int, *, spare: int = 0, name: str = "lane") -> None:
        self._each, self._most, self._spare, self._name = each, most, spare, name
        self._waiting: dict[str, deque[_Job]] = {}
        """Lanes that have something to do; whose turn it is stands first."""
        self._running: Counter[str] = Counter()
        self._lock = Lock()

    def submit(self, lane: str, call: Callable[[], T]) -> Future[T]:
        """The future of ``call``, which is run in a thread of its lane."""
        future: Future[T] = Future()
        with self._lock:
            self._waiting.setdefault(lane, deque()).append((lane, future, call))
            job = self._next()
        if job is not None:
            Thread(target=self._work, args=(job,), name=self._name, daemon=True).start()
        return future

    def close(self) -> None:
        """Give up what was not begun; what was runs out by itself."""
        with self._lock:
            waiting, self._waiting = self._waiting, {}
        for jobs in waiting.values():
            for _, future, _ in jobs:
                future.cancel()

    def _work(self, job: _Job | None) -> None:
        while job is not None:
            lane, future, call = job
            _run(future, call)
            del future, call
            with self._lock:
                self._running -= Counter((lane,))
                job = self._next()

    def _next(self) -> _Job | None:
        """The next job that may run, counted as running; lanes take turns."""
        left = self._most - self._running.total()
        each = self._each if left > 0 else min(1, max(0, left + self._spare))
        lane = next((one for one in self._waiting if self._running[one] < each), None)
        if lane is None:
            return None
        jobs = self._waiting.pop(lane)
        job = jobs.popleft()
        if jobs:
            self._waiting[lane] = jobs
        self._running[lane] += 1
        return job


def _run(future: Future[T], call: Callable[[], T]) -> None:
    if not future.set_running_or_notify_cancel():
        return
    try:
        result = call()
    except BaseException as error:  # noqa: BLE001 - raised again where it is waited for
        future.set_exception(error)
    else:
        future.set_result(result)
