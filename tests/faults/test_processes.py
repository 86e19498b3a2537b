"""What happens to slimgate's own processes, stores and clients: 21 to 23, 29, 32 to 34, 43, 44.

Numbers are docs/webhook-conformance.md's; of memory and disks, see test_resources.py.
"""

from __future__ import annotations

import http.client
import json
import os
import re
import shutil
import signal
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
from redis import Redis

from tests.cluster.support.processes import Service, eventually, kept
from tests.faults.answers import in_both, judge_new_ones, let_in, refused
from tests.faults.images import app, layer_of
from tests.server.test_serve import AT_ONCE, _half_body, _half_header, _half_hello, _silent
from tests.support import valkey
from tests.support.registry import Registry, drip, stall
from tests.support.served import JSON, ROOT, Served, both, children, review
from webhook.review.admission import MAX_BODY


def release(folder: Path, file: str, before: str, after: str) -> Path:
    """The sources of another release: this one but for a text in a file of ``webhook``."""
    shutil.copytree(ROOT / "webhook", folder / "webhook")
    changed = folder / "webhook" / file
    text = changed.read_text()
    assert text.count(before) == 1
    changed.write_text(text.replace(before, after))
    return folder


def test_a_worker_that_is_killed_leaves_nothing_half_and_nothing_old(tls, ca_file, tmp_path):
    """22, 23: the review under way has no answer, the next one has the right one.

    What was kept in a file before is asked for again by its tag: that it passed once says nothing.
    """
    store = ("--store", "sqlite", "--store-file", str(tmp_path / "facts.sqlite"))
    with both(tmp_path, "--ca-file", ca_file, *store) as servers:

        def asked(mode: str) -> tuple[dict[str, Any], dict[str, Any]]:
            served, unread = servers[mode], app(shell=True)
            names = {"team/app:1": app(), "team/unread:1": unread}
            with Registry(names, tls=tls) as registry, ThreadPoolExecutor() as threads:
                moved, half = (f"{registry.host}/team/{name}:1" for name in ("app", "unread"))
                let_in(served.ask(moved))
                registry.add("team/app:1", app(shell=True))
                stalling = stall(times=1)
                registry.faults = {layer_of(unread): stalling}
                review = threads.submit(served.ask, half)
                assert eventually(lambda: stalling.times == 0)
                killed = served.worker
                os.kill(killed, signal.SIGKILL)
                with pytest.raises((OSError, http.client.HTTPException)):
                    review.result()
                begun = time.monotonic()
                found = served.ask(moved), served.ask(half)
                assert time.monotonic() - begun < 40  # where its claim holds it is sixty
                assert served.worker != killed
                return found

        for mode, answers in in_both(asked).items():
            for answer in answers:
                refused(mode, answer, "/bin/sh", kind="violations")


def test_readers_that_are_killed_are_counted_and_lose_their_own_layer(tls, ca_file, tmp_path):
    """23: one of them, then the process that begins them; the next layer is read."""
    with both(tmp_path, "--ca-file", ca_file) as servers:

        def asked(mode: str) -> list[dict[str, Any]]:
            served = servers[mode]
            with Registry(tls=tls) as registry:
                judge_new_ones(registry, mode, served)
                job = killed_while_reading(registry, served)
                judge_new_ones(registry, mode, served)
                all_of_them = killed_while_reading(registry, served, whole=True)
                judge_new_ones(registry, mode, served)
            deaths = re.findall(DEATHS, served.get("/metrics"), re.MULTILINE)
            told = [one["detail"] for one in served.said() if one["event"] == "reader-died"]
            assert told == ["killed by SIGKILL"]
            assert {death for death, count in deaths if float(count) == 1} == {"killed", "gone"}
            return [job, all_of_them]

        for mode, (job, all_of_them) in in_both(asked).items():
            refused(mode, job, "(unreachable)", "killed by SIGKILL")
            refused(mode, all_of_them, "(unreachable)", "the process that read its layers is gone")


DEATHS = r'^slimgate_reader_deaths_total{death="(\w+)"} (\S+)$'


