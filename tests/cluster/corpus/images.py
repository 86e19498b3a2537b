"""The images of the corpus: the catalogue's, real shells in many forms, and what looks like one.

The catalogue's programs are stand-ins, so its images are asked who they run as and whether they
start. The others hold Debian's own programs.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from tests.catalogue.page import CASES
from tests.cluster import build
from tests.cluster.corpus import debian
from tests.cluster.nodes.agreement import BOMBS, FIFO, MEASURE
from tests.oracles.support import Oracle
from tests.support import forge
from tests.support.forge import file, folder, hardlink, opaque, symlink, whiteout
from tests.support.rawtar import END, member, pax
from tests.support.samples import base, built, elf, program

Layer = list[forge.Entry] | bytes
CATALOGUE, SHELLS, LOOKALIKES = "catalogue", "shells", "look-alikes"
ENTRYPOINTS = "entrypoints"


@dataclass(frozen=True)
class Member:
    """An image of the corpus."""

    group: str
    name: str
    make: Callable[[], forge.Image]
    shell: bool | None = None
    """Whether a shell works in it, where that is clear beforehand: or the probe would be blind."""


@dataclass(frozen=True)
class Shell:
    """A Debian package, and the shell in it."""

    package: str
    path: str
    also: tuple[str, ...] = ()
    """Packages that it needs besides libraries."""
    files: tuple[str, ...] = ()
    """What it needs of its own package."""

    @property
    def title(self) -> str:
        """On the page."""
        return f"{self.package} /{self.path}"

    def body(self) -> bytes:
        """The program."""
        return debian.program(self.package, self.path)

    def needed(self) -> Sequence[Layer]:
        """What it does not start without, beside libraries."""
        packages = [debian.layer(name) for name in self.also]
        return [*packages, *(_one(path, debian.program(self.package, path)) for path in self.files)]


REAL = (
    Shell("dash", "bin/dash"),
    Shell("bash", "bin/bash"),
    Shell("bash-static", "bin/bash-static"),
    Shell("busybox", "bin/busybox"),
    Shell("busybox-static", "bin/busybox"),
    Shell("mksh", "bin/mksh"),
    Shell("mksh", "bin/lksh"),
    Shell("mksh", "usr/lib/diet/bin/mksh"),
    Shell("mksh", "usr/lib/klibc/bin/mksh"),
    Shell("mksh", "usr/lib/x86_64-linux-musl/bin/mksh"),
    Shell("zsh", "bin/zsh"),
    Shell("zsh-static", "bin/zsh-static"),
    Shell("ksh93u+m", "bin/ksh93"),
    Shell("fish", "usr/bin/fish", ("fish-common",)),
    Shell("tcsh", "bin/tcsh"),
    Shell("csh", "bin/bsd-csh"),
    Shell("yash", "usr/bin/yash"),
    Shell("posh", "usr/bin/posh"),
    Shell("rc", "usr/bin/rc.byron"),
    Shell("sash", "bin/sash"),
    Shell("elvish", "usr/bin/elvish"),
    Shell("klibc-utils", "usr/lib/klibc/bin/sh", ("libklibc",)),
    Shell("9base", "usr/lib/plan9/bin/rc", files=("usr/lib/plan9/etc/rcmain",)),
)
LIBRARIES = (
    *("libc6", "libgcc-s1", "libstdc++6", "libtinfo6", "libreadline8", "libcap2", "libcrypt1"),
    *("libbsd0", "libmd0", "libpcre2-32-0"),
)
"""What the shells need to start."""
MORE_LIBRARIES = (
    *("libpcre2-8-0", "libselinux1", "libacl1", "libattr1", "libpam0g", "libaudit1", "libcap-ng0"),
    *("zlib1g", "libmount1", "libblkid1", "libsmartcols1", "libgmp10", "libmpfr6", "libsigsegv2"),
    "libexpat1",
)
"""What other programs need besides."""
INNOCENT = (
    *("coreutils", "util-linux", "login", "debianutils", "tini", "gawk", "mawk", "perl-base"),
    *("python3.11-minimal", "less", "vim-tiny", "findutils", "sed", "tar", "grep", "gzip", "git"),
    *("make", "bash-completion", "bash-builtins", "zsh-common", "zsh-dev", "fish-common"),
    "libc6",
)
"""Packages without a shell: what starts programs, speaks of shells, or completes their lines."""
PACKAGES = frozenset(
    (
        *LIBRARIES,
        *MORE_LIBRARIES,
        *INNOCENT,
        "toybox",
        *(name for shell in REAL for name in (shell.package, *shell.also)),
    )
)
APP = [program("app/server")]
CAPABILITY = (b"SCHILY.xattr.security.capability", bytes.fromhex("01000002 80000000") + bytes(12))
"""cap_setuid+ep."""
WORDS = (
    b"/bin/sh\0/bin/bash\0busybox\0BusyBox\0dash\0zsh\0fish\0ksh\0csh\0sh -c\0#!/bin/sh\n"
    b"Usage: getopts optstring var\0OPTIND=1\0ZSH_PATCHLEVEL\0POSH_VERSION\0/etc/csh.cshrc\0"
    b"# bash completion for app\ncomplete -F _app app\n"
)
"""What an honest program may say of shells: some of what they are known by, of none all."""


GOSH = build.Program("gosh", "shells", "mvdan.cc/sh/v3/cmd/gosh")
U_ROOT = build.Program("gosh", "shells", "github.com/u-root/u-root/cmds/core/gosh")
SHFMT = build.Program("shfmt", "shells", "mvdan.cc/sh/v3/cmd/shfmt")
PROBE = Oracle.of("probe")
GO = (GOSH, U_ROOT, SHFMT, PROBE)
"""Two shells, a formatter of scripts, and a program that has shells' names in it."""


