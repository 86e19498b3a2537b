"""The facts of an image's layers together, and the listing of its files."""

from __future__ import annotations

import gzip
import hashlib
import io
import tarfile
from dataclasses import replace

import pytest

from tests.image.reading import (
    BUSYBOX,
    ELF,
    LIMITS,
    config,
    files,
    layers_of,
    layout_layers,
    merged,
    program,
    read,
    real_images,
)
from tests.support import forge
from tests.support.forge import file, folder, hardlink, special, symlink, whiteout
from tests.support.rawtar import END, member, pax
from webhook.errors import LimitExceeded
from webhook.image import tree
from webhook.image.apply import merge
from webhook.image.facts import Executable, Programs
from webhook.image.tree import FileRecord
from webhook.limits import MIB

APP = b"app:x:1000:1000::/:/sbin/nologin\n"
ROOT = b"app:x:0:0::/:/sbin/nologin\n"
PASSWD = file("etc/passwd", APP)


@pytest.mark.parametrize(
    "layers, uid, root",
    [
        pytest.param([[PASSWD]], 1000, False, id="plain"),
        pytest.param([[PASSWD], [file("etc/passwd", ROOT)]], 0, True, id="20-a-later-layer"),
        pytest.param([[PASSWD], [whiteout("etc/passwd")]], None, None, id="20-whited-out"),
        pytest.param([[]], None, None, id="16-no-passwd"),
        pytest.param(
            [[symlink("etc/passwd", "/data/p"), file("data/p", ROOT)]], 0, True, id="20-a-link"
        ),
        pytest.param(
            [[symlink("etc", "data"), file("data/passwd", ROOT)]], 0, True, id="20-etc-is-a-link"
        ),
        pytest.param(
            [[symlink("etc", "data")], [file("data/passwd", ROOT)]], 0, True, id="20-below"
        ),
        pytest.param(
            [[folder("etc"), symlink("l", "etc"), file("l/passwd", ROOT)]], 0, True, id="via-a-link"
        ),
        pytest.param([[file("x", ROOT), hardlink("etc/passwd", "x")]], 0, True, id="a-hard-link"),
        pytest.param(
            [[symlink("etc/passwd", "../../../etc/p"), file("etc/p", APP)]],
            1000,
            False,
            id="clamped",
        ),
        pytest.param([[symlink("etc/passwd", "passwd")]], None, None, id="a-loop"),
        pytest.param([[symlink("etc/passwd", "gone")]], None, None, id="dangling"),
        pytest.param([[special("etc/passwd", b"6")]], None, None, id="20-a-fifo"),
        pytest.param([[folder("etc/passwd")]], None, None, id="a-folder"),
        pytest.param([[file("etc")]], None, None, id="etc-is-a-file"),
        pytest.param([[file("etc/passwd", b"x" * 70_000)]], None, None, id="20-a-long-line"),
        pytest.param(
            [[symlink("etc", "data"), file("data/passwd", ROOT)], [file("etc/passwd", APP)]],
            1000,
            False,
            id="both-ways-the-same-user",
        ),
        pytest.param(
            [
                [symlink("etc", "data"), file("data/passwd", ROOT)],
                [whiteout("data/passwd"), file("etc/x")],
            ],
            None,
            None,
            id="in-neither-way",
        ),
        pytest.param(
            [[symlink("l", "etc"), file("etc/passwd", APP)], [file("l/passwd", ROOT)]],
            0,
            True,
            id="the-worse-way",
        ),
        pytest.param(
            [
                [symlink("etc", "d/l"), symlink("d/l", "../r"), symlink("r/passwd", "../p")],
                [file("p", APP), file("d/p", ROOT)],
            ],
            None,
            None,
            id="another-file-in-older-versions",
        ),
    ],
)
def test_user(layers: list[list[forge.Entry]], uid: int | None, root: object) -> None:
    user = files(*layers, user="app").user

    assert (user.uid, user.root) == (uid, root)


