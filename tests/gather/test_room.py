"""Large documents wait for each other, small ones for nobody."""

from __future__ import annotations

import threading
import time
from contextlib import ExitStack, suppress

from tests.cluster.support.processes import eventually
from webhook.errors import DeadlineExceeded
from webhook.gather.room import SMALL, Room
from webhook.limits import KIB, Deadline

ROOM = 400 * KIB


def soon(seconds=0.0):
    return Deadline.after(seconds, time.monotonic)


def fits(room, size, turn="a"):
    try:
        with room.taken(size, turn, soon()):
            return True
    except DeadlineExceeded:
        return False


def test_small_ones_wait_for_nobody():
    room = Room(ROOM)
    with ExitStack() as held:
        for _ in range(100):
            held.enter_context(room.taken(SMALL, "a", soon()))
        assert fits(room, 100 * KIB)


def test_a_turn_holds_as_much_as_it_leaves_free():
    """Half of all, then the next one half of what is left."""
    room = Room(ROOM)
    with room.taken(100 * KIB, "a", soon()), room.taken(100 * KIB, "a", soon()):
        assert not fits(room, 100 * KIB, "a")
        with room.taken(100 * KIB, "b", soon()):
            assert not fits(room, 100 * KIB, "b")
            assert fits(room, 100 * KIB, "c")
        assert fits(room, 200 * KIB, "b")
    assert fits(room, 200 * KIB, "a")


def test_one_that_is_larger_than_all_the_room_has_its_turn_too():
    """It is refused by whoever reads it."""
    assert fits(Room(ROOM), 1_000 * ROOM)


def test_whoever_waits_is_next():
    room, begun = Room(ROOM), threading.Event()

    def wait():
        with room.taken(200 * KIB, "a", Deadline.never()):
            begun.set()

    waiting = threading.Thread(target=wait)
    with suppress(ZeroDivisionError), room.taken(200 * KIB, "a", soon()):
        waiting.start()
        assert not begun.wait(0.1)
        1 / 0  # noqa: B018 - what goes wrong gives its room back as well
    assert eventually(begun.is_set)
    waiting.join()
