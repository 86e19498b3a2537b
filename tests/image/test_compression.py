"""Decompression as containerd does it (image-truth 2.6, catalogue 40-47)."""

from __future__ import annotations

import bz2
import gzip
import itertools
import lzma
import random
import struct
from dataclasses import replace

import pytest
from backports import zstd

from tests.image.reading import GZIP, LIMITS, chunked
from tests.support.forge import OCI_LAYER
from webhook.errors import ImageRefused, LimitExceeded, Malformed, Unsupported
from webhook.image.compression import PIECE, decompress
from webhook.limits import KIB, MIB

DOCKER = "application/vnd.docker.image.rootfs.diff.tar"
FOREIGN = "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip"
NONDISTRIBUTABLE = "application/vnd.oci.image.layer.nondistributable.v1.tar"
DATA = random.Random(0).randbytes(20_000)
GZ = gzip.compress(DATA)
ZST = zstd.compress(DATA, options={zstd.CompressionParameter.checksum_flag: 1})
SKIPPABLE = b"\x50\x2a\x4d\x18" + struct.pack("<I", 5) + b"12345"


def unpacked(blob: bytes, media_type: str, size: int = 1000) -> bytes:
    return b"".join(decompress(chunked(blob, size), media_type, LIMITS))


@pytest.mark.parametrize("size", [1, 1000, MIB])
@pytest.mark.parametrize(
    "blob, media_type, expected",
    [
        pytest.param(GZ, GZIP, DATA, id="gzip"),
        pytest.param(ZST, OCI_LAYER + "+zstd", DATA, id="zstd"),
        pytest.param(DATA, OCI_LAYER, DATA, id="plain"),
        pytest.param(ZST, GZIP, DATA, id="zstd-under-gzip-type"),
        pytest.param(GZ, OCI_LAYER + "+zstd", DATA, id="gzip-under-zstd-type"),
        pytest.param(DATA, GZIP, DATA, id="raw-under-gzip-type"),
        pytest.param(GZ, DOCKER, DATA, id="gzip-under-bare-docker-type"),
        pytest.param(GZ, DOCKER + ".gzip", DATA, id="docker-gzip"),
        pytest.param(ZST, DOCKER + ".zstd", DATA, id="docker-zstd"),
        pytest.param(GZ, FOREIGN, DATA, id="docker-foreign"),
        pytest.param(GZ, NONDISTRIBUTABLE + "+gzip", DATA, id="nondistributable"),
        pytest.param(GZ, OCI_LAYER, GZ, id="gzip-under-plain-oci-stays-gzip"),
        pytest.param(b"", GZIP, b"", id="empty-blob-is-an-empty-layer"),
        pytest.param(b"\x1f\x8b", DOCKER, b"\x1f\x8b", id="two-bytes-are-no-magic"),
        pytest.param(gzip.compress(b"a") + gzip.compress(b"b"), GZIP, b"ab", id="two-members"),
        pytest.param(gzip.compress(b"") + GZ, GZIP, DATA, id="empty-first-member"),
        pytest.param(GZ * 5, GZIP, DATA * 5, id="many-members"),
        pytest.param(zstd.compress(b"a") + ZST, GZIP, b"a" + DATA, id="two-frames"),
        pytest.param(SKIPPABLE + ZST, GZIP, DATA, id="skippable-frame-first"),
        pytest.param(ZST + SKIPPABLE + ZST, GZIP, DATA * 2, id="skippable-frame-between"),
    ],
)
def test_gives_what_containerd_unpacks(
    blob: bytes, media_type: str, expected: bytes, size: int
) -> None:
    assert unpacked(blob, media_type, size) == expected


def _changed(blob: bytes, at: int) -> bytes:
    changed = bytearray(blob)
    changed[at] ^= 0xFF
    return bytes(changed)


