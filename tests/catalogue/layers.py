"""Chapter 5: what layers do to each other."""

from __future__ import annotations

from tests.catalogue.case import (
    FAILS,
    FINE,
    REFUSED_IN_PART,
    SHELL,
    Case,
    shells,
)
from tests.catalogue.images import SH, app
from tests.support.forge import file, folder, opaque, symlink, whiteout
from tests.support.samples import program

ASH, TOOL, USR_SH = program("bin/ash"), program("bin/tool"), program("usr/bin/sh")
GONE = "the shell is gone"
STILL = "the shell is there"
THERE = "a shell"

CASES = (
    Case("66 deleted in layer 2", app([SH], [whiteout("bin/sh")]), THERE, GONE, FINE),
    Case(
        "67 and back in layer 3",
        app([SH], [whiteout("bin/sh")], [SH]),
        "deleted",
        STILL,
        SHELL,
        facts={"shells.0.layer": 4},
    ),
    Case(
        "68 a folder is deleted and made anew",
        app([SH], [whiteout("bin"), folder("bin"), TOOL]),
        "deleted",
        "on overlay the new folder takes the whiteout's place: the shell shows through",
        SHELL,
    ),
    Case(
        "68b without an entry for the folder",
        app([SH], [whiteout("bin"), TOOL]),
        "deleted",
        "on overlay a device is in the way: the pull fails",
        REFUSED_IN_PART,
    ),
    Case(
        "68c a folder is deleted",
        app([SH], [whiteout("bin")]),
        THERE,
        GONE,
        FINE,
    ),
    Case(
        "69 opaque, then siblings",
        app([SH], [folder("bin"), opaque("bin"), ASH]),
        "/bin/sh, too",
        "the siblings stay",
        shells("/bin/ash by path"),
    ),
    Case(
        "69b siblings, then opaque",
        app([SH], [folder("bin"), ASH, opaque("bin")]),
        "none",
        "the siblings stay",
        shells("/bin/ash by path"),
    ),
    Case(
        "69c opaque through a lower layer's link",
        app([USR_SH, symlink("bin", "usr/bin")], [opaque("bin")]),
        "/usr/bin is empty",
        "on overlay /bin is a new folder; /usr/bin/sh stays",
        shells("/usr/bin/sh by path"),
    ),
    Case(
        "70 a name that begins like opaque",
        app([SH], [file("bin/.wh..wh..opqX")]),
        "opaque: gone",
        "it hides .wh..opqX only",
        SHELL,
    ),
    Case("71 a whiteout of nothing", app([file("bin/.wh.")]), "nothing", FAILS, REFUSED_IN_PART),
    Case("71b of a dot", app([file("bin/.wh..")]), "nothing", FAILS, REFUSED_IN_PART),
    Case("71c of two dots", app([file("bin/.wh...")]), "nothing", FAILS, REFUSED_IN_PART),
    Case(
        "72 a whiteout, then the file",
        app([SH], [whiteout("bin/sh"), SH]),
        "deleted",
        STILL,
        SHELL,
    ),
    Case(
        "72b the file, then its whiteout",
        app([SH, whiteout("bin/sh")]),
        "deleted",
        "on overlay the pull fails",
        shells("/bin/sh by path", also="image malformed"),
    ),
    Case(
        "73 a whiteout through a lower layer's link",
        app([USR_SH, symlink("l", "usr/bin")], [whiteout("l/sh")]),
        "deleted",
        "on overlay it hides nothing",
        shells("/usr/bin/sh by path"),
    ),
    Case(
        "73b through a link of its own layer",
        app([USR_SH], [symlink("l", "usr/bin"), whiteout("l/sh")]),
        "a whiteout of /l/sh: the shell is there",
        GONE,
        FINE,
    ),
    Case(
        "74 in a folder that is called .wh.x",
        app([program(".wh.x/sh")]),
        "a whiteout",
        "a folder as any other",
        shells("/.wh.x/sh by path"),
    ),
    Case("75 a whiteout that is a folder", app([SH], [folder("bin/.wh.sh")]), THERE, GONE, FINE),
    Case(
        "75b a whiteout that is a symlink",
        app([SH], [symlink("bin/.wh.sh", "x")]),
        THERE,
        GONE,
        FINE,
    ),
    Case(
        "76 a link replaces a folder",
        app([SH, folder("opt/empty")], [symlink("bin", "opt/empty")]),
        THERE,
        GONE,
        FINE,
    ),
    Case(
        "76b a link to a folder with a shell",
        app([TOOL, program("opt/x/sh")], [symlink("bin", "opt/x")]),
        "none in /bin",
        "/bin/sh can be called",
        shells("/opt/x/sh by path"),
    ),
    Case(
        "76c a folder masks a link",
        app([USR_SH, symlink("bin", "usr/bin")], [TOOL]),
        "/bin/sh and /usr/bin/sh",
        "on overlay /bin is a new folder; /usr/bin/sh stays",
        shells("/usr/bin/sh by path"),
    ),
    Case(
        "77 an opaque root",
        app([SH], [file(".wh..wh..opq")]),
        "an empty image",
        "overlay does not look at the root's mark",
        SHELL,
    ),
)
