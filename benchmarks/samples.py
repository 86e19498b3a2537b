"""The layers that are read: made once from this machine's files, kept in the cache.

Their contents differ from machine to machine, their size and mix hardly do, and only ratios of
what was measured on the same layer are ever compared.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import os
import random
import tarfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Final

from backports import zstd

from webhook.image.facts import LayerRef

ENTRIES: Final = 21_000
BYTES: Final = 520_000_000
"""Of contents; headers and padding make 540 MB of them."""
LARGEST: Final = 120_000_000
TINY: Final = 40_000
MANY: Final = 500_000
CHUNK: Final = 256 << 10
"""Bytes that are read from the disk at once: as the registry client delivers them."""
_GZIP: Final = "application/vnd.oci.image.layer.v1.tar+gzip"
_ZSTD: Final = "application/vnd.oci.image.layer.v1.tar+zstd"
_TIMES: Final = {"mtime": "1.5", "atime": "1700000000.123456789", "ctime": "1700000000.987654321"}


@dataclass(frozen=True, kw_only=True)
class Sample:
    """A layer as stored, and what is known of it."""

    name: str
    path: Path
    ref: LayerRef
    unpacked: int
    entries: int

    def chunks(self) -> Iterator[bytes]:
        """As a registry would deliver it."""
        with self.path.open("rb", buffering=0) as file:
            while chunk := file.read(CHUNK):
                yield chunk

    def __str__(self) -> str:
        return (
            f"{self.name}: {self.ref.compressed / 1e6:.1f} MB, "
            f"{self.unpacked / 1e6:.1f} MB tar, {self.entries:,} entries"
        )


def cache() -> Path:
    """Where what is made once is kept: outside the clone, beside what the tests build."""
    own = os.environ.get("SLIMGATE_CACHE")
    base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "slimgate"
    return (Path(own) if own else base) / "benchmarks"


def big() -> Sample:
    """A layer of the size and mix that an image with a toolchain has, by gzip -6."""
    return _kept("big", _GZIP, _machine, lambda tar: gzip.compress(tar, 6, mtime=0))


def big_zstd() -> Sample:
    """The same tar by zstd -3."""
    return _kept("big-zstd", _ZSTD, _machine, lambda tar: zstd.compress(tar, 3))


def tiny(*, times: bool) -> Sample:
    """Many files of a few bytes, each with the three times as PAX records or with none."""
    name = "tiny-times" if times else "tiny"
    return _kept(name, _GZIP, lambda: _tiny(TINY, times=times), lambda tar: gzip.compress(tar, 6))


def many() -> Sample:
    """As many files as the largest images have."""
    return _kept("many", _GZIP, lambda: _tiny(MANY, times=False), lambda tar: gzip.compress(tar, 6))


def by_name(name: str) -> Sample:
    """The sample of that name."""
    every = (big, big_zstd, partial(tiny, times=False), partial(tiny, times=True), many)
    return next(one for one in (make() for make in every) if one.name == name)


def _kept(
    name: str, media_type: str, make: Callable[[], bytes], compress: Callable[[bytes], bytes]
) -> Sample:
    """The sample from the cache, made when it is not there."""
    path, about = cache() / f"{name}.layer", cache() / f"{name}.json"
    if not about.exists():
        print(f"making the layer {name!r} (a minute, once; kept in {cache()})", flush=True)
        path.parent.mkdir(parents=True, exist_ok=True)
        tar = make()
        blob = compress(tar)
        path.write_bytes(blob)
        with tarfile.open(fileobj=io.BytesIO(tar)) as archive:
            entries = sum(1 for _ in archive)
        facts = [_digest(blob), _digest(tar), len(blob), len(tar), entries]
        about.write_text(json.dumps(facts))
    digest, diff_id, compressed, unpacked, entries = json.loads(about.read_text())
    ref = LayerRef(
        index=0,
        digest=digest,
        diff_id=diff_id,
        media_type=media_type,
        compressed=compressed,
        created_by=None,
    )
    return Sample(name=name, path=path, ref=ref, unpacked=unpacked, entries=entries)


def again(sample: Sample, index: int) -> Sample:
    """The same bytes as another layer of an image."""
    return replace(sample, ref=replace(sample.ref, index=index))


def _machine() -> bytes:
    """Folders of ``/usr``, picked by chance, with the files and links in them."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for path in sorted(_picked()):
            name = path.relative_to(path.anchor)
            archive.add(path, arcname=name, recursive=False, filter=_whole_seconds)
    return out.getvalue()


def _picked() -> Iterator[Path]:
    """So that their average is ``BYTES / ENTRIES``: what would run ahead of it is left out."""
    folders = sorted(path for path in Path("/usr").rglob("*") if _is_folder(path))
    random.Random(0).shuffle(folders)  # noqa: S311 - the same pick each time
    total = count = 0
    for folder in folders:
        for path in (folder, *(path for path in folder.iterdir() if not _is_folder(path))):
            size = 0 if path.is_symlink() or path == folder else path.stat().st_size
            if count < ENTRIES and total + size <= min(BYTES, LARGEST + BYTES * count / ENTRIES):
                total, count = total + size, count + 1
                yield path


def _is_folder(path: Path) -> bool:
    return path.is_dir() and not path.is_symlink()


def _whole_seconds(info: tarfile.TarInfo) -> tarfile.TarInfo:
    """As docker and buildkit write times: the fraction is cut, so no PAX record is needed."""
    info.mtime = int(info.mtime)
    return info


def _tiny(entries: int, *, times: bool) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for number in range(entries):
            body = b"%d" % number
            info = tarfile.TarInfo(f"srv/app/node_modules/package-{number // 20}/file-{number}.js")
            info.size, info.mode, info.mtime = len(body), 0o644, 1_700_000_000 + number
            info.pax_headers = dict(_TIMES) if times else {}
            archive.addfile(info, io.BytesIO(body))
    return out.getvalue()


def _digest(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"
