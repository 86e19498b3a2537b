"""The decisions as JSON: stable, documented, and what ``--baseline`` reads again."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from webhook.checks.check import Finding
from webhook.judge.decision import Judgement
from webhook.report.entry import Entry


def render(entries: Sequence[Entry]) -> str:
    """One object ``{"decisions": […]}``, passes included."""
    return dump({"decisions": [_decision(entry.judgement) for entry in entries]})


def dump(document: Any) -> str:
    """A document as indented ASCII: what is not ASCII is escaped, so no terminal is moved by it."""
    return json.dumps(document, indent=2) + "\n"


def _decision(judgement: Judgement) -> dict[str, Any]:
    return {
        "workload": judgement.workload,
        "container": judgement.container,
        "image": judgement.image,
        "digest": judgement.digest,
        "platform": judgement.platform,
        "policy": judgement.policy,
        "action": str(judgement.action),
        "allowed": judgement.allowed,
        "findings": [_finding(finding) for finding in judgement.findings],
        "excepted": list(judgement.excepted),
        "unasked": list(judgement.unasked),
    }


def _finding(finding: Finding) -> dict[str, Any]:
    return {
        "check": finding.check,
        "result": finding.result,
        "reason": finding.reason,
        "detail": finding.detail,
        "remedy": finding.remedy,
        "path": finding.path,
        "layerDigest": finding.layer_digest,
        "createdBy": finding.created_by,
    }
