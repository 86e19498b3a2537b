"""Shells by their content (catalogue 80, 81)."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.image.reading import ELF, layout_layers, program, real_images, shells
from tests.support.forge import file, hardlink, symlink
from tests.support.samples import dynamic
from webhook.image import layer
from webhook.image.names import loader
from webhook.image.search import Search
from webhook.image.shells import SIGNATURES, identify, patterns

EXAMPLES = {
    "busybox": b"BusyBox v1.37.0 (Debian 1:1.37)\0",
    "toybox": b"Toybox %s multicall binary%s\0https://landley.net/toybox\0",
    "bash": b"@(#)Bash version 5.2.15(1) release GNU\0",
    "zsh": b"ZSH_PATCHLEVEL\0ZSH_SUBSHELL\0ZSH_EVAL_CONTEXT\0",
    "mksh": b"KSH_VERSION=@(#)MIRBSD KSH R59 2023/04/29\0",
    "pdksh": b"@(#)PD KSH v5.2.14 99/07/13.2\0",
    "ksh93": b"@(#)$Id: sh (AT&T Research) 93u+m/1.0.4 2022-10-22 $\0/etc/ksh.kshrc\0hist -s\0",
    "posh": b"POSH_VERSION\0posh_builtin_getopts: no argv\0",
    "yash": b"$YASH_LOADPATH\0$YASH_AFTER_CD\0",
    "tcsh": b"tcsh %d.%.2d.%.2d (%s) %s (%S-%S-%S) options\0",
    "csh": b'Use "exit" to leave csh.\n\0/etc/csh.cshrc\0',
    "fish": b"__fish_print_help\0FISH_DEBUG_OUTPUT\0fish_default_key_bindings\0",
    "rc": b"$Release: @(#)rc 1.7.4 (git) $\0/.rcrc\0",
    "rc-plan9": b"`if not' does not follow `if(...)'\0turfredir null!\0Usage: whatis name ...\n\0",
    "sash": b"Stand-alone shell (version %s)\0Exit from sash\0",
    "elvish": b"src.elv.sh/pkg/shell.readRC\0",
    "gosh": b"path\tmvdan.cc/sh/v3/cmd/gosh\n\0mvdan.cc/sh/v3/interp.(*Runner).Run\0",
    "gosh-u-root": b"github.com/u-root/u-root@v0.14.0/cmds/core/gosh/gosh.go\0"
    b"mvdan.cc/sh/v3/interp.(*Runner).stmt\0",
    "nushell": b"The nushell language and shell.\0"
    b"ERROR: failed to put nushell in its own process group\n",
    "brush": "Bo[u]rn[e] RUsty SHell \N{CRAB} (https://brush.sh)".encode(),
    "dash": b"Usage: getopts optstring var [arg...]\0Illegal option -%c\0"
    b"closing paren expected\0OPTIND=1\0",
}
MKSH_AND_FRIENDS = {"mksh": "ksh", "pdksh": "ksh", "ksh93": "ksh", "gosh-u-root": "gosh"}
MKSH_AND_FRIENDS |= {"rc-plan9": "rc"}

INNOCENT = {
    "runs-scripts-of-its-own": b"go-task\0mvdan.cc/sh/v3/interp.(*Runner).Run\0",
    "list-of-commands": b"github.com/u-root/u-root/cmds/core/gosh\0mvdan.cc/sh/v3/cmd/gosh\0",
    "mentions-names": b"run it with bash, sh, dash, zsh or busybox\0/bin/sh\0BusyBox\0",
    "scanner-with-patterns": rb"BusyBox\s+v[\d.]+" + rb"@\(#\)Bash version [0-9]\.[0-9]" + b"\0",
    "prompt-plugin": b"ZSH_EVAL_CONTEXT\0ZSH_VERSION\0FISH_VERSION\0",
    "nushell-plugin": b"nu_plugin_polars\0nu_protocol::value\0The nushell language and shell.\0",
    "speaks-of-brush": b"like brush (https://brush.sh), a rusty shell\0reubeno/brush\0",
    "fish_indent": b"__fish_print_help\0",
    "shcomp": b"@(#)$Id: sh (AT&T Research) 93u+m/1.0.4 2022-10-22 $\0/etc/ksh.kshrc\0"
    b"refusing to read script from terminal\0",
    "getopts-docs": b"usage: getopts optstring var\0Illegal option -\0",
}


def found_in(body: bytes, size: int = 7) -> str | None:
    view = memoryview(body)
    pieces = (view[at : at + size] for at in range(0, len(view), size))
    return identify(Search(layer._PATTERNS).numbers(pieces))  # in one pass with all others


@pytest.mark.parametrize("name", EXAMPLES)
@pytest.mark.parametrize("size", [1, 7, 4096])
def test_every_shell_is_recognised_across_pieces(name: str, size: int) -> None:
    body = ELF + bytes(5000) + EXAMPLES[name] + bytes(5000)

    assert found_in(body, size) == MKSH_AND_FRIENDS.get(name, name)


def test_every_signature_has_an_example() -> None:
    assert {MKSH_AND_FRIENDS.get(name, name) for name in EXAMPLES} == {s.name for s in SIGNATURES}


@pytest.mark.parametrize("signature", SIGNATURES, ids=lambda s: f"{s.name}-{s.source[:12]}")
def test_no_pattern_of_several_is_enough(signature: object) -> None:
    for number, pattern in enumerate(patterns()):
        owner = identify({number})
        assert owner is None or [s.patterns for s in SIGNATURES if pattern in s.patterns] == [
            (pattern,)
        ]


@pytest.mark.parametrize("name", INNOCENT)
def test_programs_that_speak_of_shells_are_none(name: str) -> None:
    assert found_in(ELF + INNOCENT[name]) is None


def test_only_binaries_are_searched() -> None:
    text = b"#!/usr/bin/python3\n# BusyBox v1.37.0 and @(#)Bash version 5.2\n"

    assert shells([program("app/doc", text), program("app/raw", b"BusyBox v1.37.0")]) == {}


def test_files_that_cannot_be_executed_are_not_searched() -> None:
    assert shells([program("app/x", ELF + EXAMPLES["bash"], mode=0o644)]) == {}


@pytest.mark.parametrize("name", ["bash", "dash"])
def test_the_shells_of_this_machine(name: str) -> None:
    path = shutil.which(name)
    if path is None:
        pytest.skip(f"no {name} here")
    body = Path(path).resolve().read_bytes()

    assert shells([program("app/server", body)]) == {"/app/server": (name, "content")}


def test_this_very_python_is_none() -> None:
    assert found_in(Path(sys.executable).resolve().read_bytes(), 1 << 16) is None


@pytest.mark.parametrize("libc", ["musl-amd64", "uclibc-amd64", "glibc-amd64", "musl-arm64v8"])
def test_real_busybox(libc: str) -> None:
    (layer,) = layout_layers(real_images() / f"busybox-{libc}")

    assert [(e.path, e.shell) for e in layer.entries if e.shell] == [(b"bin/[", "busybox")]


def test_patterns_are_what_hyperscan_and_python_both_read() -> None:
    assert all(re.compile(pattern) for pattern in patterns())


LOADER = program("lib64/ld-linux-x86-64.so.2")
LIBRARY = dynamic()[:24] + bytes(8) + dynamic()[32:]
"""The same without an entry point."""


@pytest.mark.parametrize(
    "entries, expected",
    [
        pytest.param([file("bin/sh", dynamic())], {}, id="no-loader"),
        pytest.param([file("bin/sh", dynamic()), LOADER], {"/bin/sh": ("sh", "loader")}, id="name"),
        pytest.param(
            [file("x", dynamic(EXAMPLES["bash"])), LOADER], {"/x": ("bash", "loader")}, id="content"
        ),
        pytest.param(
            [
                file("x", dynamic(EXAMPLES["bash"])),
                program("opt/run"),
                symlink("lib64/ld-linux-x86-64.so.2", "/opt/run"),
            ],
            {"/x": ("bash", "loader")},
            id="the-loader-that-it-asks-for-whatever-its-name",
        ),
        pytest.param(
            [file("x", dynamic(EXAMPLES["bash"])), program("a/ld-2.31.so")],
            {"/x": ("bash", "loader")},
            id="another-loader",
        ),
        pytest.param(
            [file("x", dynamic(EXAMPLES["bash"])), hardlink("y", "x", mode=0o644), LOADER],
            {"/x": ("bash", "loader"), "/y": ("bash", "loader")},
            id="a-hard-link",
        ),
        pytest.param(
            [program("x", dynamic(EXAMPLES["bash"])), hardlink("x2", "x", mode=0o644), LOADER],
            {"/x": ("bash", "loader"), "/x2": ("bash", "loader")},
            id="its-x-bit-taken-by-a-hard-link",
        ),
        pytest.param([file("x", ELF + EXAMPLES["bash"]), LOADER], {}, id="static"),
        pytest.param([file("x", dynamic(b"GNU")), LOADER], {}, id="no-shell"),
        pytest.param([file("libsh.so", LIBRARY + EXAMPLES["bash"]), LOADER], {}, id="a-library"),
        pytest.param([file("bin/sh", b"#!/app\n"), LOADER], {}, id="a-script"),
        pytest.param([file("bin/sh", dynamic()), file("lib64/ld.so.1", ELF)], {}, id="loader-no-x"),
    ],
)
def test_without_an_x_bit(entries: list, expected: dict[str, tuple[str, str]]) -> None:
    assert shells(entries) == expected


def test_the_loader_of_this_machine_starts_what_is_found(tmp_path: Path) -> None:
    """The claim itself, on a real shell and a real loader."""
    dash, glibc = shutil.which("dash"), Path("/lib64/ld-linux-x86-64.so.2")
    if dash is None or not glibc.exists():
        pytest.skip(f"no dash, or no {glibc} here")
    copy = tmp_path / "data"
    copy.write_bytes(Path(dash).resolve().read_bytes())
    copy.chmod(0o644)

    run = subprocess.run(
        [glibc, copy, "-c", "echo started"], capture_output=True, check=True, timeout=30
    )

    assert run.stdout == b"started\n"
    assert shells([file("data", copy.read_bytes()), LOADER]) == {"/data": ("dash", "loader")}


@pytest.mark.parametrize(
    "base, expected",
    [
        *((name, True) for name in ("ld-linux-x86-64.so.2", "ld-linux-aarch64.so.1", "ld.so.1")),
        *((name, True) for name in ("ld-musl-x86_64.so.1", "ld64.so.2", "ld-2.31.so")),
        *((name, True) for name in ("ld-linux.so.2", "ld-uClibc.so.0", "ld-linux-armhf.so.3")),
        *((name, False) for name in ("ld", "ld.bfd", "ldconfig", "ld.so.conf", "libld.so.1")),
        *((name, False) for name in ("ld.so.cache", "ld-musl-config", "x-ld-linux.so.2")),
    ],
)
def test_names_of_loaders(base: str, expected: object) -> None:
    assert loader(base.encode()) is expected
