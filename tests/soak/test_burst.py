"""Many pods at once, of one cold image and each of another: all are answered, none wrongly."""

from __future__ import annotations

import json
import os
import ssl
import tempfile
import threading
import time
from collections import Counter
from contextlib import closing
from http.client import HTTPSConnection
from pathlib import Path

from tests.soak import soak
from tests.support.registry import Registry

PODS, CLIENTS = 500, 50
DIFFERENT = int(os.environ.get("SLIMGATE_BURST", "150"))
"""Images, where each pod has its own; 500 take half a minute."""


def asked(images, port, trust):
    """Each image asked about, by clients that come again when they are told to; the answers."""
    waiting, answers = list(reversed(images)), {}
    lock = threading.Lock()

    def client():
        with closing(HTTPSConnection("127.0.0.1", port, context=trust, timeout=40)) as one:
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
    one.request("POST", "/validate?timeout=10s", soak._review(image), soak._JSON)
    response = one.getresponse()
    body = response.read()
    if response.status == 503:
        assert response.getheader("Retry-After") == "1"
        return None
    assert response.status == 200, body
    return json.loads(body)["response"]["allowed"]


def bursting(names, kinds):
    """What a fresh slimgate answers to all of these at once; the registry, and its memory."""
    with Registry() as well, tempfile.TemporaryDirectory() as folder:
        for number, name in enumerate(sorted(set(names))):
            well.add(name, soak._varied(kinds(name), number))
        with soak._server(Path(folder), [well.host]) as (pid, port, authority):
            trust = ssl.create_default_context(cafile=authority)
            before = soak._sample(pid, 0).memory
            answers = asked([f"{well.host}/{name}" for name in names], port, trust)
            grown = soak._sample(pid, 0).memory - before
        return answers, well, grown


def test_of_one_cold_image_each_blob_is_fetched_once():
    answers, well, _ = bursting(["app:v1"] * PODS, lambda _: "good")
    assert [allowed for _, allowed in answers] == [True] * PODS
    fetched = Counter(one.path for one in well.requests if one.method == "GET")
    assert len(fetched) == 4  # manifest, config, two layers
    assert set(fetched.values()) == {1}


def test_of_as_many_different_images_all_are_answered_and_memory_is_bounded():
    """Every fifth has a shell."""
    names = [f"app-{number}:v1" for number in range(DIFFERENT)]
    bad = set(names[::5])
    answers, _, grown = bursting(names, lambda name: "with a shell" if name in bad else "good")
    wrong = [image for image, allowed in answers if allowed is (image.partition("/")[2] in bad)]
    assert (len(answers), wrong) == (DIFFERENT, [])
    assert grown < 64
