"""Kubelet credential providers: programs that know the credentials of a cloud's registries.

    --credential-providers FILE          CredentialProviderConfig, kubelet.config.k8s.io/v1
    --credential-provider-bin FOLDER     the programs it names

A program is told the image on standard input and answers with a kind of docker config. It runs
for repositories that its ``matchImages`` fit, and what it says is kept as long as it asks.

Source: k8s.io/kubernetes pkg/credentialprovider/plugin (plugin.go, config.go); k8s.io/kubelet
pkg/apis/credentialprovider/v1. As there, a program that fails has no credentials; here that is
said when the image cannot be read. ``tokenAttributes`` are refused: the tokens are made for a
pod that runs, and none does yet.
"""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from webhook.errors import UsageError
from webhook.gather.credentials import Credentials, Keyring, matches
from webhook.image.reference import Reference
from webhook.registry.durations import seconds_of
from webhook.registry.keychains import Offer, Trouble
from webhook.registry.programs import ending, run

_FILE_BYTES = 1 << 20
_SECONDS = 60.0
_KEPT = 1_000
_MOST_ENTRIES = 1_000
_GROUP = "kubelet.config.k8s.io/"
_CONFIG_VERSIONS = frozenset({"v1", "v1beta1", "v1alpha1"})
_API = "credentialprovider.kubelet.k8s.io/"
_API_VERSIONS = frozenset(_API + version for version in ("v1", "v1beta1", "v1alpha1"))
_KEYS = frozenset(
    {"name", "matchImages", "defaultCacheDuration", "apiVersion", "args", "env", "tokenAttributes"}
)
_GLOBAL = "<global>"

Entries = Mapping[str, Credentials]


