"""Chapter 4: tar archives, each with a shell in them."""

from __future__ import annotations

from tests.catalogue.case import (
    FAILS,
    FINE,
    LIMIT,
    MALFORMED,
    REFUSED_IN_PART,
    SHELL,
    UNSUPPORTED,
    Case,
    found,
    shells,
)
from tests.catalogue.images import RAW_SH, SH, app, raw
from tests.support.forge import file, special
from tests.support.rawtar import END, GNU, V7, member, pax
from tests.support.samples import elf, program
from webhook.limits import Limits

ELF = elf()
DECOY = (b"path", b"decoy")
ALSO_MALFORMED = shells("/bin/sh by path", also="image malformed")
HIDDEN = "no shell: decoy"
ENDS = "no shell: it ends before"
IS_SH = "it is /bin/sh"


def long_name(name: bytes) -> bytes:
    """A GNU header that names the next file."""
    return member(b"L", name, kind=b"L", magic=GNU)


def shell_at(name: bytes):
    """An archive with a shell under that name, as it stands in the header."""
    return raw(member(name, ELF))


CASES = (
    Case(
        "48 a global PAX path",
        raw(pax(DECOY, kind=b"g"), RAW_SH),
        HIDDEN,
        "it applies to no file",
        ALSO_MALFORMED,
    ),
    Case(
        "48b a global PAX size",
        raw(pax((b"size", b"0"), kind=b"g"), RAW_SH),
        "an empty file",
        "it applies to no file",
        ALSO_MALFORMED,
    ),
    Case(
        "48c a global header that is called a whiteout",
        app([SH], pax((b"path", b"bin/.wh.sh"), kind=b"g") + END),
        "it means nothing",
        "its name deletes the shell",
        REFUSED_IN_PART,
    ),
    Case(
        "49 one PAX header upon another",
        raw(pax(DECOY), pax((b"mtime", b"1")), RAW_SH),
        HIDDEN,
        "the second replaces the first",
        ALSO_MALFORMED,
    ),
    Case(
        "50 PAX, then global",
        raw(pax(DECOY), pax((b"comment", b"c"), kind=b"g"), RAW_SH),
        HIDDEN,
        "the first is lost",
        ALSO_MALFORMED,
    ),
    Case(
        "51 PAX path and GNU long name",
        raw(long_name(b"bin/sh\0"), pax(DECOY), member(b"x", ELF)),
        HIDDEN,
        "the long name wins",
        SHELL,
    ),
    Case(
        "51b in the other order",
        raw(pax(DECOY), long_name(b"bin/sh\0"), member(b"x", ELF)),
        HIDDEN,
        "the long name wins",
        SHELL,
    ),
    Case(
        "52 an empty PAX path",
        raw(pax((b"path", b"")), RAW_SH),
        "a file without a name",
        "the header's name stays",
        SHELL,
    ),
    Case("52b an empty long name", raw(long_name(b""), RAW_SH), "no name", IS_SH, SHELL),
    Case(
        "53 GNU.sparse.name without a map",
        raw(pax((b"GNU.sparse.name", b"decoy"), (b"GNU.sparse.size", b"0")), RAW_SH),
        HIDDEN,
        "it means nothing",
        SHELL,
    ),
    Case(
        "54 a folder by its PAX name",
        raw(
            pax((b"path", b"opt/")),
            member(b"x", kind=b"\0", size=b"%011o\0" % len(RAW_SH)),
            RAW_SH,
        ),
        "the shell is a file's data",
        "a folder has no data",
        SHELL,
    ),
    Case(
        "54b a file by its PAX name",
        raw(pax((b"path", b"bin/sh")), member(b"x/", ELF, kind=b"\0")),
        "a folder, then an error",
        IS_SH,
        SHELL,
    ),
    Case(
        "55 a uid in base 256",
        raw(member(b"bin/sh", ELF, uid=b"\x81" + bytes(7))),
        ENDS,
        IS_SH,
        SHELL,
    ),
    Case(
        "56 a size after NULs",
        raw(member(b"bin/sh", ELF, size=b"\0\0 %08o " % len(ELF)), member(b"end")),
        "an empty file, and then it ends",
        IS_SH,
        SHELL,
    ),
    Case(
        "57 a mode after NULs",
        raw(member(b"bin/su", ELF, mode=b"\0\0004755\0")),
        "mode 0: no setuid",
        "setuid",
        found("setuid /bin/su", denied="noSetuid setuid"),
    ),
    Case(
        "58 junk for a prefix in V7",
        raw(member(b"bin/sh", ELF, magic=V7, at_345=b"decoy")),
        "decoy/bin/sh",
        IS_SH,
        SHELL,
    ),
    Case(
        "58b GNU's times are no prefix",
        raw(member(b"bin/sh", ELF, magic=GNU, at_345=b"00000000000\0")),
        "00000000000/bin/sh",
        IS_SH,
        SHELL,
    ),
    Case(
        "58c but in old Go's archives",
        raw(member(b"sh", ELF, magic=GNU, at_345=b"bin")),
        "/sh",
        IS_SH,
        SHELL,
    ),
    Case(
        "58d junk for device numbers in V7",
        raw(member(b"bin/sh", ELF, magic=V7, at_329=b"junk")),
        ENDS,
        IS_SH,
        SHELL,
    ),
    Case(
        "59 a bad header in the middle",
        raw(member(b"opt/x"), b"\xff" * 512, RAW_SH),
        ENDS,
        FAILS,
        MALFORMED,
    ),
    Case(
        "59b a wrong checksum",
        raw(member(b"bin/sh", checksum=b"000001\0 ")),
        ENDS,
        FAILS,
        MALFORMED,
    ),
    Case("59c one block of zeros, then data", raw(bytes(512), RAW_SH), ENDS, FAILS, MALFORMED),
    Case("59d no end", app(RAW_SH[:600]), "as far as it goes", FAILS, MALFORMED),
    Case(
        "60 data behind the end",
        raw(member(b"opt/x"), END, RAW_SH),
        "a shell",
        "hashed, never unpacked",
        FINE,
    ),
    Case("61 a name with ..", shell_at(b"../../bin/sh"), "outside", IS_SH, SHELL),
    Case("61b an absolute name", shell_at(b"/bin/sh"), "outside", IS_SH, SHELL),
    Case("61c dots and slashes", shell_at(b".//bin/.//x/../sh"), "another name", IS_SH, SHELL),
    Case("61d a slash behind", shell_at(b"bin/sh/"), "a folder", IS_SH, SHELL),
    Case(
        "62 a PAX header of more than 1 MiB",
        raw(pax((b"comment", b"c" * (1 << 20))), RAW_SH),
        "it takes memory without end",
        FAILS,
        LIMIT,
    ),
    Case(
        "62b entries without end",
        app([file(f"x/{number}") for number in range(200)]),
        "it takes memory without end",
        "it takes long",
        LIMIT,
        limits=Limits(entries=100),
    ),
    Case(
        "62c a path of 64 KiB",
        raw(pax((b"path", b"a/" * (32 << 10) + b"sh")), member(b"x", ELF)),
        "a shell, somewhere",
        FAILS,
        LIMIT,
    ),
    Case(
        "62d names with line feeds and bidi",
        app([program("a\nb/\u202ehs/sh")]),
        "two lines, or turned around",
        "a name as any other",
        shells(r"/a\nb/\u202ehs/sh by path"),
    ),
    Case(
        "62e a name that is not UTF-8",
        raw(member(b"\xff/sh", ELF)),
        "a crash",
        "a name as any other",
        shells(r"/\xff/sh by path"),
    ),
    Case(
        "63 a contiguous file",
        raw(member(b"bin/sh", ELF, kind=b"7")),
        "a shell",
        FAILS,
        UNSUPPORTED,
    ),
    Case(
        "63b an old GNU sparse file",
        raw(member(b"bin/sh", ELF, kind=b"S", magic=GNU)),
        "a shell",
        FAILS,
        UNSUPPORTED,
    ),
    Case(
        "63c a Solaris header", raw(member(b"x", kind=b"X"), RAW_SH), "as PAX", FAILS, UNSUPPORTED
    ),
    Case(
        "64 device 0/0 upon a shell",
        app([SH], [special("bin/sh", b"3")]),
        "a file is there",
        "a whiteout: the shell is gone",
        FINE,
    ),
    Case(
        "64b device 1/3 upon a shell",
        app([SH], [special("bin/sh", b"3", major=1, minor=3)]),
        "a file is there",
        "a device: the shell is gone",
        FINE,
    ),
    Case(
        "65 a shell, then a text",
        app([SH, file("bin/sh", b"text")]),
        "a shell",
        "the last one stays: a text",
        FINE,
    ),
    Case(
        "65b a text, then a shell",
        app([file("bin/sh", b"text"), SH]),
        "a text",
        "the last one stays: a shell",
        SHELL,
    ),
)
