from __future__ import annotations

import io
import json
import os
import shutil
import subprocess
import tarfile
import time
from dataclasses import replace
from pathlib import Path

import pytest

from tests.registry.conftest import layer_of, soon
from tests.support import forge
from webhook.errors import (
    DeadlineExceeded,
    ImageError,
    IntegrityError,
    LimitExceeded,
    Malformed,
    NotFound,
    UsageError,
)
from webhook.gather.source import ImageSource
from webhook.image.digest import verified
from webhook.image.manifest import Descriptor, Manifest, parse_manifest
from webhook.image.reference import Reference
from webhook.limits import Deadline, Limits
from webhook.registry.archive import is_archive, open_archive

ANY = Reference.parse("localhost/any")


def tarred(path, files):
    """A tar of name → bytes."""
    path.write_bytes(forge.tar([forge.file(name, body) for name, body in files.items()]))
    return path


def packed(folder, path):
    """A folder as a tar."""
    with tarfile.open(path, "w") as archive:
        archive.add(folder, arcname=".")
    return path


def saved(
    image, *, tags=("team/app:1",), rename=lambda digest: digest[7:] + "/layer.tar", **fields
):
    """What docker save would write of a forged image."""
    manifest = json.loads(image.body)
    config = manifest["config"]["digest"]
    files = {config[7:] + ".json": image.blobs[config]}
    files |= {rename(digest): image.blobs[digest] for digest in image.layers}
    entry = {
        "Config": config[7:] + ".json",
        "RepoTags": list(tags),
        "Layers": [rename(digest) for digest in image.layers],
    }
    return files | {"manifest.json": json.dumps([{**entry, **fields}]).encode()}


def whole(source, reference):
    """The image as a reader would have it: every blob proved."""
    document = source.resolve(reference, soon())
    manifest = parse_manifest(document.body, document.media_type, Limits())
    assert isinstance(manifest, Manifest)
    read = [
        verified(source.blob(reference, one, soon()), one, 1 << 30)
        for one in (manifest.config, *manifest.layers)
    ]
    return manifest, read[0], read[1:]


def blobs_of(image):
    return [image.blobs[digest] for digest in image.layers]


def test_what_is_an_archive():
    assert is_archive("oci:x")
    assert is_archive("docker-archive:-")
    assert not any(map(is_archive, ("oci", "oci/x:1", "registry.example/x:1", "docker.io/x", "")))


@pytest.mark.parametrize("text", ["", "oci", "oci:", "oci::1", "tar:x", "docker://alpine"])
def test_wrong_usage(text):
    with pytest.raises(UsageError, match="not like"):
        open_archive(text)


# --- oci: and oci-archive:


@pytest.fixture(params=["oci", "oci-archive"])
def layout(request, tmp_path):
    """Write a layout of either kind and give its argument."""

    def write(folder):
        if request.param == "oci":
            return f"oci:{folder}"
        return f"oci-archive:{packed(folder, tmp_path / 'layout.tar')}"

    return write


def test_layout(image, layout, tmp_path):
    source, reference = open_archive(
        layout(forge.write_layout(tmp_path / "build", image, tag="1.0"))
    )
    is_source: ImageSource = source

    _, _, layers = whole(is_source, reference)

    assert source.root.digest == image.digest
    assert layers == blobs_of(image)
    assert (reference.registry, reference.tag) == ("localhost", "1.0")
    assert reference.digest == image.digest


@pytest.mark.parametrize(
    ("annotations", "expected"),
    [
        ({"org.opencontainers.image.ref.name": "1.0"}, "localhost/build:1.0"),
        ({"org.opencontainers.image.ref.name": "quay.io/team/app:1"}, "quay.io/team/app:1"),
        ({"org.opencontainers.image.ref.name": "busybox:1.37"}, "docker.io/library/busybox:1.37"),
        ({"org.opencontainers.image.ref.name": "1", "io.containerd.image.name": "quay.io/a/b:1"},
         "quay.io/a/b:1"),
        ({"org.opencontainers.image.ref.name": "My Image!"}, "localhost/build"),
        ({}, "localhost/build"),
    ],
)  # fmt: skip
def test_what_a_layouts_image_is_called(image, tmp_path, annotations, expected):
    folder = forge.write_layout(tmp_path / "Build", image)
    index = json.loads((folder / "index.json").read_text())
    index["manifests"][0]["annotations"] = annotations
    (folder / "index.json").write_text(json.dumps(index))

    _, reference = open_archive(f"oci:{folder}")

    assert str(reference) == f"{expected}@{image.digest}"


