from __future__ import annotations

import gzip
import io
import os
import tarfile
import threading
from pathlib import Path

import pytest

from tests.support import forge
from webhook.errors import LimitExceeded, Malformed, NotFound
from webhook.limits import Limits
from webhook.registry.files import CHUNK_BYTES, Folder, Tar

BIG = bytes(range(256)) * 4096  # 1 MiB: several chunks


def write(path, data):
    path.write_bytes(data)
    return str(path)


def read(files, name):
    found = files.find(name)
    return None if found is None else b"".join(found.chunks())


ENTRIES = [
    forge.file("index.json", b"{}"),
    forge.file("./with/dot", b"dot"),
    forge.file("/rooted", b"root"),
    forge.file("big", BIG),
    forge.folder("folder"),
    forge.symlink("a/link", "../with/dot"),
    forge.symlink("a/link2", "link"),
    forge.hardlink("hard", "big"),
    forge.symlink("loop", "loop"),
    forge.symlink("escape", "../../../../../etc/passwd"),
    forge.symlink("absolute", "/etc/passwd"),
    forge.special("fifo", tarfile.FIFOTYPE),
    forge.file("twice", b"first"),
    forge.file("twice", b"last"),
    forge.file("x" * 300, b"long name"),
]


@pytest.fixture(params=["plain", "gzip", "stdin", "gzip on stdin", "fifo"])
def archive(request, tmp_path):
    """One archive, in all the ways it may come."""
    data = forge.tar(ENTRIES)
    if "gzip" in request.param:
        data = gzip.compress(data)
    if "stdin" in request.param:
        yield Tar.open("-", Limits(), io.BytesIO(data))
        return
    if request.param == "fifo":
        path = tmp_path / "fifo"
        os.mkfifo(path)
        writer = threading.Thread(target=path.write_bytes, args=(data,))
        writer.start()
        yield Tar.open(str(path), Limits())
        writer.join()
        return
    yield Tar.open(write(tmp_path / "archive.tar", data), Limits())


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("index.json", b"{}"),
        ("with/dot", b"dot"),
        ("rooted", b"root"),
        ("big", BIG),
        ("hard", BIG),
        ("a/link", b"dot"),
        ("a/link2", b"dot"),
        ("twice", b"last"),
        ("x" * 300, b"long name"),
        ("folder", None),
        ("fifo", None),
        ("loop", None),
        ("escape", None),
        ("absolute", None),
        ("none", None),
    ],
)
def test_tar(archive, name, expected):
    assert read(archive, name) == expected


def test_a_file_comes_in_chunks_and_as_often_as_asked(tmp_path):
    found = Tar.open(write(tmp_path / "a.tar", forge.tar(ENTRIES)), Limits()).find("big")
    assert found
    for _ in range(2):
        assert {len(chunk) for chunk in found.chunks()} == {CHUNK_BYTES}
    assert found.read(len(BIG), "big") == BIG
    with pytest.raises(LimitExceeded, match="big has 1048576 bytes"):
        found.read(len(BIG) - 1, "big")


CORRUPT = bytearray(gzip.compress(os.urandom(1 << 20)))
CORRUPT[1000:1010] = b"\xff" * 10


def header(**fields):
    info = tarfile.TarInfo("x")
    for name, value in fields.items():
        setattr(info, name, value)
    return info.tobuf(tarfile.GNU_FORMAT)


