"""Options that say where facts are kept, and how they become settings."""

from __future__ import annotations

import functools
import ssl
from pathlib import Path
from typing import Any, Literal

import click

from webhook.cli.options import FILE, Command, Duration, Size, option
from webhook.errors import UsageError
from webhook.settings import STORE_TIMEOUT, SQLiteSettings, ValkeySettings
from webhook.store.sqlite import SMALLEST

_SHORTEST_KEY = 32
"""Bytes."""
_LAST_PORT = 65_535
_LONGEST = 30.0
"""Seconds: of the longest webhook timeout that there is."""
Kind = Literal["memory", "sqlite", "valkey"]


def keeps_facts(command: Command) -> Command:
    """Add the options of a command that keeps facts; it is handed ``store``."""

    @functools.wraps(command)
    def with_store(*arguments: Any, store: Kind, **rest: Any) -> Any:
        told = {name: rest.pop(name) for name in _FOR}
        for name, kind in _FOR.items():
            if told[name] and kind != store:
                raise UsageError(f"--{name.replace('_', '-')} goes with --store {kind} only")
        settings = _READ[store](told)
        return command(*arguments, store=settings, **rest)

    decorated: Command = with_store
    for add in reversed(_OPTIONS):
        decorated = add(decorated)
    return decorated


def _memory(_told: dict[str, Any]) -> None:
    return None


def _sqlite(told: dict[str, Any]) -> SQLiteSettings:
    if told["store_file"] is None:
        raise UsageError("--store sqlite needs --store-file")
    if told["store_size"] is None:
        return SQLiteSettings(file=told["store_file"])
    if told["store_size"] < SMALLEST:
        raise UsageError("--store-size has to be 1Mi at least")
    return SQLiteSettings(file=told["store_file"], size=told["store_size"])


def _valkey(told: dict[str, Any]) -> ValkeySettings:
    if told["store_server"] is None or told["store_key_file"] is None:
        raise UsageError("--store valkey needs --store-server and --store-key-file")
    if told["store_ca_file"] is not None and not told["store_tls"]:
        raise UsageError("--store-ca-file goes with --store-tls only")
    host, _, port = told["store_server"].rpartition(":")
    if not host or not port.isascii() or not port.isdigit() or not 0 < int(port) <= _LAST_PORT:
        raise UsageError(f"--store-server {told['store_server']}: write HOST:PORT")
    timeout = told["store_timeout"] or STORE_TIMEOUT
    if timeout > _LONGEST:
        raise UsageError("--store-timeout has to be 30s at most: reviews wait for it")
    key = _secret(told["store_key_file"])
    if len(key) < _SHORTEST_KEY:
        raise UsageError(f"{told['store_key_file']}: a key has {_SHORTEST_KEY} bytes at least")
    _check_ca(told["store_ca_file"])
    password = told["store_password_file"]
    return ValkeySettings(
        host=host.removeprefix("[").removesuffix("]"),
        port=int(port),
        key=key,
        tls=told["store_tls"],
        ca_file=told["store_ca_file"],
        username=told["store_username"] or "",
        password="" if password is None else _text(password),
        timeout=timeout,
    )


def _check_ca(path: Path | None) -> None:
    try:
        ssl.create_default_context(cafile=path)
    except OSError as error:
        raise UsageError(f"{path}: holds no certificate (PEM)") from error


def _secret(path: Path) -> bytes:
    """What a file holds, without the white space around it."""
    try:
        return path.read_bytes().strip()
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}") from error


def _text(path: Path) -> str:
    try:
        return _secret(path).decode()
    except UnicodeDecodeError as error:
        raise UsageError(f"{path}: is no UTF-8") from error


_READ = {"memory": _memory, "sqlite": _sqlite, "valkey": _valkey}
_FOR = {
    "store_file": "sqlite",
    "store_size": "sqlite",
    "store_server": "valkey",
    "store_key_file": "valkey",
    "store_tls": "valkey",
    "store_ca_file": "valkey",
    "store_username": "valkey",
    "store_password_file": "valkey",
    "store_timeout": "valkey",
}
_OPTIONS = (
    option(
        "--store",
        type=click.Choice(tuple(_READ)),
        default="memory",
        show_default=True,
        help="Where facts are kept besides memory: sqlite, a file that outlives the process; "
        "valkey, a server (or Redis) that replicas share.",
    ),
    option(
        "--store-file",
        type=click.Path(dir_okay=False, path_type=Path),
        help="With sqlite: the file. It is made where it is not there.",
    ),
    option("--store-size", type=Size(), help="Bytes that it may have. Default: 256Mi."),
    option("--store-server", metavar="HOST:PORT", help="With valkey: where it is."),
    option(
        "--store-key-file",
        type=FILE,
        help="A secret of 32 bytes or more, the same for all replicas and unknown to the server: "
        "what is there without its seal is not believed.",
    ),
    option("--store-tls", is_flag=True, help="Speak to the server over TLS."),
    option("--store-ca-file", type=FILE, help="PEM certificates to trust for that."),
    option("--store-username", metavar="NAME", help="Who to be there. Default: default."),
    option("--store-password-file", type=FILE, help="A file with the password."),
    option(
        "--store-timeout",
        type=Duration(),
        help="How long a connection, and each answer, may take: a small part of what a review has. "
        "A server that takes longer is left alone for some seconds, and images are read. "
        "Default: 500ms.",
    ),
)
