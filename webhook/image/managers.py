"""Package managers known by what is in them, under any name.

Each signature is a sentence of the program's own usage or messages (of a program in Rust, where
its panics point to), which its libraries and its neighbours (``apt-cache``, ``dpkg-query``,
``rpmbuild``) do not hold. Only ELF files are searched, so managers that are scripts (dnf, yum,
pip, npm, gem, …) are known by their names alone.
"""

from __future__ import annotations

from collections.abc import Set as AbstractSet
from typing import Final

from webhook.image import shells
from webhook.image.shells import Signature

SIGNATURES: Final = (
    Signature(
        "apk",
        (rb"apk-tools [0-9][^\n\x00]{0,60}, compiled for ",),
        "src/apk.c version(); apk-tools 3.0, built: with libapk static, with it shared, stripped",
    ),
    Signature(
        "apt-get",
        (rb"Usage: apt-get \[options\] command",),
        "cmdline/apt-get.cc ShowHelp(); Debian apt 2.6",
    ),
    Signature(
        "apt", (rb"Usage: apt \[options\] command",), "cmdline/apt.cc ShowHelp(); Debian apt 2.6"
    ),
    Signature(
        "aptitude", (rb"Usage: aptitude \[-S fname\]",), "src/main.cc usage(); Debian aptitude 0.8"
    ),
    Signature(
        "dpkg",
        (rb"Type dpkg -Dhelp for a list of dpkg debug flag values;",),
        "src/main/main.c printforhelp; Debian dpkg 1.21",
    ),
    Signature(
        "rpm",
        (rb"no packages given for erase", rb"--justdb may only be specified during package"),
        "rpm.c; Debian rpm 4.18, librpm shared",
    ),
    Signature(
        "zypper",
        (rb"zypper \[--GLOBAL-OPTIONS\] <COMMAND>",),
        "src/Zypper.cc print_main_help(); Debian zypper 1.14",
    ),
    Signature(
        "pacman",
        (rb"Pacman v%s - libalpm v%s",),
        "src/pacman/pacman.c version(); Debian pacman 6.0, libalpm shared",
    ),
    Signature(
        "nix",
        (rb"is incompatible with 'nix-env'; please use 'nix profile' instead",),
        "src/nix-env/user-env.cc; Debian nix-bin 2.8, whose nix-env and others are links to nix",
    ),
    Signature(
        "opkg",
        (rb"usage: opkg \[options\.\.\.\] sub-command \[arguments\.\.\.\]",),
        "src/opkg-cl.c usage(), in openmoko's, Yocto's and OpenWrt's. Not tried on a real one",
    ),
    Signature(
        "uv",
        (rb"crates/uv-cli/src/", rb"uv self update"),
        "Rust's places of panics, and messages; uv 0.13 of PyPI",
    ),
)
"""Not all binaries that ``webhook.image.names`` knows: flatpak, snap, mamba and others are left."""


def patterns() -> tuple[bytes, ...]:
    """All patterns, in the order that ``identify`` numbers them by."""
    return shells.patterns(SIGNATURES)


def identify(found: AbstractSet[int]) -> str | None:
    """The package manager whose patterns are all among those found, by their numbers."""
    return shells.identify(found, SIGNATURES)
