"""Many patterns in a stream, and many streams at once."""

from __future__ import annotations

import subprocess
import sys

import pytest

from webhook.image.search import Search

PATTERNS = (b"needle", b"hay[0-9]+")


@pytest.mark.parametrize(
    ("pieces", "found"),
    [
        pytest.param([b""], set(), id="nothing"),
        pytest.param([b"a needle"], {0}, id="one"),
        pytest.param([b"hay1 needle hay2"], {0, 1}, id="both, one of them twice"),
        pytest.param([b"a nee", b"dle"], {0}, id="across a border"),
        pytest.param([b"nee", b"", b"ds"], set(), id="almost"),
    ],
)
def test_numbers(pieces, found):
    assert Search(PATTERNS).numbers(memoryview(piece) for piece in pieces) == found


def test_a_search_is_used_again():
    search = Search(PATTERNS)
    assert search.numbers([memoryview(b"needle")]) == {0}
    assert search.numbers([memoryview(b"hay7")]) == {1}


FIRST_USE = """
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from webhook.image.search import Search

together = Barrier(8)

def look(_):
    together.wait()
    return Search((b"needle", b"hay[0-9]+")).numbers([memoryview(b"hay1 " * 10_000)] * 100)

with ThreadPoolExecutor(8) as pool:
    assert list(pool.map(look, range(8))) == [{1}] * 8
"""


def test_eight_threads_may_be_first_at_once():
    """In a process of its own: the engine's answer to a lost database is a segmentation fault."""
    subprocess.run([sys.executable, "-c", FIRST_USE], check=True, timeout=60)
