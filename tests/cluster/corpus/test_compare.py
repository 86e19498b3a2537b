"""The comparison notices what it is there for."""

from __future__ import annotations

import pytest

from tests.cluster.corpus.compare import Row, Said
from tests.cluster.corpus.images import LOOKALIKES, SHELLS, Member
from tests.cluster.corpus.node import Name, Seen
from tests.support.samples import distroless

DASH = Name(file="1:5", how="own", shell="1:5", unknown=False)
HANDS_OVER = Name(file="1:6", how="own", shell="1:5", unknown=False)
BUSYBOX_LS = Name(file="1:5", how="named", shell="1:5", unknown=False)
PLAIN = Name(file="1:7", how="", shell="", unknown=False)


def seen(uid=65532, *, gid=0, started=True, **names):
    """A container with these programs in ``/bin``."""
    return Seen(
        uid=uid, gid=gid, started=started, names={f"/bin/{key}": one for key, one in names.items()}
    )


def said(*shells, uid=65532, fatal=()):
    return Said(uid=uid, gid=0, fatal=fatal, shells=tuple(f"/bin/{one}" for one in shells))


@pytest.mark.parametrize(
    "answer, truth, differences",
    [
        pytest.param(said(), seen(tool=PLAIN), [], id="nothing"),
        pytest.param(said("sh"), seen(sh=DASH), [], id="found"),
        pytest.param(said(), seen(sh=DASH), ["shells that were not found: /bin/sh"], id="missed"),
        pytest.param(
            said("sh"), seen(sh=DASH, x=DASH), ["shells that were not found: /bin/x"], id="one-name"
        ),
        pytest.param(said("sh"), seen(sh=DASH, su=HANDS_OVER), [], id="hands-over"),
        pytest.param(
            said(), seen(su=HANDS_OVER), ["shells that were not found: /bin/su"], id="to-what"
        ),
        pytest.param(said("busybox"), seen(busybox=DASH, ls=BUSYBOX_LS), [], id="applet"),
        pytest.param(
            said(), seen(ls=BUSYBOX_LS), ["shells that were not found: /bin/ls"], id="only-applet"
        ),
        pytest.param(said("tool"), seen(tool=PLAIN), ["no shells: /bin/tool"], id="innocent"),
        pytest.param(said("gone"), seen(tool=PLAIN), ["no shells: /bin/gone"], id="not-there"),
        pytest.param(said(), seen(uid=0), ["uid 65532, and it runs as 0"], id="uid"),
        pytest.param(said(), seen(gid=5), ["gid 0, and it runs with 5"], id="gid"),
        pytest.param(
            said(fatal=("runnable commandMissing",)),
            seen(),
            ["it starts, in spite of runnable commandMissing"],
            id="starts",
        ),
        pytest.param(said(), seen(started=False), ["it does not start: "], id="does-not-start"),
    ],
)
def test_differences(answer, truth, differences):
    row = Row(Member(SHELLS, "an image", distroless), answer, truth)

    assert list(row.differences) == differences


def test_a_refusal_is_no_difference_and_told_of():
    row = Row(Member(LOOKALIKES, "an image", distroless), Said(refused="image malformed"), seen())

    assert (row.differences, row.reason) == ((), "image malformed")
