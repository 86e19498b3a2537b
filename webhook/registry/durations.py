"""Go's durations, as Kubernetes writes them: ``1h30m``, ``12h0m0s``, ``0s``."""

from __future__ import annotations

import re

_UNITS = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 1e-3, "us": 1e-6, "µs": 1e-6, "ns": 1e-9}
_PART = r"(?P<value>[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?P<unit>ns|us|µs|ms|s|m|h)"
_WHOLE = re.compile(rf"(?:{_PART.replace('?P<value>', '?:').replace('?P<unit>', '?:')})+")
_MOST = float(1 << 63) / 1e9
"""Seconds that Go's type holds."""


def seconds_of(text: object) -> float:
    """Seconds of a duration that is not negative.

    Raises:
        ValueError: it is no such duration.
    """
    if text == "0":
        return 0.0
    if not isinstance(text, str) or not _WHOLE.fullmatch(text):
        raise ValueError("not a duration")
    seconds = sum(float(part["value"]) * _UNITS[part["unit"]] for part in re.finditer(_PART, text))
    if seconds >= _MOST:
        raise ValueError("a duration too long")
    return seconds
