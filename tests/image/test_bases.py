"""The known bases are what their bytes say."""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import tarfile
from pathlib import Path

import pytest

from tests.checks.subjects import image
from webhook.errors import UsageError
from webhook.image import bases
from webhook.image.bases import (
    BasesFile,
    KnownBase,
    bases_of,
    by_layers,
    claim_of,
    parse_bases,
    published,
    with_bases,
    written,
)
from webhook.image.facts import Executable, NotRead, Programs

KNOWN = json.loads((Path(bases.__file__).parent / "bases.json").read_text())["bases"]
REAL = Path(os.environ.get("SLIMGATE_REAL_IMAGES", Path(__file__).parents[3] / "shared" / "images"))


SEVEN, EIGHT = ("sha256:" + digit * 64 for digit in "78")
OURS = KnownBase(name="ours", version="1", platform="linux/amd64", diff_ids=(SEVEN, EIGHT))


LOADER = Executable(kind="elf")


@pytest.mark.parametrize("known", KNOWN, ids=lambda known: f"{known['name']}-{known['version']}")
def test_known(known):
    """An image that begins with a base's layers stands on it, whatever is above."""
    (base,) = by_layers((*known["diffIds"], SEVEN), published())
    assert (base.name, base.version, base.proof) == (known["name"], known["version"], "layers")


def test_no_two_alike():
    """Two bases with the same layers could not be told apart."""
    chains = [tuple(known["diffIds"]) for known in KNOWN]
    assert len(set(chains)) == len(chains)


def test_only_as_the_first_layers():
    """Copied in further up, the same layer is no base."""
    (diff_id,) = KNOWN[0]["diffIds"]
    assert by_layers((SEVEN, diff_id), published()) == ()


def test_all_of_its_layers_and_in_their_order():
    assert [str(base) for base in by_layers((SEVEN, EIGHT), [OURS])] == ["ours:1"]
    assert by_layers((SEVEN,), [OURS]) == ()
    assert by_layers((EIGHT, SEVEN), [OURS]) == ()


def test_of_bases_on_bases_the_one_of_most_layers_comes_first():
    below = replace_known(OURS, name="below", diff_ids=(SEVEN,))
    found = by_layers((SEVEN, EIGHT, SEVEN), [below, OURS])
    assert [base.name for base in found] == ["ours", "below"]


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
    bases = bases_of(image(contents=contents))
    assert [base.name for base in bases] == ([name] if name else [])


def test_contents_are_needed():
    """Unknown layers tell nothing before they were read."""
    with pytest.raises(NotRead):
        bases_of(image(read=False))


@pytest.mark.parametrize(
    ("release", "databases", "claim"),
    [
        ({}, (), None),
        ({"ID": "wolfi"}, (), "wolfi"),
        ({"ID": "debian", "NAME": "Debian", "PRETTY_NAME": "Distroless"}, (), "Distroless"),
        (
            {"PRETTY_NAME": "Distroless"},
            ("/var/lib/dpkg/status.d",),
            "Distroless, packages listed as in distroless",
        ),
        ({"NAME": "Wolfi"}, ("/lib/apk/db/installed", "/etc/apko.json"), "Wolfi, built by apko"),
        ({}, ("/etc/apko.json",), "built by apko"),
    ],
)
def test_claim(release, databases, claim):
    """What os-release says, the longest form of it, and what builders leave behind."""
    files = image(contents={"os_release": release, "package_databases": databases}).files
    assert claim_of(files) == claim


def replace_known(known, **fields):
    return KnownBase(**{name: getattr(known, name) for name in known.__struct_fields__} | fields)


def test_a_file_is_read_as_it_was_written():
    file = BasesFile(about="Größe", bases=(OURS, replace_known(OURS, version=None, source="a\n")))
    assert parse_bases(written(file), "bases.json") == file
    assert written(parse_bases(written(file), "bases.json")) == written(file)


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"diffIds": []}, "has no layer with anything in it"),
        ({"diffIds": ["sha256:" + hashlib.sha256(b"").hexdigest()]}, "has no layer with anything"),
        ({"diffIds": ["sha256:" + hashlib.sha256(bytes(1024)).hexdigest()]}, "has no layer with"),
        ({"diffIds": ["sha256:7"]}, "is no diff_id"),
        ({"diffIds": ["sha512:" + "7" * 128]}, "is no diff_id"),
        ({"diffIds": SEVEN}, "Expected `array`"),
        ({"name": "scratch"}, "is no name of a base"),
        ({"name": "Ours"}, "is no name of a base"),
        ({"version": "a b"}, "is no version of a base"),
        ({"platform": "linux"}, "linux"),
        ({"platfrom": "linux/amd64"}, "unknown field `platfrom`"),
    ],
)
def test_what_is_no_base(fields, said):
    base = {"name": "ours", "version": "1", "platform": "linux/amd64", "diffIds": [SEVEN]} | fields
    body = json.dumps({"bases": [base]}).encode()
    with pytest.raises(UsageError, match=r"bases\.json: is no file of bases") as raised:
        parse_bases(body, "bases.json")
    assert said in str(raised.value)


@pytest.mark.parametrize(
    "body",
    [b"", b"[]", b"{}", b"{" * 100_000, b"\xff", b'{"bases": {}}', b" " * (bases.MOST_BYTES + 1)],
    ids=lambda body: repr(body[:10]),
)
def test_what_is_no_file_of_bases(body):
    with pytest.raises(UsageError, match=r"bases\.json: "):
        parse_bases(body, "bases.json")


def test_a_base_is_learned_once_and_keeps_what_it_was():
    newer = replace_known(OURS, diff_ids=(EIGHT,))
    once = with_bases(BasesFile(bases=()), [OURS])
    assert once.bases == (OURS,)
    assert with_bases(once, [replace_known(OURS, source="another day")]).bases == (OURS,)
    assert with_bases(once, [newer]).bases == (OURS, newer)


def test_replacing_forgets_the_same_name_version_and_platform():
    others = (
        replace_known(OURS, name="other"),
        replace_known(OURS, version="2"),
        replace_known(OURS, platform="linux/arm64"),
    )
    newer = replace_known(OURS, diff_ids=(EIGHT,))
    file = BasesFile(bases=(OURS, *others))
    assert with_bases(file, [newer], replacing=True).bases == (*others, newer)


def published_layers():
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
        for name, version, layer in published_layers()
    }
    assert {(known["name"], known["version"], *known["diffIds"]) for known in KNOWN} == computed
