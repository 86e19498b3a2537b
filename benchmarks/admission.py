"""Pods created through a real API server, with a webhook and without, by turns in one run.

Server-side dry runs of an image that slimgate knows: what admission adds to what creating a pod
takes anyway. The API server, etcd, the registry, the webhooks and the clients share the machine's
cores.
"""

from __future__ import annotations

import json
import shutil
import statistics
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Any, Final

from benchmarks import wrk
from benchmarks.peers.build import place
from benchmarks.peers.controller import NAME, kyverno_beside
from benchmarks.rounds import Found, in_turns
from benchmarks.warm import allowed
from benchmarks.wrk import Load
from tests.cluster import build
from tests.cluster.support.apiserver import TOKEN, Cluster, cluster
from tests.cluster.support.objects import pod
from tests.cluster.support.processes import eventually
from tests.cluster.support.registry import registry
from tests.cluster.support.slimgate import (
    LABEL,
    policy_name,
    registration,
    slimgate,
    write_policies,
)
from tests.support.push import push
from tests.support.samples import SAMPLES

CLIENTS: Final = (1, 10, 50, 200)
ROUNDS: Final = 3
SECONDS: Final = 8
GATED, PLAIN, PEER = "prod", "plain", "peer"
"""Namespaces: slimgate is asked about the pods of the first, Kyverno about those of the last."""
_NONE: Final = "no webhook"
_API: Final = {"etcd": build.ETCD, "kube_apiserver": build.KUBE_APISERVER, "kubectl": build.KUBECTL}


def admission() -> Found:
    """Rates and times by the number of clients, and by who is asked."""
    programs = kubernetes("admission", {**_API, "registry": build.REGISTRY})
    if programs is None or not wrk.there("admission"):
        return {}
    spaces = {_NONE: PLAIN, "slimgate": GATED}
    with tempfile.TemporaryDirectory() as work, ExitStack() as stack:
        folder = Path(work)
        images = stack.enter_context(registry(programs["registry"], folder / "images"))
        image = push(images.host, "app", allowed())
        api = stack.enter_context(gated(folder, programs, images.host))
        if place(NAME).exists() and shutil.which("go"):  # which knows where its CRDs are
            root = push(images.host, "root", SAMPLES["root-unset"].image)
            stack.enter_context(kyverno_beside(folder, api, PEER, root=root))
            spaces["Kyverno"] = PEER
        else:
            print(f"\nKyverno: left out, it is not built (python -m benchmarks.peers.build {NAME})")
        load = _loader(folder, api, image)
        for space in spaces.values():
            load(space, 10, 3)  # the image is read, and what is loaded first is loaded
        print("\npods created by server-side dry runs through a real API server")
        print("clients  asked         pods/s   p50   p99 ms   added p50    p99 ms")
        return {
            str(clients): _shown(clients, in_turns(
                {name: partial(load, space, clients, SECONDS) for name, space in spaces.items()},
                ROUNDS,
                dropped=0,
            ))
            for clients in CLIENTS
        }  # fmt: skip


def _shown(clients: int, taken: Mapping[str, Sequence[Load]]) -> Found:
    """Medians by who was asked; what is added, to the same round without a webhook."""

    def middle(name: str, figure: Callable[[Load, Load], float]) -> float:
        return statistics.median(map(figure, taken[name], taken[_NONE]))

    found = {}
    for name in taken:
        found[name] = one = {
            "rate": middle(name, lambda load, _: load.rate),
            "p50": middle(name, lambda load, _: load.p50),
            "p99": middle(name, lambda load, _: load.p99),
            "added p50": middle(name, lambda load, none: load.p50 - none.p50),
            "added p99": middle(name, lambda load, none: load.p99 - none.p99),
        }
        figures = "{:10,.0f}{:6.1f}{:9.1f}{:12.1f}{:10.1f}".format(*one.values())
        print(f"{clients:7}  {name:10}{figures}")
    return found


def kubernetes(
    figure: str, wanted: Mapping[str, build.Program] = _API
) -> Mapping[str, Path] | None:
    """Kubernetes' programs, or those wanted; else it is said that the figure is left out."""
    try:
        return {name: build.provide(program, print) for name, program in wanted.items()}
    except build.Missing as missing:
        print(f"\n{figure}: skipped, {missing}")
        return None


@contextmanager
def gated(folder: Path, programs: Mapping[str, Path], host: str) -> Iterator[Cluster]:
    """An API server that asks slimgate, which reads from that registry, about ``GATED``."""
    (folder / "api").mkdir()
    spaces: list[dict[str, Any]] = [
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}}
        for name, labels in ((GATED, {LABEL: policy_name(GATED)}), (PLAIN, {}), (PEER, {}))
    ]
    (folder / "namespaces.yaml").write_text("\n---\n".join(map(json.dumps, spaces)))
    (folder / "auth.json").write_text("{}")
    with (
        slimgate(
            folder / "gate",
            policies=write_policies(folder / "policies"),
            namespaces=folder / "namespaces.yaml",
            authfile=folder / "auth.json",
            plain_http=[host],
        ) as gate,
        cluster(**{name: programs[name] for name in _API}, folder=folder / "api") as api,
    ):
        for space in spaces:
            api.must("create", "-f", "-", stdin=json.dumps(space))
            api.must("create", "serviceaccount", "default", "-n", space["metadata"]["name"])
        hook = registration("bench.example", gate, namespaces={"operator": "In", "values": [GATED]})
        api.must("create", "-f", "-", stdin=json.dumps(hook))
        assert eventually(lambda: api.asks("pods.bench.example", GATED), seconds=30)
        yield api


def _loader(folder: Path, api: Cluster, image: str) -> Callable[[str, int, int], Load]:
    body = json.dumps(pod("load-", image))
    script = folder / "create.lua"
    script.write_text(
        f'wrk.method = "POST"\nwrk.body = [==[{body}]==]\n'
        'wrk.headers["Content-Type"] = "application/json"\n'
        f'wrk.headers["Authorization"] = "Bearer {TOKEN}"\n'
        "function response(status, headers, body)\n"
        '  if status ~= 201 then print("not created: " .. status .. " " .. body) end\n'
        "end\n"
    )

    def load(namespace: str, clients: int, seconds: int) -> Load:
        url = f"{api.url}/api/v1/namespaces/{namespace}/pods?dryRun=All"
        return wrk.load(url, script, clients, seconds)

    return load