@pytest.fixture
def several(image, tmp_path):
    """A layout of two images, ``one`` and ``two``."""
    other = forge.image([[forge.file("other", b"2")]])
    folder = forge.write_layout(tmp_path / "build", image, tag="one")
    first = json.loads((folder / "index.json").read_text())
    forge.write_layout(tmp_path / "second", other, tag="two")
    second = json.loads((tmp_path / "second" / "index.json").read_text())
    first["manifests"] += second["manifests"]
    (folder / "index.json").write_text(json.dumps(first))
    shutil.copytree(tmp_path / "second" / "blobs", folder / "blobs", dirs_exist_ok=True)
    return folder, {"one": image, "two": other}


def rename(folder, *names):
    """Call the entries of a layout otherwise; one more name than entries calls the first again."""
    index = json.loads((folder / "index.json").read_text())
    entries = index["manifests"] + index["manifests"][:1]
    annotations = [{"org.opencontainers.image.ref.name": name} for name in names]
    index["manifests"] = [
        {**entry, "annotations": given} for entry, given in zip(entries, annotations, strict=False)
    ]
    (folder / "index.json").write_text(json.dumps(index))


def test_a_name_given_twice_is_the_first(several, layout):
    """As skopeo has it: what is judged is what is pushed."""
    folder, images = several
    rename(folder, "same", "same")
    assert open_archive(f"{layout(folder)}:same")[0].root.digest == images["one"].digest


def test_one_image_of_several_names_need_not_be_chosen(image, layout, tmp_path):
    folder = forge.write_layout(tmp_path / "build", image)
    rename(folder, "1.0", "latest")
    assert open_archive(layout(folder))[0].root.digest == image.digest


def test_one_of_several(several, layout):
    folder, images = several
    argument = layout(folder)
    for name, one in images.items():
        assert open_archive(f"{argument}:{name}")[0].root.digest == one.digest
    with pytest.raises(NotFound, match="choose one with :REF of: 'one', 'two'"):
        open_archive(argument)
    with pytest.raises(NotFound, match="no image 'three'; it has: 'one', 'two'"):
        open_archive(f"{argument}:three")


def test_a_layout_that_is_itself_the_index(image, layout, tmp_path):
    """As apko writes one image for several platforms."""
    other = forge.image([[forge.file("other", b"2")]], architecture="arm64")
    index = forge.index([(image, {"os": "linux", "architecture": "amd64"}),
                         (other, {"os": "linux", "architecture": "arm64"})])  # fmt: skip
    folder = forge.write_layout(tmp_path / "build", index)
    (folder / "index.json").write_bytes(index.body)

    source, _ = open_archive(layout(folder))
    document = source.resolve(ANY, soon())
    entries = parse_manifest(document.body, document.media_type, Limits()).entries

    assert document.digest == index.digest
    found = [source.document(ANY, entry, soon()).digest for entry in entries]
    assert found == [image.digest, other.digest]


def test_another_digest_than_the_archive_has(image, tmp_path):
    source, reference = open_archive(f"oci:{forge.write_layout(tmp_path / 'build', image)}")
    other = Reference.parse(f"localhost/any@sha256:{'0' * 64}")
    assert source.resolve(reference, soon()).digest == image.digest
    with pytest.raises(NotFound, match="not sha256:0000"):
        source.resolve(other, soon())


def damaged(folder, digest, body):
    path = folder / "blobs" / digest.replace(":", "/")
    path.unlink() if body is None else path.write_bytes(body)


@pytest.mark.parametrize(
    ("which", "change", "error"),
    [
        pytest.param("manifest", lambda _: None, NotFound, id="no manifest"),
        pytest.param("manifest", lambda body: body + b" ", IntegrityError, id="another manifest"),
        pytest.param("layer", lambda _: None, NotFound, id="no layer"),
        pytest.param("layer", lambda body: body[:-1], IntegrityError, id="a shorter layer"),
        pytest.param("layer", lambda body: body + b"x", IntegrityError, id="a longer layer"),
        pytest.param("layer", lambda body: body[:-1] + b"x", IntegrityError, id="another layer"),
    ],
)
def test_a_damaged_layout(image, layout, tmp_path, which, change, error):
    folder = forge.write_layout(tmp_path / "build", image)
    digest = image.digest if which == "manifest" else image.layers[0]
    damaged(folder, digest, change(image.blobs[digest]))
    with pytest.raises(error):
        whole(*open_archive(layout(folder)))


