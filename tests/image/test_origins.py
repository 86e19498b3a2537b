"""What made a program, by its content: real ones, and ones that only speak of it."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import pytest

from webhook.image.origins import identify, patterns
from webhook.image.search import Search

RUST = Path(sys.executable).parent / "ruff"


def origin(content: bytes) -> str | None:
    return identify(Search(patterns()).numbers([memoryview(content)]))


@pytest.mark.skipif(shutil.which("go") is None, reason="no Go here: its own command is the example")
def test_a_real_go_program():
    assert origin(Path(shutil.which("go")).resolve().read_bytes()) == "go"


def test_a_real_rust_program():
    assert origin(RUST.read_bytes()) == "rust"


def test_a_real_c_program():
    assert origin(Path(sys.executable).resolve().read_bytes()) is None


@pytest.mark.parametrize(
    "content",
    [
        b"Go buildinf:",
        b"go build -o /out/app",
        b"/rustc/ is where rustc is",
        b"/rustc/" + b"f" * 40,
    ],
)
def test_words_alone_are_nothing(content):
    assert origin(content) is None
