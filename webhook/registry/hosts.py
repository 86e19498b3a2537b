"""Mirrors and certificates, written as containerd reads them: ``certs.d/HOST/hosts.toml``.

    server = "https://registry-1.docker.io"
    [host."https://mirror.example"]
      capabilities = ["pull", "resolve"]
      ca = "mirror.pem"

Source: containerd v2 core/remotes/docker/config/hosts.go. Two things differ. What containerd
cannot read it logs, and goes on as if there were no mirrors; here it ends the start. And
``skip_verify = true`` is refused: a registry that anybody on the way can be is no witness, and
would be sent credentials. ``ca`` says whose certificate it is.
"""

from __future__ import annotations

import posixpath
import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from webhook.errors import UsageError
from webhook.registry.sites import CAPABILITIES, Site, host_of
from webhook.registry.transport import HostSettings

_DEFAULT = "_default"
_FILE_BYTES = 1 << 20
_KNOWN = frozenset({*CAPABILITIES, "push"})
_HOST = re.compile(r"(?:[A-Za-z0-9._-]+|\[[0-9a-fA-F:.]+\])(?::[0-9]+)?")
_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_HEADER_VALUE = re.compile(r"[\t\x20-\x7e]*")
_PORT_IN_NAME = re.compile(r"(?P<host>.+)_(?P<port>[0-9]+)_")


@dataclass(frozen=True, slots=True, kw_only=True)
class Hosts:
    """What a folder says of registries."""

    by_registry: Mapping[str, tuple[Site | None, ...]] = field(default_factory=dict)
    """Where to ask, in order; None is the registry itself, last. ``_default`` for all others."""
    settings: Mapping[str, HostSettings] = field(default_factory=dict)
    """How hosts are spoken to."""

    def sites(self, registry: str) -> tuple[Site, ...]:
        """Where the images of a registry are to be had, in order."""
        written = self.by_registry.get(registry) or self.by_registry.get(_DEFAULT, (None,))
        own = host_of(registry)
        return tuple(
            Site(host=own) if site is None else replace(site, mirror=site.host != own)
            for site in written
        )


def read_hosts(folder: Path) -> Hosts:
    """Read the folder: one of its own for each registry.

    Raises:
        UsageError: containerd would read something else in it, or nothing.
    """
    by_registry: dict[str, tuple[Site | None, ...]] = {}
    settings: dict[str, HostSettings] = {}
    for each in sorted(folder.iterdir()):
        if each.name.startswith(".") or not each.is_dir():
            continue
        registry = _registry(each.name)
        if registry in by_registry:
            raise UsageError(f"{folder}: two folders are about {registry}")
        sites: list[Site | None] = []
        for site, how in _read(each):
            sites.append(site)
            host = host_of(registry) if site is None else site.host
            if how == HostSettings():
                continue
            if site is None and registry == _DEFAULT:
                raise UsageError(f"{each}: certificates for every registry are said by --ca-file")
            if settings.setdefault(host, how) != how:
                raise UsageError(f"{each}: another folder says something else of {host}")
        by_registry[registry] = tuple(sites)
    return Hosts(by_registry=by_registry, settings=settings)


def _registry(name: str) -> str:
    """``registry.example_5000_`` is ``registry.example:5000``."""
    found = _PORT_IN_NAME.fullmatch(name)
    return f"{found['host']}:{found['port']}" if found else name


def _read(folder: Path) -> Iterator[tuple[Site | None, HostSettings]]:
    path = folder / "hosts.toml"
    try:
        with path.open("rb") as file:
            data = file.read(_FILE_BYTES + 1)
    except FileNotFoundError:
        yield None, _docker_certificates(folder)
        return
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}") from error
    if len(data) > _FILE_BYTES:
        raise UsageError(f"{path} has more than {_FILE_BYTES} bytes")
    yield from parse_hosts(data, folder)


def parse_hosts(data: bytes, folder: Path) -> Iterator[tuple[Site | None, HostSettings]]:
    """A ``hosts.toml``'s sites in order, the server last; paths in it begin at ``folder``.

    The site is None where the file names no server: it is the registry itself.

    Raises:
        UsageError: it cannot be used.
    """
    path = folder / "hosts.toml"
    try:
        document = tomllib.loads(data.decode())
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{path} is no TOML: {error}") from error
    mirrors = document.get("host", {})
    if not isinstance(mirrors, dict) or not all(isinstance(v, dict) for v in mirrors.values()):
        raise UsageError(f'{path}: mirrors are written as [host."https://mirror.example"]')
    for url, table in mirrors.items():
        entry = _Entry(table, folder, f"{path}: {url}")
        yield entry.site(url), entry.settings(url)
    server = document.get("server", "")
    if not isinstance(server, str):
        raise UsageError(f"{path}: server must be a string")
    entry = _Entry(document, folder, f"{path}: server")
    capabilities, headers = entry.capabilities(), entry.headers()
    if not server and (headers or capabilities != CAPABILITIES):
        raise UsageError(f"{path}: header and capabilities need a server, or a host, to be of")
    yield (entry.site(server) if server else None), entry.settings(server)