def killed_while_reading(
    registry: Registry, served: Served, *, whole: bool = False
) -> dict[str, Any]:
    """What is answered where who reads the image's layer is killed while that drips in.

    ``whole``: after the process that begins such ones.
    """
    image, killed = app(), threading.Event()
    registry.add("team/app:1", image)
    registry.faults = {layer_of(image): drip(every=0.1, until=killed)}
    (reader,) = children(served.worker)
    assert eventually(lambda: not children(reader))  # of layers from before
    with ThreadPoolExecutor() as threads:
        review = threads.submit(served.ask, f"{registry.host}/team/app@{image.digest}")
        # It may be begun after the layer was asked for.
        assert eventually(lambda: registry.count(layer_of(image)) and children(reader))
        for pid in [*([reader] if whole else []), *children(reader)]:
            os.kill(pid, signal.SIGKILL)
        killed.set()
        return review.result()


def test_clients_that_stall_stop_nobody(servers, tls):
    """29: ten times as many of them as there are threads."""

    def asked(mode: str) -> dict[str, Any]:
        served = servers[mode]
        with ExitStack() as kept, Registry({"team/app:1": app(shell=True)}, tls=tls) as registry:
            for stalled in (_silent, _half_hello, _half_header, _half_body):
                for _ in range(60):
                    raw = kept.enter_context(
                        socket.create_connection(("127.0.0.1", served.port), 20)
                    )
                    kept.enter_context(stalled(raw))
            begun = time.monotonic()
            answer = served.ask(f"{registry.host}/team/app:1")
            assert time.monotonic() - begun < AT_ONCE
            return answer

    for mode, answer in in_both(asked).items():
        refused(mode, answer, "/bin/sh", kind="violations")


GOOD = json.loads(review("app:1"))
MALFORMED = {
    "nothing": (b"", 400),
    "no JSON": (b"\x00\xff{", 400),
    "no review": (b"[]", 400),
    "no request": (json.dumps({**GOOD, "request": None}).encode(), 400),
    "an old version": (
        json.dumps({**GOOD, "apiVersion": "admission.k8s.io/v1beta1"}).encode(),
        400,
    ),
    "deep": (b'{"x":' * 100_000, 400),
    "deep in a pod": (review("app:1").replace(b'"name": "app"', b'"name": ' + b"[" * 50_000), 400),
}


@pytest.mark.parametrize(("body", "status"), MALFORMED.values(), ids=MALFORMED)
def test_what_is_no_review_is_told_so_in_a_line(servers, tls, body, status):
    """32, 33."""
    for served in servers.values():
        got, said = served.post(body)
        assert (got, said.count(b"\n"), b"Traceback" in said) == (status, 1, False), said


def test_what_is_too_long_is_not_read(servers, tls):
    """32."""
    for served in servers.values():
        with closing(served.connection()) as one:
            one.putrequest("POST", "/validate")
            for header in (*JSON.items(), ("Content-Length", str(MAX_BODY + 2))):
                one.putheader(*header)
            one.endheaders()
            assert one.getresponse().status == 413


def test_a_bug_is_answered_with_where_to_look_and_the_next_review_is_right(tls, ca_file, tmp_path):
    """34: a release with a bug in one of its checks, and a policy with a rule that fails."""
    sources = release(
        tmp_path / "buggy",
        "checks/no_shell.py",
        "    if subject.windows:\n",
        '    assert "bug" not in str(subject.reference), "a bug"\n    if subject.windows:\n',
    )
    policy = tmp_path / "policy.yaml"
    rule = "  rules: [{name: mine, expression: \"image.labels['x'] == 'y'\", message: m}]\n"
    policy.write_text((ROOT / "policies/distroless-nonroot.yaml").read_text() + rule)
    labelled = {"labels": {"x": "y"}}
    names = {
        "team/bug:1": app(**labelled),
        "team/unlabelled:1": app(),
        "team/app:1": app(**labelled),
    }
    options = ("--ca-file", ca_file, "--policies", str(policy))
    with (
        Registry(names, tls=tls) as registry,
        both(tmp_path, *options, root=sources) as servers,
    ):
        for mode, served in servers.items():
            answer = served.ask(f"{registry.host}/team/bug:1")
            told = answer["auditAnnotations"]
            assert (told["decision"], told["error"]) == ("error", "AssertionError")
            assert answer["allowed"] is (mode == "audit-only")
            if mode == "Enforce":
                assert answer["status"]["code"] == 500
                assert answer["uid"] in answer["status"]["message"]
            (line,) = [one for one in served.said() if one.get("uid") == answer["uid"]]
            assert (line["level"], "a bug" in line["exception"]) == ("error", True)
            unlabelled = served.ask(f"{registry.host}/team/unlabelled:1")
            refused(mode, unlabelled, "mine: could not be found out")
            let_in(served.ask(f"{registry.host}/team/app:1"))


