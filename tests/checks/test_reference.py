"""reference: judged by the name alone, before anything is fetched."""

from __future__ import annotations

import pytest

from tests.checks.subjects import DIGEST, found, image, subject
from webhook.checks.check import run
from webhook.checks.reference import CHECK, Named, Tags
from webhook.image.globs import Glob, TagGlob
from webhook.image.reference import Reference


def name(tag=None, digest=None, registry="registry.test"):
    return Reference(registry=registry, repository="team/app", tag=tag, digest=digest)


PINNED = Named(digest=True)
NOT_LATEST = Named(tags=Tags(deny=(TagGlob("latest"), TagGlob("*-debug"))))
OURS = Named(registries=(Glob("registry.test/*"), Glob("*.corp.test/*")))
MOVABLE = "the tag 1.2 can be moved to another image at any time"


@pytest.mark.parametrize(
    ("options", "reference", "expected"),
    [
        pytest.param(PINNED, name(digest=DIGEST), [], id="pinned"),
        pytest.param(PINNED, name("1.2", DIGEST), [], id="tag and digest"),
        pytest.param(PINNED, name("1.2"), [("notPinned", MOVABLE)], id="tag"),
        pytest.param(NOT_LATEST, name("1.2"), [], id="another tag"),
        pytest.param(
            NOT_LATEST, name("latest"), [("tag", "the tag latest is denied")], id="latest"
        ),
        pytest.param(NOT_LATEST, name(), [("tag", "the tag latest is denied")], id="no tag"),
        pytest.param(
            NOT_LATEST, name("1-debug"), [("tag", "the tag 1-debug is denied")], id="pattern"
        ),
        pytest.param(NOT_LATEST, name("latest", DIGEST), [], id="beside a digest"),
        pytest.param(OURS, name("1"), [], id="our registry"),
        pytest.param(OURS, name("1", registry="a.b.corp.test"), [], id="our domain"),
        pytest.param(
            OURS,
            name("1", registry="evilcorp.test"),
            [("registry", "evilcorp.test/team/app is not from a registry that the policy names")],
            id="another registry",
        ),
    ],
)
def test_names(options, reference, expected):
    """Decided without facts."""
    assert found(CHECK, subject(None, reference=reference), options) == expected


def test_remedy_offers_the_digest():
    """Once it is known, the digest to pin is named."""
    ((finding,), _) = run(CHECK, subject(image()), PINNED)
    assert finding.remedy == f"pin it: registry.test/team/app@{DIGEST}"


@pytest.mark.parametrize("options", [{}, {"digest": False}, {"registries": ()}])
def test_something_must_be_asked(options):
    """reference: {} would look like a check and ask nothing."""
    with pytest.raises(ValueError, match=r"asks nothing|is empty"):
        Named(**options)


def test_some_tag_must_be_denied():
    """tags: {deny: []} would ask nothing, too."""
    with pytest.raises(ValueError, match="deny is empty"):
        Tags(deny=())
