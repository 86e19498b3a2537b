"""Chapter 6: shells, tools and privileges."""

from __future__ import annotations

from tests.catalogue.case import FINE, SHELL, Case, found, shells
from tests.catalogue.images import app, raw
from tests.support.forge import file, folder, hardlink, symlink
from tests.support.rawtar import member, pax
from tests.support.samples import STOPS, busybox, dynamic, elf, linked, packed, program

BUSYBOX = program("busybox/busybox", b"BusyBox v1.37.0 (2024-09-26 21:31:42 UTC)\0")
TOYBOX = b"Toybox 0.8.9 multicall binary\0see https://landley.net/toybox\0"
DASH = b"Usage: getopts optstring var\0Illegal option -%c\0closing paren expected\0OPTIND=1\0"
BASH = b"@(#)Bash version 5.2.15(1) release GNU\0"
APK = b"apk-tools 2.14.4, compiled for x86_64.\0usage: apk [<OPTIONS>...] COMMAND\0"
GLIBC = program("lib64/ld-linux-x86-64.so.2")
CAPABILITY = pax(
    (b"SCHILY.xattr.security.capability", bytes.fromhex("01000002 80000000") + bytes(12))
)
"""cap_setuid+ep for the entry that follows."""
NOT_A_SHELL = "it can start programs, and is no shell"


def manager(path: str, by: str = "path") -> str:
    """The sentence of an image with a package manager."""
    return found(f"package manager {path} by {by}", denied="noPackageManager packageManager")


def privileged(*things: str) -> str:
    """The sentence of an image with files that give rights."""
    return found(*things, denied="noSetuid setuid")


