"""What an image is there to run: the program behind its command, and what that was made with."""

from __future__ import annotations

import posixpath
import re
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import dropwhile
from typing import Literal

from webhook.image.facts import Executable, ImageFacts
from webhook.image.lookup import DEFAULT_PATH, Obstacle, Root

Kind = Literal["static", "glibc", "musl", "node", "python", "java", "script", "unknown"]

_SHELLS = re.compile(r"(?:ba|da|a|z|k)?sh")
_INITS = frozenset(("catatonit", "dumb-init", "tini"))
"""Init processes that people put before the program."""
_SCRIPTS = frozenset(("docker-entrypoint.sh", "entrypoint.sh"))
"""Scripts that end with ``exec "$@"``, as those of official images do."""
_ASSIGNMENT = re.compile(r"[A-Za-z_][A-Za-z0-9_]*=.*", re.DOTALL)
_LANGUAGES: dict[str, Kind] = {"node": "node", "python": "python"}
_NPM = frozenset(("npm", "npx", "pnpm", "yarn"))
_JAVA, _DOTNET = "java", "dotnet"
_LONGEST, _WORDS = 4096, 64
"""Characters of a line or a path, and words, that are looked at: a config has room for millions."""
_DEEPEST = 5
"""Scripts run by scripts."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Application:
    """What the image runs."""

    kind: Kind
    about: str
    """In a few words: ``a Go program, linked statically``."""
    words: tuple[str, ...]
    """The command without shells and wrappers before the program, its first words; the first is
    the program."""
    program: str | None
    """Its real path in the image; None where it is not there."""
    origin: str | None = None
    """``go`` or ``rust``, where the program tells."""
    shell: bool = False
    """Whether the image's command is a line for a shell."""
    before: tuple[str, ...] = ()
    """Scripts that run before the program, and then it."""


def application_of(facts: ImageFacts) -> Application:
    """What the image's own command leads to.

    Raises:
        NotRead: the layers were not read yet.
    """
    words, shell, before = _unwrapped((*(facts.config.entrypoint or ()), *(facts.config.cmd or ())))
    root = Root(
        programs=facts.files.programs,
        architecture=facts.platform.architecture,
        path=facts.config.variable("PATH") or DEFAULT_PATH,
        cwd=posixpath.join("/", facts.config.working_dir),
    )
    word = words[0] if words else ""
    path = root.find(word) if 0 < len(word) <= _LONGEST else None
    if path is None:
        about = f"its command, {word!r}, is not in it" if word else "it names no command"
        return Application(
            kind="unknown", about=about, words=words, program=None, shell=shell, before=before
        )
    kind, about = _kind(facts, root, path)
    origin = facts.files.programs.executables[path].origin
    return Application(
        kind=kind,
        about=about,
        words=words,
        program=path,
        origin=origin,
        shell=shell,
        before=before,
    )


def starts_by_npm(application: Application) -> bool:
    """Whether ``npm start`` and its like run it: what they start is in a file that is not read."""
    name = posixpath.basename(application.words[0]) if application.words else ""
    return application.kind == "node" and name in _NPM


def _unwrapped(command: Sequence[str]) -> tuple[tuple[str, ...], bool, tuple[str, ...]]:
    """The words from the program on, whether a shell has to split them, and scripts before it."""
    words, shell, before = list(command[:_WORDS]), False, []
    while words:
        name = posixpath.basename(words[0])
        if _SHELLS.fullmatch(name) and len(words) > 2 and words[1] in {"-c", "-ec", "-lc"}:  # noqa: PLR2004
            shell, words = True, _split(words[2])
        elif name in _INITS:
            words = list(dropwhile(lambda word: word.startswith("-"), words[1:]))
        elif name in _SCRIPTS:
            before.append(words.pop(0))
        elif name == "exec" or (shell and _ASSIGNMENT.fullmatch(words[0])):
            del words[0]
        else:
            break
    return tuple(words), shell, tuple(before)


def _split(line: str) -> list[str]:
    try:
        return shlex.split(line[:_LONGEST])[:_WORDS]
    except ValueError:  # an open quote
        return line[:_LONGEST].split()[:_WORDS]


def _kind(facts: ImageFacts, root: Root, path: str) -> tuple[Kind, str]:
    """Of an executable that is there."""
    start, program = path, facts.files.programs.executables[path]
    shells = {shell.path for shell in facts.files.shells}
    for _ in range(_DEEPEST):
        family = next((one.name for one in facts.files.interpreters if one.path == path), None)
        if family in _LANGUAGES:
            return _LANGUAGES[family], f"a {family.capitalize()} application"
        if posixpath.basename(path) == _JAVA:
            return "java", "a Java application"
        if posixpath.basename(path) == _DOTNET:
            return "script", "a .NET application"
        if path in shells or (program.kind == "elf" and path != start):
            return "script", f"a script for {path}"
        if program.kind == "elf":
            return _binary(program, family)
        interpreter = root.interpreter(program) if program.kind == "script" else None
        if interpreter is None or isinstance(interpreter, Obstacle):
            break
        path, program = interpreter, facts.files.programs.executables[interpreter]
    return "script", "a script"


def _binary(program: Executable, family: str | None) -> tuple[Kind, str]:
    if family is not None:
        return "script", f"a program for {family}"
    made = {"go": "a Go program", "rust": "a Rust program"}.get(program.origin or "", "a program")
    if program.interpreter is None:
        return "static", f"{made}, linked statically"
    if posixpath.basename(program.interpreter).startswith("ld-musl"):
        return "musl", f"{made}, linked with musl (Alpine's libc)"
    return "glibc", f"{made}, linked with glibc"
