"""Layers applied to a file system as containerd applies them, in both of its ways.

*Overlay*, the usual one: each layer is unpacked into a folder of its own, whiteouts become
devices (but for the first layer's, which are done at once), and the kernel lays the folders over
each other. *Naive* (native snapshotter, user
namespaces): each layer is unpacked onto what the layers before left. The two differ where a
layer relies on what lies below it, so whoever judges an image must look at both.
Sources: containerd pkg/archive/tar.go (applyNaive), tar_opts_linux.go, core/diff/apply/
apply_linux.go; Linux fs/overlayfs. ``tests/oracles`` compares with both.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from webhook.errors import LimitExceeded
from webhook.image import tar, tarheader
from webhook.image.facts import Problem
from webhook.image.filesystem import WHITEOUT, Blocked, Node, Trail, root
from webhook.image.layer import EXECUTE, SETGID, SETUID, Entry, Layer, text
from webhook.image.rootpath import Unknowable, root_path
from webhook.limits import Limits

_OPAQUE: Final = b".wh..wh..opq"
_PREFIX: Final = b".wh."
_PRIVILEGED: Final = EXECUTE | SETUID | SETGID
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


def merge(layers: Sequence[Layer], limits: Limits, *, sharing: bool = False) -> Trees:
    """Apply the layers, oldest first, in both ways.

    Args:
        layers: of one image.
        limits: on the image.
        sharing: let files that nobody may execute share a node (``Node.shared``): nothing but
            owner, mode and layer is known of them then, and they take a third of the memory.

    Raises:
        LimitExceeded: together they are more than an image may be.
    """
    _check(layers, limits)
    overlay = root()
    problems: list[Problem] = []
    differs = False
    nodes = iter(range(limits.entries))
    for index, layer in enumerate(layers):
        top = root() if index else overlay
        upper = _Application(top, index, limits, nodes, overlay=True, sharing=sharing)
        upper.run(layer)
        differs |= upper.differs
        if index:
            differs |= _stack(overlay, upper.top)
        if upper.whiteouts:
            _drop_whiteouts(overlay)
        problems += upper.problems
    naive = _naive(layers, limits, problems, sharing=sharing) if differs else overlay
    return Trees(overlay, naive, tuple(problems[:_MAX_PROBLEMS]))


def _check(layers: Sequence[Layer], limits: Limits) -> None:
    """Each layer kept to the limits alone; together they must, too."""
    if sum(layer.unpacked for layer in layers) > limits.unpacked_bytes:
        raise LimitExceeded(f"the layers unpack to more than {limits.unpacked_bytes} bytes")
    if sum(len(layer.entries) for layer in layers) > limits.entries:
        raise LimitExceeded(f"the layers have more than {limits.entries} tar entries")


def _naive(
    layers: Sequence[Layer], limits: Limits, problems: list[Problem], *, sharing: bool
) -> Node:
    """Only what it does not know is a problem: what it refuses is refused where it is tried."""
    top = root()
    nodes = iter(range(limits.entries))
    for index, layer in enumerate(layers):
        application = _Application(top, index, limits, nodes, overlay=False, sharing=sharing)
        application.run(layer)
        problems += [each for each in application.unknown if each not in problems]
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
                if node.implicit:
                    differs |= old is not None and old.children is None
                    _inherit(old, node, below if above.entry is None else None)
                below.children[name] = node
    return differs


def _take_over(old: Node, new: Node) -> None:
    """A folder in both: the upper one's metadata count (containerd copies up implicit ones')."""
    if new.entry is not None:
        old.entry, old.place, old.layer = new.entry, new.place, new.layer
        old.mode, old.uid, old.gid = new.mode, new.uid, new.gid


def _inherit(old: Node | None, new: Node, around: Node | None) -> None:
    """A folder that nobody named: of the one that it hides it takes over the metadata.

    ``around`` is the folder that it is in, where nobody named that one either.
    """
    if new.entry is not None:
        return
    if old is not None and old.children is not None:
        new.mode, new.uid, new.gid = old.mode, old.uid, old.gid
    elif around and around.mode & SETGID and (old is None or old.inode.kind != tarheader.SYMLINK):
        new.gid = around.gid  # as mkdir(2) has it


def _is_plain(entry: Entry) -> bool:
    """Whether it is a file of which owner and mode are all that a fact could need."""
    return (
        entry.kind == tarheader.REGULAR
        and not entry.mode & _PRIVILEGED
        and entry.program is None
        and not entry.capabilities
    )


def _unplaced(entry: Entry, layer: int) -> Node:
    """A file like this one, of which neither place nor size are known."""
    node = Node(tarheader.REGULAR, layer)
    node.entry = entry._replace(size=0)
    _describe(node, entry)
    return node


def _describe(inode: Node, entry: Entry) -> None:
    """Owner, mode and capabilities are the inode's: a hard link's entry sets them anew."""
    inode.uid, inode.gid = entry.uid, entry.gid
    inode.capabilities |= entry.capabilities
    if inode.kind != tarheader.SYMLINK:
        inode.mode = entry.mode


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
        self,
        top: Node,
        index: int,
        limits: Limits,
        nodes: Iterator[int],
        *,
        overlay: bool,
        sharing: bool,
    ) -> None:
        self.top = top
        self.problems: list[Problem] = []
        self.unknown: list[Problem] = []
        """Of the problems, those of which nobody can say what a node makes of them."""
        self.differs = False
        """Whether something was seen that the other way of applying may take otherwise."""
        self.whiteouts = False
        self._index = index
        self._limits = limits
        self._overlay = overlay
        self._convert = overlay and index > 0
        """Whether whiteouts become devices: the first layer comes on a bind mount, where they
        do their work at once."""
        self._opaque: set[int] = set()
        self._folders: list[bytes] = []
        """Paths of the entries that are folders."""
        self._removed = False
        """Whether anything was taken away again."""
        self._nodes = nodes
        """One number for each file or folder that may still be made: an entry can make hundreds
        of folders."""
        self._linked_way = False
        """Whether the path that was located last has links in it."""
        self._sharing = sharing
        self._shared: dict[tuple[int, int, int], Node] = {}
        """Of files by mode, uid and gid."""
        self._kept: Collection[int] = ()
        """Places of the entries whose bodies were kept."""
        self._known: dict[bytes, Node] = {}
        """Folders by their path, as long as nothing was removed; none that a link leads to."""

    def run(self, layer: Layer) -> None:
        self._kept = layer.bodies
        for place, entry in enumerate(layer.entries):
            if not entry.path:
                continue  # the root itself: containerd leaves it as it is
            try:
                self._apply(place, entry)
            except (_Refused, Blocked) as refusal:
                self._note(f"containerd refuses {text(entry.path)}: {refusal}")
                if isinstance(refusal, Unknowable):
                    self.unknown += self.problems[-1:]
        if self._overlay and self._removed:
            self._date_folders()

    def _date_folders(self) -> None:
        """The folders' times are set last; one that is gone by then fails the pull."""
        for path in self._folders:
            try:
                trail = self._located(path)
            except Blocked as refusal:
                self._note(f"containerd cannot date {text(path)}: {refusal}")
                continue
            if trail and trail[-1][1] is None:
                self._note(f"containerd cannot date {text(path)}: the folder is gone again")

    def _note(self, what: str) -> None:
        self.differs = True
        if len(self.problems) < _MAX_PROBLEMS:
            self.problems.append(Problem(reason="malformed", detail=f"layer {self._index}: {what}"))

    def _apply(self, place: int, entry: Entry) -> None:
        folder_path, _, name = entry.path.rpartition(b"/")
        folder = self._folder(folder_path)
        if not name.startswith(_PREFIX):
            self._create(folder, name, place, entry)
        elif name == _OPAQUE:
            self._hide(folder)
        else:
            self._white_out(folder, name.removeprefix(_PREFIX))

    def _folder(self, path: bytes) -> Node:
        """The folder an entry goes to, its links followed and what is missing made."""
        if not path:
            return self.top
        if folder := self._known.get(path) or self._beside(path):
            return folder
        trail = self._located(path)
        if sum(len(name) + 1 for name, _ in trail) > self._limits.path_bytes:
            raise LimitExceeded(f"a path has more than {self._limits.path_bytes} bytes")
        folder = self._made_of(trail)
        if not self._linked_way:
            self._known[path] = folder
        return folder

    def _located(self, path: bytes) -> Trail:
        """Where a path leads; without links, that is, names and folders."""
        self._linked_way = False
        trail: Trail = []
        node: Node | None = self.top
        for name in path.split(b"/"):
            if not trail and name in {b"", b"."}:
                continue  # as hard links' targets begin
            plain = name not in {b"", b".", b".."}
            if plain and node is not None:
                if node.children is None:
                    raise Blocked("a file is in the place of a folder")
                node = node.children.get(name)
            if not plain or (node is not None and node.inode.kind == tarheader.SYMLINK):
                self.differs = self._linked_way = True
                return root_path(self.top, path, self._limits.path_bytes)
            trail.append((name, node))
        return trail

    def _beside(self, path: bytes) -> Node | None:
        """The folder where it is there, and the one around it is known: the usual case."""
        above, _, name = path.rpartition(b"/")
        around = self._known.get(above) if above else self.top
        folder = around.children.get(name) if around and around.children else None
        if folder is None or folder.children is None or len(path) >= self._limits.path_bytes:
            return None
        self._known[path] = folder
        return folder

    def _made_of(self, trail: Trail) -> Node:
        folder = self.top
        for name, node in trail:
            assert folder.children is not None
            if node is None:
                node = folder.children[name] = self._node(tarheader.DIRECTORY, implicit=True)  # noqa: PLW2901
                node.gid = folder.gid if folder.mode & SETGID else 0  # as mkdir(2) has it
            if node.children is None:
                raise _Refused("a file is in the place of a folder")
            folder = node
        return folder

    def _node(self, kind: bytes, *, implicit: bool = False) -> Node:
        self._count()
        return Node(kind, self._index, implicit=implicit)

    def _count(self) -> None:
        if next(self._nodes, None) is None:
            raise LimitExceeded("the layers make more files and folders than allowed")

    def _hide(self, folder: Node) -> None:
        """An opaque marker: nothing of the layers below is left in the folder."""
        self.differs = True
        if self._convert:
            # The kernel does not look at the mark of the root: nothing looks the root up.
            folder.opaque = folder is not self.top
        elif id(folder) not in self._opaque:
            self._opaque.add(id(folder))
            if self._empty(folder) and self._overlay:
                self._note("an opaque marker removes what the same layer brings")

    def _empty(self, folder: Node) -> bool:
        """Remove what this layer did not unpack; folders that were just on the way go, too.

        Returns whether there was any.
        """
        removed = False
        todo = [folder]
        while todo:
            children = todo.pop().children or {}
            for name, node in list(children.items()):
                if node.layer != self._index or node.entry is None:
                    del children[name]
                    removed = True
                else:
                    todo.append(node)
        self._removed |= removed
        self._known.clear()
        return removed

    def _white_out(self, folder: Node, name: bytes) -> None:
        if name in (b"", b".", b".."):
            raise _Refused("an invalid whiteout")
        assert folder.children is not None
        if not self._convert:
            if self._overlay and name in folder.children:
                # Other runtimes than containerd may refuse it; nobody builds such a layer.
                self._note(f"a whiteout of a path that the same layer brings: {text(name)}")
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
            if self._sharing and _is_plain(entry) and place not in self._kept:
                folder.children[name] = self._common(entry)
                return
            node = (
                self._linked(entry)
                if entry.kind == tarheader.LINK
                else self._node(self._kind(entry))
            )
            folder.children[name] = node
        else:
            node = old
        if entry.kind == tarheader.DIRECTORY:
            self._folders.append(entry.path)
        node.entry, node.place, node.layer = entry, place, self._index
        _describe(node.inode, entry)

    def _common(self, entry: Entry) -> Node:
        """The node of all files like this one."""
        self._count()
        node = self._shared.get((entry.mode, entry.uid, entry.gid))
        if node is None:
            node = _unplaced(entry, self._index)
            node.shared = True
            self._shared[entry.mode, entry.uid, entry.gid] = node
        return node

    def _kind(self, entry: Entry) -> bytes:
        if not entry.whiteout:
            return entry.kind
        self.differs = True
        self.whiteouts |= self._overlay
        return WHITEOUT if self._overlay else tarheader.CHAR

    def _linked(self, entry: Entry) -> Node:
        """Another name for a file that must be there already."""
        folder_path, _, name = entry.link.rpartition(b"/")
        if name in {b"", b".", b".."}:
            raise _Refused("a hard link to a folder")
        trail = self._located(folder_path) if folder_path else []
        folder = trail[-1][1] if trail else self.top
        if folder is None or folder.children is None or name not in folder.children:
            raise _Refused(f"a hard link to {text(entry.link)}, which is not in the layer")
        inode = folder.children[name].inode
        if inode.children is not None:
            raise _Refused("a hard link to a folder")
        if inode.shared:  # what the link says of owner and mode is this file's alone
            assert inode.entry is not None
            inode = folder.children[name] = _unplaced(inode.entry, inode.layer)
        if inode.kind == tarheader.REGULAR and entry.mode & EXECUTE and not inode.mode & EXECUTE:
            self._note(f"the hard link {text(entry.path)} makes a file executable")
        node = self._node(inode.kind)
        node.inode = inode
        return node

    def _remove(self, folder: Node, name: bytes) -> None:
        assert folder.children is not None
        self._removed |= folder.children.pop(name, None) is not None
        self._known.clear()
