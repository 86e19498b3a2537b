"""What every store does, whatever is behind it; and what those do that several processes share."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from itertools import count

import pytest

from tests.store.conftest import Watched, tiered
from webhook.limits import Deadline
from webhook.store.tiered import CLAIM_SECONDS

HOLDER = """
import time
from tests.store.conftest import *
from webhook.limits import Deadline
watch = Watched()
with tiered(SHELF, watch).turn("a", "place", Deadline.never()):
    print("held", flush=True)
    time.sleep(60)
"""


def soon(seconds: float = 20) -> Deadline:
    return Deadline.after(seconds, time.monotonic)


@pytest.fixture
def two(shelves):
    """Two processes' stores over one shelf, and what their shelves said."""
    watches = Watched(), Watched()
    return [tiered(shelves.another(watch), watch) for watch in watches], watches


# Every store


def test_what_was_put_is_known_and_else_nothing(store):
    store.put("a", [1, "x", b"\xff", None])

    assert store.get("a") == store.recall("a") == [1, "x", b"\xff", None]
    assert store.get("b") is store.recall("b") is None


def test_the_last_value_counts(store):
    store.put("a", 1)
    store.put("a", 2)

    assert store.recall("a") == 2


def test_what_is_found_out_in_its_turn_is_kept(store):
    with store.turn("a", "me", soon()) as keep:
        assert store.recall("a") is None
        keep(1)

    assert store.get("a") == store.recall("a") == 1


def test_what_was_forgotten_is_not_known(store):
    store.put("a", 1)
    store.forget("a")

    assert store.get("a") is store.recall("a") is None
    store.put("a", 2)
    assert store.recall("a") == 2


def test_an_invalidation_during_a_fetch_wins(store):
    with store.turn("a", "me", soon()) as keep:
        store.forget("a")
        keep("older than the invalidation")
    assert store.get("a") is store.recall("a") is None

    with store.turn("a", "me", soon()) as keep:
        keep("newer")
    assert store.recall("a") == "newer"


def test_a_turn_that_fails_leaves_nothing_behind(store):
    with pytest.raises(RuntimeError), store.turn("a", "me", soon()):
        raise RuntimeError

    begun = time.monotonic()
    with store.turn("a", "me", soon()) as keep:
        keep(1)
    assert time.monotonic() - begun < 5  # before its claim would end by itself


