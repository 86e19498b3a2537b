"""The benchmarks at sizes that mean nothing: that they run, and what holds at any size."""

from __future__ import annotations

import json
import time
from contextlib import ExitStack
from dataclasses import asdict
from xml.etree import ElementTree as ET

import pytest

from benchmarks import aims, cluster, day, known, page, results, steady
from benchmarks.charts import Bar, svg
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
        assert all(took.seconds > took.late >= 0 for took in taken)


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


def test_the_page_and_its_charts_are_those_of_the_results():
    """``make docs`` was run after benchmarks/results.json changed."""
    found, text = results.kept(), page.PAGE.read_text()
    assert page.filled(text, found) == text
    assert {one.name: one.read_text() for one in page.CHARTS.iterdir()} == page.charts(found)
    assert all(f"](performance/{name})" in text for name in page.charts(found))


def test_a_chart_says_in_words_what_it_shows():
    shown = svg("Speed & size", [Bar("<this>", 4.0, "4 s"), Bar("that", 1.0, "1 s", ours=False)])
    root = ET.fromstring(shown)
    name = "{http://www.w3.org/2000/svg}"
    assert root.find(f"{name}title").text == "Speed & size"
    assert root.find(f"{name}desc").text == "<this>: 4 s; that: 1 s"
    _, *bars = root.findall(f"{name}rect")
    assert [bar.get("class") for bar in bars] == ["ours", "other"]
    assert float(bars[0].get("width")) == 4 * float(bars[1].get("width"))


def test_an_aim_is_met_or_missed_and_left_out_where_nothing_was_measured():
    found = json.loads(json.dumps(results.kept()))
    found["verdict"]["root"]["layers"] = 1
    found["warm"]["16"]["rate"] = 1500.0
    del found["known"]["10,000 found in Valkey"]
    told = {aim.says: aim.met(value) for aim, value in aims.seen(found)}
    assert told["layers fetched to deny for root"] is False
    assert told["warm reviews of one worker on one core"] is True
    assert len(told) == len(list(aims.seen(results.kept()))) - 1 == len(aims.AIMS) - 1
