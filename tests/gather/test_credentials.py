"""Docker configs as a kubelet reads them, and which entry it would use."""

from __future__ import annotations

import base64
import json
import time

import pytest

from webhook.gather.credentials import (
    Candidate,
    Candidates,
    Credentials,
    Keyring,
    candidates_of,
    entries_of,
    matches,
)

IMAGE = "registry.example/team/app"


# k8s.io/kubernetes v1.37.2 pkg/credentialprovider/keyring_test.go, TestURLsMatch, whole.
@pytest.mark.parametrize(
    ("pattern", "image", "expected"),
    [
        ("*.kubernetes.io", "prefix.kubernetes.io", True),
        ("prefix.*.io", "prefix.kubernetes.io", True),
        ("prefix.kubernetes.*", "prefix.kubernetes.io", True),
        ("*-good.kubernetes.io", "prefix-good.kubernetes.io", True),
        ("*.kubernetes.io/blah", "prefix.kubernetes.io/blah", True),
        ("prefix.*.io/foo", "prefix.kubernetes.io/foo/bar", True),
        ("*.kubernetes.io:1111/blah", "prefix.kubernetes.io:1111/blah", True),
        ("prefix.*.io:1111/foo", "prefix.kubernetes.io:1111/foo/bar", True),
        ("*.kubernetes.io", "kubernetes.io", False),
        ("*.*.kubernetes.io", "prefix.kubernetes.io", False),
        ("*.*.kubernetes.io", "kubernetes.io", False),
        ("*kubernetes.io", "a.kubernetes.io", False),
        ("*kubernetes.io", "kubernetes.io", True),
        ("*.*.*.kubernetes.io", "a.b.c.kubernetes.io", True),
        ("kubernetes.io", "kubernetes.com", False),
        ("k*.io", "quay.io", False),
        ("*.kubernetes.io:1234/blah", "prefix.kubernetes.io:1111/blah", False),
        ("prefix.*.io/foo", "prefix.kubernetes.io:1111/foo/bar", False),
    ],
)
def test_as_kubelets_match(pattern, image, expected):
    assert matches(pattern, image) is expected


@pytest.mark.parametrize(
    ("pattern", "image", "expected"),
    [
        ("registry.example/team", "registry.example/team-b/app", True),  # letter by letter
        ("registry.example/Team", "registry.example/team/app", False),
        ("[::1]:5000", "[::1]:5000/app", True),
        ("[::1]", "[::1]/app", True),
        ("[::1]", "[::1]:5000/app", False),
        (".*", "aa/x", False),
        ("a.b", "axb/x", False),
        ("", "registry.example/x", False),
    ],
)
def test_other_places(pattern, image, expected):
    assert matches(pattern, image) is expected


def test_a_pattern_of_many_stars_takes_no_time():
    """Both are a tenant's: the Secret's key, and the host of the image."""
    begun = time.monotonic()
    assert not matches("*a" * 7 + "*b.example", "a" * 63 + ".example/x")
    assert matches("*a" * 30 + "*.example", "a" * 63 + ".example/x")
    assert time.monotonic() - begun < 20


def account(name: str) -> Credentials:
    return Credentials(username=name, password="p")


def names(keyring: Keyring, image: str = IMAGE) -> list[str]:
    return [found.credentials.username for found in keyring.candidates(image)]


def test_the_longest_path_first_whichever_secret_it_is_of():
    keyring = Keyring()
    keyring.add("one", {"registry.example": account("host"), "quay.io": account("other")})
    keyring.add(
        "two", {"https://registry.example/team": account("team"), "*.example": account("*")}
    )
    keyring.add("three", {"registry.example": account("again")})
    assert names(keyring) == ["team", "host", "again", "*"]
    assert keyring.candidates(IMAGE)[0].source == "two"
    assert keyring.candidates("registry.other/team/app") == ()


@pytest.mark.parametrize("key", ["https://index.docker.io/v1/", "index.docker.io", "docker.io"])
def test_docker_hub_has_several_names(key):
    keyring = Keyring()
    keyring.add("one", {key: account("hub")})
    assert names(keyring, "docker.io/library/busybox") == ["hub"]
    assert names(keyring, "docker.io.evil.test/library/busybox") == []


def test_docker_hubs_old_name_counts_only_where_nothing_else_fits():
    keyring = Keyring()
    keyring.add(
        "one", {"https://index.docker.io/v1/": account("old"), "docker.io/team": account("t")}
    )
    assert names(keyring, "docker.io/team/app") == ["t"]
    assert names(keyring, "docker.io/other/app") == ["old"]


def test_api_versions_in_a_key_mean_the_host():
    keyring = Keyring()
    keyring.add("one", {"https://registry.example/v2/": account("a")})
    assert names(keyring) == ["a"]


def pair(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


@pytest.mark.parametrize(
    ("entry", "expected"),
    [
        ({"username": "u", "password": "p"}, Credentials(username="u", password="p")),
        ({"auth": pair("u:p:q")}, Credentials(username="u", password="p:q")),
        ({"auth": pair("user:p").rstrip("=")}, Credentials(username="user", password="p")),
        ({"auth": pair("u:p"), "username": "x"}, Credentials(username="u", password="p")),
        ({"identitytoken": "t"}, None),  # a kubelet knows no tokens
        ({}, None),
        (None, None),
    ],
)
def test_entries(entry, expected):
    data = json.dumps({"auths": {"registry.example": entry}}).encode()
    assert entries_of(data).get("registry.example") == expected


def test_the_old_form_has_no_auths():
    data = json.dumps({"registry.example": {"auth": pair("u:p")}}).encode()
    assert entries_of(data, legacy=True) == {
        "registry.example": Credentials(username="u", password="p")
    }
    assert entries_of(data) == {}


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"[]",
        b'{"auths": []}',
        b'{"auths": {"a": "s3cret"}}',
        b'{"auths": {"a": {"auth": "s3cret"}}}',
        b'{"auths": {"a": {"username": 5}}}',
        b"[" * 100_000,
        b" " * ((1 << 20) + 1),
        json.dumps({"auths": {str(n): {} for n in range(1001)}}).encode(),
    ],
    ids=["empty", "list", "auths", "entry", "auth", "number", "deep", "long", "many"],
)
def test_what_no_kubelet_reads_is_refused_without_its_content(data):
    with pytest.raises(ValueError, match=r"^(it|an auth)") as caught:
        entries_of(data)
    assert "s3cret" not in str(caught.value)


def test_what_crosses_the_socket_comes_back():
    wire = {
        "candidates": [
            {
                "source": "Secret team/regcred",
                "username": "u",
                "password": "p",
                "identity_token": "",
                "registry_token": "",
            }
        ],
        "problems": ["Secret team/x is not there"],
    }
    assert candidates_of(wire) == Candidates(
        candidates=(
            Candidate(
                source="Secret team/regcred", credentials=Credentials(username="u", password="p")
            ),
        ),
        problems=("Secret team/x is not there",),
    )


def test_secrets_do_not_show():
    assert "s3cret" not in repr(Credentials(username="u", password="s3cret"))
