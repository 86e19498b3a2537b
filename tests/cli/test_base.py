"""``slimgate base``: bases are learned from images, and prove what stands on them."""

from __future__ import annotations

import json

import pytest

from tests.support import forge
from tests.support.registry import Registry

BASE = [forge.file("etc/os-release", b'PRETTY_NAME="Ours 1"\n')]
APP = [forge.file("app", b"\x7fELF", mode=0o755)]
POLICY = """\
apiVersion: slimgate.dev/v1alpha1
kind: ImagePolicy
metadata: {name: ours}
spec:
  action: Enforce
  checks: {base: {allow: [ours]}}
"""


@pytest.fixture
def learned(slimgate, layout, file):
    """``ours:1`` is in bases.json, and the policy in ours.yaml."""
    file("ours.yaml", POLICY)
    ran = slimgate("base", "learn", layout(forge.image([BASE]), "base"), "--name", "ours:1")
    assert ran.code == 0
    return ran


@pytest.fixture
def judged(slimgate, layout):
    """Reasons of the findings about an image, bases.json given."""

    def judge(image, name):
        arguments = ("--policy", "ours.yaml", "--bases", "bases.json", "-o", "json")
        ran = slimgate("check", layout(image, name), *arguments)
        return [finding["reason"] for one in ran.decisions for finding in one["findings"]]

    return judge


def test_what_stands_on_a_learned_base_is_proved(learned, judged, slimgate):
    assert "bases.json: ours:1" in learned.out
    assert judged(forge.image([BASE, APP]), "app") == []
    assert "base         ours:1 (proved by its layers), says it is Ours 1" in (
        slimgate("inspect", "oci:app", "--bases", "bases.json").out
    )


@pytest.mark.parametrize(
    "image",
    [
        pytest.param(forge.image([[*BASE, forge.file("etc/motd", b"x")], APP]), id="one file more"),
        pytest.param(forge.image([APP, BASE]), id="the other way round"),
        pytest.param(
            forge.image(
                [[forge.file("etc/os-release", b'PRETTY_NAME="Ours 1"\n')], APP][::-1],
                config={"config": {"Labels": {"org.opencontainers.image.base.name": "ours:1"}}},
            ),
            id="a label and an os-release that say so",
        ),
    ],
)
def test_what_only_looks_like_it_is_not(learned, judged, image):
    assert judged(image, "other") == ["baseUnknown"]


def test_without_the_file_nothing_is_proved(learned, slimgate, layout):
    ran = slimgate("check", layout(forge.image([BASE, APP]), "app"), "--policy", "ours.yaml")
    assert "what it stands on cannot be proved; it claims to be 'Ours 1'" in ran.out


def test_every_platform_is_learned_and_named_by_the_reference(slimgate, tmp_path):
    images = [forge.image([BASE, [forge.file("arch", arch.encode())]], architecture=arch)
              for arch in ("amd64", "arm64")]  # fmt: skip
    index = forge.index(
        [(one, {"os": "linux", "architecture": arch})
         for one, arch in zip(images, ("amd64", "arm64"), strict=True)]
    )  # fmt: skip
    with Registry({"base/ours:1.2": index}) as registry:
        ran = slimgate("base", "learn", f"{registry.host}/base/ours:1.2")
    assert ran.code == 0, ran.err
    bases = json.loads((tmp_path / "bases.json").read_text())["bases"]
    assert [(one["name"], one["version"], one["platform"]) for one in bases] == [
        ("base/ours", "1.2", "linux/amd64"),
        ("base/ours", "1.2", "linux/arm64"),
    ]
    assert bases[0]["from"] == f"{registry.host}/base/ours:1.2@{images[0].digest}"
    listed = slimgate("base", "list", "--bases", "bases.json").out
    assert "base/ours:1.2" in listed
    assert "alpine:3.20.3" in listed


def test_a_tag_that_moved_is_learned_beside_what_it_was_or_instead(learned, slimgate, layout):
    newer = layout(forge.image([[forge.file("newer", b"x")]]), "newer")
    slimgate("base", "learn", newer, "--name", "ours:1")
    assert slimgate("base", "list", "--bases", "bases.json").out.count("ours:1") == 2
    slimgate("base", "learn", newer, "--name", "ours:1", "--replace")
    assert slimgate("base", "list", "--bases", "bases.json").out.count("ours:1") == 1


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["oci:base"], 64, "an archive has no name that policies could use"),
        (["oci:base", "--name", "scratch"], 64, "'scratch' is no name of a base"),
        (["oci:base", "--name", "Ours"], 64, "'Ours' is no name of a base"),
        (["oci:empty", "--name", "empty"], 64, "empty has no layer with anything in it"),
        (["oci:nowhere", "--name", "nowhere"], 2, "nowhere"),
        (["oci:torn", "--name", "torn"], 2, "is not the promised sha256:"),
        (["oci:base", "--name", "ours", "--file", "no/folder/bases.json"], 64, "no/folder"),
    ],
)
def test_what_goes_wrong_is_said_and_the_file_stays(
    learned, slimgate, layout, tmp_path, arguments, code, said
):
    layout(forge.image([]), "empty")
    torn = forge.image([APP])
    layout(torn, "torn")
    blob = tmp_path / "torn" / "blobs" / torn.layers[0].replace(":", "/")
    blob.write_bytes(bytes(reversed(blob.read_bytes())))
    before = (tmp_path / "bases.json").read_bytes()

    ran = slimgate("base", "learn", *arguments)

    assert (ran.code, said in ran.err) == (code, True), ran.err
    assert (tmp_path / "bases.json").read_bytes() == before
    assert [path.name for path in tmp_path.iterdir() if "bases" in path.name] == ["bases.json"]


@pytest.mark.parametrize(
    "command", [("base", "list"), ("inspect", "oci:base"), ("check", "oci:base"), ("serve",)]
)
def test_a_file_that_is_none_of_bases_is_refused(learned, slimgate, file, command):
    file("bad.json", '{"bases": [{"name": "ours", "platform": "linux/amd64", "diffIds": []}]}')
    ran = slimgate(*command, "--bases", "bad.json")
    assert ran.code == 64
    assert "bad.json: is no file of bases: ours has no layer with anything in it" in ran.err
