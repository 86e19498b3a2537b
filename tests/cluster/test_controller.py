"""The controller's parts: what ends one is seen and told, and what is no fault of theirs."""

from __future__ import annotations

import threading
from contextlib import contextmanager

import pytest
from kubernetes import client
from prometheus_client import CollectorRegistry

from tests.cluster.support.badly import event, page, raw, serving, status, stream
from tests.cluster.support.processes import eventually
from webhook.cluster import namespaces, nodes, policies, state
from webhook.cluster.api import connect
from webhook.cluster.controller import Controller, Duties
from webhook.cluster.link import Question, ask

NOTHING = '{"kind": "NamespaceList", "metadata": {"resourceVersion": "1"}, "items": []}'


@pytest.fixture
def server():
    with serving() as one:
        for path in (policies.PATH, namespaces.PATH, nodes.PATH):
            one.at[path] = ([raw(NOTHING)], [stream()])
        one.lists = [status(404)]  # Leases and all else
        yield one


@contextmanager
def controlling(server, folder, stop=None, linger=0.0):
    """A controller of certificates by somebody else; ``said`` is what it reports."""
    settings = client.Configuration()
    settings.host, settings.retries = server.url, False
    api, said, stop = connect(settings), [], stop or threading.Event()
    over = threading.Event()
    duties = Duties(
        folder=folder,
        release="slimgate",
        namespace="slimgate",
        identity="one",
        certificates="external",
        failure_policy="Ignore",
        linger=linger,
    )
    one = Controller(
        api,
        duties,
        CollectorRegistry(),
        lambda word, text: said.append((word, text)),
    )
    thread = threading.Thread(target=one.run, args=(stop, over))
    thread.start()
    try:
        yield one, said
    finally:
        stop.set()
        over.set()
        server.over.set()
        thread.join(60)
        for part in one._threads.values():
            part.join(60)
        api.client.rest_client.pool_manager.clear()
        assert not thread.is_alive()


def words(said):
    return [word for word, _ in said]


def test_it_is_ready_once_everything_was_listed_and_says_what_is_missing(server, tmp_path):
    server.at[policies.PATH] = ([status(404, "there is no such thing")], [stream()])
    with controlling(server, tmp_path) as (one, said):
        assert eventually(lambda: "404 there is no such thing" in str(one.missing()))
        assert policies.PATH in one.missing()
        assert one.dead() is None
        assert state.read(tmp_path) is None
        server.at[policies.PATH] = ([raw(NOTHING)], [stream()])
        assert eventually(lambda: one.missing() is None)
        assert state.read(tmp_path) == state.Snapshot()
        assert eventually(lambda: "synced" in words(said))


def test_a_part_that_dies_is_told_of_and_ends_its_health(server, tmp_path):
    server.at[namespaces.PATH][0][:] = [raw(NOTHING.replace("[]", '[{"metadata": [1]}]'))]
    with controlling(server, tmp_path) as (one, said):
        assert eventually(lambda: one.dead() == "watch-namespaces is dead")
        (text,) = [text for word, text in said if word == "watch-namespaces-error"]
        assert "AttributeError" in text
        assert "namespaces.py" in text
        assert one.missing() is not None


def test_a_link_that_takes_no_questions_ends_its_health(server, tmp_path):
    with controlling(server, tmp_path) as (one, _):
        assert eventually(lambda: one.missing() is None)
        assert one.dead() is None
        assert ask(tmp_path, Question(), 60).error == "nothing was asked"
        one._link.close()
        assert eventually(lambda: one.dead() == "link is dead")


def test_a_snapshot_that_cannot_be_written_grows_old(server, tmp_path):
    """What is there says nothing of what came since: it is not called fresh."""
    obstacle = tmp_path / ".snapshot.json"
    later = threading.Event()

    def changes(handler):
        handler.begin()
        later.wait(60)
        handler.chunk(event("ADDED", "new"))
        handler.server.over.wait(60)
        handler.chunk(b"")

    server.at[namespaces.PATH] = ([page("old")], [changes])
    with controlling(server, tmp_path) as (one, said):
        assert eventually(lambda: one.missing() is None)
        file = state.SnapshotFile(tmp_path)
        obstacle.mkdir()
        later.set()
        assert eventually(lambda: "snapshot-error" in words(said))
        stamp = (tmp_path / state.SNAPSHOT).stat().st_mtime_ns
        assert not eventually(
            lambda: (tmp_path / state.SNAPSHOT).stat().st_mtime_ns != stamp, seconds=2.5
        )
        assert [space.name for space in file.current().namespaces] == ["old"]
        assert words(said).count("snapshot-error") == 1
        assert one.dead() is None
        obstacle.rmdir()
        assert eventually(lambda: len(file.current().namespaces) == 2)


