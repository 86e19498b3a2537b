"""What slimgate says of an image beside what a real kubelet and containerd do with it.

``slimgate check`` and ``slimgate inspect`` read the images from the same registry as the nodes.
Each image is asked about twice: as it is, and with ``runAsNonRoot: true``. The pods hold ten
containers each; every image's program prints its uid and sleeps.

A node has most layers from another image already, and then fetches none of those again, broken
or not. So each image is also pulled into a namespace of containerd's that has nothing: where that
fails, a node that is new to the image does not start it, and that is what counts here.
"""

from __future__ import annotations

import io
import json
import re
import subprocess
import time
import urllib.error
from collections import Counter
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from tests.catalogue.case import Case
from tests.cluster.support.nodes import RealCluster
from tests.cluster.support.processes import eventually
from tests.support.push import push
from webhook.cli.main import run

NAMESPACE = "agreement"
POLICY = """\
apiVersion: slimgate.dev/v1alpha1
kind: ImagePolicy
metadata: {name: starts}
spec:
  action: Enforce
  checks: {nonRoot: {}, runnable: {}, noShell: {}}
"""
COUNT = ("nonRoot", "runnable", "image")
"""Whose findings say that it would not start; noShell is there to have every layer read."""
TOGETHER = 10
"""Containers a pod."""
MEASURE = ("image limit", "image deadline")
"""What slimgate gives up on before it knows: no prediction, and no image for a node's disk."""
VERSIONS = {
    "14 User 2^32": "by version: refused here; uid 0 by others (CVE-2024-40635)",
    "15 User -1": "by version: refused here; slimgate takes the worst reading",
    "20e passwd of more than 10 MiB": "by version: newer ones read no such passwd",
    "38f sha512": "by version: this one takes only sha256",
}
"""Where versions of containerd differ; slimgate takes the worst reading of all. Others than
1.6.20 were not run here: docs/truth.md compares with 1.7.26 and 2.4."""
BOMBS = 47
"""Never for a node: containerd would write the 1 TiB of the sparse file (it did)."""
SECONDS = 900
FIFO = ("20g", "20h")
"""containerd opens a fifo and waits for a writer: in pods of their own, and not waited for."""
HANGS = "containerd never answers"
REFUSED = {
    "CreateContainerConfigError": "the kubelet refuses it",
    "CreateContainerError": "containerd refuses it",
}
PULLS = {"ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ImageInspectError"}
NOISE = re.compile(
    r"mount callback failed on \S+: |\S+/containerd-mount\d+(?=/)|"
    r" \(pod: .*| \(container: .*|^.*failed to generate spec: |"
    r"^.*unable to start container process: "
    r"|: unknown$|^.*failed to create containerd container: "
)
"""What is about the pod or a folder of this run, or tells the way a message came."""


@dataclass(frozen=True)
class Outcome:
    """Who a container runs as, or why it does not."""

    uid: int | None
    why: str = ""

    def __str__(self) -> str:
        """As the page has it."""
        return self.why if self.uid is None else f"uid {self.uid}"


NOT_PULLED = Outcome(None, "the pull fails")


@dataclass(frozen=True)
class Row:
    """An image: what was said and what was done, without and with ``runAsNonRoot``."""

    case: Case
    said: tuple[Outcome, Outcome]
    done: tuple[Outcome, Outcome]

    @property
    def agrees(self) -> bool:
        """Whether slimgate was right as to whether it starts, and as whom, both times."""
        return all(one.uid == other.uid for one, other in zip(self.said, self.done, strict=True))

    @property
    def refused(self) -> bool:
        """Whether slimgate refuses the image itself: no word on who it would run as."""
        return all("image " in one.why for one in self.said)

    @property
    def verdict(self) -> str:
        """For the page; empty where slimgate was wrong and nothing explains it."""
        if self.agrees:
            return "same"
        if self.refused:
            return "stricter: the image is not what it should be"
        return VERSIONS.get(self.case.name, "")


def pushed(cluster: RealCluster, cases: Sequence[Case]) -> dict[str, Case]:
    """Reference → case, of those that this registry takes at all."""
    references = {}
    for number, case in enumerate(cases):
        if case.number == BOMBS or any(word in case.says for word in MEASURE):
            continue
        try:
            references[push(cluster.registry.host, f"{NAMESPACE}/{number}", case.image())] = case
        except urllib.error.HTTPError:
            continue  # it is checked by the registry, and would never be on a node
    return references


