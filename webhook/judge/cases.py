"""The engine of ``slimgate policy test``: cases that say what a policy should answer.

    apiVersion: slimgate.dev/v1alpha1
    kind: PolicyTest
    policy: distroless-nonroot.yaml     # a file beside this one, or a policy of slimgate's
    cases:
      - name: a shell is refused
        facts: {shells: [{path: /bin/sh, name: busybox}]}   # as slimgate inspect -o json; or
        # image: oci:build/image                            # an image to read
        container: {securityContext: {runAsNonRoot: true}}  # fields of the pod's container
        expect: [{check: noShell, result: fail, reason: shell}]
        allowed: false

``expect`` lists all findings there should be, in any order; ``[]`` is none. The policy's
namespace selector counts only where a case gives ``namespaceLabels``, as on the command line.

How a pod is judged is handed in: this module is below the evaluation, and reads no image.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path
from typing import Any, Literal

import msgspec

from webhook.checks.check import Finding
from webhook.errors import PolicyError
from webhook.image.document import facts_of
from webhook.image.facts import ImageFacts
from webhook.judge.decision import Judgement
from webhook.judge.decode import decode
from webhook.judge.document import Day, Name, Text
from webhook.judge.load import BUILTIN, builtin, load_policies, text_of
from webhook.judge.nodes import read
from webhook.judge.policy import Namespace, Policy

NAMESPACE = "test"


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """What a case asks: the pod, under these policies, in this namespace."""

    pod: Mapping[str, Any]
    """A Pod with one container, as ``kubectl apply`` takes it."""
    policies: tuple[Policy, ...]
    namespace: Namespace
    facts: ImageFacts | None
    """None: the image that the pod names is to be read."""
    today: date | None
    """None: today."""


Judge = Callable[[Question], Iterable[Judgement]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What came of one case."""

    case: str
    problems: tuple[str, ...]
    """How the answer differs from what was expected; empty when it does not."""


class _Expected(
    msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="camel", kw_only=True
):
    check: str
    result: Literal["fail", "unknown"] = "fail"
    reason: str | None = None

    def fits(self, finding: Finding) -> bool:
        return (self.check, self.result) == (finding.check, finding.result) and (
            self.reason is None or self.reason == finding.reason
        )

    def __str__(self) -> str:
        return f"{self.check}: {self.result}{f' ({self.reason})' if self.reason else ''}"


class _Case(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="camel", kw_only=True):
    name: Text
    image: str | None = None
    facts: Any = None
    container: Any = None
    pod: Any = None
    namespace: Name = Name(NAMESPACE)
    namespace_labels: dict[str, str] | None = None
    today: Day | None = None
    expect: tuple[_Expected, ...] | None = None
    allowed: bool | None = None

    def __post_init__(self) -> None:
        if self.image is None and self.facts is None:
            raise ValueError("judges nothing: give image or facts")
        if self.expect is None and self.allowed is None:
            raise ValueError("expects nothing: give expect or allowed")
        for name in ("container", "pod"):
            if not isinstance(getattr(self, name), dict | None):
                raise ValueError(f"{name} is not an object")  # noqa: TRY004 - a fault of the document
        if self.facts is not None:
            facts_of(self.facts)  # a fault is told with the case's line

    def question(self, policies: tuple[Policy, ...]) -> Question:
        facts = None if self.facts is None else facts_of(self.facts)
        labels = {"kubernetes.io/metadata.name": self.namespace, **(self.namespace_labels or {})}
        image = self.image if facts is None else self.image or facts.reference
        container = {"name": "app", "image": image, **(self.container or {})}
        if self.namespace_labels is None:
            policies = tuple(replace(policy, selector=None) for policy in policies)
        return Question(
            pod={
                "apiVersion": "v1",
                "kind": "Pod",
                "metadata": {"name": "test", "namespace": self.namespace},
                "spec": {**(self.pod or {}), "containers": [container]},
            },
            policies=policies,
            namespace=Namespace(name=self.namespace, labels=labels),
            facts=facts,
            today=self.today,
        )


class _PolicyTest(
    msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="camel", kw_only=True
):
    api_version: Literal["slimgate.dev/v1alpha1"]
    kind: Literal["PolicyTest"]
    policy: str
    cases: tuple[_Case, ...]
    metadata: Any = None


def run_tests(path: Path, judge: Judge) -> tuple[Outcome, ...]:
    """Run all cases of a file.

    Args:
        path: the file, of one or several PolicyTest documents.
        judge: answers one question; an image it cannot read is a finding, not an error.

    Raises:
        PolicyError: the file or the policy it names is faulty, with every fault.
    """
    nodes = read(text_of(path), str(path))
    if not nodes:
        raise PolicyError((f"{path}: holds no PolicyTest",))
    tests = [decode(node, _PolicyTest, str(path)) for node in nodes]
    return tuple(
        Outcome(case=case.name, problems=tuple(_compare(case, judge(case.question(policies)))))
        for test in tests
        for policies in (load_policies(_policy_file(path, test.policy)),)
        for case in test.cases
    )


def _policy_file(path: Path, policy: str) -> Path:
    return builtin(policy) if policy in BUILTIN else path.parent / policy


def _compare(case: _Case, answer: Iterable[Judgement]) -> Iterable[str]:
    judgements = tuple(answer)
    if case.allowed is not None:
        allowed = all(judgement.allowed for judgement in judgements)
        if allowed != case.allowed:
            yield f"should be {_verdict(case.allowed)}, is {_verdict(allowed)}"
    if case.expect is None:
        return
    found = [finding for judgement in judgements for finding in judgement.findings]
    for expected in case.expect:
        if not any(expected.fits(finding) for finding in found):
            yield f"should find {expected}, does not"
    for finding in found:
        if not any(expected.fits(finding) for expected in case.expect):
            yield f"finds {finding.check}: {finding.result} ({finding.reason}): {finding.detail}"


def _verdict(allowed: bool) -> str:  # noqa: FBT001 - a word for a boolean
    return "allowed" if allowed else "denied"
