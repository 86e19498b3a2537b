"""What an image runs, found behind shells and wrappers, from the program itself."""

from __future__ import annotations

import pytest

from tests.checks.subjects import image, program
from webhook.advice.application import application_of
from webhook.image.facts import Executable, Programs

GLIBC, MUSL = "/lib64/ld-linux-x86-64.so.2", "/lib/ld-musl-x86_64.so.1"
FILES = {
    "/go": Executable(kind="elf", origin="go"),
    "/cgo": Executable(kind="elf", origin="go", interpreter=GLIBC),
    "/rust": Executable(kind="elf", origin="rust", interpreter=MUSL),
    "/c": Executable(kind="elf"),
    "/usr/bin/env": Executable(kind="elf", interpreter=GLIBC),
    "/usr/bin/node": Executable(kind="elf", interpreter=GLIBC),
    "/usr/bin/python3.13": Executable(kind="elf", interpreter=GLIBC),
    "/usr/bin/perl": Executable(kind="elf", interpreter=GLIBC),
    "/opt/dotnet": Executable(kind="elf", interpreter=GLIBC),
    "/opt/java/bin/java": Executable(kind="elf", interpreter=GLIBC),
    "/bin/sh": Executable(kind="elf", interpreter=GLIBC),
    "/start.sh": Executable(kind="script", interpreter="/bin/sh"),
    "/npm": Executable(
        kind="script", interpreter="/usr/bin/env", interpreter_argument="-S node --no-warnings"
    ),
    "/lost": Executable(kind="script", interpreter="/usr/bin/ruby"),
    "/other": Executable(kind="other"),
}
FACTS = {
    "programs": Programs(executables=FILES, links={"/usr/bin/python": "python3.13"}),
    "shells": (program("/bin/sh", "dash"),),
    "interpreters": (
        program("/usr/bin/node", "node"),
        program("/usr/bin/python3.13", "python"),
        program("/usr/bin/perl", "perl"),
    ),
}


def found(entrypoint=None, cmd=None, **config):
    one = image(
        contents=FACTS,
        entrypoint=entrypoint,
        cmd=cmd,
        env=("PATH=/usr/bin:/opt/java/bin",),
        **config,
    )
    return application_of(one)


@pytest.mark.parametrize(
    ("command", "kind", "about"),
    [
        (("/go", "serve"), "static", "a Go program, linked statically"),
        (("/cgo",), "glibc", "a Go program, linked with glibc"),
        (("/rust",), "musl", "a Rust program, linked with musl (Alpine's libc)"),
        (("/c",), "static", "a program, linked statically"),
        (("node", "server.js"), "node", "a Node application"),
        (("/npm", "start"), "node", "a Node application"),
        (("python", "-m", "app"), "python", "a Python application"),
        (("java", "-jar", "app.jar"), "java", "a Java application"),
        (("perl", "app.pl"), "script", "a program for perl"),
        (("/start.sh",), "script", "a script for /bin/sh"),
        (("/bin/sh", "/start.sh"), "script", "a script for /bin/sh"),
        (("/lost",), "script", "a script"),
        (("/opt/dotnet", "a.dll"), "script", "a .NET application"),
        (("/other",), "script", "a script"),
        (("/missing",), "unknown", "its command, '/missing', is not in it"),
        (("x" * 5000,), "unknown", f"its command, {'x' * 5000!r}, is not in it"),
        ((), "unknown", "it names no command"),
    ],
)
def test_kind(command, kind, about):
    one = found(entrypoint=command)
    assert (one.kind, one.about, one.words) == (kind, about, command)


@pytest.mark.parametrize(
    ("entrypoint", "cmd", "words", "shell"),
    [
        (("docker-entrypoint.sh",), ("node", "server.js"), ("node", "server.js"), False),
        (("/sbin/tini", "--"), ("/go",), ("/go",), False),
        (None, ("/bin/sh", "-c", "node server.js"), ("node", "server.js"), True),
        (("sh", "-c"), ("exec PORT=1 /go --name 'a b'",), ("/go", "--name", "a b"), True),
        (None, ("/bin/sh", "-c", "tini -- bash -lc '/go'"), ("/go",), True),
        (None, ("/bin/sh", "-c", "/go 'open"), ("/go", "'open"), True),
        (None, ("/bin/sh", "/start.sh"), ("/bin/sh", "/start.sh"), False),
        (None, ("A=B", "/go"), ("A=B", "/go"), False),
        (("tini",), None, (), False),
        (("/sbin/tini", "-g", "-v", "--", "/go"), ("x",), ("/go", "x"), False),
    ],
)
def test_shells_and_wrappers_are_seen_through(entrypoint, cmd, words, shell):
    one = found(entrypoint, cmd)
    assert (one.words, one.shell) == (words, shell)


def test_a_command_of_millions_of_words_is_cut_off():
    assert len(found(("/go", *["tini"] * 1_000_000)).words) == 64
    assert len(found(("sh", "-c", "/go " + "x " * 1_000_000)).words) == 64


def test_what_runs_before_it_is_named():
    assert found(("/app/entrypoint.sh",), ("/go",)).before == ("/app/entrypoint.sh",)


def test_relative_to_the_working_directory():
    assert found(("./node",), working_dir="/usr/bin").program == "/usr/bin/node"


def test_a_ring_of_scripts_ends():
    ring = {
        "/a": Executable(kind="script", interpreter="/b"),
        "/b": Executable(kind="script", interpreter="/a"),
    }
    one = image(contents={"programs": Programs(executables=ring)}, entrypoint=("/a",))
    assert application_of(one).kind == "script"
