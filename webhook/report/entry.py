"""What a report has one of for each decision, and the words for how it came out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from webhook.checks.check import Finding
from webhook.errors import Malformed
from webhook.image.reference import Reference
from webhook.judge.decision import Action, Judgement

Outcome = Literal["denied", "warned", "audited", "unknown", "passed"]

Severity = Literal["error", "warning", "note"]

_ARCHIVES = ("oci:", "oci-archive:", "docker-archive:")
"""A file has no tag to leave out."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A judgement, and where its workload is written."""

    judgement: Judgement
    file: str | None = None
    """The manifest, as it was named; None for an image that was asked for by itself."""
    line: int | None = None
    """From 1: where the document begins."""


def subject(judgement: Judgement) -> str:
    """The workload and the container; an image that was asked for by itself has one name."""
    if judgement.workload.startswith("Image/"):
        return judgement.workload
    return f"{judgement.workload} container {judgement.container}"


def identity(judgement: Judgement, finding: Finding) -> tuple[str, ...]:
    """What stays the same about a finding from build to build: no tag, digest or value."""
    return (
        _lasting(judgement),
        judgement.policy,
        finding.check,
        finding.reason,
        finding.path or "",
    )


def _lasting(judgement: Judgement) -> str:
    """The container of a workload; of an image that stands by itself, its name without tag."""
    if not judgement.workload.startswith("Image/"):
        return f"{judgement.workload}/{judgement.container}"
    if judgement.image.startswith(_ARCHIVES):
        return judgement.image
    try:
        return Reference.parse(judgement.image).name
    except Malformed:
        return judgement.image


def by_tag(judgement: Judgement) -> bool:
    """Whether the image was judged by what a tag led to, which may be another image tomorrow."""
    return (
        judgement.digest is not None
        and "@" not in judgement.image
        and not judgement.image.startswith(_ARCHIVES)
    )


def fails(judgement: Judgement) -> bool:
    """Whether something was found, as against not found out."""
    return any(finding.result == "fail" for finding in judgement.findings)


def outcome(judgement: Judgement) -> Outcome:
    """One word for how it came out."""
    if not judgement.allowed:
        return "denied"
    if fails(judgement):
        return "audited" if judgement.action is Action.AUDIT else "warned"
    return "unknown" if judgement.findings else "passed"


def severity(finding: Finding, action: Action) -> Severity:
    """How loudly other tools should show it: an error only where it denies."""
    if finding.result == "unknown":
        return "warning"
    by_action: dict[Action, Severity] = {
        Action.ENFORCE: "error",
        Action.WARN: "warning",
        Action.AUDIT: "note",
    }
    return by_action[action]