def corpus(built: Mapping[build.Program, bytes]) -> Iterator[Member]:
    """Every image. ``built``: the programs of ``GO``."""
    yield from _catalogue()
    for package in dict.fromkeys(shell.package for shell in REAL):
        also = next(shell.also for shell in REAL if shell.package == package)
        make = partial(_packages, package, *also)
        yield Member(SHELLS, f"{package}: the package", make, shell=True)
    for shell in REAL:
        yield from _forms(shell.title, shell.body, shell.needed)
    for title, one in {"mvdan.cc/sh gosh": GOSH, "u-root gosh": U_ROOT}.items():
        yield from _forms(title, partial(built.__getitem__, one))
    handing = partial(_packages, "dash", "util-linux", "login")
    yield Member(SHELLS, "su and script, which hand over to a shell", handing, shell=True)
    yield Member(SHELLS, "toybox: the package", partial(_packages, "toybox"), shell=False)
    yield from _lookalikes(built)
    for name, (entrypoint, layers) in STARTS.items():
        yield Member(ENTRYPOINTS, name, partial(_entered, entrypoint, layers))


def _catalogue() -> Iterator[Member]:
    for case in CASES:
        hangs = case.number == BOMBS or case.name.startswith(FIFO)
        if not (hangs or case.pod or any(word in case.says for word in MEASURE)):
            yield Member(CATALOGUE, case.name, case.image)


def _image(*layers: Layer) -> forge.Image:
    """Layers upon users, libraries and an application that says who it is."""
    return built(base(), debian.libraries(*LIBRARIES), APP, *layers, compression="none")


def _forms(
    title: str, body: Callable[[], bytes], needed: Callable[[], Sequence[Layer]] = tuple
) -> Iterator[Member]:
    """A shell in every disguise that is the same program still."""
    for name, (works, layers) in FORMS.items():
        yield Member(SHELLS, f"{title}: {name}", partial(_formed, body, needed, layers), works)


def _formed(
    body: Callable[[], bytes],
    needed: Callable[[], Sequence[Layer]],
    layers: Callable[[bytes], Sequence[Layer]],
) -> forge.Image:
    return _image(*needed(), *layers(body()))


def _one(path: str, body: bytes, mode: int = 0o755) -> list[forge.Entry]:
    return [file(path, body, mode=mode)]


def without_sections(body: bytes) -> bytes:
    """An ELF file (64 bits) without its section headers, as ``sstrip`` leaves it."""
    changed = bytearray(body)
    changed[40:48] = bytes(8)  # e_shoff
    changed[58:64] = struct.pack("<HHH", 0, 0, 0)  # e_shentsize, e_shnum, e_shstrndx
    return bytes(changed)


