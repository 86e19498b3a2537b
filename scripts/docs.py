"""Write the pages of docs/ that are made from code: ``make docs``, or ``python -m scripts.docs``.

    docs/checks.md    from the docstrings of webhook/checks
    docs/cli.md       from ``--help``
    docs/limits.md    from webhook/limits.py

and the chart's CustomResourceDefinition and its guard, from webhook/judge/crd.py.

tests/test_docs.py fails when a page is stale.
"""

from __future__ import annotations

import ast
import inspect
from collections.abc import Iterator, Mapping
from itertools import pairwise
from pathlib import Path

import click

from webhook import limits
from webhook.checks import ALL
from webhook.cli.main import slimgate
from webhook.judge.crd import NAME, custom_resource_definition, guard, yaml_of
from webhook.limits import GIB, KIB, MIB, Limits

DOCS = Path(__file__).parent.parent / "docs"
CHART = DOCS.parent / "charts" / "slimgate"
WIDTH = 96
"""Columns of a help text: what fits a page without scrolling."""

CHECKS = """\
# Checks

One section for each check that a policy can switch on, made from the check's own file in
`webhook/checks/` by `make docs`. `noShell: {}` switches one on with its defaults; findings have
the check's name, a constant reason, a detail with the values, the evidence and the remedy.
"""

CLI = """\
# Command line

What `--help` says, made by `make docs`. Exit codes are in [the reference](../README.md#exit-codes).
"""

LIMITS = """\
# Limits

What reading one image may cost, made from `webhook/limits.py` by `make docs`. An image that
crosses one has the finding `limit`, which fails whatever `onUnknown` says: it was read far enough
to prove it. `--limit NAME=VALUE` sets one, as `--limit layers=600 --limit unpacked_bytes=40Gi`.

| limit | by default | what it bounds |
|---|---|---|
"""

LIMITS_END = """
An AdmissionReview may have 7 MiB and nest 64 deep. A denial has at most twelve problems written
out and counts the others; warnings are cut to what the API server passes on.

## What slimgate cannot see

- Files that come by volumes, ConfigMaps, or the network at run time.
- Images that are on a node already under a tag that has moved since, where
  `imagePullPolicy: IfNotPresent` runs the old one. A reference by digest closes that gap.
"""


def pages() -> Mapping[str, str]:
    """File name to text."""
    return {"checks.md": checks(), "cli.md": command_line(), "limits.md": limits_page()}


def checks() -> str:
    """A section a check, in the order of ``ALL``."""
    return "\n".join([CHECKS, *(_check(check.name, check.inspect) for check in ALL)])


def _check(name: str, function: object) -> str:
    module = inspect.getmodule(function)
    first, *rest = inspect.cleandoc((module and module.__doc__) or "").splitlines()
    summary = first.removeprefix(f"{name}: ")
    lines = [f"## {name}", "", summary[0].upper() + summary[1:], *map(_markdown, rest), ""]
    return "\n".join(lines).replace("``", "`")


def _markdown(line: str) -> str:
    """A docstring's sections are headings at the margin over indented text."""
    if line.startswith(" "):
        return line.removeprefix("    ")
    return f"**{line}**\n" if line else line


def command_line() -> str:
    """A section a command, groups before what they hold."""
    settings = {"max_content_width": WIDTH, **slimgate.context_settings}
    root = click.Context(slimgate, info_name="slimgate", **settings)
    return "\n".join([CLI, *_commands(root)])


def _commands(context: click.Context) -> Iterator[str]:
    context.terminal_width = WIDTH
    yield f"## {context.command_path}\n\n```\n{context.command.get_help(context).rstrip()}\n```\n"
    if isinstance(context.command, click.Group):
        for name in context.command.list_commands(context):
            command = context.command.get_command(context, name)
            if command is not None:
                yield from _commands(click.Context(command, context, info_name=name))


def limits_page() -> str:
    """A row a limit."""
    said = _said_of_fields()
    rows = (
        f"| `{name}` | {_amount(getattr(Limits(), name), name)} | {said.get(name, '')} |"
        for name in Limits.__dataclass_fields__
    )
    return LIMITS + "\n".join(rows) + "\n" + LIMITS_END


def _said_of_fields() -> dict[str, str]:
    """The text below each field of ``Limits``, which Python itself does not keep."""
    tree = ast.parse(inspect.getsource(limits))
    fields = next(n for n in tree.body if isinstance(n, ast.ClassDef) and n.name == "Limits").body
    said = {}
    for field, text in pairwise(fields):
        match field, text:
            case ast.AnnAssign(target=ast.Name(name)), ast.Expr(ast.Constant(str(words))):
                said[name] = " ".join(words.split())
    return said


def _amount(value: int, name: str) -> str:
    """Bytes in their largest whole unit, counts with separators."""
    for unit, size in (("GiB", GIB), ("MiB", MIB), ("KiB", KIB)):
        if name.endswith("bytes") and value % size == 0:
            return f"{value // size} {unit}"
    return f"{value:,} bytes" if name.endswith("bytes") else f"{value:,}"


MADE = "Made by `make docs` from webhook/judge/crd.py: change it there."
GUARDED = """\
metadata:
  name: {{ include "slimgate.clusterName" . }}-policies
  labels: {{- include "slimgate.labels" . | nindent 4 }}
"""


def chart_files() -> Mapping[str, str]:
    """What the chart has that is made from the types: path in the chart to text.

    The CRD lies in crds/, which Helm installs before it asks what kinds there are; the
    template that upgrades it reads it from there.
    """
    policy, binding = map(yaml_of, guard())
    return {
        "crds/imagepolicies.slimgate.dev.yaml": f"# {MADE}\n"
        + yaml_of(custom_resource_definition()),
        "templates/guard-policies-policy.yaml": _guard(policy),
        "templates/guard-policies-binding.yaml": _guard(binding),
    }


def _guard(body: str) -> str:
    """Under the release's name, and only where the values want it."""
    assert "{{" not in body
    named = body.replace(f"metadata:\n  name: {NAME}\n", GUARDED).replace(
        f"policyName: {NAME}", 'policyName: {{ include "slimgate.clusterName" . }}-policies'
    )
    return f"{{{{- if (.Values.guards).policies }}}}\n# {MADE}\n{named}{{{{- end }}}}\n"


def main() -> None:
    """Write every page, and what the chart has of the types."""
    for path, text in chart_files().items():
        (CHART / path).write_text(text)
    for name, text in pages().items():
        (DOCS / name).write_text(text)


if __name__ == "__main__":
    main()