@pytest.mark.parametrize(
    ("name", "body", "error"),
    [
        pytest.param("index.json", None, Malformed, id="no index"),
        pytest.param("oci-layout", None, Malformed, id="no oci-layout"),
        pytest.param("index.json", b"{", Malformed, id="no JSON"),
        pytest.param(
            "index.json", b'{"schemaVersion": 2, "manifests": []}', Malformed, id="no image"
        ),
        pytest.param("index.json", b" " * (5 << 20), LimitExceeded, id="too large"),
        pytest.param(
            "index.json",
            b'{"schemaVersion": 2, "manifests": [{"size": 1, "digest": "sha256:../../x"}]}',
            Malformed,
            id="a digest that climbs",
        ),
    ],
)
def test_what_is_no_layout(image, layout, tmp_path, name, body, error):
    folder = forge.write_layout(tmp_path / "build", image)
    (folder / name).unlink()
    if body is not None:
        (folder / name).write_bytes(body)
    with pytest.raises(error):
        open_archive(layout(folder))


def test_a_missing_folder(tmp_path):
    with pytest.raises(NotFound, match="no such folder"):
        open_archive(f"oci:{tmp_path / 'none'}")


@pytest.mark.parametrize("difference", [-1, 1])
def test_a_blob_of_another_size_is_not_begun(image, tmp_path, difference):
    source, reference = open_archive(f"oci:{forge.write_layout(tmp_path / 'build', image)}")
    layer = layer_of(image)
    wrong = replace(layer, size=layer.size + difference)
    with pytest.raises(IntegrityError, match=f"has {layer.size} bytes"):
        next(source.blob(reference, wrong, soon()))


def test_reading_stops_at_the_deadline(image, tmp_path):
    source, reference = open_archive(f"oci:{forge.write_layout(tmp_path / 'build', image)}")
    over = Deadline.after(-1, time.monotonic)
    with pytest.raises(DeadlineExceeded):
        list(source.blob(reference, layer_of(image), over))


# --- docker-archive:


def test_saved(image, tmp_path):
    path = tarred(tmp_path / "app.tar", saved(image))

    source, reference = open_archive(f"docker-archive:{path}")
    manifest, config, layers = whole(source, reference)

    assert layers == blobs_of(image)
    assert config == image.blobs[manifest.config.digest]
    assert [one.digest for one in manifest.layers] == image.layers
    assert manifest.layers[0].media_type == "application/vnd.docker.image.rootfs.diff.tar"
    assert str(reference) == f"docker.io/team/app:1@{source.root.digest}"


@pytest.mark.parametrize("compression", ["gzip", "zstd"])
def test_saved_with_compressed_layers(tmp_path, compression):
    """As kaniko and Bazel write them: the digest is of what is stored."""
    image = forge.image([[forge.file("a", b"1")], [forge.file("b", b"2")]], compression=compression)
    source, reference = open_archive(f"docker-archive:{tarred(tmp_path / 'a.tar', saved(image))}")

    manifest, _, layers = whole(source, reference)

    assert [one.digest for one in manifest.layers] == image.layers
    assert manifest.layers[0].media_type.endswith("." + compression)
    assert layers == blobs_of(image)


def test_saved_is_the_same_each_time(image, tmp_path):
    paths = [tarred(tmp_path / name, saved(image)) for name in ("a.tar", "b.tar")]
    digests = {open_archive(f"docker-archive:{path}")[0].root.digest for path in paths}
    assert len(digests) == 1


def test_saved_on_standard_input(image):
    files = [forge.file(name, body) for name, body in saved(image).items()]
    source, reference = open_archive("docker-archive:-", stdin=io.BytesIO(forge.tar(files)))
    assert whole(source, reference)[2] == blobs_of(image)


