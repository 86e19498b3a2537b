"""age: days since the image was created, and dates that tell nothing."""

from __future__ import annotations

import pytest

from tests.checks.subjects import found, image, subject
from webhook.checks.age import CHECK, Age


@pytest.mark.parametrize(
    ("created", "expected"),
    [
        pytest.param("2026-08-25T23:59:59Z", [], id="90 days"),
        pytest.param(
            "2026-08-24T00:00:00Z",
            [("tooOld", "it was created 2026-08-24, 91 days ago, more than 90")],
            id="91 days",
        ),
        pytest.param("2026-11-24T09:00:00+14:00", [], id="tomorrow, somewhere"),
        pytest.param("1981-01-01T00:00:00Z", ["tooOld"], id="very old"),
    ],
)
def test_days(created, expected):
    """An image that is maxDays old to the day passes."""
    answer = found(CHECK, subject(image(created=created, read=False)), Age(max_days=90))
    assert answer == expected or [reason for reason, _ in answer] == expected


@pytest.mark.parametrize(
    "created",
    [
        pytest.param(None, id="none"),
        pytest.param("0001-01-01T00:00:00Z", id="Go's zero time"),
        pytest.param("1970-01-01T00:00:00Z", id="epoch"),
        pytest.param("1980-01-01T00:00:01Z", id="zip's first year"),
        pytest.param("2099-01-01T00:00:00Z", id="the future"),
        pytest.param("2026-02-30T00:00:00Z", id="no day"),
    ],
)
def test_undated(created):
    """The policy says what a date gets that tells no age."""
    asked = subject(image(created=created, read=False))
    assert found(CHECK, asked, Age(max_days=90)) == []
    assert found(CHECK, asked, Age(max_days=90, undated="Fail")) == [
        ("undated", f"its creation date ({created or 'none'}) tells no age")
    ]
