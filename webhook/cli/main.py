"""``slimgate``: finds the command, and turns everything that ends one into an exit code.

Commands are imported when they are asked for, so that ``check`` does not pay for the server.
"""

from __future__ import annotations

import gc
import os
import sys
import threading
from collections.abc import Mapping, Sequence
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any, NoReturn, TextIO, cast

import click

from webhook import __version__
from webhook.cli.output import complain
from webhook.errors import ImageError, SlimgateError

USAGE = 64
"""Wrong usage: EX_USAGE of sysexits.h. click's own 2 is taken: it means unknown."""
_BUG, _INTERRUPTED, _PIPE_CLOSED = 70, 130, 141
_NOT_WRITTEN = 74
"""EX_IOERR: the disk is full, or the terminal gone."""

COMMANDS: Mapping[str, str] = {
    "check": "Judge images, or the pods of manifests, by policies.",
    "inspect": "Show what is known of an image.",
    "advise": "Say how an image could be smaller and harder to attack.",
    "files": "List the files of an image, its layers merged.",
    "review": "Answer an AdmissionReview given on standard input.",
    "serve": "Answer AdmissionReviews over HTTPS: the webhook.",
    "controller": "Watch the cluster for serve, in the same pod.",
    "reader": "Read layers for serve, apart from everything else.",
    "policy": "Check, test and describe policies.",
    "base": "Learn base images by their layers, and list those that are known.",
    "certs": "Show certificates, and have them renewed.",
    "self-test": "Ask a cluster for a good and a bad pod: the chart's helm test.",
}
"""Each with the line that ``slimgate --help`` shows; its module has the same name, with ``_``."""


class Commands(click.Group):
    """The commands, each imported when it is asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        """Every command, in the order of ``COMMANDS``."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:  # noqa: ARG002
        """The command of that name, imported."""
        if name not in COMMANDS:
            return None
        command: click.Command = _imported(f"webhook.cli.{name.replace('-', '_')}").command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        """List the commands without importing any."""
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, message="slimgate %(version)s")
def slimgate() -> None:
    """Know what is inside a container image, and refuse pods by it.

    \b
    Examples:
      slimgate inspect alpine:3.22
      slimgate check registry.example/app:1.4
      slimgate check -f deployment.yaml --policy distroless-nonroot
      slimgate serve --policies policies/ --listen 0.0.0.0:8443

    Every option can be set by a variable, too: --ca-file by SLIMGATE_CA_FILE.

    Exit codes: 0 all is well, 1 a failure denies, 2 something could not be found out,
    64 wrong usage.
    """  # noqa: D301 - click's mark for lines that are not wrapped


def main(argv: Sequence[str] | None = None) -> NoReturn:
    """Run the command line and exit."""
    sys.stdin = _opened(sys.stdin, "r")
    sys.stdout, sys.stderr = _opened(sys.stdout, "w"), _opened(sys.stderr, "w")
    _leave(run(argv))


def run(argv: Sequence[str] | None = None) -> int:  # noqa: PLR0911 - a code for each ending
    """Run the command line; the exit code."""
    try:
        code = slimgate.main(argv, prog_name="slimgate", standalone_mode=False)
        sys.stdout.flush()
    except click.ClickException as error:
        error.show()
        return USAGE
    except click.Abort:
        return _INTERRUPTED
    except BrokenPipeError:
        _write_no_more()  # the reader has seen enough (head, less)
        return _PIPE_CLOSED
    except ImageError as error:
        complain(f"{error.reason}: {error.detail}; {error.remedy}")
        return 2
    except SlimgateError as error:
        complain(str(error))
        return USAGE
    except OSError as error:  # a full disk under the report: all that is read has its own error
        complain(str(error))
        _write_no_more()
        return _NOT_WRITTEN
    except Exception as error:  # noqa: BLE001 - Python's own exit code would say: a pod is denied
        sys.excepthook(type(error), error, error.__traceback__)
        return _BUG
    return code or 0


def _imported(name: str) -> ModuleType:
    """The module. Nothing in it is garbage, and looking for some takes a fifth of the start-up."""
    gc.disable()
    try:
        return import_module(name)
    finally:
        gc.freeze()
        gc.enable()


def _leave(code: int) -> NoReturn:
    """Exit, without the wait for threads that read what nobody waits for any more."""
    if threading.active_count() > 1:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    sys.exit(code)


def _opened(stream: TextIO | None, mode: str) -> TextIO:
    """The stream; one that the caller closed (``>&-``) is empty, and swallows what is written.

    A locale that lacks a character shows it escaped.
    """
    found: Any = Path(os.devnull).open(mode) if stream is None else stream  # noqa: SIM115
    found.reconfigure(errors="backslashreplace")
    return cast("TextIO", found)


def _write_no_more() -> None:
    """Have the exit, which writes what is left, write it nowhere."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
