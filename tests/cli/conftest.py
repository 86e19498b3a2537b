"""The command line as a user meets it: arguments in; exit code, standard output and error out."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from tests.support import forge
from tests.support.samples import SAMPLES
from webhook.cli.main import run


@dataclass(frozen=True)
class Ran:
    """What came of a command."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """Standard output as the JSON it is."""
        return json.loads(self.out)

    @property
    def decisions(self) -> list[Any]:
        """The decisions of ``check -o json``."""
        return self.json["decisions"]


@pytest.fixture
def slimgate(tmp_path, monkeypatch) -> Callable[..., Ran]:
    """``slimgate("check", "oci:…", stdin=b"")``, in this process, in an empty folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("DOCKER_CONFIG", "REGISTRY_AUTH_FILE", "HTTPS_PROXY", "https_proxy"):
        monkeypatch.delenv(name, raising=False)

    def ran(*arguments: object, stdin: bytes = b"") -> Ran:
        with CliRunner().isolation(input=stdin) as (out, err, _):
            code = run([str(argument) for argument in arguments])
            sys.stdout.flush()
            sys.stderr.flush()
            return Ran(code, out.getvalue().decode(), err.getvalue().decode())

    return ran


@pytest.fixture
def layout(tmp_path) -> Callable[..., str]:
    """``layout("distroless")``: a sample, or an image, in an OCI folder; its argument."""

    def written(what: str | forge.Image, name: str | None = None) -> str:
        image = SAMPLES[what].image if isinstance(what, str) else what
        folder = name or (what if isinstance(what, str) else "image")
        if not (tmp_path / folder).exists():
            forge.write_layout(tmp_path / folder, image)
        return f"oci:{folder}"

    return written


@pytest.fixture
def file(tmp_path) -> Callable[[str, str], Path]:
    """``file("pod.yaml", text)``: a file in the empty folder."""

    def written(name: str, text: str) -> Path:
        (tmp_path / name).write_text(text)
        return Path(name)

    return written


def refused_start(arguments: Sequence[str], folder: Path) -> str:
    """Why ``slimgate serve`` does not start there: 64 and one line, before anything listens."""
    ran = subprocess.run(
        [sys.executable, "-m", "webhook", "serve", "--listen", "127.0.0.1:0", *arguments],
        capture_output=True, text=True, check=False, cwd=folder, timeout=60,
    )  # fmt: skip
    assert ran.returncode == 64
    return one_line(ran.stderr)


def one_line(text: str) -> str:
    """The text, if it is one line and no stack trace."""
    assert text.count("\n") == 1, text
    assert "Traceback" not in text
    return text.rstrip("\n")
