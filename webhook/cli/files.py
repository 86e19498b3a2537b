"""``slimgate files``: the merged file system of an image."""

from __future__ import annotations

import sys
from collections.abc import Iterable

import click

from webhook.cli.options import deadline, one_platform, option, reads_images
from webhook.cli.output import show
from webhook.cli.reading import layers_of, reading
from webhook.image.apply import merge
from webhook.image.platform import Platform
from webhook.image.tree import FileRecord, listing
from webhook.report import files as files_report
from webhook.settings import Settings


@click.command("files", no_args_is_help=True)
@click.argument("image")
@one_platform
@option(
    "-o",
    "--output",
    type=click.Choice(["text", "json"]),
    default="text",
    show_default=True,
    help="Like ls -l, or one JSON object a line.",
)
@option("--largest", type=click.IntRange(min=1), metavar="N", help="Only the N largest files.")
@reads_images
def command(
    *,
    image: str,
    platform: Platform | None,
    output: str,
    largest: int | None,
    settings: Settings,
) -> None:
    """List the files of an image, its layers merged as a node merges them.

    \b
    The columns of the text: mode, owner, bytes, layer (from 0), path.

    \b
    Examples:
      slimgate files alpine:3.22 --largest 20
      slimgate files oci:build/image -o json | jq -r 'select(.layer == 2).path'

    Exit codes: 0 it was read; 2 it could not be; 64 wrong usage.
    """  # noqa: D301 - click's mark for lines that are not wrapped
    with reading(settings) as wired:
        layers = layers_of(wired, image, platform, deadline(settings))
    records: Iterable[FileRecord] = listing(merge(layers, settings.limits))
    if largest is not None:
        records = files_report.largest(records, largest)
    if output == "json":
        sys.stdout.writelines(files_report.json_lines(records))
    else:
        show(files_report.lines(records))