FORMS: Mapping[str, tuple[bool | None, Callable[[bytes], Sequence[Layer]]]] = {
    "renamed": (True, lambda body: [_one("app/helper", body)]),
    "named as a tool, and links to it": (
        True,
        lambda body: [[*_one("usr/bin/ls", body), symlink("usr/bin/cat", "ls")]],
    ),
    "stripped": (True, lambda body: [_one("app/helper", without_sections(body))]),
    "hard-linked": (
        True,
        lambda body: [[*_one("opt/one", body), hardlink("srv/two", "opt/one")]],
    ),
    "one of two names deleted": (
        True,
        lambda body: [
            [*_one("opt/one", body), hardlink("srv/two", "opt/one")],
            [whiteout("opt/one")],
        ],
    ),
    "behind links": (
        True,
        lambda body: [
            [
                *_one("opt/v2/data.bin", body),
                symlink("opt/current", "v2"),
                symlink("usr/lib/a", "/opt/current/data.bin"),
                symlink("srv/tool", "../usr/lib/a"),
            ]
        ],
    ),
    "in an odd folder": (
        True,
        lambda body: [_one("srv/... /\N{LATIN SMALL LETTER E WITH ACUTE}\n/.a b", body)],
    ),
    "with capabilities": (
        True,
        lambda body: [pax(CAPABILITY) + member(b"app/helper", body) + END],
    ),
    "setuid": (True, lambda body: [_one("app/helper", body, 0o4755)]),
    "one x bit": (True, lambda body: [_one("app/helper", body, 0o001)]),
    "no x bit, and a loader": (None, lambda body: [_one("app/data.bin", body, 0o644)]),
    "over an application": (True, lambda body: [[program("opt/tool")], _one("opt/tool", body)]),
    "overwritten": (False, lambda body: [_one("opt/tool", body), [program("opt/tool")]]),
    "whited out": (False, lambda body: [_one("opt/tool", body), [whiteout("opt/tool")]]),
    "below an opaque folder": (
        False,
        lambda body: [_one("opt/tool", body), [folder("opt"), opaque("opt")]],
    ),
    "its folder replaced": (
        False,
        lambda body: [_one("opt/bin/tool", body), [symlink("opt/bin", "/app")]],
    ),
}
"""By name: whether it works, and the layers."""


def _lookalikes(built: Mapping[build.Program, bytes]) -> Iterator[Member]:
    made = {
        **{f"{name}: the package": partial(_packages, name) for name in INNOCENT},
        **{name: partial(_image, *layers) for name, layers in LOOKALIKE.items()},
        "a Go program that has the words in it": lambda: _image(_one("app/tool", built[PROBE])),
        "shfmt, which reads scripts": lambda: _image(_one("app/tool", built[SHFMT])),
    }
    for name, make in made.items():
        yield Member(LOOKALIKES, name, make, shell=False)


def _packages(*names: str) -> forge.Image:
    return _image(debian.libraries(*MORE_LIBRARIES), *map(debian.layer, names))


LOOKALIKE: Mapping[str, Sequence[Layer]] = {
    "text files named as shells": [
        [file(f"srv/{name}", b"a word\n") for name in ("sh", "bash", "dash", "zsh", "busybox")]
    ],
    "papers of shells": [
        [
            file("usr/share/doc/bash/README", b"@(#)Bash version 5.2.15(1) release GNU\n"),
            file("usr/share/man/man1/sh.1", b".TH SH 1\nUsage: getopts optstring var\n"),
            file("usr/share/doc/busybox/syntax", b"BusyBox v1.37.0\n"),
            file("etc/shells", b"/bin/sh\n/bin/bash\n/usr/bin/fish\n"),
        ]
    ],
    "completions": [
        [
            file("usr/share/bash-completion/completions/app", WORDS),
            file("usr/share/zsh/vendor-completions/_app", b"#compdef app\n"),
            file("usr/share/fish/vendor_completions.d/app.fish", b"complete -c app\n"),
        ]
    ],
    "scripts whose interpreter is not there": [
        [
            file("entrypoint.sh", b"#!/bin/sh\nexec app\n", mode=0o755),
            file("usr/bin/backup.bash", b"#!/usr/bin/env bash\n", mode=0o755),
        ]
    ],
    "a script named sh without its interpreter": [
        [file("bin/sh", b"#!/bin/bash\nexec app\n", mode=0o755)]
    ],
    "links that lead nowhere": [[symlink("bin/sh", "dash"), symlink("bin/dash", "sh")]],
    "folders named as shells": [[folder("etc/bash"), folder("etc/zsh"), folder("opt/sh")]],
    "a program that speaks of shells": [[file("app/tool", elf(WORDS), mode=0o755)]],
    "a shell's text in a program's data": [
        [file("app/tool", elf(b"#!/bin/sh\nset -e\n" * 999), mode=0o755)]
    ],
    "profile scripts": [
        [file("etc/profile.d/app.sh", b"export A=1\n", mode=0o755), file("etc/bash.bashrc")]
    ],
}
"""Forged: by name."""


TELL = "echo uid 65532 gid 65532"
"""So that it is seen to have started; who it really is says the probe."""
_SAYS = f"{TELL}\n".encode()


def _dash() -> Layer:
    return _one("bin/dash", debian.program("dash", "bin/dash"))


def _env() -> Layer:
    return _one("usr/bin/env", debian.program("coreutils", "usr/bin/env"))


