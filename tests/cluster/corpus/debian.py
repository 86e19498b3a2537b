"""Debian packages as layers of images: real programs, brought once by ``apt-get download``."""

from __future__ import annotations

import functools
import io
import re
import shutil
import subprocess
import tarfile
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path

from tests.cluster import build
from tests.support import forge

_LIBRARY = re.compile(r"(usr/)?lib(64|/x86_64-linux-gnu)/[\w.+-]+\.so[\w.]*")
_OF_LIBC = re.compile(r".*/(ld-linux-x86-64|lib(c|m|dl|pthread|rt|util|resolv))\.so\.\d+")


class Unavailable(Exception):  # noqa: N818 - a reason to skip, not a fault
    """A package cannot be had."""


def bring(names: Iterable[str]) -> None:
    """Have these packages, of the release that this machine runs, in the cache.

    Raises:
        Unavailable: there is no apt, or it has no such package; the text says so.
    """
    if missing := [one for one in ("apt-get", "dpkg-deb") if shutil.which(one) is None]:
        raise Unavailable(f"not installed: {', '.join(missing)}")
    _folder().mkdir(parents=True, exist_ok=True)
    wanted = [name for name in names if not _files(name)]
    if not wanted:
        return
    with tempfile.TemporaryDirectory(dir=_folder()) as unfinished:
        command = ["apt-get", "download", "--quiet", *wanted]
        done = subprocess.run(
            command, cwd=unfinished, stdin=subprocess.DEVNULL, capture_output=True, check=False
        )
        if done.returncode:
            said = done.stderr.decode().strip().splitlines()[-1:]
            raise Unavailable(f"the corpus is made of Debian 12's packages: {' '.join(said)}")
        for file in Path(unfinished).glob("*.deb"):
            file.replace(_folder() / file.name)


def _folder() -> Path:
    return build.cache() / "debian"


def _files(name: str) -> Sequence[Path]:
    return sorted(_folder().glob(f"{name}_*.deb"))


@functools.cache
def layer(name: str) -> bytes:
    """The package's files as its archive has them."""
    command = ["dpkg-deb", "--fsys-tarfile", _files(name)[-1]]
    return subprocess.run(command, capture_output=True, check=True).stdout


def program(name: str, path: str) -> bytes:
    """One file of a package."""
    with tarfile.open(fileobj=io.BytesIO(layer(name))) as archive:
        found = archive.extractfile(f"./{path}")
        assert found is not None
        return found.read()


@functools.cache
def libraries(*names: str) -> bytes:
    """A layer with the shared libraries of packages; of libc6 only what programs need."""
    return forge.tar(entry for name in names for entry in _libraries(name))


def _libraries(name: str) -> Iterable[forge.Entry]:
    with tarfile.open(fileobj=io.BytesIO(layer(name))) as archive:
        for member in archive:
            path = member.name.removeprefix("./")
            wanted = _LIBRARY.fullmatch(path) and (name != "libc6" or _OF_LIBC.fullmatch(path))
            if wanted and (member.isreg() or member.issym()):
                file = archive.extractfile(member) if member.isreg() else None
                member.name = path
                yield forge.Entry(member, file.read() if file else b"")
