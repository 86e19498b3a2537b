"""Image references; the tables are distribution/reference's own tests and image-truth's."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from webhook.errors import Malformed
from webhook.image.reference import Reference

HEX = "0123456789abcdef" * 4
DIGEST = f"sha256:{HEX}"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("busybox", "docker.io/library/busybox:latest"),
        ("busybox:1.37", "docker.io/library/busybox:1.37"),
        ("docker.io/busybox", "docker.io/library/busybox:latest"),
        ("index.docker.io/busybox", "docker.io/library/busybox:latest"),
        ("index.docker.io/team/app", "docker.io/team/app:latest"),
        ("docker/docker", "docker.io/docker/docker:latest"),
        ("library/busybox", "docker.io/library/busybox:latest"),
        ("docker.io/library/busybox", "docker.io/library/busybox:latest"),
        ("localhost/app", "localhost/app:latest"),
        ("localhost:5000/app:1", "localhost:5000/app:1"),
        ("localhost", "docker.io/library/localhost:latest"),
        ("localhost:5000", "docker.io/library/localhost:5000"),
        ("registry.example/app", "registry.example/app:latest"),
        ("registry.example:443/a/b/c:v1", "registry.example:443/a/b/c:v1"),
        ("registry.example", "docker.io/library/registry.example:latest"),
        ("127.0.0.1:5000/app", "127.0.0.1:5000/app:latest"),
        ("[::1]:5000/app", "[::1]:5000/app:latest"),
        ("[2001:db8::1]/app", "[2001:db8::1]/app:latest"),
        ("my_registry.example/app", "my_registry.example/app:latest"),
        ("Host/app", "Host/app:latest"),
        ("a/b", "docker.io/a/b:latest"),
        ("e/a__b.c--d", "docker.io/e/a__b.c--d:latest"),
        (f"busybox@{DIGEST}", f"docker.io/library/busybox@{DIGEST}"),
        (f"busybox:1@{DIGEST}", f"docker.io/library/busybox:1@{DIGEST}"),
        (f"r.io/a@sha512:{HEX}{HEX}", f"r.io/a@sha512:{HEX}{HEX}"),
        (f"{HEX}:tag", f"docker.io/library/{HEX}:tag"),
        ("x:" + "t" * 128, "docker.io/library/x:" + "t" * 128),
        ("a/" + "b" * 253, "docker.io/a/" + "b" * 253 + ":latest"),
    ],
)
def test_normalised(text, expected):
    assert str(Reference.parse(text)) == expected


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("", id="nothing"),
        pytest.param(HEX, id="an image ID"),
        pytest.param("Busybox", id="upper-case repository"),
        pytest.param("r.io/Busybox", id="upper-case repository after a host"),
        pytest.param("busybox:", id="empty tag"),
        pytest.param("busybox@", id="empty digest"),
        pytest.param(":tag", id="only a tag"),
        pytest.param(f"@{DIGEST}", id="only a digest"),
        pytest.param("x:" + "t" * 129, id="tag of 129 characters"),
        pytest.param("x:-tag", id="tag that starts with a dash"),
        pytest.param("a/" + "b" * 254, id="repository of 256 characters"),
        pytest.param("busybox" * 1_000, id="very long"),
        pytest.param("a" * 5_000 + ".io/app", id="very long host"),
        pytest.param("https://r.io/app", id="a URL"),
        pytest.param("r.io//app", id="an empty component"),
        pytest.param("r.io/app/", id="a slash after"),
        pytest.param("/app", id="a slash before"),
        pytest.param("r.io/../app", id="dots"),
        pytest.param("a___b/c", id="three underscores"),
        pytest.param("a..b/c:1/d", id="slash after a tag"),
        pytest.param("-a.io/app", id="host that starts with a dash"),
        pytest.param("my_registry:5000/app", id="host with an underscore and a port"),
        pytest.param("[fe80::1%eth0]/app", id="IPv6 zone"),
        pytest.param("r.io:port/app", id="port that is no number"),
        pytest.param(" busybox", id="a space before"),
        pytest.param("busybox\n", id="a newline after"),
        pytest.param("busybox:1\n", id="a newline after the tag"),
        pytest.param(f"busybox@{DIGEST}\n", id="a newline after the digest"),
        pytest.param("busybox:\u0661", id="a digit that is not ASCII"),
        pytest.param("b\u00fcsybox", id="a letter that is not ASCII"),
        pytest.param(f"busybox@sha256:{HEX[1:]}", id="digest too short"),
        pytest.param(f"busybox@sha256:{HEX.upper()}", id="digest in upper case"),
        pytest.param("busybox@md5:" + "a" * 32, id="digest by md5"),
        pytest.param(f"busybox@{DIGEST}@{DIGEST}", id="two digests"),
        pytest.param(f"busybox@{DIGEST}:tag", id="tag after the digest"),
    ],
)
def test_refused(text):
    with pytest.raises(Malformed) as refused:
        Reference.parse(text)
    assert len(refused.value.detail) < 400
    assert refused.value.detail.isprintable()


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("r.io/Team/App:1", "must be lower case"),
        ("r.io/" + "a" * 256, "longer than 255"),
        (" busybox", "has spaces around it"),
        (HEX, "is an image ID"),
    ],
)
def test_the_message_says_what_is_wrong(text, hint):
    with pytest.raises(Malformed, match=hint):
        Reference.parse(text)


def test_name_has_neither_tag_nor_digest():
    assert Reference.parse(f"busybox:1@{DIGEST}").name == "docker.io/library/busybox"


HOSTS = st.sampled_from(["", "docker.io/", "localhost:5000/", "r.example/", "[::1]/", "Host/"])
COMPONENT = st.from_regex(
    re.compile(r"[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)?", re.ASCII), fullmatch=True
)
PATH = st.lists(COMPONENT, min_size=1, max_size=3).map("/".join)
TAG = st.just("") | st.from_regex(re.compile(r":\w[\w.-]{0,9}", re.ASCII), fullmatch=True)


@given(HOSTS, PATH, TAG, st.sampled_from(["", f"@{DIGEST}"]))
def test_normalising_twice_changes_nothing(host, path, tag, digest):
    once = Reference.parse(f"{host}{path[:200].strip('._-/')}{tag}{digest}")
    assert Reference.parse(str(once)) == once


@given(st.text(alphabet=st.sampled_from("aA0.:/@-_[]\n \x00é"), max_size=30) | st.text())
def test_what_is_read_is_plain_ascii(text):
    try:
        reference = Reference.parse(text)
    except Malformed:
        return
    assert re.fullmatch(r"[!-~]+", str(reference))
