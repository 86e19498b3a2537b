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
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import urlencode

from webhook.errors import (
    Blocked,
    Forbidden,
    ImageError,
    LimitExceeded,
    ServerError,
    Unauthorized,
)
from webhook.gather.credentials import Candidate, Credentials
from webhook.image.reference import Reference
from webhook.limits import Deadline
from webhook.pod import Account
from webhook.registry.challenges import Challenge
from webhook.registry.keychains import Keychain, Trouble
from webhook.registry.messages import Request, Response
from webhook.registry.transport import Transport

_TOKEN_BODY_BYTES = 64 * 1024
_TOKEN = re.compile(r"[\x21-\x7e]{1,32768}")
_TOKEN_SECONDS = 60  # the specification's default
_TOKEN_SECONDS_MOST = 24 * 3600
_SLACK = 0.9  # of a token's life; then a new one is fetched
_PROOF_BYTES = 32 << 20
"""Of all the headers that are remembered, and whose they are: some 10,000 of the usual length."""
_PROOF_OVERHEAD = 512
ACCOUNT_SECONDS = 60.0
"""How long a header that was bought with a pod's credentials is used."""


@dataclass(frozen=True, slots=True)
class Proof:
    """The value of an Authorization header, whose it is and until when it is good."""

    header: str = field(repr=False)
    until: float
    source: str | None
    """Of the credentials it was made from; None: of none."""


class Proofs:
    """Headers that were good, of all accounts together: bounded, last used last out.

    Every account has its own: the key says whose a header is, and where it may go. Safe for
    threads.
    """

    def __init__(self, capacity: int = _PROOF_BYTES) -> None:
        """Hold headers of ``capacity`` bytes in all, with what they are kept under."""
        self._capacity, self._size = capacity, 0
        self._held: OrderedDict[Hashable, Proof] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, key: Hashable) -> Proof | None:
        """The proof, however old."""
        with self._lock:
            proof = self._held.get(key)
            if proof is not None:
                self._held.move_to_end(key)
            return proof

    def put(self, key: Hashable, proof: Proof) -> None:
        """Keep a proof in the place of the one before."""
        with self._lock:
            self._drop(key)
            self._held[key] = proof
            self._size += _weight(key, proof)
            while self._size > self._capacity:
                self._drop(next(iter(self._held)))

    def drop(self, key: Hashable) -> None:
        """Forget a proof that is good no more."""
        with self._lock:
            self._drop(key)

    def _drop(self, key: Hashable) -> None:
        proof = self._held.pop(key, None)
        if proof is not None:
            self._size -= _weight(key, proof)


def _weight(key: Hashable, proof: Proof) -> int:
    return _PROOF_OVERHEAD + len(repr(key)) + len(proof.header)


@dataclass(slots=True)
class Tried:
    """What one request was tried with, for the message if nothing did."""

    sources: list[str] = field(default_factory=list)
    """Each with the status it got: ``Secret team/regcred: 401``."""
    troubles: list[str] = field(default_factory=list)
    error: ImageError | None = None
    """Of the token server, which may turn credentials down as well."""

    def failed(self, source: str | None, error: ImageError) -> None:
        """Note what came of one try."""
        self.error = error
        if source is not None:
            self.sources.append(f"{source} ({error.reason})")

    def told(self, error: ImageError) -> ImageError:
        """The error with what was tried in its words."""
        parts = [f"tried {' and '.join(self.sources)}"] if self.sources else []
        parts += self.troubles
        return with_more(error, f" ({'; '.join(parts)})") if parts else error


def with_more(error: ImageError, text: str) -> ImageError:
    """The error, with more to its detail."""
    error.detail += text
    error.args = (error.detail,)
    return error


class Authenticator:
    """Answers challenges, and remembers what was good by place and repository; safe for threads."""

    def __init__(
        self,
        transport: Transport,
        keychain: Keychain,
        *,
        account: Account | None = None,
        proofs: Proofs | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """``account`` is whose the keychain is; its proofs are kept for nobody else."""
        self._transport, self._keychain, self._clock = transport, keychain, clock
        self._account, self._proofs = account, proofs or Proofs()

    def known(self, reference: Reference) -> Proof | None:
        """What was good for this repository before."""
        proof = self._proofs.get((self._account, reference.name))
        return proof if proof and proof.until > self._clock() else None

    def remember(self, reference: Reference, proof: Proof) -> None:
        """Use what was good for the next requests, too: an account's for a minute at most.

        For within that time its Secret may be taken away.
        """
        if self._account is not None:
            until = min(proof.until, self._clock() + ACCOUNT_SECONDS)
            proof = replace(proof, until=until)
        self._proofs.put((self._account, reference.name), proof)

    def forget(self, reference: Reference) -> None:
        """Use what was good no longer."""
        self._proofs.drop((self._account, reference.name))

    def proofs(
        self, reference: Reference, challenges: tuple[Challenge, ...], scheme: str,
        deadline: Deadline, tried: Tried,
    ) -> Iterator[Proof]:  # fmt: skip
        """What answers the challenges, one after another, until the caller has what it came for.

        Every candidate has its turn, as a kubelet does it; only where there is none it is asked
        as nobody. ``scheme`` is what the registry was spoken to by. Raises ``ImageError`` where
        the token server does not answer, or not with a token.
        """
        some = False
        for offer in self._keychain.candidates(reference):
            if isinstance(offer, Trouble):
                tried.troubles.append(offer.text)
                continue
            some = True
            try:
                proof = self._answer(reference, challenges, offer, scheme, deadline)
            except (Unauthorized, Forbidden) as error:
                tried.failed(offer.source, error)
                continue
            if proof is not None:
                yield proof
        proof = None if some else self._answer(reference, challenges, None, scheme, deadline)
        if proof is not None:
            yield proof

    def _answer(
        self, reference: Reference, challenges: tuple[Challenge, ...],
        candidate: Candidate | None, scheme: str, deadline: Deadline,
    ) -> Proof | None:  # fmt: skip
        credentials = candidate.credentials if candidate else None
        source = candidate.source if candidate else None
        for challenge in sorted(challenges, key=lambda one: one.scheme != "bearer"):
            if challenge.scheme == "bearer":
                header, until = self._bearer(reference, challenge, credentials, scheme, deadline)
                return Proof(header, until, source)
            if challenge.scheme == "basic" and credentials and credentials.username:
                return Proof(basic(credentials), float("inf"), source)
        return None

    def _bearer(
        self, reference: Reference, challenge: Challenge, credentials: Credentials | None,
        scheme: str, deadline: Deadline,
    ) -> tuple[str, float]:  # fmt: skip
        if credentials and credentials.registry_token:
            return _bearer_header(credentials.registry_token, reference), float("inf")
        request = _token_request(reference, challenge, credentials, scheme)
        with self._transport.send(request, deadline) as response:
            if response.status != 200:  # noqa: PLR2004
                raise response.error()
            document = _document(response)
        token = document.get("token") or document.get("access_token")
        if not isinstance(token, str):
            raise ServerError(f"{request.what}: the answer holds no token")
        until = self._clock() + _seconds(document.get("expires_in")) * _SLACK
        return _bearer_header(token, reference), until


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
