"""``slimgate inspect`` and ``slimgate files``: what is in an image, as page and as JSON."""

from __future__ import annotations

import io
import json
import tarfile

import pytest

from tests.cli.conftest import one_line
from tests.support import forge
from tests.support.registry import Registry, status
from tests.support.samples import SAMPLES, STORIES

KEYS = {
    "schemaVersion", "reference", "digest", "manifestDigest", "platform", "user", "shells",
    "packageManagers", "buildTools", "interpreters", "packed", "setuid", "size", "created",
    "entrypoint", "cmd", "base", "labels", "problems",
}  # fmt: skip


@pytest.fixture
def index() -> forge.Image:
    """Two platforms, none of them amd64."""
    return forge.index(
        [
            (forge.image(architecture="arm64"), {"os": "linux", "architecture": "arm64"}),
            (forge.image(architecture="s390x"), {"os": "linux", "architecture": "s390x"}),
        ]
    )


def test_json(slimgate, layout):
    """The document of the contract."""
    ran = slimgate("inspect", layout(STORIES["alpine-app"].image), "-o", "json")

    document = ran.json
    assert ran.code == 0
    assert document.keys() >= KEYS
    assert document["digest"] == STORIES["alpine-app"].image.digest
    assert document["user"]["uid"] == 65532
    assert {shell["path"] for shell in document["shells"]} >= {"/bin/busybox", "/bin/sh"}
    assert [layer["createdBy"] for layer in document["size"]["layers"]] == [
        "ADD alpine-minirootfs-3.22.2-x86_64.tar.gz / # buildkit",
        "COPY server /app/server # buildkit",
    ]


def test_text_golden(slimgate, layout, snapshot):
    """The whole page of an image that has everything in it."""
    assert slimgate("inspect", layout(STORIES["alpine-app"].image)).out == snapshot


def test_a_user_who_would_not_start(slimgate, layout):
    """Said once, and no head over layers that are not there."""
    out = slimgate("inspect", layout(forge.image(user="nobody"))).out

    assert 'user         would not start: User "nobody" is a name' in out
    assert "\nlayers " not in out


def test_index(slimgate, layout):
    """Out of an index linux/amd64 is taken, or what --platform says."""
    both = forge.index(
        [
            (forge.image(user="1", architecture="arm64"), {"os": "linux", "architecture": "arm64"}),
            (forge.image(user="2"), {"os": "linux", "architecture": "amd64"}),
        ]
    )
    argument = layout(both)

    default = slimgate("inspect", argument, "-o", "json").json
    arm = slimgate("inspect", argument, "-o", "json", "--platform", "linux/arm64/v8").json

    assert (default["platform"], default["user"]["uid"]) == ("linux/amd64", 2)
    assert (arm["platform"], arm["user"]["uid"]) == ("linux/arm64", 1)
    assert default["digest"] == arm["digest"] == both.digest
    assert default["manifestDigest"] != both.digest


def test_the_only_platform_is_taken(slimgate, layout):
    """One that is not amd64 needs no --platform."""
    ran = slimgate("inspect", layout(forge.image(architecture="arm64")), "-o", "json")

    assert ran.json["platform"] == "linux/arm64"


@pytest.mark.parametrize("arguments", [[], ["--platform", "windows/amd64"]], ids=["default", "one"])
def test_no_such_platform(slimgate, layout, index, arguments):
    """The error lists the platforms there are."""
    ran = slimgate("inspect", layout(index), *arguments)

    assert ran.code == 2
    says = one_line(ran.err)
    assert "linux/arm64, linux/s390x; choose one of these by --platform" in says
    assert "localhost" not in says  # what it is called inside is nobody's registry


@pytest.mark.parametrize(
    ("argument", "reason"),
    [
        pytest.param("oci:missing", "notFound", id="no such folder"),
        pytest.param("127.0.0.1:1/team/app:1", "unreachable", id="nobody listens"),
        pytest.param("Team/App", "malformed", id="no name"),
    ],
)
def test_unreadable(slimgate, argument, reason):
    """Exit 2: one line for people, an object for programs."""
    people = slimgate("inspect", argument)
    program = slimgate("inspect", argument, "-o", "json")

    assert (people.code, program.code) == (2, 2)
    assert one_line(people.err).startswith(f"slimgate: {reason}: ")
    assert people.out == ""
    assert program.json["error"].keys() == {"reason", "detail"}
    assert program.json["error"]["reason"] == reason


def test_a_truncated_layer(slimgate, layout, tmp_path):
    """Proved wrong, and said so."""
    argument = layout("distroless")
    digest = SAMPLES["distroless"].image.layers[0]
    blob = tmp_path / "distroless" / "blobs" / digest.replace(":", "/")
    blob.write_bytes(blob.read_bytes()[:-5])

    ran = slimgate("inspect", argument, "-o", "json")

    assert (ran.code, ran.json["error"]["reason"]) == (2, "integrity")


