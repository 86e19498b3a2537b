"""base: proved by layers or by content, unknown where neither proves it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.checks.subjects import found, image, program, subject
from webhook.checks.base import CHECK, BaseName, Bases
from webhook.checks.check import run
from webhook.image.facts import Base, Executable, Programs

GLIBC = Programs(
    executables={
        "/app": Executable(kind="elf"),
        "/lib64/ld-linux-x86-64.so.2": Executable(kind="elf"),
    }
)


def on_alpine(*, read=False):
    facts = image(read=read, contents={"os_release": {"PRETTY_NAME": "Alpine Linux v3.20"}})
    alpine = Base(name="alpine", version="3.20.3", proof="layers")
    return replace(facts, bases=(alpine,))


def on_ours():
    ours = Base(name="ours", version="2", proof="layers")
    return replace(on_alpine(read=True), bases=(ours, *on_alpine().bases))


def allow(*names):
    return Bases(allow=tuple(BaseName.parse(name) for name in names))


@pytest.mark.parametrize(
    ("facts", "allowed", "expected"),
    [
        pytest.param(on_alpine(read=True), ["alpine"], [], id="by name"),
        pytest.param(on_alpine(read=True), ["alpine:3.20.3"], [], id="by release"),
        pytest.param(
            on_alpine(),
            ["alpine:3.21", "scratch"],
            [
                (
                    "baseNotAllowed",
                    (
                        "it stands on alpine:3.20.3 (proved by its layers), which is none of: "
                        "alpine:3.21, scratch"
                    ),
                )
            ],
            id="another release",
        ),
        pytest.param(on_ours(), ["alpine"], [], id="a base on a base, by the lower one"),
        pytest.param(on_ours(), ["ours:2"], [], id="a base on a base, by the upper one"),
        pytest.param(image(), ["scratch"], [], id="scratch"),
        pytest.param(
            image(),
            ["alpine"],
            [
                (
                    "baseNotAllowed",
                    (
                        "it stands on scratch (nothing of a distribution is in it), which is none "
                        "of: alpine"
                    ),
                )
            ],
            id="scratch is none of ours",
        ),
        pytest.param(
            image(contents={"os_release": {"PRETTY_NAME": "Distroless"}}),
            ["distroless", "scratch"],
            [
                (
                    "baseUnknown",
                    "what it stands on cannot be proved; it claims to be 'Distroless'",
                )
            ],
            id="a claim is no proof",
        ),
        pytest.param(
            image(contents={"programs": GLIBC}),
            ["scratch"],
            [("baseUnknown", "what it stands on cannot be proved")],
            id="a loader is not scratch",
        ),
        pytest.param(
            image(contents={"shells": (program("/sh", "sh"),)}),
            ["scratch"],
            [("baseUnknown", "what it stands on cannot be proved")],
            id="a shell is not scratch",
        ),
        pytest.param(
            image(contents={"package_databases": ("/var/lib/dpkg/status.d",)}),
            ["scratch"],
            [
                (
                    "baseUnknown",
                    (
                        "what it stands on cannot be proved; it claims to be "
                        "'packages listed as in distroless'"
                    ),
                )
            ],
            id="a package database is not scratch",
        ),
    ],
)
def test_bases(facts, allowed, expected):
    """Proved and allowed passes; proved and not allowed fails; not proved is unknown."""
    assert found(CHECK, subject(facts), allow(*allowed)) == expected


def test_unproved_is_unknown():
    """onUnknown decides about what cannot be proved."""
    facts = image(contents={"os_release": {"ID": "debian"}})
    ((finding,), _) = run(CHECK, subject(facts), allow("debian"))
    assert finding.result == "unknown"


def test_unknown_layers_have_to_be_read():
    """Known layers refuse at once; to let in, they have to be what the config claims."""
    assert found(CHECK, subject(image(read=False)), allow("scratch")) is None
    assert found(CHECK, subject(on_alpine()), allow("alpine")) is None
    ((reason, _),) = found(CHECK, subject(on_alpine()), allow("scratch"))
    assert reason == "baseNotAllowed"


def test_a_base_must_be_named():
    """An empty list would refuse every image."""
    with pytest.raises(ValueError, match="allow is empty"):
        Bases(allow=())
