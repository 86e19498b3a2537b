"""One layer read, proved and boiled down."""

from __future__ import annotations

import gzip
import hashlib
import struct
from collections.abc import Iterator
from dataclasses import replace

import pytest

from tests.image.reading import BUSYBOX, ELF, GZIP, LIMITS, chunked, program, read, real_images
from tests.image.test_elf import elf
from tests.support import forge
from tests.support.rawtar import END, member, pax
from webhook.errors import IntegrityError, LimitExceeded, Malformed, Unreachable, Unsupported
from webhook.image import tarheader
from webhook.image.facts import Executable, LayerRef
from webhook.image.layer import Entry, Layer, clean, read_layer, remaining, text
from webhook.limits import MIB

DATA = forge.tar([forge.file("etc/passwd", b"root:x:0:0::/:/sbin/nologin\n"), program("bin/app")])
BLOB = gzip.compress(DATA, mtime=0)
REF = LayerRef(
    index=0,
    digest=forge.sha256(BLOB),
    diff_id=forge.sha256(DATA),
    media_type=GZIP,
    compressed=len(BLOB),
    created_by=None,
)


def only(*entries: forge.Entry, digests: bool = False) -> Entry:
    """The last entry of a layer."""
    return read(forge.tar(entries), digests=digests).entries[-1]


def test_a_layer() -> None:
    layer = read_layer(REF, chunked(BLOB), LIMITS)

    assert layer == Layer(
        ref=REF,
        unpacked=len(DATA),
        entries=[
            Entry(b"etc/passwd", tarheader.REGULAR, 0o644, 0, 0, 28, b""),
            Entry(
                b"bin/app",
                tarheader.REGULAR,
                0o755,
                0,
                0,
                len(ELF),
                b"",
                Executable(kind="elf", machine="amd64"),
            ),
        ],
        bodies={0: b"root:x:0:0::/:/sbin/nologin\n"},
    )


@pytest.mark.parametrize(
    "changes, blob",
    [
        pytest.param({"digest": "sha256:" + "0" * 64}, BLOB, id="digest"),
        pytest.param({"diff_id": "sha256:" + "0" * 64}, BLOB, id="diff_id"),
        pytest.param({"diff_id": forge.sha256(BLOB)}, BLOB, id="diff_id-of-the-compressed"),
        pytest.param({"compressed": len(BLOB) - 1}, BLOB, id="more-bytes-than-promised"),
        pytest.param({"compressed": len(BLOB) + 1}, BLOB, id="fewer-bytes-than-promised"),
        pytest.param({}, BLOB[:-9], id="truncated-on-the-way"),
        pytest.param({}, BLOB[:50] + b"\xff" * 20 + BLOB[70:], id="corrupted-on-the-way"),
        pytest.param({}, b"<html>502 Bad Gateway</html>".ljust(len(BLOB)), id="another-document"),
        pytest.param({}, b"", id="nothing"),
    ],
)
@pytest.mark.parametrize("second_core", [False, True])
def test_bytes_that_are_not_the_promised_ones(
    changes: dict[str, object], blob: bytes, second_core: object
) -> None:
    """It is the bytes' fault, not the image's, even where they could not be unpacked."""
    with pytest.raises(IntegrityError):
        read_layer(replace(REF, **changes), chunked(blob), LIMITS, second_core=bool(second_core))


@pytest.mark.parametrize("size", [1, 1000])
@pytest.mark.parametrize(
    "data",
    [
        pytest.param(DATA, id="layer"),
        pytest.param(DATA + b"rest" * 100_000, id="bytes-after-the-archive"),
        pytest.param(b"x" * 1_000_000, id="no-archive"),
        pytest.param(member(b"x", kind=b"S") + bytes(1_000_000), id="unsupported"),
        pytest.param(DATA[:600], id="cut"),
        pytest.param(b"", id="empty"),
    ],
)
def test_a_second_core_changes_nothing(data: bytes, size: int) -> None:
    blob = gzip.compress(data, mtime=0)
    ref = replace(REF, digest=forge.sha256(blob), diff_id=forge.sha256(data), compressed=len(blob))

    def outcome(*, second_core: bool) -> object:
        try:
            return read_layer(ref, chunked(blob, size), LIMITS, second_core=second_core)
        except (Malformed, Unsupported) as error:
            return type(error), error.detail

    assert outcome(second_core=True) == outcome(second_core=False)


def test_an_endless_blob_is_left_at_the_promised_size() -> None:
    seen = 0

    def endless() -> Iterator[bytes]:
        nonlocal seen
        while True:
            seen += 1000
            yield bytes(1000)

    ref = replace(REF, media_type="application/vnd.oci.image.layer.v1.tar")
    with pytest.raises(IntegrityError, match="more than"):
        read_layer(ref, endless(), LIMITS)
    assert seen <= len(BLOB) + 1000


