"""os-release(5)."""

from __future__ import annotations

import pytest

from webhook.image.osrelease import parse


@pytest.mark.parametrize(
    "body, expected",
    [
        (b"ID=debian\nVERSION_ID='12'\n", {"ID": "debian", "VERSION_ID": "12"}),
        (b'PRETTY_NAME="Distroless"\r\n', {"PRETTY_NAME": "Distroless"}),
        (b'NAME="a \\"b\\" \\$c \\\\"', {"NAME": 'a "b" $c \\'}),
        (b"# ID=x\n\n  ID=y  \n", {"ID": "y"}),
        (b"ID=first\nID=last\n", {"ID": "last"}),
        (b"id=lower\nNO EQUALS\n=x\n", {}),
        (b"ID=", {"ID": ""}),
        (b"ID=\xff", {"ID": "\ufffd"}),
        (b'ID="', {"ID": '"'}),
        (b"", {}),
    ],
)
def test_parse(body: bytes, expected: dict[str, str]) -> None:
    assert parse(body) == expected
