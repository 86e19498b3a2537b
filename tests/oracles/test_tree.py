"""The merged tree, as containerd's own code and the kernel's overlayfs make it (tree/main.go)."""

from __future__ import annotations

import os
from base64 import b64decode
from collections.abc import Iterable

import pytest

from tests.image.reading import LIMITS, read
from tests.oracles import layers, support
from tests.oracles.support import BOTH_REFUSE, EQUAL
from tests.support import forge
from webhook.errors import SlimgateError
from webhook.image.apply import Trees, merge
from webhook.image.filesystem import Node, walk
from webhook.image.layer import text
from webhook.image.tree import FileRecord, listing

_CLASSES = {
    "long path": "^a (tar )?path has more than 4096 bytes$",
    "executable by a hard link": "(?s)^layer [0-9]+: the hard link .* makes a file executable$",
    "whiteout of its own file": "(?s)^layer 0: a whiteout of a path that the same layer brings",
    "opaque upon its own files": "^layer 0: an opaque marker removes what the same layer brings$",
    "a link to the node's files": "(?s)^layer [0-9]+: containerd .* leads to the node's own files$",
    "more than 40 links": "(?s)^layer [0-9]+: containerd .*: too many symbolic links$",
}
"""Refusals of what a node takes, by what they say; the reasons are in docs/truth.md."""


@pytest.fixture(scope="module")
def ask(oracle):
    """Three trees for the tars of an image; skipped where the machine does not let it mount."""
    answer = oracle("tree")
    if why := answer(b"").get("unavailable"):
        if os.environ.get("SLIMGATE_REQUIRE_CLUSTER"):
            pytest.fail(f"no kernel to ask: {why}")
        pytest.skip(f"no kernel to ask: {why}")
    return lambda tars: answer(b"".join(len(tar).to_bytes(4, "big") + tar for tar in tars))


def test_the_merged_tree(ask, truth):
    truth("tree", layers.images(), lambda tars: compare(ask(tars), tars))


def compare(theirs, tars):
    ours, refusals = merged(tars)
    mounted = [theirs[way] for way in ("overlay", "parallel") if "error" not in theirs[way]]
    if refusals and mounted:
        classes = [support.refused(detail, _CLASSES) for detail in refusals]
        return classes[0]
    if refusals:
        return BOTH_REFUSE
    assert mounted, f"no node takes it: {theirs['overlay']['error']}"
    overlay = our_listing(ours.overlay)
    for way in mounted:
        assert without_folders_metadata(overlay) == without_folders_metadata(their_listing(way))
    if len(mounted) == 2:
        same_where_the_ways_agree(overlay, *map(their_listing, mounted))
    if "error" not in theirs["naive"]:
        assert our_listing(ours.naive) == their_listing(theirs["naive"])
    return EQUAL


def without_folders_metadata(files):
    """Where a layer brings a folder that none of its entries names, its owner and mode depend on
    whether the node unpacks layers one after the other, or at once.
    """
    return {
        path: (kind, *rest) if kind != "dir" else (kind, rest[-1])
        for path, (kind, *rest) in files.items()
    }


def same_where_the_ways_agree(ours, sequential, parallel) -> None:
    agreed = {path for path, found in sequential.items() if found == parallel[path]}
    assert {path: ours[path] for path in agreed} == {path: sequential[path] for path in agreed}


def merged(tars: Iterable[bytes]) -> tuple[Trees | None, list[str]]:
    """slimgate's trees, and why it would refuse the image."""
    try:
        read_ = [
            read(tar, blob=tar, index=index, media_type=forge.OCI_LAYER, digests=True)
            for index, tar in enumerate(tars)
        ]
        trees = merge(read_, LIMITS)
    except SlimgateError as error:
        return None, [error.detail]
    problems = [*(problem for layer in read_ for problem in layer.problems), *trees.problems]
    return trees, [problem.detail for problem in problems]


def our_listing(top: Node):
    """By path: type, mode, owner, group, size, digest and link, and the inode's first name."""
    files = list(zip(walk(top), listing(Trees(top, top, ())), strict=True))
    names = _first_names((path, id(node.inode)) for (path, node), _ in files)
    by_name = {path: record for (path, _), record in files}
    homes = {record.path: record for _, record in files if record.type != "hardlink"}
    found = {}
    for path, record in by_name.items():
        home = homes[record.link] if record.type == "hardlink" else record
        assert _metadata(record) == _metadata(home)
        found[path] = (home.type, *_metadata(record), home.link, names[path])
    return found


def _metadata(record: FileRecord):
    return (record.mode, record.uid, record.gid, record.size, record.sha256)


def their_listing(theirs):
    """The same of the oracle's entries (``described`` in tree/main.go)."""
    entries = [(b64decode(path), *rest) for path, *rest in theirs["entries"]]
    names = _first_names((entry[0], entry[8]) for entry in entries)
    return {
        path: (
            kind,
            f"{mode:04o}",
            uid,
            gid,
            size,
            digest or None,
            text(b64decode(link)) or None,
            names[path],
        )
        for path, kind, mode, uid, gid, size, digest, link, *_ in entries
    }


def _first_names(inodes: Iterable[tuple[bytes, int]]) -> dict[bytes, bytes]:
    """Path to the first name that its inode has."""
    first: dict[int, bytes] = {}
    return {path: first.setdefault(inode, path) for path, inode in sorted(inodes)}
