"""Credentials for a registry, and which of a docker config's a kubelet would use for an image.

    keyring = Keyring()
    keyring.add("Secret team/regcred", entries_of(data))
    keyring.candidates("registry.example/team/app")

Source: k8s.io/kubernetes pkg/credentialprovider: keyring.go (``BasicDockerKeyring``,
``URLsMatch``), config.go (``DockerConfigEntry``). A kubelet knows user names and passwords
only: identity and registry tokens of a docker config mean nothing to it.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from webhook.image import globs
from webhook.image.reference import Reference
from webhook.pod import Account

CONFIG_BYTES = 1 << 20
"""Of a docker config: a Secret cannot hold more."""
_MOST = 1_000
"""Registries named in one document."""
_HUB = "index.docker.io"


@dataclass(frozen=True, slots=True, kw_only=True)
class Credentials:
    """What is known of an account; its secrets never show in ``repr``."""

    username: str = ""
    password: str = field(default="", repr=False)
    identity_token: str = field(default="", repr=False)
    """A refresh token for the token server."""
    registry_token: str = field(default="", repr=False)
    """A bearer token, sent to the registry as it is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """Credentials that may be the right ones, and where they are from."""

    source: str
    """As users know it: ``Secret team/regcred``, ``the configured pull secret``."""
    credentials: Credentials


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidates:
    """What there is to try, best first, and why there is not more."""

    candidates: tuple[Candidate, ...] = ()
    problems: tuple[str, ...] = ()
    """``Secret team/regcred is not there``: for users, never of a secret's content."""


def question_of(account: Account, reference: Reference) -> dict[str, Any]:
    """What the controller is asked, as JSON."""
    return {
        "namespace": account.namespace,
        "service_account": account.service_account,
        "pull_secrets": list(account.pull_secrets),
        "image": reference.name,
    }


def candidates_of(answer: Mapping[str, Any]) -> Candidates:
    """What the controller answered. Raises ``KeyError`` and its like where it is no answer."""
    return Candidates(
        candidates=tuple(
            Candidate(
                source=each["source"],
                credentials=Credentials(
                    username=each["username"],
                    password=each["password"],
                    identity_token=each["identity_token"],
                    registry_token=each["registry_token"],
                ),
            )
            for each in answer["candidates"]
        ),
        problems=tuple(answer["problems"]),
    )


class PodCredentials(Protocol):
    """Who knows the secrets of pods: the controller. May be slow; never raises."""

    def __call__(self, account: Account, reference: Reference) -> Candidates:
        """The account's credentials for the reference's repository."""


class Keyring:
    """Docker configs put together; a match with a longer path goes before a shorter one."""

    def __init__(self) -> None:
        self._held: dict[str, list[Candidate]] = {}

    def add(self, source: str, entries: Mapping[str, Credentials]) -> None:
        """Add a config's entries; of two for one place, the one added first goes first."""
        for key, credentials in entries.items():
            found = self._held.setdefault(_place(key), [])
            found.append(Candidate(source=source, credentials=credentials))

    def candidates(self, image: str) -> tuple[Candidate, ...]:
        """What fits ``registry.example/team/app``.

        Docker Hub's key of old, ``index.docker.io``, counts only where nothing else fits.
        """
        found = [
            candidate
            for place in sorted(self._held, reverse=True)
            if matches(place, image)
            for candidate in self._held[place]
        ]
        if not found and image.startswith("docker.io/"):
            found = self._held.get(_HUB, [])
        return tuple(found)


def matches(pattern: str, image: str) -> bool:
    """Whether an image belongs to a place: ``*.registry.example:5000/team``.

    A star stands for a part of one label of the host; a path is the beginning of the image's,
    letter by letter: ``/team`` is that of ``/team-b``, too.
    """
    host, port, path = _split(pattern)
    its_host, its_port, its_path = _split(image)
    labels, its_labels = host.split("."), its_host.split(".")
    return (
        port == its_port
        and len(labels) == len(its_labels)
        and its_path.startswith(path)
        and all(map(globs.matches, labels, its_labels))
    )


def _split(text: str) -> tuple[str, str, str]:
    """Host, port and path; a port only where it is one."""
    place, slash, path = re.split("[?#]", text, maxsplit=1)[0].partition("/")
    host, colon, port = place.rpartition(":")
    if not colon or (":" in host and not host.endswith("]")) or host.endswith(":"):
        host, port = place, ""
    return host, port, slash + path


def _place(key: str) -> str:
    """``https://index.docker.io/v1/`` is ``index.docker.io``; so are ``/v2/`` and no path."""
    bare = re.sub("^https?://", "", key)
    host, slash, path = re.split("[?#]", bare, maxsplit=1)[0].partition("/")
    if path.startswith(("v1/", "v2/")):
        path = path[3:]
    return f"{host}{slash}{path}" if path else host


def entries_of(data: bytes, *, legacy: bool = False) -> dict[str, Credentials]:
    """The entries of a ``config.json``; ``legacy``: of a ``.dockercfg``, which has no ``auths``.

    Entries without a user name and password are left out.

    Raises:
        ValueError: a kubelet could not read it; the text holds nothing of it.
    """
    if len(data) > CONFIG_BYTES:
        raise ValueError(f"it has more than {CONFIG_BYTES} bytes")
    try:
        document = json.loads(data)
    except (ValueError, RecursionError):
        raise ValueError("it is no JSON") from None
    auths = document if legacy else _object(document).get("auths")
    entries = {} if auths is None else _object(auths)
    if len(entries) > _MOST:
        raise ValueError(f"it names more than {_MOST} registries")
    found = {key: _entry({} if entry is None else _object(entry)) for key, entry in entries.items()}
    return {key: entry for key, entry in found.items() if entry != Credentials()}


def _object(value: Any) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise ValueError("it is not as docker login writes it")  # noqa: TRY004 - as the others
    return value


def _entry(entry: Mapping[str, Any]) -> Credentials:
    texts = {name: entry.get(name) or "" for name in ("username", "password", "auth")}
    if not all(isinstance(text, str) for text in texts.values()):
        raise ValueError("it is not as docker login writes it")
    username, password = texts["username"], texts["password"]
    if auth := texts["auth"]:
        username, password = _pair(auth)
    return Credentials(username=username, password=password)


def _pair(auth: str) -> tuple[str, str]:
    """The user name and password in ``auth``, padded or not, as Go's two decoders take it."""
    bare = auth.replace("\r", "").replace("\n", "")
    try:
        padding = "" if bare.strip().endswith("=") else "=" * (-len(bare) % 4)
        text = base64.b64decode(bare + padding, validate=True).decode()
    except (binascii.Error, UnicodeDecodeError):
        text = ""
    username, colon, password = text.partition(":")
    if not colon:
        raise ValueError("an auth in it is not base64 of username:password")
    return username, password
