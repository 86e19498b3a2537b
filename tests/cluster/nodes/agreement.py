"""What slimgate says of an image beside what a real kubelet and containerd do with it.

``slimgate check`` and ``slimgate inspect`` read the images from the same registry as the nodes.
Each image is asked about twice: as it is, and with ``runAsNonRoot: true``. The pods hold ten
containers each; every image's program prints its uid and sleeps.
"""

from __future__ import annotations

import io
import json
import re
import time
import urllib.error
from collections.abc import Mapping, Sequence
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
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
BOMBS = 47
"""Never for a node: containerd would write the 1 TiB of the sparse file (it did)."""
SECONDS = 240
FIFO = ("20g", "20h")
"""Where containerd opens a fifo and waits for a writer: in pods of their own, and not waited for."""
HANGS = "containerd never answers"
REFUSED = {
    "CreateContainerConfigError": "the kubelet refuses it",
    "CreateContainerError": "containerd refuses it",
}
PULLS = {"ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ImageInspectError"}
NOISE = re.compile(
    r" \(pod: .*| \(container: .*|^.*failed to generate spec: |^.*unable to start container process: "
    r"|: unknown$|^.*failed to create containerd container: "
)
"""What is about the pod, or tells the way a message came."""


@dataclass(frozen=True)
class Outcome:
    """Who a container runs as, or why it does not."""

    uid: int | None
    why: str = ""

    def __str__(self) -> str:
        """As the page has it."""
        return self.why if self.uid is None else f"uid {self.uid}"


@dataclass(frozen=True)
class Row:
    """An image: what was said and what was done, without and with ``runAsNonRoot``."""

    case: Case
    said: tuple[Outcome, Outcome]
    done: tuple[Outcome, Outcome]

    @property
    def agrees(self) -> bool:
        """Whether both were right as to whether it starts, and as whom."""
        return all(one.uid == other.uid for one, other in zip(self.said, self.done, strict=True))


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
    pods = {demanded: _pods(references, demanded) for demanded in (False, True)}
    said = {demanded: _said(cluster, pods[demanded], references, folder) for demanded in pods}
    done = _done(cluster, [one for some in pods.values() for one in some])
    return [
        Row(
            case,
            (said[False][reference], said[True][reference]),
            (done[reference, False], done[reference, True]),
        )
        for reference, case in references.items()
    ]


def _pods(references: Mapping[str, Case], demanded: bool) -> list[dict[str, Any]]:
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
        reference: _predicted(cluster, reference, decided[reference], demanded)
        for reference in references
    }


def _predicted(
    cluster: RealCluster, reference: str, findings: Sequence[Mapping[str, Any]], demanded: bool
) -> Outcome:
    named = (f"{one['check']} {one['reason']}" for one in findings if one["check"] in COUNT)
    reasons = list(dict.fromkeys(named))
    fatal = [one for one in reasons if demanded or one != "nonRoot runsAsRoot"]
    if fatal:
        return Outcome(None, "would not start: " + ", ".join(fatal))
    told = _slimgate(cluster, "inspect", reference)
    if "user" not in told:
        return Outcome(None, f"would not start: {json.dumps(told)[:300]}")
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
        return Outcome(None, "the pull fails")
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
