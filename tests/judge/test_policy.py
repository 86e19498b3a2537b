"""A policy: whom it selects, what it answers to what, and what is excepted."""

from __future__ import annotations

from datetime import date

import pytest

from tests.judge.documents import policy
from webhook.image.reference import Reference
from webhook.judge.decision import Action, OnUnknown
from webhook.judge.policy import Namespace
from webhook.pod import Container, ContainerKind, Workload

POD = Workload(kind="Pod", name="a", namespace="shop", containers=())
DEPLOYMENT = Workload(kind="Deployment", name="a", namespace="shop", containers=(), template=True)
SHOP = Namespace(name="shop", labels={"env": "prod"})
DAY = date(2026, 11, 23)
CHECKS = "checks: {noShell: {}, nonRoot: {}}"


def reference(name):
    registry, _, repository = name.partition("/")
    return Reference(registry=registry, repository=repository, tag="1")


@pytest.mark.parametrize(
    ("spec", "pod", "template"),
    [
        pytest.param("action: Enforce", ("Enforce", "Deny"), ("Warn", "Warn"), id="Enforce"),
        pytest.param("action: Warn", ("Warn", "Warn"), ("Warn", "Warn"), id="Warn"),
        pytest.param("action: Audit", ("Audit", "Allow"), ("Audit", "Allow"), id="Audit"),
        pytest.param(
            "action: Enforce\nonUnknown: Warn", ("Enforce", "Warn"), ("Warn", "Warn"), id="softer"
        ),
        pytest.param(
            "action: Audit\nonUnknown: Deny\nworkloads: Enforce",
            ("Audit", "Allow"),
            ("Audit", "Allow"),
            id="never more than the action",
        ),
        pytest.param(
            "action: Enforce\nworkloads: Enforce",
            ("Enforce", "Deny"),
            ("Enforce", "Deny"),
            id="templates enforced",
        ),
        pytest.param(
            "action: Enforce\nonUnknown: Allow\nworkloads: Ignore",
            ("Enforce", "Allow"),
            None,
            id="templates ignored",
        ),
    ],
)
def test_response(spec, pod, template):
    """PSA's model: templates get a warning, their pods the action."""
    one = policy(f"{spec}\n{CHECKS}")
    assert one.response(POD) == pod
    assert one.response(DEPLOYMENT) == template


@pytest.mark.parametrize(
    ("selector", "expected"),
    [
        pytest.param("", True, id="absent: every namespace"),
        pytest.param("namespaceSelector: {}", True, id="empty: every namespace"),
        pytest.param("namespaceSelector: {matchLabels: {env: prod}}", True, id="fits"),
        pytest.param("namespaceSelector: {matchLabels: {env: dev}}", False, id="does not fit"),
    ],
)
def test_selects(selector, expected):
    """By the namespace's labels."""
    assert policy(f"action: Warn\n{CHECKS}\n{selector}").selects(SHOP) == expected


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("registry.test/team/app", True),
        ("registry.test/legacy/app", False),
        ("docker.io/library/nginx", False),
    ],
)
def test_judges(name, expected):
    """Included and not excluded."""
    images = "images: {include: [registry.test/*], exclude: [registry.test/legacy/*]}"
    assert policy(f"action: Warn\n{CHECKS}\n{images}").judges(reference(name)) == expected


EXCEPTED = policy(
    f"""
action: Enforce
{CHECKS}
exceptions:
  - images: [registry.test/legacy/*]
    checks: [noShell]
    namespaces: [shop]
    reason: "OPS-1: moving"
    expires: 2026-11-23
"""
)


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        pytest.param({}, "OPS-1: moving (until 2026-11-23)", id="on its last day"),
        pytest.param({"today": date(2026, 11, 24)}, None, id="a day later"),
        pytest.param({"check": "nonRoot"}, None, id="another check"),
        pytest.param({"namespace": Namespace(name="bank")}, None, id="another namespace"),
        pytest.param({"reference": reference("registry.test/new/app")}, None, id="another image"),
    ],
)
def test_exception(change, expected):
    """Everything has to fit; the expiry is the last valid day."""
    asked = {
        "check": "noShell",
        "container": Container(name="app", image=""),
        "reference": reference("registry.test/legacy/app"),
        "namespace": SHOP,
        "today": DAY,
        **change,
    }
    assert EXCEPTED.lifted(**asked) == expected


def test_exception_everywhere():
    """Without namespaces it holds wherever the policy does."""
    one = policy(
        f"action: Warn\n{CHECKS}\nexceptions: [{{images: ['*'], checks: [noShell], "
        "reason: OPS-2, expires: 2027-01-01}]"
    )
    asked = (Container(name="app", image=""), reference("a.test/b"), Namespace(name="any"), DAY)
    assert one.lifted("noShell", *asked) == "OPS-2 (until 2027-01-01)"


@pytest.mark.parametrize(
    ("kind", "name", "lifted"),
    [
        pytest.param(
            ContainerKind.EPHEMERAL,
            "registry.test/debug/tools",
            {"noShell", "noPackageManager", "noBuildTools", "noInterpreter", "size", "base"},
            id="debug image",
        ),
        pytest.param(ContainerKind.EPHEMERAL, "registry.test/app", set(), id="another image"),
        pytest.param(
            ContainerKind.CONTAINER, "registry.test/debug/tools", set(), id="not ephemeral"
        ),
    ],
)
def test_ephemeral_containers(kind, name, lifted):
    """kubectl debug brings a shell; it never may be root."""
    one = policy(
        "action: Enforce\nephemeralContainers: {allow: [registry.test/debug/*]}\n"
        "checks: {nonRoot: {}, noShell: {}, noPackageManager: {}, noBuildTools: {}, noSetuid: {}, "
        "noInterpreter: {}, "
        "size: {layers: 1}, base: {allow: [scratch]}, age: {maxDays: 1}, runnable: {}}"
    )
    container = Container(name="debug", image="", kind=kind)
    assert {
        check.name
        for check, _ in one.checks
        if one.lifted(check.name, container, reference(name), SHOP, DAY)
    } == lifted


def test_namespace_object():
    """The object that was read, or as much as is known."""
    assert SHOP.object == {"metadata": {"name": "shop", "labels": {"env": "prod"}}}
    read = {"metadata": {"name": "shop", "uid": "1"}}
    assert Namespace(name="shop", document=read).object == read


def test_default_is_judged_everywhere():
    """Nothing but an action and a check: every image in every namespace."""
    one = policy(f"action: Enforce\n{CHECKS}")
    assert (one.action, one.on_unknown) == (Action.ENFORCE, OnUnknown.DENY)
    assert one.selects(SHOP)
    assert one.judges(reference("a.test/b"))
