"""Policy documents: a policy, or every fault with its line; the same written as JSON."""

from __future__ import annotations

import json
import re

from webhook.errors import PolicyError
from webhook.judge.load import BUILTIN, builtin, parse_policies
from webhook.judge.nodes import read
from webhook.limits import KIB

MAX_BYTES = 4 * KIB
WORDS = (
    *(b"apiVersion: slimgate.dev/v1alpha1\n", b"kind: ImagePolicy\n", b"metadata: {name: a}\n"),
    *(b"spec:\n", b"  action: Enforce\n", b"  checks: {", b"nonRoot: {}", b"size: {max: 1Mi}"),
    *(
        b"images: {include: [",
        b"rules: [{",
        b"exceptions: [{",
        b"expires: 2027-01-31",
        b"&a",
        b"*a",
    ),
    *(b"matchLabels: {", b"matchExpressions: [{", b"<<: ", b"!!str ", b"---\n", b"|\n", b"0o7"),
)
_HEAD = "apiVersion: slimgate.dev/v1alpha1\nkind: ImagePolicy\nmetadata: {name: p}\nspec:\n"
SEEDS = {
    **{name: builtin(name).read_bytes() for name in BUILTIN},
    "json": json.dumps(
        {
            "apiVersion": "slimgate.dev/v1alpha1",
            "kind": "ImagePolicy",
            "metadata": {"name": "p"},
            "spec": {"action": "Warn", "checks": {"size": {"max": "100Mi"}}},
        }
    ).encode(),
    "rule": (
        f"{_HEAD}  action: Audit\n  rules:\n"
        "  - {name: r, expression: 'image.user.uid != 0', message: no}\n"
    ).encode(),
    "faults": f"{_HEAD}  action: enforce\n  checks: {{nonroot: {{}}, size: null}}\n".encode(),
    "aliases": b"a: &a [x, x]\nb: &b [*a, *a]\nc: [*b, *b]\n",
    "tags": b"a: !!python/object/apply:os.system [x]\n",
    "deep": b"[" * 70,
}
SOURCE = "policy.yaml"


def check(data: bytes) -> None:
    text = data.decode("utf-8", "surrogateescape")
    nodes = _read(text)
    for node in nodes or ():
        again = _read(json.dumps(node.plain()))
        # A long number's digits are its own in YAML; JSON of them may be written otherwise.
        assert again is not None
        assert [one.plain() for one in again] == [node.plain()]
    try:
        policies = parse_policies(text, SOURCE)
    except PolicyError as error:
        _check_faults(error)
        return
    assert nodes is not None
    assert policies
    names = [policy.name for policy in policies]
    assert len(set(names)) == len(names)
    for policy in policies:
        assert policy.checks or policy.rules  # a policy that asks nothing is none
    documents = [node for node in nodes if node.plain().get("kind") == "ImagePolicy"]
    assert len(policies) == len(documents)  # all of them, or none


def _read(text: str):
    try:
        return read(text, SOURCE)
    except PolicyError as error:
        _check_faults(error)
        return None


def _check_faults(error: PolicyError) -> None:
    assert error.problems
    for problem in error.problems:
        assert re.match(rf"{re.escape(SOURCE)}(:\d+)?: ", problem), problem
