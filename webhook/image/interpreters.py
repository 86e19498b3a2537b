"""Interpreters: programs that run a text they are given, as a shell does. By name and content.

Each belongs to a family (``python``, ``awk``, …), which is what policies allow. Not listed, since
they do more or less than that: ``java`` (runs classes; the source launcher needs the compiler,
which is a build tool, and comes with ``jshell``), ``dotnet``, editors, and ``sed``, ``find`` or
``xargs``, which start programs but hold no language.
"""

from __future__ import annotations

import re
from collections.abc import Set as AbstractSet
from typing import Final

from webhook.image import shells
from webhook.image.shells import Signature

_FAMILIES: Final = {
    "python": r"python|pypy|micropython|ipython|jython|graalpy",
    "perl": r"perl|suidperl|raku",
    "ruby": r"ruby|irb|jruby|mruby|truffleruby",
    "node": r"node|nodejs",
    "deno": r"deno",
    "bun": r"bun",
    "javascript": r"qjs|quickjs|gjs|rhino",
    "php": r"php|php-cgi|php-fpm|phpdbg|hhvm",
    "lua": r"lua|luajit|texlua",
    "awk": r"awk|gawk|mawk|nawk|igawk|original-awk",
    "tcl": r"tclsh|wish|expect|jimsh",
    "guile": r"guile",
    "scheme": r"racket|chibi-scheme",
    "lisp": r"sbcl|clisp|clojure|babashka",
    "erlang": r"erl|escript|iex|elixir",
    "java": r"jshell|jrunscript|groovy|groovysh|scala|scala-cli|kotlin",
    "haskell": r"ghci|runghc|runhaskell",
    "ocaml": r"ocaml",
    "julia": r"julia",
    "r": r"R|Rscript",
    "octave": r"octave|octave-cli",
    "prolog": r"swipl|gprolog",
}
FAMILIES: Final = tuple(_FAMILIES)

_VERSION: Final = r"(?:-?v?[0-9]+(?:\.[0-9]+)*[a-z]?)?(?:-(?:dbg|static|[a-z0-9_]+-linux-\w+))?"
"""As in ``python3.13t``, ``lua5.4``, ``perl5.36-x86_64-linux-gnu``."""
_NAMES: Final = re.compile(
    "(?:"
    + "|".join(f"(?P<{family}>{names})" for family, names in _FAMILIES.items())
    + f"){_VERSION}"
)

SIGNATURES: Final = (
    Signature(
        "python",
        (rb"\x00Py_(?:BytesMain|Main)\x00",),
        "Programs/python.c, which calls it; Debian python3.11 (static libpython), CPython 3.11 "
        "with a shared one. Programs that embed Python call Py_Initialize instead",
    ),
    Signature(
        "perl",
        (rb"Usage: %s \[switches\] \[--\] \[programfile\] \[arguments\]",),
        "perl.c usage(); Debian perl 5.36 (static libperl). Not where libperl is shared",
    ),
    Signature(
        "node",
        (rb"\x00_ZN4node5StartEiPPc\x00",),
        "src/node_main.cc; the node of this project's tests' machine, one with all in one file",
    ),
    Signature(
        "ruby", (rb"\x00ruby_run_node\x00",), "main.c; Debian ruby 3.1, with a shared libruby"
    ),
    Signature(
        "php",
        (rb"Usage: %s \[options\] \[-f\] <file> \[--\] \[args\.\.\.\]",),
        "sapi/cli/php_cli.c; Debian php8.2-cli",
    ),
    Signature(
        "lua", (rb"=LUA_INIT\x00",), "lua.c, luajit.c, never liblua; Debian lua5.4 and luajit 2.1"
    ),
    Signature("awk", (rb"\x00GAWK_READ_TIMEOUT\x00",), "io.c; Debian gawk 5.2"),
    Signature("awk", (rb"\x00MAWK_LONG_OPTIONS\x00",), "init.c; Debian mawk 1.3.4"),
    Signature(
        "awk",
        (rb"usage: %s \[-F fs\] \[-v var=value\] \[-f progfile \| 'prog'\]",),
        "main.c; Debian original-awk 2022",
    ),
    Signature(
        "r",
        (rb"\x00Rf_mainloop\x00",),
        "src/main/Rmain.c; Debian R 4.2 (bin/exec/R). Programs that embed R call "
        "Rf_initEmbeddedR instead",
    ),
    Signature(
        "r", (rb"Usage: Rscript \[options\] file \[args\]",), "src/unix/Rscript.c; Debian R 4.2"
    ),
    Signature("tcl", (rb"\x00Tcl_Main(?:Ex)?\x00",), "tclAppInit.c; Debian tclsh 8.6"),
)
"""Of programs with a dynamic loader only: the libraries of the same languages hold some, too."""


def interpreter(base: bytes) -> str | None:
    """The family of interpreters a file of this name is taken for."""
    match = _NAMES.fullmatch(base.decode("latin-1"))
    return match.lastgroup if match else None


def patterns() -> tuple[bytes, ...]:
    """All patterns, in the order that ``identify`` numbers them by."""
    return shells.patterns(SIGNATURES)


def identify(found: AbstractSet[int]) -> str | None:
    """The family whose patterns are all among those found, by their numbers."""
    return shells.identify(found, SIGNATURES)
