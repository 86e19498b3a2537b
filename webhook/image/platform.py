"""Platforms as containerd normalises and matches them.

Source: containerd/platforms ``Normalize`` (database.go) and ``Only`` (compare.go).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from webhook.errors import UsageError
from webhook.image.strictjson import Struct

_PART: Final = re.compile(r"[A-Za-z0-9_.-]+")
_PARTS: Final = (2, 3)

_AMD64_VARIANTS: Final = {"v1": ""}
_ARM64_VARIANTS: Final = {
    "8": "",
    "v8": "",
    "v8.0": "",
    "9": "v9",
    "9.0": "v9",
    "v9.0": "v9",
}
_ARM_VARIANTS: Final = {"": "v7", "5": "v5", "6": "v6", "7": "v7", "8": "v8"}
_ALSO_RUN: Final = {"amd64": "386", "arm64": "arm"}
"""A 64-bit node runs the 32-bit images of its family as well."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Platform:
    """``linux/arm64/v8``; normalised as containerd's ``platforms.Normalize``."""

    os: str
    architecture: str
    variant: str = ""

    @classmethod
    def of(cls, os: str, architecture: str, variant: str = "") -> Platform:
        """Normalise the parts as an image or index has them.

        An empty ``os`` is the node's own to containerd: linux here.
        """
        os = _lower(os) or "linux"
        architecture, variant = _normalised(_lower(architecture), _lower(variant))
        return cls(os="darwin" if os == "macos" else os, architecture=architecture, variant=variant)

    @classmethod
    def read(cls, struct: Struct) -> Platform:
        """Read it from an index's entry or an image config.

        What is not looked at has to be of its type all the same: containerd refuses it else.
        """
        struct.string("os.version")
        struct.strings("os.features")
        return cls.of(struct.string("os"), struct.string("architecture"), struct.string("variant"))

    @classmethod
    def parse(cls, text: str) -> Platform:
        """Read ``os/architecture[/variant]`` as a user writes it. Raises ``UsageError``."""
        parts = text.split("/")
        if len(parts) not in _PARTS or not all(_PART.fullmatch(part) for part in parts):
            raise UsageError(f"{text!r} is no platform: write os/architecture, like linux/amd64")
        return cls.of(*parts)

    def __str__(self) -> str:
        return "/".join(part for part in (self.os, self.architecture, self.variant) if part)


def runs(entry: Platform, node_architecture: str) -> bool:
    """Whether some node of this architecture (its ``kubernetes.io/arch``) would run the entry.

    A node's label does not tell its variant, so every variant counts as possible. The
    operating system is not looked at.
    """
    return entry.architecture in (node_architecture, _ALSO_RUN.get(node_architecture))


def runs_on(entry: Platform, node: Platform) -> bool:
    """Whether such a node would run the entry: its operating system, and its architecture."""
    return entry.os == node.os and runs(entry, node.architecture)


def _lower(text: str) -> str:
    """Go's ``strings.ToLower``, rune by rune: a dotted capital I is an i to it, not two letters."""
    return "".join("i" if rune == "\u0130" else rune.lower() for rune in text)


def _normalised(architecture: str, variant: str) -> tuple[str, str]:
    match architecture:
        case "i386":
            architecture, variant = "386", ""
        case "x86_64" | "x86-64" | "amd64":
            architecture, variant = "amd64", _AMD64_VARIANTS.get(variant, variant)
        case "aarch64" | "arm64":
            architecture, variant = "arm64", _ARM64_VARIANTS.get(variant, variant)
        case "armhf":
            architecture, variant = "arm", "v7"
        case "armel":
            architecture, variant = "arm", "v6"
        case "arm":
            variant = _ARM_VARIANTS.get(variant, variant)
    return architecture, variant
