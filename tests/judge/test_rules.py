"""Rules in CEL: what they see, what errors become, and that hostile values cost little."""

from __future__ import annotations

import re
import subprocess
import sys
import time

import pytest

from tests.checks.subjects import image, program, subject
from webhook.image.facts import NotRead
from webhook.judge.policy import Namespace
from webhook.judge.rules import Expression, Rule

SHOP = Namespace(name="shop", labels={"env": "prod"})
LABELLED = image(labels={"a": "b"}, contents={"shells": (program("/bin/sh", "sh"),)})


def ask(expression, facts=LABELLED, **container):
    rule = Rule(name="r", expression=Expression.parse(expression), message="no good")
    pod = {"document": {"metadata": {"labels": {"x": "y"}}, "spec": {"hostNetwork": True}}}
    return [
        (one.check, one.result, one.reason, one.detail)
        for one in rule.inspect(subject(facts, pod=pod, **container), SHOP)
    ]


FAILED = [("rules.r", "fail", "rule", "no good")]


@pytest.mark.parametrize(
    "expression",
    [
        "true",
        "'a' in image.labels",
        "image.shells.all(shell, shell.path.startsWith('/bin/'))",
        "image.size.compressed < 1024 * 1024",
        "image.user.root == false",
        "image.base.name == 'nothing' || image.base.claim == null",
        "pod.spec.hostNetwork",
        "container.image == 'registry.test/team/app:1.2'",
        "namespaceObject.metadata.labels['env'] == 'prod'",
        "container[?'imagePullPolicy'].orValue('Always') == 'Always'",
        "'A'.lowerAscii() == 'a'",
    ],
)
def test_passes(expression):
    """image, container, pod and namespaceObject, with Kubernetes' extensions."""
    document = {"name": "app", "image": "registry.test/team/app:1.2"}
    assert ask(expression, document=document) == []


@pytest.mark.parametrize("expression", ["false", "'z' in image.labels", "image.shells == []"])
def test_fails(expression):
    """False is a failure with the rule's own message."""
    assert ask(expression) == FAILED


@pytest.mark.parametrize(
    ("expression", "detail"),
    [
        pytest.param("image.labels['z'] == '1'", 'Key not found in map : "z"', id="no such key"),
        pytest.param("image.labels['a']", "yields string, not true or false", id="no boolean"),
        pytest.param("image.nothing", 'Key not found in map : "nothing"', id="error as a value"),
        pytest.param("container.big == 1", "out of range", id="an integer that CEL does not have"),
        pytest.param(
            "container.many.all(x, container.many.all(y, x != -y))",
            "Iteration budget exceeded",
            id="too costly",
        ),
    ],
)
def test_unknown(expression, detail):
    """An error is neither pass nor fail, although the library's error value is truthy."""
    document = {"big": 1 << 70} if "big" in expression else {"many": list(range(1, 1000))}
    ((check, result, reason, text),) = ask(expression, document=document)
    assert (check, result, reason) == ("rules.r", "unknown", "ruleError")
    assert text.startswith("the rule has no answer: ")
    assert detail in text


@pytest.mark.parametrize(
    ("expression", "needs"),
    [
        ("image.labels == {}", True),
        (".image.labels == {}", True),
        ("[image].size() == 1", True),
        ("container.image == 'x'", False),
        ("pod.spec.containers.exists(image, image.image == 'x')", False),
        ("'image' == 'x'", False),
    ],
)
def test_when_layers_are_needed(expression, needs):
    """Only a rule that looks at the variable image waits for the layers."""
    unread = image(read=False)
    document = {"spec": {"containers": []}}
    if needs:
        with pytest.raises(NotRead):
            ask(expression, unread, document=document)
    else:
        assert not Expression.parse(expression).reads_image


@pytest.mark.parametrize(
    ("expression", "fault"),
    [
        ("image.x ==", "1:11: Syntax error"),
        ("\nnope == 1", "2:1: undeclared reference to 'nope'"),
        ("'a'", "yields string, not true or false"),
        (
            "'env' in namespace.metadata.labels",
            (
                "1:10: reserved identifier: namespace (a reserved word in CEL: the namespace is "
                "namespaceObject)"
            ),
        ),
        ("package.x", "1:1: reserved identifier: package"),
        ("[" * 100 + "]" * 100, "Expression recursion limit exceeded"),
        (" ", "is no CEL expression of 1 to 4096 characters"),
        ("true || " * 1000 + "true", "is no CEL expression of 1 to 4096 characters"),
        (7, "is no CEL expression of 1 to 4096 characters"),
    ],
)
def test_compile_faults(expression, fault):
    """With the compiler's position, on one line."""
    with pytest.raises(ValueError, match=f"^{re.escape(fault)}[^\n]*$"):
        Expression.parse(expression)


def test_regular_expressions_do_not_backtrack():
    """RE2: a hostile label costs no more than its length."""
    begin = time.process_time()
    found = ask("container.x.matches('(a+)+$')", document={"x": "a" * 100_000 + "b"})
    assert found == FAILED
    assert time.process_time() - begin < 5


def test_deep_pods():
    """A nesting that the webhook lets through is evaluated, not crashed upon."""
    deep = {}
    at = deep
    for _ in range(500):
        at["a"] = {}
        at = at["a"]
    assert ask("has(container.a)", document=deep) == []


def test_library_is_loaded_late():
    """A policy without rules does not pay for CEL."""
    code = (
        "import sys, webhook.judge.load as l;"
        "l.load_policies(l.builtin('distroless-nonroot'));"
        "sys.exit('cel_expr_python' in ' '.join(sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
