"""Strings made safe, sizes made readable."""

from __future__ import annotations

import pytest

from webhook.report.safe import clean, plural, short_digest, shorten, size


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        pytest.param("/usr/bin/ünïcode ✓", "/usr/bin/ünïcode ✓", id="printable stays"),
        pytest.param("a\x1b[31mb", r"a\x1b[31mb", id="escape sequence"),
        pytest.param("a\nb\r\tc", r"a\nb\r\tc", id="lines and tabs"),
        pytest.param("a\x00\x7f\x9bb", r"a\x00\x7f\x9bb", id="C0, DEL and C1"),
        pytest.param("a\u202eb\u2066", r"a\u202eb\u2066", id="bidi"),
        pytest.param("a\u200bb\ufeff", r"a\u200bb\ufeff", id="invisible"),
        pytest.param("a\u2028b", r"a\u2028b", id="line separator"),
        pytest.param("a\ud800", r"a\ud800", id="lone surrogate"),
        pytest.param("\U000e0041", r"\U000e0041", id="tag character"),
    ],
)
def test_clean(text, shown):
    """What could move a terminal or hide text is shown escaped."""
    assert clean(text) == shown


@pytest.mark.parametrize(
    ("count", "shown"),
    [(0, "0 B"), (1023, "1023 B"), (1024, "1.0 KiB"), (157286400, "150.0 MiB"),
     (20 << 30, "20.0 GiB"), (5 << 50, "5120.0 TiB")],
)  # fmt: skip
def test_size(count, shown):
    """Binary units, one decimal."""
    assert size(count) == shown


def test_shorten():
    """Never longer than asked, and it shows that something is missing."""
    assert shorten("12345", 5) == "12345"
    assert shorten("123456", 5) == "1234…"


def test_short_digest():
    """As docker shows it."""
    assert short_digest("sha256:" + "ab" * 32) == "sha256:abababababab"


def test_plural():
    """One layer, two layers."""
    assert (plural(1, "layer"), plural(2000, "layer")) == ("1 layer", "2,000 layers")
