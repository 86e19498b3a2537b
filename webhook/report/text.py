"""The decisions for people: each with what was found, where, by which build step, and the cure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from webhook.checks.check import Finding
from webhook.evaluate import IMAGE
from webhook.judge.decision import Judgement
from webhook.judge.message import image_of, where
from webhook.report.entry import Entry, Outcome, by_tag, outcome, subject
from webhook.report.page import Line, Span, Style
from webhook.report.safe import plural

_STYLES: dict[Outcome, Style] = {
    "denied": "bad",
    "warned": "unsure",
    "audited": "unsure",
    "unknown": "unsure",
    "passed": "good",
}
_MARKS: dict[Outcome, str] = {
    "denied": "✗",
    "warned": "!",
    "audited": "!",
    "unknown": "?",
    "passed": "✓",
}
_TAGS = "a verdict on a tag holds until the tag is moved: pin the digest that is shown"
_ADVICE = "slimgate advise IMAGE tells which base would carry it, and what could go"
_ADVISED = frozenset(
    ("nonRoot", "noShell", "noPackageManager", "noBuildTools", "noInterpreter", "noSetuid", "size")
)
"""Checks of what another base would mend."""
_INDENT = " " * 11


def lines(entries: Sequence[Entry]) -> Iterator[Line]:
    """A block for each decision, and a sentence that counts them."""
    for entry in entries:
        yield from _decision(entry)
        yield Line()
    yield _summary(entries)
    if any(by_tag(entry.judgement) for entry in entries):
        yield Line((("dim", _TAGS),))
    findings = (finding for entry in entries for finding in entry.judgement.findings)
    if any(finding.check in _ADVISED for finding in findings):
        yield Line((("dim", _ADVICE),))


def _decision(entry: Entry) -> Iterator[Line]:
    judgement = entry.judgement
    word = outcome(judgement)
    yield Line(
        ((_STYLES[word], f"{_MARKS[word]} {word:<9}"),),
        (("strong", subject(judgement)), ("dim", _place(entry))),
    )
    yield _indented(("", image_of(judgement)), ("dim", f"  {judgement.platform or ''}"))
    yield _indented(("", f"policy {judgement.policy} ({judgement.action})"))
    width = max((len(finding.check) for finding in judgement.findings), default=0)
    for finding in judgement.findings:
        yield from _finding(finding, width)
    for excepted in judgement.excepted:
        yield _indented(("dim", f"excepted  {excepted}"))
    if judgement.unasked:
        skipped = ", ".join(judgement.unasked)
        yield _indented(("dim", f"not asked, {_why_not(judgement)}: {skipped}"))


def _why_not(judgement: Judgement) -> str:
    if any(finding.check == IMAGE for finding in judgement.findings):
        return "the image could not be read"
    return "the answer was no already (--all asks)"


def _place(entry: Entry) -> str:
    if entry.file is None:
        return ""
    return f"  {entry.file}" if entry.line is None else f"  {entry.file}:{entry.line}"


def _finding(finding: Finding, width: int) -> Iterator[Line]:
    style: Style = "bad" if finding.result == "fail" else "unsure"
    result, check = f"  {finding.result:<9}", f"{finding.check:<{width}}  "
    beside: tuple[Span, ...] = (("", " " * (len(result) + len(check))),)
    yield Line(((style, result), ("strong", check)), (("", finding.detail),))
    if evidence := where(finding):
        yield Line(beside, (("dim", evidence),))
    if finding.remedy:
        yield Line(beside, (("good", f"→ {finding.remedy}"),))


def _indented(*spans: Span) -> Line:
    return Line((("", _INDENT),), spans)


def _summary(entries: Sequence[Entry]) -> Line:
    if not entries:
        return Line((("unsure", "nothing was judged: no policy applied, or nothing creates pods"),))
    counts = Counter(outcome(entry.judgement) for entry in entries)
    parts: tuple[Span, ...] = tuple(
        (style, f"  {counts[word]} {word}") for word, style in _STYLES.items() if counts[word]
    )
    return Line((("strong", plural(len(entries), "decision") + ":"), *parts))