def test_what_cannot_be_written_at_first_is_written_later(server, tmp_path):
    (tmp_path / ".snapshot.json").mkdir()
    with controlling(server, tmp_path) as (one, said):
        assert eventually(lambda: "snapshot-error" in words(said))
        assert one.missing() is not None
        (tmp_path / ".snapshot.json").rmdir()
        assert eventually(lambda: one.missing() is None)


@pytest.mark.parametrize("why, dead", [(403, False), (0, True)])
def test_one_kind_that_is_silent_is_death_unless_the_server_says_no(server, tmp_path, why, dead):
    """What is refused stays refused in a process that begins anew."""
    answer = status(why) if why else lambda handler: handler.cut()
    server.at[nodes.PATH] = ([page()], [answer])
    with controlling(server, tmp_path) as (one, _):
        assert eventually(lambda: one.missing() is None)
        watch = one._parts["watch-nodes"]
        assert eventually(lambda: watch.trouble() is not None)
        assert eventually(lambda: one._parts["watch-namespaces"].silent() < 10)
        assert one.dead() is None
        watch._heard -= 301
        assert bool(one.dead()) == dead
        assert not dead or "watch-nodes has heard nothing for 3" in one.dead()


def test_nobody_is_dead_because_the_whole_server_is_away(server, tmp_path):
    for path in (policies.PATH, namespaces.PATH, nodes.PATH):
        server.at[path] = ([page()], [lambda handler: handler.cut()])
    with controlling(server, tmp_path) as (one, _):
        assert eventually(lambda: one.missing() is None)
        for name in ("imagepolicies", "namespaces", "nodes"):
            one._parts[f"watch-{name}"]._heard -= 1000
        assert one.dead() is None


@pytest.mark.parametrize("name", ["team/secrets/x", "team?watch=true", "../nodes/x", "", "A"])
def test_a_name_is_no_way_into_the_api(server, tmp_path, name):
    """Anybody who reaches the webhook's port may ask about any name."""
    anything = raw('{"metadata": {"name": "x", "annotations": {"a": "secret"}}}')
    with controlling(server, tmp_path) as (one, _):
        assert eventually(lambda: one.missing() is None)
        server.lists, server.watches = [anything], [anything]
        server.at[nodes.PATH + "/x"] = ([anything], [anything])
        reply = ask(tmp_path, Question(namespace=name), 60)
        assert (reply.namespace, reply.error) == (None, None)
        assert ask(tmp_path, Question(namespace="team"), 60).namespace.annotations["a"] == "secret"


def test_a_lame_duck_is_still_told_what_it_asks(server, tmp_path):
    """The process that answers goes on for a while, and its reviews need the same as before."""
    stop = threading.Event()
    with controlling(server, tmp_path, stop, linger=300.0) as (one, _):
        assert eventually(lambda: one.missing() is None)
        stop.set()
        assert eventually(lambda: not one._threads["lease"].is_alive())
        server.lists = [raw('{"metadata": {"name": "new", "labels": {"a": "b"}}}')]
        assert ask(tmp_path, Question(namespace="new"), 60).namespace.labels == {"a": "b"}
        stamp = (tmp_path / state.SNAPSHOT).stat().st_mtime_ns
        assert eventually(lambda: (tmp_path / state.SNAPSHOT).stat().st_mtime_ns != stamp)
        assert one.dead() is None


def test_without_a_lame_duck_it_ends_at_once(server, tmp_path):
    stop = threading.Event()
    with controlling(server, tmp_path, stop) as (one, _):
        assert eventually(lambda: one.missing() is None)
        stop.set()
        assert eventually(lambda: not one._link.alive())
