"""Interpreters by name, by link and by content."""

from __future__ import annotations

import re
import shutil
import struct
from pathlib import Path

import pytest

from tests.image.reading import BUSYBOX, files, program, shown
from tests.support.forge import file, hardlink, symlink
from webhook.image.interpreters import FAMILIES, SIGNATURES, identify, interpreter, patterns
from webhook.image.search import Search

LOADER = b"/lib64/ld.so\0"
DYNAMIC = (
    (b"\x7fELF\x02\x01\x01" + bytes(9))
    + struct.pack("<HHIQQQIHHHHHH", 3, 62, 1, 0, 64, 0, 0, 64, 56, 1, 0, 0, 0)
    + struct.pack("<IIQQQQQQ", 3, 4, 120, 0, 0, len(LOADER), len(LOADER), 1)
    + LOADER
)
"""A program that the loader starts, and nothing else."""
LIBRARY = DYNAMIC[:56] + bytes(2) + DYNAMIC[58:]
"""The same without program headers."""

EXAMPLES = {
    "python": b"\0Py_BytesMain\0",
    "python-2": b"\0Py_Main\0",
    "perl": b"\nUsage: %s [switches] [--] [programfile] [arguments]\n",
    "node": b"\0_ZN4node5StartEiPPc\0",
    "ruby": b"\0ruby_run_node\0",
    "php": b"Usage: %s [options] [-f] <file> [--] [args...]\n",
    "lua": b"=LUA_INIT\0",
    "awk-g": b"\0GAWK_READ_TIMEOUT\0",
    "awk-m": b"\0MAWK_LONG_OPTIONS\0",
    "awk-1": b"usage: %s [-F fs] [-v var=value] [-f progfile | 'prog'] [file ...]\n",
    "r-exec": b"\0Rf_initialize_R\0Rf_mainloop\0",
    "r-script": b"Usage: Rscript [options] file [args]\n",
    "tcl": b"\0Tcl_MainEx\0",
}
INNOCENT = {
    "embeds-python": b"\0Py_Initialize\0Py_FinalizeEx\0PyRun_SimpleString\0",
    "embeds-lua": b"\0luaL_newstate\0LUA_PATH\0lua_pcallk\0",
    "embeds-r": b"\0Rf_initEmbeddedR\0R_ReplDLLdo1\0",
    "embeds-tcl": b"\0Tcl_CreateInterp\0Tcl_Eval\0",
    "speaks-of-them": b"set LUA_INIT, GAWK_READ_TIMEOUT or call Py_Main (see python -c)\0",
}


@pytest.mark.parametrize(
    "base, expected",
    [
        *((name, "python") for name in ("python", "python3", "python3.13", "python3.13t", "pypy3")),
        *((name, "perl") for name in ("perl", "perl5.36.0", "perl5.36-x86_64-linux-gnu")),
        *((name, "node") for name in ("node", "nodejs", "node22")),
        *((name, "php") for name in ("php", "php8.2", "php-fpm8.2", "php-cgi")),
        *((name, "lua") for name in ("lua", "lua5.4", "luajit-2.1.0", "lua54")),
        *((name, "awk") for name in ("awk", "gawk", "mawk", "nawk", "gawk-5.2.1")),
        *((name, "tcl") for name in ("tclsh8.6", "expect", "wish")),
        *((name, "r") for name in ("R", "Rscript", "R-4.2")),
        *((name, None) for name in ("r", "Rcmd", "RStudio")),
        *((name, "java") for name in ("jshell", "groovy")),
        *((name, "erlang") for name in ("erl", "iex")),
        *((name, None) for name in ("java", "dotnet", "python3-config", "node_exporter")),
        *((name, None) for name in ("phpunit", "rubocop", "lua.so", "pythonic", "awkward", "vi")),
        *((name, None) for name in ("node-gyp", "php-fpm-healthcheck", "perldoc", "find", "csi")),
    ],
)
def test_names(base: str, expected: str | None) -> None:
    assert interpreter(base.encode()) == expected


