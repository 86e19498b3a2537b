"""Images that the policy lets in, or refuses, each unlike every other."""

from __future__ import annotations

from itertools import count
from typing import Any

from tests.support import forge
from tests.support.samples import PASSWD, program

_NUMBER = count()


def app(*, shell: bool = False, **more: Any) -> forge.Image:
    """One that the policy lets in, or refuses for its shell; none is like another."""
    base = [forge.file("etc/passwd", PASSWD), program("app")]
    own = [forge.file(f"srv/{next(_NUMBER)}", b"x" * 99), *([program("bin/sh")] if shell else [])]
    return forge.image([base, own], user="65532", entrypoint=["/app"], **more)


def layer_of(image: forge.Image) -> str:
    """The path of its last layer, which no other image has."""
    return f"*/blobs/{image.layers[-1]}"