@pytest.mark.parametrize(
    ("data", "error"),
    [
        pytest.param(b"", Malformed, id="empty"),
        pytest.param(b"no tar at all" * 100, Malformed, id="text"),
        pytest.param(header()[:300], Malformed, id="half a header"),
        pytest.param(
            header(type=b"x", size=2 << 20) + b"0" * (3 << 20), LimitExceeded, id="PAX bomb"
        ),
        pytest.param(
            header(type=b"L", size=2 << 20) + b"0" * (3 << 20), LimitExceeded, id="name bomb"
        ),
        pytest.param(forge.tar([forge.file("x" * 5000)]), LimitExceeded, id="a long name"),
        pytest.param(forge.tar([forge.symlink("x", "y" * 5000)]), LimitExceeded, id="a long link"),
        pytest.param(header(type=b"x", size=1 << 60), LimitExceeded, id="PAX of an exabyte"),
        pytest.param((header(type=b"x", size=10) + b"\0" * 512) * 3000, Malformed, id="PAX chain"),
        pytest.param(gzip.compress(forge.tar(ENTRIES))[:-20], Malformed, id="truncated gzip"),
        pytest.param(header(size=10_000) + b"x" * 1000, Malformed, id="half a file"),
        pytest.param(header(size=-1024) + b"\0" * 5000, Malformed, id="a negative size"),
        pytest.param(header() * 2 + header(size=-1024), LimitExceeded, id="round and round"),
        pytest.param(CORRUPT, Malformed, id="corrupt gzip"),
        pytest.param(b"\x1f\x8b\x08" + b"x" * 100, Malformed, id="no gzip after all"),
    ],
)
def test_what_is_no_archive(tmp_path, data, error):
    with pytest.raises(error):
        Tar.open(write(tmp_path / "a.tar", data), Limits())


def test_an_archive_that_shrinks_while_it_is_read(tmp_path):
    path = tmp_path / "a.tar"
    found = Tar.open(write(path, forge.tar(ENTRIES)), Limits()).find("big")
    os.truncate(path, 100_000)
    with pytest.raises(Malformed, match="shorter"):
        list(found.chunks())


def test_a_gzip_bomb_stops_at_the_limit(tmp_path):
    path = write(tmp_path / "a.tar.gz", gzip.compress(b"\0" * (8 << 20)))
    with pytest.raises(LimitExceeded, match="unpacks to more than 1048576 bytes"):
        Tar.open(path, Limits(unpacked_bytes=1 << 20))


def test_standard_input_stops_at_the_limit():
    with pytest.raises(LimitExceeded, match="standard input unpacks to more"):
        Tar.open("-", Limits(unpacked_bytes=1 << 20), io.BytesIO(b"\0" * (2 << 20)))


def test_too_many_files(tmp_path):
    block = header()
    path = tmp_path / "a.tar"
    with path.open("wb") as file:
        for number in range(20_001):
            named = b"%d" % number
            file.write(checksummed(named + block[len(named) :]))
    with pytest.raises(LimitExceeded, match="more than 20000 files"):
        Tar.open(str(path), Limits())


def checksummed(block):
    total = sum(block[:148]) + 8 * 32 + sum(block[156:])
    return block[:148] + b"%06o\0 " % total + block[156:]


def test_a_missing_file(tmp_path):
    with pytest.raises(NotFound, match="No such file"):
        Tar.open(str(tmp_path / "none.tar"), Limits())


def test_folder(tmp_path):
    (tmp_path / "blobs").mkdir()
    write(tmp_path / "blobs" / "big", BIG)
    os.mkfifo(tmp_path / "fifo")
    files = Folder(tmp_path)

    assert read(files, "blobs/big") == BIG
    assert [files.find(name) for name in ("none", "blobs", "fifo")] == [None, None, None]


def test_a_file_that_goes_or_grows_before_it_is_read(tmp_path):
    path = tmp_path / "file"
    write(path, b"12345")
    found = Folder(tmp_path).find("file")
    write(path, b"1234567")
    assert b"".join(found.chunks()) == b"12345"
    path.unlink()
    with pytest.raises(NotFound):
        list(found.chunks())


def test_archives_leave_no_descriptors_open(tmp_path):
    path = write(tmp_path / "a.tar", forge.tar(ENTRIES))
    for _ in range(5):
        read(Tar.open(path, Limits()), "big")
    # By name: those of other threads come and go.
    assert path not in map(os.path.realpath, Path("/proc/self/fd").iterdir())
