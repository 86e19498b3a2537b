"""Write the digests of the bases into the Dockerfile: ``make pin``, or ``python -m scripts.pin``.

    make pin                                            # what the Dockerfile names now
    python -m scripts.pin BASE=registry.example/mirror/python3-debian13:nonroot

Each base's registry is asked which digest the tag has now. Where one does not answer, nothing is
written and the reason is told. A digest is only ever that of a manifest which was fetched.
"""

from __future__ import annotations

import re
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import click

from webhook.errors import SlimgateError
from webhook.image.reference import Reference
from webhook.limits import Deadline
from webhook.settings import Settings, environment, home
from webhook.wiring.registries import registries

DOCKERFILE = Path(__file__).parent.parent / "Dockerfile"
ARGUMENTS = ("BUILDER", "BASE")
SECONDS = 60


def pinned(name: str, settings: Settings) -> str:
    """The reference with the digest that its tag has now.

    Raises:
        SlimgateError: it is no reference, or its registry does not say.
    """
    tagged = name.partition("@")[0]
    reached = registries(settings)
    deadline = Deadline.after(SECONDS, time.monotonic)
    try:
        found = reached.everybody().resolve(Reference.parse(tagged), deadline)
    finally:
        reached.transport.close()
    return f"{tagged}@{found.digest}"


def bases(dockerfile: str) -> dict[str, str]:
    """The bases that a Dockerfile names, by argument."""
    found = dict(re.findall(r"^ARG (\w+)=(\S+)$", dockerfile, re.MULTILINE))
    return {name: found[name] for name in ARGUMENTS}


def written(dockerfile: str, values: Mapping[str, str]) -> str:
    """The Dockerfile with other defaults for its arguments."""
    for name, value in values.items():
        dockerfile = re.sub(rf"(?m)^(ARG {name}=)\S+$", rf"\g<1>{value}", dockerfile)
    return dockerfile


@click.command()
@click.argument("names", nargs=-1, metavar="[BUILDER=IMAGE] [BASE=IMAGE]")
@click.option("--file", "path", type=click.Path(path_type=Path), default=DOCKERFILE)
@click.option("--plain-http", multiple=True, metavar="HOST", help="Speak plain http to it.")
def main(names: Sequence[str], path: Path, plain_http: Sequence[str]) -> None:
    """Write the digests that the bases' tags have now into the Dockerfile."""
    text = path.read_text()
    wanted = {**bases(text), **dict(one.partition("=")[::2] for one in names)}
    if unknown := wanted.keys() - set(ARGUMENTS):
        raise click.UsageError(f"{', '.join(sorted(unknown))}: only {' and '.join(ARGUMENTS)}")
    settings = Settings(environ=environment(), home=home(), plain_http=tuple(plain_http))
    try:
        values = {name: pinned(image, settings) for name, image in wanted.items()}
    except SlimgateError as error:
        sys.exit(f"nothing is pinned: {error}")
    path.write_text(written(text, values))
    for name, value in values.items():
        click.echo(f"{name}={value}")


if __name__ == "__main__":
    main()