@pytest.mark.parametrize(
    "blob, media_type, error",
    [
        pytest.param(GZ[:-1], GZIP, Malformed, id="gzip-truncated-in-its-trailer"),
        pytest.param(GZ[: len(GZ) // 2], GZIP, Malformed, id="gzip-truncated"),
        pytest.param(GZ[:5], GZIP, Malformed, id="gzip-truncated-in-its-header"),
        pytest.param(_changed(GZ, -6), GZIP, Malformed, id="gzip-wrong-checksum"),
        pytest.param(GZ + b"garbage", GZIP, Malformed, id="gzip-trailing-garbage"),
        pytest.param(GZ + bytes(512), GZIP, Malformed, id="gzip-zero-padding"),
        pytest.param(GZ + bytes(512) + GZ, GZIP, Malformed, id="gzip-padding-and-a-member"),
        pytest.param(GZ + ZST, GZIP, Malformed, id="zstd-after-gzip"),
        pytest.param(b"\x1f\x8b\x08junkjunkjunkjunk", GZIP, Malformed, id="gzip-magic-only"),
        pytest.param(ZST[:-1], GZIP, Malformed, id="zstd-truncated"),
        pytest.param(_changed(ZST, -1), GZIP, Malformed, id="zstd-corrupt"),
        pytest.param(ZST + b"garbage!", GZIP, Malformed, id="zstd-trailing-garbage"),
        pytest.param(SKIPPABLE[:-1], GZIP, Malformed, id="skippable-frame-truncated"),
        pytest.param(lzma.compress(DATA), GZIP, Unsupported, id="xz"),
        pytest.param(bz2.compress(DATA), DOCKER, Unsupported, id="bzip2"),
        pytest.param(GZ, GZIP + "+encrypted", Unsupported, id="encrypted"),
        pytest.param(GZ, OCI_LAYER + ".foo", Unsupported, id="unknown-type"),
        pytest.param(GZ, "application/vnd.erofs.layer.v1", Unsupported, id="erofs"),
        pytest.param(GZ, "", Unsupported, id="no-type"),
    ],
)
def test_refuses_what_containerd_refuses(
    blob: bytes, media_type: str, error: type[ImageRefused]
) -> None:
    with pytest.raises(error):
        unpacked(blob, media_type)


BOMB = 1 << 40
"""Bytes that a bomb would come to, were it not stopped."""


@pytest.mark.parametrize("compress", [gzip.compress, zstd.compress], ids=["gzip", "zstd"])
def test_a_bomb_is_stopped_by_its_ratio(compress: object) -> None:
    blob = compress(bytes(64 * MIB))  # type: ignore[operator]
    limits = replace(LIMITS, ratio=100)

    with pytest.raises(LimitExceeded, match="100 times"):
        list(decompress([blob], GZIP, limits))


def test_a_bomb_is_stopped_by_its_bytes_before_it_is_unpacked() -> None:
    member = gzip.compress(bytes(MIB))
    blobs = itertools.repeat(member, BOMB // MIB)
    pieces = decompress(blobs, GZIP, replace(LIMITS, unpacked_bytes=5 * MIB, ratio=10_000))
    seen: list[int] = []

    with pytest.raises(LimitExceeded, match="unpack to more than"):
        seen.extend(map(len, pieces))

    assert sum(seen) <= 5 * MIB
    assert max(seen) <= PIECE


def test_plain_layers_are_bounded_too() -> None:
    with pytest.raises(LimitExceeded):
        list(decompress([DATA], OCI_LAYER, replace(LIMITS, unpacked_bytes=len(DATA) - 1)))


def test_small_honest_layers_may_be_mostly_padding() -> None:
    blob = zstd.compress(bytes(512 * KIB))

    assert len(blob) * 1000 < 512 * KIB
    assert unpacked(blob, GZIP) == bytes(512 * KIB)


def test_a_zstd_window_is_bounded() -> None:
    options = {zstd.CompressionParameter.window_log: 24}
    compressor = zstd.ZstdCompressor(options=options)
    blob = compressor.compress(b"a") + compressor.flush()

    with pytest.raises(LimitExceeded, match="window"):
        list(decompress([blob], GZIP, replace(LIMITS, zstd_window_bytes=8 * MIB)))


def test_tiny_members_cost_no_square() -> None:
    """Decompressors copy what follows a member; in one big chunk that would take minutes."""
    blob = gzip.compress(b"") * 100_000

    assert unpacked(blob, GZIP, len(blob)) == b""
