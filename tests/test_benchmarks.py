"""The benchmarks at sizes that mean nothing: that they run, and what holds at any size."""

from __future__ import annotations

import pytest

from benchmarks.verdict import CASES, verdicts
from webhook.limits import MIB


@pytest.fixture(scope="module")
def taken():
    return verdicts(rounds=1, layer=4 * MIB, per_second=1e9)


@pytest.mark.parametrize("name", ["root", "too big"])
def test_what_manifest_and_config_decide_is_denied_without_a_layer(taken, name):
    """By the command and by the webhook; the registry counted."""
    assert [(took.documents, took.layers) for (took,) in taken[name]] == [(2, 0), (2, 0)]


def test_an_image_is_let_in_when_all_of_it_was_read(taken):
    assert set(taken) == set(CASES)
    assert [(took.documents, took.layers) for (took,) in taken["let in"]] == [(2, 4), (2, 4)]
