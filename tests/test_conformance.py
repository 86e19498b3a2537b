"""docs/webhook-conformance.md, docs/threat-model.md: every line is there, and every test exists."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
TEXT = (ROOT / "docs/webhook-conformance.md").read_text()
TEST = re.compile(r"`(tests/[\w/]+\.py)::([\w:]+)`")
MET = {"yes", "partly", "not yet", "does not apply"}


def rows(section: str) -> list[list[str]]:
    """The numbered lines of a table, as cells."""
    lines = re.findall(r"^\| \d+ \|.*$", section, re.MULTILINE)
    return [[cell.strip() for cell in line.strip("|").split(" |")] for line in lines]


REQUIREMENTS, FAULTS = map(rows, TEXT.partition("\n## Requirements\n")[2].split("\n## Faults\n"))
THREAT_MODEL = (ROOT / "docs/threat-model.md").read_text()
THREATS = rows(THREAT_MODEL)
BEYOND = {"6", "17"}
"""Threats by those who may do everything."""


@cache
def defined_in(path: str) -> frozenset[str]:
    """The tests that a file defines: ``name``, or ``Class::name``."""
    tree = ast.parse((ROOT / path).read_text())
    classes = [node for node in tree.body if isinstance(node, ast.ClassDef)]
    within = [(f"{one.name}::", node) for one in classes for node in one.body]
    return frozenset(
        f"{prefix}{node.name}"
        for prefix, node in [("", node) for node in tree.body] + within
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")
    )


@pytest.mark.parametrize(("table", "most"), [(REQUIREMENTS, 50), (FAULTS, 44), (THREATS, 18)])
def test_every_number_is_there_once_and_in_order(table, most):
    assert [row[0] for row in table] == [str(number) for number in range(1, most + 1)]
    assert {len(row) for row in table} == {5}


@pytest.mark.parametrize("row", REQUIREMENTS, ids=lambda row: row[0])
def test_a_requirement_has_an_answer_and_what_shows_it(row):
    """Whatever is claimed is shown by a test; whatever is not there has its reason."""
    _, wanted, met, how, shown = row
    assert wanted
    assert met in MET
    assert how
    assert bool(TEST.search(shown)) or met in {"not yet", "does not apply"}


@pytest.mark.parametrize("row", FAULTS, ids=lambda row: row[0])
def test_a_fault_has_both_answers_and_what_injects_it(row):
    """Where no test does, the line says so."""
    _, fault, enforce, audit_only, shown = row
    assert fault
    assert enforce
    assert audit_only
    assert bool(TEST.search(shown)) or "not injected yet" in enforce or "not tried yet" in enforce


@pytest.mark.parametrize("row", THREATS, ids=lambda row: row[0])
def test_a_threat_has_an_answer_and_what_shows_it(row):
    number, threat, answer, _, shown = row
    assert threat
    assert answer
    assert bool(TEST.search(shown)) is (number not in BEYOND)


def test_nothing_else_stands_among_the_tests():
    """What looks like the name of a test is one that the next test looks for."""
    for row in REQUIREMENTS + FAULTS + THREATS:
        assert re.fullmatch(rf"(?:{TEST.pattern}(?:, |$))*", row[4]), row[0]


@pytest.mark.parametrize("named", sorted(set(TEST.findall(TEXT + THREAT_MODEL))), ids="::".join)
def test_every_test_that_is_named_exists(named):
    path, name = named
    assert name in defined_in(path)
