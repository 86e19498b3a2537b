"""What a node says of itself, believed as far as it makes sense."""

from __future__ import annotations

import pytest

from webhook.cluster.nodes import keep


@pytest.mark.parametrize(
    ("info", "platform"),
    [
        ({"operatingSystem": "linux", "architecture": "arm64"}, "linux/arm64"),
        ({"operatingSystem": "linux"}, None),
        ({"architecture": "arm64"}, None),
        ({}, None),
        (None, None),
        ({"operatingSystem": "linux", "architecture": "a b"}, None),
        ({"operatingSystem": "linux", "architecture": "arm/v7/x"}, None),
        ({"operatingSystem": "", "architecture": "/"}, None),
    ],
)
def test_a_platform_or_nothing(info, platform):
    assert keep({"status": {"nodeInfo": info}}, None) == platform
    assert keep({}, None) is None
