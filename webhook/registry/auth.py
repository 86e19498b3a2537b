"""Who we are to a registry: challenges (RFC 9110, 11.6.1) answered with Basic or a Bearer token.

Credentials go to the registry's own host, or to the https token realm that it names, never
further: a token request follows no redirect. An http realm is believed only of a registry
that itself speaks plain http.

Source: distribution-spec, "Token Authentication Specification" and "OAuth2 token"; image-spec's
``docker config.json`` words ``identitytoken`` and ``registrytoken``.
"""

from __future__ import annotations

import base64
import json
import re
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol
from urllib.parse import urlencode

from webhook.errors import Blocked, LimitExceeded, ServerError
from webhook.image.reference import Reference
from webhook.limits import Deadline
from webhook.registry.challenges import Challenge
from webhook.registry.messages import Request, Response
from webhook.registry.transport import Transport

_TOKEN_BODY_BYTES = 64 * 1024
_TOKEN = re.compile(r"[\x21-\x7e]{1,32768}")
_TOKEN_SECONDS = 60  # the specification's default
_TOKEN_SECONDS_MOST = 24 * 3600
_SLACK = 0.9  # of a token's life; then a new one is fetched
_KEPT = 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Credentials:
    """What is known of an account; its secrets never show in ``repr``."""

    username: str = ""
    password: str = field(default="", repr=False)
    identity_token: str = field(default="", repr=False)
    """A refresh token for the token server."""
    registry_token: str = field(default="", repr=False)
    """A bearer token, sent to the registry as it is."""


class Keychain(Protocol):
    """Where credentials come from."""

    def credentials(self, reference: Reference) -> Credentials | None:
        """The credentials for the reference's repository; None: ask as nobody.

        Raises ``Unauthorized`` where there should be some that cannot be had.
        """


@dataclass(frozen=True, slots=True)
class Anonymous:
    """No credentials at all."""

    def credentials(self, reference: Reference) -> Credentials | None:  # noqa: ARG002
        """None."""
        return None


@dataclass(frozen=True, slots=True)
class _Proof:
    """The value of an Authorization header and until when it is good."""

    header: str = field(repr=False)
    until: float


class Authenticator:
    """Answers challenges and remembers the answers by repository; safe for threads."""

    def __init__(
        self,
        transport: Transport,
        keychain: Keychain,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._transport, self._keychain, self._clock = transport, keychain, clock
        self._proofs: dict[str, _Proof] = {}
        self._lock = threading.Lock()

    def known(self, reference: Reference) -> str | None:
        """The Authorization header that was good for this repository before."""
        with self._lock:
            proof = self._proofs.get(reference.name)
            return proof.header if proof and proof.until > self._clock() else None

    def answer(
        self, reference: Reference, challenges: tuple[Challenge, ...], scheme: str,
        deadline: Deadline,
    ) -> str | None:  # fmt: skip
        """A new Authorization header for the repository; None: there is none to give.

        ``scheme`` is what the registry was spoken to by. Raises ``ImageError`` where the
        token server does not answer, or not with a token.
        """
        credentials = self._keychain.credentials(reference)
        for challenge in sorted(challenges, key=lambda one: one.scheme != "bearer"):
            if challenge.scheme == "bearer":
                proof = self._bearer(reference, challenge, credentials, scheme, deadline)
                return self._remember(reference, proof)
            if challenge.scheme == "basic" and credentials and credentials.username:
                return self._remember(reference, _Proof(basic(credentials), float("inf")))
        return None

    def _remember(self, reference: Reference, proof: _Proof) -> str:
        with self._lock:
            self._proofs.pop(reference.name, None)
            self._proofs[reference.name] = proof
            if len(self._proofs) > _KEPT:
                del self._proofs[next(iter(self._proofs))]
        return proof.header

    def _bearer(
        self, reference: Reference, challenge: Challenge, credentials: Credentials | None,
        scheme: str, deadline: Deadline,
    ) -> _Proof:  # fmt: skip
        if credentials and credentials.registry_token:
            return _Proof(_bearer_header(credentials.registry_token, reference), float("inf"))
        request = _token_request(reference, challenge, credentials, scheme)
        with self._transport.send(request, deadline) as response:
            if response.status != 200:  # noqa: PLR2004
                raise response.error()
            document = _document(response)
        token = document.get("token") or document.get("access_token")
        if not isinstance(token, str):
            raise ServerError(f"{request.what}: the answer holds no token")
        until = self._clock() + _seconds(document.get("expires_in")) * _SLACK
        return _Proof(_bearer_header(token, reference), until)


def basic(credentials: Credentials) -> str:
    """The Authorization header of RFC 7617."""
    pair = f"{credentials.username}:{credentials.password}".encode()
    return "Basic " + base64.b64encode(pair).decode("ascii")


def _bearer_header(token: str, reference: Reference) -> str:
    if not _TOKEN.fullmatch(token):
        raise ServerError(f"{reference}: the token has characters that no token has")
    return f"Bearer {token}"


def _token_request(
    reference: Reference, challenge: Challenge, credentials: Credentials | None, scheme: str
) -> Request:
    realm = _realm(reference, challenge, scheme)
    what = f"{reference}: a token"
    scopes = _scopes(reference, challenge)
    service = challenge.parameters.get("service")
    form = [("service", service)] if service else []
    if credentials and credentials.identity_token:
        form += [("scope", " ".join(scopes)), ("client_id", "slimgate")]
        form += [("grant_type", "refresh_token"), ("refresh_token", credentials.identity_token)]
        headers = {"Content-Type": "application/x-www-form-urlencoded"}
        body = urlencode(form).encode()
        return Request(url=realm, what=what, method="POST", headers=headers, body=body, redirects=0)
    headers = {"Authorization": basic(credentials)} if credentials else {}
    form += [("scope", scope) for scope in scopes]
    url = realm + ("&" if "?" in realm else "?") + urlencode(form)
    return Request(url=url, what=what, headers=headers, redirects=0)


def _scopes(reference: Reference, challenge: Challenge) -> list[str]:
    """What we need, and what the registry says we do: public.ecr.aws knows only ``aws``."""
    asked = challenge.parameters.get("scope", "").split()
    return list(dict.fromkeys([f"repository:{reference.repository}:pull", *asked]))


def _realm(reference: Reference, challenge: Challenge, scheme: str) -> str:
    realm = challenge.parameters.get("realm", "")
    wanted = realm.partition("://")[0].lower()
    if wanted == "https" or (wanted == "http" and scheme == "http"):
        return realm
    if wanted == "http":
        raise Blocked(f"{reference}: the registry wants its token fetched over plain http")
    raise ServerError(f"{reference}: the registry's challenge names no realm to ask for a token")


def _seconds(expires_in: object) -> float:
    """A token's life. The server may say anything: a number that no float holds, for one."""
    if isinstance(expires_in, int | float) and expires_in > 0:
        return float(min(expires_in, _TOKEN_SECONDS_MOST))
    return float(_TOKEN_SECONDS)


def _document(response: Response) -> Mapping[str, Any]:
    """The token server's answer; an empty one where it is not what it should be."""
    try:
        document = json.loads(response.read(_TOKEN_BODY_BYTES))
    except (ValueError, RecursionError, LimitExceeded):
        return {}
    return document if isinstance(document, dict) else {}
