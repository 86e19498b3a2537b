"""Images from a source, through the caches, before the deadline."""

from __future__ import annotations

from collections.abc import Callable, Collection, Hashable, Mapping, Sequence
from concurrent.futures import Future, wait
from contextlib import nullcontext
from dataclasses import dataclass, replace
from functools import partial
from math import inf
from typing import Any, cast

from webhook.errors import DeadlineExceeded, ImageError, IntegrityError, Malformed
from webhook.gather.flights import Cache, Facts, Flights, bare, failed
from webhook.gather.lanes import Lanes
from webhook.gather.opening import open_image
from webhook.gather.reading import Here, Reading
from webhook.gather.room import Room
from webhook.gather.source import (
    AccountSource,
    Gathered,
    ImageRequest,
    ImageSource,
    Layered,
    Unread,
    layered,
    unread,
)
from webhook.gather.waiters import Waiters
from webhook.image.bases import KnownBase
from webhook.image.facts import Files, ImageFacts, LayerRef
from webhook.image.manifest import Descriptor
from webhook.image.reference import Reference
from webhook.limits import Deadline, Limits
from webhook.pod import Account

LayerKey = tuple[str, str, str, int]
"""Digest, diff_id, media type and compressed size: what was proved when the layer was read."""

Place = tuple[Account | None, str | Reference]
"""Whose word something is fetched on: a repository, or one archive; and on whose behalf.

What was read is proved, and the same for all. What is under way, or failed, is not: another
repository's layer of that digest may drip for ever, or not be what it says; and what one
account may not read, another may.
"""

