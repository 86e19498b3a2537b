"""The known bases are what their bytes say."""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import tarfile
from dataclasses import replace
from pathlib import Path

import pytest

from tests.checks.subjects import image
from webhook.image import bases
from webhook.image.bases import base_by_layers, base_of, claim_of
from webhook.image.facts import Executable, NotRead, Programs

KNOWN = json.loads((Path(bases.__file__).parent / "bases.json").read_text())["bases"]
REAL = Path(os.environ.get("SLIMGATE_REAL_IMAGES", Path(__file__).parents[3] / "shared" / "images"))


def with_layers(*diff_ids, **changes):
    facts = image(**changes)
    return replace(facts, config=replace(facts.config, diff_ids=diff_ids))


LOADER = Executable(kind="elf")


@pytest.mark.parametrize("known", KNOWN, ids=lambda known: f"{known['name']}-{known['version']}")
def test_known(known):
    """An image that begins with a base's layers stands on it, whatever is above."""
    facts = with_layers(*known["diffIds"], "sha256:" + "7" * 64, read=False)
    base = base_by_layers(facts)
    assert (base.name, base.version, base.proof) == (known["name"], known["version"], "layers")


def test_no_two_alike():
    """Two bases with the same layers could not be told apart."""
    chains = [tuple(known["diffIds"]) for known in KNOWN]
    assert len(set(chains)) == len(chains)


def test_only_as_the_first_layers():
    """Copied in further up, the same layer is no base."""
    (diff_id,) = KNOWN[0]["diffIds"]
    assert base_by_layers(with_layers("sha256:" + "7" * 64, diff_id)) is None


@pytest.mark.parametrize(
    ("contents", "name"),
    [
        pytest.param({}, "scratch", id="one static binary"),
        pytest.param({"os_release": {"ID": "x"}}, None, id="os-release"),
        pytest.param({"package_databases": ("/lib/apk/db/installed",)}, None, id="packages"),
        pytest.param(
            {
                "programs": Programs(
                    executables={"/lib/ld-musl-x86_64.so.1": Executable(kind="elf")}
                )
            },
            None,
            id="musl's loader",
        ),
        pytest.param(
            {"programs": Programs(links={"/lib64/ld-linux-x86-64.so.2": "../lib/ld-2.31.so"})},
            None,
            id="a link to glibc's loader",
        ),
    ],
)
def test_scratch(contents, name):
    """Scratch is where nothing of a distribution is."""
    base = base_of(image(contents=contents))
    assert (base.name if base else None) == name


def test_contents_are_needed():
    """Unknown layers tell nothing before they were read."""
    with pytest.raises(NotRead):
        base_of(image(read=False))


@pytest.mark.parametrize(
    ("release", "claim"),
    [
        ({}, None),
        ({"ID": "wolfi"}, "wolfi"),
        ({"ID": "debian", "NAME": "Debian", "PRETTY_NAME": "Distroless"}, "Distroless"),
    ],
)
def test_claim(release, claim):
    """What os-release says, the longest form of it."""
    assert claim_of(image(contents={"os_release": release}).files) == claim


def published():
    """diff_ids computed from the published bytes, by name and version."""
    for number in ("10", "11"):
        with tarfile.open(REAL / f"trivy-alpine-3{number}.tar.gz") as archive:
            (manifest,) = json.load(archive.extractfile("manifest.json"))
            (layer,) = manifest["Layers"]
            yield "alpine", f"3.{number}", archive.extractfile(layer).read()
    rootfs = REAL / "alpine-minirootfs-3.20-x86_64.tar.gz"
    yield "alpine", "3.20.3", gzip.decompress(rootfs.read_bytes())
    for libc, arch in (
        ("musl", "amd64"),
        ("uclibc", "amd64"),
        ("glibc", "amd64"),
        ("musl", "arm64v8"),
    ):
        yield "busybox", f"1.37.0-{libc}", layer_of(REAL / f"busybox-{libc}-{arch}")


def layer_of(layout):
    def blob(descriptor):
        return (layout / "blobs" / descriptor["digest"].replace(":", "/")).read_bytes()

    index = json.loads((layout / "index.json").read_text())
    (layer,) = json.loads(blob(index["manifests"][0]))["layers"]
    return gzip.decompress(blob(layer))


@pytest.mark.skipif(not REAL.is_dir(), reason=f"no real images in {REAL} (SLIMGATE_REAL_IMAGES)")
def test_published_bytes():
    """Every entry was computed from what was published, and nothing else is listed."""
    computed = {
        (name, version, f"sha256:{hashlib.sha256(layer).hexdigest()}")
        for name, version, layer in published()
    }
    assert {(known["name"], known["version"], *known["diffIds"]) for known in KNOWN} == computed
