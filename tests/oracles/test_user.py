"""Who a container runs as, against containerd's ``oci.WithUser`` over a real folder.

Two versions are asked, by the path a pod's container takes (CRI server, kubelet, CRI server): the
newest, and 1.7.26, whose numbers wrap (CVE-2024-40635). The worst reading is what counts.
"""

from __future__ import annotations

import base64
import json

import pytest
from hypothesis import strategies as st

from tests.oracles.support import BOTH_REFUSE, EQUAL, mostly, refused
from webhook.image.user import resolve

CLASSES = {
    "no uid, so root": "is outside 0 to",
    "root whatever the file is": "is uid 0$|names no|the image names no User",
}
BORDERS = [
    str(border + step) for border in (2**31, 2**32, 2**63, 2**64, 10**30) for step in range(-2, 3)
]
NUMBERS = [
    *("0", "1", "00", "+0", "-0", "+1", "-1", "1000", "01000", "65532", *BORDERS),
    *(str(-border) for border in (2**31, 2**32, 2**63)),
    *("1_0", " 1", "1 ", "0x0", "0b1", "1.0", "1e3", "١", "０", "", "-", "+", "--1"),
    *("18446744073709551616x", "99999999999999999999_", "9" * 30 + " "),
]
NAMES = [
    *("root", "app", "app", "app", "App", "#app", "é", "a b", " app", "app\t", "\u2028", ""),
    *("x\x1f", "1000", "4294967296"),
]
PLAIN = ["0", "00", "+0", "-0", "1", "1000", "01000", "2147483647", "65532"]
USERS = st.one_of(
    st.sampled_from(NAMES),
    st.sampled_from(NAMES),
    st.sampled_from(PLAIN),
    st.sampled_from(NUMBERS),
    st.tuples(st.sampled_from([*NAMES, *PLAIN]), st.sampled_from([*NAMES, *PLAIN])).map(":".join),
    st.sampled_from([":", "::", ":0", "1:2:3", "app:x:0", "0:", "\ufeffapp", "app\n"]),
)
RARE_BYTES = [b"\xff", b"\0", b"\xc2\x85", b"\xe2\x80\xa8", b"\x1c", b"\xa0", b"\x85"]
KEYS = st.sampled_from([word.encode() for word in (*NAMES, *NAMES, *NUMBERS)])
FIELDS = st.sampled_from([*(word.encode() for word in (*NUMBERS, *NAMES)), *RARE_BYTES])
LINES = st.one_of(
    st.builds(b"%b:x:%b:%b::".__mod__, st.tuples(KEYS, FIELDS, FIELDS)),
    st.builds(b"%b:x:%b:%b::".__mod__, st.tuples(KEYS, FIELDS, FIELDS)),
    st.lists(FIELDS, max_size=8).map(b":".join),
    st.sampled_from([rare + b"app:x:0:0" + rare for rare in RARE_BYTES]),
    st.sampled_from([b"", b"#", b"+::::::", b"app:x:1000:1000:a:/:/bin/sh", b"root:x:0:0:::"]),
)
ENDS = st.sampled_from([*[b"\n"] * 8, b"\r\n", b"\r", b"\n\n", b"\x0b", b"\xe2\x80\xa8", b"\0"])
LONG = st.sampled_from([65_534, 65_535, 65_536, 65_537]).map(lambda size: b"l" * size)
FILES = st.lists(st.tuples(LINES, ENDS).map(b"".join), max_size=4).map(b"".join)
PASSWD = mostly(
    FILES,
    st.one_of(
        st.none(),
        st.tuples(FILES, LONG, st.sampled_from([b"", b"\n", b"\r\n"]), FILES).map(b"".join),
    ),
)


@pytest.fixture(scope="module")
def ask(oracle, tmp_path_factory):
    """Both versions' answers: lists of who it runs as, or of none where it would not start."""
    new = oracle("image", "user", str(tmp_path_factory.mktemp("new")))
    old = oracle("user17", str(tmp_path_factory.mktemp("old")))

    def ask_both(user, passwd):
        file = None if passwd is None else base64.b64encode(passwd).decode()
        told = new(json.dumps({"user": user, "passwd": file}).encode())
        before = old(json.dumps({"user": told["asked"], "passwd": file}).encode())
        return [run for run in (told["runs"], before) if "error" not in run]

    return ask_both


def compare(runs, user, passwd):
    found = resolve(user, passwd)
    if found.root is None:
        assert not runs, "slimgate says that it would not start"
        return BOTH_REFUSE
    # A number that is no uid is refused as root without working out whose group it would get.
    if "is outside 0 to" in found.reason:
        return refused(found.reason, CLASSES)
    same = {"uid": found.uid, "gid": found.gid}
    if found.root and not any(run["uid"] == 0 for run in runs):
        return refused(found.reason, CLASSES)
    assert runs, "slimgate takes what does not start"
    assert all(run == same for run in runs if found.uid or not run["uid"])
    assert found.root is any(run["uid"] == 0 for run in runs)
    return EQUAL


def test_users(ask, truth):
    """The worst of what containerd's versions do."""
    truth("user", st.tuples(USERS, PASSWD), lambda pair: compare(ask(*pair), *pair))
