"""What a check asks of a merged file system: shells, package managers, privileged files, ….

What counts is what could be executed: regular files with an x bit, and links that lead to one.
Package databases, documentation and text files do not. Only of shells those count, too, that have
no x bit, where a dynamic loader has one: ``/lib64/ld-linux-x86-64.so.2 /sh`` starts them.

- A script that has a shell's name counts if its interpreter is there: it may well hand over to
  one. An executable that is neither ELF nor script counts by its name: no honest image has one.
- A link to busybox that has an applet's name (``ls``) is not listed: calling it gives the
  applet, and busybox itself is listed.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import chain
from typing import Final

from webhook.image import interpreters, names, tarheader
from webhook.image.facts import By, LayerRef, Program
from webhook.image.filesystem import Node, resolve, walk
from webhook.image.layer import EXECUTE, SETGID, SETUID, text
from webhook.image.libraries import for_loaders
from webhook.image.shells import MULTI_CALL

_HEADERS: Final = (b".h", b".hh", b".hpp")
_HEADER = re.compile(rb"((?:usr/(?:local/)?)?include)/.*\.(?:h|hh|hpp)", re.DOTALL)
"""Only where a compiler looks: Python packages carry headers, too, and need them to run."""
_GO_TOOL = re.compile(rb"((?:.*/)?pkg/tool)/[a-z0-9]+_[a-z0-9]+/[a-z0-9]+", re.DOTALL)
_HOOKS: Final = b"etc/"
_Known = tuple[str, By]
"""What a file is, and how that was known."""
"""Cron jobs and init scripts are named after the tools they serve (``/etc/cron.daily/dpkg``)."""


@dataclass(frozen=True, slots=True)
class Tools:
    """What was found in one tree, sorted by path."""

    shells: tuple[Program, ...]
    package_managers: tuple[Program, ...]
    build_tools: tuple[Program, ...]
    interpreters: tuple[Program, ...]
    packed: tuple[Program, ...]
    setuid: tuple[Program, ...]


@dataclass(frozen=True, slots=True)
class _Name:
    """A path at which an executable file can be started."""

    path: bytes
    node: Node
    file: Node
    """The inode of the executable."""
    home: bytes | None
    """For links: the path they lead to; of hard links the path of the first one. For what a loader
    starts: the loader's."""

    @property
    def base(self) -> bytes:
        return self.path.rpartition(b"/")[2]


@dataclass(slots=True)
class Survey:
    """What one walk over a tree finds."""

    top: Node
    executables: list[tuple[bytes, Node]] = field(default_factory=list)
    """Regular files that somebody may execute, under each of their names."""
    loadable: list[tuple[bytes, Node]] = field(default_factory=list)
    """Regular files that nobody may execute, but a dynamic loader would start."""
    links: list[tuple[bytes, Node]] = field(default_factory=list)
    """Symbolic links, whatever they lead to."""
    names: list[_Name] = field(default_factory=list)
    libraries: set[bytes] = field(default_factory=set)
    """Base names of what dynamic loaders may ask for."""
    privileged: list[tuple[bytes, Node]] = field(default_factory=list)
    trees: dict[bytes, tuple[str, Node]] = field(default_factory=dict)
    """Folders of headers and the like: reported once, not file by file."""


def find(survey: Survey, layers: Sequence[LayerRef]) -> Tools:
    """Everything in the tree that means something to a check."""
    report = _Reporter(layers)
    top, found = survey.top, survey.names
    shells = _known(found, partial(_shell_file, top), partial(_shell_link, top))
    managers = _known(found, _manager_file, _manager_link)
    languages = _known(found, partial(_interpreter_file, top), partial(_interpreter_link, top))
    return Tools(
        shells=tuple(
            sorted(
                (report(name, known, by) for name, known, by in chain(shells, _loaded(survey))),
                key=lambda program: program.path,
            )
        ),
        package_managers=tuple(
            report(name, known, by) for name, known, by in managers if not _hook(name)
        ),
        build_tools=tuple(
            sorted(
                [
                    *(report(name, known, _by(name)) for name, known in _build_tools(survey)),
                    *(report.tree(path, *tree) for path, tree in survey.trees.items()),
                ],
                key=lambda program: program.path,
            )
        ),
        interpreters=tuple(
            report(name, known, by) for name, known, by in languages if not _hook(name)
        ),
        packed=tuple(
            report(name, packer, "content" if name.home is None else "link")
            for name, packer in _packed(survey.names)
        ),
        setuid=tuple(
            report.privileged(path, node, what)
            for path, node in survey.privileged
            for what in _privileges(node.inode)
        ),
    )


