"""Shells known by what is in them: the strings that a shell's binary cannot do without.

Each signature was taken from the binaries its ``source`` names and tried on them, stripped and
static ones too. Only ELF files are searched, so documentation never matches; where one string
could stand in a program that merely speaks of a shell, several must be there. A shell that was
packed (UPX) or edited is not recognised: content search is a net, not a proof.
"""

from __future__ import annotations

from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from itertools import count


@dataclass(frozen=True, slots=True)
class Signature:
    """A program, and the patterns (hyperscan's PCRE subset) that must all be in its binary."""

    name: str
    patterns: tuple[bytes, ...]
    source: str


SIGNATURES = (
    Signature(
        "busybox",
        (rb"BusyBox v[0-9]+\.[0-9]+",),
        "libbb/messages.c bb_banner; Debian busybox 1.35, Docker Official 1.37, Alpine 3.10-3.20",
    ),
    Signature(
        "toybox",
        (rb"Toybox [^\n]{0,40}multicall binary", rb"landley\.net/toybox"),
        "main.c; Debian toybox 0.8.9",
    ),
    Signature(
        "bash",
        (rb"@\(#\)Bash version [0-9]",),
        "version.c sccs_version; Debian bash and bash-static 5.2",
    ),
    Signature(
        "zsh",
        (rb"ZSH_PATCHLEVEL", rb"ZSH_SUBSHELL", rb"ZSH_EVAL_CONTEXT"),
        "Src/params.c; Debian zsh and zsh-static 5.9. Plugins name one or two of these",
    ),
    Signature(
        "ksh",
        (rb"@\(#\)(?:MIRBSD|LEGACY|PD) KSH ",),
        "sh.h KSH_VERSION; Debian mksh R59 and lksh, static ones too; pdksh's heirs keep it",
    ),
    Signature(
        "ksh",
        (rb"\$Id: (?:sh|jobs) \(AT&T Research\)", rb"/etc/ksh\.kshrc", rb"hist -s"),
        "src/cmd/ksh93/data (the last in aliases.c); Debian ksh93u+m 1.0.4. Its shcomp, which "
        "compiles scripts and runs none, has all but the last",
    ),
    Signature("posh", (rb"POSH_VERSION", rb"posh_builtin_"), "Debian posh 0.14"),
    Signature("yash", (rb"\$YASH_LOADPATH", rb"\$YASH_AFTER_CD"), "Debian yash 2.52"),
    Signature("tcsh", (rb"tcsh %d\.%\.2d\.%\.2d \(",), "tc.vers.c; Debian tcsh 6.24"),
    Signature(
        "csh",
        (rb'Use "exit" to leave csh\.', rb"/etc/csh\.cshrc"),
        "Debian csh 20110502 (the BSD one)",
    ),
    Signature(
        "fish",
        (rb"__fish_print_help", rb"FISH_DEBUG_OUTPUT", rb"fish_default_key_bindings"),
        "Debian fish 3.6; fish_indent and fish_key_reader hold the first only",
    ),
    Signature("rc", (rb"@\(#\)rc [0-9]+\.[0-9]", rb"/\.rcrc"), "Debian rc 1.7.4 (Byron's)"),
    Signature(
        "rc",
        (rb"`if not' does not follow", rb"turfredir null!", rb"Usage: whatis name"),
        "src/cmd/rc of Plan 9 from User Space; Debian 9base 6, stripped",
    ),
    Signature(
        "sash", (rb"Stand-alone shell \(version", rb"leave sash|Exit from sash"), "Debian sash 3.8"
    ),
    Signature("elvish", (rb"src\.elv\.sh/pkg/shell\.",), "Go symbols; Debian elvish 0.19"),
    Signature(
        "gosh",
        (
            rb"(?:mvdan\.cc/sh/v3|github\.com/u-root/u-root)(?:@[^/\x00]{1,60})?/cmds?/(?:core/)?gosh",
            rb"mvdan\.cc/sh/v3/interp\.\(\*Runner\)\.",
        ),
        "Go's build information and symbols; mvdan.cc/sh v3.14.1 (stripped, too) and u-root "
        "v0.14.0, both built; u-root's busybox, too, if gosh is in it. shfmt holds neither",
    ),
    Signature(
        "nushell",
        (
            rb"The nushell language and shell\.",
            rb"failed to put nushell in its own process group",
        ),
        "src/command.rs, src/terminal.rs; the static nu 0.115 of npm, stripped, too. Plugins and "
        "programs that embed its crates hold neither",
    ),
    Signature(
        "brush",
        (rb"Bo.u.rn.e. RUsty SHell",),
        "brush-shell/src/args.rs; brush 0.4 of crates.io, built, stripped, too",
    ),
    Signature(
        "dash",
        (
            rb"[Uu]sage: getopts optstring var",
            rb"Illegal option -",
            rb"closing paren expected",
            rb"OPTIND=1",
        ),
        "src/options.c, bltin/test.c, var.c; Debian dash 0.5.12, klibc's sh 2.0.12 and other "
        "sons of Almquist's. Neither has its name or version in it",
    ),
)
"""In the order of preference: busybox holds dash's strings, too."""

MULTI_CALL = frozenset({"busybox", "toybox"})
"""Programs whose name, when called, decides what they do."""


def patterns(signatures: tuple[Signature, ...] = SIGNATURES) -> tuple[bytes, ...]:
    """All patterns, in the order that ``identify`` numbers them by."""
    return tuple(pattern for signature in signatures for pattern in signature.patterns)


def identify(found: AbstractSet[int], signatures: tuple[Signature, ...] = SIGNATURES) -> str | None:
    """The first, a shell, whose patterns are all among those found, by their numbers."""
    if not found:
        return None
    numbers = count()
    for signature in signatures:
        if {next(numbers) for _ in signature.patterns} <= found:
            return signature.name
    return None
