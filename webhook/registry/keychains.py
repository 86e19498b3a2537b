"""Where credentials come from, one after another: each is asked only if those before did not do.

    Pods(account, ask) → Secrets of the pod    Configured → what nodes have    else nobody's

Credentials are asked for once a registry wants some, and not before.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from webhook.gather.credentials import Candidate, PodCredentials
from webhook.image.reference import Reference
from webhook.pod import Account

CONFIGURED = "the configured pull secret"
MOST_CANDIDATES = 16
"""Tried for one image: each costs the registry two requests."""


@dataclass(frozen=True, slots=True)
class Trouble:
    """Why some credentials cannot be tried: ``Secret team/regcred is not there``."""

    text: str


Offer = Candidate | Trouble


class Keychain(Protocol):
    """Where credentials come from."""

    def candidates(self, reference: Reference) -> Iterator[Offer]:
        """What may open the reference's repository, best first; nothing: ask as nobody.

        Raises ``Unauthorized`` where there should be some that cannot be had.
        """


@dataclass(frozen=True, slots=True)
class Anonymous:
    """No credentials at all."""

    def candidates(self, reference: Reference) -> Iterator[Offer]:  # noqa: ARG002
        """Nothing."""
        return iter(())


@dataclass(frozen=True, slots=True)
class Pods:
    """The pull secrets of an account's pods."""

    account: Account
    ask: PodCredentials

    def candidates(self, reference: Reference) -> Iterator[Offer]:
        """What the pod's Secrets hold for the repository, and which could not be read."""
        found = self.ask(self.account, reference)
        yield from found.candidates[:MOST_CANDIDATES]
        yield from map(Trouble, found.problems[:MOST_CANDIDATES])


@dataclass(frozen=True, slots=True)
class InTurn:
    """Several keychains, the next one asked when those before it did not do."""

    keychains: Sequence[Keychain]

    def candidates(self, reference: Reference) -> Iterator[Offer]:
        """What the first offers, then the second, and so on."""
        for keychain in self.keychains:
            yield from keychain.candidates(reference)
