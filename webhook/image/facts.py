"""What is known of an image on one platform. Found once per digest, never stale.

``ImageFacts`` grows in two steps: manifest and config first, the layers' ``Files`` only
if somebody needs them. Asking for ``files`` before that raises ``NotRead``, so no check can
take "not looked" for "not there".
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

from webhook.image.config import ImageConfig
from webhook.image.platform import Platform

SCHEMA_VERSION = 1

By = Literal["path", "link", "content", "loader"]


class NotRead(Exception):  # noqa: N818 - not an error: the evaluation catches it and reads on
    """Facts were asked for that have not been read yet."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerRef:
    """One layer as manifest and config name it, oldest first."""

    index: int
    digest: str
    diff_id: str
    media_type: str
    compressed: int
    """Bytes, by the manifest; proved when the layer is read."""
    created_by: str | None
    """The history step that made it (a claim of the config)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """A file that somebody could execute and that means something to us."""

    path: str
    """Absolute, in the merged file system; bytes that are not UTF-8 as ``\\xNN``."""
    name: str
    """What it is: ``busybox``, ``bash``, ``apt-get``, ``gcc``, … For setuid: ``setuid``,
    ``setgid`` or ``capabilities``."""
    by: By
    """How it was known: by its path, by a link to one, or by its content. ``loader``: by either of
    these, and it has no x bit, but a dynamic loader that has one would start it."""
    target: str | None = None
    """Where a link leads; the loader."""
    layer: int
    """Index from 0 of the layer that brought it."""
    layer_digest: str
    created_by: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class User:
    """Who a container of this image runs as when the pod does not say."""

    declared: str
    """The config's ``User``."""
    uid: int | None
    """None when such a container would not start."""
    gid: int | None
    """The one the kubelet would run it with: the group part of ``declared`` is dropped."""
    root: bool | None
    """The worst reading over the supported containerd versions; None: would not start."""
    reason: str
    """One sentence that says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """Something wrong with the image itself; ``reason`` is one of ``webhook.errors``."""

    reason: str
    detail: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Executable:
    """A regular file, as far as starting it is concerned."""

    kind: Literal["elf", "script", "other"]
    interpreter: str | None = None
    """``PT_INTERP`` of an ELF file; the program after ``#!`` of a script."""
    interpreter_argument: str | None = None
    """The rest of a ``#!`` line."""
    machine: str | None = None
    """GOARCH of an ELF file: ``amd64``, ``arm64``, …"""
    dynamic: bool = False
    """Whether a dynamic loader would take an ELF file, be it executable or not."""
    origin: str | None = None
    """What an ELF file was made with, where it tells: ``go`` or ``rust``."""
    lacks: str | None = None
    """The first shared library it needs of which the whole image has no file; None where it lacks
    none, and where that cannot be said. Known of the merged file system only."""
    run_path: str = ""
    """Of what lacks one: folders of its own to look in (DT_RPATH, DT_RUNPATH)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Programs:
    """Enough of the merged file system to say whether a command would start.

    Keys are absolute paths; ``links`` holds every symlink (to files and folders alike) with
    its target as written, ``executables`` every regular file with an x bit.
    """

    executables: Mapping[str, Executable] = field(default_factory=dict)
    links: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Files:
    """What the layers hold, merged as a node would merge them."""

    user: User
    shells: tuple[Program, ...] = ()
    package_managers: tuple[Program, ...] = ()
    build_tools: tuple[Program, ...] = ()
    interpreters: tuple[Program, ...] = ()
    """``name`` is the family: ``python``, ``awk``, …"""
    packed: tuple[Program, ...] = ()
    """Programs whose content could not be looked into; ``name`` is what packed them: ``upx``."""
    setuid: tuple[Program, ...] = ()
    unpacked: tuple[int, ...] = ()
    """Uncompressed bytes of each layer, oldest first."""
    os_release: Mapping[str, str] = field(default_factory=dict)
    """A claim of the image: shown, never proof."""
    package_databases: tuple[str, ...] = ()
    programs: Programs = field(default_factory=Programs)
    problems: tuple[Problem, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Base:
    """A base image that an image was proved to stand on."""

    name: str
    """``alpine``, or ``scratch``."""
    version: str | None = None
    proof: Literal["layers", "content"]

    def __str__(self) -> str:
        return f"{self.name}:{self.version}" if self.version else self.name


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageFacts:
    """One image on one platform."""

    reference: str
    """Normalised, as asked for."""
    digest: str
    """What the reference resolves to: the index's digest, if it is one."""
    manifest_digest: str
    platform: Platform
    """By the index where there is one, for nodes choose by it; else by the config."""
    config: ImageConfig
    layers: tuple[LayerRef, ...]
    bases: tuple[Base, ...] = ()
    """The known ones whose layers it begins with, by its config; the one of most layers first."""
    problems: tuple[Problem, ...] = ()
    contents: Files | None = None
    """None until the layers were read; use ``files``."""
    credentials: str | None = None
    """Whose credentials the registry wanted of whoever asked; no fact of the image."""

    @property
    def files(self) -> Files:
        """What the layers hold.

        Raises:
            NotRead: the layers were not read yet.
        """
        if self.contents is None:
            raise NotRead
        return self.contents

    @property
    def compressed(self) -> int:
        """Bytes of all layers, by the manifest."""
        return sum(layer.compressed for layer in self.layers)

    def with_files(self, contents: Files) -> ImageFacts:
        """The same image, its layers read."""
        return replace(self, contents=contents)
