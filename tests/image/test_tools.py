"""Shells, package managers, build tools and privileged files (catalogue 63-87)."""

from __future__ import annotations

import gzip

import pytest

from tests.image.reading import (
    BUSYBOX,
    ELF,
    config,
    files,
    layout_layers,
    merged,
    program,
    real_images,
    shells,
    shown,
)
from tests.support import forge
from tests.support.forge import file, hardlink, opaque, special, symlink, whiteout
from webhook.image.facts import Program

SH = program("bin/sh")
BB = program("busybox/busybox", BUSYBOX)
SCRIPT = b"#!/usr/bin/python3\n"
PYTHON = program("usr/bin/python3")
BASH = ELF + b"@(#)Bash version 5.2.15(1) release GNU\0"


@pytest.mark.parametrize(
    "layers, expected",
    [
        pytest.param([[SH]], {"/bin/sh": ("sh", "path")}, id="by-its-path"),
        pytest.param(
            [[program("a/.x/zsh-5.9")]], {"/a/.x/zsh-5.9": ("zsh", "path")}, id="81-anywhere"
        ),
        pytest.param([[program("proc/self/sh")]], {"/proc/self/sh": ("sh", "path")}, id="81-proc"),
        pytest.param([[file("bin/sh", ELF)]], {}, id="83-without-an-x-bit"),
        pytest.param(
            [[program("bin/sh", ELF, mode=0o001)]], {"/bin/sh": ("sh", "path")}, id="83-one-x"
        ),
        pytest.param([[file("doc/sh", b"the shell")]], {}, id="a-text-named-sh"),
        pytest.param(
            [[program("bin/sh", b"junk")]], {"/bin/sh": ("sh", "path")}, id="neither-elf-nor-script"
        ),
        pytest.param(
            [[program("bin/xonsh", SCRIPT), PYTHON]], {"/bin/xonsh": ("xonsh", "path")}, id="script"
        ),
        pytest.param([[program("bin/sh", SCRIPT)]], {}, id="script-whose-interpreter-is-missing"),
        pytest.param([[program("app/run", b"#!/bin/sh\n")]], {}, id="a-script-for-sh-is-none"),
        pytest.param(
            [[program("opt/sh", SCRIPT), symlink("x", "opt/sh"), hardlink("y", "opt/sh")]],
            {},
            id="links-to-what-is-none",
        ),
        pytest.param([[program("etc/init.d/rc", SCRIPT), PYTHON]], {}, id="a-script-named-rc"),
        pytest.param(
            [[program("usr/bin/rc")]], {"/usr/bin/rc": ("rc", "path")}, id="a-binary-named-rc"
        ),
        pytest.param(
            [[symlink("usr/bin/rc", "llvm-rc"), program("usr/bin/llvm-rc")]], {}, id="llvm-rc"
        ),
        pytest.param(
            [[program("app/server", BUSYBOX)]],
            {"/app/server": ("busybox", "content")},
            id="80-renamed",
        ),
        pytest.param(
            [[program("opt/tool", BASH)]], {"/opt/tool": ("bash", "content")}, id="81-static-bash"
        ),
        pytest.param(
            [[program("bin/dash", BASH)]], {"/bin/dash": ("dash", "path")}, id="a-name-comes-first"
        ),
        pytest.param(
            [
                [
                    BB,
                    symlink("busybox/sh", "/busybox/busybox"),
                    symlink("busybox/ls", "/busybox/busybox"),
                ]
            ],
            {"/busybox/busybox": ("busybox", "path"), "/busybox/sh": ("sh", "link")},
            id="distroless-debug",
        ),
        pytest.param(
            [[BB, symlink("app/run", "../busybox/busybox")]],
            {"/busybox/busybox": ("busybox", "path"), "/app/run": ("busybox", "link")},
            id="79-alien-link",
        ),
        pytest.param(
            [[program("app/tool", BASH), symlink("app/a", "b"), symlink("app/b", "/app/./tool")]],
            {
                "/app/tool": ("bash", "content"),
                "/app/a": ("bash", "link"),
                "/app/b": ("bash", "link"),
            },
            id="79-chain",
        ),
        pytest.param(
            [[symlink("bin", "usr/bin"), program("usr/bin/tool"), symlink("x/sh", "/bin/tool")]],
            {"/x/sh": ("sh", "link")},
            id="79-via-a-folder-link",
        ),
        pytest.param([[symlink("bin/sh", "dash")]], {}, id="79-dangling"),
        pytest.param([[symlink("bin/sh", "sh")]], {}, id="79-loop-of-one"),
        pytest.param(
            [[symlink("a", "b"), symlink("b", "a"), symlink("sh", "a")]], {}, id="79-loop"
        ),
        pytest.param([[symlink("bin/sh", "/etc"), forge.folder("etc")]], {}, id="link-to-a-folder"),
        pytest.param(
            [[symlink("bin/sh", "x"), file("bin/x", ELF)]], {}, id="link-to-no-executable"
        ),
        pytest.param(
            [
                [
                    program("bin/[", BUSYBOX),
                    hardlink("bin/busybox", "bin/["),
                    hardlink("bin/sh", "bin/["),
                    hardlink("bin/ls", "bin/["),
                ]
            ],
            {
                "/bin/[": ("busybox", "content"),
                "/bin/busybox": ("busybox", "link"),
                "/bin/sh": ("sh", "link"),
            },
            id="78-real-busybox",
        ),
        pytest.param(
            [[SH, hardlink("app/x", "bin/sh")]],
            {"/bin/sh": ("sh", "path"), "/app/x": ("sh", "link")},
            id="78-alien-hard-link",
        ),
        pytest.param(
            [[SH, hardlink("app/x", "bin/sh")], [whiteout("bin/sh")]],
            {},
            id="a-shell-in-nothing-but-its-old-name",
        ),
        pytest.param(
            [[program("bin/sh", BASH), hardlink("app/x", "bin/sh")], [whiteout("bin/sh")]],
            {"/app/x": ("bash", "content")},
            id="by-content-it-still-is",
        ),
        pytest.param([[SH], [whiteout("bin/sh")]], {}, id="66-whited-out"),
        pytest.param(
            [[SH], [whiteout("bin/sh")], [SH]], {"/bin/sh": ("sh", "path")}, id="67-back-again"
        ),
        pytest.param(
            [[SH], [whiteout("bin"), forge.folder("bin")]],
            {"/bin/sh": ("sh", "path")},
            id="68-either",
        ),
        pytest.param([[SH], [opaque("")]], {"/bin/sh": ("sh", "path")}, id="77-either"),
        pytest.param([[SH], [special("bin/sh", b"3")]], {}, id="64-in-neither"),
        pytest.param([[SH, file("bin/sh", b"text")]], {}, id="65-elf-then-text"),
        pytest.param(
            [[file("bin/sh", b"text"), SH]], {"/bin/sh": ("sh", "path")}, id="65-text-then-elf"
        ),
        pytest.param(
            [[SH, symlink("l", "bin")], [whiteout("l/sh")]],
            {"/bin/sh": ("sh", "path")},
            id="73-either",
        ),
        pytest.param(
            [[forge.folder("usr/lib/bash"), program("usr/lib/bash/x")]],
            {},
            id="a-folder-named-bash",
        ),
        pytest.param(
            [
                [
                    program(f"usr/bin/{name}")
                    for name in (
                        "python3",
                        "perl",
                        "node",
                        "lua",
                        "awk",
                        "vi",
                        "find",
                        "env",
                        "git",
                    )
                ]
            ],
            {},
            id="82-interpreters-are-none",
        ),
    ],
)
def test_shells(layers: list[list[forge.Entry]], expected: dict[str, tuple[str, str]]) -> None:
    assert shells(*layers) == expected


