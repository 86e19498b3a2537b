"""Finding a program in an image, and saying whether the kernel would start it.

Follows what runc (Go's ``exec.LookPath``) and execve do: ``PATH``, the working directory,
symbolic links, ELF interpreters, ``#!`` lines. Knows only what the image holds: below a mount
everything is possible, and ``Hidden`` is raised.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from webhook.image.facts import Executable, Programs

DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
"""What containerd sets where nobody sets PATH."""
_MAX_LINKS = 40
"""As Linux's MAXSYMLINKS."""
_MAX_PARTS = 4096
"""Of one path, those of its links counted: more than honest images have, cheap to walk."""
_MAX_SCRIPTS = 5
"""Interpreters that are scripts themselves, as Linux's exec_binprm."""
_ALSO_RUNS = {"amd64": "386", "arm64": "arm"}
_ORIGIN = re.compile(r"\$ORIGIN\b|\$\{ORIGIN\}")
_MOST_PLACES = 64
"""Folders of a run path, and mounts, that are looked at."""
_WIDTHS = ("", "32", "64", "x32")
_LIBRARIES = (
    *(f"{prefix}/lib{width}" for prefix in ("", "/usr", "/usr/local") for width in _WIDTHS),
    *(f"/etc/ld.so.{name}" for name in ("cache", "conf", "conf.d", "preload")),
)
"""Where loaders look for libraries, and for where else to look."""