@pytest.mark.parametrize(
    ("code", "reason"),
    [(401, "unauthorized"), (403, "forbidden"), (404, "notFound"), (429, "rateLimited"),
     (500, "serverError")],
)  # fmt: skip
def test_what_registries_answer(slimgate, code, reason):
    """Each status is its own reason; loopback is spoken to by http without being told."""
    with Registry({}, faults={"*": status(code)}) as registry:
        ran = slimgate("inspect", f"{registry.host}/team/app:1", "-o", "json", "--timeout", "20s")

    assert (ran.code, ran.json["error"]["reason"]) == (2, reason)


def test_from_a_registry(slimgate):
    """The same facts as from a folder, under the registry's name."""
    with Registry({"team/app:1": SAMPLES["distroless"].image}) as registry:
        document = slimgate("inspect", f"{registry.host}/team/app:1", "-o", "json").json

    assert document["reference"] == f"{registry.host}/team/app:1"
    assert document["digest"] == SAMPLES["distroless"].image.digest


def test_verbose_says_what_is_read(slimgate, layout):
    """A line for each layer, on standard error alone."""
    ran = slimgate("inspect", layout("distroless"), "--verbose", "-o", "json")

    assert len([line for line in ran.err.splitlines() if line.startswith("slimgate: read ")]) == 2
    assert ran.json


def test_hostile_labels_and_paths_are_shown_escaped(slimgate, layout):
    """Nothing of an image moves the terminal."""
    image = forge.image(
        [[forge.file("bin/\x1b[2Jsh\u202e/sh", b"\x7fELF", mode=0o4755)]],
        user="0\x1b]0;owned\x07",
        history=["RUN \x1b[31mred"],
        entrypoint=["/bin/\u2066x"],
    )

    ran = slimgate("inspect", layout(image))

    assert ran.code == 0, ran.err
    assert [char for char in ran.out if char != "\n" and not char.isprintable()] == []
    assert r"\x1b[31mred" in ran.out


class TestFiles:
    """The merged file system."""

    @pytest.fixture
    def image(self, layout) -> str:
        """Two layers: a file replaced, one deleted, a link, a big one."""
        return layout(
            forge.image(
                [
                    [
                        forge.folder("etc"),
                        forge.file("etc/motd", b"old"),
                        forge.file("etc/gone", b"x"),
                        forge.file("big", b"b" * 5000, mode=0o4755, uid=7, gid=8),
                    ],
                    [
                        forge.file("etc/motd", b"new!"),
                        forge.whiteout("etc/gone"),
                        forge.symlink("etc/link", "motd"),
                    ],
                ]
            )
        )

    def test_json(self, slimgate, image):
        """One object a line, exactly the keys of the contract."""
        ran = slimgate("files", image, "-o", "json")
        records = {record["path"]: record for record in map(json.loads, ran.out.splitlines())}

        assert ran.code == 0
        assert set(records) - {"/"} == {"/big", "/etc", "/etc/link", "/etc/motd"}
        assert records["/etc/motd"] == {
            "path": "/etc/motd", "type": "file", "mode": "0644", "uid": 0, "gid": 0, "size": 4,
            "link": None, "layer": 1,
            "sha256": forge.sha256(b"new!").removeprefix("sha256:"),
        }  # fmt: skip
        assert (records["/big"]["mode"], records["/big"]["uid"]) == ("4755", 7)
        assert (records["/etc/link"]["type"], records["/etc/link"]["link"]) == ("symlink", "motd")

    def test_text(self, slimgate, image):
        """Like ls -l, with the layer."""
        lines = slimgate("files", image).out.splitlines()

        assert "-rwsr-xr-x         7:8        5,000   0  /big" in lines
        assert "lrwxrwxrwx         0:0            0   1  /etc/link -> motd" in lines

    def test_largest(self, slimgate, image):
        """Largest first."""
        ran = slimgate("files", image, "--largest", "2", "-o", "json")

        assert [json.loads(line)["path"] for line in ran.out.splitlines()] == ["/big", "/etc/motd"]

    def test_unreadable(self, slimgate):
        """One line and exit 2."""
        ran = slimgate("files", "oci:missing")

        assert ran.code == 2
        assert one_line(ran.err).startswith("slimgate: notFound: ")


def test_docker_archive_on_standard_input(slimgate):
    """``docker save | slimgate inspect docker-archive:-``."""
    image = SAMPLES["scratch"].image
    config = json.loads(image.body)["config"]["digest"]
    saved = io.BytesIO()
    with tarfile.open(fileobj=saved, mode="w") as archive:
        manifest = [{"Config": "config.json", "RepoTags": ["team/app:1"], "Layers": ["layer.tar"]}]
        for name, data in (
            ("config.json", image.blobs[config]),
            ("layer.tar", image.blobs[image.layers[0]]),
            ("manifest.json", json.dumps(manifest).encode()),
        ):
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))

    ran = slimgate("inspect", "docker-archive:-", "-o", "json", stdin=saved.getvalue())

    assert ran.code == 0, ran.out
    assert ran.json["reference"].startswith("docker.io/team/app:1@sha256:")
    assert ran.json["user"]["uid"] == 65532
