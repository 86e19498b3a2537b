"""The inspect document: its keys are a contract, and facts can be made of a part of it."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from tests.checks.subjects import DIGEST, LAYER, STEP, image, program
from webhook.image.document import document, facts_of
from webhook.image.facts import NotRead, Problem

FACTS = image(
    contents={
        "shells": (program("/bin/sh", "busybox", "link", "/bin/busybox"),),
        "os_release": {"PRETTY_NAME": "Alpine Linux v3.20"},
        "problems": (Problem(reason="malformed", detail="twice"),),
    },
    labels={"a": "b"},
)


def test_document():
    """Exactly the keys of the design, absent values null."""
    program_document = {
        "path": "/bin/sh",
        "name": "busybox",
        "by": "link",
        "target": "/bin/busybox",
        "layer": 0,
        "layerDigest": LAYER,
        "createdBy": STEP,
    }
    assert document(FACTS) == {
        "schemaVersion": 1,
        "reference": "registry.test/team/app:1.2",
        "digest": DIGEST,
        "manifestDigest": DIGEST,
        "platform": "linux/amd64",
        "user": {
            "declared": "65532",
            "uid": 65532,
            "gid": 0,
            "root": False,
            "reason": 'User "65532" is uid 65532',
        },
        "shells": [program_document],
        "packageManagers": [],
        "buildTools": [],
        "interpreters": [],
        "packed": [],
        "setuid": [],
        "size": {
            "compressed": 1000,
            "unpacked": 2000,
            "layers": [
                {
                    "digest": LAYER,
                    "diffId": "sha256:" + "2" * 64,
                    "compressed": 1000,
                    "unpacked": 2000,
                    "createdBy": STEP,
                }
            ],
        },
        "created": "2026-11-01T00:00:00Z",
        "entrypoint": ["/app"],
        "cmd": None,
        "base": {"name": None, "version": None, "proof": None, "claim": "Alpine Linux v3.20"},
        "labels": {"a": "b"},
        "problems": [{"reason": "malformed", "detail": "twice"}],
    }


def test_round_trip():
    """Facts of a whole document say the same document again, as JSON too."""
    whole = document(replace(FACTS, contents=replace(FACTS.contents, os_release={})))
    assert document(facts_of(json.loads(json.dumps(whole)))) == whole


def test_nothing_is_a_good_image():
    """What a test leaves out passes every check."""
    facts = facts_of({})
    assert facts.files.user.root is False
    assert facts.files.shells == ()
    assert document(facts)["base"]["name"] == "scratch"


@pytest.mark.parametrize(
    ("user", "root"),
    [
        ({}, False),
        ({"declared": ""}, True),
        ({"declared": "root"}, True),
        ({"declared": "nonroot"}, False),
        ({"declared": "app"}, None),
        ({"declared": "app", "uid": 0, "root": True}, True),
    ],
)
def test_user(user, root):
    """A user that is only named is looked up as in a distroless image."""
    assert facts_of({"user": user}).files.user.root is root


def test_not_read():
    """There is no document of half an image."""
    with pytest.raises(NotRead):
        document(image(read=False))


@pytest.mark.parametrize("partial", [[], {"shells": 1}, {"user": {"uid": "x"}}, {"platform": 7}])
def test_faults(partial):
    """What is no part of a document is told."""
    with pytest.raises(ValueError, match="Expected"):
        facts_of(partial)
