"""What is remembered is weighed by its bytes, whatever an image is made of."""

from __future__ import annotations

import gc
import time
import tracemalloc

import pytest

from tests.support import forge
from tests.support.source import ForgedSource
from webhook.gather.gatherer import Caches, Gatherer
from webhook.gather.lanes import Lanes
from webhook.gather.source import ImageRequest
from webhook.image.reference import Reference
from webhook.limits import Deadline, Limits
from webhook.store.memory import Memory
from webhook.wiring.weights import of_files, of_gathered, of_layer

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
