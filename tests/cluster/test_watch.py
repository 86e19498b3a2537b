"""A watch against a server that breaks every promise of the protocol, one at a time."""

from __future__ import annotations

import json
import threading
import time
from contextlib import contextmanager

import pytest
from kubernetes import client

from tests.cluster.support.badly import (
    PATH,
    error,
    event,
    page,
    raw,
    serving,
    status,
    stream,
    thing,
)
from tests.cluster.support.processes import closed_port, eventually
from webhook.cluster import watch as module
from webhook.cluster.api import connect
from webhook.cluster.watch import Watch

FOUR_PAUSES = 0.25 + 0.5 + 1 + 2
"""Seconds at least, of the pauses between five attempts that fail."""


@pytest.fixture
def server():
    with serving() as one:
        yield one


class Watched:
    """A watch in its thread, and all that it told of."""

    def __init__(self, url, *, keep=None, known=None, window=1, slack=30.0, brief=1.0):
        settings = client.Configuration()
        settings.host, settings.retries = url, False
        self.api = connect(settings)
        self.changes, self.relists, self.said = 0, [], []
        self.stop = threading.Event()
        self.watch = Watch(
            self.api,
            PATH,
            keep=keep or (lambda item, _before: item["metadata"].get("labels", {})),
            changed=self._changed,
            known=known,
            relisted=self.relists.append,
            report=lambda word, text: self.said.append((word, text)),
            window=window,
            slack=slack,
            brief=brief,
        )
        self.thread = threading.Thread(target=self.watch.run, args=(self.stop,))

    def _changed(self):
        self.changes += 1

    def names(self):
        return None if self.watch.items is None else sorted(self.watch.items)

    def has(self, *names):
        return eventually(lambda: self.names() == sorted(names))

    @property
    def words(self):
        return [word for word, _ in self.said]


@contextmanager
def watching(server, **more):
    one = Watched(server if isinstance(server, str) else server.url, **more)
    one.thread.start()
    try:
        yield one
    finally:
        one.stop.set()
        if not isinstance(server, str):
            server.over.set()
        one.thread.join(60)
        one.api.client.rest_client.pool_manager.clear()
        assert not one.thread.is_alive()


def test_what_is_listed_is_known_and_what_changes_too(server):
    server.lists = [page("a", "b")]
    lines = event("ADDED", "c"), event("MODIFIED", "a", "12", k="v"), event("DELETED", "b", "13")
    server.watches = [stream(*lines), stream()]
    with watching(server) as one:
        assert one.has("a", "c")
        assert eventually(lambda: one.watch.items["a"] == {"k": "v"})
        assert eventually(lambda: server.count(watch=True) > 1)
    first, second = [q["resourceVersion"] for q in server.asked if "watch" in q][:2]
    assert (first, second) == ("10", "13")
    assert one.relists == ["start"]
    assert one.said == []


def test_nothing_is_known_before_every_page_is_there(server):
    released = threading.Event()

    def held(handler):
        released.wait(60)
        page("c", version="20")(handler)

    server.lists = [page("a", "b", more="next"), held]
    with watching(server) as one:
        assert eventually(lambda: server.count(watch=False) == 2)
        assert one.watch.items is None
        assert one.watch.silent() == float("inf")  # the first page alone makes nothing fresh
        released.set()
        assert one.has("a", "b", "c")
        assert eventually(lambda: one.watch.silent() < 5)
    assert server.asked[1]["continue"] == "next"
    assert next(q for q in server.asked if "watch" in q)["resourceVersion"] == "20"


def test_a_continuation_that_expired_begins_the_list_anew(server):
    server.lists = [page("a", more="next"), status(410), page("b")]
    with watching(server) as one:
        assert one.has("b")
    assert [q.get("continue") for q in server.asked[:3]] == [None, "next", None]
    assert one.relists == ["start"]


def test_a_version_that_is_too_old_at_the_start_of_a_watch_is_listed_anew(server):
    server.lists = [page("a"), page("b")]
    server.watches = [status(410), stream()]
    with watching(server) as one:
        assert one.has("b")
    assert one.relists == ["start", "gone"]
    assert one.said == []  # that is of every day


def test_a_version_that_is_too_old_within_a_stream_is_listed_anew(server):
    server.lists = [page("a"), page("b")]
    server.watches = [stream(error(410) + b"\n"), stream()]
    with watching(server) as one:
        assert one.has("b")
    assert one.relists == ["start", "gone"]


def test_any_other_error_within_a_stream_is_told_of_and_listed_anew(server):
    server.lists = [page("a"), page("b")]
    server.watches = [stream(error(500, "etcd is unwell") + b"\n"), stream()]
    with watching(server) as one:
        assert one.has("b")
        assert eventually(lambda: "watch-resumed" in one.words)
    assert one.relists == ["start", "error"]
    assert one.said[0] == ("watch-error", f"{PATH}: 500 etcd is unwell")