def executable(node: Node) -> bool:
    """Whether it is a regular file that somebody may execute."""
    return node.inode.kind == tarheader.REGULAR and bool(node.inode.mode & EXECUTE)


class _Reporter:
    """Turns what was found into ``Program``s that know their layer."""

    def __init__(self, layers: Sequence[LayerRef]) -> None:
        self._layers = layers

    def __call__(self, name: _Name, known: str, by: By) -> Program:
        return self._program(name.path, known, by, name.node.layer, name.home)

    def tree(self, path: bytes, name: str, node: Node) -> Program:
        return self._program(path, name, "path", node.layer)

    def privileged(self, path: bytes, node: Node, what: str) -> Program:
        return self._program(path, what, "path", node.layer)

    def _program(
        self, path: bytes, name: str, by: By, layer: int, target: bytes | None = None
    ) -> Program:
        return Program(
            path="/" + text(path),
            name=name,
            by=by,
            target=None if target is None else "/" + text(target),
            layer=layer,
            layer_digest=self._layers[layer].digest,
            created_by=self._layers[layer].created_by,
        )


def survey(top: Node) -> Survey:
    """Walk over the tree once."""
    found = Survey(top)
    homes: dict[int, bytes] = {}
    for path, node in walk(top):
        if node.inode.kind == tarheader.SYMLINK:
            found.links.append((path, node))
        elif node.inode.kind == tarheader.REGULAR:
            if node is node.inode and node.mode & EXECUTE:
                homes[id(node)] = path
            _note_file(found, path, node)
        if for_loaders(path):
            found.libraries.add(path.rpartition(b"/")[2])
    found.names += sorted(_names(found, homes), key=lambda name: name.path)
    return found


def _note_file(survey: Survey, path: bytes, node: Node) -> None:
    mode = node.inode.mode
    if mode & EXECUTE:
        survey.executables.append((path, node))
    elif (entry := node.inode.entry) and entry.program and entry.program.dynamic:
        survey.loadable.append((path, node))
    if mode & (SETUID | SETGID) or node.inode.capabilities:
        survey.privileged.append((path, node))
    if mode & EXECUTE or path.endswith(_HEADERS):
        _note_tree(survey, path, node)


def _names(survey: Survey, homes: Mapping[int, bytes]) -> Iterator[_Name]:
    for path, node in survey.executables:
        home = None if node is node.inode else homes.get(id(node.inode))
        yield _Name(path, node, node.inode, home)
    for path, node in survey.links:
        found = resolve(survey.top, path)
        if found and executable(found[1]):
            yield _Name(path, node, found[1].inode, found[0])


def _note_tree(survey: Survey, path: bytes, node: Node) -> None:
    """Folders that only a build needs."""
    if match := _HEADER.fullmatch(path):
        survey.trees.setdefault(match[1], ("headers", node))
    elif executable(node) and (match := _GO_TOOL.fullmatch(path)):
        survey.trees.setdefault(match[1], ("go", node))


def _by(name: _Name) -> By:
    return "path" if name.home is None else "link"


def _known(
    found: Sequence[_Name],
    of_file: Callable[[_Name], _Known | None],
    of_link: Callable[[_Name, _Known | None], _Known | None],
) -> Iterator[tuple[_Name, str, By]]:
    """What each name is: a file by itself, a link also by what the file is that it leads to."""
    files = {name.path: of_file(name) for name in found if name.home is None}
    for name in found:
        known = files[name.path] if name.home is None else of_link(name, files.get(name.home))
        if known:
            yield name, *known