_OPENING_SECONDS = 60.0
"""Of manifests and configs, which are small: none is waited for longer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Caches:
    """What is kept from one review to the next."""

    tags: Cache[ImageRequest, Gathered]
    """What a tag led to: for a short while, and for the account that asked."""
    proofs: Cache[ImageRequest, Gathered]
    """What an account was shown by digest: for minutes, then it has to show again that it may."""
    images: Facts[ImageRequest, Gathered]
    """The same by digest, for ever; by tag, for as long as the tag does not move. Of no account:
    one that asks is told of it once the registry has said to it what the digest is."""
    partial: Cache[ImageRequest, Gathered]
    """Where some platform could not be read: for seconds, as ``failures``."""
    layers: Facts[LayerKey, Any]
    """As ``Reading`` has them."""
    files: Facts[str, Files]
    """By manifest digest."""
    failures: Cache[Hashable, ImageError]
    """For seconds: a broken image must neither drag every review down nor stay broken."""


class Gatherer:
    """Images from a source, through the caches: the product's ``Images``.

    A review that runs out of time gets ``DeadlineExceeded``; the reading goes on, and the
    next review finds it done.
    """

    def __init__(
        self,
        source: ImageSource,
        *,
        caches: Caches,
        limits: Limits,
        opening: Lanes,
        reading: Lanes,
        clock: Callable[[], float],
        background: float,
        near: Callable[[Reference], bool] = lambda _reference: False,
        waiters: int | None = None,
        observe: Callable[[LayerRef, int], None] = lambda _layer, _bytes: None,
        reader: Reading[Any] | None = None,
        bases: Sequence[KnownBase] = (),
        on_behalf: Callable[[Account], AccountSource] | None = None,
    ) -> None:
        """Gather from ``source``.

        Args:
            source: where the bytes come from.
            caches: what is kept between calls.
            limits: for every image.
            opening: threads that fetch manifests and configs; they never wait for ``reading``.
            reading: threads that have layers read and merged.
            clock: monotonic seconds, the deadlines' own.
            background: seconds one fetch may take, reviews' deadlines aside.
            near: whether an image's bytes are on this machine: its layers are read at once, for
                that spares nobody anything.
            waiters: reviews that may wait at the same time, shared among their turns; None: any
                number.
            observe: told the compressed bytes of each chunk of a layer as it is read.
            reader: who reads layers and merges them; None: this process.
            bases: those that images may be found to stand on.
            on_behalf: where the bytes come from for an account, which is told only what it may
                read. None: all ask as one, and ``source`` answers.
        """
        self._source, self._caches, self._limits = source, caches, limits
        self._clock, self._background, self._near = clock, background, near
        self._observe, self._reader = observe, reader or Here(limits)
        self._bases, self._on_behalf = bases, on_behalf
        self._opening = Flights[ImageRequest, Gathered](opening, caches.failures)
        self._reading = Flights[tuple[Place, LayerKey], Any](reading, caches.failures)
        self._recalling = Flights[str, Files | None](opening, caches.failures)
        self._merging = Flights[tuple[Place, str], Files](reading, caches.failures)
        self._room = Room()
        self._waiters = None if waiters is None else Waiters(waiters)

    def configs(
        self, requests: Collection[ImageRequest], deadline: Deadline
    ) -> Mapping[ImageRequest, Gathered]:
        """Manifest and config of each; with ``files`` where they are known or near.

        Raises:
            Busy: too many reviews wait already.
        """
        flights = {request: self._opened(self._asked(request)) for request in requests}
        self._wait(flights.values(), deadline, requests)
        opened = {
            request: self._with_files(_arrived(flight)) for request, flight in flights.items()
        }
        near = [request for request in requests if self._near(request.reference)]
        return opened | {
            request: self._all_read(request, opened[request], deadline) for request in near
        }

    def layers(
        self, images: Collection[tuple[ImageRequest, ImageFacts]], deadline: Deadline
    ) -> Layered:
        """The same with their layers read.

        Raises:
            Busy: too many reviews wait already.
        """
        requests = [request for request, _ in images]
        kept = [self._recalled(request, facts) for request, facts in images]
        self._wait(kept, deadline, requests)
        flights = [
            (
                request,
                facts,
                [] if _is_known(known) else [self._layer(request, ref) for ref in facts.layers],
            )
            for (request, facts), known in zip(images, kept, strict=True)
        ]
        self._wait([flight for _, _, layers in flights for flight in layers], deadline, requests)
        merged = [
            (request, facts, self._merged(request, facts, layers))
            for request, facts, layers in flights
        ]
        self._wait([flight for _, _, flight in merged], deadline, requests)
        return {
            (request, facts.manifest_digest): _with_contents(facts, flight)
            for request, facts, flight in merged
        }

    def _asked(self, request: ImageRequest) -> ImageRequest:
        """The same, on nobody's behalf where that does not matter."""
        account = self._account(request)
        return request if account == request.account else replace(request, account=account)

    def _account(self, request: ImageRequest) -> Account | None:
        """Whose credentials count: nobody's where all ask as one, or it is on this machine."""
        if self._on_behalf is None or self._near(request.reference):
            return None
        return request.account

    def _source_for(self, account: Account | None) -> ImageSource:
        if account is None or self._on_behalf is None:
            return self._source
        return self._on_behalf(account)

    def _opened(self, request: ImageRequest) -> Future[Gathered]:
        return self._opening.start(
            request,
            partial(self._known, request),
            partial(self._open, request),
            lane=request.reference.registry,
            turn=request.turn,
            ageing=partial(self._kept(request).ageing, request),
        )

    def _known(self, request: ImageRequest) -> Gathered | None:
        return self._kept(request).get(request) or self._caches.partial.get(request)

    def _kept(self, request: ImageRequest) -> Cache[ImageRequest, Gathered]:
        """Where it stands that this account was shown this image."""
        if request.reference.digest is None:
            return self._caches.tags
        return self._caches.images if request.account is None else self._caches.proofs

    def _with_files(self, gathered: Gathered) -> Gathered:
        """Add what the layers of an image are known to hold from an earlier review."""
        return tuple(
            item if isinstance(item, Unread) else self._completed(item) for item in gathered
        )

    def _completed(self, facts: ImageFacts) -> ImageFacts:
        files = self._caches.files.get(facts.manifest_digest)
        return facts if files is None else facts.with_files(files)

    def _all_read(self, request: ImageRequest, gathered: Gathered, deadline: Deadline) -> Gathered:
        return layered(request, gathered, self.layers(unread(request, gathered), deadline))

    def _wait(
        self,
        flights: Collection[Future[Any]],
        deadline: Deadline,
        requests: Collection[ImageRequest],
    ) -> None:
        """Wait until all are done or the deadline is over; never for what is done already.

        Where nothing may be waited for, what was begun goes on, for whoever asks again.
        """
        flying = [flight for flight in flights if not flight.done()]
        if not flying:
            return
        deadline.before_waiting()
        turn = next(request.turn for request in requests)
        with nullcontext() if self._waiters is None else self._waiters.taken(turn):
            wait(flying, timeout=deadline.patience())

    def _open(self, request: ImageRequest) -> Gathered:
        """Fetch the manifest, or every manifest of the index that counts, and their configs."""
        deadline = self._later(_OPENING_SECONDS)
        source = self._source_for(request.account)
        everybodys = replace(request, account=None)
        gathered = self._unmoved(request, source, deadline)
        if gathered is None:
            with self._caches.images.turn(everybodys, self._place(request), deadline) as keep:
                gathered = self._unmoved(request, source, deadline)
                if gathered is None:
                    gathered = open_image(
                        source, request, limits=self._limits, deadline=deadline, bases=self._bases,
                        room=self._room,
                    )  # fmt: skip
                    if not any(isinstance(item, Unread) for item in gathered):
                        keep(gathered)
        errors = [bare(item.error) for item in gathered if isinstance(item, Unread)]
        shown = gathered if request.account is None else self._shown_to(request, gathered, source)
        if not errors:
            self._keep(request, gathered, shown)
        elif not any(isinstance(error, IntegrityError) for error in errors):
            self._caches.partial.put(request, shown)
        return shown

    def _keep(self, request: ImageRequest, gathered: Gathered, shown: Gathered) -> None:
        """Remember that the image was shown, and have at hand what its layers are known to hold."""
        kept = self._kept(request)
        if kept is not self._caches.images:
            kept.put(request, shown)
        for item in gathered:
            if isinstance(item, ImageFacts):
                self._caches.files.recall(item.manifest_digest)

    def _unmoved(
        self, request: ImageRequest, source: ImageSource, deadline: Deadline
    ) -> Gathered | None:
        """What the reference led to before, on anybody's behalf, if it leads there still.

        That the registry names the digest, asked with the account's own credentials, is the
        proof that the account may read the image: a HEAD, where fetching takes three GETs.
        """
        everybodys = replace(request, account=None)
        before = self._caches.images.recall(everybodys)
        if before is None:
            return None
        if request.account is None and request.reference.digest is not None:
            return before
        digest = source.digest(request.reference, deadline)
        if digest == before[0].digest:
            return before
        if digest is not None:
            self._caches.images.forget(everybodys)
        return None

    def _shown_to(self, request: ImageRequest, gathered: Gathered, source: ImageSource) -> Gathered:
        """The same, saying whose credentials it took to see it."""
        credentials = cast(AccountSource, source).credentials(request.reference)
        return tuple(
            item if isinstance(item, Unread) else replace(item, credentials=credentials)
            for item in gathered
        )

    def _later(self, most: float = inf) -> Deadline:
        return Deadline.after(min(self._background, most), self._clock)

    def _place(self, request: ImageRequest) -> Place:
        reference = request.reference
        where = reference if self._near(reference) else reference.name
        return self._account(request), where

    def _recalled(self, request: ImageRequest, facts: ImageFacts) -> Future[Files | None]:
        """What its layers are known to hold: looked for in a lane where nobody reads from afar."""
        digest = facts.manifest_digest
        return self._recalling.start(
            digest,
            partial(self._caches.files.get, digest),
            partial(self._caches.files.recall, digest),
            lane="",
            turn=request.turn,
        )

    def _layer(self, request: ImageRequest, ref: LayerRef) -> Future[Any]:
        """What it holds. Another account may have had it read while this one waited its turn."""
        key = _layer_key(ref)
        return self._reading.start(
            (self._place(request), key),
            partial(self._caches.layers.get, key),
            partial(self._layer_of, request, ref),
            lane=request.reference.registry,
            turn=request.turn,
        )

    def _layer_of(self, request: ImageRequest, ref: LayerRef) -> Any:
        """From where it is kept, or read in this process' turn."""
        key, place = _layer_key(ref), self._place(request)
        with self._caches.layers.turn(key, place, self._later()) as keep:
            layer = self._caches.layers.recall(key)
            if layer is None:
                layer = self._read_layer(request, ref)
                keep(layer)
            return layer

    def _read_layer(self, request: ImageRequest, ref: LayerRef, keep: Collection[int] = ()) -> Any:
        source = self._source_for(self._account(request))
        deadline = self._later()
        return self._reader.layer(
            ref,
            source.blob(request.reference, _descriptor(ref), deadline),
            keep=keep,
            deadline=deadline,
            progress=partial(self._observe, ref),
        )

    def _merged(
        self, request: ImageRequest, facts: ImageFacts, flights: Sequence[Future[Any]]
    ) -> Future[Files]:
        """What the layers hold together, once all are there; else why they are not.

        Merging takes time, and may read layers again: so it is not done while a review waits
        without end, nor once for each of a burst.
        """
        failure = _failure(flights)
        if failure is not None:
            return failed(failure)
        layers = [flight.result() for flight in flights]
        return self._merging.start(
            (self._place(request), facts.manifest_digest),
            partial(self._caches.files.get, facts.manifest_digest),
            partial(self._merge, request, facts, layers),
            lane=request.reference.registry,
            turn=request.turn,
        )

    def _merge(self, request: ImageRequest, facts: ImageFacts, layers: list[Any]) -> Files:
        known = self._caches.files.recall(facts.manifest_digest)
        if known is not None:  # another account had it done while this one waited its turn
            return known
        merge = partial(self._reader.files, facts.config, facts.layers, deadline=self._later())
        files = merge(layers)
        if not isinstance(files, Files):  # the few bodies that only the merged tree shows
            for index, keep in files.items():
                ref = facts.layers[index]
                layers[index] = self._read_layer(request, ref, keep)
                self._caches.layers.put(_layer_key(ref), layers[index])
            files = merge(layers)
        if not isinstance(files, Files):
            raise Malformed("its layers want to be read over and over")
        self._caches.files.put(facts.manifest_digest, files)
        return files


