"""Credentials of docker's ``config.json``: written in it, or had of its credential helpers.

    keychain = DockerConfig.read(find_config(authfile, os.environ, Path.home()))
    keychain.credentials(Reference.parse("registry.example/team/app"))

Source: docker's ``config.json`` and credential helper protocol; containers-auth.json(5) for
keys with a path (``registry.example/team``), of which the longest that fits counts.
"""

from __future__ import annotations

import base64
import binascii
import contextlib
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from webhook.errors import Unauthorized, UsageError
from webhook.gather.credentials import Candidate, Credentials
from webhook.image.reference import Reference
from webhook.registry.keychains import CONFIGURED, Offer
from webhook.registry.programs import ending, run

_CONFIG_BYTES = 8 << 20
_HELPER_SECONDS = 10.0
_HELPER = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_HUB = "https://index.docker.io/v1/"
_HUB_NAMES = ("docker.io", "index.docker.io", "registry-1.docker.io")
_TOKEN_USER = "<token>"  # noqa: S105 - the helper protocol's word for an identity token
_NOT_FOUND = b"credentials not found in native keychain"


def find_config(authfile: str | None, environ: Mapping[str, str], home: Path) -> Path | None:
    """The file to read: ``--authfile``, REGISTRY_AUTH_FILE, DOCKER_CONFIG, ``~/.docker``.

    The first that is set counts. None where none is and there is nothing in ``home``.

    Raises:
        UsageError: a file that was named is not there.
    """
    for named in (authfile, environ.get("REGISTRY_AUTH_FILE")):
        if named:
            if not Path(named).is_file():
                raise UsageError(f"{named}: there is no such file with credentials")
            return Path(named)
    folder = environ.get("DOCKER_CONFIG")
    path = (Path(folder) if folder else home / ".docker") / "config.json"
    return path if path.is_file() else None


@dataclass(frozen=True, slots=True, kw_only=True)
class DockerConfig:
    """A ``Keychain`` over one ``config.json``."""

    auths: Mapping[str, Credentials] = field(default_factory=dict)
    """By host, or by host and path: ``registry.example/team``."""
    helpers: Mapping[str, str] = field(default_factory=dict)
    """``credHelpers``: by host."""
    store: str | None = None
    """``credsStore``: for all other hosts."""
    helper_seconds: float = _HELPER_SECONDS

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read a file. Raises ``UsageError`` where it is no ``config.json``."""
        try:
            with path.open("rb") as file:
                data = file.read(_CONFIG_BYTES + 1)
        except OSError as error:
            raise UsageError(f"{path}: {error.strerror}") from error
        return cls.parse(data, str(path))

    @classmethod
    def parse(cls, data: bytes, what: str) -> Self:
        """Parse a document, ``what`` it is called. Raises ``UsageError``; no secret is in it."""
        try:
            document = json.loads(data) if len(data) <= _CONFIG_BYTES else None
        except (ValueError, RecursionError):
            document = None
        if not isinstance(document, dict):
            raise UsageError(f"{what} is no docker config.json: it must be a JSON object")
        helpers = {_host(key): value for key, value in _mapping(document, "credHelpers", what)}
        store = document.get("credsStore") or None
        for name in (*helpers.values(), *([store] if store else [])):
            if not isinstance(name, str) or not _HELPER.fullmatch(name):
                raise UsageError(f"{what}: a credential helper has no usable name")
        auths = {
            _host(key): _credentials(value, f"{what}: auths of {_host(key)}")
            for key, value in _mapping(document, "auths", what)
        }
        return cls(auths=auths, helpers=helpers, store=store)

    def candidates(self, reference: Reference) -> Iterator[Offer]:
        """What the host's helper says, else all that is written of it, longest path first.

        Raises:
            Unauthorized: the helper fails; asking as nobody instead would hide it.
        """
        return (Candidate(source=CONFIGURED, credentials=found) for found in self._found(reference))

    def credentials(self, reference: Reference) -> Credentials | None:
        """The first of the candidates, None where there is none. Raises as ``candidates``."""
        return next(self._found(reference), None)

    def _found(self, reference: Reference) -> Iterator[Credentials]:
        helper = self.helpers.get(reference.registry, self.store)
        if helper:
            server = _HUB if reference.registry == "docker.io" else reference.registry
            found = ask_helper(helper, server, self.helper_seconds)
            if found:
                yield found
                return
        written = (self.auths[key] for key in _keys(reference) if key in self.auths)
        yield from (entry for entry in written if entry != Credentials())


def ask_helper(name: str, server: str, seconds: float) -> Credentials | None:
    """Run ``docker-credential-NAME get``; None where it knows nothing of ``server``.

    Raises:
        Unauthorized: it is not there, fails, says too much, or takes longer than ``seconds``.
    """
    program = f"docker-credential-{name}"
    status, output = run([program, "get"], server.encode(), seconds)
    if status == 0:
        with contextlib.suppress(ValueError, RecursionError, KeyError, TypeError):
            document = json.loads(output)
            username, secret = document["Username"], document["Secret"]
            if username == _TOKEN_USER:
                return Credentials(identity_token=str(secret))
            return Credentials(username=str(username), password=str(secret))
    elif status is not None and output.strip() == _NOT_FOUND:
        return None
    raise Unauthorized(
        f"{program} gives no credentials for {server} ({ending(status, 'on the PATH')}); "
        f"try it: echo {server} | {program} get"
    )


def _keys(reference: Reference) -> Iterator[str]:
    """``host/a/b``, ``host/a``, ``host``; Docker Hub's host has several names."""
    hosts = _HUB_NAMES if reference.registry == "docker.io" else (reference.registry,)
    parts = reference.repository.split("/")
    for length in range(len(parts), -1, -1):
        for host in hosts:
            yield "/".join((host, *parts[:length]))


def _host(key: str) -> str:
    """``https://index.docker.io/v1/`` is ``index.docker.io``."""
    bare = key.partition("://")[2] or key
    return re.sub(r"/v[12]$", "", bare.rstrip("/"))


def _mapping(document: Mapping[str, Any], name: str, what: str) -> Iterator[tuple[str, Any]]:
    value = document.get(name)
    if value is None:
        return
    if not isinstance(value, dict):
        raise UsageError(f"{what}: {name} must be a JSON object")
    yield from value.items()


def _credentials(entry: Any, what: str) -> Credentials:
    if not isinstance(entry, dict) or not all(isinstance(v, str) for v in _words(entry)):
        raise UsageError(f"{what} is not as docker login writes it")
    username, password = entry.get("username") or "", entry.get("password") or ""
    if auth := entry.get("auth"):
        username, password = _pair(auth, what)
    if username == _TOKEN_USER:
        return Credentials(identity_token=password)
    return Credentials(
        username=username,
        password=password,
        identity_token=entry.get("identitytoken") or "",
        registry_token=entry.get("registrytoken") or "",
    )


def _words(entry: Mapping[str, Any]) -> Iterator[Any]:
    for name in ("auth", "username", "password", "identitytoken", "registrytoken"):
        yield entry.get(name) or ""


def _pair(auth: str, what: str) -> tuple[str, str]:
    try:
        text = base64.b64decode(auth, validate=True).decode()
    except (binascii.Error, UnicodeDecodeError):
        text = ""
    username, colon, password = text.partition(":")
    if not colon:
        raise UsageError(f"{what}: auth must be base64 of username:password")
    # docker pads some secrets with NUL bytes, and strips them.
    return username, password.rstrip("\0")