def compare(cluster: RealCluster, references: Mapping[str, Case], folder: Path) -> list[Row]:
    """Ask slimgate, and run them all."""
    pods = {demanded: _pods(references, demanded=demanded) for demanded in (False, True)}
    said = {demanded: _said(cluster, pods[demanded], references, folder) for demanded in pods}
    done = _done(cluster, [one for some in pods.values() for one in some])
    with ThreadPoolExecutor(4) as threads:
        for reference, pulled in zip(
            references, threads.map(partial(_pulled, cluster), references), strict=True
        ):
            if not pulled:
                done[reference, False] = done[reference, True] = NOT_PULLED
    return [
        Row(
            case,
            (said[False][reference], said[True][reference]),
            (done[reference, False], done[reference, True]),
        )
        for reference, case in references.items()
    ]


def _pulled(cluster: RealCluster, reference: str) -> bool:
    """Whether a containerd that has nothing of the image yet can pull and unpack it."""
    socket = cluster.nodes[0].containerd
    fresh = re.sub(r"\W", "-", reference.partition("/")[2].partition(":")[0])
    command = ["ctr", "--address", socket, "--namespace", fresh, "images", "pull", "--plain-http"]
    done = subprocess.run([*command, reference], capture_output=True, check=False, timeout=300)
    return done.returncode == 0


def _pods(references: Mapping[str, Case], *, demanded: bool) -> list[dict[str, Any]]:
    containers = [
        {
            "name": f"c{number}",
            "image": reference,
            **({"command": list(case.pod["command"])} if "command" in case.pod else {}),
            "securityContext": {"runAsNonRoot": True} if demanded else {},
        }
        for number, (reference, case) in enumerate(references.items())
    ]
    names = [case.name for case in references.values()]
    alone = [one for one, name in zip(containers, names, strict=True) if name.startswith(FIFO)]
    others = [one for one in containers if one not in alone]
    groups = [others[start : start + TOGETHER] for start in range(0, len(others), TOGETHER)]
    kind = "demanded" if demanded else "plain"
    return [
        *(_pod(f"{kind}-{number}", group) for number, group in enumerate(groups)),
        *(_pod(f"{kind}-fifo-{number}", [one]) for number, one in enumerate(alone)),
    ]


def _pod(name: str, containers: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": NAMESPACE},
        "spec": {
            "containers": list(containers),
            "restartPolicy": "Never",
            "terminationGracePeriodSeconds": 0,
            "automountServiceAccountToken": False,
            "enableServiceLinks": False,
        },
    }


def _slimgate(cluster: RealCluster, *words: str) -> Any:
    out, errors = io.StringIO(), io.StringIO()
    host = ("--plain-http", cluster.registry.host, "--platform", "linux/amd64")
    with redirect_stdout(out), redirect_stderr(errors):
        run([*words, *host, "-o", "json"])
    return json.loads(out.getvalue())


def _said(
    cluster: RealCluster,
    pods: Sequence[Mapping[str, Any]],
    references: Mapping[str, Case],
    folder: Path,
) -> dict[str, Outcome]:
    """By reference: what would become of it."""
    policy, manifest = folder / "policy.yaml", folder / "pods.json"
    policy.write_text(POLICY)
    manifest.write_text(json.dumps({"apiVersion": "v1", "kind": "List", "items": list(pods)}))
    report = _slimgate(cluster, "check", "-f", str(manifest), "--policy", str(policy), "--all")
    decided: dict[str, list[Any]] = {}
    for one in report["decisions"]:
        decided.setdefault(one["image"], []).extend(one["findings"])
    demanded = "demanded" in pods[0]["metadata"]["name"]
    return {
        reference: _predicted(cluster, reference, decided[reference], demanded=demanded)
        for reference in references
    }


def _predicted(
    cluster: RealCluster, reference: str, findings: Sequence[Mapping[str, Any]], *, demanded: bool
) -> Outcome:
    named = (f"{one['check']} {one['reason']}" for one in findings if one["check"] in COUNT)
    reasons = list(dict.fromkeys(named))
    fatal = [one for one in reasons if demanded or one != "nonRoot runsAsRoot"]
    if fatal:
        return Outcome(None, "would not start: " + ", ".join(fatal))
    told = _slimgate(cluster, "inspect", reference)
    if "user" not in told:  # not everything was read to answer the check
        return Outcome(None, f"would not start: image {told['error']['reason']}")
    return Outcome(told["user"]["uid"])