def test_a_store_that_lies_or_hangs_is_a_miss(tls, ca_file, tmp_path):
    """21: what somebody else wrote there is read anew; of one that hangs nobody waits for long."""
    with (
        kept_in_a_server(tmp_path) as (service, port, options),
        Registry(tls=tls) as registry,
        both(tmp_path, "--ca-file", ca_file, *options) as servers,
    ):
        images = {"good": app(), "bad": app(shell=True)}
        names = {}
        for kind, image in images.items():
            registry.add(f"team/{kind}:1", image)
            names[kind] = f"{registry.host}/team/{kind}@{image.digest}"

        def judge(mode: str) -> None:
            let_in(servers[mode].ask(names["good"]))
            found = servers[mode].ask(names["bad"])
            refused(mode, found, "/bin/sh", kind="violations")

        in_both(judge)
        for mode, served in servers.items():  # what the first one finds broken it puts right
            with Redis(port=port) as redis:
                facts = [key for key in redis.scan_iter() if redis.type(key) == b"string"]
                assert facts
                for key in facts:
                    redis.setrange(key, 40, b"another")
            os.kill(served.worker, signal.SIGKILL)
            judge(mode)
            assert 'outcome="broken"' in served.get("/metrics")

        service.process.send_signal(signal.SIGSTOP)
        try:
            begun = time.monotonic()
            in_both(lambda mode: judge_new_ones(registry, mode, servers[mode]))
            assert time.monotonic() - begun < 15
        finally:
            service.process.send_signal(signal.SIGCONT)


@contextmanager
def kept_in_a_server(folder: Path) -> Iterator[tuple[Service, int, tuple[str, ...]]]:
    """A Valkey or Redis, its port, and how slimgate is told of it."""
    (folder / "key").write_text("k" * 32)
    service, port = valkey.server(folder)
    with kept(service):
        yield service, port, valkey.options(port, folder / "key")


def test_two_releases_share_a_server_and_no_facts(tls, ca_file, tmp_path):
    """43: the old one knows no shell by the name of sh; each judges by what it found itself."""
    old = release(tmp_path / "old", "image/names.py", "        sh | ash |", "        ash |")
    image, told = app(shell=True), ("--ca-file", ca_file, *valkey.PATIENT)
    with (
        kept_in_a_server(tmp_path) as (_, _, options),
        Registry({"team/app:1": image}, tls=tls) as registry,
        both(tmp_path / "old-replicas", *told, *options, root=old) as before,
        both(tmp_path / "new-replicas", *told, *options) as after,
    ):
        name = f"{registry.host}/team/app:1"
        for mode in before:
            let_in(before[mode].ask(name))
            refused(mode, after[mode].ask(name), "/bin/sh", kind="violations")
            let_in(before[mode].ask(name))
        assert registry.count(layer_of(image)) == 2  # once by each release


def test_a_client_that_leaves_costs_nothing_and_what_was_read_is_kept(servers, tls):
    """44: as when kubectl is interrupted."""

    def asked(mode: str) -> dict[str, Any]:
        served, image = servers[mode], app(shell=True)
        with Registry({"team/app:1": image}, tls=tls) as registry:
            registry.faults = {layer_of(image): drip(every=0.003)}
            name = f"{registry.host}/team/app:1"
            with closing(served.connection()) as leaving:
                leaving.request("POST", "/validate?timeout=10s", review(name), JSON)
                assert eventually(lambda: registry.count(layer_of(image)))
            assert eventually(lambda: "slimgate_reviews_in_flight 0.0" in served.get("/metrics"))
            answer = served.ask(name)
            assert registry.count(layer_of(image)) == 1
            assert [one for one in served.said() if one["level"] == "error"] == []
            assert 'decision="error"' not in served.get("/metrics")
            return answer

    for mode, answer in in_both(asked).items():
        refused(mode, answer, "/bin/sh", kind="violations")
