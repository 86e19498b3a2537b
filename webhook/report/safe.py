"""Hostile strings made safe to show, and numbers made easy to read.

An image chooses its paths, labels and build steps, so every string of one may hold escape
sequences that move the cursor, or bidi overrides that turn a sentence around.
"""

from __future__ import annotations

from webhook.limits import KIB


def clean(text: str) -> str:
    r"""The text with everything escaped that is not printable: ``\x1b``, ``\n``, ``\u202e``.

    ``str.isprintable`` is false for exactly the Unicode categories Other and Separator (ASCII
    space aside): controls, formats such as bidi overrides, surrogates, line separators.
    """
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else _escaped(char) for char in text)


def _escaped(char: str) -> str:
    return char.encode("unicode_escape").decode("ascii")


def shorten(text: str, limit: int) -> str:
    """At most ``limit`` characters of the text; what was cut off shows as ``…``."""
    return text if len(text) <= limit else text[: limit - 1] + "…"


def short_digest(digest: str) -> str:
    """``sha256:`` and twelve hexadecimal digits, as docker shows it."""
    algorithm, _, value = digest.partition(":")
    return f"{algorithm}:{value[:12]}"


def size(count: int) -> str:
    """Bytes as people read them: ``512 B``, ``3.4 MiB``."""
    if count < KIB:
        return f"{count} B"
    value, unit = float(count), "B"
    for larger in ("KiB", "MiB", "GiB", "TiB"):
        if value < KIB:
            break
        value, unit = value / KIB, larger
    return f"{value:.1f} {unit}"


def plural(count: int, noun: str) -> str:
    """``1 layer``, ``2 layers``."""
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"
