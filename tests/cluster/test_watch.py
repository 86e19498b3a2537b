"""A watch that the API server breaks off: listed anew, and nothing of the old list stays."""

from __future__ import annotations

import io
import json
import threading

import pytest
import urllib3
from kubernetes.client.exceptions import ApiException

from tests.cluster.support.processes import eventually
from webhook.cluster.watch import Watch

PATH = "/api/v1/namespaces"


def named(name, version="1"):
    """An object of the collection."""
    return {"metadata": {"name": name, "resourceVersion": version}}


def listed(version, *names):
    """The answer to a list."""
    items = [named(name) for name in names]
    return json.dumps({"items": items, "metadata": {"resourceVersion": version}})


def event(kind, item):
    """A line of a watch."""
    return json.dumps({"type": kind, "object": item}) + "\n"


class Scripted:
    """Answers in turn, in real responses; then silence until it is let go."""

    def __init__(self, *answers):
        self.answers, self.asked = list(answers), []
        self.leave = threading.Event()

    def request(self, method, path, *, query_params, **_):
        assert (method, path) == ("get", PATH)
        self.asked.append(dict(query_params))
        if not self.answers:
            self.leave.wait(20)
            raise ApiException(status=500, reason="over")
        answer = self.answers.pop(0)
        if isinstance(answer, ApiException):
            raise answer
        return urllib3.HTTPResponse(io.BytesIO(answer.encode()), preload_content=False)


@pytest.mark.parametrize(
    "gone",
    [
        pytest.param(ApiException(status=410, reason="Gone"), id="the watch is refused"),
        pytest.param(
            event("ERROR", {"code": 410, "message": "too old resource version"}),
            id="an event says so",
        ),
    ],
)
def test_what_is_too_old_to_go_on_from_is_listed_anew(gone):
    api = Scripted(
        listed("5", "stays", "goes"),
        event("ADDED", named("comes", "6")),
        gone,
        listed("9", "stays", "new"),
        event("DELETED", named("new", "10")),
    )
    why, stop = [], threading.Event()
    watch = Watch(api, PATH, keep=lambda item, _: item, changed=lambda: None, relisted=why.append)
    thread = threading.Thread(target=watch.run, args=(stop,))
    thread.start()
    try:
        assert eventually(lambda: len(api.asked) == 6)
        assert set(watch.items) == {"stays"}
        assert why == ["start", "gone"]
        assert [asked.get("resourceVersion") for asked in api.asked] == [
            *(None, "5", "6", None, "9", "10")
        ]
        assert watch.silent() < 10
        assert watch.alive()
    finally:
        stop.set()
        api.leave.set()
        thread.join(20)
    assert not thread.is_alive()


def test_trouble_is_told_once_and_what_was_known_stays():
    said, stop = [], threading.Event()
    away = ApiException(status=503, reason="Service Unavailable")
    api = Scripted(listed("5", "stays"), away, away, event("ADDED", named("comes", "6")))
    watch = Watch(
        api,
        PATH,
        keep=lambda item, _: item,
        changed=lambda: None,
        report=lambda word, _: said.append(word),
    )
    thread = threading.Thread(target=watch.run, args=(stop,))
    thread.start()
    try:
        assert eventually(lambda: len(api.asked) == 5, seconds=20)
        assert set(watch.items) == {"stays", "comes"}
        assert said == ["watch-error", "watch-resumed"]
    finally:
        stop.set()
        api.leave.set()
        thread.join(20)
