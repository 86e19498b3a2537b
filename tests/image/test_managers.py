"""Package managers by content, under any name (catalogue 84c)."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

from tests.image.reading import ELF, files, program, shown
from tests.support.forge import file, hardlink, symlink
from webhook.image import names
from webhook.image.managers import SIGNATURES, identify, patterns

EXAMPLES = {
    "apk": b"apk-tools 2.14.4, compiled for x86_64.\0",
    "apt-get": b"Usage: apt-get [options] command\n       apt-get [options] install pkg1\0",
    "apt": b"Usage: apt [options] command\n\napt is a commandline package manager\0",
    "aptitude": b"Usage: aptitude [-S fname] [-u|-i]\0",
    "dpkg": b"Type dpkg -Dhelp for a list of dpkg debug flag values;\n\0",
    "rpm": b"no packages given for erase\0--justdb may only be specified during package "
    b"installation and erasure\0",
    "zypper": b"  zypper [--GLOBAL-OPTIONS] <COMMAND> [--COMMAND-OPTIONS] [ARGUMENTS]\0",
    "pacman": b" .--.                  Pacman v%s - libalpm v%s\n\0",
    "nix": b"profile '%s' is incompatible with 'nix-env'; please use 'nix profile' instead\0",
    "opkg": b"usage: opkg [options...] sub-command [arguments...]\n\0",
    "uv": b"crates/uv-cli/src/lib.rs\0uv self update \0",
}
INNOCENT = {
    "apt-cache": b"Usage: apt-cache [options] command\n\0apt-get(8)\0",
    "dpkg-deb": b"Use 'dpkg' to install and remove packages from your system\0"
    b"Type dpkg --help for help about installing and deinstalling packages.\n\0",
    "scanner": b"/lib/apk/db/installed\0/var/lib/dpkg/status\0apk-tools\0rpmdb.sqlite\0",
    "alien": b"no packages given for erase\0",
    "libalpm": b"libalpm v%s\0/var/lib/pacman/\0",
    "uv-build": b"crates/uv-build/src/main.rs\0run uv self update\0",
    "says-how-to-install": b"try: apt-get install ca-certificates, or apk add ca-certificates\0",
}


@pytest.mark.parametrize("name", EXAMPLES)
def test_known_by_content_under_any_name(name: str) -> None:
    body = ELF + bytes(5000) + EXAMPLES[name] + bytes(100)

    assert shown(files([program("app/helper", body)]).package_managers) == {
        "/app/helper": (name, "content")
    }


@pytest.mark.parametrize("name", INNOCENT)
def test_programs_that_speak_of_package_managers_are_none(name: str) -> None:
    assert files([program("app/server", ELF + INNOCENT[name])]).package_managers == ()


def test_every_signature_has_an_example_and_a_name_that_is_known() -> None:
    expressions = [re.compile(pattern) for pattern in patterns()]

    assert all(any(one.search(text) for text in EXAMPLES.values()) for one in expressions)
    assert [one.name for one in SIGNATURES] == list(EXAMPLES)
    assert [names.package_manager(name.encode()) for name in EXAMPLES] == list(EXAMPLES)


def test_no_pattern_of_several_is_enough() -> None:
    alone = [pattern for number, pattern in enumerate(patterns()) if identify({number})]

    assert alone == [one.patterns[0] for one in SIGNATURES if len(one.patterns) == 1]


@pytest.mark.parametrize(
    "entries, expected",
    [
        pytest.param(
            [program("a", ELF + EXAMPLES["apk"]), hardlink("b", "a"), symlink("sbin/c", "/a")],
            {"/a": ("apk", "content"), "/b": ("apk", "link"), "/sbin/c": ("apk", "link")},
            id="links-to-one-by-content",
        ),
        pytest.param(
            [program("usr/bin/rpm", ELF + EXAMPLES["rpm"]), symlink("usr/bin/rpmquery", "rpm")],
            {"/usr/bin/rpm": ("rpm", "path"), "/usr/bin/rpmquery": ("rpm", "link")},
            id="a-name-goes-before-content",
        ),
        pytest.param(
            [program("a", ELF + EXAMPLES["apt"]), symlink("usr/bin/apt-get", "/a")],
            {"/a": ("apt", "content"), "/usr/bin/apt-get": ("apt-get", "link")},
            id="a-links-own-name-goes-first",
        ),
        pytest.param([file("a", ELF + EXAMPLES["apk"])], {}, id="no-x-bit"),
        pytest.param([program("a", b"#!/bin/sh\n" + EXAMPLES["apk"])], {}, id="a-script"),
    ],
)
def test_in_a_tree(entries: list, expected: dict[str, tuple[str, str]]) -> None:
    assert shown(files(entries).package_managers) == expected


@pytest.mark.parametrize("name", ["apt", "apt-get", "dpkg"])
def test_those_of_this_machine(name: str) -> None:
    path = shutil.which(name)
    if path is None:
        pytest.skip(f"no {name} here")
    body = Path(path).resolve().read_bytes()

    assert shown(files([program("app/x", body)]).package_managers) == {"/app/x": (name, "content")}


@pytest.mark.parametrize("name", ["apt-cache", "apt-config", "dpkg-deb", "dpkg-query"])
def test_their_neighbours_are_none(name: str) -> None:
    path = shutil.which(name)
    if path is None:
        pytest.skip(f"no {name} here")
    body = Path(path).resolve().read_bytes()

    assert files([program("app/x", body)]).package_managers == ()