def _libraries() -> Layer:
    return debian.libraries(*LIBRARIES)


def _script(path: str, line: bytes, mode: int = 0o755) -> Callable[[], Layer]:
    return lambda: [file(path, line + b"\n" + _SAYS, mode=mode)]


def _entered(entrypoint: Sequence[str], layers: Sequence[Callable[[], Layer]]) -> forge.Image:
    made = (layer() for layer in layers)
    return built(base(), *made, entrypoint=entrypoint, compression="none")


def _tool(path: str, package: str) -> Callable[[], Layer]:
    return lambda: _one(path, debian.program(package, path))


def _of(*packages: str) -> Callable[[], Layer]:
    return lambda: debian.libraries(*packages)


_PERL = _tool("usr/bin/perl", "perl-base")
_PRINT = 'print "uid 65532 gid 65532\\n";'
_TELLS = ["/usr/bin/perl", "-e", _PRINT]
_FOLDER = "lib/x86_64-linux-gnu"
_CRYPT = "libcrypt.so.1.1.0"


def _loader() -> Layer:
    name = "ld-linux-x86-64.so.2"
    return _one(f"lib64/{name}", debian.program("libc6", f"{_FOLDER}/{name}"))


def _aside() -> Layer:
    """A library of perl's where nobody looks for it."""
    return _one("opt/libcrypt.so.1", debian.program("libcrypt1", f"{_FOLDER}/{_CRYPT}"))


STARTS: Mapping[str, tuple[Sequence[str], Sequence[Callable[[], Layer]]]] = {
    "by its path": (["/bin/dash", "-c", TELL], [_libraries, _dash]),
    "by PATH": (["dash", "-c", TELL], [_libraries, _dash]),
    "its loader is not there": (["/bin/dash", "-c", TELL], [_dash]),
    "it is not there": (["/bin/zsh", "-c", TELL], [_libraries, _dash]),
    "not in PATH": (["entry"], [_libraries, _dash, _script("srv/entry", b"#!/bin/dash")]),
    "no x bit": (["/entry"], [_libraries, _dash, _script("entry", b"#!/bin/dash", 0o644)]),
    "a script": (["/entry"], [_libraries, _dash, _script("entry", b"#!/bin/dash")]),
    "a script with an argument": (
        ["/entry"],
        [_libraries, _dash, _script("entry", b"#! /bin/dash -e")],
    ),
    "a script of DOS": (["/entry"], [_libraries, _dash, _script("entry", b"#!/bin/dash\r")]),
    "a script without a first line": (["/entry"], [_libraries, _dash, _script("entry", b"")]),
    "a script whose interpreter is not there": (
        ["/entry"],
        [_libraries, _dash, _script("entry", b"#!/bin/bash")],
    ),
    "a script whose interpreter is a script": (
        ["/entry"],
        [_libraries, _dash, _script("bin/two", b"#!/bin/dash"), _script("entry", b"#!/bin/two")],
    ),
    "a script through env": (
        ["/entry"],
        [_libraries, _dash, _env, _script("entry", b"#!/usr/bin/env dash")],
    ),
    "a script through env that finds nothing": (
        ["/entry"],
        [_libraries, _dash, _env, _script("entry", b"#!/usr/bin/env bash")],
    ),
    "through a link": (
        ["/app/entry", "-c", TELL],
        [
            _libraries,
            _dash,
            lambda: [symlink("app/entry", "../usr/bin/x"), symlink("usr/bin/x", "/bin/dash")],
        ],
    ),
    "a folder": (["/app"], [_libraries, _dash, lambda: [folder("app")]]),
    "all its libraries are there": (_TELLS, [_of("libc6", "libcrypt1"), _PERL]),
    "its libc is not there": (_TELLS, [_loader, _PERL]),
    "one of its libraries is not there": (_TELLS, [_of("libc6"), _PERL]),
    "one of its libraries is whited out": (
        _TELLS,
        [
            _of("libc6", "libcrypt1"),
            _PERL,
            lambda: [whiteout(f"{_FOLDER}/{name}") for name in (_CRYPT, "libcrypt.so.1")],
        ],
    ),
    "one of its libraries is where nobody looks": (_TELLS, [_of("libc6"), _PERL, _aside]),
    "and LD_LIBRARY_PATH tells where": (
        ["/entry"],
        [
            _of("libc6"),
            _PERL,
            _env,
            _aside,
            lambda: [
                file(
                    "entry",
                    b"#!/usr/bin/env -S LD_LIBRARY_PATH=/opt perl\n" + _PRINT.encode(),
                    mode=0o755,
                )
            ],
        ],
    ),
}
"""By name: what is to start, and the layers."""
