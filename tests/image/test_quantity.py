"""Sizes as Kubernetes writes them."""

from __future__ import annotations

import re

import pytest

from webhook.image.quantity import Quantity, text_of


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("0", 0),
        ("150Mi", 157_286_400),
        ("1Ki", 1024),
        ("1k", 1000),
        ("1.5G", 1_500_000_000),
        ("1E", 10**18),
        ("1E3", 1000),
        ("1e3", 1000),
        ("2.5e1", 25),
        ("+5Mi", 5 << 20),
        (".5Ki", 512),
        ("1.", 1),
        ("0.1", 1),
        ("15e-1", 2),
        (1048576, 1 << 20),
        ("9223372036854775807", (1 << 63) - 1),
    ],
)
def test_values(text, size):
    """Binary and decimal suffixes, exponents; fractions of a byte are rounded up."""
    assert Quantity.parse(text) == size


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("150 Mi", '"150 Mi" is no quantity (try 150Mi)'),
        ("150MB", '"150MB" is no quantity (try 150Mi)'),
        ("150mb", '"150mb" is no quantity (try 150Mi)'),
        ("150m", '"150m" is a fraction of a byte (try 150Mi)'),
        ("1K", '"1K" is no quantity (try 1Ki)'),
        ("big", '"big" is no quantity (a size such as 150Mi)'),
        ("", '"" is no quantity (a size such as 150Mi)'),
        (".", '"." is no quantity (a size such as 150Mi)'),
        ("-1", '"-1" is negative'),
        (-1, '"-1" is negative'),
        ("8Ei", '"8Ei" is not below 8Ei'),
        ("1e99", '"1e99" is not below 8Ei'),
        ("1e999999999", '"1e999999999" is no quantity (try 1Mi)'),
        ("١Mi", '"١Mi" is no quantity (a size such as 150Mi)'),
        (True, "True is no quantity (a size such as 150Mi)"),
        (1.5, "1.5 is no quantity (a size such as 150Mi)"),
    ],
)
def test_faults(text, fault):
    """Each says what is wrong, and what was probably meant."""
    with pytest.raises(ValueError, match=f"^{re.escape(fault)}$"):
        Quantity.parse(text)


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (0, "0"),
        (1023, "1023"),
        (1024, "1Ki"),
        (150 << 20, "150Mi"),
        ((150 << 20) + 1, "150.0Mi"),
        (3 << 40, "3Ti"),
    ],
)
def test_text(size, text):
    """Exact where it can be, else with one decimal."""
    assert text_of(size) == text
    assert str(Quantity(size)) == text