def test_sha512_digests() -> None:
    ref = replace(REF, digest="sha512:" + hashlib.sha512(BLOB).hexdigest())

    assert read_layer(ref, [BLOB], LIMITS).unpacked == len(DATA)


def test_data_after_the_archive_is_hashed_but_not_there() -> None:
    """Catalogue 60."""
    data = DATA + forge.tar([program("bin/sh")])

    layer = read(data)

    assert layer.unpacked == len(data)
    assert [entry.path for entry in layer.entries] == [b"etc/passwd", b"bin/app"]


def test_gzip_after_the_archives_end_is_still_proved() -> None:
    with pytest.raises(IntegrityError):
        read_layer(replace(REF, digest=forge.sha256(BLOB[:-1])), chunked(BLOB), LIMITS)


def test_malformed_names_the_layer() -> None:
    with pytest.raises(Malformed, match=r"layer sha256:.*tar header is invalid"):
        read(b"x" * 512)


@pytest.mark.parametrize("kind", [b"7", b"S", b"Z", b"X", b"V"])
def test_tar_types_that_no_node_unpacks(kind: bytes) -> None:
    """Catalogue 63."""
    with pytest.raises(Unsupported):
        read(member(b"bin/sh", ELF, kind=kind) + END)


def test_errors_of_the_source_pass_through() -> None:
    def broken() -> Iterator[bytes]:
        yield BLOB[:100]
        raise Unreachable("connection reset")

    with pytest.raises(Unreachable):
        read_layer(REF, broken(), LIMITS)


def test_progress() -> None:
    seen: list[int] = []

    read_layer(REF, chunked(BLOB, 100), LIMITS, progress=seen.append)

    assert sum(seen) == len(BLOB)
    assert seen[0] == 100


def test_progress_can_end_the_reading() -> None:
    def stop(_: int) -> None:
        raise TimeoutError

    with pytest.raises(TimeoutError):
        read_layer(REF, chunked(BLOB), LIMITS, progress=stop)


@pytest.mark.parametrize(
    "name, expected",
    [
        (b"usr/bin/sh", b"usr/bin/sh"),
        (b"./usr/bin/", b"usr/bin"),
        (b"/bin/sh", b"bin/sh"),
        (b"//bin//sh", b"bin/sh"),
        (b".//bin/./sh", b"bin/sh"),
        (b"../../bin/sh", b"bin/sh"),
        (b"a/../../bin/sh", b"bin/sh"),
        (b"bin/sh/", b"bin/sh"),
        (b"bin/sh//", b"bin/sh"),
        (b"usr/.hidden", b"usr/.hidden"),
        (b".wh.x", b".wh.x"),
        (b"././x", b"x"),
        (b"./../x", b"x"),
        (b".", b""),
        (b"./", b""),
        (b"/", b""),
        (b"..", b""),
        (b"", b""),
        (b"a\nb", b"a\nb"),
    ],
)
def test_clean(name: bytes, expected: bytes) -> None:
    """Catalogue 61."""
    assert clean(name) == expected


def test_text() -> None:
    assert text(b"caf\xc3\xa9/\xff\n") == "café/\\xff\n"


@pytest.mark.parametrize(
    "entry, expected",
    [
        pytest.param(
            program("x", elf(183)), Executable(kind="elf", machine="arm64"), id="static-elf"
        ),
        pytest.param(
            program("x", b"#!/usr/bin/env node\n"),
            Executable(kind="script", interpreter="/usr/bin/env", interpreter_argument="node"),
            id="script",
        ),
        pytest.param(program("x", b"text"), Executable(kind="other"), id="text"),
        pytest.param(program("x", b""), Executable(kind="other"), id="empty"),
        pytest.param(program("x", ELF, mode=0o644), None, id="not-executable"),
        pytest.param(
            program("x", ELF, mode=0o001), Executable(kind="elf", machine="amd64"), id="one-x"
        ),
        pytest.param(forge.folder("x"), None, id="folder"),
    ],
)
def test_programs(entry: forge.Entry, expected: Executable | None) -> None:
    assert only(entry).program == expected


@pytest.mark.parametrize("place", [120, 4090, 5000, 300_000])
def test_interpreter_wherever_it_lies(place: int) -> None:
    segment = struct.pack("<IIQQQQQQ", 3, 4, place, 0, 0, 11, 11, 1)
    head = elf(62, segments=segment, count=1)
    body = head.ljust(place, b"\0") + b"/lib/ld.so\0" + bytes(700)

    assert only(program("x", body)).program == Executable(
        kind="elf", interpreter="/lib/ld.so", machine="amd64"
    )


