"""The benchmarks at sizes that mean nothing: that they run, and what holds at any size."""

from __future__ import annotations

import time
from contextlib import ExitStack
from dataclasses import asdict

import pytest

from benchmarks import cluster, day, known, steady
from benchmarks.foretold import counted, foretold, on_average
from benchmarks.serving import ask, review, server
from benchmarks.verdict import CASES, verdicts
from benchmarks.warm import allowed
from tests.support import valkey
from tests.support.registry import Registry
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


@pytest.mark.parametrize("kind", ["SQLite", "Valkey"])
def test_known_images_are_found_in_the_store_and_nowhere_else(tmp_path, kind):
    if kind == "Valkey" and valkey.PROGRAM is None:
        pytest.skip("no valkey-server and no redis-server (Debian: redis-server)")
    library, digests = known._library(3)
    with Registry({"app:1": library}) as images, ExitStack() as stack:
        store = known._stores(tmp_path, stack)[kind]
        names = [f"{images.host}/app@{digest}" for digest in digests]
        known._fill(names, [store])
        before = len(images.requests)
        one = stack.enter_context(server(tmp_path / "one", images.host, options=store.options))
        known._ask_for_each(one, names)
        assert len(images.requests) == before == 3 * 2 + 2  # documents of each, layers of all


def test_reviews_at_a_steady_rate_come_when_they_are_due(tmp_path):
    with (
        Registry({"app:1": allowed()}) as images,
        server(tmp_path / "one", images.host) as one,
    ):
        body = review(f"{images.host}/app:1")
        assert ask(one, body).allowed  # and known from now on
        begun = time.monotonic()
        taken = steady.load(one, body, rate=20, seconds=1)
        assert len(taken) == 20
        assert time.monotonic() - begun >= 0.95
        assert min(taken) > 0


SMALL = cluster.Size(pods=500, images=30, bases=6, replicas=3, nodes=4)


@pytest.mark.parametrize("kind", ["memory", "SQLite", "Valkey"])
def test_a_day_comes_as_it_is_foretold(tmp_path, kind):
    """To the layer, for the pods and replicas that were drawn; by the formula, on average."""
    pods, served = cluster.created(SMALL), cluster.images(SMALL)
    assert len(pods) == SMALL.pods
    with ExitStack() as stack:
        store = day.stores(tmp_path, stack, SMALL.replicas).get(kind)
        if store is None:
            pytest.skip("no valkey-server and no redis-server (Debian: redis-server)")
        seen = day.simulated(pods, served, SMALL.replicas, store)
    drawn = foretold(pods, served, store.life, counted)
    average = foretold(pods, served, store.life, on_average(SMALL.replicas))
    assert asdict(seen.counts) == pytest.approx(asdict(drawn))
    assert seen.counts.bytes == pytest.approx(average.bytes, rel=0.1)
    assert seen.counts.memory == pytest.approx(average.memory, rel=0.1)
