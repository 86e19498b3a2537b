"""Write docs/images.md: what slimgate finds in real images. ``python -m scripts.images``.

The images are not in the repository. They are looked for where ``SLIMGATE_REAL_IMAGES`` says, else
in ``../shared/images`` beside the clone; tests/test_real_images.py holds the page to them.
"""

from __future__ import annotations

import io
import json
import os
import sys
import tarfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any

from webhook.cli.main import run

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "images.md"
HEAD = """\
# Real images

What `slimgate inspect` finds in published images, and in archives that other projects test their
readers with, the deliberately broken ones too. Made by `python -m scripts.images`; a test holds the
table to the images, where they are at hand.

| image | user | shells | package managers | setuid | bytes unpacked | else |
|---|---|---|---|---|---|---|
"""
MARKS = {"manifest.json", "repositories", "oci-layout"}
SHOWN = 3
"""Programs that a cell names; the others are counted."""


def folder() -> Path | None:
    """Where the images are, None where they are not."""
    named = os.environ.get("SLIMGATE_REAL_IMAGES")
    place = Path(named) if named else ROOT.parent / "shared" / "images"
    return place if place.is_dir() else None


def names(place: Path) -> list[str]:
    """Every image in the folder, as the command line takes it but for the folder."""
    return sorted(_names(place))


def _names(place: Path) -> Iterator[str]:
    for layout in place.rglob("oci-layout"):
        relative = layout.parent.relative_to(place)
        tags = _tags(layout.parent)
        yield from (
            (f"oci:{relative}:{tag}" for tag in tags) if len(tags) > 1 else (f"oci:{relative}",)
        )
    for archive in (*place.glob("*.tar"), *place.glob("*.tar.gz")):
        members = _members(archive)
        if "manifest.json" in members or "repositories" in members:
            count = _count(members.get("manifest.json", b""))
            several = (f":@{number}" for number in range(count)) if count > 1 else ("",)
            yield from (f"docker-archive:{archive.name}{which}" for which in several)
        elif "oci-layout" in members:
            yield f"oci-archive:{archive.name}"


def _tags(layout: Path) -> Sequence[str]:
    """The names that an OCI layout gives its images."""
    try:
        entries = json.loads((layout / "index.json").read_bytes())["manifests"]
        key = "org.opencontainers.image.ref.name"
        named = [one["annotations"][key] for one in entries if key in one.get("annotations", {})]
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return ()  # broken on purpose: the command line will say how
    # sha256-… are lists of what refers to an image (signatures and the like), not images.
    return [tag for tag in named if not tag.startswith("sha256-")]


def _members(archive: Path) -> dict[str, bytes]:
    """The archive's files at its top that tell what it is; of a broken one what can be read."""
    found: dict[str, bytes] = {}
    try:
        with tarfile.open(archive) as opened:
            for one in opened:
                name = one.name.removeprefix("./")
                if name in MARKS and (file := opened.extractfile(one)):
                    found[name] = file.read()
    except (OSError, tarfile.TarError):
        pass
    return found


def _count(manifest: bytes) -> int:
    """How many images docker save put into an archive."""
    try:
        return len(json.loads(manifest))
    except (ValueError, TypeError):
        return 0


def row(place: Path, name: str) -> str:
    """The table's row for one image."""
    facts = inspect(place, name)
    if error := facts.get("error"):
        cells = ["", "", "", "", "", f"cannot be judged: `{error['reason']}`"]
    else:
        cells = [
            _user(facts["user"]),
            *(_programs(facts[kind]) for kind in ("shells", "packageManagers", "setuid")),
            f"{facts['size']['unpacked']:,}",
            ", ".join(f"`{one['reason']}`" for one in facts["problems"]),
        ]
    return f"| `{name}` | {' | '.join(cells)} |"


def inspect(place: Path, name: str) -> Mapping[str, Any]:
    """The document of ``slimgate inspect``, or that of its error."""
    kind, _, rest = name.partition(":")
    out = io.StringIO()
    with redirect_stdout(out), redirect_stderr(io.StringIO()):
        run(["inspect", f"{kind}:{place / rest}", "--output", "json"])
    document: Mapping[str, Any] = json.loads(out.getvalue())
    return document


def _user(user: Mapping[str, Any]) -> str:
    declared = f"`{user['declared']}`" if user["declared"] else "not set"
    verdict = {True: "root", False: "not root", None: "would not start"}[user["root"]]
    return f"{declared}, {verdict}"


def _programs(found: Sequence[Mapping[str, Any]]) -> str:
    shown = [f"`{one['path']}`" for one in found[:SHOWN]]
    rest = [f"{len(found) - SHOWN} more"] if len(found) > SHOWN else []
    return ", ".join([*shown, *rest]) or "none"


def page(place: Path) -> str:
    """The whole page."""
    return HEAD + "".join(f"{row(place, name)}\n" for name in names(place))


def main() -> None:
    """Write the page; exits with 1 where the images are not at hand."""
    place = folder()
    if place is None:
        sys.exit("no images: name their folder in SLIMGATE_REAL_IMAGES")
    PAGE.write_text(page(place))


if __name__ == "__main__":
    main()
