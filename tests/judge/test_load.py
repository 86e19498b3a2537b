"""Policy files: what is taken, and every fault at once with its line."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from tests.judge.documents import policy, text
from webhook.checks import ALL
from webhook.errors import PolicyError
from webhook.judge.decision import Action, OnUnknown
from webhook.judge.load import BUILTIN, builtin, load_policies, parse_policies

GOOD = "action: Enforce\nchecks: {noShell: {}}"
REPOSITORY = Path(__file__).parents[2]


def faults(spec):
    with pytest.raises(PolicyError) as caught:
        parse_policies(text(spec), "f")
    return list(caught.value.problems)


@pytest.mark.parametrize(
    ("spec", "fault"),
    [
        pytest.param("checks: {noShell: {}}", "5: spec.action: is missing", id="missing"),
        pytest.param(
            "action: enforce\nchecks: {noShell: {}}",
            '5: spec.action: "enforce" is not one of its values (did you mean Enforce?)',
            id="word",
        ),
        pytest.param(
            "action: 7\nchecks: {noShell: {}}",
            "5: spec.action: 7 is not one of its values (there are Enforce, Warn, Audit)",
            id="no word",
        ),
        pytest.param(
            "action: Enforce\nonunknown: Deny\nchecks: {noShell: {}}",
            "6: spec.onunknown: is no field (did you mean onUnknown?)",
            id="unknown field",
        ),
        pytest.param(
            "action: Enforce\nchecks:\n  noShel: {}\n  nonRoot: {}",
            "7: spec.checks.noShel: is no field (did you mean noShell?)",
            id="unknown check",
        ),
        pytest.param(
            "action: Enforce\nchecks:\n  noShell:\n  nonRoot: {}",
            "7: spec.checks.noShell: is null: write {} to switch it on, or remove the key",
            id="null check",
        ),
        pytest.param(
            "action: Enforce\nimages: {include: []}\nchecks: {noShell: {}}",
            "6: spec.images: include is empty: no image would be judged",
            id="judges no image",
        ),
        pytest.param(
            "action: Enforce\nchecks: {noShell: true}",
            "6: spec.checks.noShell: true is not an object",
            id="no object",
        ),
        pytest.param(
            "action: Enforce\nchecks: {noShell: {strict: true}}",
            "6: spec.checks.noShell.strict: is no field (there are packed)",
            id="unknown option",
        ),
        pytest.param(
            "action: Enforce\nchecks:\n  size:\n    layer: 150 Mi",
            '8: spec.checks.size.layer: "150 Mi" is no quantity (try 150Mi)',
            id="quantity",
        ),
        pytest.param(
            "action: Enforce\nchecks: {size: {layers: 0}}",
            "6: spec.checks.size.layers: 0 is not at least 1",
            id="too small",
        ),
        pytest.param(
            "action: Enforce\nchecks: {size: {layers: '4'}}",
            '6: spec.checks.size.layers: "4" is not a whole number',
            id="no number",
        ),
        pytest.param(
            "action: Enforce\nchecks: {size: {}}",
            "6: spec.checks.size: limits nothing: give compressed, unpacked, layer or layers",
            id="asks nothing of size",
        ),
        pytest.param(
            "action: Enforce\nchecks: {}",
            "5: spec: asks nothing: name at least one check or rule",
            id="asks nothing",
        ),
        pytest.param(
            "action: Enforce\nonUnknown:\nchecks: {noShell: {}}",
            "6: spec.onUnknown: is null: give it a value, or remove the key",
            id="null",
        ),
        pytest.param(
            "action: Enforce\nimages: {include: nginx}\nchecks: {noShell: {}}",
            '6: spec.images.include: "nginx" is not a list',
            id="no list",
        ),
        pytest.param(
            "action: Enforce\nimages: {include: [a.test/*, nginx]}\nchecks: {noShell: {}}",
            '6: spec.images.include[1]: "nginx" names no registry: globs match the whole name '
            "(try docker.io/library/nginx)",
            id="glob",
        ),
        pytest.param(
            f"{GOOD}\nnamespaceSelector: {{matchLabels: {{a: 1}}}}",
            "7: spec.namespaceSelector.matchLabels.a: 1 is not a string (put it in quotes)",
            id="label",
        ),
        pytest.param(
            f"{GOOD}\nnamespaceSelector: {{matchExpressions: [{{key: a, operator: In}}]}}",
            "7: spec.namespaceSelector.matchExpressions[0]: In needs values",
            id="selector",
        ),
        pytest.param(
            f"{GOOD}\nrules: [{{name: r, expression: image.x ==, message: m}}]",
            "7: spec.rules[0].expression: 1:11: Syntax error",
            id="CEL",
        ),
        pytest.param(
            f"{GOOD}\nrules: [{{name: r, expression: 1 + 1, message: m}}]",
            "7: spec.rules[0].expression: yields int, not true or false",
            id="CEL of another type",
        ),
        pytest.param(
            f"{GOOD}\nrules:\n" + "- {name: r, expression: 'true', message: m}\n" * 2,
            "5: spec: has two rules named r",
            id="rules of one name",
        ),
    ],
)
def test_fault(spec, fault):
    """Each fault names its line, its path and a way out."""
    (found,) = faults(spec)
    assert found.startswith(f"f:{fault}")


EXCEPTION = "{images: [a.test/*], checks: [noShell], reason: OPS-1, expires: 2027-01-31}"


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        pytest.param(("reason: OPS-1, ", ""), "reason: is missing", id="reason"),
        pytest.param(("OPS-1", "''"), "reason: is no text of 1 to 512 characters", id="no reason"),
        pytest.param((", expires: 2027-01-31", ""), "expires: is missing", id="expires"),
        pytest.param(("01-31", "02-30"), "expires: '2027-02-30' is no day", id="no such day"),
        pytest.param(("2027-01-31", "20270131"), "expires: 20270131 is no day", id="a number"),
        pytest.param(("noShell", "noshell"), "checks[0]: 'noshell' is no check", id="check"),
        pytest.param(("[a.test/*]", "[]"), " images is empty", id="no images"),
        pytest.param(("[noShell]", "[]"), " checks is empty", id="no checks"),
    ],
)
def test_faulty_exception(change, fault):
    """Exceptions say why and until when."""
    (found,) = faults(f"{GOOD}\nexceptions: [{EXCEPTION.replace(*change)}]")
    assert re.match(re.escape("f:7: spec.exceptions[0]") + r"[.:]" + re.escape(fault), found)


def test_all_faults_at_once():
    """Over all documents, in their order."""
    broken = "---\n".join(
        (text("action: enforce\nchecks: {age: {maxDays: x}}"), text(GOOD), text("chekcs: {}"))
    )
    with pytest.raises(PolicyError) as caught:
        parse_policies(broken, "f")
    assert [problem.partition(": ")[0] for problem in caught.value.problems] == [
        "f:5",
        "f:6",
        "f:19",
        "f:19",
    ]


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        (("v1alpha1", "v1"), 'f:1: apiVersion: "slimgate.dev/v1" is not one of its values'),
        (("ImagePolicy", "Pod"), 'f:2: kind: "Pod" is not one of its values'),
        (("test", "Test"), "f:3: metadata.name: 'Test' is no name"),
        (("{name: test}", "{}"), "f:3: metadata.name: is missing"),
        (("spec", "specs"), "f:1: spec: is missing"),
    ],
)
def test_head(change, fault):
    """What every document has."""
    with pytest.raises(PolicyError) as caught:
        parse_policies(text(GOOD).replace(*change), "f")
    assert caught.value.problems[0].startswith(fault)


def test_as_kubectl_prints_it():
    """Metadata and status as the API server adds them are let be; JSON is YAML."""
    document = {
        "apiVersion": "slimgate.dev/v1alpha1",
        "kind": "ImagePolicy",
        "metadata": {"name": "a", "uid": "1", "labels": {"x": "y"}, "creationTimestamp": None},
        "spec": {"action": "Warn", "checks": {"noShell": {}}},
        "status": {"conditions": []},
    }
    (one,) = parse_policies(json.dumps(document), "f")
    assert (one.name, one.action, one.on_unknown) == ("a", Action.WARN, OnUnknown.WARN)


def test_nothing_is_a_fault():
    """An empty file would allow everything."""
    with pytest.raises(PolicyError, match=r"^f: holds no ImagePolicy$"):
        parse_policies("# nothing\n", "f")


def test_two_of_one_name():
    """The second would hide the first in messages and exceptions."""
    with pytest.raises(PolicyError, match=re.escape("f:8: metadata.name: there are two of test")):
        parse_policies(text(GOOD) + "---\n" + text(GOOD), "f")


def test_folder(tmp_path):
    """*.yaml and *.yml, not recursive, dot entries left out; several documents to a file."""
    (tmp_path / "a.yaml").write_text(text(GOOD, "a") + "---\n" + text(GOOD, "b"))
    (tmp_path / "c.yml").write_text(text(GOOD, "c"))
    for name in (".hidden.yaml", "notes.txt", "policy.json"):
        (tmp_path / name).write_text("no policy")
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "d.yaml").write_text("no policy")
    assert [one.name for one in load_policies(tmp_path)] == ["a", "b", "c"]
    assert [one.name for one in load_policies(tmp_path / "c.yml")] == ["c"]


def test_tests_beside_policies():
    """Documents of kind PolicyTest are no policies, and no faults."""
    case = "apiVersion: slimgate.dev/v1alpha1\nkind: PolicyTest\n"
    (one,) = parse_policies(text(GOOD) + "---\n" + case, "f")
    assert one.name == "test"
    with pytest.raises(PolicyError, match="holds no ImagePolicy"):
        parse_policies(case, "f")


def test_folder_faults(tmp_path):
    """Of all files at once, each with its name."""
    (tmp_path / "a.yaml").write_text(text("action: Enforce\nchecks: {}"))
    (tmp_path / "b.yaml").write_text("a: [")
    (tmp_path / "c.yaml").write_bytes(b"a: \xff")
    (tmp_path / "d.yaml").write_bytes(b"#" * (1 << 20) + b"#")
    with pytest.raises(PolicyError) as caught:
        load_policies(tmp_path)
    named = [Path(problem.partition(":")[0]).name for problem in caught.value.problems]
    assert sorted(named) == ["a.yaml", "b.yaml", "c.yaml", "d.yaml"]


@pytest.mark.parametrize("name", ["none.yaml", "."])
def test_nothing_there(tmp_path, name):
    """A missing file and an empty folder are faults, not an empty set of policies."""
    with pytest.raises(PolicyError, match=r"cannot be read|holds no ImagePolicy"):
        load_policies(tmp_path / name)


@pytest.mark.parametrize("name", BUILTIN)
def test_shipped(name):
    """Each is what its name says, and lies where it is shipped from."""
    file = builtin(name)
    (one,) = load_policies(file)
    assert one.name == name
    assert file.parent == REPOSITORY / "policies"


def test_shipped_are_all():
    """No file in policies/ that nobody can name."""
    assert {file.stem for file in (REPOSITORY / "policies").iterdir()} == set(BUILTIN)
    with pytest.raises(PolicyError, match=r"no policy of slimgate: audit-everything, "):
        builtin("../etc/passwd")


def test_shipped_intent():
    """What each is for, held fast."""
    shipped = {name: load_policies(builtin(name))[0] for name in BUILTIN}
    asked = {name: {check.name for check, _ in one.checks} for name, one in shipped.items()}
    every = {check.name for check in ALL}

    assert asked["audit-everything"] == every - {"base"}
    assert shipped["audit-everything"].selector is None
    assert asked["nonroot"] == {"nonRoot"}
    assert asked["distroless-nonroot"] == every - {"noInterpreter", "age", "reference", "base"}
    assert not asked["debuggable"] & {"noShell", "noPackageManager"}
    assert {name: (one.action, one.on_unknown) for name, one in shipped.items()} == {
        "audit-everything": (Action.AUDIT, OnUnknown.ALLOW),
        "nonroot": (Action.ENFORCE, OnUnknown.DENY),
        "distroless-nonroot": (Action.ENFORCE, OnUnknown.DENY),
        "debuggable": (Action.WARN, OnUnknown.ALLOW),
    }


def test_commented_examples_are_true():
    """The examples in distroless-nonroot's comments are valid when the marks are removed."""
    lines = builtin("distroless-nonroot").read_text().splitlines()
    head = next(n for n, line in enumerate(lines) if line.startswith("  # `kubectl debug`"))
    tail = [re.sub(r"^  # ?", "", line) for line in lines[head:]]
    examples = [line for line in tail if re.match(r"(ephemeral|exceptions|  )", line)]
    one = policy("\n".join(["action: Enforce", "checks: {noShell: {}}", *examples]))
    assert one.debug_images == ("registry.example/debug/*",)
    assert one.exceptions[0].reason == "OPS-1234: moving to distroless"


@pytest.mark.parametrize(
    ("spec", "fault"),
    [
        (f"images: {{exclude: [{'a.test/b, ' * 65}]}}", "has more than 64 items"),
        (
            "namespaceSelector: {matchLabels: {"
            + ", ".join(f"k{number}: v" for number in range(65))
            + "}}",
            "has more than 64 keys",
        ),
        ("rules: [" + "{name: r, expression: 'true', message: m}, " * 65 + "]", "more than 64"),
    ],
    ids=["globs", "labels", "rules"],
)
def test_lists_are_bounded(spec, fault):
    """As in the CustomResourceDefinition: 64 pass, 65 do not."""
    (found,) = faults(f"{GOOD}\n{spec}")
    assert fault in found


def test_numbers_are_bounded():
    """The API server's JSON knows no larger ones for sure."""
    (found,) = faults("action: Enforce\nchecks: {age: {maxDays: 2147483648}}")
    assert found.endswith("2147483648 is not at most 2147483647")
    assert policy("action: Enforce\nchecks: {age: {maxDays: 2147483647}}").checks