def _done(
    cluster: RealCluster, pods: Sequence[Mapping[str, Any]]
) -> dict[tuple[str, bool], Outcome]:
    cluster.must("create", "namespace", NAMESPACE)
    cluster.must("wait", "--for=create", "serviceaccount/default", "-n", NAMESPACE)
    listed = {"apiVersion": "v1", "kind": "List", "items": list(pods)}
    cluster.must("create", "-f", "-", stdin=json.dumps(listed))
    seen: list[dict[str, Any]] = []

    def settled() -> bool:
        time.sleep(1)  # kubectl and the nodes share the processors
        seen[:] = cluster.objects("pods", "-n", NAMESPACE)
        return all(
            len(one["status"].get("containerStatuses", ())) == len(one["spec"]["containers"])
            and (
                "fifo" in one["metadata"]["name"]
                or all(map(_settled, one["status"]["containerStatuses"]))
            )
            for one in seen
        )

    try:
        assert eventually(settled, seconds=SECONDS), _unsettled(seen)
        return {
            (spec["image"], "demanded" in pod["metadata"]["name"]): _outcome(cluster, pod, status)
            for pod in seen
            for spec, status in _paired(pod)
        }
    finally:
        cluster.must("delete", "namespace", NAMESPACE, "--wait=false")


def _unsettled(pods: Sequence[Mapping[str, Any]]) -> str:
    waiting = [
        f"{pod['metadata']['name']} {spec['image']}: {status['state']}"
        for pod in pods
        for spec, status in _paired(pod)
        if not _settled(status)
    ]
    return "\n".join(("not settled:", *waiting))


def _paired(pod: Mapping[str, Any]) -> list[tuple[Mapping[str, Any], Mapping[str, Any]]]:
    statuses = {one["name"]: one for one in pod["status"].get("containerStatuses", ())}
    specs = (one for one in pod["spec"]["containers"] if one["name"] in statuses)
    return [(spec, statuses[spec["name"]]) for spec in specs]


def _settled(status: Mapping[str, Any]) -> bool:
    waiting = status["state"].get("waiting")
    return waiting is None or waiting.get("reason") in {*REFUSED, *PULLS, "RunContainerError"}


def _outcome(cluster: RealCluster, pod: Mapping[str, Any], status: Mapping[str, Any]) -> Outcome:
    state = status["state"]
    if "running" in state:
        return Outcome(_uid(cluster, pod, status["name"]))
    if "fifo" in pod["metadata"]["name"]:
        return Outcome(None, HANGS)
    told = state.get("waiting") or state["terminated"]
    if told["reason"] in PULLS:
        return NOT_PULLED
    who = REFUSED.get(told["reason"], "it does not start")
    return Outcome(None, f"{who}: {NOISE.sub('', told.get('message', ''))}")


def _uid(cluster: RealCluster, pod: Mapping[str, Any], container: str) -> int:
    node = next(one for one in cluster.nodes if one.name == pod["spec"]["nodeName"])
    found: list[str] = []

    def told() -> bool:
        found[:] = re.findall(
            r"^uid (\d+) gid", node.log(NAMESPACE, pod["metadata"]["name"], container), re.MULTILINE
        )
        return bool(found)

    assert eventually(told), f"{pod['metadata']['name']} {container} runs and says nothing"
    return int(found[0])


PAGE = Path(__file__).parents[3] / "docs" / "kubelet.md"
HEAD = """\
# What the kubelet does

Every image of [the catalogue](catalogue.md) that a registry takes, run as a pod on a real node
(kubelet {kubelet}, containerd {containerd}), without and with `runAsNonRoot: true`, beside what
slimgate says of it under `nonRoot` and `runnable`. Made by `make test-cluster`, which fails where
the two differ and nothing here explains it.

*same*: slimgate was right whether it starts, and as which uid. *stricter*: slimgate refuses the
image itself, since it can be read in two ways or breaks its specification; this containerd runs it.
*by version*: containerds differ, and slimgate takes the worst reading.
Not run: what slimgate gives up on by its limits, and the bombs (case 47).

{count}

| case | slimgate | the node | slimgate, `runAsNonRoot` | the node, `runAsNonRoot` | |
|---|---|---|---|---|---|
"""


def page(cluster: RealCluster, rows: Sequence[Row]) -> str:
    """The whole page."""
    node = cluster.objects("nodes")[0]["status"]["nodeInfo"]
    counted = Counter(row.verdict.partition(":")[0] or "different" for row in rows)
    head = HEAD.format(
        kubelet=node["kubeletVersion"].removeprefix("v"),
        containerd=node["containerRuntimeVersion"].partition("//")[2],
        count=f"{len(rows)} images: "
        + ", ".join(f"{number} {what}" for what, number in counted.most_common())
        + ".",
    )
    return head + "".join(map(_line, rows))


def _line(row: Row) -> str:
    outcomes = (row.said[0], row.done[0], row.said[1], row.done[1])
    cells = (row.case.name, *map(str, outcomes), row.verdict or "DIFFERENT")
    return "| " + " | ".join(cell.replace("|", r"\|") for cell in cells) + " |\n"