@dataclass(frozen=True, slots=True)
class _Entry:
    """One table of the file."""

    table: Mapping[str, Any]
    folder: Path
    what: str

    def site(self, url: str) -> Site:
        scheme, host, path = self._place(url)
        return Site(
            host=host,
            scheme=scheme,
            path=path,
            capabilities=self.capabilities(),
            headers=self.headers(),
        )

    def settings(self, url: str) -> HostSettings:
        if self.table.get("skip_verify", False) is not False:
            raise self._wrong("skip_verify is refused: say by ca whose certificate it is")
        return HostSettings(
            plain_http=url.startswith("http://"),
            more_ca_files=tuple(map(self._file, self._texts("ca"))),
            client=tuple(self._pairs()),
        )

    def capabilities(self) -> frozenset[str]:
        named = [text.lower() for text in self._texts("capabilities")]
        if set(named) - _KNOWN:
            raise self._wrong("capabilities are pull, resolve and push")
        return CAPABILITIES.intersection(named) if named else CAPABILITIES

    def headers(self) -> dict[str, str]:
        written = self.table.get("header", {})
        if not isinstance(written, dict):
            raise self._wrong("header must be a table")
        found = {}
        for name, value in written.items():
            values = value if isinstance(value, list) else [value]
            if not all(isinstance(v, str) and _HEADER_VALUE.fullmatch(v) for v in values):
                raise self._wrong("a header must be a string, or several")
            if not _HEADER_NAME.fullmatch(name):
                raise self._wrong("a header's name cannot be used")
            found[name] = ", ".join(values)
        return found

    def _place(self, url: str) -> tuple[str, str, str]:
        """Scheme, host and path to the API, as containerd makes them of a URL."""
        try:
            parts = urlsplit(url if url.startswith("http") else f"https://{url}")
            usable = parts.port is None or parts.port > 0
        except ValueError:
            raise self._wrong("it is no URL") from None
        usable = usable and parts.scheme in {"http", "https"}
        if not usable or not _HOST.fullmatch(parts.netloc):
            raise self._wrong("it must be like https://mirror.example:5000/path")
        override = self.table.get("override_path", False)
        if not isinstance(override, bool):
            raise self._wrong("override_path must be true or false")
        path = posixpath.normpath(parts.path) if parts.path else ""
        if not override and not path.endswith("/v2"):
            path = path.rstrip("/") + "/v2"
        host = parts.netloc
        usual = ":443" if parts.scheme == "https" else ":80"
        return parts.scheme, host.removesuffix(usual), path.rstrip("/")

    def _pairs(self) -> Iterator[tuple[str, str | None]]:
        written = self.table.get("client", [])
        for each in [written] if isinstance(written, str) else self._list(written, "client"):
            pair = [each, ""] if isinstance(each, str) else each
            strings = isinstance(pair, list) and all(isinstance(one, str) for one in pair)
            if not strings or len(pair) != 2:  # noqa: PLR2004 - a pair
                raise self._wrong("client must be a file, or [certificate, key] pairs")
            yield self._file(pair[0]), self._file(pair[1]) if pair[1] else None

    def _texts(self, name: str) -> list[str]:
        written = self.table.get(name, [])
        texts = [written] if isinstance(written, str) else self._list(written, name)
        if not all(isinstance(text, str) for text in texts):
            raise self._wrong(f"{name} must be strings")
        return texts

    def _list(self, written: Any, name: str) -> list[Any]:
        if not isinstance(written, list):
            raise self._wrong(f"{name} must be a string or a list")
        return written

    def _file(self, name: str) -> str:
        return str(self.folder / name)

    def _wrong(self, why: str) -> UsageError:
        return UsageError(f"{self.what}: {why}")


def _docker_certificates(folder: Path) -> HostSettings:
    """What docker keeps in such a folder: ``*.crt`` to trust, ``*.cert`` with ``*.key`` to show."""
    authorities, client = [], []
    for path in sorted(folder.iterdir()):
        if path.suffix == ".crt":
            authorities.append(str(path))
        elif path.suffix == ".cert":
            key = path.with_suffix(".key")
            client.append((str(path), str(key) if key.exists() else None))
    return HostSettings(more_ca_files=tuple(authorities), client=tuple(client))