def _arrived(flight: Future[Gathered]) -> Gathered:
    """What a flight brought, or why not (yet)."""
    if not flight.done():
        return (Unread(error=DeadlineExceeded("its manifest was not fetched in time")),)
    error = _error(flight)
    return flight.result() if error is None else (Unread(error=error),)


def _is_known(recalled: Future[Files | None]) -> bool:
    return recalled.done() and recalled.result() is not None


def _failure(flights: Sequence[Future[Any]]) -> ImageError | None:
    """Of a layer that failed, whatever the others would bring; else that some are not read yet."""
    done = [flight for flight in flights if flight.done()]
    error = next(filter(None, map(_error, done)), None)
    if error is None and len(done) < len(flights):
        return DeadlineExceeded(f"{len(done)} of {len(flights)} layers read so far")
    return error


def _with_contents(facts: ImageFacts, merged: Future[Files]) -> ImageFacts | Unread:
    error = _error(merged) if merged.done() else DeadlineExceeded("its layers are being merged")
    if error is not None:
        return Unread(error=error, platform=facts.platform, digest=facts.digest)
    return facts.with_files(merged.result())


def _error(flight: Future[Any]) -> ImageError | None:
    """The image's error that ended a flight. What is none is a bug, and raised."""
    # Not by raising it: it is one object for all who wait, and would grow with each of them.
    error = flight.exception()
    if error is None or isinstance(error, ImageError):
        return error
    raise error


def _layer_key(ref: LayerRef) -> LayerKey:
    return (ref.digest, ref.diff_id, ref.media_type, ref.compressed)


def _descriptor(ref: LayerRef) -> Descriptor:
    return Descriptor(media_type=ref.media_type, digest=ref.digest, size=ref.compressed)
