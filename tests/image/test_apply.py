"""Layers merged as containerd merges them (image-truth 2.4, catalogue 61-77)."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, reject, settings

from tests.image.reading import LIMITS, layers_of, read
from tests.oracles.layers import images
from tests.support import forge
from tests.support.forge import file, folder, hardlink, opaque, special, symlink, whiteout
from tests.support.rawtar import END, member, pax
from webhook.errors import ImageError, LimitExceeded
from webhook.image import tarheader
from webhook.image.apply import Trees, merge
from webhook.image.config import parse_config
from webhook.image.filesystem import Node, walk
from webhook.image.tree import files_of, is_enough

CONFIG = parse_config(b"{}", "sha256:" + "0" * 64, LIMITS)


def paths(top: Node) -> dict[str, object]:
    """Path to the layer that brought it, folders left out."""
    return {
        path.decode(): node.layer
        for path, node in walk(top)
        if node.inode.kind != tarheader.DIRECTORY
    }


def merged(*layers: list[forge.Entry] | bytes) -> tuple[dict[str, object], dict[str, object]]:
    """What overlayfs shows, and what applying naively leaves."""
    trees = merge(layers_of(layers), LIMITS)
    assert trees.problems == ()
    return paths(trees.overlay), paths(trees.naive)


SH = file("bin/sh", b"sh", mode=0o755)


@pytest.mark.parametrize(
    "layers, expected",
    [
        pytest.param([[SH]], {"bin/sh": 0}, id="one-layer"),
        pytest.param([[SH], [SH]], {"bin/sh": 1}, id="the-upper-one-counts"),
        pytest.param([[SH, file("bin/sh", b"x")]], {"bin/sh": 0}, id="65-the-later-one-counts"),
        pytest.param([[SH], [whiteout("bin/sh")]], {}, id="66-whited-out"),
        pytest.param([[SH], [whiteout("bin/sh")], [SH]], {"bin/sh": 2}, id="67-and-back-again"),
        pytest.param([[SH], [whiteout("bin")]], {}, id="68-folder-whited-out"),
        pytest.param(
            [[SH], [file("bin/ls"), opaque("bin")]], {"bin/ls": 1}, id="69-opaque-after-siblings"
        ),
        pytest.param(
            [[SH], [opaque("bin"), file("bin/ls")]], {"bin/ls": 1}, id="69-opaque-before-siblings"
        ),
        pytest.param(
            [[file("bin/.wh..opqX"), SH]], {"bin/sh": 0}, id="70-a-whiteout-with-nothing-below"
        ),
        pytest.param(
            [[SH], [file("bin/.wh..wh..opqX")]], {"bin/sh": 0}, id="70-nearly-opaque-is-a-whiteout"
        ),
        pytest.param([[file("a/.wh.x/sh")]], {"a/.wh.x/sh": 0}, id="74-folder-named-as-a-whiteout"),
        pytest.param([[SH], [folder("bin/.wh.sh")]], {}, id="75-a-folder-is-a-whiteout-too"),
        pytest.param([[SH], [symlink("bin/.wh.sh", "x")]], {}, id="75-and-a-symlink"),
        pytest.param([[SH], [symlink("bin", "usr")]], {"bin": 1}, id="76-folder-becomes-a-link"),
        pytest.param([[SH], [file("bin")]], {"bin": 1}, id="folder-becomes-a-file"),
        pytest.param(
            [[file("bin")], [folder("bin"), SH]], {"bin/sh": 1}, id="file-becomes-a-folder"
        ),
        pytest.param([[SH], [folder("bin")]], {"bin/sh": 0}, id="folder-upon-folder"),
        pytest.param(
            [[SH], [whiteout("bin/none"), whiteout("none")]], {"bin/sh": 0}, id="of-nothing"
        ),
        pytest.param([[whiteout("bin/sh")], [SH]], {"bin/sh": 1}, id="whiteout-in-the-first-layer"),
        pytest.param(
            [[SH, hardlink("bin/ash", "bin/sh")]], {"bin/sh": 0, "bin/ash": 0}, id="78-link"
        ),
        pytest.param(
            [[SH, hardlink("bin/ash", "/bin/../bin/sh")], [whiteout("bin/sh")]],
            {"bin/ash": 0},
            id="a-hard-link-outlives-the-first-name",
        ),
        pytest.param([[file("../../bin/sh")]], {"bin/sh": 0}, id="61-dot-dot"),
        pytest.param([[file("./bin//sh")]], {"bin/sh": 0}, id="61-dots-and-slashes"),
        pytest.param([member(b"bin/sh/", b"x") + END], {"bin/sh": 0}, id="61-slash-at-a-file"),
        pytest.param(
            [[symlink("l", "usr/bin"), file("l/sh")]], {"l": 0, "usr/bin/sh": 0}, id="link"
        ),
        pytest.param(
            [[folder("a"), symlink("l", "/a"), file("l/../sh")]],
            {"l": 0, "sh": 0},
            id="cleaned-first",
        ),
        pytest.param(
            [[symlink("l", "../../../usr/bin"), file("l/sh")]],
            {"l": 0, "usr/bin/sh": 0},
            id="links-do-not-lead-out",
        ),
        pytest.param(
            [[symlink("x", "y"), file("x", b"z")]], {"x": 0}, id="a-link-itself-is-replaced"
        ),
        pytest.param(
            [pax((b"comment", b"x"), kind=b"g") + END], {}, id="global-headers-make-nothing"
        ),
        pytest.param(
            [member(b"bin/sh") + member(b"bin/sh", kind=b"g") + END], {}, id="but-they-make-room"
        ),
        pytest.param(
            [[symlink("a", "../c"), symlink("a/a", "../a/c"), file("a/a/x")]],
            {"a": 0, "c/a": 0, "c/c/x": 0},
            id="links-are-joined-as-text",
        ),
        pytest.param(
            [[SH], [whiteout("a"), file("x"), hardlink("y", "a/../x", mode=0o644)]],
            {"bin/sh": 0, "x": 1, "y": 1},
            id="dot-dot-after-a-whiteout",
        ),
        pytest.param(
            [[whiteout("bin"), SH, whiteout("none")]], {"bin/sh": 0}, id="first-layers-whiteouts"
        ),
        pytest.param(
            [[SH], [special("bin/sh", b"3", major=1, minor=3)]], {"bin/sh": 1}, id="a-device"
        ),
        pytest.param([[file("."), file("/"), SH]], {"bin/sh": 0}, id="the-root-is-left-alone"),
    ],
)
def test_both_ways_agree(layers: list[list[forge.Entry] | bytes], expected: dict[str, int]) -> None:
    assert merged(*layers) == (expected, expected)


@pytest.mark.parametrize(
    "layers, overlay, naive",
    [
        pytest.param(
            [[symlink("bin", "usr/bin"), file("usr/bin/sh")], [file("bin/ls")]],
            {"bin/ls": 1, "usr/bin/sh": 0},
            {"bin": 0, "usr/bin/ls": 1, "usr/bin/sh": 0},
            id="a-folder-masks-the-link-below",
        ),
        pytest.param(
            [[symlink("l", "usr/bin"), file("usr/bin/sh")], [whiteout("l/sh")]],
            {"usr/bin/sh": 0},
            {"l": 0},
            id="73-whiteout-via-a-link-below",
        ),
        pytest.param(
            [[file("usr/bin/sh")], [symlink("l", "usr/bin"), whiteout("l/sh")]],
            {"l": 1},
            {"l": 1},
            id="73-whiteout-via-a-link-of-its-own",
        ),
        pytest.param(
            [[SH], [whiteout("bin"), folder("bin"), file("bin/ls")]],
            {"bin/sh": 0, "bin/ls": 1},
            {"bin/ls": 1},
            id="68-whiteout-and-a-new-folder",
        ),
        pytest.param(
            [[SH], [whiteout("bin/sh"), file("bin/sh", b"new")]],
            {"bin/sh": 1},
            {"bin/sh": 1},
            id="72-file-after-its-whiteout",
        ),
        pytest.param(
            [[SH], [file("bin"), folder("bin")]], {"bin/sh": 0}, {}, id="folder-file-folder"
        ),
        pytest.param([[SH], [opaque("")]], {"bin/sh": 0}, {}, id="77-opaque-root"),
        pytest.param(
            [[SH], [special("bin/sh", b"3")]], {}, {"bin/sh": 1}, id="64-device-0-0-is-a-whiteout"
        ),
        pytest.param([[special("bin/sh", b"3")]], {}, {"bin/sh": 0}, id="64-in-the-first-layer"),
        pytest.param(
            [[SH], [special("bin/sh", b"3", major=0x1000, minor=0x100000)]],
            {},
            {"bin/sh": 1},
            id="64-what-is-left-of-the-numbers-in-32-bits",
        ),
        pytest.param(
            [[file("a")], [file("d/sub/x"), opaque("d")]],
            {"a": 0, "d/sub/x": 1},
            {"a": 0},
            id="opaque-removes-folders-that-nobody-named",
        ),
        pytest.param(
            [[file("bin")], [SH]], {"bin/sh": 1}, {"bin": 0}, id="a-file-in-the-place-of-a-folder"
        ),
    ],
)
def test_where_the_two_ways_differ(
    layers: list[list[forge.Entry]], overlay: dict[str, int], naive: dict[str, int]
) -> None:
    assert merged(*layers) == (overlay, naive)


@pytest.mark.parametrize(
    "layers, expected",
    [
        pytest.param([[file(".wh.")]], "invalid whiteout", id="71-bare"),
        pytest.param([[file("a/.wh..")]], "invalid whiteout", id="71-dot"),
        pytest.param([[file("a/.wh...")]], "invalid whiteout", id="71-dot-dot"),
        pytest.param(
            [[SH], [SH, whiteout("bin/sh")]], "same layer", id="72-whiteout-after-its-file"
        ),
        pytest.param([[SH], [whiteout("x"), whiteout("x")]], "same layer", id="whiteout-twice"),
        pytest.param([[hardlink("bin/sh", "bin/busybox")]], "hard link", id="hard-link-to-nothing"),
        pytest.param(
            [[SH], [hardlink("x", "bin/sh")]], "hard link", id="hard-link-to-a-layer-below"
        ),
        pytest.param([[folder("a"), hardlink("x", "a")]], "folder", id="hard-link-to-a-folder"),
        pytest.param([[SH, hardlink("x", "bin/..")]], "folder", id="hard-link-to-the-root"),
        pytest.param([[SH, whiteout("bin/sh")]], "same layer", id="in-the-first-layer-as-well"),
        pytest.param([[SH, opaque("bin"), opaque("")]], "opaque", id="opaque-upon-its-own-folders"),
        pytest.param([[folder("a/b"), file("a")]], "date", id="a-folder-that-is-gone-again"),
        pytest.param(
            [[folder("a"), symlink("b", "a"), folder("b/c"), symlink("b", "d")]],
            "date",
            id="a-folder-whose-way-is-gone",
        ),
        pytest.param(
            [[symlink("a", "/b/c"), symlink("b", "/d"), file("a/x/y")]],
            "node's own files",
            id="an-absolute-link-on-the-way-of-a-link",
        ),
        pytest.param(
            [[symlink(f"l{n}", f"l{n + 1}") for n in range(41)] + [file("l0/x")]],
            "links",
            id="more-links-than-a-kernel-follows",
        ),
        pytest.param([[hardlink("x", "x")]], "hard link", id="hard-link-to-itself"),
        pytest.param([[SH, hardlink("bin/sh", "bin/sh")]], "hard link", id="hard-link-upon-itself"),
        pytest.param([[file("a"), file("a/b")]], "in the place", id="a-file-on-the-way"),
        pytest.param([[file("a"), file("a/b/c")]], "in the place", id="further-down"),
        pytest.param(
            [[SH], [whiteout("a"), file("a/b")]], "in the place", id="a-whiteout-on-the-way"
        ),
        pytest.param([[symlink("a", "a"), file("a/b")]], "links", id="a-loop"),
        pytest.param(
            [[file("x", mode=0o644), hardlink("bin/sh", "x", mode=0o755)]],
            "executable",
            id="a-hard-link-that-makes-its-file-executable",
        ),
    ],
)
def test_what_a_node_refuses_is_a_problem(layers: list[list[forge.Entry]], expected: str) -> None:
    (problem,) = merge(layers_of(layers), LIMITS).problems

    assert problem.reason == "malformed"
    assert expected in problem.detail
    assert f"layer {len(layers) - 1}" in problem.detail


def test_what_comes_after_a_refused_entry_is_still_seen() -> None:
    trees = merge(layers_of([[file(".wh."), SH]]), LIMITS)

    assert paths(trees.overlay) == {"bin/sh": 0}


def test_the_naive_tree_is_only_built_where_it_may_differ() -> None:
    base = [folder("usr"), folder("usr/bin"), symlink("bin", "usr/bin"), file("usr/bin/sh")]
    upper = [folder("usr"), folder("usr/bin"), whiteout("usr/bin/sh"), file("usr/bin/app")]

    trees = merge(layers_of([base, upper, [file("app")]]), LIMITS)

    assert trees.naive is trees.overlay
    assert trees.both == (trees.overlay,)


def node_at(top: Node, path: str) -> Node:
    return dict(walk(top))[path.encode()]


def test_a_hard_links_entry_sets_the_modes_of_all_names() -> None:
    """Catalogue 85."""
    layers = layers_of([[SH, hardlink("x", "bin/sh", mode=0o4755)]])

    assert node_at(merge(layers, LIMITS).overlay, "bin/sh").inode.mode == 0o4755


def test_the_last_entry_of_a_path_decides_its_mode() -> None:
    """Catalogue 85."""
    layers = layers_of([[file("x", mode=0o4755), file("x", mode=0o755)]])

    assert node_at(merge(layers, LIMITS).overlay, "x").inode.mode == 0o755


def test_folders_keep_the_upper_metadata() -> None:
    lower = [folder("a", mode=0o700), folder("b", mode=0o700)]
    layers = layers_of([lower, [folder("a", mode=0o1777), file("b/x")]])
    top = merge(layers, LIMITS).overlay

    assert node_at(top, "a").mode == 0o1777
    assert node_at(top, "b").mode == 0o700
    assert node_at(top, "b").layer == 0


def test_folders_that_nobody_named_take_over_metadata() -> None:
    lower = [folder("a", mode=0o2750), file("a/x"), folder("s", mode=0o2755)]
    lower[2].info.gid = 50
    layers = layers_of([[*lower, file("s/t/x")], [opaque("a"), file("a/y"), file("s/u/x")]])

    top = merge(layers, LIMITS).overlay

    assert (node_at(top, "a").mode, node_at(top, "a").layer) == (0o2750, 1)
    assert node_at(top, "s/t").gid == 50  # as mkdir(2) has it in a setgid folder
    assert node_at(top, "s/u").gid == 50


def test_folders_that_nobody_named_are_bounded() -> None:
    """An entry of four kilobytes can make two thousand folders."""
    entries = [file(f"{n}" + "/a" * 500) for n in range(20)]

    with pytest.raises(LimitExceeded):
        merge(layers_of([entries]), replace(LIMITS, entries=5000))


def test_paths_that_grow_by_links_are_bounded() -> None:
    deep = "a/" * 900
    entries = [folder(deep)]
    entries += [symlink(deep + "l", deep), file(deep + "l/" + deep + "x")]

    with pytest.raises(LimitExceeded):
        merge(layers_of([entries]), replace(LIMITS, path_bytes=3700))


def test_deep_trees_need_no_recursion() -> None:
    layers = layers_of([[file("a/" * 2000 + "x")], [file("a/" * 2000 + "y")], [opaque("a/" * 999)]])

    trees = merge(layers, LIMITS)

    assert paths(trees.overlay) == {}
    assert len(list(walk(trees.overlay))) == 999


def test_problems_are_bounded() -> None:
    trees = merge(layers_of([[file(f"{n}/.wh.") for n in range(100)]]), LIMITS)

    assert len(trees.problems) == 20


def test_whiteout_layer_of_the_wild() -> None:
    """As kaniko writes it: whiteouts first, then the folders."""
    lower = read(forge.tar([file("etc/a"), file("etc/b"), SH]))
    upper = read(forge.tar([whiteout("etc/a"), folder("/"), folder("etc"), file("etc/c")]), index=1)

    trees = merge([lower, upper], LIMITS)

    assert paths(trees.overlay) == {"bin/sh": 0, "etc/b": 0, "etc/c": 1}
    assert trees.problems == ()


@settings(max_examples=400)
@given(images())
def test_sharing_nodes_changes_nothing(tars):
    try:
        layers = layers_of(tars)
        alone = merge(layers, LIMITS)
    except ImageError:
        reject()
    shared = merge(layers, LIMITS, sharing=True)

    assert shared.problems == alone.problems
    assert [shown(top) for top in pair(shared)] == [shown(top) for top in pair(alone)]
    if is_enough(shared):
        assert files_of(CONFIG, layers, shared) == files_of(CONFIG, layers, alone)


def pair(trees: Trees) -> tuple[Node, Node]:
    return trees.overlay, trees.naive


def shown(top: Node) -> list[object]:
    """Everything, and which names are of one file."""
    first: dict[object, bytes] = {}
    found: list[object] = []
    for path, node in walk(top):
        inode = node.inode
        home = path if inode.shared else first.setdefault(id(inode), path)
        owner = inode.mode, inode.uid, inode.gid, inode.capabilities
        found.append((path, node.layer, home, inode.kind, owner))
    return found


def test_files_that_nobody_executes_share_a_node():
    plain = [file(f"srv/{number}", b"x") for number in range(9)]
    (layer,) = layers_of([[*plain, hardlink("srv/link", "srv/3", mode=0o600), SH]])
    srv = dict(walk(merge([layer], LIMITS, sharing=True).overlay))
    others = {id(srv[b"srv/%d" % number]) for number in range(9) if number != 3}
    assert len(others) == 1
    assert srv[b"srv/link"].inode is srv[b"srv/3"]
    assert (srv[b"srv/3"].mode, srv[b"srv/4"].mode) == (0o600, 0o644)
    assert srv[b"bin/sh"].place == 10


@pytest.mark.parametrize(
    "passwd, enough",
    [
        (file("etc/passwd", b""), True),
        (hardlink("etc/passwd", "srv/users"), False),
        (symlink("etc/passwd", "/srv/users"), False),
        (symlink("etc/os-release", "/srv/users"), False),
    ],
)
def test_what_makes_facts_has_a_node_of_its_own(passwd, enough):
    layers = layers_of([[file("srv/users", b""), passwd]])
    assert is_enough(merge(layers, LIMITS, sharing=True)) is enough
    assert is_enough(merge(layers, LIMITS))
