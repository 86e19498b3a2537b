"""Where the images of a registry are to be had: its mirrors first, then itself."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

_HOSTS = {"docker.io": "registry-1.docker.io"}
CAPABILITIES = frozenset({"pull", "resolve"})
"""``resolve``: say what a tag leads to. ``pull``: hand out what has a digest."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """One place to ask."""

    host: str
    """With its port, where that is not the scheme's own."""
    scheme: str | None = None
    """None: https, or what settings allow."""
    path: str = "/v2"
    capabilities: frozenset[str] = CAPABILITIES
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    """Sent with every request, to this host only; may be secrets."""
    mirror: bool = False
    """Whether it is another host than the registry: the registry's credentials are not for it."""


Sites = Callable[[str], tuple[Site, ...]]
"""From a registry, as references name it, to where to ask, in order."""


def host_of(registry: str) -> str:
    """The host that ``docker.io`` is."""
    return _HOSTS.get(registry, registry)


def only_itself(registry: str) -> tuple[Site, ...]:
    """No mirrors."""
    return (Site(host=host_of(registry)),)
