"""Read a layer, and beside it do only what nobody can leave out: inflate it and hash it twice.

The layer is made of the packages of this environment, so it has the mix of sizes that real
layers have. Rounds are interleaved, since machines change their speed by the minute; only
the ratio means anything on another one.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import statistics
import sysconfig
import tarfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from isal import isal_zlib

from webhook.image.facts import LayerRef
from webhook.image.layer import read_layer
from webhook.limits import Limits

ROUNDS = 7
TAR_BYTES = 250_000_000
CHUNK = 256 << 10
GZIP_HEADER = 31
"""zlib's word for: a gzip header, the largest window."""


@dataclass(frozen=True)
class Sample:
    """A layer as stored, and as it unpacks."""

    compressed: bytes
    unpacked: int
    entries: int
    ref: LayerRef


def sample() -> Sample:
    """The packages of this environment, as far as they fit, gzip -6."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as archive:
        entries = 0
        for path in sorted(Path(sysconfig.get_path("platlib")).rglob("*")):
            if out.tell() > TAR_BYTES:
                break
            archive.add(path, arcname=path.relative_to(path.anchor), recursive=False)
            entries += 1
    tar = out.getvalue()
    compressed = gzip.compress(tar, 6, mtime=0)
    ref = LayerRef(
        index=0,
        digest=_digest(compressed),
        diff_id=_digest(tar),
        media_type="application/vnd.oci.image.layer.v1.tar+gzip",
        compressed=len(compressed),
        created_by=None,
    )
    return Sample(compressed, len(tar), entries, ref)


def _digest(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def chunks(data: bytes) -> Iterator[bytes]:
    """As a registry would deliver it."""
    return (data[start : start + CHUNK] for start in range(0, len(data), CHUNK))


def limit(layer: Sample) -> None:
    """Inflate and hash both sides: what proving a layer costs at the very least."""
    stored, plain = hashlib.sha256(), hashlib.sha256()
    decoder = isal_zlib.decompressobj(GZIP_HEADER)
    for chunk in chunks(layer.compressed):
        stored.update(chunk)
        plain.update(decoder.decompress(chunk))


def ours(layer: Sample) -> None:
    """The whole reading: proofs, tar walk, programs and shells by content."""
    read_layer(layer.ref, chunks(layer.compressed), Limits())


def seconds(work: Callable[[Sample], None], layer: Sample) -> float:
    """Of wall time."""
    started = time.perf_counter()
    work(layer)
    return time.perf_counter() - started


def main() -> None:
    """Measure and print."""
    layer = sample()
    rounds = [(seconds(limit, layer), seconds(ours, layer)) for _ in range(ROUNDS)]
    floor, reading = (statistics.median(column) for column in zip(*rounds, strict=True))
    ratio = statistics.median(bound / whole for bound, whole in rounds)
    print(
        f"layer             {len(layer.compressed) / 1e6:.1f} MB gzip, "
        f"{layer.unpacked / 1e6:.1f} MB tar, {layer.entries:,} entries"
    )
    print(f"inflate, 2 hashes {floor:.2f} s")
    print(f"slimgate          {reading:.2f} s, {len(layer.compressed) / reading / 1e6:.0f} MB/s")
    print(f"of the limit      {ratio:.0%} (median of {ROUNDS} interleaved rounds)")


if __name__ == "__main__":
    main()
