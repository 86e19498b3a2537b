"""The words of the checks: what ``run`` makes of facts that were not read, and what Windows is."""

from __future__ import annotations

import pytest

from tests.checks.subjects import image, subject
from webhook.checks.check import Check, Finding, Options, run

FINDING = Finding(check="x", result="fail", reason="r", detail="d")


def check(inspect):
    return Check(name="x", title="x", options=Options, inspect=inspect)


def test_run():
    """What was found, and that it is all; a pass is nothing found."""
    assert run(check(lambda _s, _o: iter([FINDING])), subject(None), Options()) == (
        (FINDING,),
        True,
    )
    assert run(check(lambda _s, _o: ()), subject(None), Options()) == ((), True)


@pytest.mark.parametrize(
    ("facts", "reach"),
    [
        pytest.param(None, lambda one: one.image, id="nothing was fetched"),
        pytest.param(image(read=False), lambda one: one.image.files, id="layers were not read"),
    ],
)
def test_not_read(facts, reach):
    """Reaching for what was not read is no pass; what was found before holds all the same."""

    def inspect(one, _options):
        yield FINDING
        reach(one)

    assert run(check(inspect), subject(facts), Options()) == ((FINDING,), False)


@pytest.mark.parametrize(
    ("by_pod", "by_image", "expected"),
    [
        (None, None, False),
        (None, "linux", False),
        (None, "windows", True),
        ("linux", "windows", False),
        ("windows", None, True),
    ],
)
def test_windows(by_pod, by_image, expected):
    """The pod's word is over the image's."""
    facts = None if by_image is None else image(os=by_image)
    assert subject(facts, pod={"os": by_pod}).windows is expected
