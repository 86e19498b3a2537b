"""Who it runs as: catalogue 1-20, the truth of kubelet and containerd as expectation."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from webhook.errors import LimitExceeded
from webhook.image.facts import User
from webhook.image.user import (
    PasswdProblem,
    image_user,
    kubelet_refusal,
    parse_int,
    resolve,
)

PASSWD = b"""root:x:0:0:root:/root:/sbin/nologin
nobody:x:65534:65534:nobody:/nonexistent:/sbin/nologin
nonroot:x:65532:65533:nonroot:/home/nonroot:/sbin/nologin
"""
ROOT, NONROOT, DEAD = True, False, None


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        # Go strconv.ParseInt(text, 10, 64)
        ("0", 0),
        ("00", 0),
        ("+0", 0),
        ("-0", 0),
        ("1000", 1000),
        ("+1000", 1000),
        ("-1", -1),
        ("0" * 5_000 + "7", 7),
        ("9223372036854775807", 2**63 - 1),
        ("9223372036854775808", 2**63),
        ("-9223372036854775808", -(2**63)),
        ("-9223372036854775809", -(2**63) - 1),
        ("9" * 5_000, 2**63),
        ("-" + "9" * 5_000, -(2**63) - 1),
        ("99999999999999999999x", 2**63),
        ("-99999999999999999999_", -(2**63) - 1),
        ("018446744073709551616 ", 2**63),
        ("18446744073709551615 ", None),
        ("", None),
        ("+", None),
        ("--1", None),
        ("1_000", None),
        ("0x10", None),
        ("1000 ", None),
        (" 1000", None),
        ("1000\n", None),
        ("1e3", None),
        ("1.0", None),
        ("\uff11\uff10", None),
        ("\u0661", None),
    ],
)
def test_parse_int(text, expected):
    assert parse_int(text) == expected


@pytest.mark.parametrize(
    ("declared", "expected"),
    [
        # containerd internal/cri/server/images getUserFromImage
        ("", (None, "")),
        (":", (None, "")),
        (":1000", (None, "")),
        ("0", (0, "")),
        ("1000:1000", (1000, "")),
        ("1:2:3", (1, "")),
        ("-1", (-1, "")),
        ("root:x", (None, "root")),
        ("1_000", (None, "1_000")),
        ("9223372036854775808", (None, "9223372036854775808")),
    ],
)
def test_image_user(declared, expected):
    assert image_user(declared) == expected


@pytest.mark.parametrize(
    ("declared", "uid", "root"),
    [
        pytest.param("", 0, ROOT, id="1 none"),
        *(pytest.param(user, 0, ROOT, id=f"2-3 {user}") for user in ("0", "00", "+0", "-0")),
        *(pytest.param(user, 0, ROOT, id=f"4 {user}") for user in ("0:0", "0:", "0:1000")),
        *(pytest.param(user, 0, ROOT, id=f"5 {user}") for user in ("root:root", "root:1000")),
        *(pytest.param(user, 0, ROOT, id=f"6 {user}") for user in (":", ":1000")),
        pytest.param("1_000", None, DEAD, id="13 underscore is a name"),
        pytest.param("1000 ", None, DEAD, id="13 a space is a name"),
        pytest.param("4294967296", 0, ROOT, id="14 2**32"),
        pytest.param("2147483648", 0, ROOT, id="14 2**31"),
        pytest.param("9223372036854775808", 0, ROOT, id="14 2**63"),
        pytest.param("99999999999999999999x", 0, ROOT, id="14 beyond, then a letter"),
        pytest.param("-1", 0, ROOT, id="15 negative"),
        pytest.param("app", None, DEAD, id="16 no such name"),
        pytest.param("1:2:3", 1, NONROOT, id="17 three parts"),
        pytest.param("2147483647", 2**31 - 1, NONROOT, id="the largest uid"),
        pytest.param("65532", 65532, NONROOT, id="distroless"),
        pytest.param("nonroot", 65532, NONROOT, id="distroless by name"),
        pytest.param("Root", None, DEAD, id="names have a case"),
    ],
)
def test_declared(declared, uid, root):
    user = resolve(declared, PASSWD)
    assert (user.declared, user.uid, user.root) == (declared, uid, root)


@pytest.mark.parametrize(
    ("passwd", "uid", "root"),
    [
        pytest.param(b"app:x:0:0", 0, ROOT, id="7 uid 0"),
        pytest.param(b"app:x:0:0\napp:x:1000:1", 0, ROOT, id="8 first line wins, 0"),
        pytest.param(b"app:x:1000:1\napp:x:0:0", 1000, NONROOT, id="8 first line wins, 1000"),
        *(
            pytest.param(line, 0, ROOT, id=f"9 {line.decode()}")
            for line in (b"app", b"app:x", b"app:x::", b"app:x:abc:5", b"app:x:1_0:0")
        ),
        *(
            pytest.param(line, 0, ROOT, id=f"9 {line.decode()}")
            for line in (b"app:x: 0:0", b"app:x:0x10:0", b"app:x:1000 :0", b"app:x:+0:0")
        ),
        pytest.param(b"app:x:4294967296:0", 0, ROOT, id="10 2**32"),
        pytest.param(b"app:x:-4294967296:0", 0, ROOT, id="10 -2**32"),
        pytest.param(b"app:x:4294968296:0", 1000, NONROOT, id="10 2**32 + 1000"),
        pytest.param(b"app:x:-1:0", 2**32 - 1, NONROOT, id="10 -1"),
        pytest.param(b"app:x:" + b"9" * 99 + b":0", 2**32 - 1, NONROOT, id="10 clamped"),
        pytest.param(b"app:x:" + b"9" * 20 + b"x:0", 2**32 - 1, NONROOT, id="10 clamped, junk"),
        pytest.param(b"app:x:-" + b"9" * 99 + b":0", 0, ROOT, id="10 clamped below"),
        pytest.param(b"z\rapp:x:1000:1\napp:x:0:0", 0, ROOT, id="12 CR ends no line"),
        pytest.param(b"z\x0bapp:x:1000:1\napp:x:0:0", 0, ROOT, id="12 VT ends no line"),
        pytest.param("z\u2028app:x:1000:1\napp:x:0:0".encode(), 0, ROOT, id="12 LS ends none"),
        pytest.param(b"  app:x:0:0  ", 0, ROOT, id="spaces around the line"),
        pytest.param("\u3000\u0085app:x:5".encode(), 5, NONROOT, id="Unicode spaces around"),
        pytest.param(b"\x1capp:x:0\napp:x:5", 5, NONROOT, id="U+001C is no space in Go"),
        pytest.param(b"app:x:5\r\n", 5, NONROOT, id="CRLF"),
        pytest.param(b"app:x:1000\xff:0", 0, ROOT, id="uid that is not UTF-8"),
        pytest.param(b"\xff\xfe\napp:x:7:0", 7, NONROOT, id="a line that is not UTF-8"),
        pytest.param(b"app :x:7:0", None, DEAD, id="the name is compared as it is"),
        pytest.param(b"app:x:007:0", 7, NONROOT, id="leading zeros"),
        pytest.param(b"", None, DEAD, id="16 empty file"),
        pytest.param(None, None, DEAD, id="16 no file"),
        pytest.param(PasswdProblem(detail="is a fifo"), None, DEAD, id="20 a fifo"),
        pytest.param(b"app:x:7\n" + b"z" * 65_535, 7, NONROOT, id="20 the longest line"),
        pytest.param(b"app:x:7\n" + b"z" * 65_536, None, DEAD, id="20 a line of 64 KiB"),
        pytest.param(b"z" * 65_536 + b"\napp:x:7", None, DEAD, id="20 a line of 64 KiB before"),
    ],
)
def test_name(passwd, uid, root):
    user = resolve("app:1000", passwd)
    assert (user.uid, user.root) == (uid, root)


@pytest.mark.parametrize(
    ("declared", "passwd"),
    [
        pytest.param("#app", b"#app:x:0:0", id="11 no comments in passwd"),
        pytest.param("\uff11\uff10", "\uff11\uff10:x:0:0".encode(), id="13 fullwidth digits"),
        pytest.param("1_000", b"1_000:x:0:0", id="13 underscore"),
    ],
)
def test_odd_names_are_names(declared, passwd):
    assert resolve(declared, passwd).root is True


@pytest.mark.parametrize("passwd", [None, b"", b"1000:x:0:0", b"1000:x:0:0\napp:x:1000:7"])
def test_19_a_number_is_no_name(passwd):
    user = resolve("1000", passwd)
    assert (user.uid, user.root) == (1000, False)


@pytest.mark.parametrize(
    ("declared", "passwd", "gid"),
    [
        pytest.param("1000:0", b"app:x:1000:7", 7, id="18 the entry's, not the declared"),
        pytest.param("1000:1000", None, 0, id="18 no file: 0"),
        pytest.param("1000:1000", b"app:x:1001:7", 0, id="18 no entry: 0"),
        pytest.param("1000", b"a:x:1000:7\nb:x:1000:8", 7, id="the first entry's"),
        pytest.param("app", b"app:x:1000:7", 7, id="a name's"),
        pytest.param("app:9", b"app:x:1000:4294967303", 7, id="truncated too"),
        pytest.param("", b"root:x:0:5", 5, id="root's, where nobody is named"),
        pytest.param("0", b"zero\nroot:x:0:5", 0, id="a line without a uid is uid 0"),
    ],
)
def test_gid(declared, passwd, gid):
    assert resolve(declared, passwd).gid == gid


@pytest.mark.parametrize(
    ("declared", "passwd", "reason"),
    [
        ("", PASSWD, "the image names no User: the kubelet runs it as root"),
        (":5", PASSWD, 'User ":5" names nobody: the kubelet runs it as root'),
        ("0:5", PASSWD, 'User "0:5" is uid 0'),
        ("app", b"a:x:1\nb:x:2\napp:x:0:0", 'User "app" is uid 0 in /etc/passwd line 3'),
        ("app", b"\n\napp:x:abc:0", 'User "app" is uid 0 in /etc/passwd line 3, written "abc"'),
        ("nonroot", PASSWD, 'User "nonroot" is uid 65532 in /etc/passwd line 3'),
        ("app", PASSWD, 'would not start: User "app" is not in /etc/passwd'),
        ("app", None, 'would not start: User "app" is a name, and there is no /etc/passwd'),
        ("app", PasswdProblem(detail="is a fifo"), "would not start: /etc/passwd is a fifo"),
        ("5", b"z" * 70_000, "would not start: /etc/passwd has a line (1) of 64 KiB or more"),
        ("a\x1b[2J\u202e", b"", r'would not start: User "a\u001b[2J\u202e" is not in /etc/passwd'),
    ],
)
def test_reason(declared, passwd, reason):
    assert resolve(declared, passwd).reason == reason


def test_out_of_range_says_what_each_version_does():
    reason = resolve("4294967296", None).reason
    assert reason.startswith('User "4294967296" is outside 0 to 2147483647: containerd refuses it')


@pytest.mark.parametrize("declared", ["", "0", ":"])
@pytest.mark.parametrize("passwd", [PasswdProblem(detail="is a fifo"), b"z" * 70_000])
def test_root_stays_root_whatever_the_file_is(declared, passwd):
    """CRI-O starts it all the same."""
    assert resolve(declared, passwd).root is True


def test_a_file_of_millions_of_lines_is_refused():
    with pytest.raises(LimitExceeded, match="more than 100000 lines"):
        resolve("app", b"\n" * 100_001)


@pytest.mark.parametrize(
    ("declared", "refusal"),
    [
        ("", "image will run as root"),
        (":5", "image will run as root"),
        ("00:5", "image will run as root"),
        ("root", "image has non-numeric user (root), cannot verify user is non-root"),
        ("nonroot:1", "image has non-numeric user (nonroot), cannot verify user is non-root"),
        ("1_000", "image has non-numeric user (1_000), cannot verify user is non-root"),
        ("-1", "image has an invalid user id (-1). (Must be 1-(2147483647))"),
        ("4294967296", "image has an invalid user id (4294967296). (Must be 1-(2147483647))"),
        ("65532", None),
        ("1:2:3", None),
        ("2147483647", None),
    ],
)
def test_kubelet_refusal(declared, refusal):
    found = kubelet_refusal(declared)
    assert found is None if refusal is None else refusal in found


@given(st.text(), st.binary())
def test_never_half_an_answer(declared, passwd):
    """Either it starts, and all is known, or it does not, and nothing is."""
    user = resolve(declared, passwd)
    assert isinstance(user, User)
    assert len({user.uid is None, user.gid is None, user.root is None}) == 1
    assert (user.uid == 0) == (user.root is True)
