"""A real registry (the distribution project's), open or behind a password."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.cluster.support.processes import free_port, running
from tests.cluster.support.web import answers

LOGIN = "slim:gate"
# bcrypt, the only hash the registry reads, of LOGIN's password.
HTPASSWD = "slim:$2y$04$FzMikN98h3iPm7Yk0/dWpugEeX5krcNBPyCeb/4oe8.m68hlo6z3O\n"

OPEN = """\
version: 0.1
log: {{level: warn}}
storage: {{filesystem: {{rootdirectory: "{folder}/images"}}}}
http: {{addr: "{address}:{port}"}}
"""
GUARDED = OPEN + 'auth: {{htpasswd: {{realm: samples, path: "{folder}/htpasswd"}}}}\n'


@dataclass(frozen=True)
class Registry:
    """A running registry; it speaks plain http."""

    port: int
    login: str | None = None
    address: str = "127.0.0.1"

    @property
    def host(self) -> str:
        """As images name it."""
        return f"{self.address}:{self.port}"

    @property
    def alias(self) -> str:
        """The same registry under a second name, for which clients keep other credentials."""
        return f"localhost:{self.port}"


@contextmanager
def registry(
    program: Path,
    folder: Path,
    *,
    guarded: bool = False,
    address: str = "127.0.0.1",
    env: Mapping[str, str] | None = None,
) -> Iterator[Registry]:
    """Run a registry that keeps its images in ``folder``; ``guarded``: only for ``LOGIN``."""
    folder.mkdir()
    port = free_port()
    config = folder / "config.yml"
    config.write_text(
        (GUARDED if guarded else OPEN).format(folder=folder, address=address, port=port)
    )
    (folder / "htpasswd").write_text(HTPASSWD)
    url = f"http://{address}:{port}/v2/"
    with running(
        [program, "serve", config],
        log=folder / "log",
        ready=lambda: answers(url, status=401 if guarded else 200),
        env={"OTEL_TRACES_EXPORTER": "none", **(env or {})},  # version 3 looks for a collector
    ):
        yield Registry(port, LOGIN if guarded else None, address)
