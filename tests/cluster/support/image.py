"""slimgate's own image, as its users build it: the repository's Dockerfile, through buildah.

    made = own_image(say)           # once; from the cache after that
    reference = push(registry.host, "slimgate", made.image)

No public registry is asked. The two bases that the Dockerfile names are stood in for by ones
assembled from Debian 13 packages (``bases.py``).

Everything is kept in the cache folder (``build.cache()``), the image under a hash of all that it is
made from, so that a second call takes no time. It takes root, buildah and mmdebstrap.
"""

from __future__ import annotations

import ast
import fcntl
import hashlib
import json
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.cluster import build
from tests.cluster.support import bases as assembly
from tests.cluster.support.bases import EPOCH, run
from tests.support import forge

ROOT = Path(__file__).parents[3]
INPUTS = ("Dockerfile", ".dockerignore", "LICENSE", "requirements.lock", "webhook", "policies")
"""All that the image is made from, besides its bases; below the repository."""
WEEK = 7 * 86400
"""Seconds: another clone of the repository may have an image of its own in the same cache."""
PROGRAMS = ("buildah", "mmdebstrap", "skopeo")
BASES = {"BASE": "localhost/runtime:stand-in", "BUILDER": "localhost/builder:stand-in"}
"""Build argument to the name that its stand-in has in buildah's store: an OCI layout is no FROM."""
Say = Callable[[str], None]


@dataclass(frozen=True)
class Made:
    """An image in an OCI layout."""

    layout: Path

    @property
    def reference(self) -> str:
        """As ``slimgate check`` and buildah take it."""
        return f"oci:{self.layout}"

    @property
    def image(self) -> forge.Image:
        """What ``tests.support.push.push`` takes; in memory."""
        [entry] = json.loads((self.layout / "index.json").read_bytes())["manifests"]
        files = (self.layout / "blobs" / "sha256").iterdir()
        blobs = {f"sha256:{file.name}": file.read_bytes() for file in files}
        layers = json.loads(blobs[entry["digest"]])["layers"]
        digests = [layer["digest"] for layer in layers]
        return forge.Image(entry["digest"], entry["mediaType"], blobs, digests)

    @property
    def digest(self) -> str:
        """Of the manifest."""
        [entry] = json.loads((self.layout / "index.json").read_bytes())["manifests"]
        digest: str = entry["digest"]
        return digest


def obstacle() -> str | None:
    """Why the image cannot be built here; None where it can."""
    if os.geteuid() != 0:
        return "building slimgate's image from Debian packages needs root"
    missing = [name for name in PROGRAMS if shutil.which(name) is None]
    return f"not installed: {', '.join(missing)}" if missing else None


def own_image(say: Say) -> Made:
    """The image of the sources as they are, built now if it has not been.

    Raises:
        subprocess.CalledProcessError: a step failed; what it printed is on stderr.
    """
    with _alone():
        runtime, builder = _bases(say)
        pins = _hash([*_sources(), runtime.digest.encode(), builder.digest.encode()])
        made = Made(_images() / f"slimgate-{pins}")
        if not made.layout.exists():
            say(f"building slimgate's image (a minute or two; kept in {made.layout})")
            build_image(made.layout, runtime, builder)
        _used(made.layout)
        return made


def bases(say: Say) -> tuple[Made, Made]:
    """The runtime base and the builder, assembled now if they have not been."""
    with _alone():
        return _bases(say)


def build_image(layout: Path, runtime: Made, builder: Made) -> None:
    """Build the Dockerfile on these bases, whatever the cache holds."""
    with tempfile.TemporaryDirectory() as work:
        unfinished = Path(work) / "image"
        root, runroot = f"{work}/root", f"{work}/run"
        buildah = ("buildah", "--storage-driver", "vfs", "--root", root, "--runroot", runroot)
        arguments = {"SOURCE_DATE_EPOCH": str(EPOCH)}
        for name, base in (("BASE", runtime), ("BUILDER", builder)):
            arguments[name] = BASES[name]
            store = f"containers-storage:[vfs@{root}+{runroot}]{BASES[name]}"
            run("skopeo", "copy", "--quiet", base.reference, store)
        run(
            *(*buildah, "bud", "--isolation", "chroot", "--pull-never", "--timestamp", str(EPOCH)),
            *(word for pair in arguments.items() for word in ("--build-arg", "=".join(pair))),
            *_pip_mounts(Path(work) / "pip.conf"),
            *("--tag", "slimgate", str(ROOT)),
        )
        run(*buildah, "push", "--format", "oci", "slimgate", f"oci:{unfinished}")
        shutil.move(unfinished, layout)


def _images() -> Path:
    place = build.cache() / "images"
    place.mkdir(parents=True, exist_ok=True)
    return place


@contextmanager
def _alone() -> Iterator[None]:
    """One process at a time builds; the others find it done."""
    with (_images() / ".lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _used(kept: Path) -> None:
    """Note that it was used now, and remove what nobody used for a week."""
    os.utime(kept)
    for old in _images().glob("*-*"):
        if time.time() - old.stat().st_mtime > WEEK:
            shutil.rmtree(old)


def _hash(parts: list[bytes]) -> str:
    return hashlib.sha256(b"".join(hashlib.sha256(part).digest() for part in parts)).hexdigest()[
        :16
    ]


def _sources() -> Iterator[bytes]:
    """Names and contents of the inputs."""
    for name in INPUTS:
        place = ROOT / name
        files = [place] if place.is_file() else sorted(place.rglob("*"))
        for file in files:
            if file.is_file() and "__pycache__" not in file.parts:
                yield str(file.relative_to(ROOT)).encode()
                yield file.read_bytes()


def _pip_mounts(config: Path) -> Iterator[str]:
    """pip in the build goes where pip goes here: nothing of that is in the Dockerfile.

    The settings come in as /etc/pip.conf, and the files and folders that they name at the same
    places; both only while the build runs.
    """
    listed = run(sys.executable, "-m", "pip", "config", "list")
    settings: dict[str, str] = {}
    for line in listed.splitlines():  # like :env:.cert='…'
        key, _, value = line.partition("=")
        settings[key.rpartition(".")[2]] = ast.literal_eval(value)
    lines = (f"{key} = " + "\n  ".join(value.split("\n")) for key, value in settings.items())
    config.write_text("\n".join(("[global]", *lines, "")))
    yield from ("--volume", f"{config}:/etc/pip.conf:ro")
    words = {word for value in settings.values() for word in value.split()}
    for place in sorted(word for word in words if word.startswith("/") and Path(word).exists()):
        yield from ("--volume", f"{place}:{place}:ro")


def _bases(say: Say) -> tuple[Made, Made]:
    own = Path(assembly.__file__).read_bytes()
    place = _images() / f"bases-{_hash([own])}"
    if not place.exists():
        say(f"assembling the bases from Debian packages (half a minute; kept in {place})")
        with tempfile.TemporaryDirectory(dir=_images()) as work:
            unfinished = Path(work)
            assembly.assemble(unfinished, tags=BASES)
            unfinished.chmod(0o755)
            shutil.copytree(unfinished, place)
    _used(place)
    return Made(place / "runtime"), Made(place / "builder")


def main() -> None:
    """Build it, and say where it is."""
    made = own_image(print)
    print(made.reference, made.digest)


if __name__ == "__main__":
    main()