def test_what_was_known_stays_and_grows_old_while_it_cannot_be_listed_anew(server):
    server.lists = [page("a"), page("b", more="next"), status(500)]
    server.watches = [status(410)]
    with watching(server) as one:
        assert eventually(lambda: server.count(watch=False) >= 6)
        assert one.names() == ["a"]
        assert one.watch.silent() > 0.9  # every first page came, and made nothing fresh


def test_a_server_that_says_410_for_ever_is_not_asked_faster_and_faster(server):
    server.watches = [status(410)]
    begun = time.monotonic()
    with watching(server):
        assert eventually(lambda: server.count(watch=False) >= 5)
        assert time.monotonic() - begun >= FOUR_PAUSES


def test_a_watch_that_ends_at_once_is_no_success(server):
    """No hot loop, and no sign of freshness, though each is taken."""
    server.watches = [stream(end="end")]
    begun = time.monotonic()
    with watching(server, window=20, brief=15.0) as one:  # they end sooner on any machine
        assert eventually(lambda: server.count(watch=True) >= 5)
        assert time.monotonic() - begun >= FOUR_PAUSES
        assert one.watch.silent() >= FOUR_PAUSES


def test_a_stream_that_is_cut_within_a_line_goes_on_after_the_last_whole_one(server):
    half = event("ADDED", "c", "12")[:20]
    server.lists = [page("a")]
    server.watches = [stream(event("ADDED", "b", "11"), half, end="cut"), stream()]
    with watching(server) as one:
        assert one.has("a", "b")
        assert eventually(lambda: server.count(watch=True) > 1)
    assert [q["resourceVersion"] for q in server.asked if "watch" in q][:2] == ["10", "11"]
    assert one.words[0] == "watch-error"
    assert one.relists == ["start"]


def test_a_stream_that_ends_within_a_line_has_not_ended_well(server):
    half = event("ADDED", "c", "12")[:20]
    server.watches = [stream(half, end="end"), stream()]
    with watching(server) as one:
        assert eventually(lambda: server.count(watch=True) > 1)
    assert one.said[0] == ("watch-error", f"{PATH}: the watch ended within an event")


def test_lines_come_in_any_pieces(server):
    whole = event("ADDED", "b") + b"\n" + event("ADDED", "c", "12")
    server.watches = [stream(*(whole[at : at + 7] for at in range(0, len(whole), 7)))]
    with watching(server) as one:
        assert one.has("b", "c")


def test_a_dead_socket_is_given_up_soon_after_the_window(server):
    server.lists = [page("a")]
    server.watches = [stream(end="dead"), stream(event("ADDED", "b"))]
    begun = time.monotonic()
    with watching(server, slack=0.5) as one:
        assert one.has("a", "b")
        assert 1.4 < time.monotonic() - begun < 10
    assert "timed out" in one.said[0][1]


def test_a_quiet_watch_that_was_taken_says_that_nothing_changed(server):
    """After a second, not only at its end: reviews wait for it when the server is back."""
    with watching(server, window=300) as one:
        assert eventually(lambda: server.count(watch=True) == 1)
        one.watch._heard -= 1000
        assert eventually(lambda: one.watch.silent() < 200)
        before = one.watch.silent()
        time.sleep(1)
        assert one.watch.silent() >= before + 1  # since it was taken, not since now


def test_bookmarks_move_the_version_and_change_nothing(server):
    server.lists = [page("a")]
    server.watches = [stream(event("BOOKMARK", "", "99"), end="cut"), stream()]
    with watching(server) as one:
        assert eventually(lambda: server.count(watch=True) > 1)
        assert one.names() == ["a"]
    assert [q["resourceVersion"] for q in server.asked if "watch" in q][1] == "99"
    assert server.asked[1]["allowWatchBookmarks"] == "true"
    assert one.changes == 1


def test_what_says_nothing_new_is_no_change(server):
    """Nodes say every few seconds that they are there."""
    server.lists = [page("a")]
    same = [event("MODIFIED", "a", str(number)) for number in range(11, 20)]
    server.watches = [stream(*same, event("ADDED", "b", "20"))]
    with watching(server) as one:
        assert one.has("a", "b")
    assert one.changes == 2


def test_a_refusal_is_told_of_once_and_asked_again_ever_less_often(server):
    server.lists = [status(403, "you may not")]
    with watching(server) as one:
        assert eventually(lambda: server.count(watch=False) > 1)
        assert one.watch.refused()
        assert one.watch.trouble() == f"{PATH}: 403 you may not"
        server.lists = [page("a")]
        assert one.has("a")
        assert eventually(lambda: one.watch.trouble() is None)
    assert one.words == ["watch-error", "watch-resumed"]


def test_a_refused_watch_keeps_what_is_known_and_goes_on_where_it_was(server):
    server.lists = [page("a"), page("wrong")]
    server.watches = [status(403), status(500), stream(event("ADDED", "b"))]
    with watching(server) as one:
        assert one.has("a", "b")
    assert server.count(watch=False) == 1


