"""Facts survive the way to bytes and back; what is not just what was written does not open."""

from __future__ import annotations

import re
import zlib
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.catalogue import page
from tests.support import forge
from tests.support.source import ForgedSource
from webhook.errors import ImageError
from webhook.gather.opening import open_image
from webhook.gather.reading import Here
from webhook.gather.source import ImageRequest, Unread
from webhook.image.facts import Files, ImageFacts
from webhook.image.layer import Layer
from webhook.image.manifest import Descriptor
from webhook.image.reference import Reference
from webhook.limits import Deadline, Limits
from webhook.store import codec
from webhook.store.codec import Codec, edition, sealed, unsealed

DEFAULT = Limits()
NAME = "registry.test/tricky:1"
REQUEST = ImageRequest(reference=Reference.parse(NAME))
IMAGES = Codec[tuple[ImageFacts, ...]](tuple[ImageFacts, ...])
LAYERS, FILES = Codec[Layer](Layer), Codec[Files](Files)
APP = forge.image(
    [
        [forge.file("etc/passwd", b"app:x:1000:1000::/:\n"), forge.symlink("bin", "usr/bin")],
        [forge.file(b"usr/bin/\xff".decode("latin-1"), b"#!/bin/sh -e\n", mode=0o4755)],
    ],
    user="app",
    labels={"a": "\U0001f600\x00"},
)


def found(image: forge.Image, limits: Limits = DEFAULT) -> list[tuple[Codec, object]]:
    """All that is found out of an image, each with its codec."""
    source, here = ForgedSource({NAME: image}), Here(limits)
    facts = [
        one
        for one in open_image(source, REQUEST, limits=limits, deadline=Deadline.never())
        if not isinstance(one, Unread)
    ]
    values: list[tuple[Codec, object]] = [(IMAGES, tuple(facts))] if facts else []
    for one in facts:
        layers = [
            here.layer(
                ref,
                source.blob(REQUEST.reference, descriptor(ref), Deadline.never()),
                deadline=Deadline.never(),
                progress=lambda _: None,
            )
            for ref in one.layers
        ]
        values += [(LAYERS, layer) for layer in layers]
        files = here.files(one.config, one.layers, layers)
        values += [(FILES, files)] if isinstance(files, Files) else []
    return values


def descriptor(ref):
    return Descriptor(media_type=ref.media_type, digest=ref.digest, size=ref.compressed)


def test_what_is_found_in_every_image_of_the_catalogue_survives():
    seen = {IMAGES: 0, LAYERS: 0, FILES: 0}
    for case in page.CASES:
        with suppress(ImageError):
            for how, value in found(case.image(), case.limits):
                assert how.decode(how.encode(value)) == value
                seen[how] += 1

    assert min(seen.values()) > 100


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x00",
        zlib.compress(b""),
        zlib.compress(b"\x80"),
        zlib.compress(b"\x90")[:-1],
        zlib.compress(b"\x90") + b"x",
        zlib.compress(b"\x91\xc0"),
        LAYERS.encode(found(APP)[1][1]),
        FILES.encode(found(APP)[3][1]),
    ],
)
def test_what_is_no_such_value_is_refused(data):
    with pytest.raises(ValueError):  # noqa: PT011 - the words are msgspec's and zlib's
        IMAGES.decode(data)


@given(st.data())
def test_made_up_bytes_are_a_value_or_refused(data):
    how, value = data.draw(st.sampled_from(found(APP)))
    written = bytearray(zlib.decompress(how.encode(value)))
    for place in data.draw(st.lists(st.integers(0, len(written) - 1), max_size=4)):
        written[place] = data.draw(st.integers(0, 255))

    with suppress(ValueError):
        how.decode(zlib.compress(bytes(written)))


def test_what_inflates_without_end_is_refused():
    how = Codec[bytes](bytes, most=1 << 20)
    bomb = how.encode(b"x" * ((1 << 20) - 5))
    assert len(how.decode(bomb)) == (1 << 20) - 5

    with pytest.raises(ValueError, match="too big"):
        how.decode(zlib.compress(bytes((1 << 20) + 1)))
    with pytest.raises(ValueError, match="more than 1048576 bytes"):
        how.encode(b"x" * (1 << 20))


@pytest.mark.parametrize("value", [1 << 70, "\udc80", object()])
def test_what_cannot_be_written_says_so(value):
    with pytest.raises(ValueError):  # noqa: PT011 - the words are msgspec's and zlib's
        Codec[object](object).encode(value)


def test_every_changed_byte_breaks_the_seal_and_so_do_another_name_or_key():
    data = sealed(b"facts", name="files/1", key=b"secret")
    assert unsealed(data, name="files/1", key=b"secret") == b"facts"

    wrong = [data[:-1], data + b"x", b"", data[:31]]
    wrong += [data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :] for at in range(len(data))]
    for each in wrong:
        with pytest.raises(ValueError, match="seal"):
            unsealed(each, name="files/1", key=b"secret")
    for name, key in [("files/2", b"secret"), ("files/1", b"another"), ("files/1", b"")]:
        with pytest.raises(ValueError, match="seal"):
            unsealed(data, name=name, key=key)


def test_an_edition_is_of_the_analysis_and_of_what_it_was_told(tmp_path):
    first = edition([Limits()])
    assert re.fullmatch("[0-9a-f]{16}", first)
    assert edition([Limits()]) == first
    assert edition([Limits(layers=3)]) != first

    changed = tmp_path / "shells.py"
    (shells,) = (one for one in codec._SOURCES if one.name == "shells.py")
    changed.write_bytes(shells.read_bytes() + b"# another\n")
    others = [one for one in codec._SOURCES if one != shells]
    assert edition([Limits()], (*others, changed)) != first
