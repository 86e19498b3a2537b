"""The shelf that facts are kept on, by what slimgate was told."""

from __future__ import annotations

import time

from webhook.settings import SQLiteSettings, ValkeySettings
from webhook.store.shelf import Watch
from webhook.store.sqlite import SQLite
from webhook.wiring.caches import Shelved


def shelved(told: SQLiteSettings | ValkeySettings | None, watch: Watch) -> Shelved | None:
    """The shelf, to be used in the process that opens it; None: memory is all there is."""
    if told is None:
        return None
    clock = time.monotonic
    if isinstance(told, SQLiteSettings):
        file = SQLite(told.file, capacity=told.size, watch=watch, now=time.time, clock=clock)
        return Shelved(shelf=file, watch=watch)
    from webhook.store.valkey import Server, Valkey  # noqa: PLC0415 - 200 ms and 20 MiB

    server = Server(
        host=told.host,
        port=told.port,
        tls=told.tls,
        ca_file=told.ca_file,
        username=told.username,
        password=told.password,
        timeout=told.timeout,
    )
    return Shelved(shelf=Valkey(server, watch=watch, clock=clock), watch=watch, seal=told.key)
