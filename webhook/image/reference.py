"""Image references, normalised as Docker, containerd and the kubelet do.

Source: distribution/reference v0.6 (regexp.go, normalize.go ``ParseDockerRef``), save that
a name with both tag and digest keeps both: the tag is shown and judged, the digest is used.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from webhook.errors import ImageRefused, Malformed
from webhook.image import digest as digests

_DEFAULT_REGISTRY: Final = "docker.io"
_LEGACY_REGISTRY: Final = "index.docker.io"
_OFFICIAL: Final = "library/"
_LONGEST_REPOSITORY: Final = 255
_LONGEST_TEXT: Final = 4_096
"""Characters; Go has no limit on the host, the name system has one of 253."""

_LABEL: Final = r"(?:[a-zA-Z0-9]|[a-zA-Z0-9][a-zA-Z0-9-]*[a-zA-Z0-9])"
_HOST: Final = rf"(?:{_LABEL}(?:\.{_LABEL})*|\[[a-fA-F0-9:]+\])(?::[0-9]+)?"
_COMPONENT: Final = r"[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*"
# Go takes a host with underscores for the head of a path, and containerd dials it just so.
_REFERENCE: Final = re.compile(
    rf"(?P<registry>{_HOST}|{_COMPONENT})/(?P<repository>{_COMPONENT}(?:/{_COMPONENT})*)"
    r"(?::(?P<tag>[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}))?"
    r"(?:@(?P<digest>[^@]+))?"
)
_IDENTIFIER: Final = re.compile(r"[a-f0-9]{64}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Reference:
    """``busybox`` is ``docker.io/library/busybox:latest``."""

    registry: str
    """Host, with port where given: ``docker.io``, ``localhost:5000``."""
    repository: str
    tag: str | None = None
    digest: str | None = None

    @classmethod
    def parse(cls, text: str) -> Reference:
        """Parse and normalise what a pod's ``image`` says.

        Raises:
            Malformed: a kubelet would say ``InvalidImageName``; or the digest is of an
                algorithm other than sha256 and sha512.
        """
        if _IDENTIFIER.fullmatch(text):
            raise Malformed(f"{text!r} is an image ID, not a name")
        if len(text) > _LONGEST_TEXT:
            raise Malformed(f"{text[:100]!r}… is no image name: it has {len(text)} characters")
        registry, remainder = _split(text)
        match = _REFERENCE.fullmatch(f"{registry}/{remainder}")
        if match is None or len(match["repository"]) > _LONGEST_REPOSITORY:
            raise Malformed(f"{text[:100]!r} is no image name{_hint(text, remainder)}")
        return cls(
            registry=match["registry"],
            repository=match["repository"],
            tag=match["tag"] or (None if match["digest"] else "latest"),
            digest=_digest(match["digest"], text),
        )

    @property
    def name(self) -> str:
        """``docker.io/library/busybox``: what globs match."""
        return f"{self.registry}/{self.repository}"

    def __str__(self) -> str:
        tag = f":{self.tag}" if self.tag else ""
        digest = f"@{self.digest}" if self.digest else ""
        return f"{self.name}{tag}{digest}"


def _split(text: str) -> tuple[str, str]:
    """Part registry from the rest, as ``splitDockerDomain``."""
    first, slash, rest = text.partition("/")
    if not slash:
        return _DEFAULT_REGISTRY, _OFFICIAL + text
    if first not in ("localhost", _LEGACY_REGISTRY) and not _looks_like_a_host(first):
        return _DEFAULT_REGISTRY, text
    registry = _DEFAULT_REGISTRY if first == _LEGACY_REGISTRY else first
    if registry == _DEFAULT_REGISTRY and "/" not in rest:
        rest = _OFFICIAL + rest
    return registry, rest


def _looks_like_a_host(text: str) -> bool:
    # A repository has no upper case, so what has it can only be a host.
    return "." in text or ":" in text or text != text.lower()


def _digest(digest: str | None, text: str) -> str | None:
    if digest is None:
        return None
    try:
        return digests.checked(digest, repr(text[:100]))
    except ImageRefused as error:
        raise Malformed(error.detail) from error


def _hint(text: str, remainder: str) -> str:
    path = re.split("[:@]", remainder, maxsplit=1)[0]
    if path != path.lower():
        return ": the repository must be lower case"
    if len(path) > _LONGEST_REPOSITORY:
        return f": the repository is longer than {_LONGEST_REPOSITORY} characters"
    if text != text.strip():
        return ": it has spaces around it"
    return ""
