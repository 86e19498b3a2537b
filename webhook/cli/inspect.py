"""``slimgate inspect``: what is known of an image."""

from __future__ import annotations

import sys

import click

from webhook.cli.options import deadline, one_platform, option, reads_images
from webhook.cli.output import show
from webhook.cli.reading import facts_of, reading
from webhook.errors import ImageError
from webhook.image.document import document
from webhook.image.platform import Platform
from webhook.report import image as image_report
from webhook.report.json import dump
from webhook.settings import Settings

UNREADABLE = 2


@click.command("inspect", no_args_is_help=True)
@click.argument("image")
@one_platform
@option(
    "-o",
    "--output",
    type=click.Choice(["text", "json"]),
    default="text",
    show_default=True,
    help="A page, or the document that scripts and CEL rules see.",
)
@reads_images
@click.pass_context
def command(
    ctx: click.Context, *, image: str, platform: Platform | None, output: str, settings: Settings
) -> None:
    """Show what is known of an image: its user, layers, shells, tools, and what is wrong with it.

    \b
    IMAGE is one of
      registry/name:tag            or name@sha256:…, or both
      oci:FOLDER[:ref]
      oci-archive:FILE[:ref]       - for FILE reads standard input
      docker-archive:FILE[:ref]    likewise: what docker save writes

    \b
    Examples:
      slimgate inspect alpine:3.22
      slimgate inspect gcr.io/distroless/static --platform linux/arm64
      docker save app:1 | slimgate inspect docker-archive:-
      slimgate inspect oci:build/image -o json | jq .shells

    Exit codes: 0 it was read; 2 it could not be, and -o json says why; 64 wrong usage.
    """  # noqa: D301 - click's mark for lines that are not wrapped
    try:
        with reading(settings) as wired:
            facts = facts_of(wired, image, platform, deadline(settings))
    except ImageError as error:
        if output == "text":
            raise
        sys.stdout.write(dump({"error": {"reason": error.reason, "detail": error.detail}}))
        ctx.exit(UNREADABLE)
    if output == "json":
        sys.stdout.write(dump(document(facts)))
    else:
        show(image_report.lines(facts))
