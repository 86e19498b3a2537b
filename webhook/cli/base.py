"""``slimgate base``: learn base images by their layers, and list those that are known."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import click

from webhook.cli.options import FILE, deadline, option, reads_images, version
from webhook.cli.reading import reading
from webhook.errors import UsageError
from webhook.gather.source import ImageRequest, Unread, layered, unread
from webhook.image.bases import BasesFile, KnownBase, published, with_bases, written
from webhook.image.facts import ImageFacts
from webhook.image.reference import Reference
from webhook.limits import Deadline
from webhook.report.safe import clean, plural
from webhook.settings import Settings
from webhook.wiring import Wired, read_bases

_ABOUT = "Layers of base images, by diff_id (sha256 of the uncompressed tar), oldest first."


@click.group("base")
@version
def command() -> None:
    """Learn base images by their layers, and list those that are known.

    An image stands on a base if it begins with the base's layers, byte for byte. The check
    "base" allows bases by name; what labels and os-release say proves nothing.

    \b
    Examples:
      slimgate base learn registry.example/base/python:3.13
      slimgate check registry.example/app:1.4 --bases bases.json --policy base.yaml
    """  # noqa: D301 - click's mark for lines that are not wrapped


@command.command("learn", no_args_is_help=True)
@click.argument("image")
@option(
    "--name",
    metavar="NAME[:VERSION]",
    help="What policies call it. Default: the image's repository and tag.",
)
@option(
    "--file",
    "path",
    type=click.Path(dir_okay=False, path_type=Path),
    default="bases.json",
    show_default=True,
    help="The file to add it to; made if it is not there.",
)
@option(
    "--replace",
    is_flag=True,
    help="Forget what else was known by that name and version, on the same platforms.",
)
@reads_images
def learn(*, image: str, name: str | None, path: Path, replace: bool, settings: Settings) -> None:
    """Add the layers of IMAGE to a file of bases, for each Linux platform that it has.

    IMAGE is what "slimgate inspect" takes. All of its layers are read, to prove that they are what
    it says. A tag that moves can be learned again and again: images that stand on the older
    layers are known, too, unless you --replace them. Give the file to check, inspect and serve
    by --bases, or to the chart by --set-file bases.mine=bases.json.

    \b
    Examples:
      slimgate base learn registry.example/base/python:3.13
      slimgate base learn oci:build/base --name our-base:2026-11 --file our-bases.json

    Exit codes: 0 it is known now; 2 it could not be read; 64 wrong usage.
    """  # noqa: D301 - click's mark for lines that are not wrapped
    before = read_bases(path) if path.exists() else BasesFile(bases=(), about=_ABOUT)
    with reading(settings) as wired:
        reference = wired.sources.open(image)
        called, release = _called(name, None if wired.sources.near(reference) else reference)
        learned = [
            _known(facts, called, release)
            for facts in _each_platform(wired, reference, deadline(settings))
        ]
    try:
        _write(path, written(with_bases(before, learned, replacing=replace)))
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}") from error
    for base in learned:
        print(f"{path}: {_line(base)}")


@command.command("list")
@option("--bases", "paths", type=FILE, multiple=True, help="A file of such. Repeatable.")
@version
def listed(*, paths: tuple[Path, ...]) -> None:
    """List the bases that are known: the published ones, and those of files.

    \b
    Example:
      slimgate base list --bases bases.json
    """  # noqa: D301 - click's mark for lines that are not wrapped
    for base in (*published(), *(base for path in paths for base in read_bases(path).bases)):
        print(_line(base))


def _line(base: KnownBase) -> str:
    layers = plural(len(base.diff_ids), "layer")
    return clean(f"{base!s:<24} {base.platform:<16} {layers:<10} {base.source}").rstrip()


def _called(name: str | None, reference: Reference | None) -> tuple[str, str | None]:
    """Name and version, as the user wants them or as the reference has them."""
    if name is not None:
        called, _, release = name.partition(":")
        return called, release or None
    if reference is None:
        raise UsageError("an archive has no name that policies could use: --name NAME[:VERSION]")
    return reference.repository.removeprefix("library/"), reference.tag


def _known(facts: ImageFacts, name: str, release: str | None) -> KnownBase:
    try:
        return KnownBase(
            name=name,
            version=release,
            platform=str(facts.platform),
            source=f"{facts.reference.partition('@')[0]}@{facts.manifest_digest}",
            diff_ids=facts.config.diff_ids,
        )
    except ValueError as error:
        raise UsageError(str(error)) from error


def _each_platform(wired: Wired, reference: Reference, until: Deadline) -> Iterator[ImageFacts]:
    """The image on every platform, its layers read and proved. Raises ``ImageError``."""
    request = ImageRequest(reference=reference)
    opened = wired.images.configs([request], until)[request]
    for item in layered(request, opened, wired.images.layers(unread(request, opened), until)):
        if isinstance(item, Unread):
            raise item.error
        yield item


def _write(path: Path, body: bytes) -> None:
    """All of it, or what was there before."""
    with TemporaryDirectory(dir=path.parent, prefix=f".{path.name}.") as folder:
        beside = Path(folder) / path.name
        beside.write_bytes(body)
        if path.exists():
            beside.chmod(path.stat().st_mode)
        beside.replace(path)
