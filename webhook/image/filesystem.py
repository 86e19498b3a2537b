"""A file system in memory: names, inodes, and the way the kernel follows a path."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from webhook.image import tarheader
from webhook.image.layer import Entry

MAX_LINKS: Final = 40
"""Symbolic links in one path, as Linux follows them (MAXSYMLINKS)."""


class Blocked(Exception):  # noqa: N818 - a path that cannot be followed is an answer
    """A path leads through something that is no folder, or through too many links."""


class Node:
    """A name in a folder. Hard links are nodes that share another's ``inode``."""

    __slots__ = (
        "capabilities",
        "children",
        "entry",
        "gid",
        "implicit",
        "inode",
        "kind",
        "layer",
        "mode",
        "opaque",
        "place",
        "shared",
        "uid",
    )

    def __init__(self, kind: bytes, layer: int, *, implicit: bool = False) -> None:
        self.kind = kind
        self.layer = layer
        """Index of the layer that brought the name."""
        self.inode = self
        self.children: dict[bytes, Node] | None = {} if kind == tarheader.DIRECTORY else None
        self.entry: Entry | None = None
        """The tar entry that made it; None for folders that only were on the way."""
        self.place = -1
        """Of ``entry``, in its layer; -1 where that is not known, and its size neither."""
        self.shared = False
        """Stands for many files, of which no more is known than it says."""
        self.mode = 0o777 if kind == tarheader.SYMLINK else 0o755
        self.uid = self.gid = 0
        self.capabilities = False
        self.opaque = False
        """Hides what lower layers have in this folder (overlayfs)."""
        self.implicit = implicit
        """Came into being as some entry's parent."""

    @property
    def whiteout(self) -> bool:
        """Whether overlayfs takes it for the deletion of what lies below."""
        return self.inode.kind == WHITEOUT


WHITEOUT: Final = b"w"
"""The kind of nodes that overlayfs takes for whiteouts; no tar type."""

Trail = list[tuple[bytes, Node | None]]
"""A path with its links followed: names from the root down; None where nothing is (yet)."""


def root() -> Node:
    """An empty file system."""
    return Node(tarheader.DIRECTORY, 0, implicit=True)


def follow(top: Node, path: bytes, *, max_links: int = MAX_LINKS) -> tuple[Trail, int]:
    """Follow every link in ``path``, the last name's too; returns how many there were.

    ``..`` after a name that is not there takes that name away, as containerd's RootPath has it.

    Raises:
        Blocked: a name is looked for in a file, or there are too many links.
    """
    trail: Trail = []
    links = 0
    todo = path.split(b"/")[::-1]
    while todo:
        name = todo.pop()
        if name in (b"", b"."):
            continue
        if name == b"..":
            del trail[-1:]
            continue
        node = _child(trail[-1][1] if trail else top, name)
        if node is None or node.inode.kind != tarheader.SYMLINK:
            trail.append((name, node))
            continue
        links += 1
        if links > max_links:
            raise Blocked("too many symbolic links")
        target = node.inode.entry.link if node.inode.entry else b""
        if target.startswith(b"/"):
            trail.clear()
        todo += target.split(b"/")[::-1]
    return trail, links


def _child(folder: Node | None, name: bytes) -> Node | None:
    if folder is None:
        return None
    if folder.children is None:
        raise Blocked("a file is in the place of a folder")
    return folder.children.get(name)


def resolve(top: Node, path: bytes) -> tuple[bytes, Node] | None:
    """What ``path`` leads to, and by which path without links; None if to nothing."""
    try:
        trail, _ = follow(top, path)
    except Blocked:
        return None
    node = trail[-1][1] if trail else top
    return None if node is None else (b"/".join(name for name, _ in trail), node)


def walk(top: Node) -> Iterator[tuple[bytes, Node]]:
    """Every name below ``top`` with its path, folders before what is in them, sorted."""
    ways: list[tuple[bytes, Node, Iterator[bytes]]] = [(b"", top, iter(sorted(top.children or ())))]
    while ways:
        prefix, folder, names = ways[-1]
        for name in names:
            assert folder.children is not None
            path, node = prefix + name, folder.children[name]
            yield path, node
            if node.children:
                ways.append((path + b"/", node, iter(sorted(node.children))))
                break
        else:
            ways.pop()
