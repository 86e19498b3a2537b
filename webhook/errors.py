"""The tree of what can go wrong, with the reasons users and metrics see.

    SlimgateError
    ├── UsageError            the command line or a setting is wrong
    ├── PolicyError           a policy document is wrong: every fault of it at once
    ├── ReviewError           the bytes sent are no AdmissionReview
    ├── Busy                  as many reviews as may wait for images do: ask again in a second
    ├── StateUnknown          what the cluster says is not known, or too old
    └── ImageError            an image could not be judged; has a ``reason``
        ├── ImageRefused      bytes were read and are wrong: a failure, whatever onUnknown says
        │   ├── Malformed · IntegrityError · Unsupported · LimitExceeded
        └── ImageUnknown      it could not be found out: the policy's onUnknown decides
            ├── Unauthorized · Forbidden · NotFound · RateLimited · ServerError
            └── DnsError · Unreachable · TlsError · Blocked · DeadlineExceeded

Libraries' errors are turned into these at the one boundary that knows the library, with
``from``. Anything else that escapes is a bug, and is logged whole.
"""

from __future__ import annotations

from typing import ClassVar


class SlimgateError(Exception):
    """Everything slimgate raises on purpose."""


class UsageError(SlimgateError):
    """The command line or a setting is wrong; the text says how to put it right."""


class ReviewError(SlimgateError):
    """The request's body is no AdmissionReview we can answer.

    ``status`` is the HTTP status to answer with: 400, 413 or 415.
    """

    def __init__(self, detail: str, *, status: int = 400) -> None:
        super().__init__(detail)
        self.status = status


class Busy(SlimgateError):
    """As many reviews as may wait for images are waiting: the client is to ask again soon."""


class StateUnknown(SlimgateError):
    """What the cluster says is not known, or too old."""


class PolicyError(SlimgateError):
    """A policy document is wrong. ``problems`` holds every fault found, in document order."""

    def __init__(self, problems: tuple[str, ...]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


class ImageError(SlimgateError):
    """An image could not be judged.

    ``reason`` is a constant word (stable: it is in JSON, metrics and audit annotations);
    ``detail`` holds the values, and never a credential; ``remedy`` says what to do.
    """

    reason: ClassVar[str]
    remedy: ClassVar[str]

    def __init__(self, detail: str) -> None:
        super().__init__(detail)
        self.detail = detail


class ImageRefused(ImageError):
    """The bytes were read and are wrong: proved, so ``onUnknown`` does not excuse it."""


class Malformed(ImageRefused):
    """A document or archive is not what its specification allows."""

    reason = "malformed"
    remedy = "rebuild the image with a current builder and push it again"


class IntegrityError(ImageRefused):
    """Bytes do not have the digest or size that was promised."""

    reason = "integrity"
    remedy = "push the image again; if it happens again, do not trust the registry"


class Unsupported(ImageRefused):
    """A kind of image, layer or entry that no Linux node would run, or that we cannot judge."""

    reason = "unsupported"
    remedy = "name a container image that Linux nodes can run"


class LimitExceeded(ImageRefused):
    """A bound of ``webhook.limits.Limits`` was crossed."""

    reason = "limit"
    remedy = "make the image smaller: no honest image comes near these limits"


class ImageUnknown(ImageError):
    """It could not be found out: neither pass nor fail."""


class Unauthorized(ImageUnknown):
    """401: no credentials, or wrong ones."""

    reason = "unauthorized"
    remedy = (
        "give slimgate credentials that may read it, and look whether the name "
        "is right: many registries say the same of a repository that does not exist"
    )


class Forbidden(ImageUnknown):
    """403: the credentials may not read this repository."""

    reason = "forbidden"
    remedy = "let the account of slimgate's credentials read the repository"


class NotFound(ImageUnknown):
    """404: no such repository, tag or blob."""

    reason = "notFound"
    remedy = "look for a slip in the name, or push the image first"


class RateLimited(ImageUnknown):
    """429: ``retry_after`` is in seconds, None where the registry did not say."""

    reason = "rateLimited"
    remedy = "try again later, or give slimgate credentials: they have a higher limit"

    def __init__(self, detail: str, *, retry_after: float | None = None) -> None:
        super().__init__(detail)
        self.retry_after = retry_after


class ServerError(ImageUnknown):
    """5xx, or an answer that no registry should give."""

    reason = "serverError"
    remedy = "try again; if it lasts, the registry's own log should say why"


class DnsError(ImageUnknown):
    """The registry's name does not resolve."""

    reason = "dns"
    remedy = "check the registry's host name"


class Unreachable(ImageUnknown):
    """No connection, or it broke."""

    reason = "unreachable"
    remedy = "check that the registry is up and that slimgate can reach it"


class TlsError(ImageUnknown):
    """The TLS handshake failed: unknown CA, wrong name, expired."""

    reason = "tls"
    remedy = "give slimgate the certificate of the registry's authority (--ca-file)"


class Blocked(ImageUnknown):
    """The address is one slimgate does not dial (SSRF protection)."""

    reason = "blocked"
    remedy = "if the registry is yours, allow its address (--allow-address)"


class DeadlineExceeded(ImageUnknown):
    """It was not finished in time; it may be, on the next try."""

    reason = "deadline"
    remedy = "try again: the webhook reads on meanwhile; a command can be given a longer --timeout"
