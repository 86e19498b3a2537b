"""Pods created through a real API server, with the webhook and without, by turns in one run.

Server-side dry runs, the image known: what admission adds to what creating a pod takes anyway. The
API server, etcd, slimgate and the clients share the machine's cores.
"""

from __future__ import annotations

import json
import statistics
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from benchmarks import wrk
from benchmarks.rounds import Found
from benchmarks.warm import allowed
from benchmarks.wrk import Load
from tests.cluster import build
from tests.cluster.support.apiserver import TOKEN, Cluster, cluster
from tests.cluster.support.objects import pod
from tests.cluster.support.processes import eventually
from tests.cluster.support.slimgate import (
    LABEL,
    policy_name,
    registration,
    slimgate,
    write_policies,
)
from tests.support.registry import Registry

CLIENTS: Final = (1, 10, 50, 200)
ROUNDS: Final = 3
SECONDS: Final = 8
GATED, PLAIN = "prod", "plain"
"""Namespaces: slimgate is asked about the pods of the first."""


def admission() -> Found:
    """Rates and times by the number of clients, in a namespace that is judged and in another."""
    programs = kubernetes("admission")
    if programs is None or not wrk.there("admission"):
        return {}
    with (
        tempfile.TemporaryDirectory() as work,
        Registry({"app:1": allowed()}) as images,
        gated(Path(work), programs, images) as api,
    ):
        load = _loader(Path(work), api, f"{images.host}/app:1")
        load(GATED, 1, 1)  # the image is read
        print("\npods created by server-side dry runs through a real API server")
        print(
            "clients      without: /s   p50   p99 ms     with: /s   p50   p99 ms    added p50   p99"
        )
        return {
            str(clients): _show(clients, [
                (load(PLAIN, clients, SECONDS), load(GATED, clients, SECONDS))
                for _ in range(ROUNDS)
            ])
            for clients in CLIENTS
        }  # fmt: skip


def _show(clients: int, rounds: list[tuple[Load, Load]]) -> Found:
    def middle(figure: Callable[[Load, Load], float]) -> float:
        return statistics.median(figure(*each) for each in rounds)

    found = {
        "without": middle(lambda a, _: a.rate),
        "without, p50": middle(lambda a, _: a.p50),
        "without, p99": middle(lambda a, _: a.p99),
        "with": middle(lambda _, b: b.rate),
        "with, p50": middle(lambda _, b: b.p50),
        "with, p99": middle(lambda _, b: b.p99),
        "added, p50": middle(lambda a, b: b.p50 - a.p50),
        "added, p99": middle(lambda a, b: b.p99 - a.p99),
    }
    figures = "{:16,.0f}{:7.1f}{:7.1f}{:15,.0f}{:7.1f}{:7.1f}{:14.1f}{:7.1f}"
    print(f"{clients:7}{figures.format(*found.values())}")
    return found


def kubernetes(figure: str) -> Mapping[str, Path] | None:
    """Its programs; else it is said that the figure is left out."""
    wanted = {"etcd": build.ETCD, "kube_apiserver": build.KUBE_APISERVER, "kubectl": build.KUBECTL}
    try:
        return {name: build.provide(program, print) for name, program in wanted.items()}
    except build.Missing as missing:
        print(f"\n{figure}: skipped, {missing}")
        return None


@contextmanager
def gated(folder: Path, programs: Mapping[str, Path], images: Registry) -> Iterator[Cluster]:
    """An API server that asks slimgate, which reads from that registry, about ``GATED``."""
    (folder / "api").mkdir()
    spaces: list[dict[str, Any]] = [
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}}
        for name, labels in ((GATED, {LABEL: policy_name(GATED)}), (PLAIN, {}))
    ]
    (folder / "namespaces.yaml").write_text("\n---\n".join(map(json.dumps, spaces)))
    (folder / "auth.json").write_text("{}")
    with (
        slimgate(
            folder / "gate",
            policies=write_policies(folder / "policies"),
            namespaces=folder / "namespaces.yaml",
            authfile=folder / "auth.json",
            plain_http=[images.host],
        ) as gate,
        cluster(**programs, folder=folder / "api") as api,
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
