"""Every platform a pod could land on is judged, and only those."""

from __future__ import annotations

import pytest

from webhook.image.landing import landing
from webhook.image.manifest import OCI_MANIFEST, Descriptor
from webhook.image.platform import Platform


def entry(name: str, platform: str | None) -> Descriptor:
    return Descriptor(
        media_type=OCI_MANIFEST,
        digest=f"sha256:{name}",
        size=1,
        platform=None if platform is None else Platform.parse(platform),
    )


AMD, ARM, I386 = entry("amd", "linux/amd64"), entry("arm", "linux/arm64"), entry("x", "linux/386")
ARMV7, WINDOWS, PLAIN = (
    entry("v7", "linux/arm/v7"),
    entry("win", "windows/amd64"),
    entry("plain", None),
)


@pytest.mark.parametrize(
    ("entries", "conditions", "expected"),
    [
        pytest.param([AMD, ARM], {}, [AMD, ARM], id="nothing known: all"),
        pytest.param([AMD, WINDOWS], {}, [AMD], id="a pod that does not say is linux"),
        pytest.param([AMD, WINDOWS], {"os": "windows"}, [WINDOWS], id="the pod says windows"),
        pytest.param(
            [AMD, ARM, I386], {"architectures": {"amd64"}}, [AMD, I386], id="amd64 runs 386 too"
        ),
        pytest.param(
            [AMD, ARM, ARMV7], {"architectures": {"arm64"}}, [ARM, ARMV7], id="arm64 runs arm too"
        ),
        pytest.param(
            [AMD, ARM], {"nodes": [Platform.parse("linux/arm64")]}, [ARM], id="nodes are known"
        ),
        pytest.param(
            [AMD, WINDOWS],
            {"nodes": [Platform.parse("linux/amd64"), Platform.parse("windows/amd64")]},
            [AMD, WINDOWS],
            id="a mixed cluster: both",
        ),
        pytest.param(
            [AMD, PLAIN], {"architectures": {"arm64"}}, [AMD, PLAIN], id="nothing fits: every entry"
        ),
        pytest.param(
            [AMD, ARM, PLAIN], {"architectures": {"arm64"}}, [ARM, PLAIN], id="no platform: always"
        ),
        pytest.param([WINDOWS], {}, [WINDOWS], id="no linux at all: every entry"),
        pytest.param(
            [AMD, ARM, AMD], {}, [AMD, ARM], id="the same digest once, at its first place"
        ),
        pytest.param([], {}, [], id="an empty index"),
    ],
)
def test_landing(entries, conditions, expected):
    assert list(landing(entries, **conditions)) == expected
