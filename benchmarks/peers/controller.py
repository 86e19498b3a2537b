"""Kyverno's admission controller beside an API server, asked about the pods of one namespace.

``python -m benchmarks.peers.build Kyverno-controller`` builds it. It runs out of the cluster, as
its developers run it (``--serverIP``), by its own defaults but for the plain registry on the
loopback, and for metrics, which nobody asks for.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from benchmarks.peers import build
from benchmarks.peers.tools import KYVERNO_POLICY
from tests.cluster.support.apiserver import Cluster
from tests.cluster.support.objects import pod
from tests.cluster.support.processes import eventually, free_port, listens, running

NAME: Final = "Kyverno-controller"
_SPACE: Final = "kyverno"
_CRDS: Final = ("kyverno", "policies.kyverno.io", "policyreport", "reports")
"""Folders of its module."""


@contextmanager
def kyverno(folder: Path, api: Cluster, namespace: str, *, root: str) -> Iterator[None]:
    """Run it with ``KYVERNO_POLICY`` alone, from when it refuses the image ``root``."""
    crds = build.source(NAME) / "config" / "crds"
    for name in _CRDS:
        api.must("create", "-f", str(crds / name))
    api.must("create", "namespace", _SPACE)
    only = {"key": "kubernetes.io/metadata.name", "operator": "In", "values": [namespace]}
    asked = json.dumps({"namespaceSelector": {"matchExpressions": [only]}})
    for name, data in ((_SPACE, {"webhooks": asked}), (f"{_SPACE}-metrics", {})):
        settings = {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": name},
            "data": data,
        }
        api.must("create", "-n", _SPACE, "-f", "-", stdin=json.dumps(settings))
    api.must("create", "-f", "-", stdin=KYVERNO_POLICY)
    port = free_port()
    command: list[str | Path] = [
        *(build.place(NAME), "--kubeconfig", api.folder / "kubeconfig"),
        *(f"--serverIP=127.0.0.1:{port}", f"--webhookServerPort={port}"),
        *("--webhookServerHost=127.0.0.1", "--caSecretName=kyverno-ca"),
        *("--tlsSecretName=kyverno-tls", "--allowInsecureRegistry", "--disableMetrics"),
        "--controllerRuntimeMetricsAddress=0",
    ]
    env = {
        "KYVERNO_NAMESPACE": _SPACE,
        "KYVERNO_SERVICEACCOUNT_NAME": _SPACE,
        "KYVERNO_DEPLOYMENT": _SPACE,
        "KYVERNO_POD_NAME": _SPACE,
        "INIT_CONFIG": _SPACE,
        "METRICS_CONFIG": f"{_SPACE}-metrics",
    }

    def refuses() -> bool:
        said = api.create(pod("root-", root), "-n", namespace, "--dry-run=server")
        return "runs as root" in said.err

    with running(command, log=folder / "kyverno.log", ready=lambda: listens(port), env=env):
        assert eventually(refuses)
        yield
