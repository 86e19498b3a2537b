"""Stores of every kind, each over what others may use at the same time."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from redis import Redis

from tests.support.valkey import PATIENCE, server
from webhook.limits import MIB
from webhook.store.codec import Codec
from webhook.store.memory import Memory
from webhook.store.shelf import Shelf
from webhook.store.sqlite import SQLite
from webhook.store.tiered import Place, Tiered
from webhook.store.valkey import Server, Valkey


@dataclass
class Watched:
    """What a shelf said of itself."""

    lookups: Counter = field(default_factory=Counter)
    troubles: Counter = field(default_factory=Counter)
    details: list[str] = field(default_factory=list)

    def looked(self, kind, outcome):
        self.lookups[outcome] += 1

    def trouble(self, trouble, detail):
        self.troubles[trouble] += 1
        self.details.append(detail)


def tiered(shelf: Shelf, watch: Watched, *, edition="1", seal=b"key", capacity=100):
    """Numbers and lists by text, in memory and on a shelf."""
    place = Place[str, object](
        shelf=shelf, kind="facts", edition=edition, codec=Codec[object](object), watch=watch,
        seal=seal,
    )  # fmt: skip
    return Tiered(Memory[str, object](capacity=capacity, clock=time.monotonic), place)


def sqlite(path: Path, watch: Watched, **options):
    usual = {"capacity": 4 * MIB, "now": time.time, "clock": time.monotonic, "wait": PATIENCE}
    return SQLite(path, watch=watch, **usual | options)


def valkey(port: int, watch: Watched, *, clock=time.monotonic, timeout=PATIENCE, **options):
    server = Server(host="127.0.0.1", port=port, timeout=timeout, **options)
    return Valkey(server, watch=watch, clock=clock)


@dataclass
class Shelves:
    """A shelf as several processes have it."""

    open: Callable[[Watched], Shelf]
    code: str
    """How another process opens it, where it has a ``watch``."""
    opened: list[Shelf] = field(default_factory=list)

    def another(self, watch: Watched | None = None) -> Shelf:
        """It once more, with nothing in common but the file or the server."""
        self.opened.append(self.open(watch or Watched()))
        return self.opened[-1]


@pytest.fixture
def watch():
    return Watched()


@pytest.fixture(scope="session")
def served(tmp_path_factory):
    """The port of a server for all tests, which each begin with nothing in it."""
    service, port = server(tmp_path_factory.mktemp("valkey"))
    service.start()
    yield port
    service.stop()


@pytest.fixture
def make(request, tmp_path):
    """Shelves of a kind."""
    made: list[Shelves] = []

    def shelves(kind):
        if kind == "sqlite":
            path = tmp_path / "facts.sqlite"
            code = f"sqlite(Path({str(path)!r}), watch)"
            made.append(Shelves(lambda watch: sqlite(path, watch), code))
        else:
            port = request.getfixturevalue("served")
            with Redis(port=port) as emptied:
                emptied.flushall()
            made.append(Shelves(lambda watch: valkey(port, watch), f"valkey({port}, watch)"))
        return made[-1]

    yield shelves
    for shelf in (shelf for each in made for shelf in each.opened):
        shelf.close()


@pytest.fixture(params=["sqlite", "valkey"])
def shelves(request, make):
    """Every kind of shelf."""
    return make(request.param)


@pytest.fixture(params=["memory", "sqlite", "valkey"])
def store(request, make):
    """Every kind of store, as who gathers images has it."""
    if request.param == "memory":
        return Memory(capacity=100, clock=time.monotonic)
    watch = Watched()
    return tiered(make(request.param).another(watch), watch)
