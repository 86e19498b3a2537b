"""Images of registries: by reference, proved by digest, with credentials where they are asked for.

    Registry(Transport(...), keychain).resolve(Reference.parse("alpine:3"), Deadline.after(...))

Knows the pull half of the distribution-spec. Does not know what is in a manifest.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace

from webhook.errors import (
    ImageError,
    ImageUnknown,
    IntegrityError,
    LimitExceeded,
    Unreachable,
)
from webhook.gather.source import Document
from webhook.image.digest import checked, hasher, sha256
from webhook.image.manifest import INDEX_TYPES, MANIFEST_TYPES, Descriptor
from webhook.image.reference import Reference
from webhook.limits import Deadline, Limits
from webhook.pod import Account
from webhook.registry.auth import Authenticator, Proof, Proofs, Tried, with_more
from webhook.registry.challenges import parse_challenges
from webhook.registry.failures import NotTlsError
from webhook.registry.keychains import Anonymous, Keychain
from webhook.registry.messages import Request, Response
from webhook.registry.sites import CAPABILITIES, Site, Sites, only_itself
from webhook.registry.transport import Transport

_ACCEPT = ", ".join(sorted(INDEX_TYPES | MANIFEST_TYPES))
_OK, _UNAUTHORIZED, _FORBIDDEN = 200, 401, 403
_REFUSALS = frozenset({_UNAUTHORIZED, _FORBIDDEN, 404})
"""Of credentials; many registries deny that there is what somebody may not see."""
_MOST_SCHEMES = 10_000
_NOBODY = "nobody's token"


@dataclass(frozen=True, slots=True)
class Shared:
    """What registries of different accounts may share: nobody's secrets but by whose they are."""

    proofs: Proofs = field(default_factory=Proofs)
    schemes: dict[str, str] = field(default_factory=dict)
    """How hosts are spoken to that might be plain http."""


@dataclass(frozen=True, slots=True)
class _Ask:
    """One question, wherever it is asked."""

    reference: Reference
    path: str
    headers: Mapping[str, str]
    deadline: Deadline
    method: str = "GET"

    @property
    def needs(self) -> frozenset[str]:
        """What a mirror must be good for to be asked."""
        return frozenset({"pull"}) if ":" in self.path else CAPABILITIES


