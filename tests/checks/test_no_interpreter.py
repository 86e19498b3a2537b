"""no_interpreter: its own facts, its own words, and the list of what is allowed."""

from __future__ import annotations

import pytest

from tests.checks.subjects import found, image, program, subject
from webhook.checks.no_interpreter import CHECK, Family, Interpreters
from webhook.image.interpreters import FAMILIES

PYTHON = program("/usr/bin/python3.13", "python")
LINK = program("/usr/bin/python3", "python", "link", "/usr/bin/python3.13")
HIDDEN = program("/app/helper", "perl", "content")


def allow(*families):
    return Interpreters(allow=tuple(map(Family.parse, families)))


@pytest.mark.parametrize(
    "allowed, expected",
    [
        (
            (),
            [
                (
                    "interpreter",
                    "/usr/bin/python3.13 is python, and /usr/bin/python3 is a link to it",
                ),
                ("interpreter", "/app/helper is perl by its content"),
            ],
        ),
        (("python",), [("interpreter", "/app/helper is perl by its content")]),
        (("python", "perl"), []),
    ],
)
def test_findings(allowed, expected):
    """What is allowed is none, the rest is told as programs are."""
    facts = image(contents={"interpreters": (PYTHON, LINK, HIDDEN)})
    assert found(CHECK, subject(facts), allow(*allowed)) == expected


def test_families():
    """Only what there is can be allowed."""
    assert [Family.parse(name) for name in FAMILIES] == list(FAMILIES)
    for name in ("Python", "python3", "sh", "", None, 3):
        with pytest.raises(ValueError, match="is no interpreter"):
            Family.parse(name)


def test_passes_without():
    """Programs of other kinds are other checks' business."""
    others = ("shells", "package_managers", "build_tools", "setuid")
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
