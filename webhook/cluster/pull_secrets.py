"""The pull secrets of a pod: read when they are asked for, and only what fits the image.

    PullSecrets(read).candidates(account, "registry.example/team/app")

As a kubelet has them: the pod's ``imagePullSecrets``, or its ServiceAccount's where the pod
names none (admission writes those into the pod, and the kubelet knows no others); of the two
types that hold docker configs; all entries that fit, the longest path first.

RBAC: get on secrets and on serviceaccounts, in the namespaces where slimgate may.

Knows paths of the API. Does not know how they are read: that is handed in.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from webhook.cluster.state import NAMESPACE
from webhook.gather.credentials import CONFIG_BYTES, Candidates, Credentials, Keyring, entries_of
from webhook.pod import MOST_PULL_SECRETS, Account

_NAME = re.compile(r"[a-z0-9](?:[-a-z0-9.]{0,251}[a-z0-9])?")
_TYPES: Mapping[str, tuple[str, bool]] = {
    "kubernetes.io/dockerconfigjson": (".dockerconfigjson", False),
    "kubernetes.io/dockercfg": (".dockercfg", True),
}
"""The key that holds the docker config, and whether it is of the old form."""


class Unreadable(Exception):  # noqa: N818 - named for what happened
    """The API server did not hand out an object. ``status``: None where it did not answer."""

    def __init__(self, status: int | None) -> None:
        super().__init__(str(status))
        self.status = status


Read = Callable[[str], Mapping[str, Any]]
"""GET of a path (``/api/v1/namespaces/team/secrets/regcred``): the object, decoded and bounded.

Raises ``Unreadable``."""


@dataclass(slots=True)
class _Found:
    """What has been collected of one pod's secrets."""

    keyring: Keyring = field(default_factory=Keyring)
    problems: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class PullSecrets:
    """Answers which credentials a pod has for an image; safe for threads."""

    read: Read | None
    """None: slimgate was told to read no secrets (``pullSecrets.read=none``)."""

    def candidates(self, account: Account, image: str) -> Candidates:
        """What the account's secrets hold for ``registry.example/team/app``.

        Never raises for what the API server says, or does not.
        """
        if not NAMESPACE.fullmatch(account.namespace):
            return Candidates(problems=("the namespace has no usable name",))
        if self.read is None:
            return Candidates(problems=tuple(_unread(account)))
        found = _Found()
        for name in self._names(self.read, account, found):
            self._collect(self.read, account.namespace, name, found)
        return Candidates(
            candidates=found.keyring.candidates(image), problems=tuple(found.problems)
        )

    def _names(self, read: Read, account: Account, found: _Found) -> Iterator[str]:
        names = [name for name in account.pull_secrets if name]
        if not names:
            names = self._of_service_account(read, account, found)
        if len(names) > MOST_PULL_SECRETS:
            found.problems.append(f"of the pull secrets, {MOST_PULL_SECRETS} are read")
        for name in dict.fromkeys(names[:MOST_PULL_SECRETS]):
            if _NAME.fullmatch(name):
                yield name
            else:
                found.problems.append("a pull secret has a name that no Secret can have")

    def _of_service_account(self, read: Read, account: Account, found: _Found) -> list[str]:
        name = account.service_account
        if not _NAME.fullmatch(name):
            return []
        try:
            document = read(f"/api/v1/namespaces/{account.namespace}/serviceaccounts/{name}")
        except Unreadable as error:
            found.problems.append(_problem("ServiceAccount", account.namespace, name, error))
            return []
        written = document.get("imagePullSecrets") or []
        return [each["name"] for each in written if each.get("name")]

    def _collect(self, read: Read, namespace: str, name: str, found: _Found) -> None:
        try:
            document = read(f"/api/v1/namespaces/{namespace}/secrets/{name}")
        except Unreadable as error:
            found.problems.append(_problem("Secret", namespace, name, error))
            return
        what = f"Secret {namespace}/{name}"
        try:
            found.keyring.add(what, _entries(document))
        except ValueError as error:
            found.problems.append(f"{what} cannot be used: {error}")


def _entries(secret: Mapping[str, Any]) -> Mapping[str, Credentials]:
    """A Secret's docker config. Raises ``ValueError``, whose text holds nothing of it."""
    key, legacy = _TYPES.get(str(secret.get("type")), ("", False))
    if not key:
        raise ValueError(f"its type is not {' or '.join(_TYPES)}")
    encoded = (secret.get("data") or {}).get(key) or ""
    if len(encoded) > 2 * CONFIG_BYTES:
        raise ValueError("it is too large")
    try:
        data = base64.b64decode(encoded, validate=True)
    except (binascii.Error, ValueError):
        data = b""
    if not data:
        raise ValueError(f"it has no {key}")
    return entries_of(data, legacy=legacy)


def _unread(account: Account) -> Iterator[str]:
    """What to say where secrets are not read at all: only where the pod names some."""
    names = [name for name in account.pull_secrets if _NAME.fullmatch(name)][:MOST_PULL_SECRETS]
    if names:
        secrets = ", ".join(f"Secret {account.namespace}/{name}" for name in names)
        yield f"{secrets} not read: slimgate is installed with pullSecrets.read=none"


def _problem(kind: str, namespace: str, name: str, error: Unreadable) -> str:
    match error.status:
        case 403:
            return (
                f"slimgate may not read {kind}s in namespace {namespace} "
                f"(wanted: {name}; see pullSecrets in its chart)"
            )
        case 404:
            return f"{kind} {namespace}/{name} is not there"
        case None:
            return f"{kind} {namespace}/{name} could not be read: the API server does not answer"
    return f"{kind} {namespace}/{name} could not be read: the API server answers {error.status}"


def answer(secrets: PullSecrets, question: Mapping[str, Any]) -> dict[str, Any]:
    """The socket's ``credentials`` question, answered: both as the web container writes them."""
    account = Account(
        namespace=str(question["namespace"]),
        service_account=str(question["service_account"]),
        pull_secrets=tuple(map(str, question["pull_secrets"])),
    )
    found = secrets.candidates(account, str(question["image"]))
    return {
        "candidates": [
            {
                "source": each.source,
                "username": each.credentials.username,
                "password": each.credentials.password,
                "identity_token": each.credentials.identity_token,
                "registry_token": each.credentials.registry_token,
            }
            for each in found.candidates
        ],
        "problems": list(found.problems),
    }
