"""Tests of policies, as their authors write them: through the real evaluation."""

from __future__ import annotations

import re
from datetime import date
from pathlib import Path

import pytest

from tests.judge.documents import text
from webhook.errors import NotFound, PolicyError
from webhook.evaluate import evaluate
from webhook.gather.source import Unread
from webhook.judge.cases import run_tests
from webhook.limits import Deadline
from webhook.review.workload import workload_of

HEAD = "apiVersion: slimgate.dev/v1alpha1\nkind: PolicyTest\n"
SPEC = """
namespaceSelector: {matchLabels: {env: prod}}
action: Enforce
onUnknown: Warn
checks: {nonRoot: {}, noShell: {}, age: {maxDays: 90}}
exceptions:
  - {images: [a.test/old/*], checks: [noShell], reason: OPS-1, expires: 2027-01-31}
"""


class Known:
    """The images of a question: the facts of the case, or none that could be found."""

    def __init__(self, facts):
        self._facts = facts

    def configs(self, requests, _deadline):
        missing = Unread(error=NotFound("no such image"))
        return dict.fromkeys(requests, (self._facts or missing,))

    def layers(self, images, _deadline):
        return {(request, facts.manifest_digest): facts for request, facts in images}


def judge(question):
    return evaluate(
        workload_of(question.pod, namespace=question.namespace.name),
        question.policies,
        Known(question.facts),
        Deadline.never(),
        namespace=question.namespace,
        today=question.today or date(2026, 11, 23),
        thorough=True,
    )


def run(tmp_path, cases, policy="p.yaml"):
    (tmp_path / "p.yaml").write_text(text(SPEC))
    (tmp_path / "t.yaml").write_text(f"{HEAD}policy: {policy}\ncases:\n{cases}")
    return run_tests(tmp_path / "t.yaml", judge)


SHELL = "facts: {shells: [{path: /bin/sh, name: busybox}]}"


@pytest.mark.parametrize(
    ("case", "problems"),
    [
        pytest.param("facts: {}, expect: [], allowed: true", [], id="a good image"),
        pytest.param(
            f"{SHELL}, expect: [{{check: noShell, reason: shell}}], allowed: false", [], id="shell"
        ),
        pytest.param(
            f"{SHELL}, expect: [], allowed: true",
            [
                "should be allowed, is denied",
                "finds noShell: fail (shell): /bin/sh is busybox",
            ],
            id="unexpected",
        ),
        pytest.param(
            "facts: {}, expect: [{check: noShell, reason: shell}], allowed: false",
            ["should be denied, is allowed", "should find noShell: fail (shell), does not"],
            id="not found",
        ),
        pytest.param(
            f"{SHELL}, expect: [{{check: noShell, reason: other}}]",
            [
                "should find noShell: fail (other), does not",
                "finds noShell: fail (shell): /bin/sh is busybox",
            ],
            id="another reason",
        ),
        pytest.param(
            'facts: {user: {declared: "0"}}, expect: [{check: nonRoot}]', [], id="any reason"
        ),
        pytest.param(
            'facts: {user: {declared: "0"}}, container: {securityContext: {runAsUser: 5}}, '
            "expect: []",
            [],
            id="container",
        ),
        pytest.param(
            'facts: {user: {declared: "0"}}, pod: {securityContext: {runAsUser: 5}}, expect: []',
            [],
            id="pod",
        ),
        pytest.param(
            f"{SHELL}, image: 'a.test/old/app:1', today: 2027-01-31, expect: []",
            [],
            id="exception, last day",
        ),
        pytest.param(
            f"{SHELL}, image: 'a.test/old/app:1', today: 2027-02-01, allowed: false",
            [],
            id="exception, over",
        ),
        pytest.param(
            f"{SHELL}, namespaceLabels: {{env: dev}}, allowed: true", [], id="not selected"
        ),
        pytest.param(f"{SHELL}, namespaceLabels: {{env: prod}}, allowed: false", [], id="selected"),
        pytest.param(
            "image: 'a.test/gone:1', expect: [{check: image, result: unknown, reason: notFound}], "
            "allowed: true",
            [],
            id="an image to read",
        ),
    ],
)
def test_case(tmp_path, case, problems):
    """What a case says is compared with what the policy answers."""
    (outcome,) = run(tmp_path, f"- {{name: one, {case}}}")
    assert outcome.case == "one"
    assert list(outcome.problems) == problems


@pytest.mark.parametrize(
    ("case", "fault"),
    [
        ("allowed: true", "cases[0]: judges nothing: give image or facts"),
        ("facts: {}", "cases[0]: expects nothing: give expect or allowed"),
        ("facts: {shell: []}, allowed: true", "cases[0]: Object contains unknown field `shell`"),
        ("facts: {size: {compressed: x}}, allowed: true", "cases[0]: Expected `int | null`, got"),
        ("facts: {platform: x/y/z/a}, allowed: true", "cases[0]: 'x/y/z/a' is no platform"),
        ("facts: {}, container: 7, allowed: true", "cases[0]: container is not an object"),
        ("facts: {}, alowed: true", "cases[0].alowed: is no field (did you mean allowed?)"),
    ],
)
def test_faults(tmp_path, case, fault):
    """A test that cannot fail is refused, and every fault has its line."""
    with pytest.raises(PolicyError, match=re.escape(f"t.yaml:5: {fault}")):
        run(tmp_path, f"- {{name: one, {case}}}")


def test_shipped_policy_by_name(tmp_path):
    """The policies that come with slimgate need no path."""
    case = f"- {{name: one, {SHELL}, allowed: false}}"
    (outcome,) = run(tmp_path, case, policy="distroless-nonroot")
    assert outcome.problems == ()


def test_missing_policy(tmp_path):
    """Named with the file that was looked for."""
    with pytest.raises(PolicyError, match=r"gone\.yaml: cannot be read"):
        run(tmp_path, "- {name: one, facts: {}, allowed: true}", policy="gone.yaml")


SHIPPED = Path(__file__).parent / "shipped.yaml"


@pytest.mark.parametrize("outcome", run_tests(SHIPPED, judge), ids=lambda outcome: outcome.case)
def test_shipped_policies(outcome):
    """What the shipped policies answer, through the real evaluation."""
    assert outcome.problems == ()
