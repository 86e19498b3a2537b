"""9 of docs/webhook-conformance.md: images that are bombs, read by the processes that read layers.

Each is refused within the time of a review and a bound on memory, in both modes, and the next image
is read. The limits on bytes and entries are lower than the default ones, so that it is quick;
``SLIMGATE_BOMBS=1`` tries the default ones, with over 2,000,000 entries and 4 GB of PAX headers.
"""

from __future__ import annotations

import os
import re
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.faults import bombs
from tests.faults.answers import in_both, let_in, refused
from tests.faults.images import app
from tests.support import forge
from tests.support.registry import Registry
from tests.support.served import Served, both, children
from webhook.limits import GIB, MIB

BIG = bool(os.environ.get("SLIMGATE_BOMBS"))
ENTRIES, BYTES, HEADERS = (2_000_000, 20 * GIB, 4_096) if BIG else (100_000, GIB // 2, 256)
"""Limits on entries and unpacked bytes, and MiB of PAX headers that are all within them."""
SECONDS = 120.0 if BIG else 60.0


@dataclass(frozen=True)
class Bomb:
    """An image, and what is said of it."""

    image: Callable[[], forge.Image]
    says: str
    memory: int = 64 * MIB
    """That a process which reads a layer may have at most, its programs included."""


RATIO, UNPACKED = "more than 1000 times its size", f"unpack to more than {BYTES} bytes"
BOMBS = {
    "gzip": Bomb(lambda: bombs.layered([bombs.zeros(10 * GIB)], bombs.BEST), RATIO),
    "zstd": Bomb(lambda: bombs.layered([bombs.zeros(10 * GIB)], bombs.ZSTD), RATIO),
    "a zstd window": Bomb(bombs.of_a_window, "a bigger window than allowed"),
    "bytes": Bomb(lambda: bombs.layered([bombs.zeros(BYTES + 64 * MIB)], bombs.QUICK), UNPACKED),
    "a file of a terabyte": Bomb(lambda: bombs.of_a_terabyte(BYTES), UNPACKED),
    "entries": Bomb(
        lambda: bombs.of_files(ENTRIES + 10_000),
        "more tar entries than allowed",
    ),
    "folders": Bomb(
        lambda: bombs.of_folders(ENTRIES * 2),
        # By default memory runs out first, which Python does not always call by its name.
        "image: " if BIG else "more files and folders than allowed",
        640 * MIB if BIG else 96 * MIB,
    ),
    "a path": Bomb(bombs.of_a_long_path, "a tar path has more than 4096 bytes"),
    "a PAX header": Bomb(lambda: bombs.of_a_header(4 * GIB), "header has more than 1048576 bytes"),
    "PAX headers": Bomb(lambda: bombs.of_headers(HEADERS), "/bin/sh"),
    "layers": Bomb(lambda: bombs.of_layers(501), "has 501 layers, the limit is 500"),
    "indexes": Bomb(lambda: bombs.of_indexes(5), "nests too many indexes"),
    "a config": Bomb(lambda: bombs.of_a_config(8 * MIB), "bytes"),
}


@pytest.fixture(scope="module")
def servers(ca_file, tmp_path_factory):
    limits = () if BIG else ("--limit", f"entries={ENTRIES}", "--limit", f"unpacked_bytes={BYTES}")
    with both(tmp_path_factory.mktemp("bombs"), "--ca-file", ca_file, *limits) as servers:
        yield servers


@pytest.mark.parametrize("bomb", BOMBS.values(), ids=BOMBS)
def test_it_is_refused_within_bounds_and_the_next_image_is_read(servers, tls, bomb):
    names = {"team/bomb:1": bomb.image(), **{f"{mode}/app:1".lower(): app() for mode in servers}}
    with Registry(names, tls=tls) as registry:

        def asked(mode: str) -> tuple[dict[str, Any], float, int]:
            served, before = servers[mode], limits_crossed(servers[mode])
            begun = time.monotonic()
            with watched(served) as peak:
                answer = served.ask(f"{registry.host}/team/bomb:1")
                while "deadline" in str(answer) and time.monotonic() - begun < SECONDS:
                    answer = served.ask(f"{registry.host}/team/bomb:1")
            took = time.monotonic() - begun
            assert (limits_crossed(served) > before) is (bomb.says != "/bin/sh")
            let_in(served.ask(f"{registry.host}/{mode.lower()}/app:1"))
            return answer, took, max(peak, default=0)

        for mode, (answer, took, memory) in in_both(asked).items():
            refused(mode, answer, bomb.says, kind="violations")
            assert took < SECONDS
            assert memory < bomb.memory


MOST = re.compile(r"VmHWM:\s+(\d+)")
"""proc_pid_status(5), in KiB."""


def limits_crossed(served: Served) -> float:
    """How many images were refused for a limit so far."""
    found = re.search(
        r'^slimgate_image_errors_total{reason="limit"} (\S+)$', served.get("/metrics"), re.MULTILINE
    )
    return float(found[1]) if found else 0.0


@contextmanager
def watched(served: Served) -> Iterator[list[int]]:
    """The most memory that each process for a layer had at some moments, in bytes."""
    over, peaks = threading.Event(), []

    def watch() -> None:
        while not over.wait(0.01):
            for reader in children(served.worker):
                for job in children(reader):
                    with suppress(OSError):
                        text = Path(f"/proc/{job}/status").read_text()
                        peaks.extend(int(kib) << 10 for kib in MOST.findall(text))

    watching = threading.Thread(target=watch)
    watching.start()
    try:
        yield peaks
    finally:
        over.set()
        watching.join()
