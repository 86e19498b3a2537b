"""Platforms: containerd's own normalisation table, and what a node would run."""

from __future__ import annotations

import pytest

from webhook.errors import UsageError
from webhook.image.platform import Platform, runs


@pytest.mark.parametrize(
    ("parts", "expected"),
    [
        # containerd/platforms database.go normalizeArch and platforms_test.go
        (("linux", "amd64"), "linux/amd64"),
        (("Linux", "X86_64"), "linux/amd64"),
        (("linux", "x86-64", "v1"), "linux/amd64"),
        (("linux", "amd64", "v2"), "linux/amd64/v2"),
        (("linux", "i386", "v1"), "linux/386"),
        (("linux", "386"), "linux/386"),
        (("linux", "aarch64"), "linux/arm64"),
        (("linux", "arm64", "8"), "linux/arm64"),
        (("linux", "arm64", "V8"), "linux/arm64"),
        (("linux", "arm64", "v9"), "linux/arm64/v9"),
        (("linux", "arm64", "v8.0"), "linux/arm64"),
        (("linux", "arm64", "9"), "linux/arm64/v9"),
        (("linux", "arm64", "9.0"), "linux/arm64/v9"),
        (("linux", "arm64", "v9.0"), "linux/arm64/v9"),
        # Go lowers rune by rune: Python makes two letters of the first, a final sigma of the second
        (("L\u0130NUX", "AMD64"), "linux/amd64"),
        (("A\u03a3", "amd64"), "a\u03c3/amd64"),
        (("linux", "armhf"), "linux/arm/v7"),
        (("linux", "armel"), "linux/arm/v6"),
        (("linux", "arm"), "linux/arm/v7"),
        (("linux", "arm", "5"), "linux/arm/v5"),
        (("linux", "arm", "v6"), "linux/arm/v6"),
        (("linux", "arm", "9"), "linux/arm/9"),
        (("macos", "arm64"), "darwin/arm64"),
        (("", "amd64"), "linux/amd64"),
        (("", ""), "linux"),
        (("unknown", "unknown"), "unknown/unknown"),
    ],
)
def test_normalised(parts, expected):
    assert str(Platform.of(*parts)) == expected


def test_parse():
    assert Platform.parse("linux/arm64/v8") == Platform.of("linux", "arm64")
    assert Platform.parse("linux/arm/v6") == Platform.of("linux", "arm", "v6")


@pytest.mark.parametrize(
    "text", ["", "amd64", "linux/", "/amd64", "linux/amd64/v1/x", "linux/am d64", "linux/amd64\n"]
)
def test_no_platform(text):
    with pytest.raises(UsageError, match="write os/architecture, like linux/amd64"):
        Platform.parse(text)


@pytest.mark.parametrize(
    ("entry", "node", "expected"),
    [
        ("linux/amd64", "amd64", True),
        ("linux/amd64/v3", "amd64", True),
        ("linux/386", "amd64", True),
        ("linux/amd64", "386", False),
        ("linux/arm64", "amd64", False),
        ("linux/arm64", "arm64", True),
        ("linux/arm64/v9", "arm64", True),
        ("linux/arm/v5", "arm64", True),
        ("linux/arm/v7", "arm", True),
        ("linux/arm64", "arm", False),
        ("linux/s390x", "s390x", True),
        ("unknown/unknown", "amd64", False),
    ],
)
def test_runs(entry, node, expected):
    assert runs(Platform.parse(entry), node) is expected
