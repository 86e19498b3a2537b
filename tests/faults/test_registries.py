"""Registries that fail, lie and attack, asked through servers of both modes over TLS.

Each fault has a registry of its own for each mode; numbers are docs/webhook-conformance.md's.
"""

from __future__ import annotations

import json
import socket
import ssl
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
import trustme

from tests.cluster.support.processes import eventually
from tests.faults.answers import in_both, let_in, refused
from tests.faults.images import app, layer_of
from tests.support import forge
from tests.support.registry import (
    Fault,
    Registry,
    body,
    drip,
    endless,
    redirect,
    reset,
    stall,
    status,
    wrong_bytes,
    wrong_length,
)

METADATA = "169.254.169.254"
MANIFESTS = "*/manifests/*"


@dataclass(frozen=True)
class Case:
    """What goes wrong, and what is said of it."""

    says: str
    faults: Callable[[str], Mapping[str, Fault]] = lambda _: {}
    """Made anew for each registry, since they count; of the path of the image's own layer."""
    image: Callable[[], forge.Image] = app
    kind: str = "unknown"
    """``violations`` where it is proved to be wrong."""
    by_digest: bool = False
    seconds: int = 30
    """The review's timeout; a second less is waited."""
    options: Mapping[str, Any] = field(default_factory=dict)
    """Of the registry."""


def unknown(reason: str, *what: Any, **more: Any) -> Case:
    """It could not be found out."""
    return Case(f"could not be found out ({reason})", *what, **more)


def proved(says: str, *what: Any, **more: Any) -> Case:
    """It is wrong."""
    return Case(says, *what, kind="violations", **more)


def a_stranger() -> ssl.SSLContext:
    """TLS of a registry whose authority nobody knows."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trustme.CA().issue_cert("127.0.0.1").configure_cert(context)
    return context


def of_old() -> forge.Image:
    return replace(app(), media_type="application/vnd.docker.distribution.manifest.v1+json")


def artifact() -> forge.Image:
    config = {"mediaType": "application/vnd.cncf.helm.config.v1+json", "size": 2}
    return app(manifest={"config": {**config, "digest": forge.sha256(b"{}")}})


def of_another_diff_id() -> forge.Image:
    return app(config={"rootfs": {"type": "layers", "diff_ids": [forge.sha256(b"")] * 2}})


CASES = {
    "2 stalls": unknown("deadline", lambda _: {MANIFESTS: stall()}, seconds=2),
    "2 stalls within a layer": unknown("deadline", lambda layer: {layer: stall()}, seconds=2),
    "2 drips": unknown("deadline", lambda layer: {layer: drip(every=0.1)}, seconds=2),
    "2 drips its head": unknown(
        "deadline", lambda _: {MANIFESTS: drip(every=0.1, headers=True)}, seconds=2
    ),
    "3 says 429": unknown("rateLimited", lambda _: {MANIFESTS: status(429, Retry_After="60")}),
    "3 says 429 to a layer": unknown(
        "rateLimited", lambda layer: {layer: status(429, Retry_After="900")}
    ),
    "4 wants a password": unknown("unauthorized", options={"basic": ("user", "password")}),
    "4 wants a token": unknown("unauthorized", options={"token": True, "basic": ("u", "p")}),
    "4 says 403": unknown("forbidden", lambda _: {MANIFESTS: status(403)}),
    "5 says 500": unknown("serverError", lambda _: {MANIFESTS: status(500)}),
    "5 says 503 to a layer": unknown("serverError", lambda layer: {layer: status(503)}),
    "5 resets": unknown("unreachable", lambda _: {MANIFESTS: reset(after=-1)}),
    "6 sends another manifest": proved(
        "is not what was promised", lambda _: {MANIFESTS: body(app().body)}, by_digest=True
    ),
    "6 changes a bit of a manifest": proved(
        "is not what was promised", lambda _: {MANIFESTS: wrong_bytes()}
    ),
    "7 changes a bit of a layer": proved(
        "is not the promised", lambda layer: {layer: wrong_bytes()}
    ),
    "7 sends more than it should": proved(
        "by the manifest", lambda layer: {layer: wrong_length(9)}
    ),
    "7 cuts a layer off": unknown("unreachable", lambda layer: {layer: reset(after=40)}),
    "7 has a layer that unpacks to another": proved(
        "the uncompressed layer is not the promised", image=of_another_diff_id
    ),
    "9 sends a manifest without end": proved("bytes", lambda _: {MANIFESTS: endless(b" " * 65536)}),
    "10 has a manifest of old": proved("schema 1", image=of_old),
    "10 has an artifact": proved("no container image", image=artifact),
    "11 leads to the cloud's metadata": unknown(
        "blocked", lambda _: {MANIFESTS: redirect(f"https://{METADATA}/latest")}
    ),
    "11 leads a layer to the cloud's metadata": unknown(
        "blocked", lambda layer: {layer: redirect("https://[fd00:ec2::254]/latest")}
    ),
    "11 leads to plain http": unknown(
        "blocked", lambda _: {MANIFESTS: redirect("http://127.0.0.1:1/")}
    ),
    "11 leads in circles": unknown("serverError", lambda _: {MANIFESTS: redirect("manifests/1")}),
    "11 names a realm of plain http": unknown(
        "blocked",
        options={"token": True, "challenge": 'Bearer realm="http://127.0.0.1:1/t",service="x"'},
    ),
    "11 names a realm at the cloud's metadata": unknown(
        "blocked",
        options={"token": True, "challenge": f'Bearer realm="https://{METADATA}/t",service="x"'},
    ),
    "41 has an unknown authority": unknown("tls", options={"tls": a_stranger()}),
    "41 speaks plain http": unknown("tls", options={"tls": None}),
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_what_fails_is_refused_and_recorded(servers, tls, well, case):
    """Another registry's image is judged as ever meanwhile."""

    def asked(mode: str) -> dict[str, Any]:
        image = case.image()
        options = {"tls": tls, "faults": case.faults(layer_of(image)), **case.options}
        with Registry({"team/app:1": image}, **options) as registry:
            name = f"@{image.digest}" if case.by_digest else ":1"
            answer = servers[mode].ask(f"{registry.host}/team/app{name}", seconds=case.seconds)
            let_in(servers[mode].ask(well))
            return answer

    for mode, answer in in_both(asked).items():
        refused(mode, answer, case.says, kind=case.kind)


