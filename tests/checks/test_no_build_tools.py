"""no_build_tools: its own facts, its own words; folding and bounds are tested with noShell."""

from __future__ import annotations

from tests.checks.subjects import found, image, program, subject
from webhook.checks.no_build_tools import CHECK


def test_finding():
    """A program of this kind is a failure with its path."""
    tools = (program("/usr/bin/gcc", "gcc"), program("/usr/include", "headers"))
    assert found(CHECK, subject(image(contents={"build_tools": tools}))) == [
        ("buildTool", "/usr/bin/gcc is gcc"),
        ("buildTool", "/usr/include is a tree of C headers"),
    ]


def test_passes_without():
    """Programs of other kinds are other checks' business."""
    others = ("shells", "packed", "package_managers", "interpreters", "setuid")
    contents = {name: (program("/bin/x", "x"),) for name in others}
    assert found(CHECK, subject(image(contents=contents))) == []


def test_needs_the_layers():
    """Not looked is not the same as not there."""
    assert found(CHECK, subject(image(read=False))) is None


def test_windows_is_unknown():
    """Layers of Windows images are not read."""
    assert found(CHECK, subject(None, pod={"os": "windows"})) == [
        ("unsupported", "the files of Windows images are not read")
    ]
