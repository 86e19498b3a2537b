"""A few seconds of what ``make soak`` does for half an hour."""

from __future__ import annotations

from tests.soak.soak import soak


def test_nothing_is_wrong_while_everything_fails():
    done = soak(8)
    assert not done.faults, done.faults
    assert done.answers["good: let in"] > 50
    assert done.answers["with a shell: denied"] > 5
    assert done.killed > 0