@pytest.fixture(scope="module")
def well(tls, servers):
    """An image of a registry that is well, known to both servers."""
    with Registry({"team/well:1": app()}, tls=tls) as registry:
        image = f"{registry.host}/team/well:1"
        for served in servers.values():
            let_in(served.ask(image))
        yield image


TEMPORARY = {
    "3 says 429": lambda layer: {layer: status(429, times=2, Retry_After="1")},
    "5 says 503": lambda _: {MANIFESTS: status(503, times=2)},
    "5 resets": lambda layer: {layer: reset(after=-1, times=2)},
}


@pytest.mark.parametrize("faults", TEMPORARY.values(), ids=TEMPORARY)
def test_what_is_over_soon_is_waited_for(servers, tls, faults):
    """A shell is found all the same."""

    def asked(mode: str) -> dict[str, Any]:
        image = app(shell=True)
        with Registry({"team/app:1": image}, tls=tls, faults=faults(layer_of(image))) as registry:
            return servers[mode].ask(f"{registry.host}/team/app:1")

    for mode, answer in in_both(asked).items():
        refused(mode, answer, "/bin/sh", kind="violations")


def test_a_registry_that_is_down(servers, tls):
    """1: refused at once, but for what is known; a name without an address, too."""
    with Registry({"team/app:1": (image := app())}, tls=tls) as registry:
        known = f"{registry.host}/team/app@{image.digest}"
        for served in servers.values():
            let_in(served.ask(known))

    def asked(mode: str) -> tuple[dict[str, Any], ...]:
        names = (f"{registry.host}/team/other:1", "registry.invalid/team/app:1", known)
        return tuple(servers[mode].ask(name) for name in names)

    with socket.socket() as gone:  # its port is given to nobody else meanwhile
        gone.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        gone.bind(("127.0.0.1", int(registry.host.rpartition(":")[2])))
        answers = in_both(asked)
    for mode, (other, nowhere, before) in answers.items():
        refused(mode, other, "could not be found out (unreachable)")
        refused(mode, nowhere, "could not be found out (dns)")
        let_in(before)


