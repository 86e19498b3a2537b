"""What is remembered is weighed by its bytes, whatever an image is made of."""

from __future__ import annotations

import gc
import sys
import time
import tracemalloc
from dataclasses import replace

import pytest

from tests.support import forge
from tests.support.source import ForgedSource
from webhook.gather.gatherer import Caches, Gatherer
from webhook.gather.lanes import Lanes
from webhook.gather.source import ImageRequest
from webhook.image.reference import Reference
from webhook.limits import Deadline, Limits
from webhook.pod import Account
from webhook.store.memory import Memory
from webhook.wiring.weights import of_files, of_gathered, of_layer, of_request

REQUEST = ImageRequest(reference=Reference.parse("registry.test/app:1"))
FILES = [forge.file(f"usr/share/{'x' * 60}{number}") for number in range(2000)]
PROGRAMS = [forge.file(f"usr/bin/{number}", b"#!/bin/x\n", mode=0o755) for number in range(2000)]
LINKS = [forge.symlink(f"usr/lib/{number}", "x" * 90) for number in range(2000)]


@pytest.mark.parametrize(
    "image",
    [
        pytest.param(forge.image([FILES]), id="files"),
        pytest.param(forge.image([PROGRAMS]), id="programs"),
        pytest.param(forge.image([LINKS]), id="links"),
        pytest.param(forge.image([[forge.file("etc/passwd", b"x" * 999_000)]]), id="passwd"),
        pytest.param(forge.image([], labels={"a": "x" * 999_000}), id="a label"),
        pytest.param(forge.image([], labels={f"a{n}": "x" for n in range(9_000)}), id="labels"),
        pytest.param(forge.image([], env=["x" * 999_000]), id="env"),
        pytest.param(forge.image([[]], history=["x" * 999_000]), id="history"),
    ],
)
def test_a_weight_is_about_what_it_takes_of_memory(image):
    kept = {
        name: Memory(capacity=1 << 40, clock=time.monotonic)
        for name in ("tags", "proofs", "images", "partial", "layers", "files", "failures")
    }
    source = ForgedSource({"registry.test/app:1": image})
    gatherer = Gatherer(
        source, caches=Caches(**kept), limits=Limits(), opening=Lanes(1, 1), reading=Lanes(1, 1),
        clock=time.monotonic, background=30,
    )  # fmt: skip
    soon = Deadline.after(20, time.monotonic)
    tracemalloc.start()
    try:
        (facts,) = gatherer.configs([REQUEST], soon)[REQUEST]
        gatherer.layers([(REQUEST, facts)], soon)
        gc.collect()
        taken, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    weight = of_gathered(kept["tags"].get(REQUEST)) + of_files(kept["files"].get(image.digest))
    for ref in facts.layers:
        key = (ref.digest, ref.diff_id, ref.media_type, ref.compressed)
        weight += of_layer(kept["layers"].get(key))
    assert 0.6 * taken < weight + 50_000
    assert weight < 4 * taken + 50_000


def test_a_key_weighs_what_a_pod_said():
    """A tenant makes keys as it likes: of small images, they are what takes the memory."""
    names = tuple(f"{'a' * 240}{number}" for number in range(16))
    account = Account(namespace="team", service_account="b" * 250, pull_secrets=names)
    weight = of_request(replace(REQUEST, account=account)) - of_request(REQUEST)
    assert weight >= sum(map(sys.getsizeof, (*names, "team", "b" * 250)))
    wide = replace(REQUEST, nodes=frozenset({"c" * 900}), architectures=frozenset({"d" * 900}))
    assert of_request(wide) - of_request(REQUEST) >= 1800
