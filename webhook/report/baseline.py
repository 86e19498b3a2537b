"""A baseline: the JSON of an earlier run, whose failures are accepted in this one.

So a team can switch a policy on today and be stopped only by what is new. What was unknown is
not accepted, and no image that could not be read: nobody has seen yet what is in it.
"""

from __future__ import annotations

from dataclasses import replace

import msgspec

from webhook.checks.check import Finding
from webhook.errors import UsageError
from webhook.evaluate import IMAGE
from webhook.judge.decision import Judgement, OnUnknown
from webhook.judge.judge import denies
from webhook.report.entry import identity

Baseline = frozenset[tuple[str, ...]]
"""Identities of the accepted findings."""


class _Document(msgspec.Struct, frozen=True):
    """What ``report.json`` writes; the keys it renames are not needed here."""

    decisions: tuple[Judgement, ...]


def read(text: bytes, source: str) -> Baseline:
    """The failures of an earlier ``-o json``. ``source`` names it in errors.

    Raises:
        UsageError: it is no such document.
    """
    try:
        document = msgspec.json.decode(text, type=_Document)
    except msgspec.MsgspecError as error:
        raise UsageError(f"{source} is no output of slimgate check -o json: {error}") from error
    return frozenset(
        identity(decision, finding)
        for decision in document.decisions
        for finding in decision.findings
        if finding.result == "fail"
    )


def accept(judgement: Judgement, on_unknown: OnUnknown, baseline: Baseline) -> Judgement:
    """The judgement without what the baseline holds, and what is allowed then."""
    new = tuple(
        finding
        for finding in judgement.findings
        if finding.result == "unknown"
        or _hides(judgement, finding)
        or identity(judgement, finding) not in baseline
    )
    return replace(
        judgement,
        findings=new,
        warned=tuple(finding for finding in judgement.warned if finding in new),
        allowed=not any(denies(finding, judgement.action, on_unknown) for finding in new),
    )


def _hides(judgement: Judgement, finding: Finding) -> bool:
    """Whether it kept checks from being asked: what is new may lie behind it."""
    return finding.check == IMAGE and bool(judgement.unasked)
