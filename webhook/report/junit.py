"""The decisions as JUnit XML: a suite for each workload, a test for each decision.

What denies is a ``failure``, what could not be found out an ``error``; what only warns is in
``system-out`` of a test that passed. Source: the schema Jenkins' xunit plugin publishes.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from xml.etree import ElementTree as ET

from webhook.judge.decision import Judgement
from webhook.judge.message import image_of
from webhook.report.entry import Entry, fails
from webhook.report.safe import clean, plural


def render(entries: Sequence[Entry]) -> str:
    """One ``<testsuites>`` document."""
    root = ET.Element("testsuites", name="slimgate")
    for workload, group in groupby(entries, key=lambda entry: entry.judgement.workload):
        suite = ET.SubElement(root, "testsuite", name=clean(workload))
        for entry in group:
            _case(suite, entry)
        _count(suite)
    _count(root)
    ET.indent(root)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + ET.tostring(root, encoding="unicode") + "\n"


def _case(suite: ET.Element, entry: Entry) -> None:
    judgement = entry.judgement
    where = f" ({judgement.platform})" if judgement.platform else ""
    case = ET.SubElement(
        suite,
        "testcase",
        classname=clean(f"{judgement.workload}.{judgement.container}"),
        name=clean(f"{judgement.policy}: {image_of(judgement)}{where}"),
    )
    if entry.file:
        case.set("file", clean(entry.file))
    if judgement.findings:
        _result(case, judgement)


def _result(case: ET.Element, judgement: Judgement) -> None:
    text = "\n".join(
        clean(f"{finding.result} {finding.check}: {finding.detail} → {finding.remedy}")
        for finding in judgement.findings
    )
    if judgement.allowed and fails(judgement):
        ET.SubElement(case, "system-out").text = text
        return
    kind = "failure" if fails(judgement) else "error"
    first = judgement.findings[0]
    rest = len(judgement.findings) - 1
    more = f" (and {plural(rest, 'finding')} more)" if rest else ""
    found = ET.SubElement(case, kind, type=clean(first.reason), message=clean(first.detail) + more)
    found.text = text


def _count(element: ET.Element) -> None:
    element.set("tests", str(len(element.findall(".//testcase"))))
    element.set("failures", str(len(element.findall(".//failure"))))
    element.set("errors", str(len(element.findall(".//error"))))
