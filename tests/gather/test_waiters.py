"""Places to wait in: bounded, and never all of them one namespace's."""

from __future__ import annotations

from contextlib import ExitStack

import pytest

from webhook.errors import Busy
from webhook.gather.waiters import Waiters


def take(stack, waiters, turns):
    """The turns that got a place, in this order."""
    got = []
    for turn in turns:
        try:
            stack.enter_context(waiters.taken(turn))
        except Busy:
            continue
        got.append(turn)
    return got


@pytest.mark.parametrize(
    ("count", "turns", "got"),
    [
        (4, "aaaaaaaa", "aa"),
        (4, "aaabbbcccddd", "aabc"),
        (4, "abcde", "abcd"),
        (1, "ab", "a"),
        (64, "a" * 64 + "b" * 64, "a" * 32 + "b" * 16),
    ],
)
def test_each_may_hold_as_many_as_it_leaves_free(count, turns, got):
    with ExitStack() as stack:
        assert "".join(take(stack, Waiters(count), turns)) == got


def test_a_place_is_free_again_whatever_happened():
    waiters = Waiters(1)
    with pytest.raises(ZeroDivisionError), waiters.taken("a"):
        raise ZeroDivisionError
    with waiters.taken("b"), pytest.raises(Busy), waiters.taken("a"):
        pass
    with waiters.taken("a"):
        pass
