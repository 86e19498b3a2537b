"""Many pods at once, of one cold image and each of another: all are answered, none wrongly."""

from __future__ import annotations

import json
import os
import tempfile
import threading
import time
from collections import Counter
from contextlib import closing
from pathlib import Path

import pytest

from tests.soak import soak
from tests.support.registry import Registry
from tests.support.served import JSON, MODES, review, serving

PODS, CLIENTS = 500, 50
DIFFERENT = int(os.environ.get("SLIMGATE_BURST", "60"))
"""Images, where each pod has its own; 500 take half a minute or more."""


def asked(images, served):
    """Each image asked about, by clients that come again when they are told to; the answers."""
    waiting, answers = list(reversed(images)), {}
    lock = threading.Lock()

    def client():
        with closing(served.connection()) as one:
            while True:
                with lock:
                    if not waiting:
                        return
                    number, image = len(waiting), waiting.pop()
                while (found := answer(one, image)) is None:
                    time.sleep(1)  # as Retry-After says, and client-go does
                answers[number] = (image, found)

    clients = [threading.Thread(target=client) for _ in range(CLIENTS)]
    for thread in clients:
        thread.start()
    for thread in clients:
        thread.join()
    return answers.values()


def answer(one, image):
    """Whether it is allowed; None for: come again."""
    one.request("POST", "/validate?timeout=30s", review(image), JSON)
    response = one.getresponse()
    body = response.read()
    if response.status == 503:
        assert response.getheader("Retry-After") == "1"
        return None
    assert response.status == 200, body
    return json.loads(body)["response"]["allowed"]


def bursting(mode, names, kinds):
    """What a fresh slimgate answers to all of these at once; the registry, and its memory."""
    with Registry() as well, tempfile.TemporaryDirectory() as folder:
        for number, name in enumerate(sorted(set(names))):
            well.add(name, soak.varied(kinds(name), number))
        with serving(Path(folder), "--plain-http", well.host, *MODES[mode]) as served:
            before = soak.sample(served.worker, 0).memory
            answers = asked([f"{well.host}/{name}" for name in names], served)
            grown = soak.sample(served.worker, 0).memory - before
        return answers, well, grown


@pytest.mark.parametrize("mode", MODES)
def test_of_one_cold_image_each_blob_is_fetched_once(mode):
    answers, well, _ = bursting(mode, ["app:v1"] * PODS, lambda _: "good")
    assert [allowed for _, allowed in answers] == [True] * PODS
    fetched = Counter(one.path for one in well.requests if one.method == "GET")
    assert len(fetched) == 4  # manifest, config, two layers
    assert set(fetched.values()) == {1}


@pytest.mark.parametrize("mode", MODES)
def test_of_as_many_different_images_all_are_answered_and_memory_is_bounded(mode):
    """Every fifth has a shell, and is let in by audit-only."""
    names = [f"app-{number}:v1" for number in range(DIFFERENT)]
    bad = set(names[::5])
    answers, _, grown = bursting(
        mode, names, lambda name: "with a shell" if name in bad else "good"
    )
    denied = [image.partition("/")[2] for image, allowed in answers if not allowed]
    assert len(answers) == DIFFERENT
    assert set(denied) == (bad if mode == "Enforce" else set())
    assert grown < 64
