"""``slimgate advise``: how an image could be smaller and harder to attack."""

from __future__ import annotations

import sys

import click

from webhook.advice import advise
from webhook.cli.options import deadline, one_platform, option, reads_images
from webhook.cli.output import complain, show
from webhook.cli.reading import facts_and_layers, reading
from webhook.image.platform import Platform
from webhook.image.tree import listing
from webhook.report import advice as advice_report
from webhook.report.json import dump
from webhook.settings import Settings

_NO_SKETCH = 1


@click.command("advise", no_args_is_help=True)
@click.argument("image")
@one_platform
@option(
    "-o",
    "--output",
    type=click.Choice(["text", "json", "dockerfile"]),
    default="text",
    show_default=True,
    help="A page, a document for scripts, or the Dockerfile alone.",
)
@reads_images
def command(*, image: str, platform: Platform | None, output: str, settings: Settings) -> int:
    """Say what IMAGE runs, which base would carry it, and what it could do without.

    What it runs is found from its command and from the program itself. The Dockerfile is a
    sketch to begin with: its build stage knows the language, not your source. Look at the base's
    tags before you use them: slimgate asks no registry for them.

    \b
    Examples:
      slimgate advise registry.example/app:1.4
      slimgate advise oci:build/image -o dockerfile > Dockerfile

    Exit codes: 0 it was read; 1 there is no Dockerfile to give; 2 it could not be read; 64 wrong
    usage.
    """  # noqa: D301 - click's mark for lines that are not wrapped
    with reading(settings) as wired:
        facts, layers, trees = facts_and_layers(wired, image, platform, deadline(settings))
    unpacked = sum(entry.size for layer in layers for entry in layer.entries)
    advice = advise(facts, listing(trees), unpacked)
    if output == "json":
        sys.stdout.write(dump(advice_report.document(facts, advice)))
    elif output == "text":
        show(advice_report.lines(facts, advice))
    elif advice.dockerfile is None:
        complain(f"no Dockerfile: {advice.application.about}")
        return _NO_SKETCH
    else:
        sys.stdout.write(advice.dockerfile)
    return 0
