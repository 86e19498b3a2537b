"""An OCI image layout: ``index.json`` says which images there are, ``blobs/`` has the rest.

Source: image-spec image-layout.md.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from webhook.errors import Malformed, NotFound
from webhook.gather.source import Document
from webhook.image.digest import checked, sha256, verified
from webhook.image.manifest import OCI_INDEX, Descriptor, Index, parse_manifest
from webhook.limits import Limits
from webhook.registry.files import Files, Stored

_REF_NAME = "org.opencontainers.image.ref.name"
_FULL_NAMES = ("io.containerd.image.name", _REF_NAME)


@dataclass(frozen=True, slots=True, kw_only=True)
class Chosen:
    """One image of an archive."""

    root: Document
    stored: Callable[[str], Stored | None]
    """A blob by its digest."""
    called: str | None
    """What the archive calls it: a name, or just a tag."""


def choose(files: Files, wanted: str | None, limits: Limits) -> Chosen:
    """The image that ``wanted`` names, or the only one.

    Raises:
        Malformed: it is no layout.
        NotFound: it has no such image, or several and ``wanted`` is None.
    """
    body = _required(files, "index.json").read(limits.manifest_bytes, "index.json")
    _required(files, "oci-layout")
    index = parse_manifest(body, OCI_INDEX, limits)
    assert isinstance(index, Index)

    def stored(digest: str) -> Stored | None:
        algorithm, _, encoded = checked(digest, files.name).partition(":")
        return files.find(f"blobs/{algorithm}/{encoded}")

    entry = _entry(files.name, index, wanted)
    if entry is None:
        root = Document(body=body, media_type=OCI_INDEX, digest=sha256(body))
        return Chosen(root=root, stored=stored, called=None)
    return Chosen(root=_document(files, stored, entry, limits), stored=stored, called=_name(entry))


def _required(files: Files, name: str) -> Stored:
    found = files.find(name)
    if found is None:
        raise Malformed(f"{files.name} is no OCI layout: it has no {name}")
    return found


def _entry(name: str, index: Index, wanted: str | None) -> Descriptor | None:
    """The entry that is meant; None: the index itself is the image.

    Tools like apko write one image for several platforms as the entries of ``index.json``.
    """
    names: dict[str, Descriptor] = {}
    for one in index.entries:
        if ref := dict(one.annotations).get(_REF_NAME):
            names.setdefault(ref, one)  # of one name given twice, skopeo takes the first, too
    if wanted is not None:
        if wanted not in names:
            raise NotFound(f"{name} has no image {wanted!r}; it has: {_list(names)}")
        return names[wanted]
    if not index.entries:
        raise Malformed(f"{name} holds no image")
    if len({entry.digest for entry in index.entries}) == 1:  # under one name, or under several
        return index.entries[0]
    if not names and all(entry.platform for entry in index.entries):
        return None
    raise NotFound(f"{name} holds several images, choose one with :REF of: {_list(names)}")


def _document(
    files: Files, stored: Callable[[str], Stored | None], entry: Descriptor, limits: Limits
) -> Document:
    found = stored(entry.digest)
    if found is None:
        raise NotFound(f"{files.name} does not hold the manifest {entry.digest}")
    body = verified(found.chunks(), entry, limits.manifest_bytes)
    return Document(body=body, media_type=entry.media_type, digest=entry.digest)


def _name(entry: Descriptor) -> str | None:
    annotations = dict(entry.annotations)
    return next((annotations[key] for key in _FULL_NAMES if annotations.get(key)), None)


def _list(names: dict[str, Descriptor]) -> str:
    """At most ten of them, whatever they are made of."""
    shown = ", ".join(repr(name[:100]) for name in list(names)[:10])
    return (shown or "none with a name") + (", …" if len(names) > 10 else "")  # noqa: PLR2004
