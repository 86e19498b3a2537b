"""``slimgate policy``: check, test, schema."""

from __future__ import annotations

import jsonschema
import pytest
import yaml

from webhook.judge.load import BUILTIN, builtin

GOOD = """
apiVersion: slimgate.dev/v1alpha1
kind: ImagePolicy
metadata: {name: team}
spec: {action: Enforce, checks: {nonRoot: {}, noShell: {}}}
"""
BAD = GOOD.replace("noShell: {}", "noShell: null, size: {layer: big}")

CASES = """
apiVersion: slimgate.dev/v1alpha1
kind: PolicyTest
policy: team.yaml
cases:
  - name: a shell is refused
    image: %s
    expect: [{check: noShell}]
    allowed: false
  - name: and nothing else is
    image: %s
    expect: []
    allowed: true
"""


@pytest.mark.parametrize("name", BUILTIN)
def test_the_shipped_policies_are_right(slimgate, name):
    """What we ship has no fault."""
    ran = slimgate("policy", "check", builtin(name))

    assert (ran.code, ran.err) == (0, "")
    assert "1 policy, nothing wrong" in ran.out


def test_check_tells_every_fault(slimgate, file):
    """One line each, of every file; exit 1."""
    file("good.yaml", GOOD)
    file("bad.yaml", BAD)

    ran = slimgate("policy", "check", "bad.yaml", "good.yaml")

    lines = ran.out.splitlines()
    assert ran.code == 1
    assert [line.split(": ")[0] for line in lines] == ["bad.yaml:5", "bad.yaml:5", "good.yaml"]


def test_no_file(slimgate):
    """Wrong usage is 64."""
    assert slimgate("policy", "check", "missing.yaml").code == 64
    assert slimgate("policy", "check").code == 64


def test_cases(slimgate, layout, file):
    """A policy's cases hold, or the exit code is 1 and each difference is told."""
    file("team.yaml", GOOD)
    shell, clean = layout("shell-by-name"), layout("distroless")

    good = slimgate("policy", "test", file("good-test.yaml", CASES % (shell, clean)))
    bad = slimgate("policy", "test", file("bad-test.yaml", CASES % (clean, shell)))

    assert (good.code, good.out.splitlines()[-1]) == (0, "2 cases, all hold")
    assert (bad.code, bad.out.splitlines()[-1]) == (1, "2 cases, 2 failed")
    assert "should be denied, is allowed" in bad.out


def test_cases_of_facts(slimgate, file):
    """Facts stand in for an image: nothing is read."""
    file("team.yaml", GOOD)
    facts = "{user: {declared: '0', uid: 0, gid: 0, root: true, reason: User is 0}}"
    text = CASES.partition("cases:")[0] + (
        f"cases:\n  - name: root is refused\n    facts: {facts}\n"
        "    expect: [{check: nonRoot}]\n    allowed: false\n"
    )

    ran = slimgate("policy", "test", file("test.yaml", text))

    assert ran.code == 0, ran.out + ran.err


def test_schema(slimgate):
    """A JSON Schema that takes what we ship and refuses a typo."""
    schema = slimgate("policy", "schema").json
    document = yaml.load(builtin("nonroot").read_text(), Loader=yaml.BaseLoader)

    jsonschema.Draft202012Validator.check_schema(schema)
    assert "ImagePolicy" in schema["title"]
    document["spec"]["chekcs"] = {}
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(document, schema)


def test_crd(slimgate):
    """Three objects for kubectl; tests/cluster/test_crd.py gives them to real API servers."""
    ran = slimgate("policy", "crd")

    assert (ran.code, ran.err) == (0, "")
    assert [one["kind"] for one in yaml.safe_load_all(ran.out)] == [
        "CustomResourceDefinition",
        "ValidatingAdmissionPolicy",
        "ValidatingAdmissionPolicyBinding",
    ]