def test_a_passwd_of_more_than_10_mib() -> None:
    data = forge.tar([file("etc/passwd", APP.ljust(10 * MIB + 1, b"\n"))])
    layer = read(data, blob=data, media_type=forge.OCI_LAYER)

    user = merged(config("app"), [layer]).user

    assert user.root is None
    assert "10 MiB" in user.reason


def test_a_passwd_elsewhere_is_wanted() -> None:
    data = forge.tar([symlink("etc/passwd", "/data/p"), file("data/q"), file("data/p", ROOT)])
    layers = [read(forge.tar([])), read(data, index=1)]

    assert tree.wanted(layers, merge(layers, LIMITS)) == {1: frozenset({2})}


def test_mostly_nothing_is_wanted() -> None:
    layers = layers_of(
        [[PASSWD, symlink("etc/os-release", "../usr/lib/os-release"), file("usr/lib/os-release")]]
    )

    assert tree.wanted(layers, merge(layers, LIMITS)) == {}


@pytest.mark.parametrize(
    "entries, expected",
    [
        pytest.param([file("etc/os-release", b"ID=debian\n")], {"ID": "debian"}, id="etc"),
        pytest.param([file("usr/lib/os-release", b"ID=x\n")], {"ID": "x"}, id="usr-lib"),
        pytest.param(
            [
                symlink("etc/os-release", "../usr/lib/os-release"),
                file("usr/lib/os-release", b"ID=x"),
            ],
            {"ID": "x"},
            id="link",
        ),
        pytest.param(
            [symlink("etc/os-release", "/x"), file("x", b"ID=elsewhere")],
            {"ID": "elsewhere"},
            id="90-away",
        ),
        pytest.param(
            [symlink("etc/os-release", "../../../../proc/1/x")], {}, id="90-out-of-the-root"
        ),
        pytest.param([file("etc/os-release", b"ID=x\n" * 20_000)], {}, id="90-too-big"),
        pytest.param([folder("etc/os-release")], {}, id="a-folder"),
        pytest.param([], {}, id="none"),
    ],
)
def test_os_release(entries: list[forge.Entry], expected: dict[str, str]) -> None:
    assert files(entries).os_release == expected


def test_package_databases_are_no_package_managers() -> None:
    """Catalogue 84: distroless and apko carry a database alone."""
    found = files([file("var/lib/dpkg/status.d/base-files"), file("usr/lib/apk/db/installed")])

    assert found.package_databases == ("/usr/lib/apk/db/installed", "/var/lib/dpkg/status.d")
    assert found.package_managers == ()


def test_programs() -> None:
    found = files(
        [
            program("bin/app", ELF),
            hardlink("bin/also", "bin/app"),
            program("bin/run", b"#!/bin/sh -e\n"),
            file("bin/data", b"x"),
            symlink("lib", "usr/lib"),
        ]
    ).programs

    elf = Executable(kind="elf", machine="amd64")
    assert found == Programs(
        executables={
            "/bin/app": elf,
            "/bin/also": elf,
            "/bin/run": Executable(kind="script", interpreter="/bin/sh", interpreter_argument="-e"),
        },
        links={"/lib": "usr/lib"},
    )


def test_unpacked_bytes_of_each_layer() -> None:
    first, second = forge.tar([file("a", bytes(5000))]), forge.tar([])

    assert files(first, second).unpacked == (len(first), len(second))


def test_problems_of_archive_and_tree() -> None:
    odd = pax((b"path", b"a")) + pax((b"path", b"b")) + member(b"c") + END

    reasons = [problem.detail for problem in files([], odd + END, [file(".wh.")]).problems]

    assert [reason[:7] for reason in reasons] == ["layer 1", "layer 2"]


@pytest.mark.parametrize("changes", [{"unpacked_bytes": 30_000}, {"entries": 3}])
def test_layers_together_keep_to_the_limits(changes: dict[str, int]) -> None:
    layers = layers_of([[file("a"), file("b")], [file("c"), file("d")], [file("e", bytes(20_000))]])

    with pytest.raises(LimitExceeded):
        merge(layers, replace(LIMITS, **changes))