def _shell_file(top: Node, name: _Name) -> _Known | None:
    own = names.shell(name.base)
    if own and _starts(top, name.file, own):
        return own, "path"
    content = _content(name.file)
    return (content, "content") if content else None


def _shell_link(top: Node, name: _Name, home: _Known | None) -> _Known | None:
    """The shell a link is: by the name it has, or by what it leads to."""
    inner = _content(name.file) or (home[0] if home else None)
    own = names.shell(name.base)
    if own and (inner or (own not in names.UNCLEAR and _starts(top, name.file, own))):
        return own, "link"
    applet = inner in MULTI_CALL and name.base in names.APPLETS
    return (inner, "link") if inner and not applet else None


def _loaded(survey: Survey) -> Iterator[tuple[_Name, str, By]]:
    """Shells without an x bit that a loader of the image starts: their own, or any."""
    any_loader = next((name.path for name in survey.names if names.loader(name.base)), None)
    for path, node in survey.loadable:
        known = names.shell(path.rpartition(b"/")[2]) or _content(node.inode)
        loader = _own_loader(survey.top, node.inode) or any_loader
        if known and loader:
            yield _Name(path, node, node.inode, loader), known, "loader"


def _own_loader(top: Node, file: Node) -> bytes | None:
    program = file.entry.program if file.entry else None
    found = resolve(top, (program.interpreter or "").encode()) if program else None
    return found[0] if found and executable(found[1]) else None


def _content(file: Node) -> str | None:
    return file.entry.shell if file.entry else None


def _starts(top: Node, file: Node, own: str) -> bool:
    """Whether an executable with a shell's name could be started as one."""
    program = file.entry.program if file.entry else None
    if program is None or program.kind == "elf":
        return True
    if own in names.UNCLEAR:
        return False
    if program.kind == "other":
        return True
    found = resolve(top, (program.interpreter or "").encode())
    return found is not None and executable(found[1])


def _interpreter_file(top: Node, name: _Name) -> _Known | None:
    own = interpreters.interpreter(name.base)
    if own and _starts(top, name.file, own):
        return own, "path"
    content = name.file.entry.language if name.file.entry else None
    return (content, "content") if content else None


def _interpreter_link(top: Node, name: _Name, home: _Known | None) -> _Known | None:
    """By its own name (busybox's ``awk``), or by what it leads to."""
    own = interpreters.interpreter(name.base)
    if own and not home and _starts(top, name.file, own):
        return own, "link"
    return (home[0], "link") if home else None


def _manager_file(name: _Name) -> _Known | None:
    """By name whatever the content: most are scripts."""
    if own := names.package_manager(name.base):
        return own, "path"
    content = name.file.entry.manager if name.file.entry else None
    return (content, "content") if content else None


def _manager_link(name: _Name, home: _Known | None) -> _Known | None:
    own = names.package_manager(name.base) or (home[0] if home else None)
    return (own, "link") if own else None


def _packed(found: Sequence[_Name]) -> Iterator[tuple[_Name, str]]:
    """Under each of its names: those of links may tell what is in it."""
    for name in found:
        if name.file.entry and (packer := name.file.entry.packer):
            yield name, packer


def _hook(name: _Name) -> bool:
    """Whether it is one of the scripts below /etc that have the names of what they serve."""
    return name.path.startswith(_HOOKS) and _script(name.file)


def _script(file: Node) -> bool:
    return (
        file.entry is not None
        and file.entry.program is not None
        and (file.entry.program.kind == "script")
    )


def _build_tools(survey: Survey) -> Iterator[tuple[_Name, str]]:
    """Those that are not an applet: the ``ar`` of busybox only unpacks."""
    for name in survey.names:
        known = names.build_tool(name.base)
        if known and not _hook(name) and _content(name.file) not in MULTI_CALL:
            yield name, known


def _privileges(inode: Node) -> Iterator[str]:
    if inode.mode & SETUID:
        yield "setuid"
    if inode.mode & SETGID:
        yield "setgid"
    if inode.capabilities:
        yield "capabilities"