class Registry:
    """An ``ImageSource`` over any registries; safe for threads.

    One account, one ``Registry``: tokens that were bought with somebody's credentials serve
    nobody else. It is cheap: transport, mirrors and memory are handed from one to the other.
    """

    def __init__(
        self,
        transport: Transport,
        keychain: Keychain = Anonymous(),  # noqa: B008 - frozen
        limits: Limits = Limits(),  # noqa: B008 - frozen
        *,
        sites: Sites = only_itself,
        mirrors: Keychain = Anonymous(),  # noqa: B008 - frozen
        account: Account | None = None,
        shared: Shared | None = None,
    ) -> None:
        """Ask as the keychain's owner.

        Args:
            transport: sends requests.
            keychain: for the registries themselves.
            limits: of what is read.
            sites: where a registry's images are to be had.
            mirrors: for mirrors, by their own hosts' names: never what is a registry's.
            account: whose the keychain is.
            shared: what is shared with the registries of other accounts.
        """
        shared = shared or Shared()
        self._transport, self._limits, self._sites = transport, limits, sites
        self._own = Authenticator(transport, keychain, account=account, proofs=shared.proofs)
        self._mirrors = Authenticator(transport, mirrors, account=account, proofs=shared.proofs)
        self._schemes = shared.schemes

    def credentials(self, reference: Reference) -> str | None:
        """Whose credentials the repository wanted when it was asked last; None: nobody's."""
        for site in self._sites(reference.registry):
            authenticator, place = self._authenticator(site, reference)
            proof = authenticator.known(place)
            if proof is not None and proof.source is not None:
                return proof.source
        return None

    def resolve(
        self, reference: Reference, deadline: Deadline, most: int | None = None
    ) -> Document:
        """The manifest or index ``reference`` names, by one GET.

        Raises:
            LimitExceeded: it has more than ``most`` bytes, or than a manifest may have.
            IntegrityError: it does not have the digest that was asked for or announced.
            ImageUnknown: it was not had; the class says why.
        """
        wanted = reference.digest or reference.tag or "latest"
        limit = self._limits.manifest_bytes
        bound = limit if most is None else min(most, limit)
        return self._manifest(reference, wanted, reference.digest, deadline, bound)

    def digest(self, reference: Reference, deadline: Deadline) -> str | None:
        """What the reference leads to, by a HEAD: Docker Hub does not count it as a pull.

        None where the registry does not say; why not, is what ``resolve`` tells. Raises as that.
        """
        wanted = reference.digest or reference.tag or "latest"
        ask = _Ask(reference, f"manifests/{wanted}", {"Accept": _ACCEPT}, deadline, "HEAD")
        with self._answer(ask) as response:
            response.read(0)
        if response.status != _OK:
            return None
        return response.headers.get("Docker-Content-Digest", reference.digest)

    def document(
        self, reference: Reference, descriptor: Descriptor, deadline: Deadline
    ) -> Document:
        """A manifest that an index names. Raises as ``resolve``.

        It is of the kind that the index says, as it is to containerd; what the registry calls
        it does not count.
        """
        wanted, limit = descriptor.digest, self._limits.manifest_bytes
        # A byte more: one that is larger than it should be is no more read than one that is not.
        bound = min(descriptor.size + 1, limit)
        try:
            document = self._manifest(reference, wanted, wanted, deadline, bound)
        except LimitExceeded as error:
            if descriptor.size >= limit:
                raise
            raise IntegrityError(
                f"{reference}: the manifest {descriptor.digest} has more than the "
                f"{descriptor.size} bytes that the index says"
            ) from error
        if len(document.body) != descriptor.size:
            raise IntegrityError(
                f"{reference}: the manifest {descriptor.digest} has {len(document.body)} bytes, "
                f"the index says {descriptor.size}"
            )
        return replace(document, media_type=descriptor.media_type)

    def blob(
        self, reference: Reference, descriptor: Descriptor, deadline: Deadline
    ) -> Iterator[bytes]:
        """The blob in chunks as it comes, at most ``descriptor.size`` + 1 bytes of it.

        The reader proves the digest. Raises ``IntegrityError`` before the first byte where
        the registry announces another length than the descriptor's, else as ``resolve``.
        """
        response = self._get(reference, f"blobs/{descriptor.digest}", {}, deadline)
        with response:
            _check_length(response, reference, descriptor)
            left = descriptor.size + 1
            for chunk in response.chunks():
                yield chunk[:left]
                left -= len(chunk)
                if left <= 0:
                    return

    def _manifest(
        self,
        reference: Reference,
        wanted: str,
        digest: str | None,
        deadline: Deadline,
        most: int,
    ) -> Document:
        headers = {"Accept": _ACCEPT}
        with self._get(reference, f"manifests/{wanted}", headers, deadline) as response:
            body = response.read(most)
        announced = response.headers.get("Docker-Content-Digest")
        for promised in (digest, announced):
            if promised is not None:
                _prove(body, promised, f"{reference}: the manifest from {response.endpoint.name}")
        media_type = response.headers.get("Content-Type", "").partition(";")[0].strip().lower()
        return Document(body=body, media_type=media_type, digest=digest or sha256(body))

    def _get(
        self, reference: Reference, path: str, headers: Mapping[str, str], deadline: Deadline
    ) -> Response:
        """A 200 answer."""
        response = self._answer(_Ask(reference, path, headers, deadline))
        if response.status != _OK:
            raise response.error()
        return response

    def _answer(self, ask: _Ask) -> Response:
        """The first mirror's answer that is one, else the registry's own, whatever it is."""
        sites = [
            site for site in self._sites(ask.reference.registry) if ask.needs <= site.capabilities
        ]
        if not sites:
            needs = " and ".join(sorted(ask.needs))
            raise Unreachable(f"{ask.reference}: hosts.toml names nobody who may {needs} it")
        said: list[str] = []
        for site in sites[:-1]:
            # One that hangs leaves the others time.
            soon = Deadline.after(ask.deadline.left() / 2, ask.deadline.clock)
            try:
                response = self._from(site, replace(ask, deadline=soon))
                if response.status == _OK:
                    return response
                raise response.error()
            except ImageUnknown as error:
                if ask.deadline.over():
                    raise
                said.append(f"mirror {site.host}: {error.reason}")
        if not said:
            return self._from(sites[-1], ask)
        try:
            response = self._from(sites[-1], ask)
            if response.status != _OK:
                raise response.error()
        except ImageError as error:
            raise with_more(error, f" ({', '.join(said)})") from error.__cause__
        return response

    def _from(self, site: Site, ask: _Ask) -> Response:
        """An answer of one site. Its 401 is met with what its challenge asks for.

        A 401 of another host, where a redirect led, is met with nothing: its challenge may
        name a realm of its own choice to send the registry's credentials to.
        """
        authenticator, place = self._authenticator(site, ask.reference)
        known = authenticator.known(place)
        response = self._send(site, ask, known)
        if known and response.status == _FORBIDDEN and not response.elsewhere:
            response.close()
            authenticator.forget(place)
            response = self._send(site, ask, None)
        if response.status != _UNAUTHORIZED or response.elsewhere:
            return response
        return self._proved(site, ask, response)

    def _proved(self, site: Site, ask: _Ask, response: Response) -> Response:
        """The answer to the first proof that is good, of those that the challenge asks for."""
        authenticator, place = self._authenticator(site, ask.reference)
        challenges = parse_challenges(response.headers.get("WWW-Authenticate", ""))
        scheme = response.endpoint.scheme
        tried = Tried()
        error = response.error()
        for proof in authenticator.proofs(place, challenges, scheme, ask.deadline, tried):
            response = self._send(site, ask, proof)
            if response.status not in _REFUSALS or response.elsewhere:
                authenticator.remember(place, proof)
                return response
            tried.failed(proof.source, response.error())
        raise tried.told(tried.error or error)

    def _authenticator(self, site: Site, reference: Reference) -> tuple[Authenticator, Reference]:
        """Who answers a site's challenges, and what for: a mirror is a registry of its own name."""
        if not site.mirror:
            return self._own, reference
        return self._mirrors, replace(reference, registry=site.host)

    def _send(self, site: Site, ask: _Ask, proof: Proof | None) -> Response:
        headers = {**site.headers, **ask.headers}
        if proof:
            headers["Authorization"] = proof.header

        # Everybody begins without a proof: who is refused as nobody keeps no account from that.
        whose = "" if proof is None else proof.source or _NOBODY

        def send(scheme: str) -> Response:
            url = f"{scheme}://{site.host}{site.path}/{ask.reference.repository}/{ask.path}"
            if site.mirror:
                url += f"?ns={ask.reference.registry}"
            request = Request(
                url=url, what=str(ask.reference), method=ask.method, headers=headers, whose=whose
            )  # fmt: skip
            return self._transport.send(request, ask.deadline)

        scheme = site.scheme or self._schemes.get(site.host)
        if scheme is None and self._transport.settings(site.host).plain_http:
            scheme = "http"
        if scheme is None and self._transport.falls_back(site.host):
            return self._either(site.host, send)
        return send(scheme or "https")

    def _either(self, host: str, send: Callable[[str], Response]) -> Response:
        """By https or, where nobody speaks that, by http, as docker does on loopback."""
        try:
            response = send("https")
        except (NotTlsError, Unreachable):
            response = send("http")
        if len(self._schemes) < _MOST_SCHEMES:
            self._schemes[host] = response.endpoint.scheme
        return response


def _prove(body: bytes, promised: str, what: str) -> None:
    running = hasher(checked(promised, what))
    running.update(body)
    actual = f"{running.name}:{running.hexdigest()}"
    if actual != promised:
        raise IntegrityError(f"{what} is not what was promised: {promised}, but {actual}")


def _check_length(response: Response, reference: Reference, descriptor: Descriptor) -> None:
    announced = response.headers.get("Content-Length")
    if announced is not None and announced != str(descriptor.size):
        raise IntegrityError(
            f"{reference}: {descriptor.digest} has {descriptor.size} bytes by the manifest, but "
            f"{response.endpoint.name} sends {announced[:20]}"
        )
