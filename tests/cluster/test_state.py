"""The snapshot's file: whole or not there, and as old as it is said to be."""

from __future__ import annotations

import os
import threading
import time
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from webhook.cluster import state
from webhook.cluster.state import SNAPSHOT, NamespaceState, Snapshot, SnapshotFile
from webhook.judge.state import PolicyState

POLICY = PolicyState(name="p", document={"kind": "ImagePolicy"}, generation=3, problems=("x: y",))


def of(number, size=1):
    """A snapshot; all of one size have the same length."""
    spaces = (NamespaceState(name=f"n{number:06}", labels={"k": "v"}),) * size
    return Snapshot(policies=(POLICY,), namespaces=spaces, platforms=("linux/amd64",))


def test_what_is_written_is_read(tmp_path):
    state.write(tmp_path, of(1))
    assert state.read(tmp_path) == of(1)
    assert SnapshotFile(tmp_path).current() == of(1)
    assert [one.name for one in tmp_path.iterdir()] == [SNAPSHOT]


def test_there_is_none_before_one_was_written(tmp_path):
    file = SnapshotFile(tmp_path)
    assert file.current() is None
    assert file.age() == float("inf")
    assert state.read(tmp_path) is None
    state.heard(tmp_path, 0)
    assert list(tmp_path.iterdir()) == []
    state.write(tmp_path, of(1))
    assert file.current() == of(1)


def test_a_reader_never_sees_half_of_one(tmp_path):
    seen = set()
    with writing(tmp_path, size=2000):
        while len(seen) < 20:
            one = state.read(tmp_path)
            assert one is not None
            assert len(one.namespaces) == 2000
            seen.add(one.namespaces[0].name)
            assert one.namespaces[0] == one.namespaces[-1]


def test_a_new_one_of_the_same_size_is_seen_though_inodes_come_again(tmp_path):
    """On ext4 the file after next may have the first one's inode."""
    file = SnapshotFile(tmp_path)
    for number in range(20):
        state.write(tmp_path, of(2 * number))
        assert file.current() == of(2 * number)
        state.write(tmp_path, of(2 * number + 1))  # that nobody looked at
    assert file.current() == of(38 + 1)


@pytest.mark.parametrize("text", [b"", b"{", b"\xff", b"[]", b'{"policies": 5}', b"\x00" * 99])
def test_one_that_cannot_be_read_leaves_the_last_good_and_its_age(tmp_path, text):
    file = SnapshotFile(tmp_path)
    state.write(tmp_path, of(1), seconds_ago=100)
    assert file.current() == of(1)
    assert 100 <= file.age() < 110
    fresh = tmp_path / "fresh"
    fresh.write_bytes(text)
    fresh.replace(tmp_path / SNAPSHOT)
    assert file.current() == of(1)
    assert 100 <= file.age() < 110  # what is known is no younger for it
    state.write(tmp_path, of(2))
    assert file.current() == of(2)
    assert file.age() < 10


def test_only_one_that_cannot_be_read_is_none_and_infinitely_old(tmp_path):
    (tmp_path / SNAPSHOT).write_text("garbage")
    file = SnapshotFile(tmp_path)
    assert file.current() is None
    assert file.age() == float("inf")


def test_one_that_is_taken_away_stays_known_but_has_no_age(tmp_path):
    file = SnapshotFile(tmp_path)
    state.write(tmp_path, of(1))
    assert file.current() == of(1)
    (tmp_path / SNAPSHOT).unlink()
    assert file.current() == of(1)
    assert file.age() == float("inf")


def test_age_is_since_the_server_was_heard_of(tmp_path):
    now = time.time()
    file = SnapshotFile(tmp_path, clock=lambda: now)
    state.write(tmp_path, of(1), seconds_ago=4000)
    assert file.age() == pytest.approx(4000, abs=60)
    read = file.current()
    state.heard(tmp_path, 700)
    assert file.age() == pytest.approx(700, abs=60)
    assert file.current() is read  # not read again for that
    os.utime(tmp_path / SNAPSHOT, (now + 3600, now + 3600))
    assert file.age() == 0.0  # the clock was put back


def test_it_ages_on_though_the_wall_clock_is_put_back(tmp_path):
    """The controller may be dead: nobody says anew when the server was heard of."""
    begun = time.time()
    wall, ticks = [begun], [0.0]
    file = SnapshotFile(tmp_path, clock=lambda: wall[0], monotonic=lambda: ticks[0])
    state.write(tmp_path, of(1))
    assert file.age() < 5
    wall[0], ticks[0] = begun - 3600, 400.0
    assert file.age() == 400.0
    state.write(tmp_path, of(2), seconds_ago=3600)
    assert file.age() < 5


def test_it_is_never_younger_while_it_is_written(tmp_path):
    seen, ages = set(), []
    with writing(tmp_path, seconds_ago=500):
        file = SnapshotFile(tmp_path)
        while len(seen) < 100:
            ages.append(file.age())
            seen.add(file.current().namespaces[0].name)
    assert min(ages) >= 499


@contextmanager
def writing(folder, *, size=1, seconds_ago=0.0):
    """One snapshot after the other, as long as the block lasts."""
    over = threading.Event()

    def write(number=0):
        while not over.is_set():
            state.write(folder, of(number, size), seconds_ago)
            number += 1

    state.write(folder, of(0, size), seconds_ago)
    thread = threading.Thread(target=write)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def _open(folder):
    """How many files of the folder this process has open; others come and go meanwhile."""
    found = 0
    for one in Path("/proc/self/fd").iterdir():
        with suppress(OSError):
            found += str(one.readlink()).startswith(f"{folder}/")
    return found


def test_a_reader_holds_one_file_open_and_no_more(tmp_path):
    file = SnapshotFile(tmp_path)
    for number in range(30):
        state.write(tmp_path, of(number))
        file.current()
    assert _open(tmp_path) == 1
    del file
    assert _open(tmp_path) == 0
