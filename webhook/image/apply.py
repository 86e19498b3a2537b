"""Layers applied to a file system as containerd applies them, in both of its ways.

*Overlay*, the usual one: each layer is unpacked into a folder of its own, whiteouts become
devices, and the kernel lays the folders over each other. *Naive* (native snapshotter, user
namespaces): each layer is unpacked onto what the layers before left. The two differ where a
layer relies on what lies below it, so whoever judges an image must look at both.
Sources: containerd pkg/archive/tar.go (applyNaive), tar_opts_linux.go; Linux fs/overlayfs.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from webhook.errors import LimitExceeded
from webhook.image import tar, tarheader
from webhook.image.facts import Problem
from webhook.image.filesystem import WHITEOUT, Blocked, Node, Trail, follow, root
from webhook.image.layer import EXECUTE, Entry, Layer, clean, text
from webhook.limits import Limits

_OPAQUE: Final = b".wh..wh..opq"
_PREFIX: Final = b".wh."
_MAX_LINKS: Final = 255
"""containerd's RootPath gives up after so many."""
_MAX_PROBLEMS: Final = 20


@dataclass(frozen=True, slots=True)
class Trees:
    """An image's layers, merged."""

    overlay: Node
    naive: Node
    """The same node as ``overlay`` where both ways come to the same."""
    problems: tuple[Problem, ...]
    """What makes a node with overlayfs refuse the image, or what no honest builder emits."""

    @property
    def both(self) -> tuple[Node, ...]:
        """The trees that differ."""
        return (self.overlay,) if self.naive is self.overlay else (self.overlay, self.naive)


def merge(layers: Sequence[Layer], limits: Limits) -> Trees:
    """Apply the layers, oldest first, in both ways.

    Raises:
        LimitExceeded: together they are more than an image may be.
    """
    _check(layers, limits)
    overlay = root()
    problems: list[Problem] = []
    differs = False
    nodes = iter(range(limits.entries))
    for index, layer in enumerate(layers):
        upper = _Application(root() if index else overlay, index, limits, nodes, overlay=True)
        upper.run(layer)
        differs |= upper.differs
        if index:
            differs |= _stack(overlay, upper.top)
        if upper.whiteouts:
            _drop_whiteouts(overlay)
        problems += upper.problems
    naive = _naive(layers, limits) if differs else overlay
    return Trees(overlay, naive, tuple(problems[:_MAX_PROBLEMS]))


def _check(layers: Sequence[Layer], limits: Limits) -> None:
    """Each layer kept to the limits alone; together they must, too."""
    if sum(layer.unpacked for layer in layers) > limits.unpacked_bytes:
        raise LimitExceeded(f"the layers unpack to more than {limits.unpacked_bytes} bytes")
    if sum(len(layer.entries) for layer in layers) > limits.entries:
        raise LimitExceeded(f"the layers have more than {limits.entries} tar entries")


def _naive(layers: Sequence[Layer], limits: Limits) -> Node:
    top = root()
    nodes = iter(range(limits.entries))
    for index, layer in enumerate(layers):
        _Application(top, index, limits, nodes, overlay=False).run(layer)
    return top


def _stack(lower: Node, upper: Node) -> bool:
    """Lay ``upper`` over ``lower``, which is changed; True where applying naively may differ."""
    differs = False
    todo = [(lower, upper)]
    while todo:
        below, above = todo.pop()
        assert below.children is not None
        for name, node in (above.children or {}).items():
            old = below.children.get(name)
            if node.whiteout:
                below.children.pop(name, None)
            elif old and old.children is not None and node.children is not None and not node.opaque:
                _take_over(old, node)
                todo.append((old, node))
            else:
                differs |= node.implicit and old is not None and old.children is None
                below.children[name] = node
    return differs


def _take_over(old: Node, new: Node) -> None:
    """A folder in both: the upper one's metadata count (containerd copies up implicit ones')."""
    if new.entry is not None:
        old.entry, old.place, old.layer = new.entry, new.place, new.layer
        old.mode, old.uid, old.gid = new.mode, new.uid, new.gid


def _drop_whiteouts(top: Node) -> None:
    """Forget the whiteouts that had nothing to hide, or lie in folders of their own layer."""
    todo = [top]
    while todo:
        children = todo.pop().children or {}
        for name in [name for name, node in children.items() if node.whiteout]:
            del children[name]
        todo += [node for node in children.values() if node.children]


class _Refused(Exception):  # noqa: N818 - turned into a Problem
    """containerd would stop here: the pull fails."""


