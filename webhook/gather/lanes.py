"""Threads that no registry can take from another: each works in a lane of its own.

A registry that drips holds its own few threads for as long as a fetch may take, and whatever
else is asked of it waits behind them; what is asked of others does not. Within a lane those who
ask take turns: behind one namespace's 500 images of a registry, the next one's waits for one.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable
from concurrent.futures import Future
from itertools import chain
from threading import Lock, Thread
from typing import Any, TypeVar

from webhook.errors import Busy

T = TypeVar("T")
_Job = tuple[str, "Future[Any]", Callable[[], Any]]
_Queue = dict[str, deque[_Job]]
"""By turn; whose turn it is stands first."""
_MOST = 4_096
"""Jobs that wait in a turn: a pod of eight images with as many layers as images may have."""


class Lanes:
    """At most ``each`` calls of a lane at a time, and ``most`` of all lanes together.

    ``spare`` more there are for lanes that have none: who names many slow hosts fills ``most``.
    Threads live as long as there is work, and do not keep the process from ending.
    """

    def __init__(self, each: int, most: int, *, spare: int = 0, name: str = "lane") -> None:
        self._each, self._most, self._spare, self._name = each, most, spare, name
        self._waiting: dict[str, _Queue] = {}
        """Lanes that have something to do; whose turn it is stands first."""
        self._running: Counter[str] = Counter()
        self._lock = Lock()

    def submit(self, lane: str, call: Callable[[], T], turn: str = "") -> Future[T]:
        """The future of ``call``, which is run in a thread of its lane, when its turn has come.

        Raises:
            Busy: too much waits for this turn already.
        """
        future: Future[T] = Future()
        self.join(lane, future, call, turn)
        return future

    def join(self, lane: str, future: Future[T], call: Callable[[], T], turn: str) -> None:
        """Have what was submitted in another's turn run in this one, should that come first.

        Raises:
            Busy: too much waits for this turn already.
        """
        with self._lock:
            jobs = self._waiting.setdefault(lane, {}).setdefault(turn, deque())
            if len(jobs) >= _MOST:
                raise Busy(f"too much is waited for from {lane} already")
            jobs.append((lane, future, call))
            job = self._next()
        if job is not None:
            Thread(target=self._work, args=(job,), name=self._name, daemon=True).start()

    def close(self) -> None:
        """Give up what was not begun; what was runs out by itself."""
        with self._lock:
            waiting, self._waiting = self._waiting, {}
        for queue in waiting.values():
            for _, future, _ in chain(*queue.values()):
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
        """The next job that may run, marked and counted as running; lanes take turns."""
        left = self._most - self._running.total()
        each = self._each if left > 0 else min(1, max(0, left + self._spare))
        job = None
        while job is None:
            lane = next((one for one in self._waiting if self._running[one] < each), None)
            if lane is None:
                return None
            queue = self._waiting.pop(lane)
            job = _first(queue)
            if queue:
                self._waiting[lane] = queue
        self._running[job[0]] += 1
        return job


def _first(queue: _Queue) -> _Job | None:
    """The first job that has not begun in another's turn, now begun; None: there is none."""
    while queue:
        turn, jobs = next(iter(queue.items()))
        job = jobs.popleft()
        del queue[turn]
        if jobs:
            queue[turn] = jobs
        future = job[1]
        if not (future.running() or future.done()) and future.set_running_or_notify_cancel():
            return job
    return None


def _run(future: Future[T], call: Callable[[], T]) -> None:
    try:
        result = call()
    except BaseException as error:  # noqa: BLE001 - raised again where it is waited for
        future.set_exception(error)
    else:
        future.set_result(result)
