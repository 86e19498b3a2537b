"""A multi-stage Dockerfile for what an image runs: a sketch, made of its config and its kind.

Everything that an image says of itself is hostile: what goes into the file is JSON, or a path of
plain characters. Where one is not, there is no sketch.
"""

from __future__ import annotations

import json
import posixpath
import re
from collections.abc import Callable, Sequence

from webhook.advice.application import Application, starts_by_npm
from webhook.advice.base import Base
from webhook.image.config import ImageConfig

_PLAIN = re.compile(r"/[\w./@+-]{0,200}", re.ASCII)
"""Paths that mean in a Dockerfile what they say."""
_META = frozenset(";&|<>$`()*?")
"""What means something to a shell."""
_BIN = frozenset(("/bin", "/usr/bin", "/usr/local/bin", "/sbin", "/usr/sbin", "/usr/local/sbin"))
_INTERPRETED = frozenset(("node", "python"))
_WORDS = 32
_LONGEST = 200
_USER = "# nonroot; as a number, or the kubelet cannot check runAsNonRoot\nUSER 65532"


def dockerfile(application: Application, config: ImageConfig, base: Base) -> str | None:
    """The sketch; None where nothing is known to make one of."""
    sketch = _SKETCHES.get(application.kind)
    words, home = application.words, _home(application, config)
    plain = all(_PLAIN.fullmatch(path) for path in (home, application.program or ""))
    bounded = len(words) <= _WORDS and all(len(word) <= _LONGEST for word in words)
    if application.shell and any(_META & set(word) for word in words):
        return None  # only a shell could say what that runs
    if outside_home(application, config):
        return None
    if sketch is None or base.image is None or not plain or not bounded:
        return None
    build, run = sketch(application, home, base.version)
    stages = ["# syntax=docker/dockerfile:1\n" + build]
    if base.debug is not None:
        about = "# docker build --target debug: the same, with a shell"
        stages.append(f"{about}\nFROM {base.image}:{base.debug} AS debug\n{run}")
    stages.append(f"FROM {base.image}:{base.tag}\n{run}")
    return "\n\n".join(stages) + "\n"


def outside_home(application: Application, config: ImageConfig) -> bool:
    """Whether an interpreter runs a script that is not among the application's files.

    ``gunicorn``, say: pip puts such scripts elsewhere in the base that is advised.
    """
    if application.kind not in _INTERPRETED or starts_by_npm(application):
        return False
    within = (application.program or "").startswith(f"{_home(application, config)}/")
    return not within and not _names_interpreter(application)


def _names_interpreter(application: Application) -> bool:
    """Whether the command begins with ``node`` or ``python3``, not with a script of it."""
    return posixpath.basename(application.words[0]).startswith(application.kind)


def _home(application: Application, config: ImageConfig) -> str:
    """Where the application lies: its working directory, or the folder of the file it runs."""
    home = posixpath.normpath(config.working_dir or "/")
    if home != "/":
        return home
    files = (word for word in (*application.words[1:], application.words[0]) if word[:1] == "/")
    folder = posixpath.dirname(posixpath.normpath(next(files, "")))
    return folder if folder not in {"", "/", *_BIN} else "/app"


def _run(words: Sequence[str]) -> str:
    """A JSON array in ASCII: no word can be anything but a word."""
    return json.dumps(list(words))


def _compiled(application: Application, _home: str, _version: str) -> tuple[str, str]:
    """A program that stays where it is."""
    path = application.program or ""
    words = (path, *application.words[1:])
    build = _BUILDS[application.origin](application, posixpath.basename(path))
    return build, f"COPY --from=build /out/app {path}\n{_USER}\nENTRYPOINT {_run(words)}"


def _go(application: Application, _name: str) -> str:
    cgo = int(application.kind == "glibc")
    return (
        "FROM golang:1 AS build\nWORKDIR /src\nCOPY go.mod go.sum ./\nRUN go mod download\n"
        f"COPY . .\nRUN CGO_ENABLED={cgo} go build -trimpath -ldflags='-s -w' -o /out/app ."
    )


def _rust(application: Application, name: str) -> str:
    if application.kind == "glibc":
        build = f"cargo build --release --locked && install -D target/release/{name} /out/app"
    else:
        build = (
            "target=$(uname -m)-unknown-linux-musl && rustup target add $target && "
            "cargo build --release --locked --target $target && "
            f"install -D target/$target/release/{name} /out/app"
        )
    return f"FROM rust:1 AS build\nWORKDIR /src\nCOPY . .\nRUN {build}"


def _other(application: Application, name: str) -> str:
    static = "" if application.kind == "glibc" else " LDFLAGS=-static"
    return (
        "FROM debian:trixie AS build\nRUN apt-get update && apt-get install -y build-essential\n"
        f"WORKDIR /src\nCOPY . .\n# your own build\nRUN make{static} && install -D {name} /out/app"
    )


_BUILDS = {"go": _go, "rust": _rust, None: _other}


def _node(application: Application, home: str, version: str) -> tuple[str, str]:
    build = (
        f"FROM node:{version} AS build\nWORKDIR {home}\nCOPY package.json package-lock.json ./\n"
        "RUN npm ci --omit=dev\nCOPY . ."
    )
    return build, _interpreted(application, home)


def _python(application: Application, home: str, version: str) -> tuple[str, str]:
    build = (
        f"FROM python:{version}-slim AS build\nWORKDIR {home}\nCOPY requirements.txt ./\n"
        f"RUN pip install --no-cache-dir --target={home}/packages -r requirements.txt\nCOPY . ."
    )
    return build, f"ENV PYTHONPATH={home}/packages\n{_interpreted(application, home)}"


def _interpreted(application: Application, home: str) -> str:
    """The base's own entrypoint is the interpreter: the command is what it is to run."""
    (word, *run), entrypoint = application.words, str(application.kind)
    if starts_by_npm(application):
        entrypoint, run = f"node; the file is the one that {word} starts", ["index.js"]
    elif not _names_interpreter(application):
        run.insert(0, application.program or "")
    return (
        f"WORKDIR {home}\nCOPY --from=build {home} {home}\n{_USER}\n"
        f"# the base's ENTRYPOINT is {entrypoint}\nCMD {_run(run)}"
    )


def _java(application: Application, home: str, version: str) -> tuple[str, str]:
    words = application.words[1:]
    jar = words.index("-jar") + 1 if "-jar" in words else None
    build = (
        f"FROM maven:3-eclipse-temurin-{version} AS build\nWORKDIR /src\nCOPY . .\n"
        "RUN mvn --batch-mode package && mkdir /out && cp target/*.jar /out/app.jar"
    )
    copy = f"WORKDIR {home}\nCOPY --from=build /out/app.jar {home}/app.jar\n{_USER}\n"
    if jar is None:
        return build, f"{copy}# the base's ENTRYPOINT is java -jar\nCMD {_run([f'{home}/app.jar'])}"
    options, rest = words[: jar - 1], words[jar + 1 :]
    run = f"ENTRYPOINT {_run(['/usr/bin/java', *options, '-jar', f'{home}/app.jar', *rest])}"
    return build, copy + run


_SKETCHES: dict[str, Callable[[Application, str, str], tuple[str, str]]] = {
    "static": _compiled,
    "glibc": _compiled,
    "musl": _compiled,
    "node": _node,
    "python": _python,
    "java": _java,
}
