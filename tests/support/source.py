"""Forged images as an ``ImageSource``: in memory, counting, and holding back when told to."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from tests.support import forge
from webhook.errors import DeadlineExceeded, LimitExceeded, NotFound
from webhook.gather.source import Document
from webhook.image.manifest import Descriptor
from webhook.image.reference import Reference
from webhook.limits import Deadline


@dataclass
class ForgedSource:
    """Serves ``images`` by their normalised names; ``asked`` lists what was asked for."""

    images: Mapping[str, forge.Image]
    asked: list[str] = field(default_factory=list)
    held: dict[str, threading.Event] = field(default_factory=dict)
    """What is not served before its event is set: ``DIGEST``, or what makes it rarer:
    ``REGISTRY/REPOSITORY@DIGEST``, ``DIGEST again`` (every time but the first)."""

    def resolve(
        self, reference: Reference, deadline: Deadline, most: int | None = None
    ) -> Document:
        image = self._image(reference)
        self._ask(str(reference), deadline)
        if most is not None and image.size > most:
            raise LimitExceeded(f"{reference} has more than {most} bytes")
        return Document(body=image.body, media_type=image.media_type, digest=image.digest)

    def digest(self, reference: Reference, deadline: Deadline) -> str | None:
        self._ask(f"HEAD {reference}", deadline)
        return self._image(reference).digest

    def document(
        self, reference: Reference, descriptor: Descriptor, deadline: Deadline
    ) -> Document:
        self._ask(descriptor.digest, deadline)
        body = self._image(reference).blobs[descriptor.digest]
        return Document(body=body, media_type=descriptor.media_type, digest=descriptor.digest)

    def blob(
        self, reference: Reference, descriptor: Descriptor, deadline: Deadline
    ) -> Iterator[bytes]:
        self._ask(descriptor.digest, deadline, reference)
        blob = self._image(reference).blobs.get(descriptor.digest)
        if blob is None:
            raise NotFound(f"{reference} has no {descriptor.digest}")
        yield blob

    def _image(self, reference: Reference) -> forge.Image:
        for name in (str(reference), f"{reference.name}:{reference.tag}"):
            if name in self.images:
                return self.images[name]
        raise NotFound(f"{reference} is not there")

    def _ask(self, what: str, deadline: Deadline, of: Reference | None = None) -> None:
        names = [what, f"{of.name if of else ''}@{what}"]
        names += [f"{what} again"] * (what in self.asked)
        self.asked.append(what)
        for name in names:
            if name in self.held and not self.held[name].wait(timeout=min(10.0, deadline.left())):
                raise DeadlineExceeded(f"{name} was held back")
