"""The file: bounded, begun anew where it is damaged, and where it cannot be written no worse."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
import threading
import time
from contextlib import closing, contextmanager

import pytest

from tests.cluster.support.processes import eventually
from tests.store.conftest import Watched, sqlite, tiered
from webhook.limits import KIB, MIB, Deadline
from webhook.store import sqlite as module

WRITER = """
import sys, time
from pathlib import Path
from tests.store.conftest import Watched, sqlite
watch = Watched()
shelf = sqlite(Path(sys.argv[1]), watch)
for number in range(200):
    shelf.put(f"facts/{sys.argv[2]}/{number}", sys.argv[2].encode() * 1000)
    assert shelf.get(f"facts/{sys.argv[2]}/{number}") == sys.argv[2].encode() * 1000, watch
assert not watch.troubles, watch
"""


@pytest.fixture
def path(tmp_path):
    return tmp_path / "facts.sqlite"


@pytest.fixture
def opened(path, watch):
    made = []

    def shelf(**options):
        made.append(sqlite(options.pop("path", path), options.pop("watch", watch), **options))
        return made[-1]

    yield shelf
    for each in made:
        each.close()


@contextmanager
def mounted(folder, *options):
    """A disk of a few bytes on a folder."""
    folder.mkdir(exist_ok=True)
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", ",".join(options), "tmpfs", folder],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    if done.returncode:
        pytest.skip(f"no disk can be mounted here: {done.stderr.strip()}")
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", folder], check=True)


def on_disk(folder):
    return sum(one.stat().st_blocks * 512 for one in folder.iterdir())


def test_what_is_known_outlives_the_process(opened, watch):
    first = opened()
    first.put("facts/a", b"a")
    first.close()

    assert opened().get("facts/a") == b"a"
    assert not watch.troubles


def test_the_least_recently_used_goes_first(opened, watch):
    now = [0.0]
    shelf = opened(capacity=MIB, now=lambda: now[0])
    body = os.urandom(100 * KIB)
    for number in range(20):
        now[0] += module._RECENT
        shelf.put(f"facts/{number}", body)
        assert shelf.get("facts/0") == body

    kept = [number for number in range(20) if shelf.get(f"facts/{number}")]
    assert kept[0] == 0
    assert kept[1:] == list(range(21 - len(kept), 20))
    assert 6 <= len(kept) <= 9
    assert not watch.troubles


def test_reading_what_is_in_use_writes_nothing(opened, path):
    shelf = opened()
    shelf.put("facts/a", b"a")
    log = path.with_name(f"{path.name}-wal")
    before = log.read_bytes()
    for _ in range(10):
        assert shelf.get("facts/a") == b"a"
    assert log.read_bytes() == before


def test_the_file_and_its_log_have_a_bound(opened, path, watch):
    shelf = opened(capacity=2 * MIB)
    for number in range(600):
        shelf.put(f"facts/{number}", os.urandom((number % 50) * KIB))
        assert path.stat().st_size <= 2 * MIB
        assert on_disk(path.parent) < 8 * MIB

    assert shelf.get("facts/599")
    assert not watch.troubles


def test_an_entry_that_takes_too_much_displaces_nothing(opened):
    shelf = opened(capacity=MIB)
    shelf.put("facts/a", b"a")
    shelf.put("facts/b", bytes(MIB // 8 + 1))

    assert shelf.get("facts/a") == b"a"
    assert shelf.get("facts/b") is None


def damaged(path, how):
    """A file with entries in it, damaged."""
    shelf = sqlite(path, Watched())
    for number in range(100):
        shelf.put(f"facts/{number}", bytes([number]) * 5000)
    shelf.close()
    data = bytearray(path.read_bytes())
    path.write_bytes(how(data))


@pytest.mark.parametrize(
    "how",
    [
        pytest.param(lambda data: b"no database at all" * 1000, id="garbage"),
        pytest.param(lambda data: data[: len(data) // 3], id="cut off"),
        pytest.param(lambda data: data[:4096] + bytes(len(data) - 4096), id="zeros"),
        pytest.param(lambda data: bytes(100) + data[100:], id="no head"),
        pytest.param(lambda data: data[:4096] + data[8192:] + data[4096:8192], id="pages mixed up"),
    ],
)
def test_a_damaged_file_is_set_aside_and_begun_anew(opened, path, watch, how):
    damaged(path, how)
    shelf = opened()
    for number in range(100):
        assert shelf.get(f"facts/{number}") in {None, bytes([number]) * 5000}
        shelf.put(f"facts/{number}", b"old")
    for number in range(100):
        shelf.put(f"facts/{number}", b"new")

    assert all(shelf.get(f"facts/{number}") == b"new" for number in range(100))
    assert watch.troubles == {"corrupt": 1}
    assert str(path) in watch.details[0]
    assert path.with_name("facts.sqlite.corrupt").exists()


def test_a_file_with_other_tables_is_set_aside(opened, path, watch):
    db = module.sqlite3.connect(path)
    db.execute("CREATE TABLE facts (what)")
    db.close()
    shelf = opened()
    shelf.put("facts/a", b"a")
    shelf.put("facts/a", b"a")

    assert shelf.get("facts/a") == b"a"
    assert watch.troubles == {"corrupt": 1}


def test_of_two_processes_one_sets_the_damaged_file_aside(opened, path):
    damaged(path, lambda data: data)
    watches = [Watched(), Watched()]
    shelves = [opened(watch=watch) for watch in watches]
    for shelf in shelves:
        assert shelf.get("facts/0") == bytes(5000)
    with path.open("r+b") as file:  # both have it open
        file.seek(4096)
        file.write(bytes(path.stat().st_size - 4096))

    for shelf, name in zip(shelves, "ab", strict=True):
        while shelf.get("facts/99"):
            pass
        shelf.put(f"facts/{name}", name.encode())
    for shelf in shelves:
        assert (shelf.get("facts/a"), shelf.get("facts/b")) == (b"a", b"b")
    assert [watch.troubles for watch in watches] == [{"corrupt": 1}, {"corrupt": 1}]


def test_a_file_that_is_taken_away_is_begun_anew(opened, path):
    shelf = opened()
    shelf.put("facts/a", b"a")
    for each in path.parent.iterdir():
        each.unlink()
    shelf.put("facts/a", b"a")
    shelf.close()

    assert opened().get("facts/a") in {None, b"a"}


def test_an_entry_in_which_a_bit_has_turned_is_a_miss(opened, path, watch):
    # A time may hold the same two bytes.
    store = tiered(opened(now=lambda: 0.0), watch, seal=b"")
    store.put("a", b"facts" * 50)
    store._place.shelf.close()
    data = bytearray(path.read_bytes())
    at = data.rindex(b"\x78\x01")  # where zlib's bytes begin
    data[at + 6] ^= 1
    path.write_bytes(data)

    assert tiered(opened(), watch, seal=b"").recall("a") is None
    assert watch.lookups == {"broken": 1}
    assert not watch.troubles


def test_a_folder_that_is_not_there_is_a_miss_and_tried_again_in_seconds(opened, tmp_path, watch):
    now = [0.0]
    path = tmp_path / "later" / "facts.sqlite"
    shelf = opened(path=path, clock=lambda: now[0])
    for _ in range(100):
        shelf.put("facts/a", b"a")
        assert shelf.get("facts/a") is None
    assert watch.troubles == {"unwritable": 1}

    path.parent.mkdir()
    now[0] = 5.1
    shelf.put("facts/a", b"a")
    assert shelf.get("facts/a") == b"a"


def test_a_folder_that_cannot_be_written_is_a_miss(opened, tmp_path, watch):
    with mounted(tmp_path / "disk", "size=1m", "ro"):
        path = tmp_path / "disk" / "facts.sqlite"
        store = tiered(opened(path=path), watch)
        with store.turn("a", "me", Deadline.after(20, time.monotonic)) as keep:
            assert store.recall("a") is None
            keep(1)

        assert store.get("a") == 1
        assert watch.troubles == {"unwritable": 1}


def test_a_file_that_becomes_unwritable_is_a_miss(opened, tmp_path, watch):
    with mounted(tmp_path / "disk", "size=8m"):
        now = [0.0]
        shelf = opened(path=tmp_path / "disk" / "facts.sqlite", clock=lambda: now[0])
        shelf.put("facts/a", b"a")
        shelf.close()
        remount(tmp_path / "disk", "ro")
        assert shelf.get("facts/a") is None
        shelf.put("facts/b", b"b")
        assert watch.troubles == {"unwritable": 1}

        remount(tmp_path / "disk", "rw")
        now[0] = 5.1
        assert shelf.get("facts/a") == b"a"


def test_a_disk_that_is_full_costs_what_is_new_and_nothing_else(opened, tmp_path, watch):
    with mounted(tmp_path / "disk", "size=2m"):
        disk = tmp_path / "disk"
        shelf = opened(path=disk / "facts.sqlite", capacity=16 * MIB)
        shelf.put("facts/a", b"a" * 9000)
        shelf.close()
        fill(disk / "others")
        for number in range(50):
            shelf.put(f"facts/{number}", os.urandom(9000))
        assert shelf.get("facts/1") is None
        assert set(watch.troubles) <= {"full", "unwritable"}
        assert watch.troubles

        (disk / "others").unlink()
        shelf = opened(path=disk / "facts.sqlite", capacity=16 * MIB)
        shelf.put("facts/b", b"b")
        assert (shelf.get("facts/a"), shelf.get("facts/b")) == (b"a" * 9000, b"b")


def test_a_disk_that_fills_up_while_in_use(opened, tmp_path, watch):
    with mounted(tmp_path / "disk", "size=2m"):
        disk = tmp_path / "disk"
        shelf = opened(path=disk / "facts.sqlite", capacity=16 * MIB)
        shelf.put("facts/a", b"a" * 9000)
        fill(disk / "others")
        for number in range(100):
            shelf.put(f"facts/{number}", os.urandom(9000))

        assert shelf.get("facts/a") == b"a" * 9000  # of a disk that is full one can read
        assert set(watch.troubles) <= {"full", "unwritable"}
        (disk / "others").unlink()
        shelf.put("facts/b", b"b")
        assert shelf.get("facts/b") == b"b"


def test_several_processes_make_the_file_at_once(tmp_path):
    watch = Watched()
    for number in range(25):
        shelves = [sqlite(tmp_path / f"{number}.sqlite", watch) for _ in range(4)]
        barrier = threading.Barrier(len(shelves))

        def ask(shelf, barrier=barrier):
            barrier.wait()
            shelf.generation("facts")

        threads = [threading.Thread(target=ask, args=(shelf,)) for shelf in shelves]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        for shelf in shelves:
            shelf.close()
    assert not watch.troubles


def test_several_processes_write_at_once(path):
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", WRITER, path, name], env={**os.environ, "PYTHONPATH": "."}
        )
        for name in "abc"
    ]
    assert [process.wait(timeout=120) for process in processes] == [0, 0, 0]


def test_a_file_that_another_process_holds_is_waited_for_and_no_longer(opened, path, watch):
    """What is in it is read meanwhile; afterwards it is written again."""
    shelf = opened(wait=0.1)
    shelf.put("facts/a", b"a")
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        shelf.put("facts/b", b"b")
        assert watch.troubles == {"busy": 1}
        assert shelf.get("facts/a") == b"a"
        other.execute("ROLLBACK")
    shelf.put("facts/b", b"b")
    assert shelf.get("facts/b") == b"b"
    assert watch.troubles == {"busy": 1}


def test_a_writer_that_is_killed_leaves_a_sound_file(opened, path, watch):
    endless = WRITER.replace("range(200)", "(n for _ in iter(int, 1) for n in range(200))")
    for name in "abc":
        process = subprocess.Popen(
            [sys.executable, "-c", endless, path, name], env={**os.environ, "PYTHONPATH": "."}
        )
        assert eventually(lambda name=name: path.exists() and opened().get(f"facts/{name}/9"))
        process.kill()
        process.wait()
    shelf = opened()

    assert shelf.get("facts/a/0") == b"a" * 1000
    shelf.put("facts/other", b"b")
    assert shelf.get("facts/other") == b"b"
    assert not watch.troubles


def remount(folder, how):
    subprocess.run(["mount", "-o", f"remount,{how}", folder], check=True)


def fill(path):
    """Write until the disk takes no more."""
    with path.open("wb", buffering=0) as stream:
        for size in (64 * KIB, 512):
            try:
                while stream.write(bytes(size)):
                    pass
            except OSError:
                pass