class _Application:
    """One layer being unpacked onto ``top``."""

    def __init__(
        self, top: Node, index: int, limits: Limits, nodes: Iterator[int], *, overlay: bool
    ) -> None:
        self.top = top
        self.problems: list[Problem] = []
        self.differs = False
        """Whether something was seen that the other way of applying may take otherwise."""
        self.whiteouts = False
        self._index = index
        self._limits = limits
        self._overlay = overlay
        self._opaque: set[int] = set()
        self._nodes = nodes
        """One number for each file or folder that may still be made: an entry can make hundreds
        of folders."""
        self._last: tuple[bytes, Node] | None = None
        """The folder of the last entry: the next one is mostly in it, too."""

    def run(self, layer: Layer) -> None:
        for place, entry in enumerate(layer.entries):
            if not entry.path:
                continue  # the root itself: containerd leaves it as it is
            try:
                self._apply(place, entry)
            except (_Refused, Blocked) as refusal:
                self._note(f"containerd refuses {text(entry.path)}: {refusal}")

    def _note(self, what: str) -> None:
        self.differs = True
        if len(self.problems) < _MAX_PROBLEMS:
            self.problems.append(Problem(reason="malformed", detail=f"layer {self._index}: {what}"))

    def _apply(self, place: int, entry: Entry) -> None:
        folder_path, _, name = entry.path.rpartition(b"/")
        folder = self._folder(folder_path)
        if name == _OPAQUE:
            self._hide(folder)
        elif name.startswith(_PREFIX):
            self._white_out(folder, name.removeprefix(_PREFIX))
        else:
            self._create(folder, name, place, entry)

    def _folder(self, path: bytes) -> Node:
        """The folder an entry goes to, its links followed and what is missing made."""
        if not path:
            return self.top
        if self._last and self._last[0] == path:
            return self._last[1]
        trail, links = follow(self.top, path, max_links=_MAX_LINKS)
        self.differs |= links > 0
        if sum(len(name) + 1 for name, _ in trail) > self._limits.path_bytes:
            raise LimitExceeded(f"a path has more than {self._limits.path_bytes} bytes")
        folder = self._made_of(trail)
        self._last = (path, folder)
        return folder

    def _made_of(self, trail: Trail) -> Node:
        folder = self.top
        for name, node in trail:
            assert folder.children is not None
            if node is None:
                node = folder.children[name] = self._node(tarheader.DIRECTORY, implicit=True)  # noqa: PLW2901
            if node.children is None:
                raise _Refused("a file is in the place of a folder")
            folder = node
        return folder

    def _node(self, kind: bytes, *, implicit: bool = False) -> Node:
        if next(self._nodes, None) is None:
            raise LimitExceeded("the layers make more files and folders than allowed")
        return Node(kind, self._index, implicit=implicit)

    def _hide(self, folder: Node) -> None:
        """An opaque marker: nothing of the layers below is left in the folder."""
        self.differs = True
        if self._overlay:
            # The kernel does not look at the mark of the root: nothing looks the root up.
            folder.opaque = folder is not self.top
        elif id(folder) not in self._opaque:
            self._opaque.add(id(folder))
            self._empty(folder)

    def _empty(self, folder: Node) -> None:
        """Remove what this layer did not unpack; folders that were just on the way go, too."""
        todo = [folder]
        while todo:
            children = todo.pop().children or {}
            for name, node in list(children.items()):
                if node.layer != self._index or node.entry is None:
                    del children[name]
                else:
                    todo.append(node)
        self._last = None

    def _white_out(self, folder: Node, name: bytes) -> None:
        if name in (b"", b".", b".."):
            raise _Refused("an invalid whiteout")
        assert folder.children is not None
        if not self._overlay:
            self._remove(folder, name)
        elif name in folder.children:
            raise _Refused("a whiteout of a path that the same layer brings")
        else:
            folder.children[name] = self._node(WHITEOUT)
            self.whiteouts = True

    def _create(self, folder: Node, name: bytes, place: int, entry: Entry) -> None:
        assert folder.children is not None
        old = folder.children.get(name)
        if old is None or old.children is None or entry.kind != tarheader.DIRECTORY:
            if old is not None:
                self._remove(folder, name)
                self.differs |= old.whiteout or tarheader.DIRECTORY in (old.kind, entry.kind)
            if entry.kind == tar.GLOBAL:
                return  # containerd creates nothing, but has made room
            node = (
                self._linked(entry)
                if entry.kind == tarheader.LINK
                else self._node(self._kind(entry))
            )
            folder.children[name] = node
        else:
            node = old
        node.entry, node.place, node.layer = entry, place, self._index
        self._describe(node.inode, entry)

    def _kind(self, entry: Entry) -> bytes:
        if not entry.whiteout:
            return entry.kind
        self.differs = True
        self.whiteouts |= self._overlay
        return WHITEOUT if self._overlay else tarheader.CHAR

    def _linked(self, entry: Entry) -> Node:
        """Another name for a file that must be there already."""
        folder_path, _, name = clean(entry.link).rpartition(b"/")
        trail, links = follow(self.top, folder_path, max_links=_MAX_LINKS)
        self.differs |= links > 0
        folder = trail[-1][1] if trail else self.top
        if folder is None or folder.children is None or name not in folder.children:
            raise _Refused(f"a hard link to {text(entry.link)}, which is not in the layer")
        inode = folder.children[name].inode
        if inode.children is not None:
            raise _Refused("a hard link to a folder")
        if inode.kind == tarheader.REGULAR and entry.mode & EXECUTE and not inode.mode & EXECUTE:
            self._note(f"the hard link {text(entry.path)} makes a file executable")
        node = self._node(inode.kind)
        node.inode = inode
        return node

    @staticmethod
    def _describe(inode: Node, entry: Entry) -> None:
        """Owner, mode and capabilities are the inode's: a hard link's entry sets them anew."""
        inode.uid, inode.gid = entry.uid, entry.gid
        inode.capabilities |= entry.capabilities
        if inode.kind != tarheader.SYMLINK:
            inode.mode = entry.mode

    def _remove(self, folder: Node, name: bytes) -> None:
        assert folder.children is not None
        folder.children.pop(name, None)
        self._last = None
