"""Rotation of a CA and its leaf that no API server notices: pure functions.

What is known is read from what others can see: two Secrets and the bundle in the webhook
configuration. ``plan`` says what they should hold next. An API server knows the bundle as it was
a moment ago, and a replica serves the leaf as it was a moment ago; so

- a leaf by a new CA is issued once that CA has been seen in the bundle for ``overlap``;
- an old CA leaves the bundle once a leaf by the new one has been seen in its Secret for
  ``RETIRE`` times ``overlap``.

Those spans are measured on the monotonic clock, by the leader, from what it sees (``Seen``). A
new leader measures anew: it waits longer, never shorter. A wall clock that jumps, or a machine
that sleeps, shortens none of them. When something has to be renewed is a matter of the wall
clock, as certificates are.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from types import MappingProxyType

from cryptography import x509

from webhook.certs.issue import (
    BadPairError,
    Pair,
    fingerprint,
    is_authority,
    issue_authority,
    issue_leaf,
    issued,
    names,
    pem,
    read_certificates,
    read_pair,
)

RETIRE = 5
"""Overlaps that a CA stays in the bundle after its last leaf was replaced."""
_MAX_OLD = 16
"""CAs kept in the bundle beside the two with keys: what is left over from accidents is bounded."""

Data = Mapping[str, bytes]
"""A Secret's ``data``, decoded."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """What is issued, for whom and for how long."""

    service: str
    namespace: str
    ca: timedelta = timedelta(days=365)
    leaf: timedelta = timedelta(days=30)
    overlap: float = 60.0
    """Seconds within which every API server has a new bundle."""
    extra: tuple[str, ...] = ()
    """Further names or addresses of the leaf."""

    @property
    def hosts(self) -> tuple[str, ...]:
        """Names of the leaf; the API server asks for the first."""
        service = f"{self.service}.{self.namespace}"
        return (f"{service}.svc", f"{service}.svc.cluster.local", service, *self.extra)


@dataclass(frozen=True, slots=True, kw_only=True)
class Keys:
    """All that the two Secrets hold."""

    current: Pair | None = None
    """The CA that signs leaves."""
    next: Pair | None = None
    """The CA that will, once every API server has it."""
    old: tuple[x509.Certificate, ...] = ()
    """CAs whose leaves may still be served somewhere."""
    leaf: Pair | None = None

    @property
    def bundle(self) -> tuple[x509.Certificate, ...]:
        """What API servers are to trust, each once."""
        pairs = (one.certificate for one in (self.current, self.next) if one is not None)
        return _each_once((*pairs, *self.old))


Seen = Mapping[bytes, float]
"""Fingerprint of what is seen now → since when, on the monotonic clock."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Watched:
    """What the leader has seen, and when it last looked."""

    bundle: Seen = field(default_factory=lambda: MappingProxyType({}))
    leaf: Seen = field(default_factory=lambda: MappingProxyType({}))
    at: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What is to be written: first ``keys`` but the leaf, then the bundle, the leaf last."""

    keys: Keys
    done: bool
    """What was asked for by force is over."""
    waits: str
    """What the rotation waits for; empty when nothing is going on."""


def observe(
    before: Watched,
    *,
    bundle: Iterable[x509.Certificate],
    leaf: x509.Certificate | None,
    at: float,
    gap: float,
) -> Watched:
    """What is seen now, each with since when.

    After more than ``gap`` seconds without a look nothing is known of the time between, in which
    somebody else may have led: everything counts from now.
    """
    known = before if 0 <= at - before.at <= gap else Watched()
    return Watched(
        bundle=_since(known.bundle, bundle, at),
        leaf=_since(known.leaf, () if leaf is None else (leaf,), at),
        at=at,
    )


def _since(before: Seen, now: Iterable[x509.Certificate], at: float) -> Seen:
    prints = [fingerprint(one) for one in now]
    return MappingProxyType({one: before.get(one, at) for one in prints})


