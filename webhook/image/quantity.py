"""Sizes in bytes, as Kubernetes writes quantities: ``150Mi``, ``2Gi``, ``1.5G``, ``1e9``.

Source: k8s.io/apimachinery/pkg/api/resource/quantity.go. Fractions of a byte are rounded up.
Refused though Kubernetes takes them: negative sizes, and the suffixes ``m``, ``u`` and ``n``,
since thousandths of a byte are always a mistake for ``M``.
"""

from __future__ import annotations

import re
from typing import Any, ClassVar, Self

_TEXT = re.compile(
    r"(?P<sign>[+-]?)(?P<whole>\d{0,20})(?:\.(?P<part>\d{0,9}))?"
    r"(?:(?P<suffix>[KMGTPE]i|[kMGTPEmun])|[eE](?P<exponent>[+-]?\d{1,2}))?",
    re.ASCII,
)
_BINARY: dict[str, int] = {f"{unit}i": 1024 ** (n + 1) for n, unit in enumerate("KMGTPE")}
_DECIMAL: dict[str, int] = {unit: 1000 ** (n + 1) for n, unit in enumerate("kMGTPE")}
_UNITS = {**_BINARY, **_DECIMAL, "": 1}
_LARGEST = (1 << 63) - 1


class Quantity(int):
    """A number of bytes."""

    SCHEMA: ClassVar[dict[str, Any]] = {
        "anyOf": [{"type": "integer", "minimum": 0}, {"type": "string"}],
        "description": "bytes, as a Kubernetes quantity: 150Mi",
    }

    @classmethod
    def parse(cls, value: object) -> Self:
        """Read a quantity. Raises ``ValueError``, with a suggestion where there is one."""
        text = str(value) if isinstance(value, int) and not isinstance(value, bool) else value
        if not isinstance(text, str):
            raise ValueError(f"{value!r} is no quantity (a size such as 150Mi)")  # noqa: TRY004 - a fault of the document, not of the program
        match = _TEXT.fullmatch(text)
        if match is None or not (match["whole"] or match["part"]):
            raise ValueError(f'"{text}" is no quantity{_hint(text)}')
        if match["sign"] == "-":
            raise ValueError(f'"{text}" is negative')
        if (match["suffix"] or "") in {"m", "u", "n"}:
            raise ValueError(f'"{text}" is a fraction of a byte{_hint(text)}')
        size = _bytes(match)
        if size > _LARGEST:
            raise ValueError(f'"{text}" is not below 8Ei')
        return cls(size)

    def __str__(self) -> str:
        return text_of(self)


def text_of(size: int) -> str:
    """A size for people: ``150Mi`` where that is exact, else ``150.3Mi``; below 1Ki plain bytes."""
    suffix, unit = next(((s, u) for s, u in reversed(_BINARY.items()) if size >= u), ("", 1))
    return f"{size // unit}{suffix}" if size % unit == 0 else f"{size / unit:.1f}{suffix}"


def _bytes(match: re.Match[str]) -> int:
    part = match["part"] or ""
    scaled = int((match["whole"] or "") + part) * _UNITS[match["suffix"] or ""]
    power = int(match["exponent"] or 0) - len(part)
    factor: int = 10 ** abs(power)
    return scaled * factor if power >= 0 else -(-scaled // factor)  # up, as Quantity.Value


def _hint(text: str) -> str:
    number = re.match(r"\s*([0-9]{1,20}(?:\.[0-9]{1,9})?)\s*([kKmMgGtTpP]?)", text)
    if number is None:
        return " (a size such as 150Mi)"
    suffix = f"{number[2].upper()}i" if number[2] else "Mi"
    return f" (try {number[1]}{suffix})"
