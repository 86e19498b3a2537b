"""What slimgate says of each image of the corpus beside what containerd does with it."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from tests.cluster.corpus.images import CATALOGUE, SHELLS, Member
from tests.cluster.corpus.node import Name, Node, Seen, write
from tests.cluster.nodes.agreement import COUNT, POLICY, VERSIONS
from webhook.cli.main import run

_GROUP = "as the kubelet, which drops the group; ctr, which starts it here, looks it up"
REASONS = {
    **VERSIONS,
    "05 User root:root": _GROUP,
    "17 User 1:2:3": _GROUP,
    "its loader is not there": "a shell by its name; with one file more it is one",
    "toybox: the package": "a shell by its name; Debian builds toybox without one, others do not",
    "one of its libraries is where nobody looks": "it is in the image; not all folders are known "
    "that a loader looks in, so nothing is said",
    "klibc-utils /usr/lib/klibc/bin/sh: no x bit, and a loader": "klibc's loader starts nothing by "
    "itself, as others do; slimgate takes what a program asks for (PT_INTERP) for one that does",
}
"""By image: why slimgate says otherwise on purpose. What the kubelet says is in docs/kubelet.md."""
TOGETHER = 6
"""Images that are looked at at the same time."""


@dataclass(frozen=True)
class Said:
    """slimgate's answer."""

    uid: int | None = None
    gid: int | None = None
    """None also where the image names a group: the kubelet, for which slimgate speaks, drops it."""
    fatal: tuple[str, ...] = ()
    """Why it would not start: check and reason."""
    shells: tuple[str, ...] = ()
    """Paths."""
    refused: str = ""
    """Why the image itself is, which may be read in two ways or breaks its specification."""


@dataclass(frozen=True)
class Row:
    """An image, what was said of it, and what became of it."""

    member: Member
    said: Said
    seen: Seen

    @cached_property
    def working(self) -> tuple[str, ...]:
        """Paths of files that are shells, by whatever name they have to be called."""
        return tuple(
            path for path, one in self.seen.names.items() if one.how and one.shell == one.file
        )

    @cached_property
    def missed(self) -> tuple[str, ...]:
        """Shells that slimgate does not list.

        One that is a shell by its own name has to be listed under it. What is one only when it is
        called otherwise (busybox, named ``ls``), and what hands over to a shell, has to lead to a
        file that is listed under some name.
        """
        names = self.seen.names
        listed = {names[path].file for path in self.said.shells if path in names}
        return tuple(
            path
            for path, one in names.items()
            if one.how and not (path in self.said.shells if _itself(one) else one.shell in listed)
        )

    @cached_property
    def beyond(self) -> tuple[str, ...]:
        """What slimgate lists, and does not work as a shell. Of stand-ins nothing does."""
        if self.member.group == CATALOGUE or not self.seen.names:
            return ()
        files = self.seen.shells
        names = self.seen.names
        return tuple(
            path
            for path in self.said.shells
            if path not in names or not (names[path].how or names[path].file in files)
        )

    @property
    def unknown(self) -> tuple[str, ...]:
        """Paths that took too long to be known."""
        return tuple(path for path, one in self.seen.names.items() if one.unknown)

    @cached_property
    def apart(self) -> tuple[str, ...]:
        """All that slimgate says otherwise than it is."""
        return tuple(self._apart())

    def _apart(self) -> Iterator[str]:
        said, seen = self.said, self.seen
        if said.refused:
            if seen.uid is not None:
                yield f"it starts, in spite of {said.refused}"
            return
        if seen.uid not in {None, said.uid}:
            yield f"uid {said.uid}, and it runs as {seen.uid}"
        if None not in {seen.gid, said.gid} and seen.gid != said.gid:
            yield f"gid {said.gid}, and it runs with {seen.gid}"
        if seen.started and said.fatal:
            yield f"it starts, in spite of {', '.join(said.fatal)}"
        if not seen.started and not said.fatal:
            yield f"it does not start: {seen.why or seen.refused}"
        if self.missed:
            yield f"shells that were not found: {', '.join(self.missed)}"
        if self.beyond:
            yield f"no shells: {', '.join(self.beyond)}"

    @property
    def reason(self) -> str:
        """Why slimgate says otherwise on purpose; empty where it does not."""
        return (self.said.refused or REASONS.get(self.member.name, "")) if self.apart else ""

    @property
    def differences(self) -> tuple[str, ...]:
        """What slimgate has wrong."""
        return () if self.reason else self.apart


def _itself(one: Name) -> bool:
    return one.how != "named" and one.shell == one.file


def compare(node: Node, members: Sequence[Member], folder: Path) -> Iterator[Row]:
    """Ask both of them; in the order of the members."""
    policy = folder / "policy.yaml"
    policy.write_text(POLICY)

    def done(number: int) -> tuple[Path, Seen]:
        archive = folder / f"c{number}.tar"
        write(members[number].make(), archive)
        # Real programs share layers; tricky images are taken by who has nothing of them yet.
        alone = members[number].group == CATALOGUE
        return archive, node.seen(archive, archive.stem if alone else SHELLS)

    with ThreadPoolExecutor(TOGETHER) as threads:
        for member, (archive, seen) in zip(
            members, threads.map(done, range(len(members))), strict=True
        ):
            yield Row(member, said(archive, policy), seen)
            archive.unlink()


def said(archive: Path, policy: Path) -> Said:
    """What slimgate has to say of an image."""
    told = _slimgate("inspect", f"oci-archive:{archive}", "--platform", "linux/amd64")
    if "error" in told:
        return Said(refused=f"image {told['error']['reason']}")
    judged = _slimgate(
        *("check", f"oci-archive:{archive}", "--platform", "linux/amd64"),
        *("--policy", str(policy), "--all"),
    )
    user = told["user"]
    findings = [one for decision in judged["decisions"] for one in decision["findings"]]
    named = [f"{one['check']} {one['reason']}" for one in findings if one["check"] in COUNT]
    fatal = tuple(dict.fromkeys(one for one in named if one != "nonRoot runsAsRoot"))
    return Said(
        uid=user["uid"],
        gid=None if ":" in (user["declared"] or "") else user["gid"],
        fatal=fatal,
        shells=tuple(one["path"] for one in told["shells"]),
        refused=next((one for one in fatal if one.startswith("image ")), ""),
    )


def _slimgate(*words: str) -> Any:
    out, errors = io.StringIO(), io.StringIO()
    with redirect_stdout(out), redirect_stderr(errors):
        run([*words, "-o", "json"])
    return json.loads(out.getvalue())
