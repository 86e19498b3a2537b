"""Runs taken in turns, so that a machine's moods strike all of them, and what came of it.

CPU seconds count what the run itself computed, whoever else is on the machine: on one core
they are the figure. Wall seconds show the use of a second one, and the noise.
"""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeVar

ROUNDS: Final = 5


@dataclass(frozen=True)
class Took:
    """What one run took, in seconds."""

    wall: float
    cpu: float


T = TypeVar("T")
Run = Callable[[], Took]
Found = Mapping[str, Any]
"""What a figure came to, as JSON has it; empty where it was skipped."""
Times = Mapping[str, Sequence[Took]]


def timed(work: Callable[[], object]) -> Run:
    """A run of something in this process, its threads included."""

    def run() -> Took:
        wall, cpu = time.perf_counter(), time.process_time()
        work()
        return Took(time.perf_counter() - wall, time.process_time() - cpu)

    return run


def in_turns(
    runs: Mapping[str, Callable[[], T]], rounds: int = ROUNDS, *, dropped: int = 1
) -> Mapping[str, Sequence[T]]:
    """What each run came to, once a round; ``dropped`` rounds before, which do not count.

    Another one is first in each round, so that what a run leaves behind strikes all of them.
    """
    taken: dict[str, list[T]] = {name: [] for name in runs}
    names = list(runs)
    for number in range(dropped + rounds):
        first = number % len(names)
        for name in (*names[first:], *names[:first]):
            taken[name].append(runs[name]())
    return {name: each[dropped:] for name, each in taken.items()}


@contextmanager
def one_core() -> Iterator[None]:
    """This process and those it starts, held to one core."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {max(before)})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def peak() -> float:
    """The most memory this process ever had, in MiB; ``getrusage`` tells the parent's, too."""
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) / 1024


def show(title: str, times: Times, *, of: str, by: str) -> Found:
    """Print a table: seconds, and the speed of each beside that of ``of``, round by round.

    Returns:
        The medians of each: ``cpu`` and ``wall`` seconds, ``speed``.
    """
    found = {}
    print(f"\n{title}\n{'':28}{'CPU s':^20}{'wall s':^20}{f'speed / {of} ({by})':^28}")
    print(f"{'':28}{'min   med   max':^20}{'min   med   max':^20}{'min   med   max':^28}")
    for name, taken in times.items():
        ratios = [getattr(a, by) / getattr(b, by) for a, b in zip(times[of], taken, strict=True)]
        cells = [[one.cpu for one in taken], [one.wall for one in taken], ratios]
        print(
            f"{name:28}"
            + "".join(f"{spread(cell):^{w}}" for cell, w in zip(cells, (20, 20, 28), strict=True))
        )
        cpu, wall, speed = map(statistics.median, cells)
        found[name] = {"cpu": cpu, "wall": wall, "speed": speed}
    return found


def spread(values: Sequence[float]) -> str:
    """Minimum, median, maximum."""
    return f"{min(values):5.2f} {statistics.median(values):5.2f} {max(values):5.2f}"


def median(taken: Sequence[Took], by: str = "cpu") -> float:
    """Seconds."""
    return float(statistics.median(getattr(one, by) for one in taken))