def test_no_layers_at_all() -> None:
    """Catalogue 39."""
    found = merged(config("65532"), [])

    assert found.user.uid == 65532
    assert found.shells == found.problems == ()


def test_listing() -> None:
    lower = [folder("bin", mode=0o700), program("bin/sh"), file("gone"), symlink("l", "bin/sh")]
    upper = [
        whiteout("gone"),
        file("bin/app", b"body", mode=0o4755, uid=7, gid=8),
        hardlink("also", "bin/app", mode=0o4755),
        special("dev/null", b"3", major=1, minor=3, mode=0o666),
        special("pipe", b"6"),
    ]
    layers = layers_of([lower, upper], digests=True)
    sha = hashlib.sha256(b"body").hexdigest()

    rows = [
        (r.path, r.type, r.mode, r.uid, r.gid, r.size, r.link, r.sha256, r.layer)
        for r in tree.listing(merge(layers, LIMITS))
    ]

    assert rows == [
        ("/also", "hardlink", "4755", 0, 0, 4, "/bin/app", sha, 1),
        ("/bin", "dir", "0700", 0, 0, 0, None, None, 0),
        ("/bin/app", "file", "4755", 0, 0, 4, None, sha, 1),
        ("/bin/sh", "file", "0755", 0, 0, len(ELF), None, hashlib.sha256(ELF).hexdigest(), 0),
        ("/dev", "dir", "0755", 0, 0, 0, None, None, 1),
        ("/dev/null", "char", "0666", 0, 0, 0, None, None, 1),
        ("/l", "symlink", "0777", 0, 0, 0, "bin/sh", None, 0),
        ("/pipe", "fifo", "0644", 0, 0, 0, None, None, 1),
    ]


def test_listing_of_a_hard_link_whose_first_name_is_gone() -> None:
    layers = layers_of([[file("a", b"x"), hardlink("b", "a"), hardlink("c", "a")], [whiteout("a")]])

    found = [
        (record.path, record.type, record.link) for record in tree.listing(merge(layers, LIMITS))
    ]

    assert found == [("/b", "file", None), ("/c", "hardlink", "/b")]


def test_listing_without_digests() -> None:
    (record,) = tree.listing(merge(layers_of([[program("x", BUSYBOX)]]), LIMITS))

    assert record == FileRecord(
        path="/x",
        type="file",
        mode="0755",
        uid=0,
        gid=0,
        size=len(BUSYBOX),
        link=None,
        sha256=None,
        layer=0,
    )


def test_real_alpine() -> None:
    data = gzip.decompress((real_images() / "alpine-minirootfs-3.20-x86_64.tar.gz").read_bytes())
    layers = [read(data)]
    found = merged(config("guest"), layers)

    assert {(one.path, one.name, one.by, one.target) for one in found.shells} == {
        ("/bin/busybox", "busybox", "path", None),
        ("/bin/ash", "ash", "link", "/bin/busybox"),
        ("/bin/sh", "sh", "link", "/bin/busybox"),
    }
    assert [one.path for one in found.package_managers] == ["/sbin/apk"]
    assert found.build_tools == found.setuid == found.problems == ()
    assert (found.user.uid, found.user.gid) == (405, 100)
    assert found.os_release["VERSION_ID"] == "3.20.3"
    assert found.package_databases == ("/lib/apk/db/installed",)
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        names = sorted(member.name[1:] for member in archive if member.name != ".")
    assert sorted(record.path for record in tree.listing(merge(layers, LIMITS))) == names


def test_real_apko_image_has_a_database_and_no_manager() -> None:
    found = merged(config(), layout_layers(real_images() / "apko-oci" / "golden"))

    assert found.package_databases
    assert found.shells == found.package_managers == found.problems == ()
