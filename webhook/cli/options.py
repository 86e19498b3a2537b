"""Options that several commands share, and how they become ``Settings``.

Every option has an environment variable ``SLIMGATE_…`` of its own name.
"""

from __future__ import annotations

import functools
import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from webhook import __version__
from webhook.errors import UsageError
from webhook.image.platform import Platform
from webhook.image.quantity import Quantity
from webhook.limits import Deadline, Limits
from webhook.settings import Settings, environment, home

Command = Callable[..., Any]

FILE = click.Path(exists=True, dir_okay=False, readable=True, path_type=Path)
FOLDER = click.Path(exists=True, file_okay=False, path_type=Path)
MANIFEST = click.Path(exists=True, dir_okay=False, allow_dash=True, path_type=Path)

_DURATION = re.compile(r"(?P<value>\d+(?:\.\d+)?)(?P<unit>ms|s|m|h|)", re.ASCII)
_SECONDS = {"ms": 0.001, "s": 1.0, "": 1.0, "m": 60.0, "h": 3600.0}


class Duration(click.ParamType[float]):
    """``90``, ``30s``, ``1.5m``: seconds."""

    name = "duration"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        """Seconds, more than none."""
        if isinstance(value, float):
            return value
        match = _DURATION.fullmatch(value)
        seconds = float(match["value"]) * _SECONDS[match["unit"]] if match else 0.0
        if not seconds:
            self.fail(f"{value!r} is no duration: write seconds, or 30s, 5m, 1h", param, ctx)
        return seconds


class LimitType(click.ParamType[tuple[str, int]]):
    """``layers=600``, ``unpacked_bytes=40Gi``."""

    name = "name=value"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[str, int]:
        """A field of ``Limits`` and what it shall be, more than none."""
        if isinstance(value, tuple):
            return value
        name, _, text = value.partition("=")
        if name not in Limits.__dataclass_fields__:
            names = ", ".join(Limits.__dataclass_fields__)
            self.fail(f"{name!r} is no limit: there are {names}", param, ctx)
        try:
            return name, _count(text)
        except ValueError as error:
            self.fail(f"{name}: {error}", param, ctx)


class Size(click.ParamType[int]):
    """``256Mi``, ``1Gi``: bytes."""

    name = "size"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Bytes, more than none."""
        if isinstance(value, int):
            return value
        try:
            return _count(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)


def _count(text: str) -> int:
    """Of a quantity, more than none. Raises ``ValueError``."""
    count = int(Quantity.parse(text))
    if count < 1:
        raise ValueError("must be more than none")
    return count


class PlatformType(click.ParamType[Platform]):
    """``linux/arm64/v8``."""

    name = "os/arch[/variant]"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> Platform:
        """The platform, normalised as containerd does."""
        if isinstance(value, Platform):
            return value
        try:
            return Platform.parse(value)
        except UsageError as error:
            self.fail(str(error), param, ctx)


def option(*names: str, **attributes: Any) -> Callable[[Command], Command]:
    """A click option with its environment variable: ``--ca-file`` has ``SLIMGATE_CA_FILE``."""
    long = next(name for name in names if name.startswith("--"))
    variable = "SLIMGATE_" + long.lstrip("-").upper().replace("-", "_")
    return click.option(*names, envvar=variable, **attributes)


version = click.version_option(__version__, message="slimgate %(version)s")


def reads_images(command: Command) -> Command:
    """Add the options of a command that reads images; it is handed ``settings``."""

    @functools.wraps(command)
    def with_settings(
        *arguments: Any,
        timeout: float,
        ca_file: Path | None,
        plain_http: tuple[str, ...],
        authfile: Path | None,
        hosts: Path | None,
        credential_providers: Path | None,
        credential_provider_bin: Path | None,
        bases: tuple[Path, ...],
        limits: tuple[tuple[str, int], ...],
        quiet: bool,
        verbose: bool,
        **rest: Any,
    ) -> Any:
        settings = Settings(
            timeout=timeout,
            ca_file=ca_file,
            plain_http=plain_http,
            authfile=authfile,
            hosts=hosts,
            credential_providers=credential_providers,
            credential_provider_bin=credential_provider_bin,
            bases=bases,
            limits=Limits(**dict(limits)),
            quiet=quiet,
            verbose=verbose,
            environ=environment(),
            home=home(),
        )
        return command(*arguments, settings=settings, **rest)

    decorated: Command = with_settings
    for add in reversed(_READING):
        decorated = add(decorated)
    return decorated


_READING = (
    option(
        "--timeout",
        type=Duration(),
        default="10m",
        show_default=True,
        help="The longest that reading images may take: seconds, or 30s, 5m.",
    ),
    option("--ca-file", type=FILE, help="PEM certificates to trust beside the system's."),
    option(
        "--plain-http",
        metavar="HOST[:PORT]",
        multiple=True,
        help="Speak plain http to this registry. Repeatable.",
    ),
    option(
        "--authfile",
        type=FILE,
        help="Credentials: a docker config.json. Default: where docker and podman keep theirs.",
    ),
    option(
        "--hosts",
        type=FOLDER,
        help="Mirrors and certificates: a folder like containerd's certs.d, with HOST/hosts.toml.",
    ),
    option(
        "--credential-providers",
        type=FILE,
        help="A kubelet's CredentialProviderConfig: programs that know credentials.",
    ),
    option("--credential-provider-bin", type=FOLDER, help="The folder with those programs."),
    option(
        "--bases",
        type=FILE,
        multiple=True,
        help="Bases that images may stand on: a file of slimgate base learn. Repeatable.",
    ),
    option(
        "--limit",
        "limits",
        type=LimitType(),
        multiple=True,
        help="What an image may cost: layers=600 (docs/limits.md names all). Repeatable.",
    ),
    option("--quiet", "-q", is_flag=True, help="No progress, no notes: the answer alone."),
    option("--verbose", "-v", is_flag=True, help="Say on standard error what is read."),
    version,
)


def deadline(settings: Settings) -> Deadline:
    """When the whole command has to be done."""
    return Deadline.after(settings.timeout, time.monotonic)


one_platform = option(
    "--platform",
    type=PlatformType(),
    help="Which image of an index. Default: linux/amd64, or the only one.",
)
"""Of the commands that show one image."""
