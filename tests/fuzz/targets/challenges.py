"""WWW-Authenticate: never an exception, and what is understood is understood again."""

from __future__ import annotations

from webhook.limits import KIB
from webhook.registry.challenges import Challenge, parse_challenges

MAX_BYTES = 4 * KIB
WORDS = (b"Bearer ", b"Basic ", b'realm="', b'service="', b'scope="', b'\\"', b", ", b"=", b"==")
SEEDS = {
    "bearer": b'Bearer realm="https://auth.example/token",service="r",scope="repository:a:pull"',
    "basic": b'Basic realm="r"',
    "two": b'Basic realm="a, b", Bearer realm="https://x", error="invalid_token"',
    "bare": b"Negotiate, Basic",
    "token68": b"Negotiate abcd==, Basic realm=x",
    "escaped": b'Bearer realm="a\\"b\\\\"',
    "unclosed": b'Bearer realm="a',
    "twice": b"Bearer realm=a, realm=b",
    "spaces": b" ,\t, Bearer  realm = a ,, service\t=\tb ,",
    "nonsense": b"=,=;{}\xff",
}


def check(data: bytes) -> None:
    header = data.decode("latin-1")
    read = parse_challenges(header)
    for one in read:
        assert one.scheme == one.scheme.lower()
        assert one.scheme
        assert one.scheme in header.lower()
        assert all(name == name.lower() for name in one.parameters)
    assert parse_challenges(", ".join(map(_written, read))) == read
    # What was understood does not depend on a fault after it.
    assert parse_challenges(header + ', Basic realm="\x00')[: len(read) - 1] == read[:-1]


def _written(one: Challenge) -> str:
    parameters = ", ".join(
        '{}="{}"'.format(name, value.replace("\\", "\\\\").replace('"', '\\"'))
        for name, value in one.parameters.items()
    )
    return f"{one.scheme} {parameters}".strip()