CASES = (
    Case(
        "78 a hard link to busybox",
        app([file("bin/[", busybox(), mode=0o755), hardlink("bin/sh", "bin/[")]),
        "an empty file",
        "the same file: a shell",
        shells("/bin/[ by content", "/bin/sh by link"),
    ),
    Case(
        "78b a hard link to a lower layer",
        app([program("opt/tool")], [hardlink("bin/sh", "opt/tool")]),
        "an empty file",
        "on overlay the pull fails",
        shells("/bin/sh by link", also="image malformed"),
    ),
    Case(
        "79 an absolute link",
        app([BUSYBOX, symlink("bin/sh", "/busybox/busybox")]),
        "outside, or a file",
        "a shell",
        shells("/bin/sh by link", "/busybox/busybox by path"),
    ),
    Case(
        "79b a chain of links",
        app([BUSYBOX, symlink("busybox/a", "busybox"), symlink("bin/sh", "../busybox/a")]),
        "none",
        "a shell",
        shells("/bin/sh by link", "/busybox/a by link", "/busybox/busybox by path"),
    ),
    Case(
        "79c through /bin, a link",
        app(
            [
                symlink("bin", "usr/bin"),
                BUSYBOX,
                symlink("usr/bin/sh", "../../bin/tool"),
                symlink("usr/bin/tool", "/busybox/busybox"),
            ]
        ),
        "none",
        "a shell",
        shells("/busybox/busybox by path", "/usr/bin/sh by link", "/usr/bin/tool by link"),
    ),
    Case(
        "79d a loop",
        app([symlink("bin/sh", "bash"), symlink("bin/bash", "sh")]),
        "a shell, or it hangs",
        "leads nowhere",
        FINE,
    ),
    Case("79e a dangling link", app([symlink("bin/sh", "gone")]), "a shell", "no shell", FINE),
    Case(
        "80 a renamed busybox",
        app([file("app/helper", busybox(), mode=0o755)]),
        "clean",
        "a shell: helper sh",
        shells("/app/helper by content"),
    ),
    Case(
        "81 a renamed toybox",
        app([program("app/helper", TOYBOX)]),
        "clean",
        "a shell",
        shells("/app/helper by content"),
    ),
    Case(
        "81b a renamed dash",
        app([program("app/helper", DASH)]),
        "clean",
        "a shell",
        shells("/app/helper by content"),
    ),
    Case(
        "81c a static bash in /opt",
        app([program("opt/tool", BASH)]),
        "clean",
        "a shell",
        shells("/opt/tool by content"),
    ),
    Case(
        "81d shells where nobody looks",
        app([program("home/me/sh"), program(".x/zsh"), program("proc/1/ash")]),
        "clean: not in /bin",
        "shells",
        shells("/.x/zsh by path", "/home/me/sh by path", "/proc/1/ash by path"),
    ),
    Case(
        "81e packed by UPX",
        app([file("app/helper", packed(), mode=0o755)]),
        "clean",
        "it starts, and may be a shell",
        found("packed /app/helper by content", denied="noShell packed"),
    ),
    Case(
        "81f and linked as a shell",
        app([file("app/helper", packed(), mode=0o755), symlink("bin/sh", "/app/helper")]),
        "clean, or a link",
        "a shell by its name",
        found(
            "shell /bin/sh by link",
            "packed /app/helper by content",
            "packed /bin/sh by link",
            denied="noShell shell, noShell packed",
        ),
    ),
    Case(
        "82 interpreters",
        app([program(f"usr/bin/{name}") for name in ("python3", "perl", "node", "lua", "awk")]),
        "clean",
        NOT_A_SHELL,
        FINE,
    ),
    Case(
        "82b tools that start others",
        app([program(f"usr/bin/{name}") for name in ("vi", "find", "env")]),
        "clean",
        NOT_A_SHELL,
        FINE,
    ),
    Case(
        "82c git",
        app([program("usr/bin/git")]),
        "clean",
        NOT_A_SHELL,
        found("build tool /usr/bin/git by path", denied="noBuildTools buildTool"),
    ),
    Case(
        "82d awk and vi of busybox",
        app([BUSYBOX, symlink("bin/awk", "/busybox/busybox"), symlink("bin/vi", "awk")]),
        "clean",
        "busybox is the shell",
        shells("/busybox/busybox by path"),
    ),
    Case(
        "83 a shell that is not executable",
        app([file("bin/sh", elf())]),
        "a shell",
        "it cannot be started",
        FINE,
    ),
    Case(
        "83b with one x bit",
        app([file("bin/sh", elf(), mode=0o100)]),
        "not for everybody",
        "root starts it",
        SHELL,
    ),
    Case(
        "83c and a dynamic loader",
        app([file("bin/sh", dynamic(DASH)), GLIBC]),
        "it cannot be started",
        "ld-linux-x86-64.so.2 /bin/sh starts it",
        shells("/bin/sh by loader"),
    ),
    Case(
        "83d made executable by a hard link's entry",
        app([file("opt/tool", elf()), hardlink("bin/sh", "opt/tool", mode=0o755)]),
        "an empty file",
        "both names can be started",
        shells("/bin/sh by link", also="image malformed"),
    ),
    Case(
        "83e as data, and any dynamic loader",
        app([file("srv/logo.png", dynamic(DASH)), program("opt/ld-musl-x86_64.so.1")]),
        "no program",
        "the loader starts it",
        shells("/srv/logo.png by loader"),
    ),
    Case(
        "83f a loader, and a static shell",
        app([file("bin/sh", elf(DASH)), GLIBC]),
        "the loader starts it",
        "no loader takes what is static",
        FINE,
    ),
    Case(
        "83g a loader that is not executable either",
        app([file("bin/sh", dynamic(DASH)), file("lib64/ld-linux-x86-64.so.2", elf())]),
        "the loader starts it",
        "nothing starts the loader",
        FINE,
    ),
    Case(
        "83h in the place of /etc/passwd",
        app([file("etc/passwd", dynamic(DASH)), GLIBC]),
        "the users",
        "a shell that the loader starts",
        found("shell /etc/passwd by loader", user="65532:0", denied="noShell shell"),
    ),
    Case(
        "84 a package database alone",
        app([file("lib/apk/db/installed", b"P:musl\nV:1.2.5-r0\n")]),
        "a package manager",
        "none that could be started",
        FINE,
    ),
    Case(
        "84b a manager without a database",
        app([program("opt/apk.static", APK)]),
        "none: no database",
        "a package manager",
        manager("/opt/apk.static"),
    ),
    Case(
        "84c under another name",
        app([program("app/helper", APK)]),
        "clean",
        "a package manager",
        manager("/app/helper", "content"),
    ),
    Case(
        "84d gcc-14-base without gcc",
        app([file("usr/share/doc/gcc-14-base/copyright"), folder("usr/lib/gcc/x86_64-linux-gnu")]),
        "gcc",
        "its papers only",
        FINE,
    ),
    Case(
        "84e pip within ensurepip",
        app([program("usr/bin/python3"), file("usr/lib/python3.13/ensurepip/_bundled/pip-25.whl")]),
        "clean",
        "not installed; python3 -m ensurepip would",
        FINE,
    ),
    Case(
        "84f npm, a link to a script",
        app(
            [
                program("usr/bin/node"),
                file("usr/lib/npm/bin/npm-cli.js", b"#!/usr/bin/node\n", mode=0o755),
                symlink("usr/bin/npm", "../lib/npm/bin/npm-cli.js"),
            ]
        ),
        "a link and a script",
        "a package manager",
        manager("/usr/bin/npm", "link"),
    ),
    Case(
        "85 setuid, cleared by the next layer",
        app(
            [file("bin/tool", elf(), mode=0o4755)],
            [program("bin/tool")],
        ),
        "setuid",
        "cleared",
        FINE,
    ),
    Case(
        "85b cleared by a duplicate",
        app([file("bin/tool", elf(), mode=0o4755), program("bin/tool")]),
        "setuid",
        "cleared",
        FINE,
    ),
    Case(
        "85c set by a hard link's entry",
        app([program("bin/tool"), hardlink("bin/x", "bin/tool", mode=0o4755)]),
        "not setuid",
        "both names are",
        privileged("setuid /bin/tool", "setuid /bin/x"),
    ),
    Case(
        "85d on a script",
        app([file("bin/tool", b"#!/app/server\n", mode=0o4755)]),
        "setuid",
        "the bit is there; Linux ignores it",
        privileged("setuid /bin/tool"),
    ),
    Case("85e on a folder", app([folder("srv", mode=0o6755)]), "setuid", "no program", FINE),
    Case(
        "86 file capabilities",
        raw(CAPABILITY, member(b"bin/tool", elf())),
        "no setuid",
        "as good as setuid",
        privileged("capabilities /bin/tool"),
    ),
    Case(
        "86b by a hard link's entry",
        raw(
            member(b"bin/tool", elf()),
            CAPABILITY,
            member(b"bin/x", kind=b"1", link=b"bin/tool"),
        ),
        "no setuid",
        "both names have them",
        privileged("capabilities /bin/tool", "capabilities /bin/x"),
    ),
    Case(
        "87 sh -c without a shell",
        app(entrypoint=["/bin/sh", "-c", "/app/server"]),
        "clean",
        "does not start",
        found(denied="runnable commandMissing"),
    ),
    Case(
        "87b a program that all may write",
        app([file("app/server", elf(), mode=0o777)]),
        "clean",
        "it may rewrite itself; no check asks",
        FINE,
    ),
    Case(
        "87c a library that is nowhere",
        app(
            [
                file("app/server", linked("libz.so.1", "libc.so.6"), mode=0o755),
                file("lib64/ld-linux-x86-64.so.2", elf(code=STOPS), mode=0o755),
                file("usr/lib/libc.so.6"),
            ]
        ),
        "clean",
        "the loader does not find libz.so.1 (it is a stand-in)",
        found(denied="runnable libraryMissing"),
    ),
    Case(
        "87d what musl's loader is itself",
        app(
            [
                file(
                    "app/server",
                    linked("libc.musl-x86_64.so.1", loader="/lib/ld-musl-x86_64.so.1"),
                    mode=0o755,
                ),
                program("lib/ld-musl-x86_64.so.1"),
            ]
        ),
        "its libc is missing",
        "it starts (its loader is a stand-in)",
        FINE,
    ),
)