def test_saved_with_a_layer_that_is_a_link(tmp_path):
    """Docker links a layer that it has written already."""
    image = forge.image([[forge.file("a", b"1")], [forge.file("a", b"1")]], compression="none")
    files = saved(image, Layers=["first/layer.tar", "second/layer.tar"])
    entries = [forge.file(name, body) for name, body in files.items() if "layer.tar" not in name]
    entries += [forge.file("first/layer.tar", blobs_of(image)[0]),
                forge.symlink("second/layer.tar", "../first/layer.tar")]  # fmt: skip
    path = tmp_path / "a.tar"
    path.write_bytes(forge.tar(entries))

    assert whole(*open_archive(f"docker-archive:{path}"))[2] == blobs_of(image)


def test_saved_with_a_layer_that_is_not_what_the_config_says(image, tmp_path):
    files = saved(image)
    layer = image.layers[0][7:] + "/layer.tar"
    files[layer] = files[layer][:-1] + b"x"
    source, reference = open_archive(f"docker-archive:{tarred(tmp_path / 'a.tar', files)}")
    with pytest.raises(IntegrityError):
        whole(source, reference)


@pytest.fixture
def two(image, tmp_path):
    other = forge.image([[forge.file("other", b"2")]])
    first, second = saved(image, tags=("one:1", "uno:1")), saved(other, tags=())
    images = json.loads(first["manifest.json"]) + json.loads(second["manifest.json"])
    files = first | second | {"manifest.json": json.dumps(images).encode()}
    return f"docker-archive:{tarred(tmp_path / 'two.tar', files)}", image, other


def test_one_of_several_saved(two):
    argument, image, other = two
    for ref, one in (
        ("one:1", image),
        ("docker.io/library/uno:1", image),
        ("@0", image),
        ("@1", other),
    ):
        assert whole(*open_archive(f"{argument}:{ref}"))[2] == blobs_of(one)
    with pytest.raises(
        NotFound, match=r"choose one with :REF of: .*library/one:1, .*uno:1, @0, @1"
    ):
        open_archive(argument)
    for ref in ("three", "@2"):
        with pytest.raises(NotFound, match=f"no image '{ref}'"):
            open_archive(f"{argument}:{ref}")


@pytest.mark.parametrize(
    ("name", "body", "error"),
    [
        pytest.param("manifest.json", None, Malformed, id="no manifest.json"),
        pytest.param("manifest.json", b"null", Malformed, id="null"),
        pytest.param("manifest.json", b"[]", Malformed, id="no image"),
        pytest.param("manifest.json", b"{}", Malformed, id="an object"),
        pytest.param("manifest.json", b"[1]", Malformed, id="a number"),
        pytest.param("manifest.json", b"[{}]", Malformed, id="nothing in it"),
        pytest.param("manifest.json", b'[{"Config": "../../etc/passwd"}]', Malformed, id="a climb"),
        pytest.param("manifest.json", b'[]}, {"x": [', Malformed, id="JSON that breaks out"),
        pytest.param("manifest.json", b" " * (5 << 20), LimitExceeded, id="too large"),
        pytest.param("config", b"{", Malformed, id="no config"),
        pytest.param("config", b" " * (9 << 20), LimitExceeded, id="a config too large"),
    ],
)  # fmt: skip
def test_what_is_no_saved_image(image, tmp_path, name, body, error):
    files = saved(image)
    if name == "config":
        name = next(one for one in files if one.endswith(".json") and one != "manifest.json")
    del files[name]
    if body is not None:
        files[name] = body
    with pytest.raises(error):
        open_archive(f"docker-archive:{tarred(tmp_path / 'a.tar', files)}")


def test_saved_with_too_many_layers(image, tmp_path):
    name = image.layers[0][7:] + "/layer.tar"
    path = tarred(tmp_path / "a.tar", saved(image, Layers=[name] * 501))
    with pytest.raises(LimitExceeded, match="501 layers"):
        open_archive(f"docker-archive:{path}")


# --- skopeo says the same


