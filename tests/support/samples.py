"""The sample images: one for each thing slimgate is asked to tell apart, by name.

    SAMPLES["shell-by-symlink"].image     # a forged image (tests.support.forge)
    SAMPLES["root-zero"].fails            # the check of distroless-nonroot that refuses it
    STORIES["node-as-root"]               # what people really deploy

Each of ``SAMPLES`` breaks one rule at most, so that a refusal proves that rule. All are undated,
as reproducible builds are, so that no test ages. Every program in them is a small ELF file that
starts, tells its uid and sleeps, so that a kubelet can run them, too.
"""

from __future__ import annotations

import random
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from tests.support import forge

NONROOT = 65532

PASSWD = (
    b"root:x:0:0:root:/root:/sbin/nologin\n"
    b"nobody:x:65534:65534:nobody:/nonexistent:/sbin/nologin\n"
    b"nonroot:x:65532:65532:nonroot:/home/nonroot:/sbin/nologin\n"
)
OS_RELEASE = b'PRETTY_NAME="Distroless"\nNAME="Debian GNU/Linux"\nID="debian"\nVERSION_ID="13"\n'


@dataclass(frozen=True)
class Sample:
    """An image, what is wrong with it, and how a pod should run it."""

    name: str
    about: str
    make: Callable[[], forge.Image]
    fails: str | None = None
    """The one check of ``distroless-nonroot`` that refuses it; None: it is let in."""
    says: str = ""
    """What a refusal must tell of it: the path, the user, …"""
    pod: Mapping[str, Any] = field(default_factory=dict)
    """Fields of the pod's spec beside its container."""

    @cached_property
    def image(self) -> forge.Image:
        """The forged image, made once."""
        return self.make()


ADDRESS, EHDR, PHDR = 0x400000, 64, 56
LINKED = 0x10000000
"""Where programs lie whose loader is ``elf()``, which lies at ``ADDRESS``."""
STOPS = bytes.fromhex("bf7f000000 b8e7000000 0f05")
"""exit_group(127), as dynamic loaders end that find not everything."""
CODE = bytes.fromhex(
    "4883ec40 488d742440 48ffce c6060a"  # a buffer on the stack, filled from its end: a line feed
    "b868000000 0f05 e841000000"  # getgid, and its digits
    "4883ee05 c70620676964 c6460420"  # " gid "
    "b866000000 0f05 e827000000"  # getuid, and its digits
    "4883ee04 c70675696420"  # "uid "
    "488d542440 4829f2 bf01000000 b801000000 0f05"  # write it all to stdout
    "b822000000 0f05 ebf7"  # again: pause; jmp again
    "6a0a 5f 31d2 f7f7 80c230 48ffce 8816 85c0 75f0 c3"  # eax in decimal, before rsi
)


def elf(payload: bytes = b"", code: bytes = CODE) -> bytes:
    """A small static amd64 program that prints ``uid 65532 gid 65532``, whoever it is, and sleeps.

    ``payload`` comes along as read-only data.
    """
    start = EHDR + PHDR
    size = start + len(code) + len(payload)
    header = struct.pack(
        "<16sHHIQQQIHHHHHH",
        b"\x7fELF\x02\x01\x01",  # 64 bits, little-endian, version 1
        *(2, 62, 1),  # ET_EXEC, EM_X86_64, version 1
        *(ADDRESS + start, EHDR, 0, 0),  # entry, program headers, no sections
        *(EHDR, PHDR, 1, 0, 0, 0),
    )
    load = struct.pack("<IIQQQQQQ", 1, 5, 0, ADDRESS, ADDRESS, size, size, 0x1000)
    return header + load + code + payload


