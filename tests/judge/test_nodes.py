"""YAML as kubectl reads it, bounded, with lines."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from webhook.errors import PolicyError
from webhook.judge.nodes import MAX_BYTES, read


def value(text):
    (node,) = read(f"a: {text}", "f")
    return node.plain()["a"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2027-01-31", "2027-01-31"),
        ("2027-01-31T00:00:00Z", "2027-01-31T00:00:00Z"),
        ("'1'", "1"),
        ('"yes"', "yes"),
        ("yes", True),
        ("y", True),
        ("Off", False),
        ("n", False),
        ("yEs", "yEs"),
        ("~", None),
        ("", None),
        ("null", None),
        ("nUll", "nUll"),
        ("12", 12),
        ("-1_000", -1000),
        ("0777", 511),
        ("0o17", 15),
        ("089", "089"),
        ("0x1F", 31),
        ("0b11", 3),
        ("1.5", 1.5),
        ("1e3", "1e3"),  # go-yaml's float needs a sign in the exponent
        ("1e+3", 1000.0),
        ("1:30", "1:30"),
        ("12Mi", "12Mi"),
        ("!!str 5", "5"),
        ("{b: [1, x]}", {"b": [1, "x"]}),
        ('{"b": "\\u00e9"}', {"b": "é"}),
        ("|\n  x\n  y\n", "x\ny\n"),
    ],
)
def test_values(text, expected):
    """go-yaml v2's scalars, dates being strings."""
    assert value(text) == expected
    assert type(value(text)) is type(expected)


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        pytest.param("a: 1\na: 2", 'f:2: has the key "a" twice', id="twice"),
        pytest.param("a: *x", "f:1: there is no anchor &x before this", id="no anchor"),
        pytest.param("a: &x\n  b: *x", "f:2: there is no anchor &x before this", id="circle"),
        pytest.param(
            "1: x", "f:1: has a key that is no string (put it in quotes)", id="number key"
        ),
        pytest.param(
            "[a]: x", "f:1: has a key that is no string (put it in quotes)", id="list key"
        ),
        pytest.param("<<: {a: 1}", "f:1: has a merge key, which is not supported", id="merge"),
        pytest.param("a: .nan", "f:1: .nan is no number that JSON knows", id="nan"),
        pytest.param(
            "a: !!python/object:os.system x",
            "f:1: has the tag tag:yaml.org,2002:python/object:os.system, which is not supported",
            id="tag",
        ),
        pytest.param(
            "a: [1,\nb: 2", "f:3: is no YAML: did not find expected ',' or ']'", id="syntax"
        ),
        pytest.param(
            "a: \x07",
            "f: is no YAML: unacceptable character #x0007: control characters are not allowed",
            id="control",
        ),
        pytest.param("a: b\nc: \udc9b", "f:2: is no UTF-8", id="lone surrogate"),
        pytest.param("a: " + "[" * 40 + "]" * 40, "f:1: is nested deeper than 32", id="deep"),
        pytest.param("a: " + "x" * MAX_BYTES, f"f: is larger than {MAX_BYTES} bytes", id="large"),
    ],
)
def test_faults(text, fault):
    """With the file, and the line where there is one."""
    with pytest.raises(PolicyError) as caught:
        read(text, "f")
    assert caught.value.problems == (fault,)


def test_alias_bomb():
    """Aliases count as what they repeat."""
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 10)]
    with pytest.raises(PolicyError, match="has more than 50000 values, aliases repeated"):
        read("\n".join(lines), "f")


def test_alias_depth():
    """A chain of aliases is as deep as what it repeats."""
    lines = ["a0: &a0 [x]"] + [f"a{n}: &a{n} [*a{n - 1}]" for n in range(1, 40)]
    with pytest.raises(PolicyError, match="nested deeper than 32"):
        read("\n".join(lines), "f")


def test_very_deep_is_no_crash():
    """Depth is bounded while reading, not after."""
    with pytest.raises(PolicyError, match="nested deeper"):
        read("[" * 100_000, "f")


def test_documents_and_lines():
    """Several documents, empty ones left out, each value with its line."""
    nodes = read("---\na: 1\n---\n---\n# c\nb:\n  - x\n  - z: 2\n", "f")
    assert [node.plain() for node in nodes] == [{"a": 1}, {"b": ["x", {"z": 2}]}]
    assert nodes[1].keys == {"b": 6}
    assert [item.line for item in nodes[1].value["b"].value] == [7, 8]


def test_anchors():
    """Anchors save repetition, within one document."""
    (node,) = read("a: &x {b: 1}\nc: *x", "f")
    assert node.plain() == {"a": {"b": 1}, "c": {"b": 1}}
    with pytest.raises(PolicyError, match="no anchor &x"):
        read("a: &x 1\n---\nb: *x", "f")


@given(st.text(alphabet=st.sampled_from("ab01:-?|>&*!%#'\"{}[],. \n\t~<yn")))
def test_any_text(text):
    """Whatever the text, it is read or it is a PolicyError."""
    with suppress(PolicyError):
        for node in read(text, "f"):
            node.plain()