@pytest.mark.skipif(not shutil.which("skopeo"), reason="skopeo is not installed")
@pytest.mark.parametrize("kind", ["oci-archive", "docker-archive", "oci"])
def test_what_skopeo_writes(tmp_path, kind):
    """Copied by it from our layout into each form: the same config, the same files."""
    image = forge.image([[forge.file("a", b"1" * 5000)], [forge.file("b", b"2")]], user="65532")
    folder = forge.write_layout(tmp_path / "from", image, tag="1")
    target = f"{kind}:{tmp_path / 'to'}:registry.example/team/app:2"
    policy = tmp_path / "policy.json"
    policy.write_text('{"default": [{"type": "insecureAcceptAnything"}]}')
    command = [
        "skopeo",
        "--policy",
        policy,
        "--tmpdir",
        tmp_path,
        "copy",
        f"oci:{folder}:1",
        target,
    ]
    subprocess.run(command, check=True, capture_output=True, timeout=60)

    source, reference = open_archive(f"{kind}:{tmp_path / 'to'}")
    manifest, config, layers = whole(source, reference)

    assert str(reference).startswith("registry.example/team/app:2@sha256:")
    assert json.loads(config)["config"]["User"] == "65532"
    tars = [forge.tar([forge.file("a", b"1" * 5000)]), forge.tar([forge.file("b", b"2")])]
    if kind == "docker-archive":
        assert layers == tars
    else:
        assert [one.digest for one in manifest.layers] == image.layers
    assert json.loads(config)["rootfs"]["diff_ids"] == [forge.sha256(one) for one in tars]


# --- real images


def real_images():
    named = os.environ.get("SLIMGATE_REAL_IMAGES")
    return Path(named) if named else Path(__file__).parents[3] / "shared" / "images"


REAL = real_images()
SAVED_IMAGES = {
    "crio-image.tar", "cst-tarball.tar", "dive-docker-image.tar", "dive-kaniko-image.tar",
    "dockle-scratch.tar", "dockle-symbolic.tar", "ggcr-mutate-overwritten_file.tar",
    "ggcr-mutate-source_image.tar", "ggcr-mutate-source_image_with_empty_layer_history.tar",
    "ggcr-mutate-whiteout_dir.tar", "ggcr-mutate-whiteout_image.tar",
    "ggcr-tarball-hello-world-v25.tar", "ggcr-tarball-test_image_1.tar",
    "ggcr-tarball-test_image_2.tar", "ggcr-tarball-test_load_manifest.tar",
    "rulesdocker-image_with_symlinked_layer.tar", "rulesdocker-pause.tar",
    "rulesdocker-small_linux.tar", "scalibr-basic.tar", "scalibr-multiple-files.tar",
    "scalibr-overwrite-file.tar", "scalibr-single-file.tar", "scalibr-symlink-attack.tar",
    "scalibr-symlink-basic.tar", "scalibr-symlink-cycle.tar", "scalibr-symlink-dangling.tar",
    "scalibr-symlink-depth-exceeded.tar", "scalibr-two-files.tar", "scalibr-unpack-permissions.tar",
    "trivy-alpine-310.tar.gz", "trivy-alpine-311.tar.gz",
}  # fmt: skip
SAVED_LAYOUTS = {
    "dive-oci-estargz-image.tar", "dive-oci-gzip-image.tar", "dive-oci-uncompressed-image.tar",
    "dive-oci-zstd-image.tar", "stereoscope-valid-oci.tar",
}  # fmt: skip
needs_real = pytest.mark.skipif(not REAL.is_dir(), reason="SLIMGATE_REAL_IMAGES is not set")


@needs_real
@pytest.mark.parametrize(
    ("kind", "expected"),
    [("docker-archive", SAVED_IMAGES), ("oci-archive", SAVED_LAYOUTS)],
    ids=["docker-archive", "oci-archive"],
)
def test_real_archives(kind, expected):
    """Each is read with every digest proved, or refused with an error of ours."""
    read = set()
    for path in sorted(one for one in REAL.iterdir() if one.is_file()):
        try:
            whole(*open_archive(f"{kind}:{path}"))
        except ImageError:
            continue
        read.add(path.name)
    assert read == expected


@needs_real
def test_real_layouts():
    for path in REAL.glob("busybox-*"):
        manifest, _, layers = whole(*open_archive(f"oci:{path}"))
        assert [forge.sha256(layer) for layer in layers] == [one.digest for one in manifest.layers]
    for path in (REAL / "apko-oci").iterdir():
        source, reference = open_archive(f"oci:{path}")
        index = parse_manifest(
            source.resolve(reference, soon()).body, source.root.media_type, Limits()
        )
        for entry in index.entries:
            assert isinstance(entry, Descriptor)
            assert source.document(reference, entry, soon()).digest == entry.digest
