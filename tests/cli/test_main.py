"""The command line as a program: help, start-up, terminals, closed pipes."""

from __future__ import annotations

import os
import pty
import re
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from tests.cli.conftest import one_line
from tests.support.registry import Fault, Registry
from webhook import __version__
from webhook.cli.main import COMMANDS

PROGRAM = [sys.executable, "-m", "webhook"]
HEAVY = ("rich", "flask", "gunicorn", "prometheus_client", "cryptography", "structlog",
         "cel_expr_python", "urllib3", "http.client")  # fmt: skip


def _started(*arguments: str, **options) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*PROGRAM, *arguments], capture_output=True, text=True, check=False, timeout=60, **options
    )


def test_help_lists_every_command(slimgate):
    """One line each."""
    out = slimgate("--help").out

    assert [name for name in COMMANDS if f"\n  {name} " not in out] == []


@pytest.mark.parametrize("command", [*COMMANDS, "policy check", "policy test", "policy schema"])
def test_help_teaches_by_example(slimgate, command):
    """Each command's help begins with a sentence and has an example to copy."""
    ran = slimgate(*command.split(), "--help")

    assert ran.code == 0
    if command != "policy":
        assert re.search(rf"Examples?:\n(.*\n)*?.*slimgate {command}\b", ran.out)


@pytest.mark.parametrize("command", ["", *COMMANDS, "policy check"])
def test_version_everywhere(slimgate, command):
    """Of slimgate and of each command."""
    assert slimgate(*command.split(), "--version").out == f"slimgate {__version__}\n"


def test_start_of_a_local_check_is_light(layout, tmp_path):
    """Judging an OCI folder loads nothing of the server, TLS, HTTP or colours."""
    code = (
        "import sys; from webhook.cli.main import run; code = run(sys.argv[1:]);"
        f"print(code, [name for name in {HEAVY!r} if name in sys.modules])"
    )

    ran = subprocess.run(
        [sys.executable, "-c", code, "check", layout("distroless"), "-o", "github"],
        capture_output=True, text=True, check=True, timeout=60, cwd=tmp_path,
    )  # fmt: skip

    assert ran.stdout == "0 []\n"


def _on_a_terminal(arguments: list[str], cwd: Path, **environment: str) -> str:
    """What a program writes to a terminal that is its standard output and error."""
    ours, theirs = pty.openpty()
    env = {**os.environ, "TERM": "xterm", "COLUMNS": "100"}
    with subprocess.Popen(
        [*PROGRAM, *arguments], stdin=subprocess.DEVNULL, stdout=theirs, stderr=theirs,
        cwd=cwd, env={**env, **environment},
    ) as process:  # fmt: skip
        os.close(theirs)
        written = b""
        while piece := _read(ours):
            written += piece
        process.wait(timeout=60)
    os.close(ours)
    return written.decode()


def _read(descriptor: int) -> bytes:
    try:
        return os.read(descriptor, 65536)
    except OSError:  # how Linux says that the other side of a terminal is closed
        return b""


def test_colours_on_a_terminal(layout, tmp_path):
    """Red for what denies; the text is the same."""
    shown = _on_a_terminal(["check", layout("shell-by-name")], tmp_path)

    assert "\x1b[1;31m✗ denied" in shown
    assert "/bin/sh" in shown


@pytest.mark.parametrize("environment", [{"NO_COLOR": "1"}, {"TERM": "dumb"}], ids=str)
def test_no_colours(layout, tmp_path, environment):
    """https://no-color.org."""
    shown = _on_a_terminal(["check", layout("shell-by-name"), "--quiet"], tmp_path, **environment)

    assert "\x1b[" not in shown
    assert "✗ denied" in shown


def test_nothing_but_the_answer_when_piped(layout, tmp_path):
    """No progress, no colours."""
    ran = _started("inspect", layout("distroless"), cwd=tmp_path)  # fmt: skip

    assert (ran.returncode, ran.stderr) == (0, "")
    assert "\x1b" not in ran.stdout


def test_a_closed_pipe_is_no_trace(layout, tmp_path):
    """``slimgate files … | head -1``."""
    command = f"{' '.join(PROGRAM)} files {layout('distroless')} -o json | head -c 1"

    ran = subprocess.run(
        command, shell=True, capture_output=True, text=True, check=False, cwd=tmp_path,
        timeout=60,
    )  # fmt: skip

    assert (ran.stdout, ran.stderr) == ("{", "")


@pytest.mark.parametrize(
    ("arguments", "code"), [("oci:distroless >&-", 0), ("oci:distroless 2>&-", 0), ("-f - <&-", 2)]
)
def test_closed_streams(layout, tmp_path, arguments, code):
    """The verdict stands: Python's own end, 1, would say that a pod is denied."""
    layout("distroless")

    ran = subprocess.run(
        f"{' '.join(PROGRAM)} check {arguments}", shell=True, capture_output=True, text=True,
        check=False, cwd=tmp_path, timeout=60,
    )  # fmt: skip

    assert (ran.returncode, ran.stderr) == (code, "")


def test_a_full_disk_is_no_trace(layout, tmp_path):
    """And no verdict."""
    with Path("/dev/full").open("w") as full:
        ran = subprocess.run(
            [*PROGRAM, "check", layout("distroless")], stdout=full, stderr=subprocess.PIPE,
            text=True, check=False, cwd=tmp_path, timeout=60,
        )  # fmt: skip

    assert ran.returncode == 74
    assert "No space left" in one_line(ran.stderr)


def test_a_dumb_terminal_sees_the_answer_alone(layout, tmp_path):
    """No bars, which it would keep as empty lines."""
    shown = _on_a_terminal(["check", layout("distroless")], tmp_path, TERM="dumb")

    assert shown.startswith("✓ passed")


def test_a_locale_without_the_characters(layout, tmp_path):
    """They are shown escaped, and nothing breaks."""
    ran = _started("check", layout("shell-by-name"), cwd=tmp_path,
                   env={**os.environ, "PYTHONUTF8": "0",
                        "PYTHONIOENCODING": "latin-1"})  # fmt: skip

    assert ran.returncode == 1
    assert r"\u2717 denied" in ran.stdout


@pytest.mark.parametrize(
    ("timeout", "code"),
    [pytest.param("10s", 2, id="deadline"), pytest.param("60s", 130, id="Ctrl-C")],
)
def test_the_end_waits_for_no_registry(timeout, code):
    """A registry that never answers holds up neither a deadline nor Ctrl-C."""
    asked = threading.Event()

    def never(handler, _):
        asked.set()
        handler.linger()

    with Registry({}, faults={"*": Fault(never)}) as registry:
        # Who starts the tests in the background may have SIGINT ignored, and that is inherited.
        interruptible = ["env", "--default-signal=INT", *PROGRAM]
        command = [*interruptible, "check", f"{registry.host}/team/app:1", "--timeout", timeout]
        with subprocess.Popen(
            command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
        ) as process:
            assert asked.wait(60)
            begun = time.monotonic()
            if code == 130:
                process.send_signal(signal.SIGINT)
            error = process.communicate(timeout=60)[1]

    assert (process.returncode, error.strip()) == (code, b"")
    assert time.monotonic() - begun < 25  # a registry that is silent is left after 30
