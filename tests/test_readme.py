"""The README shows what is there: its commands, its policy, its checks and its refusal."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path

import click
import pytest

from webhook.checks import ALL
from webhook.cli.main import slimgate
from webhook.judge.load import parse_policies

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()
PAGES = {
    str(page.relative_to(ROOT)): page.read_text()
    for page in (
        ROOT / "README.md",
        ROOT / "docs" / "install.md",
        ROOT / "docs" / "policies.md",
        ROOT / "CONTRIBUTING.md",
    )
}


def blocks(language):
    """The fenced blocks of README.md in a language."""
    return re.findall(rf"^```{language}\n(.*?)^```", README, re.MULTILINE | re.DOTALL)


def commands(word):
    """Every line of the pages that runs ``word``, with its continuation lines."""
    found = []
    for name, text in PAGES.items():
        joined = text.replace("\\\n", " ")
        lines = re.findall(rf"^ {{4,}}(?:\.venv/bin/)?({word} [^#\n]*)", joined, re.MULTILINE)
        found += [pytest.param(line, id=f"{name}: {line.strip()}") for line in lines]
    return found


@pytest.mark.parametrize("line", commands("slimgate"))
def test_commands_exist(line):
    """Each ``slimgate …`` is a command, and each option on the line is one of its own."""
    words = shlex.split(re.split(r" {2,}", line.strip())[0])[1:]
    command = slimgate
    while isinstance(command, click.Group):
        command = command.get_command(click.Context(command), words.pop(0))
        assert command is not None, line
    known = {name for one in command.params for name in one.opts}
    assert {word.partition("=")[0] for word in words if word.startswith("-")} <= known


def test_every_command_is_listed():
    """No command is left out of the README's list."""
    listed = {line.values[0].split()[1] for line in commands("slimgate")}
    assert set(slimgate.list_commands(click.Context(slimgate))) <= listed


@pytest.mark.parametrize("line", commands("make"))
def test_make_targets_exist(line):
    """Each ``make …`` is a target of the Makefile."""
    target = line.split()[1]
    assert re.search(rf"^{target}:", (ROOT / "Makefile").read_text(), re.MULTILINE)


def test_policy_is_one():
    """The policy is read as it stands, and is as short as the README says it can be."""
    (text,) = blocks("yaml")
    (policy,) = parse_policies(text, "README.md")
    assert policy.name == "prod"
    assert len(text.splitlines()) == 10


def test_policies_page_has_a_policy():
    """The long one in docs/policies.md, too."""
    (text,) = re.findall(
        r"^```yaml\n(.*?)^```", PAGES["docs/policies.md"], re.MULTILINE | re.DOTALL
    )
    assert parse_policies(text, "docs/policies.md")


def test_every_check_is_in_the_table():
    """In the order in which they are asked."""
    assert re.findall(r"^\| `(\w+)` \|", README, re.MULTILINE) == [check.name for check in ALL]


def test_refusal_is_real():
    """The message is the demo's, but for its registry's address and what digests there are."""
    seen = subprocess.run(
        [sys.executable, "-m", "demo"],
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=300,
        check=True,
    )
    (said,) = re.findall(
        r"^(\$ kubectl -n prod create -f alpine-app.yaml\n.*?)\n\n",
        seen.stdout,
        re.MULTILINE | re.DOTALL,
    )
    shown = next(block for block in blocks("") if block.startswith("$ kubectl"))
    said = re.sub(r"127\.0\.0\.1:\d+", "registry.example", said)
    assert _without_digests(shown.strip()) == _without_digests(said)


def _without_digests(text):
    """Compressors differ in their bytes from one zlib to the next."""
    return re.sub(r"sha256:[0-9a-f]+", "sha256:", text)
