"""Images that are no registry's: ``oci:FOLDER``, ``oci-archive:FILE``, ``docker-archive:FILE``.

    source, reference = open_archive("oci:build/image:1.0")
    source.resolve(reference, deadline)

The words are skopeo's, and mean what they mean there: the path ends at the first colon, and
what follows chooses one of several images. ``-`` is standard input. Nothing is unpacked.

Source: containers-transports(5); image-spec image-layout.md; moby's image/tarexport.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import BinaryIO

from webhook.errors import DeadlineExceeded, ImageRefused, IntegrityError, NotFound, UsageError
from webhook.gather.source import Document
from webhook.image.digest import verified
from webhook.image.manifest import Descriptor
from webhook.image.reference import Reference
from webhook.limits import Deadline, Limits
from webhook.registry import layout, saved
from webhook.registry.files import Files, Folder, Stored, Tar

KINDS = ("oci", "oci-archive", "docker-archive")


@dataclass(frozen=True, slots=True)
class Archive:
    """An ``ImageSource`` of one image; whatever reference is asked for, it is that image."""

    name: str
    root: Document
    stored: Callable[[str], Stored | None]
    """A blob by its digest."""
    limits: Limits

    def resolve(
        self,
        reference: Reference,
        deadline: Deadline,  # noqa: ARG002
        most: int | None = None,  # noqa: ARG002 - it is here already
    ) -> Document:
        """The manifest or index. Raises ``NotFound`` where another digest is asked for."""
        if reference.digest not in {None, self.root.digest}:
            raise NotFound(f"{self.name} holds {self.root.digest}, not {reference.digest}")
        return self.root

    def digest(self, reference: Reference, deadline: Deadline) -> str | None:
        """As ``resolve``."""
        return self.resolve(reference, deadline).digest

    def document(
        self, reference: Reference, descriptor: Descriptor, deadline: Deadline
    ) -> Document:
        """A manifest that an index names; its size and digest are proved."""
        chunks = self.blob(reference, descriptor, deadline)
        body = verified(chunks, descriptor, self.limits.manifest_bytes)
        return Document(body=body, media_type=descriptor.media_type, digest=descriptor.digest)

    def blob(
        self,
        reference: Reference,  # noqa: ARG002 - there is but one image
        descriptor: Descriptor,
        deadline: Deadline,
    ) -> Iterator[bytes]:
        """The blob in chunks; the reader proves the digest.

        Raises:
            NotFound: the archive does not hold it.
            IntegrityError: it has another size than the descriptor says.
            DeadlineExceeded: between two chunks.
        """
        stored = self.stored(descriptor.digest)
        if stored is None:
            raise NotFound(f"{self.name} does not hold the blob {descriptor.digest}")
        if stored.size != descriptor.size:
            raise IntegrityError(
                f"{self.name}: {descriptor.digest} has {stored.size} bytes, "
                f"not the {descriptor.size} that were promised"
            )
        for chunk in stored.chunks():
            if deadline.over():
                raise DeadlineExceeded(f"{self.name}: not read in the time there was")
            yield chunk


def is_archive(text: str) -> bool:
    """Whether ``text`` is for ``open_archive``, and no image name."""
    return text.partition(":")[0] in KINDS and ":" in text


def open_archive(
    text: str,
    *,
    stdin: BinaryIO | None = None,
    limits: Limits = Limits(),  # noqa: B008 - frozen
) -> tuple[Archive, Reference]:
    """The image that ``text`` names, and the reference by which to call it.

    The reference is what the archive calls the image, else ``localhost/NAME`` of the file or
    folder; it always has the digest (of a docker-archive: of the manifest that is made for it).

    Raises:
        UsageError: ``text`` is not ``KIND:PATH[:REF]``.
        ImageError: there is no such file, it is no such archive, or has no such image; where
            it has several and REF is missing, the message lists them.
    """
    kind, _, rest = text.partition(":")
    path, _, wanted = rest.partition(":")
    if kind not in KINDS or not path:
        raise UsageError(f"{text!r} is not like oci:FOLDER[:REF] or docker-archive:FILE[:REF]")
    files = _files(kind, path, stdin, limits)
    choose = saved.choose if kind == "docker-archive" else layout.choose
    chosen = choose(files, wanted or None, limits)
    archive = Archive(files.name, chosen.root, chosen.stored, limits)
    return archive, _reference(chosen.called, path, chosen.root.digest)


def _files(kind: str, path: str, stdin: BinaryIO | None, limits: Limits) -> Files:
    if kind != "oci":
        return Tar.open(path, limits, stdin)
    if not Path(path).is_dir():
        raise NotFound(f"{path}: there is no such folder")
    return Folder(Path(path))


def _reference(called: str | None, path: str, digest: str) -> Reference:
    """What the archive calls its image: a whole name, or a tag; else the file's own name."""
    stem = re.sub(r"(\.tar)?(\.gz)?$", "", Path(path).name.lower())
    own = "localhost/" + (re.sub(r"[^a-z0-9]+", "-", stem).strip("-") or "image")
    if called:
        # An annotation may hold anything: one that is no name is no reason not to read on.
        with contextlib.suppress(ImageRefused):
            name = called if re.search("[:/]", called) else f"{own}:{called}"
            return replace(Reference.parse(name), digest=digest)
    return replace(Reference.parse(own), tag=None, digest=digest)