def test_a_shell_by_its_content() -> None:
    assert only(program("app/server", BUSYBOX + bytes(10_000))).shell == "busybox"


def test_capabilities() -> None:
    """Catalogue 86."""
    entry = forge.file("x", pax={"SCHILY.xattr.security.capability": "\x01\0\0\x02"})

    assert only(entry).capabilities
    assert not only(forge.file("x", pax={"SCHILY.xattr.user.x": "1"})).capabilities


def test_setuid_hidden_by_leading_nuls() -> None:
    """Catalogue 57."""
    (entry,) = read(member(b"x", mode=b"\0\0004755\0") + END).entries

    assert entry.mode == 0o4755


def test_odd_owners_are_as_the_kernel_takes_them() -> None:
    (entry,) = read(member(b"x", uid=b"\x80\0\0\x01\0\0\0\0", gid=b"\xff" * 8) + END).entries

    assert (entry.uid, entry.gid) == (0, 0xFFFFFFFF)


@pytest.mark.parametrize("minor, expected", [(0, True), (3, False)])
def test_the_device_overlayfs_takes_for_a_whiteout(minor: int, expected: object) -> None:
    assert only(forge.special("bin/sh", b"3", minor=minor)).whiteout is expected


def test_digests_of_every_regular_file() -> None:
    entries = [program("a", BUSYBOX), forge.file("b", b"text"), forge.file("c"), forge.folder("d")]

    found = [entry.sha256 for entry in read(forge.tar(entries), digests=True).entries]

    assert found == [
        *(hashlib.sha256(body).hexdigest() for body in (BUSYBOX, b"text", b"")),
        None,
    ]
    assert only(program("a", BUSYBOX), digests=True).shell == "busybox"


def test_bodies_that_are_kept() -> None:
    entries = [
        forge.file("./etc/passwd", b"first"),
        forge.file("etc/passwd", b"last"),
        forge.file("usr/lib/os-release", b"ID=x"),
        forge.file("etc/os-release", bytes(65 * 1024)),
        forge.file("srv/passwd", b"other"),
    ]
    data = forge.tar(entries)
    layer = read(data)

    assert dict(layer.bodies) == {1: b"last", 2: b"ID=x"}
    again = read_layer(layer.ref, [gzip.compress(data, 6, mtime=0)], LIMITS, keep={0, 4})
    assert dict(again.bodies) == {0: b"first", 1: b"last", 2: b"ID=x", 4: b"other"}


def test_a_passwd_that_containerd_would_not_read_is_not_kept() -> None:
    data = forge.tar([forge.file("etc/passwd", bytes(10 * MIB + 1))])

    assert read(data, blob=data, media_type=forge.OCI_LAYER).bodies == {}


def test_problems_of_the_archive_are_handed_on() -> None:
    layer = read(pax((b"path", b"a")) + pax((b"path", b"b")) + member(b"c") + END)

    assert [problem.reason for problem in layer.problems] == ["malformed"]


def test_limits_that_are_left() -> None:
    layer = read_layer(REF, [BLOB], LIMITS)

    left = remaining(LIMITS, [layer, layer])

    assert left.unpacked_bytes == LIMITS.unpacked_bytes - 2 * len(DATA)
    assert left.entries == LIMITS.entries - 4
    with pytest.raises(LimitExceeded):
        read_layer(REF, [BLOB], remaining(replace(LIMITS, entries=3), [layer]))
    with pytest.raises(LimitExceeded):
        read_layer(REF, [BLOB], remaining(replace(LIMITS, unpacked_bytes=10), [layer]))


def test_an_empty_layer_may_follow_when_nothing_is_left() -> None:
    assert read(END, limits=replace(LIMITS, entries=0)).entries == []


@pytest.mark.parametrize("blob", [b"", gzip.compress(END)], ids=["no-bytes", "zero-blocks"])
def test_empty_layers(blob: bytes) -> None:
    """Catalogue 39."""
    layer = read(gzip.decompress(blob), blob=blob)

    assert layer.entries == []


def test_real_alpine() -> None:
    data = gzip.decompress((real_images() / "alpine-minirootfs-3.20-x86_64.tar.gz").read_bytes())
    layer = read(data)
    by_path = {entry.path: entry for entry in layer.entries}

    assert len(layer.entries) == 518
    assert by_path[b"bin/sh"].link == b"/bin/busybox"
    assert by_path[b"bin/busybox"].shell == "busybox"
    assert by_path[b"bin/busybox"].program == Executable(
        kind="elf", interpreter="/lib/ld-musl-x86_64.so.1", machine="amd64", dynamic=True
    )
    assert [entry.shell for entry in layer.entries if entry.shell] == ["busybox"]