def dynamic(payload: bytes = b"") -> bytes:
    """A small file that names a dynamic loader (PT_INTERP), and holds nothing to run."""
    loader = b"/lib64/ld-linux-x86-64.so.2\0"
    at = EHDR + PHDR
    header = struct.pack(
        "<16sHHIQQQIHHHHHH",
        b"\x7fELF\x02\x01\x01",
        *(3, 62, 1),  # ET_DYN
        *(at, EHDR, 0, 0),  # an entry point
        *(EHDR, PHDR, 1, 0, 0, 0),
    )
    segment = struct.pack("<IIQQQQQQ", 3, 4, at, at, at, len(loader), len(loader), 1)
    return header + segment + loader + payload


def linked(
    *needed: str, loader: str = "/lib64/ld-linux-x86-64.so.2", run_path: str | None = None
) -> bytes:
    """A program that needs these libraries, and holds nothing to run: what runs is its loader."""
    words = [b"", *(name.encode() for name in needed)]
    words += [] if run_path is None else [run_path.encode()]
    places = [sum(len(word) + 1 for word in words[:number]) for number in range(len(words))]
    tags = [(1, at) for at in places[1 : len(needed) + 1]]  # DT_NEEDED
    tags += [] if run_path is None else [(29, places[-1])]  # DT_RUNPATH
    strings = b"".join(word + b"\0" for word in words)
    named = loader.encode() + b"\0"
    start = EHDR + 3 * PHDR
    interpreter, text = start, start + len(named)
    table = text + len(strings)
    tags += [(5, LINKED + text), (10, len(strings)), (0, 0)]  # DT_STRTAB, DT_STRSZ, DT_NULL
    size = table + 16 * len(tags)
    header = struct.pack(
        "<16sHHIQQQIHHHHHH",
        b"\x7fELF\x02\x01\x01",
        *(2, 62, 1),
        *(LINKED + start, EHDR, 0, 0),
        *(EHDR, PHDR, 3, 0, 0, 0),
    )
    places = ((3, interpreter, len(named)), (1, 0, size), (2, table, size - table))
    segments = b"".join(
        struct.pack("<IIQQQQQQ", kind, 4, at, LINKED + at, LINKED + at, long, long, 1)
        for kind, at, long in places
    )
    section = b"".join(struct.pack("<QQ", *tag) for tag in tags)
    return header + segments + named + strings + section


def program(path: str, payload: bytes = b"") -> forge.Entry:
    """An executable that starts."""
    return forge.file(path, elf(payload), mode=0o755)


def packed() -> bytes:
    """Such a program as UPX 4.2.3, built from its source, left it (``upx --best --no-lzma``).

    UPX wants 40,000 zeros of payload, to have something to pack, and a second program header
    (PT_GNU_STACK).
    """
    return (Path(__file__).parent / "packed.upx").read_bytes()


def busybox() -> bytes:
    """A static program with the strings by which BusyBox is known in any version."""
    return elf(
        b"BusyBox v1.37.0 (2025-11-05 12:00:00 UTC)\0"
        b"BusyBox is copyrighted by many authors between 1998-2015.\n"
        b"Usage: busybox [function [arguments]...]\n   or: function [arguments]...\0"
        b"\tBusyBox is a multi-call binary that combines many common Unix\n"
        b"\tutilities into a single executable.\0applet not found\0"
    )


def base(*, passwd: bytes = PASSWD) -> list[forge.Entry]:
    """What a distroless base holds: users, a package database, no package manager."""
    return [
        forge.folder("etc"),
        forge.file("etc/passwd", passwd),
        forge.file("etc/os-release", OS_RELEASE),
        forge.folder("var/lib/dpkg/status.d"),
        forge.file("var/lib/dpkg/status.d/tzdata", b"Package: tzdata\nVersion: 2025b-4\n"),
    ]


