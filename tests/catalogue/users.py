"""Chapter 1: who it runs as."""

from __future__ import annotations

from tests.catalogue.case import FINE, MALFORMED, NOBODY, ROOT, Case, found
from tests.catalogue.images import (
    app,
    bare,
    config_bytes,
    config_text,
    edited,
    replaced,
    user,
)
from tests.support import forge
from tests.support.forge import file, hardlink, special, symlink, whiteout

NON_ROOT = {"run_as_non_root": True}
A_THOUSAND = found(user="1000:1000")
STRING = "non-root: the text is not 0"
FIRST = "the first line counts: uid 0"
NUMBER = "what is no number is 0: root"
NAME = "a name, and its line says root"
CANNOT = "the container is not created"
GO = "Go merges or folds them: uid 0"
NO_JSON = "Go does not parse it: the pull fails"


def named(*layers: list[forge.Entry], **changes):
    """An image whose ``User`` is app, with nothing but these layers to say who that is."""
    return bare(*layers, user="app", **changes)


def text(old: str, new: str, **changes):
    """An image whose config's text is changed."""
    return config_text(app(**changes), old, new)


CASES = (
    Case("01 no User", user(None), "not known", "uid 0", ROOT),
    Case("01b an empty User", user(""), "not known", "uid 0", ROOT),
    Case(
        "01c no config at all",
        edited(app(), config={"config": None}),
        "not known",
        "uid 0",
        ROOT,
        pod={"command": ("/app/server",)},
    ),
    Case("01d User null", text('"65532"', "null"), "a crash", "uid 0", ROOT),
    Case("02 User 0", user("0"), "root", "uid 0", ROOT),
    Case("02b and runAsNonRoot", user("0"), "root", "the kubelet refuses it", ROOT, pod=NON_ROOT),
    Case("03 User 00", user("00"), STRING, "uid 0", ROOT),
    Case("03b User +0", user("+0"), STRING, "uid 0", ROOT),
    Case("03c User -0", user("-0"), STRING, "uid 0", ROOT, pod=NON_ROOT),
    Case("04 User 0:0", user("0:0"), STRING, "uid 0", ROOT),
    Case("04b User 0 and a colon", user("0:"), STRING, "uid 0", ROOT),
    Case("04c User 0:1000", user("0:1000"), STRING, "uid 0, and the group is dropped", ROOT),
    Case("05 User root:root", user("root:root"), "non-root: not root", "the line says 0", ROOT),
    Case("05b User root:1000", user("root:1000"), "non-root: not root", "the line says 0", ROOT),
    Case(
        "05c root:1000 and runAsNonRoot",
        user("root:1000"),
        "non-root: not root",
        "the kubelet refuses it: no number",
        ROOT,
        pod=NON_ROOT,
    ),
    Case(
        "05d a harmless name and runAsNonRoot",
        user("app", b"app:x:1000:1000"),
        "non-root",
        "the kubelet refuses it: no number",
        found(user="1000:1000", denied="nonRoot kubeletRefuses"),
        pod=NON_ROOT,
    ),
    Case("06 User is a colon", user(":"), "not valid", "names nobody: uid 0", ROOT),
    Case("06b User :1000", user(":1000"), "user 1000", "names nobody: uid 0", ROOT),
    Case("07 a name whose uid is 0", user("app", b"app:x:0:0"), "non-root", "root", ROOT),
    Case(
        "07b a name whose uid is 1000",
        user("app", b"app:x:1000:1000"),
        "non-root",
        "1000",
        A_THOUSAND,
    ),
    Case(
        "08 two lines, the first is root",
        user("app", b"app:x:0:0", b"app:x:1000:1000"),
        "the last line: 1000",
        FIRST,
        ROOT,
    ),
    Case(
        "08b two lines, the first is 1000",
        user("app", b"app:x:1000:1000", b"app:x:0:0"),
        "the last line: root",
        "the first line counts: 1000",
        A_THOUSAND,
    ),
    Case("09 a line of a name only", user("app", b"app"), "an error", NUMBER, ROOT),
    Case("09b a line without a uid", user("app", b"app:x"), "an error", NUMBER, ROOT),
    Case(
        "09c a uid of letters",
        user("app", b"app:x:abc:5"),
        "an error",
        NUMBER,
        found(user="0:5", denied="nonRoot runsAsRoot"),
    ),
    Case("09d a uid with an underscore", user("app", b"app:x:1_0:0"), "uid 10", NUMBER, ROOT),
    Case("09e an empty uid", user("app", b"app:x::"), "an error", NUMBER, ROOT),
    Case("09f a uid after a space", user("app", b"app:x: 7:0"), "uid 7", NUMBER, ROOT),
    Case("09g a hexadecimal uid", user("app", b"app:x:0x10:0"), "uid 16", NUMBER, ROOT),
    Case(
        "10 a uid of 2^32", user("app", b"app:x:4294967296:0"), "a big uid", "uint32: uid 0", ROOT
    ),
    Case("10b a uid of -2^32", user("app", b"app:x:-4294967296:0"), "not 0", "uint32: uid 0", ROOT),
    Case("11 a name like a comment", user("#app", b"#app:x:0:0"), "a comment", "root", ROOT),
    Case(
        "12 a line with a carriage return",
        user("app", b"z\rapp:x:1000:1", b"app:x:0:0"),
        "two lines: 1000",
        FIRST,
        ROOT,
    ),
    Case(
        "12b with U+2028",
        user("app", "z\u2028app:x:1000:1".encode(), b"app:x:0:0"),
        "two lines: 1000",
        FIRST,
        ROOT,
    ),
    Case(
        "12c with a vertical tab",
        user("app", b"z\x0bapp:x:1000:1", b"app:x:0:0"),
        "two lines: 1000",
        FIRST,
        ROOT,
    ),
    Case("13 User 1_000", user("1_000", b"1_000:x:0:0"), "uid 1000", NAME, ROOT),
    Case("13b User 1000 and a space", user("1000 ", b"1000 :x:0:0"), "uid 1000", NAME, ROOT),
    Case(
        "13c User in fullwidth digits",
        user("\uff11\uff10\uff10\uff10", "\uff11\uff10\uff10\uff10:x:0:0".encode()),
        "uid 1000",
        NAME,
        ROOT,
    ),
    Case(
        "14 User 2^32", user("4294967296"), "a big uid", "refused, or uid 0 (CVE-2024-40635)", ROOT
    ),
    Case(
        "14b and a line of that name",
        user("4294967296", b"4294967296:x:0:0"),
        "a big uid",
        "refused, or root by name (CVE-2026-46680)",
        ROOT,
    ),
    Case("15 User -1", user("-1"), "non-root: not 0", CANNOT, ROOT),
    Case("16 a name that is not in passwd", user("app"), "non-root", CANNOT, NOBODY),
    Case("16b root on scratch", bare(user="root"), "root", CANNOT, NOBODY),
    Case("16c a name on scratch", bare(user="app"), "non-root", CANNOT, NOBODY),
    Case("17 User 1:2:3", user("1:2:3"), "not valid", "the kubelet passes 1", found(user="1:0")),
    Case("18 User 1000:0", user("1000:0"), "fine", "gid 0", found(user="1000:0")),
    Case(
        "18b and a line with a gid",
        user("1000:0", b"app:x:1000:7"),
        "gid 0",
        "gid 7, of the line",
        found(user="1000:7"),
    ),
    Case(
        "19 a number that is a name, too",
        user("1000", b"1000:x:0:0"),
        "root by name",
        "the number counts",
        found(user="1000:0"),
    ),
    Case(
        "20 passwd is a symlink",
        named([symlink("etc/passwd", "/data/p"), file("data/p", b"app:x:0:0\n")]),
        "no passwd",
        "root, as it leads in the image",
        ROOT,
    ),
    Case(
        "20b /etc is a symlink",
        named([file("data/passwd", b"app:x:0:0\n"), symlink("etc", "data")]),
        "no passwd",
        "root, as it leads in the image",
        ROOT,
    ),
    Case(
        "20c passwd of a later layer",
        named([file("etc/passwd", b"app:x:1000:1000\n")], [file("etc/passwd", b"app:x:0:0\n")]),
        "the base's: 1000",
        "the last layer's: root",
        ROOT,
    ),
    Case(
        "20d passwd is deleted",
        named([file("etc/passwd", b"app:x:1000:1000\n")], [whiteout("etc/passwd")]),
        "the base's: 1000",
        CANNOT,
        NOBODY,
    ),
    Case(
        "20e passwd of more than 10 MiB",
        named([file("etc/passwd", b"app:x:1000:1000\n" + b"\n" * (10 << 20))], compression="none"),
        "1000",
        CANNOT,
        NOBODY,
    ),
    Case(
        "20f a line of 70 KiB",
        named([file("etc/passwd", b"app:x:1000:1000\nx:" + b"x" * 70_000)]),
        "1000",
        CANNOT,
        NOBODY,
    ),
    Case("20g passwd is a fifo", named([special("etc/passwd", b"6")]), "it hangs", CANNOT, NOBODY),
    Case(
        "20h a number, and passwd is a fifo",
        bare([special("etc/passwd", b"6")]),
        "non-root",
        CANNOT,
        NOBODY,
    ),
    Case(
        "20i passwd is a hard link",
        named([file("data", b"app:x:0:0\n"), hardlink("etc/passwd", "data", mode=0o644)]),
        "no passwd",
        "root, by the same file's name",
        ROOT,
    ),
    Case(
        "21 User and user",
        text('"User": "65532"', '"User": "65532", "user": "0"'),
        "65532",
        GO,
        MALFORMED,
    ),
    Case(
        "22 config twice",
        text('"config": {', '"config": {"User": "0"}, "config": {', user=None),
        "the last one's",
        GO,
        MALFORMED,
    ),
    Case(
        "23 User 0, then null",
        text('"User": "0"', '"User": "0", "User": null', user="0"),
        "null",
        "null changes nothing: uid 0",
        MALFORMED,
    ),
    Case(
        "24 a long s in uſer",
        text('"User": "65532"', '"User": "65532", "u\u017fer": "0"'),
        "65532",
        GO,
        MALFORMED,
    ),
    Case("24b USER alone", text('"User": "65532"', '"USER": "0"'), "none", GO, MALFORMED),
    Case("25 User is a number", text('"65532"', "0"), "uid 0", NO_JSON, MALFORMED),
    Case(
        "26 a byte order mark",
        config_bytes(app(), lambda text: b"\xef\xbb\xbf" + text.encode()),
        "65532",
        NO_JSON,
        MALFORMED,
    ),
    Case(
        "26b UTF-16",
        config_bytes(app(), lambda text: text.encode("utf-16")),
        "65532",
        NO_JSON,
        MALFORMED,
    ),
    Case(
        "27 a second document behind",
        config_bytes(
            app(), lambda text: (text + replaced(text, '"User": "65532"', '"User": "0"')).encode()
        ),
        "65532: the first",
        NO_JSON,
        MALFORMED,
    ),
    Case(
        "27b white space behind",
        config_bytes(app(), lambda text: f"{text}\n ".encode()),
        "65532",
        "65532",
        FINE,
    ),
)
