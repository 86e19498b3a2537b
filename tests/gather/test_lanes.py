"""Lanes: each has its threads, all together are bounded, and nobody is kept from leaving."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from concurrent.futures import CancelledError, wait

import pytest

from tests.cluster.support.processes import eventually
from webhook.errors import Busy
from webhook.gather.lanes import Lanes

SECONDS = 30
"""In which what nothing holds up has come."""


class Gate:
    """Calls that stay inside until it is opened."""

    def __init__(self):
        self.open, self.inside, self.order = threading.Event(), 0, []
        self._lock = threading.Lock()

    def call(self, name=""):
        with self._lock:
            self.inside += 1
            self.order.append(name)
        assert self.open.wait(60)
        return name

    def reaches(self, count):
        """Whether so many come in, and no more."""
        there = eventually(lambda: self.inside >= count, seconds=SECONDS)
        time.sleep(0.05)
        return there and self.inside == count


def fill(lanes, gate, *names):
    return [lanes.submit(name, lambda name=name: gate.call(name)) for name in names]


@pytest.fixture
def gate():
    made = Gate()
    yield made
    made.open.set()


def test_a_lane_has_its_own_threads_and_no_more(gate):
    lanes = Lanes(each=2, most=10)
    futures = fill(lanes, gate, *"aaaaabbbbb")
    assert gate.reaches(4)
    gate.open.set()
    assert [future.result(SECONDS) for future in futures] == [*"aaaaabbbbb"]


def test_all_together_are_bounded(gate):
    lanes = Lanes(each=2, most=3)
    futures = fill(lanes, gate, *"aabbccdd")
    assert gate.reaches(3)
    gate.open.set()
    assert not wait(futures, SECONDS).not_done


def test_the_spare_ones_are_for_lanes_that_have_none(gate):
    lanes = Lanes(each=3, most=4, spare=2)
    futures = fill(lanes, gate, *"aaaaabbcde")
    assert gate.reaches(6)
    assert "".join(sorted(gate.order)) == "aaabcd"
    gate.open.set()
    assert not wait(futures, SECONDS).not_done


def test_lanes_take_turns():
    lanes, gate = Lanes(each=1, most=1), Gate()
    futures = fill(lanes, gate, *"xaaabb")
    gate.open.set()
    wait(futures, SECONDS)
    assert "".join(gate.order) == "xababa"


def test_within_a_lane_those_who_ask_take_turns():
    lanes, gate = Lanes(each=1, most=1), Gate()
    futures = fill(lanes, gate, "first")
    futures += [
        lanes.submit("lane", lambda name=name: gate.call(name), turn=name) for name in "aaaabbc"
    ]
    gate.open.set()
    assert not wait(futures, SECONDS).not_done
    assert gate.order == ["first", *"abcabaa"]


def test_what_was_submitted_in_anothers_turn_runs_in_the_first_that_comes_and_once():
    lanes, gate = Lanes(each=1, most=1), Gate()
    (first,) = fill(lanes, gate, "first")
    mine = [lanes.submit("lane", lambda n=n: gate.call(n), turn="mine") for n in range(4)]
    lanes.join("lane", mine[3], lambda: gate.call(3), "yours")
    last = lanes.submit("lane", lambda: gate.call("last"), turn="yours")
    gate.open.set()
    assert not wait([first, *mine, last], SECONDS).not_done
    assert gate.order == ["first", 0, 3, 1, "last", 2]


def test_what_waits_in_a_turn_is_bounded_and_leaves_room_for_others(gate):
    lanes = Lanes(each=1, most=1)
    for _ in range(4_097):
        lanes.submit("lane", gate.call, turn="greedy")
    with pytest.raises(Busy, match="too much is waited for from lane"):
        lanes.submit("lane", gate.call, turn="greedy")
    assert not lanes.submit("lane", gate.call, turn="modest").done()


def test_what_a_call_raises_is_told_and_the_thread_goes_on():
    lanes = Lanes(each=1, most=1)
    bad = lanes.submit("a", lambda: 1 // 0)
    good = lanes.submit("a", lambda: 1)
    assert isinstance(bad.exception(SECONDS), ZeroDivisionError)
    assert good.result(SECONDS) == 1


def test_closing_gives_up_what_was_not_begun(gate):
    lanes = Lanes(each=1, most=1)
    begun, waiting = fill(lanes, gate, "a", "a")
    assert gate.reaches(1)
    lanes.close()
    gate.open.set()
    assert begun.result(SECONDS) == "a"
    with pytest.raises(CancelledError):
        waiting.result(SECONDS)


def test_threads_end_with_the_work():
    before = threading.active_count()
    lanes = Lanes(each=4, most=4)
    wait([lanes.submit("a", lambda: None) for _ in range(20)], SECONDS)
    # Others of earlier tests may have ended, too.
    assert eventually(lambda: threading.active_count() <= before)


def test_a_call_without_end_does_not_keep_the_process():
    program = (
        "import time; from webhook.gather.lanes import Lanes;"
        "Lanes(1, 1).submit('a', lambda: time.sleep(60))"
    )
    subprocess.run([sys.executable, "-c", program], check=True, timeout=45)