class Hidden(Exception):  # noqa: N818 - not an error: whoever asks has to do without an answer
    """The image does not tell: a volume is mounted over the place in question."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Obstacle:
    """Why a program would not start."""

    reason: str
    """``commandMissing``, ``interpreterMissing``, ``libraryMissing``, ``architecture`` or
    ``notExecutable``."""
    detail: str
    """Completes a sentence that begins with the program."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Root:
    """A container's file system and surroundings, as far as starting programs is concerned."""

    programs: Programs
    architecture: str
    """GOARCH of the image."""
    path: str
    """The environment's ``PATH``."""
    cwd: str = "/"
    mounts: tuple[str, ...] = ()
    """Where volumes are mounted: absolute paths."""
    libraries: bool = True
    """Whether loaders find libraries as the image says: no ``LD_LIBRARY_PATH``, no device."""

    def obstacle(self, command: str) -> Obstacle | None:
        """Why ``command`` would not start; None when nothing is seen to be wrong.

        Raises:
            Hidden: it depends on what is in a volume.
        """
        file = self.find(command)
        if file is None:
            detail = (
                "is not in the image, or is not executable"
                if "/" in command
                else f"is not in PATH ({self.path})"
            )
            return Obstacle(reason="commandMissing", detail=detail)
        return self._start(file)

    def _start(self, file: str) -> Obstacle | None:
        """What the kernel would say to execve of an executable regular file."""
        for _ in range(_MAX_SCRIPTS):
            program = self.programs.executables[file]
            if program.kind == "other":
                return Obstacle(
                    reason="notExecutable", detail="is neither an ELF binary nor a script with #!"
                )
            if program.kind == "elf":
                return self._start_binary(file, program)
            interpreter = self.interpreter(program)
            if isinstance(interpreter, Obstacle):
                return interpreter
            file = interpreter
        return Obstacle(reason="notExecutable", detail="is a script run by scripts, too deep")

    def _start_binary(self, file: str, program: Executable) -> Obstacle | None:
        machines = {self.architecture, _ALSO_RUNS.get(self.architecture)}
        if program.machine is not None and program.machine not in machines:
            return Obstacle(
                reason="architecture",
                detail=f"is built for {program.machine}, and the image is for {self.architecture}",
            )
        loader = program.interpreter
        if loader is None:
            return None
        if self.find(posixpath.join("/", loader)) is None:
            return Obstacle(
                reason="interpreterMissing",
                detail=f"needs {_shown(loader)}, which the image does not have{_libc(loader)}",
            )
        if program.lacks is None or not self._knows_libraries(file, program):
            return None
        return Obstacle(
            reason="libraryMissing",
            detail=f"needs the library {_shown(program.lacks)}, and no file in the image has that"
            " name",
        )

    def _knows_libraries(self, file: str, program: Executable) -> bool:
        """Whether nothing but the image can bring the libraries that a program lacks."""
        if not (self.libraries and self.mounts):
            return self.libraries
        own = _ORIGIN.sub(lambda _: posixpath.dirname(file), program.run_path).split(":")
        if "$" in "".join(own) or len(own) > _MOST_PLACES or len(self.mounts) > _MOST_PLACES:
            return False
        settings = posixpath.basename(program.interpreter or "").replace(".so.1", ".path")
        places = {*_LIBRARIES, f"/etc/{settings}", *(posixpath.join(self.cwd, one) for one in own)}
        places |= {real for place in places if (real := self._real_path(place))}
        mounts = self._mount_points()
        below = any(_is_below(place, mounts) for place in places)
        return not below and not any(_is_below(mount, places) for mount in mounts)

    def interpreter(self, script: Executable) -> str | Obstacle:
        """The program that a ``#!`` line starts."""
        name = script.interpreter or ""
        file = self.find(posixpath.join(self.cwd, name)) if name else None
        if file is None:
            why = " (its lines end as on Windows)" if name.endswith("\r") else ""
            return Obstacle(
                reason="interpreterMissing",
                detail=f"is a script for {_shown(name)}, which the image does not have{why}",
            )
        wanted = _by_env(script) if posixpath.basename(name) == "env" else None
        if wanted is None:
            return file
        return self.find(wanted) or Obstacle(
            reason="interpreterMissing",
            detail=f"is a script for {_shown(wanted)}, which is not in PATH ({self.path})",
        )

    def find(self, command: str) -> str | None:
        """The real path of an executable file; a bare name is looked up in ``PATH``.

        Raises:
            Hidden: it depends on what is in a volume.
        """
        hidden, mounts = False, self._mount_points()
        for candidate in self._candidates(command):
            real = self._real_path(candidate)
            if _is_below(candidate, mounts) or (real is not None and _is_below(real, mounts)):
                hidden = True
            elif real in self.programs.executables:
                return real
        if hidden:
            raise Hidden
        return None

    def _candidates(self, command: str) -> Iterator[str]:
        if "/" in command:
            yield posixpath.join("/", self.cwd, command)
        elif command and self.path:
            for folder in self.path.split(":"):
                yield posixpath.join("/", self.cwd, folder, command)

    def _real_path(self, path: str) -> str | None:
        """The path without symbolic links, ``.`` and ``..``; None when links go in circles."""
        pending = path.split("/")[::-1]
        done: list[str] = []
        links = parts = 0
        while pending:
            parts += 1
            if parts > _MAX_PARTS:
                return None
            part = pending.pop()
            if part == "..":
                del done[-1:]
            if part in {"", ".", ".."}:
                continue
            target = self.programs.links.get("/" + "/".join((*done, part)))
            if target is None:
                done.append(part)
                continue
            links += 1
            if links > _MAX_LINKS:
                return None
            if target.startswith("/"):
                done.clear()
            pending.extend(target.split("/")[::-1])
        return "/" + "/".join(done)

    def _mount_points(self) -> tuple[str, ...]:
        """Also where a mount path that is a link (``/var/run``) leads."""
        real = (self._real_path(mount) for mount in self.mounts)
        return tuple(dict.fromkeys((*self.mounts, *(path for path in real if path))))


def _is_below(path: str, mounts: Iterable[str]) -> bool:
    return any(path == mount or path.startswith(f"{mount.rstrip('/')}/") for mount in mounts)


def _by_env(script: Executable) -> str | None:
    """The program in ``#!/usr/bin/env [-S] [NAME=value…] program``.

    None where it takes more of ``env`` to know: options with values of their own, quotes,
    variables that decide where the program or its libraries are.
    """
    words = (script.interpreter_argument or "").strip().removeprefix("-S").split()
    word = next((word for word in words if "=" not in word), "-")
    if any(word.startswith(("LD_", "PATH=")) for word in words):
        return None
    return None if word.startswith("-") or set(word) & set("\\\"'$") else word


def _libc(loader: str) -> str:
    name = posixpath.basename(loader)
    if name.startswith(("ld-linux", "ld64.so")):
        return " (a glibc binary on a musl or static base)"
    if name.startswith("ld-musl"):
        return " (a musl binary on a glibc or static base)"
    return ""


def _shown(path: str) -> str:
    return path if path.isprintable() and path else repr(path)