def plan(
    keys: Keys,
    watched: Watched,
    *,
    terms: Terms,
    now: datetime,
    bundle: tuple[x509.Certificate, ...] | None,
    forced: str = "",
) -> Plan:
    """The next step; the same question gets the same kind of answer, however often it is asked.

    Args:
        keys: as read just now.
        watched: what has been seen up to now.
        terms: what to issue.
        now: wall clock, aware.
        bundle: certificates in the webhook configuration; None where there is no configuration,
            so that nothing has to be waited for.
        forced: ``ca`` or ``leaf`` to renew that though it is not due; anything else is nothing.
    """
    keys = _salvaged(_pruned(keys, now), bundle or ())
    keys = _with_next(keys, terms, now, forced=forced == "ca")
    promoted = _promoted(keys, watched, terms, now, bundle)
    renewed = _with_leaf(promoted, watched, terms, now, bundle, forced=forced == "leaf")
    settled = _retired(renewed, watched, terms)
    done = (forced == "ca" and promoted.current is keys.next and keys.next is not None) or (
        forced == "leaf" and renewed.leaf is not promoted.leaf
    )
    return Plan(keys=settled, done=done, waits=_waits(settled, watched, bundle, now))


def _pruned(keys: Keys, now: datetime) -> Keys:
    """Without what has expired: a key that signs nothing valid is no key."""
    return replace(
        keys,
        current=None if keys.current and _over(keys.current.certificate, now) else keys.current,
        next=None if keys.next and _over(keys.next.certificate, now) else keys.next,
        old=tuple(one for one in keys.old if not _over(one, now))[:_MAX_OLD],
    )


def _salvaged(keys: Keys, bundle: tuple[x509.Certificate, ...]) -> Keys:
    """Where the current CA is lost, replicas serve leaves by one that only the bundle still has."""
    if keys.current is not None:
        return keys
    coming = () if keys.next is None else (keys.next.certificate,)
    others = (one for one in bundle if is_authority(one) and one not in coming)
    return replace(keys, old=_each_once((*keys.old, *others))[:_MAX_OLD])


def _with_next(keys: Keys, terms: Terms, now: datetime, *, forced: bool) -> Keys:
    due = keys.current is None or forced or _due(keys.current.certificate, now)
    if keys.next is not None or not due:
        return keys
    name = f"{terms.service}.{terms.namespace} CA {now:%Y-%m-%dT%H:%M:%SZ}"
    return replace(keys, next=issue_authority(name, now=now, valid=terms.ca))


def _promoted(
    keys: Keys,
    watched: Watched,
    terms: Terms,
    now: datetime,
    bundle: tuple[x509.Certificate, ...] | None,
) -> Keys:
    if keys.next is None or not _published(keys.next, keys, watched, terms, now, bundle=bundle):
        return keys
    before = () if keys.current is None else (keys.current.certificate,)
    old = _each_once((*before, *keys.old))[:_MAX_OLD]
    return replace(keys, current=keys.next, next=None, old=old)


def _published(
    authority: Pair,
    keys: Keys,
    watched: Watched,
    terms: Terms,
    now: datetime,
    *,
    bundle: tuple[x509.Certificate, ...] | None,
) -> bool:
    """Whether every API server trusts it by now.

    One look is enough where no call can succeed before, so that the first install is quick:
    nothing was ever served.
    """
    if bundle is None:
        return True
    since = watched.bundle.get(fingerprint(authority.certificate))
    alone = keys.current is None or keys.current is authority
    first = keys.leaf is None and not keys.old and alone
    wait = 0.0 if first or _expired(keys.leaf, now) else terms.overlap
    return since is not None and watched.at - since >= wait


def _with_leaf(
    keys: Keys,
    watched: Watched,
    terms: Terms,
    now: datetime,
    bundle: tuple[x509.Certificate, ...] | None,
    *,
    forced: bool,
) -> Keys:
    """With a new leaf, if one is needed and all API servers trust the CA that would sign it."""
    if keys.current is None or not (forced or leaf_problem(keys, terms, now)):
        return keys
    if not _published(keys.current, keys, watched, terms, now, bundle=bundle):
        return keys
    leaf = issue_leaf(keys.current, terms.hosts[0], terms.hosts, now=now, valid=terms.leaf)
    return replace(keys, leaf=leaf)


def leaf_problem(keys: Keys, terms: Terms, now: datetime) -> str:
    """Why a new leaf is needed; empty if none is."""
    if keys.leaf is None:
        return "there is none"
    leaf = keys.leaf.certificate
    if keys.current is None or not issued(leaf, keys.current.certificate):
        return "it is not by the current CA"
    if not frozenset(terms.hosts) <= names(leaf):
        return "it lacks a name"
    return "it is due" if _due(leaf, now) else ""


def _retired(keys: Keys, watched: Watched, terms: Terms) -> Keys:
    """Without old CAs, once no replica can serve a leaf by one of them."""
    if keys.leaf is None or keys.current is None:
        return keys
    since = watched.leaf.get(fingerprint(keys.leaf.certificate))
    by_current = issued(keys.leaf.certificate, keys.current.certificate)
    if not by_current or since is None or watched.at - since < RETIRE * terms.overlap:
        return keys
    return replace(keys, old=())


