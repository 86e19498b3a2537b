"""Which base an image stands on, proved by what cannot be forged.

Two proofs are known: the image's first layers are those of a known base (by diff_id: the hash of
their very bytes), or nothing of any distribution is in it at all, so that it stands on
``scratch``. What ``/etc/os-release`` and package databases say is a claim: shown, never proof.

Known are the published bases in ``bases.json``, and whatever files of that form users have
(``slimgate base learn`` writes them).
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from functools import cache
from pathlib import Path

import msgspec

from webhook.errors import UsageError
from webhook.image.facts import Base, Files, ImageFacts
from webhook.image.platform import Platform

SCRATCH = "scratch"
NAME = re.compile(r"[a-z0-9][a-z0-9._/-]{0,126}", re.ASCII)
"""Of a base: ``alpine``, ``distroless/static-debian13``."""
VERSION = re.compile(r"[\w.-]{1,128}", re.ASCII)
MOST_BYTES = 16 << 20
"""Of a file of bases; one base takes some hundreds."""

_LOADER = re.compile(r"ld(?:64)?[-.].*so(?:\.\d+)*|ld-(?:linux|musl).*")
"""Dynamic loaders: ``ld-linux-x86-64.so.2``, ``ld-musl-x86_64.so.1``, ``ld.so.1``."""
_SIGNS = {
    "/etc/apko.json": "built by apko",
    "/var/lib/dpkg/status.d": "packages listed as in distroless",
}
"""What builders of bases leave behind, beside os-release; anybody can."""
_DIFF_ID = re.compile(r"sha256:[0-9a-f]{64}")
_EMPTY = frozenset(
    (
        # sha256 of nothing, and of the 1,024 zeros that end a tar: layers of Dockerfile steps
        # that change no file. Every image may begin with them.
        "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
        "sha256:5f70bf18a086007016e948b04aed3b82103a36bea41755b6cddfaf10ace3c6ef",
    )
)


class KnownBase(
    msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="camel", kw_only=True
):
    """The layers of a base image on one platform.

    Raises:
        ValueError: it would prove nothing, or its fields are none.
    """

    name: str
    version: str | None = None
    platform: str
    source: str = msgspec.field(default="", name="from")
    """Where the layers were seen; for people."""
    diff_ids: tuple[str, ...]
    """Oldest first."""

    def __post_init__(self) -> None:
        if not NAME.fullmatch(self.name) or self.name == SCRATCH:
            raise ValueError(f"{self.name!r} is no name of a base, such as alpine")
        if self.version is not None and not VERSION.fullmatch(self.version):
            raise ValueError(f"{self.version!r} is no version of a base, such as 3.20.3")
        try:
            Platform.parse(self.platform)
        except UsageError as error:
            raise ValueError(str(error)) from error
        if bad := [one for one in self.diff_ids if not _DIFF_ID.fullmatch(one)]:
            raise ValueError(f"{bad[0]!r} is no diff_id: sha256: and 64 hex digits")
        if not set(self.diff_ids) - _EMPTY:
            raise ValueError(f"{self} has no layer with anything in it: all images stand on that")

    def __str__(self) -> str:
        return f"{self.name}:{self.version}" if self.version else self.name


class BasesFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A file of known bases."""

    bases: tuple[KnownBase, ...]
    about: str = ""


def parse_bases(body: bytes, where: str) -> BasesFile:
    """A file's bases.

    Raises:
        UsageError: it is no such file; ``where`` says which.
    """
    if len(body) > MOST_BYTES:
        raise UsageError(f"{where}: larger than {MOST_BYTES >> 20} MiB")
    try:
        return msgspec.json.decode(body, type=BasesFile, strict=True)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise UsageError(f"{where}: is no file of bases: {error}") from error


def with_bases(
    file: BasesFile, learned: Sequence[KnownBase], *, replacing: bool = False
) -> BasesFile:
    """The file with more, each once; ``replacing`` others of their name, version and platform."""
    places = {_place(new) for new in learned} if replacing else set()
    bases = [old for old in file.bases if _place(old) not in places]
    known = {(_place(old), old.diff_ids) for old in bases}
    bases += [new for new in learned if (_place(new), new.diff_ids) not in known]
    return BasesFile(bases=tuple(bases), about=file.about)


def _place(base: KnownBase) -> tuple[str, str | None, str]:
    return base.name, base.version, base.platform


def written(file: BasesFile) -> bytes:
    """The file as people read it: a base a line."""
    lines = ",\n".join(
        f"    {json.dumps(msgspec.to_builtins(base), ensure_ascii=False)}" for base in file.bases
    )
    about = json.dumps(file.about, ensure_ascii=False)
    return f'{{\n  "about": {about},\n  "bases": [\n{lines}\n  ]\n}}\n'.encode()


@cache
def published() -> tuple[KnownBase, ...]:
    """The bases that slimgate knows by itself."""
    path = Path(__file__).with_name("bases.json")
    return parse_bases(path.read_bytes(), path.name).bases


def by_layers(diff_ids: Sequence[str], known: Iterable[KnownBase]) -> tuple[Base, ...]:
    """The known bases whose layers an image of these begins with, the one of most layers first."""
    fitting = [one for one in known if diff_ids[: len(one.diff_ids)] == one.diff_ids]
    fitting.sort(key=lambda one: -len(one.diff_ids))
    return tuple(Base(name=one.name, version=one.version, proof="layers") for one in fitting)


def bases_of(image: ImageFacts) -> tuple[Base, ...]:
    """The bases the image was proved to stand on, the one of most layers first; often none.

    Raises:
        NotRead: its layers do not tell, and their contents were not read yet.
    """
    if image.bases or not _is_bare(image.files):
        return image.bases
    return (Base(name=SCRATCH, proof="content"),)


def claim_of(contents: Files) -> str | None:
    """What the image says of itself: ``Wolfi, built by apko``."""
    release = contents.os_release
    name = release.get("PRETTY_NAME") or release.get("NAME") or release.get("ID")
    signs = (sign for path, sign in _SIGNS.items() if path in contents.package_databases)
    return ", ".join(filter(None, (name, *signs))) or None


def _is_bare(contents: Files) -> bool:
    """Whether nothing of a distribution is there: no release, packages, loader or shell."""
    programs = contents.programs
    return not (
        contents.os_release
        or contents.package_databases
        or contents.shells
        or contents.package_managers
        or any(
            _LOADER.fullmatch(path.rpartition("/")[2])
            for path in (*programs.executables, *programs.links)
        )
    )
