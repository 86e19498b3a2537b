"""Kyverno's admission controller beside an API server, asked about the pods of one namespace.

``python -m benchmarks.peers.build Kyverno-controller`` builds it. It runs out of the cluster, as
its developers run it (``--serverIP``), by its flags' defaults but for the plain registry on the
loopback, and for metrics, which nobody asks for. HTTP/2 is switched off: an API server speaks
HTTP/1.1 to webhooks, except on the loopback (``isLocalHost``, its pkg/util/webhook/client.go).
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
_KYVERNO: Final = "kyverno"
"""Its namespace, and whatever else it wants the name of."""
_CRDS: Final = ("kyverno", "policies.kyverno.io", "policyreport", "reports")
"""Folders of its module."""


@contextmanager
def kyverno_beside(folder: Path, api: Cluster, namespace: str, *, root: str) -> Iterator[None]:
    """Run it with ``KYVERNO_POLICY`` alone, from when it refuses the image ``root``."""
    crds = build.source(NAME) / "config" / "crds"
    for name in _CRDS:
        api.must("create", "-f", str(crds / name))
    api.must("wait", "--for=condition=Established", "crd", "--all")
    api.must("create", "namespace", _KYVERNO)
    only = {"key": "kubernetes.io/metadata.name", "operator": "In", "values": [namespace]}
    asked = json.dumps({"namespaceSelector": {"matchExpressions": [only]}})
    for name, data in ((_KYVERNO, {"webhooks": asked}), (f"{_KYVERNO}-metrics", {})):
        settings = {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": name},
            "data": data,
        }
        api.must("create", "-n", _KYVERNO, "-f", "-", stdin=json.dumps(settings))
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
        "KYVERNO_NAMESPACE": _KYVERNO,
        "KYVERNO_SERVICEACCOUNT_NAME": _KYVERNO,
        "KYVERNO_DEPLOYMENT": _KYVERNO,
        "KYVERNO_POD_NAME": _KYVERNO,
        "INIT_CONFIG": _KYVERNO,
        "METRICS_CONFIG": f"{_KYVERNO}-metrics",
        "GODEBUG": "http2server=0",
    }

    def refuses() -> bool:
        said = api.create(pod("root-", root), "-n", namespace, "--dry-run=server")
        return "runs as root" in said.err

    with running(command, log=folder / "kyverno.log", ready=lambda: listens(port), env=env):
        assert eventually(refuses)
        yield
