"""A shelf in a file: SQLite, so that what is known outlives the process.

The file is bounded, and its least recently used entries go first. One that is damaged is set
aside and begun anew; a folder that cannot be written, or a disk that is full, is a miss and
nothing worse.
"""

from __future__ import annotations

import fcntl
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Lock
from typing import Final, TypeVar

from webhook.limits import KIB, MIB
from webhook.store.shelf import Rest, Shelf, Trouble, Watch, kind_of

T = TypeVar("T")

SMALLEST: Final = MIB
"""Bytes that a file has to be allowed."""
_PAGE: Final = 4 * KIB
_FILLED: Final = 0.9
"""Of the pages that the file may have; the rest is for the trees around them."""
_SHARE: Final = 8
"""No entry takes more than this part of the file."""
_RECENT: Final = 3_600.0
"""Seconds after which a use is written down again: reading what is in use writes nothing."""
_WAL_BYTES: Final = 4 * MIB
"""To which the log is cut back, whenever it was written back."""
_WAIT: Final = 0.5
"""Seconds for another process that is writing."""
_REST: Final = 5.0
"""Seconds without an attempt, where the file cannot be opened."""

_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS facts (name TEXT PRIMARY KEY, used REAL NOT NULL, data BLOB NOT NULL);
CREATE INDEX IF NOT EXISTS facts_used ON facts (used);
CREATE TABLE IF NOT EXISTS generations (kind TEXT PRIMARY KEY, number INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS claims (name TEXT PRIMARY KEY, holder TEXT NOT NULL, until REAL NOT NULL)
"""
_GENERATION: Final = "SELECT coalesce((SELECT number FROM generations WHERE kind = ?), 0)"

_PRIMARY: Final = 0xFF
"""What is left of an error code when its finer part is gone."""
_CORRUPT: Final = frozenset(
    (
        sqlite3.SQLITE_CORRUPT,
        sqlite3.SQLITE_NOTADB,
        sqlite3.SQLITE_ERROR,  # our statements never change: they do not fit another's tables
        sqlite3.SQLITE_MISMATCH,
        sqlite3.SQLITE_CONSTRAINT,
    )
)
_TROUBLES: Final[dict[int, Trouble]] = {
    sqlite3.SQLITE_FULL: "full",
    sqlite3.SQLITE_BUSY: "busy",
    sqlite3.SQLITE_LOCKED: "busy",
}


class SQLite(Shelf):
    """A file of at most ``capacity`` bytes and a log beside it; several processes may share it."""

    def __init__(
        self,
        path: Path,
        *,
        capacity: int,
        watch: Watch,
        now: Callable[[], float],
        clock: Callable[[], float],
        wait: float = _WAIT,
    ) -> None:
        """Use ``path``, which is made when it is first needed.

        Args:
            path: the file; beside it are its log, its lock, and the last one that was damaged.
            capacity: bytes that the file may have, ``SMALLEST`` at least.
            watch: is told what goes wrong.
            now: seconds since 1970, which all processes agree on.
            clock: monotonic seconds.
            wait: seconds for other processes to be done with it.
        """
        self._path, self._capacity, self._watch, self._now = path, capacity, watch, now
        self._wait = wait
        self._rest = Rest(_REST, clock)
        self._connection: sqlite3.Connection | None = None
        self._inode: int | None = None
        """Of the file that is, or was last, open."""
        self._lock = Lock()

    def get(self, name: str) -> bytes | None:
        """As ``Shelf.get``; what is asked for is kept for longer."""

        def read(db: sqlite3.Connection) -> bytes | None:
            row = db.execute("SELECT data, used FROM facts WHERE name = ?", (name,)).fetchone()
            if row is None:
                return None
            data, used = row
            now = self._now()
            if not 0 <= now - used < _RECENT:  # a clock may have been set back
                with suppress(sqlite3.OperationalError):  # one can still read of a full disk
                    db.execute("UPDATE facts SET used = ? WHERE name = ?", (now, name))
            return bytes(data)

        return self._do(read, None)

    def put(self, name: str, data: bytes, generation: int | None = None) -> None:
        """As ``Shelf.put``."""
        if len(data) > self._capacity // _SHARE:
            return

        def write(db: sqlite3.Connection) -> None:
            with _transaction(db):
                if generation not in {None, _generation(db, kind_of(name))}:
                    return
                self._make_room(db, len(data))
                db.execute("REPLACE INTO facts VALUES (?, ?, ?)", (name, self._now(), data))

        self._do(write, None)

    def generation(self, kind: str) -> int:
        """As ``Shelf.generation``."""
        return self._do(lambda db: _generation(db, kind), 0)

    def forget(self, name: str) -> None:
        """As ``Shelf.forget``."""

        def remove(db: sqlite3.Connection) -> None:
            with _transaction(db):
                db.execute("DELETE FROM facts WHERE name = ?", (name,))
                db.execute(
                    "INSERT INTO generations VALUES (?, 1) "
                    "ON CONFLICT (kind) DO UPDATE SET number = number + 1",
                    (kind_of(name),),
                )

        self._do(remove, None)

    def claim(self, name: str, holder: str, seconds: float) -> bool:
        """As ``Shelf.claim``."""

        def take(db: sqlite3.Connection) -> bool:
            now = self._now()
            with _transaction(db):
                # One from a time that was set back since would never end.
                db.execute(
                    "DELETE FROM claims WHERE until <= ? OR until > ?", (now, now + 2 * seconds)
                )
                db.execute("INSERT OR IGNORE INTO claims VALUES (?, ?, ?)",
                           (name, holder, now + seconds))  # fmt: skip
                found = db.execute("SELECT holder FROM claims WHERE name = ?", (name,)).fetchone()
                return bool(found[0] == holder)

        return self._do(take, otherwise=True)

    def renew(self, name: str, holder: str, seconds: float) -> None:
        """As ``Shelf.renew``."""
        self._do(
            lambda db: db.execute(
                "UPDATE claims SET until = ? WHERE name = ? AND holder = ?",
                (self._now() + seconds, name, holder),
            ),
            None,
        )

    def release(self, name: str, holder: str) -> None:
        """As ``Shelf.release``."""
        self._do(
            lambda db: db.execute(
                "DELETE FROM claims WHERE name = ? AND holder = ?", (name, holder)
            ),
            None,
        )

    def close(self) -> None:
        """As ``Shelf.close``."""
        with self._lock:
            self._disconnect()

    def _do(self, work: Callable[[sqlite3.Connection], T], otherwise: T) -> T:
        """What ``work`` finds, or ``otherwise`` where the file does not let it."""
        with self._lock:
            if not self._rest.over():
                return otherwise
            try:
                done = work(self._connected())
            except (sqlite3.Error, OSError) as error:
                self._troubled(error)
                return otherwise
            self._rest.end()
            return done

    def _connected(self) -> sqlite3.Connection:
        if self._connection is None:
            with self._alone():  # SQLite does not wait for whoever is making the file
                self._connection = self._opened()
        return self._connection

    def _opened(self) -> sqlite3.Connection:
        self._inode = _inode(self._path)
        db = sqlite3.connect(
            self._path, timeout=self._wait, isolation_level=None, check_same_thread=False
        )
        try:
            for pragma in (
                f"page_size = {_PAGE}",
                "journal_mode = WAL",
                "synchronous = NORMAL",  # a crash of the node may cost the last entries
                f"max_page_count = {self._capacity // _PAGE}",
                f"wal_autocheckpoint = {_WAL_BYTES // _PAGE}",
                f"journal_size_limit = {_WAL_BYTES}",
            ):
                db.execute(f"PRAGMA {pragma}")
            for statement in _SCHEMA.split(";"):
                db.execute(statement)
        except BaseException:
            db.close()
            raise
        self._inode = _inode(self._path)
        return db

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """No other process makes the file, or sets it aside, within this context."""
        with Path(f"{self._path}.lock").open("a", encoding="ascii") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def _disconnect(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            with suppress(sqlite3.Error):
                connection.close()

    def _troubled(self, error: sqlite3.Error | OSError) -> None:
        """Say what is wrong, and begin anew where that helps."""
        code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_CANTOPEN) & _PRIMARY
        opened = self._connection is not None
        trouble = "corrupt" if code in _CORRUPT else _TROUBLES.get(code, "unwritable")
        if trouble == "corrupt":
            self._disconnect()
            try:
                self._set_aside()
            except OSError:  # it cannot be written, either
                self._rest.begin()
        elif trouble == "unwritable" or (not opened and trouble != "busy"):
            self._disconnect()
            self._rest.begin()
        self._watch.trouble(trouble, f"{self._path}: {error}")

    def _set_aside(self) -> None:
        """Rename the damaged file, unless another process did so since it was opened."""
        with self._alone():
            if self._inode is None or _inode(self._path) != self._inode:
                return
            for log in ("-wal", "-shm"):
                Path(f"{self._path}{log}").unlink(missing_ok=True)
            self._path.replace(f"{self._path}.corrupt")

    def _make_room(self, db: sqlite3.Connection, size: int) -> None:
        """Let the least recently used go until ``size`` bytes more fit."""
        most = int(self._capacity // _PAGE * _FILLED)
        while _pages(db) + size // _PAGE + 1 > most:
            gone = db.execute(
                "DELETE FROM facts WHERE rowid IN (SELECT rowid FROM facts ORDER BY used LIMIT 1)"
            )
            if not gone.rowcount:
                return


def _pages(db: sqlite3.Connection) -> int:
    """Pages of the file that hold something."""
    (count,) = db.execute("PRAGMA page_count").fetchone()
    (free,) = db.execute("PRAGMA freelist_count").fetchone()
    return int(count) - int(free)


def _generation(db: sqlite3.Connection, kind: str) -> int:
    return int(db.execute(_GENERATION, (kind,)).fetchone()[0])


@contextmanager
def _transaction(db: sqlite3.Connection) -> Iterator[None]:
    db.execute("BEGIN IMMEDIATE")
    try:
        yield
        db.execute("COMMIT")
    except BaseException:
        with suppress(sqlite3.Error):  # it may be over already
            db.execute("ROLLBACK")
        raise


def _inode(path: Path) -> int | None:
    try:
        return path.stat().st_ino
    except FileNotFoundError:
        return None
