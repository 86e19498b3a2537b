"""Who runs: the image's User (first line) against an /etc/passwd (the rest)."""

from __future__ import annotations

from webhook.errors import LimitExceeded
from webhook.image.user import image_user, kubelet_refusal, resolve
from webhook.limits import KIB

MAX_BYTES = 4 * KIB
WORDS = (
    *(b"app:x:", b"root:x:0:0", b":0:", b"4294967296", b"2147483648", b"-1", b"+0", b"00", b"\xa0"),
    *(b"\xc2\x85", b"\x1c", b"\r\n", b"::::::", b"#", b"\0", b"18446744073709551616", b"\xff"),
)
LINE = b"app:x:1000:1000:App:/:/sbin/nologin\n"
SEEDS = {
    "name": b"app\nroot:x:0:0:root:/:\n" + LINE,
    "number": b"65532:65532\n" + LINE,
    "empty": b"\n" + LINE,
    "colon": b":0\n" + LINE,
    "unknown": b"who\n" + LINE,
    "zero-in-disguise": b"app\napp:x:4294967296:1\n",
    "spaces": b"app\n\xc2\xa0app:x:7:7\n app:x:8:8\n",
    "short-lines": b"app\napp\napp:x\napp:x:1\n",
    "leading-zeros": b"0000\n" + LINE,
    "sign": b"+5\n-app:x:0\n",
    "too-large": b"2147483648\n" + LINE,
    "not-utf8": b"\xff\n\xff:x:5:5\n",
    "no-file-end": b"app\napp:x:9:9",
}


def check(data: bytes) -> None:
    first, _, passwd = data.partition(b"\n")
    declared = first.decode("utf-8", "surrogateescape")
    try:
        user = resolve(declared, passwd)
    except LimitExceeded:
        return
    assert user.declared == declared
    assert (user.root is None) == (user.uid is None) == (user.gid is None)
    assert user.root is None or user.root == (user.uid == 0)
    for number in (user.uid, user.gid):
        assert number is None or 0 <= number < 2**32
    # The group part is dropped, and a newline at the end or lines after it change no match.
    same = ("uid", "gid", "root")
    alone = declared.partition(":")[0]
    assert _picked(resolve(alone, passwd), same) == _picked(user, same)
    if user.root is not None and passwd.endswith(b"\n") and len(passwd) < MAX_BYTES:
        name, number = image_user(declared)[1], image_user(declared)[0]
        after = f"{name or 'x'}:x:{number or 0}:0:::\n".encode("utf-8", "surrogateescape")
        if name and ":" not in name:
            assert _picked(resolve(declared, passwd + after), same) == _picked(user, same)
    # Whom the kubelet takes for no root, nothing here may call root, and the other way round.
    if kubelet_refusal(declared) is None:
        assert user.root is not True
    if not passwd and user.root is False:
        assert kubelet_refusal(declared) is None
    _check_by_hand(alone, passwd, user)


def _picked(user, fields) -> tuple[object, ...]:
    return tuple(getattr(user, name) for name in fields)


def _check_by_hand(name: str, passwd: bytes, user) -> None:
    """A plain file, read the naive way: the first line of that name decides."""
    if not (name.isascii() and name.isalpha() and _plain(passwd)):
        return
    fields = [line.split(b":") for line in passwd.split(b"\n") if line]
    found = [each for each in fields if each[0] == name.encode()]
    if not found:
        assert user.root is None
    elif len(found[0]) > 3 and found[0][2].isdigit() and len(found[0][2]) < 10:
        assert user.uid == int(found[0][2])


def _plain(passwd: bytes) -> bool:
    return all(33 <= byte < 127 or byte == 10 for byte in passwd)