def test_threads_may_use_it_all_at_once(store):
    failed = []

    def work(number):
        try:
            for round_ in range(20):
                with store.turn(f"{round_ % 5}", number, soon()) as keep:
                    keep([round_ % 5])
                assert store.recall(f"{round_ % 5}") == [round_ % 5]
        except BaseException as error:  # noqa: BLE001 - raised below, in the test's own thread
            failed.append(error)

    threads = [threading.Thread(target=work, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failed


# Those that others share


def test_another_process_knows_it_too(two):
    (first, second), watches = two
    first.put("a", [1])

    assert second.get("a") is None  # not in its memory
    assert second.recall("a") == [1]
    assert second.get("a") == [1]
    assert watches[1].lookups == {"hit": 1}


def test_another_key_of_the_release_or_edition_of_the_analysis_knows_nothing_of_it(shelves):
    watch = Watched()
    tiered(shelves.another(), Watched()).put("a", 1)

    assert tiered(shelves.another(), watch, seal=b"another").recall("a") is None
    assert watch.lookups == {"broken": 1}
    assert tiered(shelves.another(), watch, edition="2").recall("a") is None
    assert watch.lookups == {"broken": 1}


@pytest.mark.parametrize(
    "forge",
    [
        pytest.param(lambda data: b"x", id="a byte"),
        pytest.param(lambda data: data[:-1], id="cut off"),
        pytest.param(lambda data: data[:-1] + bytes([data[-1] ^ 1]), id="a bit"),
        pytest.param(lambda data: bytes(32) + data[32:], id="no seal"),
    ],
)
def test_what_somebody_else_wrote_is_a_miss_and_is_counted(shelves, watch, forge):
    shelf = shelves.another()
    store = tiered(shelf, watch)
    store.put("a", "honest")
    (path,) = {store._place.path("a")}
    shelf.put(path, forge(shelf.get(path)))
    other = tiered(shelves.another(), watch)

    assert other.recall("a") is None
    assert watch.lookups == {"broken": 1}
    with other.turn("a", "me", soon()) as keep:
        keep("honest")
    assert tiered(shelves.another(), watch).recall("a") == "honest"


def test_an_honest_entry_under_another_name_is_a_miss(shelves, watch):
    """Whoever can write could else have a bad image pass by a good one's facts."""
    shelf = shelves.another()
    store = tiered(shelf, watch)
    store.put("good", "passes")
    shelf.put(store._place.path("bad"), shelf.get(store._place.path("good")))

    assert tiered(shelves.another(), watch).recall("bad") is None
    assert watch.lookups == {"broken": 1}


def test_an_invalidation_wins_over_another_process_fetch(two):
    (first, second), _ = two
    with first.turn("a", "me", soon()) as keep:
        second.forget("a")
        keep("older")

    assert second.recall("a") is None


def test_a_burst_in_several_processes_is_one_fetch(shelves):
    fetched, got = [], []
    barrier = threading.Barrier(6)

    def process():
        store = tiered(shelves.another(), Watched())
        barrier.wait()
        with store.turn("a", "place", soon()) as keep:
            value = store.recall("a")
            if value is None:
                fetched.append(1)
                time.sleep(0.3)
                value = "facts"
                keep(value)
            got.append(value)

    threads = [threading.Thread(target=process) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (fetched, got) == ([1], ["facts"] * 6)


def test_where_the_first_fails_the_next_one_does_it(two):
    (first, second), _ = two
    turn = first.turn("a", "place", soon())
    turn.__enter__()
    begun = time.monotonic()
    threading.Timer(0.3, turn.__exit__, (None, None, None)).start()

    with second.turn("a", "place", soon()) as keep:
        assert 0.2 < time.monotonic() - begun < 5  # before the claim would end by itself
        keep(1)
    assert second.recall("a") == 1


def test_whoever_is_killed_is_missed_in_seconds(shelves):
    """By SIGKILL, while it finds something out; until then it is waited for."""
    code = HOLDER.replace("SHELF", shelves.code)
    with subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, env={**os.environ, "PYTHONPATH": "."}
    ) as holder:
        assert holder.stdout.readline() == b"held\n"
        time.sleep(CLAIM_SECONDS + 0.5)  # longer than its claim lasts by itself
        begun = time.monotonic()
        threading.Timer(0.5, holder.kill).start()
        with tiered(shelves.another(), Watched()).turn("a", "place", soon(120)):
            assert 0.5 < time.monotonic() - begun < 30  # where one is waited for for sixty


def test_nobody_waits_until_there_is_no_time_left_to_do_it(two):
    (first, second), _ = two
    looks = count()
    deadline = Deadline.after(0.8, lambda: next(looks) / 50)
    with first.turn("a", "place", soon()), second.turn("a", "place", deadline):
        assert 0.1 < deadline.left() < 0.5


def test_another_claim_on_the_same_key_does_not_wait(two):
    """Another repository's layer of that digest may drip for ever."""
    (first, second), _ = two
    begun = time.monotonic()
    with first.turn("a", "slow.example", soon()), second.turn("a", "fast.example", soon()) as keep:
        keep(1)
    assert time.monotonic() - begun < 5  # where one is waited for for ten


def test_a_claim_is_its_holders(shelves):
    one, other = shelves.another(), shelves.another()

    assert one.claim("c", "one", 60)
    assert not other.claim("c", "other", 60)
    other.release("c", "other")
    other.renew("c", "other", 60)
    assert not other.claim("c", "other", 60)
    one.release("c", "one")
    assert other.claim("c", "other", 60)
    one.renew("c", "one", 60)
    assert not one.claim("c", "one", 60)
