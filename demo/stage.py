"""What the demo is played on: registry, policies, a running slimgate, and an API server.

Everything listens on loopback, on ports that are free, and is gone when its block ends.
"""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from demo.scene import NAMESPACES, SCENES
from tests.cluster import build
from tests.cluster.support import apiserver
from tests.cluster.support.apiserver import Cluster
from tests.cluster.support.processes import eventually
from tests.cluster.support.slimgate import Gate, registration, slimgate
from tests.support.registry import Registry


@contextmanager
def registry() -> Iterator[Registry]:
    """A registry that serves the images of the scene."""
    images = {f"demo/{sample.name}:v1": sample.image for sample in SCENES}
    with Registry(images) as serving:
        yield serving


@contextmanager
def gate(registry_host: str, folder: Path, sources: Iterable[Path]) -> Iterator[Gate]:
    """``slimgate serve`` over TLS, with all policies of ``sources`` and the scene's namespaces."""
    policies, namespaces, authfile = (
        folder / name for name in ("policies", "ns.json", "auth.json")
    )
    for source in sources:
        shutil.copytree(source, policies, dirs_exist_ok=True)
    namespaces.write_text(json.dumps(_list([one.document for one in NAMESPACES])))
    authfile.write_text("{}")  # no credentials: none of the reader's own are sent
    with slimgate(
        log_of(folder).parent,
        policies=policies,
        namespaces=namespaces,
        authfile=authfile,
        plain_http=[registry_host],
    ) as running:
        yield running


def log_of(folder: Path) -> Path:
    """Where the running slimgate logs."""
    return folder / "slimgate" / "log"


@contextmanager
def cluster(folder: Path) -> Iterator[Cluster]:
    """A real API server with the namespaces of the scene."""
    etcd, kube_apiserver, kubectl = (
        build.provide(program, say=print)
        for program in (build.ETCD, build.KUBE_APISERVER, build.KUBECTL)
    )
    folder.mkdir()
    with apiserver.cluster(
        etcd=etcd, kube_apiserver=kube_apiserver, kubectl=kubectl, folder=folder
    ) as one:
        for namespace in NAMESPACES:
            one.must("create", "-f", "-", stdin=json.dumps(namespace.document))
            # No controller runs here that would make it, and no pod goes without.
            one.must("create", "serviceaccount", "default", "--namespace", namespace.name)
        yield one


def register(one: Cluster, at: Gate) -> None:
    """Have the API server ask slimgate, and wait until it does: that takes it a second."""
    everywhere = {"operator": "NotIn", "values": ["kube-system"]}
    document = registration("slimgate.dev", at, namespaces=everywhere)
    one.must("create", "-f", "-", stdin=json.dumps(document))
    if not eventually(lambda: _asked(one)):
        sys.exit("the API server does not ask slimgate")


def _asked(one: Cluster) -> bool:
    probe = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "probe"},
        "spec": {"containers": [{"name": "probe", "image": "-"}]},
    }
    namespace = NAMESPACES[0].name
    one.create(probe, "--namespace", namespace, "--dry-run=server")
    return any("slimgate" in key for key in one.audited(namespace, "probe")["annotations"])


def _list(items: list[dict[str, object]]) -> dict[str, object]:
    """As ``kubectl get -o json`` prints several objects."""
    return {"apiVersion": "v1", "kind": "List", "items": items}
