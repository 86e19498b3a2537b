"""Two hundred bad requests: each refused or answered, none with a trace, none that stays."""

from __future__ import annotations

import copy
import json
import random

from tests.server.judges import body, deployment, places, pod, review
from tests.server.test_app import Server
from webhook.review.admission import MAX_BODY

SEED = 20_261_123
WRONG = [None, True, 0, -1, 1 << 70, 1.5, "", "\x00", "x" * 10_000, [], {}, [[]], {"": {}}, [None]]


def mutated(document, chance):
    """A document with a value of a wrong type, or a field missing, somewhere."""
    changed = copy.deepcopy(document)
    *parents, last = chance.choice([path for path in places(changed) if path])
    node = changed
    for key in parents:
        node = node[key]
    if isinstance(node, dict) and chance.random() < 0.2:
        del node[last]
    else:
        node[last] = chance.choice(WRONG)
    return json.dumps(changed).encode()


def nested(levels):
    """A pod whose annotations are too deep."""
    deep = b"[" * levels + b"]" * levels
    return body({**pod(), "metadata": {"x": 0}}).replace(b'{"x": 0}', b'{"x": ' + deep + b"}")


def malformed():
    chance = random.Random(SEED)
    full = pod(
        securityContext={"runAsUser": 1, "windowsOptions": {"runAsUserName": "a"}},
        initContainers=[{"name": "i", "image": "i", "restartPolicy": "Always"}],
        volumes=[{"name": "v", "image": {"reference": "v"}}],
        nodeSelector={"kubernetes.io/arch": "amd64"},
    )
    documents = [review(full), review(deployment()), review(full, oldObject=pod("b:1"))]
    documents[2]["request"]["operation"] = "UPDATE"
    good = body(full)
    for _ in range(120):
        yield mutated(chance.choice(documents), chance)
    for _ in range(40):
        yield good[: chance.randrange(len(good))]
    for _ in range(30):
        at = chance.randrange(len(good))
        yield good[:at] + chance.randbytes(3) + good[at + 3 :]
    yield from (nested(levels) for levels in (65, 500, 2_000, 100_000, 1_000_000))
    yield b"[" * 1_000_000
    yield b" " * (MAX_BODY + 1)
    yield b"\x00" * 1_000
    yield b"\xef\xbb\xbf" + good
    yield good + good


def test_two_hundred_malformed_requests():
    server = Server()
    sent = list(malformed())
    assert len(sent) == 200
    statuses = set()
    for request in sent:
        response = server.post(request)
        statuses.add(response.status_code)
        assert response.status_code in {200, 400, 413}, request[:2_000]
        assert "Traceback" not in response.text
        if response.status_code == 200:
            status = response.json["response"].get("status", {"code": 400})
            assert status["code"] == 400, request[:2_000]
    assert statuses == {200, 400, 413}
    assert server.post(body(pod())).json["response"]["allowed"] is True
    assert not any("exception" in line for line in server.log())
