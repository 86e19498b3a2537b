"""Paths as containerd finds them in the folder that it unpacks a layer to.

It looks at one link after the other, from outside, and joins what they say as text; the kernel,
asked what lies at such a path, follows the links that are still in it. So ``..`` after a link may
lead elsewhere than for a program in the container, and a link to an absolute path into the node's
own file system. Source: github.com/containerd/continuity fs/path.go (RootPath, walkLinks).
"""

from __future__ import annotations

import posixpath
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, TypeGuard

from webhook.errors import LimitExceeded
from webhook.image import tarheader
from webhook.image.filesystem import MAX_LINKS, Blocked, Node, Trail

_HERE: Final = (b"", b".")


class Unknowable(Blocked):
    """Where containerd would get to is not in the image to see, or not worth finding out."""


def root_path(top: Node, path: bytes, max_bytes: int) -> Trail:
    """Where ``path`` leads: names from the root down, no links; None where nothing is (yet).

    Raises:
        Blocked: containerd would stop.
        Unknowable: it would look at the node's own files; or it takes more detours than honest
            layers need (40 links, as the kernel has it; not 255).
        LimitExceeded: links make the path longer than a path may be.
    """
    walk = _Walk(top, max_bytes)
    todo = path.split(b"/")
    while True:
        links = walk.links
        todo = walk.through(todo)
        if walk.links == links:
            return walk.trail


@dataclass(slots=True)
class _Step:
    """A name on the way."""

    name: bytes
    seen: bool = False
    """Whether it was looked at; names that a link brings are not, until their turn comes."""
    node: Node | None = None
    """What was there."""


class _Walk:
    """The passes over a path: each goes through it once, until one finds no link."""

    def __init__(self, top: Node, max_bytes: int) -> None:
        self.links = 0
        self._steps: list[_Step] = []
        self._top = top
        self._max_bytes = max_bytes

    @property
    def trail(self) -> Trail:
        return [(step.name, step.node) for step in self._steps]

    def through(self, names: list[bytes]) -> list[bytes]:
        """One pass (walkLinks); returns the names that the next has to go through."""
        self._steps = []
        rest: list[bytes] = []
        for place, name in enumerate(names):
            if not name:
                continue
            before = self._steps.copy() if name in {b".", b".."} else None
            self._join(name)
            rest = []
            target = self._link()
            if target is None:
                continue
            if target.startswith(b"/") or place == 0:  # names[0] is empty where it is absolute
                rest = target.split(b"/")
                self._steps = []
            else:
                self._steps = self._steps[:-1] if before is None else before
            for each in posixpath.normpath(target).split(b"/"):
                self._join(each)
        return rest or [b"", *(step.name for step in self._steps)]

    def _join(self, name: bytes) -> None:
        """As text: ``..`` takes a name away whatever that is."""
        if name == b"..":
            del self._steps[-1:]
        elif name not in _HERE:
            self._steps.append(_Step(name))
            if 2 * len(self._steps) > self._max_bytes:
                raise LimitExceeded(f"a path has more than {self._max_bytes} bytes")

    def _link(self) -> bytes | None:
        """Where the link at the end of the steps leads, if there is one (walkLink)."""
        if not self._steps:
            return None
        step = self._steps[-1]
        if not step.seen:
            step.node, step.seen = _child(self._around(), step.name), True
        if not _is_link(step.node):
            return None
        self.links += 1
        if self.links > MAX_LINKS:
            raise Unknowable("too many symbolic links")
        return _target(step.node)

    def _around(self) -> Node | None:
        """The folder that the last step is looked for in."""
        if len(self._steps) == 1:
            return self._top
        before = self._steps[-2]
        if before.seen and not _is_link(before.node):
            return before.node
        return self._found(step.name for step in self._steps[:-1])

    def _found(self, names: Iterable[bytes]) -> Node | None:
        """What the kernel finds at a path, following every link in it."""
        way = [self._top]
        links = 0
        todo = [*names][::-1]
        while todo:
            name = todo.pop()
            if name in _HERE:
                continue
            if name == b"..":
                if len(way) == 1:
                    raise Unknowable("it leads to the node's own files")
                way.pop()
                continue
            node = _child(way[-1], name)
            if node is None:
                return None
            if not _is_link(node):
                way.append(node)
                continue
            links += 1
            if links > MAX_LINKS:
                raise Blocked("too many symbolic links")
            if _target(node).startswith(b"/"):
                raise Unknowable("it leads to the node's own files")
            todo += _target(node).split(b"/")[::-1]
        return way[-1]


def _is_link(node: Node | None) -> TypeGuard[Node]:
    return node is not None and node.inode.kind == tarheader.SYMLINK


def _target(link: Node) -> bytes:
    entry = link.inode.entry
    return entry.link if entry else b""


def _child(folder: Node | None, name: bytes) -> Node | None:
    if folder is None:
        return None
    if folder.children is None:
        raise Blocked("a file is in the place of a folder")
    return folder.children.get(name)
