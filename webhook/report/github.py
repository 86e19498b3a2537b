"""The findings as GitHub workflow commands: annotations on the lines of a pull request.

Source: docs.github.com, "Workflow commands"; the escapes are those of actions/toolkit,
packages/core/src/command.ts.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from webhook.checks.check import Finding
from webhook.judge.message import image_of
from webhook.report.entry import Entry, severity, subject
from webhook.report.safe import clean

_COMMANDS = {"error": "error", "warning": "warning", "note": "notice"}


def render(entries: Sequence[Entry]) -> str:
    """One command a finding; nothing where all is well."""
    return "".join(
        f"{line}\n"
        for entry in entries
        for finding in entry.judgement.findings
        for line in _command(entry, finding)
    )


def _command(entry: Entry, finding: Finding) -> Iterator[str]:
    judgement = entry.judgement
    properties = {
        "title": f"{judgement.policy}: {finding.check}",
        **({"file": entry.file} if entry.file else {}),
        **({"line": str(entry.line)} if entry.file and entry.line else {}),
    }
    written = ",".join(f"{key}={_property(value)}" for key, value in properties.items())
    command = _COMMANDS[severity(finding, judgement.action)]
    message = f"{subject(judgement)} ({image_of(judgement)}): {finding.detail}"
    remedy = f" → {finding.remedy}" if finding.remedy else ""
    yield f"::{command} {written}::{_data(message + remedy)}"


def _data(text: str) -> str:
    # A newline would begin a command of the image's own choosing; clean() leaves none.
    return clean(text).replace("%", "%25")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")
