"""500 pods at once through a real API server: of an image that nobody knows, and of a known one.

A creation that fails because slimgate has no room for another review that waits is tried again
after a second, as controllers do.
"""

from __future__ import annotations

import http.client
import json
import statistics
import tempfile
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from benchmarks.admission import GATED, PLAIN, gated, kubernetes
from benchmarks.rounds import Found
from tests.cluster.support.apiserver import TOKEN, Cluster
from tests.cluster.support.objects import pod
from tests.support import forge
from tests.support.registry import Registry, slow
from tests.support.samples import built, noise, program
from webhook.limits import KIB

PODS: Final = 500
CLIENTS: Final = 50
"""Connections, each with one pod at a time."""
ROUNDS: Final = 3
PER_SECOND: Final = 0.5e6
"""Bytes over the link to the registry: two seconds for the image."""
_CREATED: Final = 201


@dataclass(frozen=True)
class Burst:
    """What became of it."""

    seconds: float
    """Until the last pod was created."""
    tries: int


def burst() -> Found:
    """How long it takes, how often creations were tried, and what was fetched."""
    programs = kubernetes("burst")
    if programs is None:
        return {}
    with (
        tempfile.TemporaryDirectory() as work,
        Registry(faults={"*/blobs/*": slow(PER_SECOND)}) as images,
        gated(Path(work), programs, images.host) as api,
    ):
        print(f"\n{PODS} pods at once by {CLIENTS} clients through a real API server")
        print("not judged, s    image known, s    not known, s   tries   fetched for it")
        rounds = []
        for number in range(ROUNDS):
            images.add(f"app:{number}", _image(number))
            name, before = f"{images.host}/app:{number}", len(images.requests)
            plain = created(api, PLAIN, name)
            cold = created(api, GATED, name)
            fetched = [one.path for one in images.requests[before:] if one.method == "GET"]
            assert len(fetched) == len(set(fetched)), Counter(fetched).most_common(3)
            known = created(api, GATED, name)
            print(
                f"{plain.seconds:13.2f}{known.seconds:18.2f}{cold.seconds:16.2f}{cold.tries:8}"
                f"   {len(fetched)} documents and layers, each once"
            )
            rounds.append((plain, known, cold))
        names = ("not judged", "known", "not known")
        return {
            name: statistics.median(one.seconds for one in taken)
            for name, taken in zip(names, zip(*rounds, strict=True), strict=True)
        }


def _image(number: int) -> forge.Image:
    """A megabyte in four layers that no other image has, and a program."""
    layers = [
        [forge.file(f"srv/{number}/{n}", noise(256 * KIB + number * 4 + n))] for n in range(4)
    ]
    return built(*layers, [program("app/server")])


def created(api: Cluster, namespace: str, image: str) -> Burst:
    """Create ``PODS`` by server-side dry runs.

    Raises:
        AssertionError: one was refused, or failed for another reason than that slimgate was full.
    """
    body = json.dumps(pod("burst-", image)).encode()
    headers = {"Authorization": f"Bearer {TOKEN}", "Content-Type": "application/json"}
    path = f"/api/v1/namespaces/{namespace}/pods?dryRun=All"
    trust = api.trust

    def client(share: int) -> int:
        host = api.url.removeprefix("https://")
        tries = 0
        with closing(http.client.HTTPSConnection(host, timeout=60, context=trust)) as connection:
            while share:
                connection.request("POST", path, body, headers)
                response = connection.getresponse()
                said, tries = response.read(), tries + 1
                if response.status == _CREATED:
                    share -= 1
                else:
                    assert b"failed calling webhook" in said, said
                    time.sleep(1)
        return tries

    begun = time.perf_counter()
    with ThreadPoolExecutor(CLIENTS) as threads:
        tries = sum(threads.map(client, [PODS // CLIENTS] * CLIENTS))
    return Burst(time.perf_counter() - begun, tries)
