"""Chapter 2: manifests, indexes, and what they name."""

from __future__ import annotations

import bz2
import gzip
import hashlib
import json
import lzma

from tests.catalogue.case import (
    FAILS,
    FINE,
    INTEGRITY,
    LIMIT,
    MALFORMED,
    NOT_FOUND,
    SHELL,
    UNSUPPORTED,
    Case,
    denied,
    found,
)
from tests.catalogue.images import (
    GZIP,
    SH,
    app,
    app_for,
    bare,
    described,
    edited,
    indexed,
    manifest_text,
    nested,
    repeated,
    sent_as,
    stored,
    tar,
    without,
)
from tests.support import forge
from tests.support.forge import OCI_INDEX, OCI_LAYER
from tests.support.samples import built, program

DOCKER = "application/vnd.docker.distribution.manifest.v2+json"
SCHEMA1 = "application/vnd.docker.distribution.manifest.v1+prettyjws"
DOCKER_LAYER = "application/vnd.docker.image.rootfs.diff.tar"
FOREIGN = "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip"
DOES_NOT_START = found(denied="runnable architecture")
NO_IMAGE = "no image: it does not run"
METADATA = "http://169.254.169.254/latest/meta-data/"
GOOD, BAD = app(), app([SH])
ARM, ARM_BAD = app_for("arm64"), app_for("arm64", [SH])
WINDOWS = bare(os="windows", user="ContainerAdministrator", layer_media_type=FOREIGN)
AMD64 = "linux/amd64"
ON_WINDOWS = "no user → " + denied(
    "nonRoot runsAsRoot",
    *(f"{check} unsupported" for check in ("noShell", "noPackageManager", "noBuildTools")),
    "noSetuid unsupported",
)
CLEAN = tar(program("opt/tool"))
DIRTY = tar(SH)


def artifact(config_type: str, layer_type: str = OCI_LAYER + "+gzip"):
    """Something in a registry that is no container image, in the shape of one."""
    plain = app(layer_media_type=layer_type)
    return manifest_text(plain, forge.OCI_CONFIG, config_type)


def both_lists() -> forge.Image:
    """An index that is a manifest, too."""
    index = indexed((GOOD, AMD64))()
    body = json.dumps(json.loads(index.body) | {"layers": [], "config": {}}).encode()
    return forge.Image(forge.sha256(body), OCI_INDEX, {**index.blobs, forge.sha256(body): body})


def claimed(diff_ids_of: bytes, *layers: bytes):
    """An image whose config claims that its last layers are all ``diff_ids_of``."""

    def made() -> forge.Image:
        plain = app(*layers)()
        config = json.loads(plain.blobs[json.loads(plain.body)["config"]["digest"]])
        ids = config["rootfs"]["diff_ids"][: -len(layers)]
        ids += [forge.sha256(diff_ids_of)] * len(layers)
        rootfs = {"type": "layers", "diff_ids": ids}
        return edited(lambda: plain, config={"rootfs": rootfs})()

    return made


def by_sha512(tar: bytes, promised: bytes | None = None):
    """An image whose last layer is named by another algorithm."""

    def made() -> forge.Image:
        plain = app(tar)()
        blob = plain.blobs[plain.layers[-1]]
        digest = "sha512:" + hashlib.sha512(promised or blob).hexdigest()
        named = described(lambda: plain, digest=digest)()
        named.blobs[digest] = blob
        return named

    return made


def one_of(first: str, second: str) -> str:
    """The sentence of an index: amd64, arm64."""
    return f"linux/amd64: {first}; linux/arm64: {second}"


