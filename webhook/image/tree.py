"""An image's layers together: the facts they hold, and the files they leave.

Everything reachable on some node counts, whichever way it applies layers; of the users that two
trees give, the worse one.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from typing import Final

from webhook.errors import LimitExceeded
from webhook.image import osrelease, tarheader
from webhook.image.apply import Trees
from webhook.image.config import ImageConfig
from webhook.image.facts import Executable, Files, Problem, Program, Programs, User
from webhook.image.filesystem import Blocked, Node, follow, resolve, walk
from webhook.image.layer import PASSWD_BYTES, Entry, Layer, text
from webhook.image.libraries import Present
from webhook.image.rootpath import root_path
from webhook.image.tools import Survey, find, survey
from webhook.image.user import PasswdProblem
from webhook.image.user import resolve as resolve_user

_PASSWD: Final = b"etc/passwd"
_ROOT_PATH_LINKS: Final = 255
"""Links that containerd follows on its way to ``/etc/passwd``."""
_PATH_BYTES: Final = 4096
"""Linux: PATH_MAX."""
_OS_RELEASE: Final = (b"etc/os-release", b"usr/lib/os-release")
_PACKAGE_DATABASES: Final = (
    b"lib/apk/db/installed",
    b"usr/lib/apk/db/installed",
    b"var/lib/dpkg/status",
    b"var/lib/dpkg/status.d",
    b"etc/apko.json",  # what apko was told to install
    b"var/lib/pacman/local",
    *(
        folder + name
        for folder in (b"var/lib/rpm/", b"usr/lib/sysimage/rpm/", b"usr/share/rpm/")
        for name in (b"Packages", b"Packages.db", b"rpmdb.sqlite")
    ),
)
_TYPES: Final = {
    tarheader.REGULAR: "file",
    tarheader.DIRECTORY: "dir",
    tarheader.SYMLINK: "symlink",
    tarheader.CHAR: "char",
    tarheader.BLOCK: "block",
    tarheader.FIFO: "fifo",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class FileRecord:
    """A path of the merged file system, as ``slimgate files`` prints it (design section 10)."""

    path: str
    type: str
    mode: str
    """Four octal digits."""
    uid: int
    gid: int
    size: int
    """Bytes; of regular files and their hard links."""
    link: str | None
    """Of a symlink as written, of a hard link the absolute path of the first name."""
    sha256: str | None
    """Hex digits; None where layers were read without ``digests``."""
    layer: int


def wanted(layers: Sequence[Layer], trees: Trees) -> Mapping[int, frozenset[int]]:
    """Bodies that are needed and were not kept: entry places by layer index. Nearly always none.

    ``/etc/passwd`` may be a link to any file. Read those layers again with ``keep`` before
    asking ``files_of``.
    """
    needed: dict[int, set[int]] = {}
    for node in chain.from_iterable(_sources(top) for top in trees.both):
        if node.place not in layers[node.layer].bodies:
            needed.setdefault(node.layer, set()).add(node.place)
    return {index: frozenset(places) for index, places in needed.items()}


def is_enough(trees: Trees) -> bool:
    """Whether layers that were merged with ``sharing`` give all facts: nearly always.

    ``/etc/passwd`` may be a link to one of the files that share a node.
    """
    return all(node.place >= 0 for top in trees.both for node in _sources(top))


def files_of(config: ImageConfig, layers: Sequence[Layer], trees: Trees) -> Files:
    """What the layers, oldest first, hold together; ``trees`` is what they merge to.

    Raises:
        KeyError: a body is missing that ``wanted`` asked for.
    """
    refs = [layer.ref for layer in layers]
    surveys = [survey(top) for top in trees.both]
    tools = [find(each, refs) for each in surveys]
    return Files(
        user=_worst(resolve_user(config.user, _passwd(top, layers)) for top in trees.both),
        shells=_united(each.shells for each in tools),
        package_managers=_united(each.package_managers for each in tools),
        build_tools=_united(each.build_tools for each in tools),
        interpreters=_united(each.interpreters for each in tools),
        packed=_united(each.packed for each in tools),
        setuid=_united(each.setuid for each in tools),
        unpacked=tuple(layer.unpacked for layer in layers),
        os_release=_os_release(trees.overlay, layers),
        package_databases=tuple(
            "/" + text(path) for path in _PACKAGE_DATABASES if resolve(trees.overlay, path)
        ),
        programs=_programs(surveys),
        problems=(*chain.from_iterable(_problems(layer) for layer in layers), *trees.problems),
    )


def listing(trees: Trees) -> Iterator[FileRecord]:
    """The merged file system as an overlay snapshotter shows it, folders before their content."""
    top = trees.overlay
    homes = {id(node): path for path, node in walk(top)}
    for path, node in walk(top):
        # Where the first name of a file is gone, the next one takes its place.
        yield _record(path, node, homes.setdefault(id(node.inode), path))


def _record(path: bytes, node: Node, home: bytes) -> FileRecord:
    inode, entry = node.inode, node.inode.entry
    kind = _TYPES[inode.kind] if home == path else "hardlink"
    link = entry.link if entry and kind == "symlink" else b"/" + home
    return FileRecord(
        path="/" + text(path),
        type=kind,
        mode=f"{inode.mode:04o}",
        uid=inode.uid,
        gid=inode.gid,
        size=entry.size if entry else 0,
        link=text(link) if kind in {"symlink", "hardlink"} else None,
        sha256=entry.sha256 if entry else None,
        layer=node.layer,
    )


def _sources(top: Node) -> Iterator[Node]:
    """The files whose content makes facts."""
    passwd = _passwd_file(top)
    if isinstance(passwd, Node):
        yield passwd
    release = _os_release_file(top)
    if release:
        yield release


def _body(inode: Node, layers: Sequence[Layer]) -> bytes:
    return layers[inode.layer].bodies[inode.place]


def _passwd_file(top: Node) -> Node | PasswdProblem | None:
    """As containerd opens it: within the root, a regular file of a bearable size.

    Up to 2.1 at least it goes by RootPath, which takes some links otherwise than the kernel and
    later versions do (openUserFile): then nobody can say who the user is.
    """
    try:
        trail, links = follow(top, _PASSWD, max_links=_ROOT_PATH_LINKS)
        older = root_path(top, b"/" + _PASSWD, _PATH_BYTES) if links else trail
    except (Blocked, LimitExceeded) as reason:
        return PasswdProblem(detail=f"cannot be reached: {reason}")
    if [name for name, _ in older] != [name for name, _ in trail]:
        return PasswdProblem(detail="is another file in older versions of containerd")
    node = trail[-1][1] if trail else top
    if node is None:
        return None
    inode = node.inode
    if inode.kind != tarheader.REGULAR or inode.entry is None:
        return PasswdProblem(detail=f"is a {_TYPES[inode.kind]}")
    if inode.entry.size > PASSWD_BYTES:
        return PasswdProblem(detail="is larger than 10 MiB")
    return inode


def _passwd(top: Node, layers: Sequence[Layer]) -> bytes | PasswdProblem | None:
    found = _passwd_file(top)
    return _body(found, layers) if isinstance(found, Node) else found


def _os_release_file(top: Node) -> Node | None:
    """The first that is there, unless it is too big to be one."""
    for path in _OS_RELEASE:
        found = resolve(top, path)
        if found and (entry := found[1].inode.entry) and entry.size <= osrelease.MAX_BYTES:
            return found[1].inode if found[1].inode.kind == tarheader.REGULAR else None
    return None


def _os_release(top: Node, layers: Sequence[Layer]) -> Mapping[str, str]:
    file = _os_release_file(top)
    return osrelease.parse(_body(file, layers)) if file else {}


def _worst(users: Iterable[User]) -> User:
    """Root before what would not start, and that before everybody else."""
    return min(users, key=lambda user: (user.root is not True, user.root is not None))


def _united(found: Iterable[tuple[Program, ...]]) -> tuple[Program, ...]:
    """What is in any of the trees, once, by path."""
    programs = {(each.path, each.name): each for each in chain.from_iterable(found)}
    return tuple(programs[key] for key in sorted(programs))


def _programs(surveys: Sequence[Survey]) -> Programs:
    """Of both trees; where they differ, what overlayfs shows."""
    executables: dict[str, Executable] = {}
    links: dict[str, str] = {}
    present = Present(chain.from_iterable(each.libraries for each in surveys))
    for each in reversed(surveys):
        for path, node in each.links:
            if node.inode.entry is not None:
                links["/" + text(path)] = text(node.inode.entry.link)
        for path, node in each.executables:
            if node.inode.entry is not None:
                executables["/" + text(path)] = _executable(node.inode.entry, present)
    return Programs(executables=executables, links=links)


def _executable(entry: Entry, present: Present) -> Executable:
    program = entry.program or Executable(kind="other")
    if entry.needed is None:
        return program
    lacks = present.lacks((program.interpreter or "").encode(), entry.needed)
    if lacks is None:
        return program
    return replace(program, lacks=text(lacks), run_path=text(entry.needed.run_path))


def _problems(layer: Layer) -> Iterator[Problem]:
    """A layer's own, with its place."""
    for problem in layer.problems:
        yield Problem(reason=problem.reason, detail=f"layer {layer.ref.index}: {problem.detail}")
