"""The findings as SARIF 2.1.0, as code-scanning services take it.

A finding's place is the manifest that names the image; an image asked for by itself is its own
place, since SARIF has no better word for what lies in no file of the repository.
Source: docs.oasis-open.org/sarif/sarif/v2.1.0.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from typing import Any

from webhook import __version__
from webhook.checks import ALL
from webhook.checks.check import Finding
from webhook.judge.message import image_of
from webhook.report.entry import Entry, identity, severity, subject
from webhook.report.json import dump
from webhook.report.safe import clean

_SCHEMA = "https://json.schemastore.org/sarif-2.1.0.json"
_UNRESERVED = frozenset(b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~/")


def render(entries: Sequence[Entry]) -> str:
    """One run of one tool."""
    found = [(entry, finding) for entry in entries for finding in entry.judgement.findings]
    rules = list(dict.fromkeys(finding.check for _, finding in found))
    driver = {"name": "slimgate", "version": __version__, "rules": _rules(rules)}
    results = [_result(entry, finding, rules) for entry, finding in found]
    return dump(
        {
            "$schema": _SCHEMA,
            "version": "2.1.0",
            "runs": [{"tool": {"driver": driver}, "results": results}],
        }
    )


def _rules(rules: Iterable[str]) -> list[dict[str, Any]]:
    titles = {check.name: check.title for check in ALL}
    return [
        {"id": rule, "shortDescription": {"text": clean(titles.get(rule, rule))}} for rule in rules
    ]


def _result(entry: Entry, finding: Finding, rules: Sequence[str]) -> dict[str, Any]:
    judgement = entry.judgement
    remedy = f" Remedy: {finding.remedy}." if finding.remedy else ""
    text = f"{judgement.policy}: {subject(judgement)} ({image_of(judgement)}): {finding.detail}."
    return {
        "ruleId": finding.check,
        "ruleIndex": rules.index(finding.check),
        "level": severity(finding, judgement.action),
        "message": {"text": clean(text + remedy)},
        "locations": [_location(entry)],
        "partialFingerprints": {"slimgate/v1": _fingerprint(entry, finding)},
        "properties": {
            "result": finding.result,
            "reason": finding.reason,
            "path": finding.path,
            "layerDigest": finding.layer_digest,
            "createdBy": finding.created_by,
            "platform": judgement.platform,
        },
    }


def _location(entry: Entry) -> dict[str, Any]:
    judgement = entry.judgement
    return {
        "physicalLocation": {
            "artifactLocation": {"uri": _uri(entry.file or judgement.image)},
            "region": {"startLine": entry.line or 1},
        },
        "logicalLocations": [
            {"fullyQualifiedName": clean(f"{judgement.workload}/{judgement.container}")}
        ],
    }


def _uri(path: str) -> str:
    """A relative URI reference (RFC 3986): ``:`` is quoted, or it would end a scheme."""
    data = path.encode("utf-8", "surrogatepass")
    return "".join(chr(byte) if byte in _UNRESERVED else f"%{byte:02X}" for byte in data)


def _fingerprint(entry: Entry, finding: Finding) -> str:
    parts = (entry.file or "", *identity(entry.judgement, finding))
    return hashlib.sha256("\0".join(parts).encode("utf-8", "surrogatepass")).hexdigest()