def noise(size: int, *, repeat: int = 1) -> bytes:
    """``size`` bytes that compress by about ``repeat`` (a block of 4 KiB at most 1:250)."""
    block = random.Random(size).randbytes(min(size, max(size // repeat, 4096)))
    return (block * (size // len(block) + 1))[:size]


def built(
    *layers: list[forge.Entry], user: str | None = str(NONROOT), **changes: Any
) -> forge.Image:
    """An undated image whose program is ``/app/server``, with one history step a layer."""
    changes.setdefault("entrypoint", ["/app/server"])
    return forge.image(layers, user=user, created=None, **changes)


def distroless(
    *extra: forge.Entry,
    user: str | None = str(NONROOT),
    passwd: bytes = PASSWD,
    step: str = "COPY --from=build /out/ /",
) -> forge.Image:
    """A multi-stage build's final image: a distroless base and one program."""
    return built(
        base(passwd=passwd),
        [program("app/server"), *extra],
        user=user,
        history=["bazel build //base:static_nonroot", step],
    )


def _root(user: str | None, **changes: Any) -> Callable[[], forge.Image]:
    return lambda: distroless(user=user, **changes)


def _with(*extra: forge.Entry, step: str) -> Callable[[], forge.Image]:
    return lambda: distroless(*extra, step=step)


COMPRESSED, UNPACKED = 3 << 20, 24 << 20
"""Bytes of the two samples that are too big; give a policy limits below these."""


def _alpine() -> forge.Image:
    """A single-stage image on an Alpine-like base: a shell and a package manager come along."""
    applets = [forge.symlink(f"bin/{name}", "/bin/busybox") for name in ("sh", "ash", "cat", "ls")]
    return built(
        [
            forge.file("etc/passwd", PASSWD),
            forge.file("etc/os-release", b'NAME="Alpine Linux"\nID=alpine\nVERSION_ID=3.22.2\n'),
            forge.file("bin/busybox", busybox(), mode=0o755),
            *applets,
            program("sbin/apk"),
            forge.file("lib/apk/db/installed", b"P:busybox\nV:1.37.0-r20\n"),
        ],
        [program("app/server")],
        history=[
            "ADD alpine-minirootfs-3.22.2-x86_64.tar.gz / # buildkit",
            "COPY server /app/server # buildkit",
        ],
    )


def _node() -> forge.Image:
    """A Node image left as so many Dockerfiles leave it: no USER, npm and a shell inside."""
    return built(
        [
            forge.file("etc/passwd", PASSWD),
            forge.file("etc/os-release", b'NAME="Debian GNU/Linux"\nID=debian\nVERSION_ID="13"\n'),
            program("bin/dash"),
            forge.symlink("bin/sh", "dash"),
            program("usr/bin/apt-get"),
            program("usr/bin/dpkg"),
        ],
        [
            program("usr/local/bin/node"),
            forge.file(
                "usr/local/lib/node_modules/npm/bin/npm-cli.js",
                b"#!/usr/bin/env node\n",
                mode=0o755,
            ),
            forge.symlink("usr/local/bin/npm", "../lib/node_modules/npm/bin/npm-cli.js"),
        ],
        [forge.file("app/server.js", b"require('http')\n")],
        user=None,
        entrypoint=["/usr/local/bin/node", "/app/server.js"],
        history=[
            "# debian.sh --arch 'amd64' out/ 'trixie'",
            "RUN /bin/sh -c ARCH=x64 && curl -fsSLO node-v24.11.1-linux-x64.tar.xz # buildkit",
            "COPY . /app # buildkit",
        ],
    )


def _go_single_stage() -> forge.Image:
    """A Go program shipped in the image that built it: toolchain, git, compiler and all."""
    return built(
        [
            forge.file("etc/passwd", PASSWD),
            program("bin/dash"),
            forge.symlink("bin/sh", "dash"),
            program("usr/bin/apt-get"),
        ],
        [
            program("usr/bin/gcc-14"),
            forge.symlink("usr/bin/gcc", "gcc-14"),
            program("usr/bin/git"),
            program("usr/bin/make"),
        ],
        [
            program("usr/local/go/bin/go"),
            program("usr/local/go/pkg/tool/linux_amd64/compile", noise(UNPACKED)),
        ],
        [program("app/server")],
        user=None,
        history=[
            "# debian.sh --arch 'amd64' out/ 'trixie'",
            "RUN /bin/sh -c apt-get install -y --no-install-recommends g++ gcc git make # buildkit",
            "COPY /target/ / # buildkit",
            "RUN /bin/sh -c go build -o /app/server ./cmd/server # buildkit",
        ],
    )


def _listed(*samples: Sample) -> dict[str, Sample]:
    return {sample.name: sample for sample in samples}


SAMPLES = _listed(
    Sample("root-unset", "no USER at all", _root(None), "nonRoot", "names no User"),
    Sample("root-zero", "USER 0", _root("0"), "nonRoot", 'User "0" is uid 0'),
    Sample("root-double-zero", "USER 00", _root("00"), "nonRoot", 'User "00" is uid 0'),
    Sample("root-with-group", "USER root:x", _root("root:x"), "nonRoot", 'User "root'),
    Sample(
        "root-by-passwd",
        "USER app, which /etc/passwd gives uid 0",
        _root("app", passwd=PASSWD + b"app:x:0:0::/app:/sbin/nologin\n"),
        "nonRoot",
        'User "app" is uid 0 in /etc/passwd',
    ),
    Sample(
        "shell-by-name",
        "a program named sh",
        _with(program("bin/sh"), step="COPY --from=build /rootfs/ /"),
        "noShell",
        "/bin/sh is sh",
    ),
    Sample(
        "shell-by-symlink",
        "a symlink named sh to a program with a harmless name",
        _with(program("app/toolbox"), forge.symlink("bin/sh", "../app/toolbox"), step="RUN ln -s"),
        "noShell",
        "/bin/sh is sh, a link to /app/toolbox",
    ),
    Sample(
        "shell-by-hardlink",
        "a hard link named sh to a program with a harmless name",
        _with(program("app/toolbox"), forge.hardlink("bin/sh", "app/toolbox"), step="RUN ln"),
        "noShell",
        "/bin/sh is sh, a link to /app/toolbox",
    ),
    Sample(
        "shell-by-content",
        "a static BusyBox under another name",
        _with(forge.file("app/metrics-helper", busybox(), mode=0o755), step="COPY helper /app/"),
        "noShell",
        "/app/metrics-helper is busybox by its content",
    ),
    Sample(
        "package-manager",
        "apk and its database",
        _with(
            program("sbin/apk"),
            forge.file("lib/apk/db/installed", b"P:apk-tools\nV:3.0.1-r0\n"),
            step="RUN apk add --no-cache ca-certificates",
        ),
        "noPackageManager",
        "/sbin/apk",
    ),
    Sample(
        "big-compressed",
        "more compressed bytes than the tests' policies allow",
        lambda: distroless(
            forge.file("app/model.bin", noise(COMPRESSED)), step="COPY model.bin /app/"
        ),
        "size",
        "compressed",
    ),
    Sample(
        "big-unpacked",
        "few compressed bytes, too many unpacked ones",
        lambda: distroless(
            forge.file("app/zeros.bin", noise(UNPACKED, repeat=4096)), step="RUN fallocate"
        ),
        "size",
        "unpacked",
    ),
    Sample("distroless", "distroless, USER 65532", distroless),
    Sample(
        "scratch",
        "a static program on scratch, USER 65532",
        lambda: built(
            [program("app/server")], history=["COPY --from=build /out/server /app/server"]
        ),
    ),
    Sample(
        "root-made-nonroot",
        "USER 0, and a pod that sets runAsUser",
        _root("0"),
        pod={"securityContext": {"runAsUser": NONROOT}},
    ),
)

STORIES = _listed(
    Sample("node-as-root", "node, no USER", _node, "nonRoot"),
    Sample("alpine-app", "a program on an Alpine-like base", _alpine, "noShell", "/bin/busybox"),
    Sample(
        "go-single-stage",
        "a Go program in the image that built it",
        _go_single_stage,
        "noBuildTools",
        "/usr/bin/gcc",
    ),
    Sample("go-distroless", "the same program, multi-stage on distroless", distroless),
)
