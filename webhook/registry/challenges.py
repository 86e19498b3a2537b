"""The WWW-Authenticate header, by RFC 9110 section 11: several challenges, quoted strings."""

from __future__ import annotations

import re
from dataclasses import dataclass

_BYTES = 16 * 1024
_TOKEN = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"  # noqa: S105 - RFC 9110's word for a word
_PARAMETER = re.compile(
    rf'\s*({_TOKEN})[ \t]*=[ \t]*(?:"((?:[^"\\]|\\.)*)"|({_TOKEN}))[ \t]*(?=,|$)', re.DOTALL
)
_SCHEME = re.compile(rf"\s*({_TOKEN})(?:[ \t]+|(?=,|$))")
_TOKEN68 = re.compile(r"[A-Za-z0-9._~+/-]+=*[ \t]*(?=,|$)")


@dataclass(frozen=True, slots=True)
class Challenge:
    """One way to prove who we are."""

    scheme: str
    """Lower case: ``basic``, ``bearer``."""
    parameters: dict[str, str]
    """Names in lower case; the first of a name given twice."""


def parse_challenges(header: str) -> tuple[Challenge, ...]:
    """The challenges in order. What comes after the first fault is not believed.

    Several headers are joined with commas, as RFC 9110 section 5.2 has it.
    """
    challenges: list[Challenge] = []
    text, at = header[:_BYTES], 0
    while at < len(text):
        if text[at] in ", \t":
            at += 1
        elif challenges and (found := _PARAMETER.match(text, at)):
            name, quoted, plain = found.groups()
            value = plain if quoted is None else re.sub(r"\\(.)", r"\1", quoted, flags=re.DOTALL)
            challenges[-1].parameters.setdefault(name.lower(), value)
            at = found.end()
        elif found := _SCHEME.match(text, at):
            challenges.append(Challenge(found[1].lower(), {}))
            at = found.end()
            if not _PARAMETER.match(text, at) and (blob := _TOKEN68.match(text, at)):
                at = blob.end()
        else:
            break
    return tuple(challenges)
