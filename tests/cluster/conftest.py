"""A real API server, real registries and slimgate between them, once for all tests here."""

from __future__ import annotations

import base64
import json
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.cluster import build
from tests.cluster.support import image, slimgate
from tests.cluster.support.apiserver import Cluster, Setting, cluster
from tests.cluster.support.objects import pod
from tests.cluster.support.processes import closed_port, eventually
from tests.cluster.support.registry import Registry, registry
from tests.support.push import push
from tests.support.samples import SAMPLES

Start = Callable[..., AbstractContextManager[Cluster]]

REHEARSAL = "rehearsal"
"""A namespace under prod's policy whose slimgate runs with ``--audit-only``."""


@pytest.fixture(scope="session")
def provide(request: pytest.FixtureRequest) -> Callable[[build.Program], Path]:
    """Where a real program is; it is built now if it has not been, and skips if it cannot be."""
    capture = request.config.pluginmanager.getplugin("capturemanager")

    def say(line: str) -> None:
        with capture.global_and_fixture_disabled():
            print(line, flush=True)

    def provided(program: build.Program) -> Path:
        try:
            return build.provide(program, say)
        except build.Missing as missing:
            if os.environ.get("SLIMGATE_REQUIRE_CLUSTER"):
                raise
            pytest.skip(str(missing))

    return provided


@dataclass(frozen=True)
class Registries:
    """Where the images are."""

    open: Registry
    guarded: Registry


@pytest.fixture(scope="session")
def registries(provide, tmp_path_factory) -> Iterator[Registries]:
    """Two real registries, one of them behind a password."""
    folder = tmp_path_factory.mktemp("registries")
    program = provide(build.REGISTRY)
    with (
        registry(program, folder / "open") as opened,
        registry(program, folder / "guarded", guarded=True) as guarded,
    ):
        yield Registries(opened, guarded)


@pytest.fixture(scope="session")
def images(registries) -> Iterator[Mapping[str, str]]:
    """References by name: every sample, and some that cannot be read."""
    host, guarded = registries.open.host, registries.guarded
    there = {name: push(host, f"samples/{name}", sample.image) for name, sample in SAMPLES.items()}
    private = push(guarded.host, "team/app", SAMPLES["distroless"].image, login=guarded.login)
    with closed_port() as port:
        yield {
            **there,
            "missing": f"{host}/samples/missing:v1",
            "unreachable": f"127.0.0.1:{port}/samples/app:v1",
            "wrong-credentials": private,
            "right-credentials": private.replace(guarded.host, guarded.alias),
        }


@pytest.fixture(scope="session")
def authfile(registries, tmp_path_factory) -> Path:
    """A docker config: wrong for the guarded registry's address, right for its other name."""
    guarded = registries.guarded
    logins = {guarded.host: "slim:wrong", guarded.alias: guarded.login}
    auths = {
        host: {"auth": base64.b64encode(login.encode()).decode()} for host, login in logins.items()
    }
    path = tmp_path_factory.mktemp("auth") / "config.json"
    path.write_text(json.dumps({"auths": auths}))
    return path


@pytest.fixture(scope="session")
def start(provide) -> Start:
    """Start an API server with what it writes in a folder: of the newest Kubernetes, or another."""

    def started(
        folder: Path,
        program: build.Program = build.KUBE_APISERVER,
        setting: Setting = Setting(),  # noqa: B008 - frozen
    ) -> AbstractContextManager[Cluster]:
        return cluster(
            setting,
            etcd=provide(build.ETCD),
            kube_apiserver=provide(program),
            kubectl=provide(build.KUBECTL),
            folder=folder,
        )

    return started


@pytest.fixture(scope="session")
def bare_cluster(start, tmp_path_factory) -> Iterator[Cluster]:
    """An API server with the namespaces, and no webhook yet."""
    with start(tmp_path_factory.mktemp("cluster")) as one:
        governed = {name: slimgate.policy_name(name) for name in slimgate.ACTIONS}
        for name, policy in {**governed, REHEARSAL: governed["prod"]}.items():
            one.must("create", "namespace", name)
            one.must("label", "namespace", name, f"{slimgate.LABEL}={policy}")
            # Nothing here runs the controller that makes it, and no pod goes without.
            one.must("create", "serviceaccount", "default", "--namespace", name)
        yield one


@pytest.fixture(scope="module")
def alone(start, tmp_path_factory) -> Iterator[Cluster]:
    """An API server of one module's own: nobody else's webhook is asked there."""
    with start(tmp_path_factory.mktemp("alone")) as one:
        yield one


@pytest.fixture(scope="session")
def veteran(bare_cluster, images) -> str:
    """The name of a pod in prod that was there before slimgate was; its image runs as root."""
    document = json.dumps(pod("veteran", images["root-zero"]))
    bare_cluster.must("create", "--namespace", "prod", "-f", "-", stdin=document)
    return "veteran"


@pytest.fixture(scope="session")
def governed(bare_cluster, registries, authfile, veteran, tmp_path_factory) -> Iterator[Cluster]:
    """The API server with slimgate registered; ``REHEARSAL`` asks one in audit-only mode."""
    folder = tmp_path_factory.mktemp("slimgate")
    namespaces = folder / "namespaces.yaml"
    namespaces.write_text(bare_cluster.must("get", "namespaces", "-o", "yaml"))
    hosts = [registries.open.host, registries.guarded.host, registries.guarded.alias]
    common = {
        "policies": slimgate.write_policies(folder / "policies"),
        "namespaces": namespaces,
        "authfile": authfile,
        "plain_http": hosts,
    }
    with (
        slimgate.slimgate(folder / "enforcing", **common) as enforcing,
        slimgate.slimgate(folder / "rehearsing", **common, options=["--audit-only"]) as rehearsing,
    ):
        _register(bare_cluster, enforcing, rehearsing)
        yield bare_cluster


def _register(one: Cluster, enforcing: slimgate.Gate, rehearsing: slimgate.Gate) -> None:
    elsewhere = {"operator": "NotIn", "values": [REHEARSAL, "kube-system"]}
    there = {"operator": "In", "values": [REHEARSAL]}
    for document in (
        slimgate.registration("slimgate.dev", enforcing, namespaces=elsewhere),
        slimgate.registration(
            "rehearsal.slimgate.dev", rehearsing, namespaces=there, audit_only=True
        ),
    ):
        one.must("create", "-f", "-", stdin=json.dumps(document))
    # The API server learns of a new webhook within a second.
    assert eventually(lambda: one.asks("pods.slimgate.dev", "prod"))
    assert eventually(lambda: one.asks("pods.rehearsal.slimgate.dev", REHEARSAL))


@pytest.fixture(scope="session")
def own_image(request) -> image.Made:
    """slimgate's own image, built from the Dockerfile or as the cache has it."""
    if reason := image.obstacle():
        if os.environ.get("SLIMGATE_REQUIRE_NODES"):
            pytest.fail(reason)
        pytest.skip(reason)
    capture = request.config.pluginmanager.getplugin("capturemanager")
    with capture.global_and_fixture_disabled():
        return image.own_image(lambda line: print(line, flush=True))
