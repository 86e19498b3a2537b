"""Advice on an image, as a page and as JSON."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from webhook.advice import Advice
from webhook.advice.savings import Saving
from webhook.image.facts import ImageFacts
from webhook.report.page import Line, Span
from webhook.report.safe import plural, shorten, size

_LABEL = 8
_COMMAND = 100
"""Characters of a command that are shown."""


def lines(facts: ImageFacts, advice: Advice) -> Iterator[Line]:
    """The page."""
    application, base = advice.application, advice.base
    yield Line((("strong", facts.reference.partition("@")[0]), ("dim", f"  {facts.platform}")))
    command = shorten(" ".join(application.words), _COMMAND)
    yield _row("it is", ("", application.about + (f": {command}" if command else "")))
    yield _row("base", ("good", f"{base.image}:{base.tag}" if base.image else "as it is"))
    yield _row("", ("", base.why))
    for note in advice.notes:
        yield _row("note", ("unsure", note))
    if advice.savings:
        yield Line()
        total = sum(saving.bytes for saving in advice.savings)
        yield Line((("strong", f"could go: {size(total)} of {size(sum(facts.files.unpacked))}"),))
        for saving in advice.savings:
            yield _saving(saving)
    if advice.dockerfile:
        yield Line()
        yield Line((("strong", "a Dockerfile to begin with (-o dockerfile: it alone)"),))
        for line in advice.dockerfile.splitlines():
            yield Line((("", f"  {line}"),))


def _row(label: str, *body: Span) -> Line:
    return Line((("dim", f"  {label:<{_LABEL}}"),), body)


def _saving(saving: Saving) -> Line:
    files = f", {plural(saving.files, 'file')}" if saving.files > 1 else ""
    where = f"{saving.path}  " if saving.path else ""
    return Line((("", f"{size(saving.bytes):>12}  "),), (("", where), ("dim", saving.what + files)))


def document(facts: ImageFacts, advice: Advice) -> dict[str, Any]:
    """The same for scripts."""
    application, base = advice.application, advice.base
    return {
        "reference": facts.reference,
        "digest": facts.digest,
        "platform": str(facts.platform),
        "application": {
            "kind": application.kind,
            "about": application.about,
            "command": list(application.words),
            "program": application.program,
            "origin": application.origin,
        },
        "base": {
            "image": base.image,
            "tag": base.tag if base.image else None,
            "debugTag": base.debug if base.image else None,
            "why": base.why,
        },
        "savings": [
            {"path": one.path or None, "what": one.what, "bytes": one.bytes, "files": one.files}
            for one in advice.savings
        ],
        "notes": list(advice.notes),
        "dockerfile": advice.dockerfile,
    }
