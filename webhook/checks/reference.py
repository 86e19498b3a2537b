"""reference: the image is named in a way you trust.

What it asks
    Is the image pinned by digest, is its tag one you accept, and is it from your registries?

Why
    A tag can be moved to other content between the review and the pull, and between two nodes;
    a digest cannot. A verdict on a tag is advice, a verdict on a digest is proof.

What it flags
    A name without a digest (``digest: true``), a tag that tags.deny lists (a name without tag
    and digest has the tag latest; beside a digest a tag means nothing and is not looked at),
    and a name that fits none of the registries. It is decided from the name alone: nothing is
    fetched.

Remedy
    Name the image as registry/repository@sha256:…; most deployment tools can resolve tags to
    digests when they render manifests.

Options
    - ``digest``: ``true`` demands one;
    - ``tags.deny``: tags that are refused, ``*`` standing for any characters;
    - ``registries``: globs on the normalised name, as ``registry.example/*``.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated

from webhook.checks.check import MANY, Check, Finding, Options, Subject
from webhook.image.globs import Glob, TagGlob

NAME = "reference"


class Tags(Options, frozen=True):
    """Which tags are refused."""

    deny: Annotated[tuple[TagGlob, ...], MANY]

    def __post_init__(self) -> None:
        if not self.deny:
            raise ValueError("deny is empty: it would refuse no tag")


class Named(Options, frozen=True):
    """What a name must be like; each is optional, one is needed."""

    digest: bool = False
    tags: Tags | None = None
    registries: Annotated[tuple[Glob, ...], MANY] | None = None

    def __post_init__(self) -> None:
        if not self.digest and self.tags is None and self.registries is None:
            raise ValueError("asks nothing: give digest: true, tags or registries")
        if self.registries == ():
            raise ValueError("registries is empty: it would refuse every image")


def _inspect(subject: Subject, options: Named) -> Iterator[Finding]:
    name = subject.reference
    if options.registries is not None and not any(
        glob.matches(name.name) for glob in options.registries
    ):
        yield _finding(
            "registry",
            f"{name.name} is not from a registry that the policy names",
            f"push it to one of: {', '.join(options.registries)}",
        )
    if name.digest is not None:
        return
    tag = name.tag or "latest"
    if options.tags is not None and any(glob.matches(tag) for glob in options.tags.deny):
        yield _finding(
            "tag", f"the tag {tag} is denied", "name a version's tag, or better a digest"
        )
    if options.digest:
        digest = subject.facts.digest if subject.facts else "sha256:…"
        yield _finding(
            "notPinned",
            f"the tag {tag} can be moved to another image at any time",
            f"pin it: {name.name}@{digest}",
        )


def _finding(reason: str, detail: str, remedy: str) -> Finding:
    return Finding(check=NAME, result="fail", reason=reason, detail=detail, remedy=remedy)


CHECK = Check(name=NAME, title="reference", options=Named, inspect=_inspect)