def test_where_a_shell_comes_from() -> None:
    image = [[file("etc/os-release", b"ID=x")], [BB], [symlink("bin/sh", "/busybox/busybox")]]
    layers = [forge.sha256(gzip.compress(forge.tar(one), 6, mtime=0)) for one in image]

    link, binary = files(*image).shells

    assert link == Program(
        path="/bin/sh",
        name="sh",
        by="link",
        target="/busybox/busybox",
        layer=2,
        layer_digest=layers[2],
        created_by="COPY layer2 /",
    )
    assert binary == Program(
        path="/busybox/busybox",
        name="busybox",
        by="path",
        layer=1,
        layer_digest=layers[1],
        created_by="COPY layer1 /",
    )


def test_names_that_are_not_utf8() -> None:
    data = forge.tar([program("bin/XX/sh")]).replace(b"XX", b"\xff\n")
    block = bytearray(data[:512])
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\0 " % sum(block)

    assert shells(bytes(block) + data[512:]) == {"/bin/\\xff\n/sh": ("sh", "path")}


@pytest.mark.parametrize(
    "layers, expected",
    [
        pytest.param([[program("sbin/apk")]], {"/sbin/apk": ("apk", "path")}, id="front-end"),
        pytest.param(
            [[file("lib/apk/db/installed"), file("var/lib/dpkg/status")]], {}, id="84-databases"
        ),
        pytest.param([[file("usr/bin/apt")]], {}, id="not-executable"),
        pytest.param(
            [[program("x/apk.static")]], {"/x/apk.static": ("apk", "path")}, id="84-apk.static"
        ),
        pytest.param(
            [
                [
                    symlink("usr/bin/npm", "../lib/npm-cli.js"),
                    program("usr/lib/npm-cli.js", b"#!/usr/bin/env node\n"),
                ]
            ],
            {"/usr/bin/npm": ("npm", "link")},
            id="84-npm-is-a-link",
        ),
        pytest.param([[symlink("usr/bin/npm", "../lib/npm-cli.js")]], {}, id="a-dangling-one"),
        pytest.param(
            [[program("venv/bin/pip3.13", SCRIPT)]],
            {"/venv/bin/pip3.13": ("pip", "path")},
            id="a-script",
        ),
        pytest.param(
            [[BB, symlink("busybox/dpkg", "/busybox/busybox")]],
            {"/busybox/dpkg": ("dpkg", "link")},
            id="applet",
        ),
        pytest.param([[program("etc/cron.daily/dpkg", b"#!/bin/sh\n")]], {}, id="a-cron-job"),
        pytest.param([[program("etc/apk")]], {"/etc/apk": ("apk", "path")}, id="a-binary-in-etc"),
        pytest.param(
            [[program("usr/bin/dpkg-query"), program("usr/bin/apt-extracttemplates")]],
            {},
            id="others",
        ),
    ],
)
def test_package_managers(
    layers: list[list[forge.Entry]], expected: dict[str, tuple[str, str]]
) -> None:
    assert shown(files(*layers).package_managers) == expected


