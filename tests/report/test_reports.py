"""Every report over the same decisions: golden pages, and nothing hostile gets through."""

from __future__ import annotations

import io
import json
from xml.etree import ElementTree as ET

import pytest

from webhook.report import github, junit, sarif, text
from webhook.report import json as json_report
from webhook.report.page import paint, plain


@pytest.fixture(autouse=True)
def _width(monkeypatch):
    monkeypatch.setenv("COLUMNS", "100")


def _painted(lines) -> str:
    out = io.StringIO()
    paint(lines, out)
    return out.getvalue()


RENDERERS = {
    "text": lambda entries: plain(text.lines(entries)),
    "terminal": lambda entries: _painted(text.lines(entries)),
    "github": github.render,
    "junit": junit.render,
    "json": json_report.render,
    "sarif": sarif.render,
}


@pytest.mark.parametrize("name", RENDERERS)
def test_golden(name, entries, snapshot):
    """What each report shows; ``pytest --snapshot-update`` rewrites them."""
    assert RENDERERS[name](entries) == snapshot


@pytest.mark.parametrize("name", RENDERERS)
def test_hostile_strings_move_no_terminal(name, hostile):
    """No control character, bidi override or line separator is written as it is."""
    shown = RENDERERS[name]([hostile])

    assert [char for char in shown if char != "\n" and not char.isprintable()] == []
    assert "evil" in shown


def test_a_finding_is_one_command_whatever_it_says(hostile):
    """An image cannot give the runner commands of its own."""
    lines = github.render([hostile]).splitlines()

    assert len(lines) == 1
    assert lines[0].startswith("::error title=")
    assert lines[0].count("%0A") == 0


@pytest.mark.parametrize("name", RENDERERS)
def test_no_decisions(name):
    """Nothing judged is still a document."""
    shown = RENDERERS[name]([])

    if name in {"json", "sarif"}:
        json.loads(shown)
    elif name == "junit":
        assert ET.fromstring(shown).get("tests") == "0"
    elif name == "github":
        assert shown == ""
    else:
        assert "no policy applied" in shown


def test_json_is_what_the_design_says(entries):
    """The keys that others build on."""
    decisions = json.loads(json_report.render(entries))["decisions"]

    assert decisions[0].keys() >= {
        "workload", "container", "image", "digest", "policy", "action", "allowed", "findings",
    }  # fmt: skip
    assert decisions[0]["findings"][0].keys() == {
        "check", "result", "reason", "detail", "remedy", "path", "layerDigest", "createdBy",
    }  # fmt: skip
    assert [len(decision["findings"]) for decision in decisions] == [2, 1, 1, 1, 1, 0]


def test_junit_counts(entries):
    """What denies fails, what is unknown errs, what warns passes."""
    root = ET.fromstring(junit.render(entries))

    assert (root.get("tests"), root.get("failures"), root.get("errors")) == ("6", "1", "2")
    assert len(root.findall(".//system-out")) == 2


def test_sarif_levels_and_places(entries):
    """An error only where it denies; a place is a relative URI."""
    (run,) = json.loads(sarif.render(entries))["runs"]
    rules = [rule["id"] for rule in run["tool"]["driver"]["rules"]]

    assert [result["level"] for result in run["results"]] == [
        "error", "error", "warning", "note", "warning", "warning",
    ]  # fmt: skip
    assert all(rules[result["ruleIndex"]] == result["ruleId"] for result in run["results"])
    places = [result["locations"][0]["physicalLocation"] for result in run["results"]]
    assert places[0] == {"artifactLocation": {"uri": "deploy/web.yaml"}, "region": {"startLine": 4}}
    assert places[-1]["artifactLocation"]["uri"] == "registry.example/db%3A3"