@dataclass(frozen=True, slots=True, kw_only=True)
class Provider:
    """A ``Keychain`` that is one program; safe for threads."""

    name: str
    program: Path
    match_images: tuple[str, ...]
    api_version: str
    seconds: float
    """How long an answer is kept that does not say it itself."""
    args: tuple[str, ...] = ()
    environ: Mapping[str, str] = field(default_factory=dict, repr=False)
    clock: Callable[[], float] = time.monotonic
    patience: float = _SECONDS
    _known: dict[str, tuple[Entries, float]] = field(default_factory=dict, repr=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def candidates(self, reference: Reference) -> Iterator[Offer]:
        """What the program says of the repository, or why it says nothing."""
        image = reference.name
        if not any(matches(pattern, image) for pattern in self.match_images):
            return
        try:
            entries = self._entries(image)
        except _ProviderError as error:
            yield Trouble(f"credential provider {self.name}: {error}")
            return
        keyring = Keyring()
        keyring.add(f"credential provider {self.name}", entries)
        yield from keyring.candidates(image)

    def _entries(self, image: str) -> Entries:
        # One run at a time: of a burst, the first one's answer mostly serves them all. Nobody
        # waits for one that hangs after another.
        if not self._lock.acquire(timeout=self.patience):
            raise _ProviderError("others wait for it already, and it takes too long")
        try:
            return self._known_or_asked(image)
        finally:
            self._lock.release()

    def _known_or_asked(self, image: str) -> Entries:
        for key in (image, image.partition("/")[0], _GLOBAL):
            entries, until = self._known.get(key, ({}, 0.0))
            if until > self.clock():
                return entries
        answer = self._ask(image)
        if answer.seconds > 0:
            self._known.pop(answer.key, None)
            self._known[answer.key] = (answer.entries, self.clock() + answer.seconds)
            if len(self._known) > _KEPT:
                del self._known[next(iter(self._known))]
        return answer.entries

    def _ask(self, image: str) -> _Answer:
        request = {
            "apiVersion": self.api_version,
            "kind": "CredentialProviderRequest",
            "image": image,
        }
        command = [str(self.program), *self.args]
        status, output = run(command, json.dumps(request).encode(), self.patience, self.environ)
        if status != 0:
            raise _ProviderError(ending(status, f"as {self.program}"))
        try:
            return _answer(json.loads(output), self.api_version, image, self.seconds)
        except (ValueError, RecursionError, TypeError, AttributeError):
            # The error may hold what the program said: credentials.
            raise _ProviderError(ending(status, "")) from None


class _ProviderError(Exception):
    pass


@dataclass(frozen=True, slots=True)
class _Answer:
    key: str
    seconds: float
    entries: Entries


def _answer(document: Any, api_version: str, image: str, default: float) -> _Answer:
    """A CredentialProviderResponse. Raises ``ValueError`` and its like where it is none."""
    kinds = (document["apiVersion"], document["kind"]) if isinstance(document, dict) else ()
    if kinds != (api_version, "CredentialProviderResponse"):
        raise ValueError
    keys = {"Image": image, "Registry": image.partition("/")[0], "Global": _GLOBAL}
    auth = document.get("auth") or {}
    key = document.get("cacheKeyType")
    if key not in keys or len(auth) > _MOST_ENTRIES:
        raise ValueError
    duration = document.get("cacheDuration")
    seconds = default if duration is None else seconds_of(duration)
    entries = {str(place): _credentials(entry) for place, entry in auth.items()}
    return _Answer(keys[key], seconds, entries)


def _credentials(entry: Mapping[str, Any]) -> Credentials:
    username, password = entry.get("username") or "", entry.get("password") or ""
    if not isinstance(username, str) or not isinstance(password, str):
        raise TypeError
    return Credentials(username=username, password=password)


def read_providers(path: Path, folder: Path, environ: Mapping[str, str]) -> tuple[Provider, ...]:
    """The providers that a CredentialProviderConfig names, their programs in ``folder``.

    Raises:
        UsageError: a kubelet would not start with it either, or with something slimgate cannot.
    """
    with path.open("rb") as file:
        data = file.read(_FILE_BYTES + 1)
    try:
        document = yaml.safe_load(data) if len(data) <= _FILE_BYTES else None
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise UsageError(f"{path} is no YAML") from error
    if not isinstance(document, dict) or document.get("kind") != "CredentialProviderConfig":
        raise UsageError(f"{path} must be a CredentialProviderConfig")
    version = str(document.get("apiVersion"))
    if version.removeprefix(_GROUP) not in _CONFIG_VERSIONS or not version.startswith(_GROUP):
        raise UsageError(f"{path}: apiVersion must be {_GROUP}v1")
    entries = document.get("providers")
    if not isinstance(entries, list) or not entries:
        raise UsageError(f"{path}: providers must name one at least")
    providers = tuple(
        _provider(entry, folder, environ, f"{path}: providers[{number}]")
        for number, entry in enumerate(entries)
    )
    if len({provider.name for provider in providers}) < len(providers):
        raise UsageError(f"{path}: two providers have the same name")
    return providers


def _provider(entry: Any, folder: Path, environ: Mapping[str, str], what: str) -> Provider:
    if not isinstance(entry, dict) or set(entry) - _KEYS:
        raise UsageError(f"{what} may have only: {', '.join(sorted(_KEYS))}")
    if entry.get("tokenAttributes") is not None:
        raise UsageError(
            f"{what}: tokenAttributes are not supported: the tokens are made for pods that run"
        )
    name = entry.get("name")
    if not isinstance(name, str) or name in {"", ".", ".."} or set(name) & set("/ "):
        raise UsageError(f"{what}: name must be a program's, without slashes or spaces")
    program = folder / name
    if not os.access(program, os.X_OK) or not program.is_file():
        raise UsageError(f"{what}: there is no program {program}")
    if entry.get("apiVersion") not in _API_VERSIONS:
        raise UsageError(f"{what}: apiVersion must be {_API}v1")
    try:
        seconds = seconds_of(entry.get("defaultCacheDuration"))
    except ValueError:
        raise UsageError(f"{what}: defaultCacheDuration must be like 10m or 1h30m") from None
    return Provider(
        name=name,
        program=program,
        match_images=_texts(entry, "matchImages", what, least=1),
        api_version=entry["apiVersion"],
        seconds=seconds,
        args=_texts(entry, "args", what),
        environ={**environ, **_variables(entry.get("env") or [], what)},
    )


def _texts(entry: Mapping[str, Any], name: str, what: str, least: int = 0) -> tuple[str, ...]:
    written = entry.get(name) or []
    texts = isinstance(written, Sequence) and all(isinstance(text, str) for text in written)
    if not texts or isinstance(written, str) or len(written) < least:
        raise UsageError(f"{what}: {name} must be a list of strings")
    return tuple(written)


def _variables(written: Any, what: str) -> dict[str, str]:
    try:
        pairs = {each["name"]: each["value"] for each in written}
    except (TypeError, KeyError):
        pairs = {"": None}
    if not all(isinstance(text, str) for pair in pairs.items() for text in pair):
        raise UsageError(f"{what}: env must be a list of name and value")
    return pairs