def test_a_registry_that_asks_to_be_left_alone_is(servers, tls):
    """3: also by who wants another of its images."""

    def asked(mode: str) -> list[dict[str, Any]]:
        names = {"team/app:1": app(), "team/other:1": app()}
        faults = {"*": status(429, Retry_After="90")}
        with Registry(names, tls=tls, faults=faults) as registry:
            found = [servers[mode].ask(f"{registry.host}/{name}", seconds=5) for name in names]
            assert len(registry.requests) == 1
            return found

    for mode, (first, other) in in_both(asked).items():
        refused(mode, first, "could not be found out (rateLimited)", "answers 429")
        refused(mode, other, "could not be found out (rateLimited)", "asked to be left alone")


def test_what_drips_is_read_on_and_found_by_the_next_try(servers, tls):
    """2: and what another registry has is read meanwhile."""

    def asked(mode: str) -> tuple[dict[str, Any], dict[str, Any]]:
        image, enough = app(shell=True), threading.Event()
        slow = {layer_of(image): drip(every=1.0, until=enough)}
        with (
            Registry({"team/app:1": image}, tls=tls, faults=slow) as registry,
            Registry({"team/app:1": app()}, tls=tls) as other,
        ):
            name = f"{registry.host}/team/app:1"
            first = servers[mode].ask(name, seconds=2)
            let_in(servers[mode].ask(f"{other.host}/team/app:1"))
            enough.set()
            last = {}

            def read() -> bool:
                last.update(servers[mode].ask(name))
                return "violations" in last["auditAnnotations"]

            assert eventually(read)
            assert registry.count(layer_of(image)) == 1
            return first, last

    for mode, (first, last) in in_both(asked).items():
        refused(mode, first, "could not be found out (deadline)")
        refused(mode, last, "/bin/sh", kind="violations")


def test_what_was_wrong_is_forgotten_at_once_and_what_failed_after_seconds(servers, tls):
    """6, 7, 22: bytes that were no image's are asked for again; an error is kept for 5 s."""

    def asked(mode: str) -> tuple[dict[str, Any], ...]:
        image, other = app(), app()
        with Registry({"team/app:1": image, "team/other:1": other}, tls=tls) as registry:
            ask = lambda name: servers[mode].ask(f"{registry.host}/team/{name}:1")  # noqa: E731
            registry.faults = {layer_of(image): wrong_bytes(), "*/other/*": status(503)}
            wrong, failed = ask("app"), ask("other")
            registry.faults = {}
            asked_for = registry.count("*/other/*")
            again = ask("other")
            assert registry.count("*/other/*") == asked_for
            let_in(ask("app"))
            assert eventually(lambda: ask("other")["auditAnnotations"]["decision"] == "allow")
            return wrong, failed, again

    for mode, (wrong, *failed) in in_both(asked).items():
        refused(mode, wrong, "is not the promised", kind="violations")
        for answer in failed:
            refused(mode, answer, "could not be found out (serverError)")


def test_a_layer_that_lies_elsewhere_is_not_fetched_from_there(servers, tls):
    """10: descriptors' ``urls`` lead nowhere."""

    def asked(mode: str) -> dict[str, Any]:
        image = app()
        with Registry({"team/app:1": image}, tls=tls) as other, Registry(tls=tls) as registry:
            document = json.loads(image.body)
            for layer in document["layers"]:
                layer["urls"] = [f"{other.url}/v2/team/app/blobs/{layer['digest']}"]
            named = replace(image, blobs=dict(image.blobs))
            body = json.dumps(document).encode()
            named.digest = forge.sha256(body)
            named.blobs[named.digest] = body
            for digest in image.layers:
                del named.blobs[digest]
            registry.add("team/app:1", named)
            answer = servers[mode].ask(f"{registry.host}/team/app:1")
            assert other.requests == []
            return answer

    for mode, answer in in_both(asked).items():
        refused(mode, answer, "could not be found out (notFound)")