CASES = (
    Case(
        "28 a manifest with manifests",
        edited(GOOD, manifests=[]),
        "whatever it asks for",
        "refused (CVE-2021-41190)",
        MALFORMED,
    ),
    Case(
        "28b an index with layers",
        both_lists,
        "whatever it asks for",
        "refused (CVE-2021-41190)",
        MALFORMED,
    ),
    Case(
        "28c sent as an index",
        sent_as(GOOD, OCI_INDEX),
        "what the body says",
        "the header decides: an index with layers is refused",
        MALFORMED,
    ),
    Case(
        "28d another mediaType inside",
        sent_as(GOOD, DOCKER),
        "what the body says",
        "refused",
        MALFORMED,
    ),
    Case(
        "28e no mediaType inside",
        edited(BAD, mediaType=None),
        "a crash",
        "the header decides",
        SHELL,
    ),
    Case(
        "29 layers twice",
        manifest_text(BAD, '"layers": [', '"layers": [], "layers": ['),
        "one list",
        "Go merges them",
        MALFORMED,
    ),
    Case(
        "29b layers and Layers",
        manifest_text(GOOD, '"layers": [', '"Layers": [], "layers": ['),
        "one list",
        "Go takes both",
        MALFORMED,
    ),
    Case(
        "30 diff_ids of a dirty image",
        claimed(DIRTY, CLEAN),
        "clean",
        "a node that has that chain runs it, and fetches nothing",
        INTEGRITY,
    ),
    Case(
        "31 too few diff_ids",
        edited(BAD, config={"rootfs": {"type": "layers", "diff_ids": []}}),
        "clean",
        FAILS,
        MALFORMED,
    ),
    Case("31b a wrong diff_id", claimed(b"nothing", CLEAN), "clean", FAILS, INTEGRITY),
    Case(
        "32 one diff_id, two layers",
        claimed(CLEAN, CLEAN, DIRTY),
        "clean: it is cached",
        FAILS,
        INTEGRITY,
    ),
    Case(
        "33 a clean amd64, a bad arm64",
        indexed((GOOD, AMD64), (ARM_BAD, "linux/arm64")),
        "clean",
        "the node decides",
        one_of(FINE, SHELL),
    ),
    Case(
        "33b of two equal ones the first is bad",
        indexed((BAD, AMD64), (GOOD, AMD64)),
        "the last one: clean",
        "the first one runs",
        f"linux/amd64: {SHELL}; linux/amd64: {FINE}",
    ),
    Case(
        "33c and of two the second",
        indexed((GOOD, AMD64), (BAD, AMD64)),
        "the last one: a shell",
        "the first one runs; slimgate judges both",
        f"linux/amd64: {FINE}; linux/amd64: {SHELL}",
    ),
    Case(
        "33d no amd64, but a bad 386",
        indexed((app_for("386", [SH]), "linux/386"), (ARM, "linux/arm64")),
        "clean, or not for these nodes",
        "amd64 nodes run it",
        found("shell /bin/sh by path", denied="noShell shell"),
        nodes=(AMD64,),
    ),
    Case(
        "33e an entry without a platform",
        indexed((BAD, None)),
        "none fits",
        "every node takes it",
        SHELL,
    ),
    Case(
        "33f an entry that lies of its platform",
        indexed((ARM_BAD, AMD64), (ARM, "linux/arm64")),
        "the config's: arm64",
        "the entry's counts",
        f"linux/amd64: {SHELL}, runnable architecture; linux/arm64: {FINE}",
    ),
    Case(
        "33g the os in capitals", indexed((BAD, "Linux/amd64")), "none fits", "it is linux", SHELL
    ),
    Case("33h three deep", nested(BAD, 3), "not looked for", "containerd walks them", SHELL),
    Case("33i four deep", nested(BAD, 4), "it hangs", "containerd walks them", LIMIT),
    Case("33j a bomb in width", nested(BAD, 3, 15), "it hangs", "containerd walks them", LIMIT),
    Case(
        "33k an image annotated as an attestation",
        indexed(
            (BAD, AMD64),
            annotations=[{"vnd.docker.reference.type": "attestation-manifest"}],
        ),
        "no image",
        "the platform counts: it runs",
        SHELL,
    ),
    Case(
        "33l a sound arm64 under amd64",
        indexed((ARM, AMD64)),
        "fine: arm64",
        "amd64 nodes take it, and cannot start it",
        DOES_NOT_START,
        nodes=(AMD64,),
    ),
    Case(
        "33m no index, and no other node",
        ARM,
        "fine: arm64",
        "amd64 nodes take it, and cannot start it",
        DOES_NOT_START,
        nodes=(AMD64,),
    ),
    Case(
        "34 attestations only",
        indexed((GOOD, "unknown/unknown")),
        "no user: root",
        NO_IMAGE,
        UNSUPPORTED,
    ),
    Case(
        "34b an attestation itself",
        app(layer_media_type="application/vnd.in-toto+json"),
        "no user: root",
        NO_IMAGE,
        UNSUPPORTED,
    ),
    Case(
        "34c a cosign signature",
        app(layer_media_type="application/vnd.dev.cosign.simplesigning.v1+json"),
        "no user: root",
        NO_IMAGE,
        UNSUPPORTED,
    ),
    Case(
        "34d a helm chart",
        artifact("application/vnd.cncf.helm.config.v1+json"),
        "no user: root",
        NO_IMAGE,
        UNSUPPORTED,
    ),
    Case(
        "34e a WebAssembly module",
        artifact("application/vnd.wasm.config.v0+json", "application/wasm"),
        "no user: root",
        NO_IMAGE,
        UNSUPPORTED,
    ),
    Case(
        "34f an empty config",
        artifact("application/vnd.oci.empty.v1+json"),
        "no user: root",
        NO_IMAGE,
        UNSUPPORTED,
    ),
    Case("35 schema 1", sent_as(GOOD, SCHEMA1), "a crash", "containerd 2 refuses it", UNSUPPORTED),
    Case(
        "35b schema 1 under another name",
        edited(GOOD, schemaVersion=1, fsLayers=[]),
        "a crash",
        "refused",
        UNSUPPORTED,
    ),
    Case(
        "36 a Windows index",
        indexed((WINDOWS, "windows/amd64")),
        "fine: not uid 0",
        "no Linux node runs it",
        ON_WINDOWS,
    ),
    Case("36b a Windows image", WINDOWS, "fine: not uid 0", "no Linux node runs it", ON_WINDOWS),
    Case(
        "36c whose base the registry does not have",
        without(WINDOWS, lambda manifest: manifest["layers"][0]),
        "a crash",
        "no Linux node runs it",
        NOT_FOUND,
    ),
    Case(
        "37 a foreign layer",
        app([SH], layer_media_type=FOREIGN),
        "it is skipped",
        "it is unpacked",
        SHELL,
    ),
    Case(
        "37b a layer with urls",
        described(BAD, urls=[METADATA]),
        "it is fetched from there",
        "containerd dials it; slimgate does not",
        SHELL,
    ),
    Case(
        "37c a layer at its urls only",
        without(described(BAD, urls=[METADATA]), lambda manifest: manifest["layers"][-1]),
        "it is fetched from there",
        "containerd dials it; slimgate does not",
        NOT_FOUND,
    ),
    Case(
        "38 no such config",
        without(GOOD, lambda manifest: manifest["config"]),
        "no user: root",
        FAILS,
        NOT_FOUND,
    ),
    Case(
        "38b no such layer",
        without(GOOD, lambda manifest: manifest["layers"][-1]),
        "clean",
        FAILS,
        NOT_FOUND,
    ),
    Case("38c a size too big", described(GOOD, size=9999), "clean", FAILS, INTEGRITY),
    Case("38d a size too small", described(GOOD, size=99), "clean", FAILS, INTEGRITY),
    Case("38e a negative size", described(GOOD, size=-1), "clean", FAILS, MALFORMED),
    Case(
        "38f sha512",
        by_sha512(CLEAN),
        "an error",
        "containerd pulls it, older ones refuse",
        FINE,
    ),
    Case("38g sha512 of something else", by_sha512(CLEAN, DIRTY), "clean", FAILS, INTEGRITY),
    Case("38h md5", described(GOOD, digest="md5:" + "0" * 32), "a crash", FAILS, UNSUPPORTED),
    Case(
        "38i a digest that is a path",
        described(GOOD, digest="sha256:../../../etc/passwd"),
        "a file of its own",
        FAILS,
        MALFORMED,
    ),
    Case(
        "39 no layers",
        built,
        "clean",
        "nothing that could be started",
        found(user="65532:0", denied="runnable commandMissing"),
    ),
    Case(
        "39b 130 layers",
        repeated(app(CLEAN), 128),
        "fine",
        "more than an overlay mount's options hold",
        found(denied="size layers"),
    ),
    Case("39c 20,000 layers", repeated(GOOD, 20_000), "it hangs", FAILS, LIMIT),
    Case(
        "39d one layer 1,000 times",
        repeated(GOOD, 1_000),
        "it hangs",
        "no overlay has so many",
        LIMIT,
    ),
    Case(
        "39e one layer 30 times",
        repeated(BAD, 30),
        "fine",
        "it is fetched once",
        SHELL,
    ),
    Case(
        "39f a layer of no bytes",
        app(b"", compression="none", layer_media_type=DOCKER_LAYER),
        "an empty layer",
        "the pull fails",
        MALFORMED,
    ),
    Case("39g a layer of 1,024 zeros", app(bytes(1024)), "an error", "an empty layer", FINE),
    Case(
        "40 zstd under +gzip",
        app([SH], compression="zstd", layer_media_type=GZIP),
        "an error",
        "the first bytes decide: unpacked",
        SHELL,
    ),
    Case(
        "40b gzip under Docker's plain tar",
        app([SH], layer_media_type=DOCKER_LAYER),
        "an error",
        "the first bytes decide: unpacked",
        SHELL,
    ),
    Case(
        "40c gzip under OCI's plain tar",
        app([SH], layer_media_type=OCI_LAYER),
        "unpacked",
        FAILS,
        MALFORMED,
    ),
    Case("40d xz", stored(DIRTY, lzma.compress(DIRTY)), "unpacked", FAILS, UNSUPPORTED),
    Case("40e bzip2", stored(DIRTY, bz2.compress(DIRTY)), "unpacked", FAILS, UNSUPPORTED),
    Case(
        "40f an encrypted layer",
        app([SH], layer_media_type=GZIP + "+encrypted"),
        "it is skipped",
        "needs a key",
        UNSUPPORTED,
    ),
    Case(
        "40g an EROFS layer",
        described(BAD, mediaType="application/vnd.erofs.layer.v1"),
        "it is skipped",
        "a layer, for some nodes",
        UNSUPPORTED,
    ),
    Case(
        "40h an unknown layer type",
        described(BAD, mediaType="application/vnd.oci.image.layer.v1.foo"),
        "it is skipped",
        FAILS,
        UNSUPPORTED,
    ),
    Case(
        "40i raw tar under +gzip",
        stored(DIRTY, DIRTY),
        "an error",
        "the first bytes decide: unpacked",
        SHELL,
    ),
    Case(
        "40j gzip twice",
        stored(DIRTY, gzip.compress(gzip.compress(DIRTY, mtime=0), mtime=0)),
        "unpacked",
        FAILS,
        MALFORMED,
    ),
    Case(
        "40k a Docker manifest",
        sent_as(edited(BAD, mediaType=DOCKER), DOCKER),
        "the same",
        "an image as any other",
        SHELL,
    ),
)
