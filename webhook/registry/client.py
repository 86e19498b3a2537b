"""Images of registries: by reference, proved by digest, with credentials where they are asked for.

    Registry(Transport(...), keychain).resolve(Reference.parse("alpine:3"), Deadline.after(...))

Knows the pull half of the distribution-spec. Does not know what is in a manifest.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace

from webhook.errors import IntegrityError, Unreachable
from webhook.gather.source import Document
from webhook.image.digest import checked, hasher, sha256
from webhook.image.manifest import INDEX_TYPES, MANIFEST_TYPES, Descriptor
from webhook.image.reference import Reference
from webhook.limits import Deadline, Limits
from webhook.registry.auth import Anonymous, Authenticator, Keychain
from webhook.registry.challenges import parse_challenges
from webhook.registry.failures import NotTlsError
from webhook.registry.messages import Request, Response
from webhook.registry.transport import Transport

_ACCEPT = ", ".join(sorted(INDEX_TYPES | MANIFEST_TYPES))
_HOSTS = {"docker.io": "registry-1.docker.io"}
_OK, _UNAUTHORIZED = 200, 401


class Registry:
    """An ``ImageSource`` over any registries; safe for threads.

    One keychain, one ``Registry``: tokens that were bought with somebody's credentials are
    kept here and serve nobody else. The transport may be shared.
    """

    def __init__(
        self,
        transport: Transport,
        keychain: Keychain = Anonymous(),  # noqa: B008 - frozen
        limits: Limits = Limits(),  # noqa: B008 - frozen
    ) -> None:
        self._transport, self._limits = transport, limits
        self._authenticator = Authenticator(transport, keychain)
        self._schemes: dict[str, str] = {}

    def resolve(self, reference: Reference, deadline: Deadline) -> Document:
        """The manifest or index ``reference`` names, by one GET.

        Raises:
            IntegrityError: it does not have the digest that was asked for or announced.
            ImageUnknown: it was not had; the class says why.
        """
        wanted = reference.digest or reference.tag or "latest"
        return self._manifest(reference, wanted, reference.digest, deadline)

    def digest(self, reference: Reference, deadline: Deadline) -> str | None:
        """What the tag leads to, by a HEAD: Docker Hub does not count it as a pull.

        None where the registry does not say; why not, is what ``resolve`` tells. Raises as that.
        """
        path = f"manifests/{reference.tag or 'latest'}"
        with self._answer(reference, path, {"Accept": _ACCEPT}, deadline, "HEAD") as response:
            response.read(0)
        return response.headers.get("Docker-Content-Digest") if response.status == _OK else None

    def document(
        self, reference: Reference, descriptor: Descriptor, deadline: Deadline
    ) -> Document:
        """A manifest that an index names. Raises as ``resolve``.

        It is of the kind that the index says, as it is to containerd; what the registry calls
        it does not count.
        """
        document = self._manifest(reference, descriptor.digest, descriptor.digest, deadline)
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
        self, reference: Reference, wanted: str, digest: str | None, deadline: Deadline
    ) -> Document:
        headers = {"Accept": _ACCEPT}
        with self._get(reference, f"manifests/{wanted}", headers, deadline) as response:
            body = response.read(self._limits.manifest_bytes)
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
        response = self._answer(reference, path, headers, deadline)
        if response.status != _OK:
            raise response.error()
        return response

    def _answer(
        self, reference: Reference, path: str, headers: Mapping[str, str], deadline: Deadline,
        method: str = "GET",
    ) -> Response:  # fmt: skip
        """An answer. The registry's 401 is met once with what its challenge asks for.

        A 401 of another host, where a redirect led, is met with nothing: its challenge may
        name a realm of its own choice to send the registry's credentials to.
        """
        known = self._authenticator.known(reference)
        response = self._send(reference, path, headers, known, deadline, method=method)
        if response.status == _UNAUTHORIZED and not response.elsewhere:
            error = response.error()
            challenges = parse_challenges(response.headers.get("WWW-Authenticate", ""))
            proof = self._authenticator.answer(
                reference, challenges, response.endpoint.scheme, deadline
            )
            if proof is None:
                raise error
            response = self._send(reference, path, headers, proof, deadline, method=method)
        return response

    def _send(
        self, reference: Reference, path: str, headers: Mapping[str, str], proof: str | None,
        deadline: Deadline, *, method: str,
    ) -> Response:  # fmt: skip
        host = _HOSTS.get(reference.registry, reference.registry)
        if proof:
            headers = {**headers, "Authorization": proof}

        def send(scheme: str) -> Response:
            url = f"{scheme}://{host}/v2/{reference.repository}/{path}"
            return self._transport.send(
                Request(url=url, what=str(reference), method=method, headers=headers), deadline
            )

        scheme = self._schemes.get(host)
        if scheme is None and self._transport.settings(host).plain_http:
            scheme = "http"
        if scheme is None and self._transport.falls_back(host):
            return self._either(host, send)
        return send(scheme or "https")

    def _either(self, host: str, send: Callable[[str], Response]) -> Response:
        """By https or, where nobody speaks that, by http, as docker does on loopback."""
        try:
            response = send("https")
        except (NotTlsError, Unreachable):
            response = send("http")
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
