"""Durations as Go writes and reads them."""

from __future__ import annotations

import pytest

from webhook.registry.durations import seconds_of


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("0", 0.0), ("0s", 0.0), ("10m", 600.0), ("12h0m0s", 43200.0), ("1h30m", 5400.0),
     ("1.5h", 5400.0), (".5s", 0.5), ("100ms", 0.1), ("1us1ns", 1.001e-6), ("1µs", 1e-6)],
)  # fmt: skip
def test_durations(text, seconds):
    assert seconds_of(text) == pytest.approx(seconds)


@pytest.mark.parametrize(
    "text", ["", "5", "-1s", "+1s", "1 s", "s", "1d", "1h ", None, 5, [], "9" * 400 + "h", "٣s"]
)
def test_what_is_none(text):
    with pytest.raises(ValueError, match="duration"):
        seconds_of(text)