@pytest.mark.parametrize("name", EXAMPLES)
def test_known_by_content_under_any_name(name: str) -> None:
    body = DYNAMIC + bytes(5000) + EXAMPLES[name] + bytes(100)

    found = files([program("app/helper", body)]).interpreters

    assert shown(found) == {"/app/helper": (name.partition("-")[0], "content")}


@pytest.mark.parametrize("name", EXAMPLES)
def test_libraries_are_none(name: str) -> None:
    """Where images set the x bit on shared objects, as Docker's python does."""
    assert files([program("usr/lib/x.so", LIBRARY + EXAMPLES[name])]).interpreters == ()


@pytest.mark.parametrize("name", INNOCENT)
def test_programs_that_embed_a_language_are_none(name: str) -> None:
    assert files([program("app/server", DYNAMIC + INNOCENT[name])]).interpreters == ()


def test_every_signature_has_an_example() -> None:
    expressions = [re.compile(pattern) for pattern in patterns()]
    hits = [any(one.search(text) for text in EXAMPLES.values()) for one in expressions]

    assert all(hits)
    assert {one.name for one in SIGNATURES} <= set(FAMILIES)
    assert len(expressions) == len(SIGNATURES)


@pytest.mark.parametrize(
    "entries, expected",
    [
        pytest.param(
            [program("usr/bin/python3.13"), symlink("usr/bin/python3", "python3.13")],
            {
                "/usr/bin/python3.13": ("python", "path"),
                "/usr/bin/python3": ("python", "link"),
            },
            id="link",
        ),
        pytest.param(
            [program("a", DYNAMIC + EXAMPLES["perl"]), hardlink("b", "a"), symlink("c", "/a")],
            {"/a": ("perl", "content"), "/b": ("perl", "link"), "/c": ("perl", "link")},
            id="links-to-one-by-content",
        ),
        pytest.param(
            [program("bin/busybox", BUSYBOX), symlink("bin/awk", "busybox")],
            {"/bin/awk": ("awk", "link")},
            id="the-awk-of-busybox",
        ),
        pytest.param([file("usr/bin/perl", DYNAMIC)], {}, id="no-x-bit"),
        pytest.param([program("usr/bin/erl", b"#!/bin/sh\n")], {}, id="script-without-its-shell"),
        pytest.param(
            [program("usr/bin/erl", b"#!/bin/sh\n"), program("bin/sh")],
            {"/usr/bin/erl": ("erlang", "path")},
            id="script-with-it",
        ),
        pytest.param(
            [program("etc/cron.daily/php", b"#!/bin/sh\n"), program("bin/sh")], {}, id="cron-job"
        ),
        pytest.param([symlink("usr/bin/perl", "nowhere")], {}, id="dangling"),
        pytest.param([program("app/node", b"text")], {"/app/node": ("node", "path")}, id="other"),
    ],
)
def test_in_a_tree(entries: list, expected: dict[str, tuple[str, str]]) -> None:
    assert shown(files(entries).interpreters) == expected


@pytest.mark.parametrize("name", ["perl", "mawk", "tclsh8.6"])
def test_those_of_this_machine(name: str) -> None:
    path = shutil.which(name)
    if path is None:
        pytest.skip(f"no {name} here")
    body = Path(path).resolve().read_bytes()
    family = interpreter(name.encode())

    assert shown(files([program("app/x", body)]).interpreters) == {"/app/x": (family, "content")}


def test_node_of_this_machine() -> None:
    """Looked into where it lies: it can have 100 MB."""
    path = shutil.which("node")
    if path is None:
        pytest.skip("no node here")
    with Path(path).resolve().open("rb") as stream:
        pieces = iter(lambda: memoryview(stream.read(1 << 20)), memoryview(b""))
        assert identify(Search(patterns()).numbers(pieces)) == "node"
