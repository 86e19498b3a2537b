"""``os-release`` files (freedesktop.org's os-release(5)): what an image says it is. A claim."""

from __future__ import annotations

import re

MAX_BYTES = 64 << 10
"""More than any distribution writes; what is longer is not read."""

_LINE = re.compile(r"([A-Z0-9_]+)=(.*)")
_ESCAPED = re.compile(r"\\(.)")


def parse(body: bytes) -> dict[str, str]:
    """The assignments; of two for one key the last counts, as in a shell."""
    lines = body.decode("utf-8", "replace").split("\n")
    matches = (_LINE.fullmatch(line.strip()) for line in lines)
    return {match[1]: _unquoted(match[2]) for match in matches if match}


def _unquoted(value: str) -> str:
    if len(value) > 1 and value[0] == value[-1] == "'":
        return value[1:-1]
    if len(value) > 1 and value[0] == value[-1] == '"':
        value = value[1:-1]
    return _ESCAPED.sub(r"\1", value)