def _waits(
    keys: Keys, watched: Watched, bundle: tuple[x509.Certificate, ...] | None, now: datetime
) -> str:
    if keys.next is not None:
        if bundle is not None and fingerprint(keys.next.certificate) not in watched.bundle:
            return "for the new CA to be in the webhook configuration"
        return "for every API server to trust the new CA"
    if keys.leaf is None or _expired(keys.leaf, now):
        return "for the CA to be in the webhook configuration"
    return "for every replica to serve the new certificate" if keys.old else ""


def _due(certificate: x509.Certificate, now: datetime) -> bool:
    """Past two thirds of its life; or not valid yet, as after a clock was put right."""
    begin, end = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    return now < begin or now >= begin + (end - begin) * 2 / 3


def _over(certificate: x509.Certificate, now: datetime) -> bool:
    return now >= certificate.not_valid_after_utc


def _expired(leaf: Pair | None, now: datetime) -> bool:
    return leaf is not None and _over(leaf.certificate, now)


def _each_once(certificates: Iterable[x509.Certificate]) -> tuple[x509.Certificate, ...]:
    return tuple({fingerprint(one): one for one in certificates}.values())


# What the Secrets hold -------------------------------------------------------------------------

_CURRENT, _NEXT = ("ca.crt", "ca.key"), ("next.crt", "next.key")
_LEAF = ("tls.crt", "tls.key")
_BUNDLE = "bundle.crt"


def read_keys(ca: Data, tls: Data) -> tuple[Keys, tuple[str, ...]]:
    """What is usable of the two Secrets, and what is wrong with the rest.

    Whatever certificate of a CA can be read stays trusted, though its key may be lost: leaves by
    it may be served.
    """
    problems: list[str] = []
    current = _read_authority(ca, _CURRENT, problems)
    following = _read_authority(ca, _NEXT, problems)
    texts = (ca.get(_BUNDLE, b""), ca.get(_CURRENT[0], b""), tls.get("ca.crt", b""))
    kept = [one for text in texts for one in read_certificates(text) if is_authority(one)]
    with_keys = {fingerprint(one.certificate) for one in (current, following) if one is not None}
    old = tuple(one for one in _each_once(kept) if fingerprint(one) not in with_keys)
    leaf, problem = read_leaf(tls)
    if problem and any(tls.get(name) for name in _LEAF):
        problems.append(problem)
    return Keys(current=current, next=following, old=old, leaf=leaf), tuple(problems)


def read_leaf(tls: Data) -> tuple[Pair | None, str]:
    """The pair that may be served, or None and why not.

    It has to match its key and be by one of the CAs beside it (``ca.crt``): what somebody else
    put there is not served.
    """
    try:
        pair = read_pair(tls.get(_LEAF[0], b""), tls.get(_LEAF[1], b""))
    except BadPairError as error:
        return None, f"{_LEAF[0]}: {error}"
    authorities = filter(is_authority, read_certificates(tls.get("ca.crt", b"")))
    if not any(issued(pair.certificate, one) for one in authorities):
        return None, f"{_LEAF[0]}: it is not by the CA in ca.crt"
    return pair, ""


def _read_authority(data: Data, fields: tuple[str, str], problems: list[str]) -> Pair | None:
    cert, key = (data.get(name, b"") for name in fields)
    if not cert and not key:
        return None
    try:
        pair = read_pair(cert, key)
    except BadPairError as error:
        problems.append(f"{fields[0]}: {error}")
        return None
    if not is_authority(pair.certificate):
        problems.append(f"{fields[0]}: it is no CA")
        return None
    return pair


def ca_data(keys: Keys) -> Data:
    """The data of the CA's Secret."""
    found: dict[str, bytes] = {_BUNDLE: pem(*keys.bundle)}
    for (cert, key), pair in ((_CURRENT, keys.current), (_NEXT, keys.next)):
        if pair is not None:
            found |= {cert: pair.cert_pem, key: pair.key_pem}
    return found


def tls_data(keys: Keys, leaf: Pair) -> Data:
    """The data of the leaf's Secret, with the CA that signed it."""
    by = tuple(one for one in keys.bundle if issued(leaf.certificate, one))
    return {_LEAF[0]: leaf.cert_pem, _LEAF[1]: leaf.key_pem, "ca.crt": pem(*by)}
