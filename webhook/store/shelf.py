"""Where facts are put beside this process's memory: what all such places have in common.

A shelf holds bytes by name. It may lose anything at any time, and never raises: what it cannot do
is told to whoever watches, and is a miss.
"""

from __future__ import annotations

from collections.abc import Callable
from threading import Lock
from typing import Final, Literal, Protocol

Trouble = Literal["corrupt", "full", "unwritable", "busy", "refused", "unreachable"]
"""``corrupt``: begun anew. ``full``, ``unwritable``, ``busy``: of the file, or its disk.
``refused``: the server is there and said no."""
TROUBLES: Final[tuple[Trouble, ...]] = (
    "corrupt",
    "full",
    "unwritable",
    "busy",
    "refused",
    "unreachable",
)
Outcome = Literal["hit", "miss", "broken"]
"""Of looking for facts that are not in memory. ``miss``: they had to be found out, and were.
``broken``: what was there was not what we had put there."""
OUTCOMES: Final[tuple[Outcome, ...]] = ("hit", "miss", "broken")


class Watch(Protocol):
    """Who is told how the shelf is; safe for threads."""

    def looked(self, kind: str, outcome: Outcome) -> None:
        """Facts of a kind were looked for on the shelf."""

    def trouble(self, trouble: Trouble, detail: str) -> None:
        """The shelf could not do what it was asked."""


class Shelf(Protocol):
    """Bytes by name (``layers/EDITION/DIGEST``), and claims; safe for threads and processes.

    A kind (what stands before the first slash) has generations: ``forget`` begins a new one, and
    what was found out in an older one is no longer put.
    """

    def get(self, name: str) -> bytes | None:
        """What was put there, None where nothing is or it cannot be said."""

    def put(self, name: str, data: bytes, generation: int | None = None) -> None:
        """Keep the bytes, unless its kind has another generation by now. None: in any case."""

    def generation(self, kind: str) -> int:
        """Of a kind, now."""

    def forget(self, name: str) -> None:
        """Let go of what is there, and of what anybody is about to put there."""

    def claim(self, name: str, holder: str, seconds: float) -> bool:
        """Whether ``holder`` is the one, for so long: nobody else is. True where none can say."""

    def renew(self, name: str, holder: str, seconds: float) -> None:
        """Let the claim last for so long from now, if ``holder`` has it."""

    def release(self, name: str, holder: str) -> None:
        """End the claim, if ``holder`` has it."""

    def close(self) -> None:
        """Let go of files and connections. Nothing is asked of it afterwards."""


class Rest:
    """After a failure nothing is tried for a while; then one tries, and the others wait for that.

    So what is not there costs nothing but now and then one attempt.
    """

    def __init__(self, seconds: float, clock: Callable[[], float]) -> None:
        """Rest for ``seconds``, of a monotonic ``clock``."""
        self._seconds, self._clock = seconds, clock
        self._until: float | None = None
        self._lock = Lock()

    def over(self) -> bool:
        """Whether the caller may try."""
        with self._lock:
            if self._until is None:
                return True
            if self._clock() < self._until:
                return False
            self.begin()
            return True

    def begin(self) -> None:
        """It failed."""
        self._until = self._clock() + self._seconds

    def end(self) -> None:
        """It worked."""
        self._until = None


def kind_of(name: str) -> str:
    """``layers`` of ``layers/EDITION/DIGEST``."""
    return name.partition("/")[0]