@pytest.mark.parametrize(
    "layers, expected",
    [
        pytest.param(
            [
                [
                    program("usr/bin/x86_64-linux-gnu-gcc-12"),
                    symlink("usr/bin/cc", "x86_64-linux-gnu-gcc-12"),
                ]
            ],
            {"/usr/bin/x86_64-linux-gnu-gcc-12": ("gcc", "path"), "/usr/bin/cc": ("cc", "link")},
            id="gcc",
        ),
        pytest.param(
            [[file("usr/share/doc/gcc-14-base/copyright"), forge.folder("usr/lib/gcc")]],
            {},
            id="84-gcc-14-base",
        ),
        pytest.param(
            [
                [
                    file("usr/include/stdio.h"),
                    file("usr/include/sys/types.h"),
                    file("usr/local/include/python3.13/Python.h"),
                ]
            ],
            {"/usr/include": ("headers", "path"), "/usr/local/include": ("headers", "path")},
            id="headers-once-a-tree",
        ),
        pytest.param(
            [[file("usr/lib/python3/numpy/core/include/numpy/arrayobject.h")]],
            {},
            id="headers-of-a-package",
        ),
        pytest.param([[file("usr/include/README")]], {}, id="no-headers"),
        pytest.param(
            [
                [
                    program("usr/local/go/bin/go"),
                    program("usr/local/go/pkg/tool/linux_amd64/compile"),
                    program("usr/local/go/pkg/tool/linux_amd64/link"),
                ]
            ],
            {"/usr/local/go/bin/go": ("go", "path"), "/usr/local/go/pkg/tool": ("go", "path")},
            id="go",
        ),
        pytest.param([[BB, symlink("busybox/ar", "busybox")]], {}, id="an-applet-is-none"),
        pytest.param([[program("etc/skel/make", SCRIPT)]], {}, id="below-etc"),
    ],
)
def test_build_tools(layers: list[list[forge.Entry]], expected: dict[str, tuple[str, str]]) -> None:
    assert shown(files(*layers).build_tools) == expected


CAPABLE = {"SCHILY.xattr.security.capability": "\x01\0\0\x02"}


@pytest.mark.parametrize(
    "layers, expected",
    [
        pytest.param([[program("bin/su", mode=0o4755)]], {("/bin/su", "setuid")}, id="setuid"),
        pytest.param(
            [[program("bin/x", mode=0o6755)]],
            {("/bin/x", "setuid"), ("/bin/x", "setgid")},
            id="both",
        ),
        pytest.param(
            [[file("x", mode=0o755, pax=CAPABLE)]], {("/x", "capabilities")}, id="86-capabilities"
        ),
        pytest.param([[program("x", mode=0o4755), program("x")]], set(), id="85-cleared-later"),
        pytest.param(
            [[program("x", mode=0o4755)], [program("x")]], set(), id="85-cleared-in-a-layer-above"
        ),
        pytest.param(
            [[program("x")], [program("x", mode=0o4755)]], {("/x", "setuid")}, id="85-set-above"
        ),
        pytest.param(
            [[program("x"), hardlink("y", "x", mode=0o4755)]],
            {("/x", "setuid"), ("/y", "setuid")},
            id="85-set-by-a-hard-link",
        ),
        pytest.param([[forge.folder("srv", mode=0o2755)]], set(), id="85-folder"),
        pytest.param([[symlink("x", "y")]], set(), id="symlink"),
        pytest.param([[program("x", mode=0o4755)], [whiteout("x")]], set(), id="whited-out"),
    ],
)
def test_setuid(layers: list[list[forge.Entry]], expected: set[tuple[str, str]]) -> None:
    assert {(one.path, one.name) for one in files(*layers).setuid} == expected


@pytest.mark.parametrize("libc", ["musl-amd64", "uclibc-amd64", "glibc-amd64", "musl-arm64v8"])
def test_real_busybox_images(libc: str) -> None:
    found = merged(config(), layout_layers(real_images() / f"busybox-{libc}"))

    assert shown(found.shells) == {
        "/bin/[": ("busybox", "content"),
        "/bin/ash": ("ash", "link"),
        "/bin/busybox": ("busybox", "link"),
        "/bin/hush": ("hush", "link"),
        "/bin/sh": ("sh", "link"),
    }
    assert shown(found.package_managers) == {
        "/bin/dpkg": ("dpkg", "link"),
        "/bin/rpm": ("rpm", "link"),
    }
    assert found.build_tools == found.setuid == found.problems == ()
