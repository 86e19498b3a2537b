"""Plain requests: what is taken for one is the same to gunicorn, byte by byte."""

from __future__ import annotations

import http.client
import io
import socket

import pytest
from gunicorn.config import Config
from gunicorn.http import get_parser
from hypothesis import given, settings
from hypothesis import strategies as st

from webhook.server.plain import LARGEST, parsed

GO = (
    b"POST /validate?timeout=10s HTTP/1.1\r\nHost: slimgate.slimgate.svc:443\r\n"
    b"User-Agent: kube-apiserver-admission\r\nContent-Length: 2\r\n"
    b"Accept: application/json, */*\r\nContent-Type: application/json\r\n"
    b"Accept-Encoding: gzip\r\n\r\n{}"
)
"""As the API server sends it (seen of 1.37)."""
PIECES = (
    *(b"GET ", b"/validate?timeout=1%30s", b"//validate", b"/Validate", b"#x", b" HTTP/1.0"),
    *(b"Content-Length: 3\r\n", b"Content-Length: +2\r\n", b"content-length: 1\r\n"),
    *(b"Content-Length: \r\n", b"Transfer-Encoding: chunked\r\n", b"Connection: close\r\n"),
    *(b"Expect: 100-continue\r\n", b"X-Any: 1\r\n", b" folded\r\n", b"Host : x\r\n"),
    *(b"\xff: 1\r\n", b"Accept: \xe9\r\n", b"Content_Type: a\r\n", b"Host:  x \r\n"),
    *(b"\r\n", b"\n", b"\r", b"\0", b" ", b":", b"?", b"2\r\n{}\r\n0\r\n\r\n"),
)


def by_gunicorn(data):
    """The same of the same request, by the parser that it is spared."""
    parser = get_parser(Config(), [data], ("192.0.2.1", 1))
    request = next(parser)
    body = request.body.read()
    kind = dict(request.headers).get("CONTENT-TYPE", "")
    behind = parser.unreader.take_buffered()
    return request.method, request.path, request.query, kind, body, behind, request.should_close()


@st.composite
def requests(draw):
    """The API server's, and what comes behind it, with pieces put in and bytes taken out."""
    data = GO + draw(st.sampled_from((b"", GO, b"POS", b"{}")))
    for _ in range(draw(st.integers(0, 4))):
        lines = [n + 2 for n in range(len(data)) if data[n : n + 2] == b"\r\n"]
        at = draw(st.one_of(st.sampled_from([0, *lines]), st.integers(0, len(data))))
        gone = draw(st.sampled_from((0, 0, 0, 1, 2, 10)))
        data = data[:at] + draw(st.sampled_from((b"", *PIECES))) + data[at + gone :]
    return data


@settings(max_examples=500)
@given(requests())
def test_what_is_plain_is_the_same_to_gunicorn(data):
    one = parsed(data)
    if one is not None:
        mine = ("POST", one.path, one.query, one.content_type, one.body, one.behind, False)
        assert by_gunicorn(data) == mine


def test_the_api_servers_is_plain():
    one = parsed(GO + b"POST")
    assert (one.path, one.query) == ("/validate", "timeout=10s")
    assert (one.content_type, one.body, one.behind) == ("application/json", b"{}", b"POST")


def test_what_is_not_whole_is_not_taken():
    assert parsed(GO[:-1]) is None


@pytest.mark.parametrize(
    ("was", "becomes"),
    [
        pytest.param(b"POST", b"GET", id="another method"),
        pytest.param(b"HTTP/1.1", b"HTTP/1.0", id="another version"),
        pytest.param(b"/validate", b"/v%61lidate", id="an escape in the path"),
        pytest.param(b"Host:", b"Host :", id="a space before the colon"),
        pytest.param(b"Accept: ", b"Accept:\t", id="a tab"),
        pytest.param(b"Accept: ", b"Connection: ", id="a field that means something"),
        pytest.param(b"Accept: ", b"Transfer-Encoding: ", id="one that means a lot"),
        pytest.param(b"Accept: ", b"Host: ", id="a field twice"),
        pytest.param(b"Length: 2", b"Length: 2, 2", id="two lengths"),
        pytest.param(b"Length: 2", b"Length: \xb2", id="no digit"),
        pytest.param(b"Content-Length: 2\r\n", b"", id="no length"),
        pytest.param(b"Length: 2", b"Length: %d" % (LARGEST + 1), id="too large"),
        pytest.param(b"\r\nHost", b"\nHost", id="half a line's end"),
    ],
)
def test_what_differs_is_gunicorns(was, becomes):
    assert was in GO
    assert parsed(GO.replace(was, becomes, 1) + b" " * LARGEST) is None


class _Sent(socket.socket):
    """A socket from which an answer is read."""

    data = b""

    def makefile(self, *_args, **_more):
        return io.BytesIO(self.data)


@pytest.mark.parametrize("closes", [False, True])
def test_an_answer_as_it_goes_out(closes):
    one = parsed(GO)

    def application(environ, start_response):
        assert environ["wsgi.input"].read() == b"{}"
        assert environ["more"] == 1
        fields = [("Content-Type", "text/plain"), ("Content-Length", "5")]
        start_response("418 I'm a teapot", fields)
        if closes:
            one.force_close()
        return [b"sh", b"ort"]

    with _Sent() as sent:
        sent.data = one.answered(application, {"more": 1})
        answer = http.client.HTTPResponse(sent)
        answer.begin()
        assert (answer.status, answer.reason) == (418, "I'm a teapot")
        assert answer.headers["Connection"] == ("close" if closes else "keep-alive")
        assert answer.headers["Content-Type"] == "text/plain"
        assert answer.headers["Date"].endswith("GMT")
        assert answer.read() == b"short"