def test_a_kind_that_is_not_there_is_waited_for(server):
    """The CRD comes later, or goes and comes again."""
    server.lists = [status(404, "could not find"), page("a"), page("b")]
    server.watches = [status(404), stream()]
    with watching(server) as one:
        assert one.has("b")
    assert one.relists == ["start", "gone"]


EMPTY = {"kind": "NamespaceList", "metadata": {"resourceVersion": "1"}}


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("", id="nothing"),
        pytest.param("garbage", id="no JSON"),
        pytest.param(
            '{"kind": "NamespaceList", "metadata": {"resourceVersion": "1"}, "it', id="cut"
        ),
        pytest.param("[]", id="an array"),
        pytest.param("{}", id="an empty object"),
        pytest.param('"ok"', id="a string"),
        pytest.param(json.dumps({"status": "ok"}), id="another object"),
        pytest.param(json.dumps(EMPTY), id="no items"),
        pytest.param(json.dumps({**EMPTY, "items": "x"}), id="items that are none"),
        pytest.param(json.dumps({**EMPTY, "items": [1]}), id="an item that is none"),
        pytest.param(json.dumps({**EMPTY, "items": [], "kind": "Status"}), id="another kind"),
        pytest.param(json.dumps({**EMPTY, "items": [], "metadata": {}}), id="no version"),
        pytest.param(
            json.dumps({**EMPTY, "items": [], "metadata": {"resourceVersion": "1", "continue": 1}}),
            id="no token",
        ),
    ],
)
def test_what_is_no_list_is_not_an_empty_one(server, text):
    """Or all policies were gone with it."""
    server.lists = [page("a"), raw(text)]
    server.watches = [status(410), stream()]
    with watching(server) as one:
        assert eventually(lambda: server.count(watch=False) >= 2)
        assert eventually(lambda: "watch-error" in one.words)
        assert one.names() == ["a"]
        server.lists = [page("b")]
        assert one.has("b")


def test_a_list_of_nothing_is_one(server):
    server.lists = [raw(json.dumps({**EMPTY, "items": None}))]
    with watching(server) as one:
        assert one.has()
        assert one.changes == 1


@pytest.mark.parametrize(
    "line",
    [
        b"garbage\n",
        b"[]\n",
        b"null\n",
        b"5\n",
        b"{}\n",
        b'{"type": "ADDED", "object": 5}\n',
        b'{"type": "ADDED", "object": {"metadata": {"name": "x"}}}\n',
        b'{"type": "WHAT", "object": {"metadata": {"name": "x", "resourceVersion": "1"}}}\n',
        b'{"type": ["ADDED"]}\n',
        b"\xff\xfe\n",
    ],
)
def test_a_line_that_is_no_event_ends_the_watch_and_not_the_thread(server, line):
    server.lists = [page("a")]
    server.watches = [stream(line), stream(event("ADDED", "b"))]
    with watching(server) as one:
        assert one.has("a", "b")
    assert one.words[0] == "watch-error"


def test_an_event_without_end_is_not_read_for_ever(server):
    piece = b"x" * (1 << 20)
    server.watches = [stream(*[piece] * 10), stream(event("ADDED", "b"))]
    with watching(server) as one:
        assert one.has("b")
    assert one.said[0][1] == f"{PATH}: an event of more than {module.MAX_LINE} bytes"


def test_a_server_that_is_not_there_is_tried_again():
    with closed_port() as port, watching(f"http://127.0.0.1:{port}") as one:
        assert eventually(lambda: one.words == ["watch-error"])
        assert not one.watch.refused()
        assert one.watch.alive()
        assert one.watch.items is None


def test_what_is_kept_sees_what_was_kept_before(server):
    """From another life at first, then from this one; what is listed anew sees the old too."""
    seen = []

    def keep(item, before):
        seen.append((item["metadata"]["name"], before))
        return f"kept-{len(seen)}"

    server.lists = [page("a"), page("a")]
    server.watches = [stream(event("MODIFIED", "a"), error(410) + b"\n"), stream()]
    with watching(server, keep=keep, known={"a": "from before"}) as one:
        assert eventually(lambda: one.relists == ["start", "gone"])
    assert seen == [("a", "from before"), ("a", "kept-1"), ("a", "kept-2")]


def test_pauses_grow_and_are_never_the_same():
    pauses = [[module._pause(failures) for _ in range(200)] for failures in (1, 2, 10, 10_000)]
    assert [max(some) <= most for some, most in zip(pauses, (0.5, 1, 10, 10), strict=True)]
    assert all(len(set(some)) > 150 for some in pauses)
    for some, most in zip(pauses, (0.5, 1.0, 10.0, 10.0), strict=True):
        assert most / 2 <= min(some)
        assert max(some) <= most


def test_the_end_comes_within_a_window(server):
    with watching(server) as one:
        assert one.has()
        one.stop.set()
        one.thread.join(20)
        assert not one.thread.is_alive()


def test_a_thing_has_its_name():
    assert module._name(thing("a")) == "a"
    assert module._name({"metadata": []}) == ""
