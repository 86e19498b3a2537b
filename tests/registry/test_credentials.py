from __future__ import annotations

import base64
import json
import os
import time
from pathlib import Path

import pytest

from tests.registry.conftest import soon
from tests.support.registry import Registry
from webhook.errors import Unauthorized, UsageError
from webhook.gather.credentials import Credentials
from webhook.image.reference import Reference
from webhook.registry.credentials import DockerConfig, ask_helper, find_config


def pair(text):
    return {"auth": base64.b64encode(text.encode()).decode()}


def config(**document):
    return DockerConfig.parse(json.dumps(document).encode(), "config.json")


def account(username, password):
    return Credentials(username=username, password=password)


@pytest.mark.parametrize(
    ("auths", "image", "expected"),
    [
        pytest.param(
            {"registry.example": pair("a:b")}, "registry.example/x", account("a", "b"), id="host"
        ),
        pytest.param(
            {"registry.example:5000": pair("a:b")},
            "registry.example:5000/x",
            account("a", "b"),
            id="port",
        ),
        pytest.param(
            {"registry.example": pair("a:b")}, "registry.example:5000/x", None, id="another port"
        ),
        pytest.param(
            {"registry.example": pair("a:b")}, "evil.registry.example/x", None, id="a host below"
        ),
        pytest.param(
            {"https://registry.example/v2/": pair("a:b")},
            "registry.example/x",
            account("a", "b"),
            id="URL",
        ),
        pytest.param(
            {"https://index.docker.io/v1/": pair("a:b")},
            "alpine",
            account("a", "b"),
            id="Docker Hub",
        ),
        pytest.param(
            {"docker.io": pair("a:b")}, "alpine", account("a", "b"), id="Docker Hub by name"
        ),
        pytest.param(
            {"https://index.docker.io/v1/": pair("a:b")}, "quay.io/x", None, id="not the Hub"
        ),
        pytest.param(
            {"registry.example": pair("a:b:c")},
            "registry.example/x",
            account("a", "b:c"),
            id="colon",
        ),
        pytest.param(
            {"registry.example": pair("a:b\0\0")},
            "registry.example/x",
            account("a", "b"),
            id="padded",
        ),
        pytest.param(
            {"registry.example": {"username": "a", "password": "b"}},
            "registry.example/x",
            account("a", "b"),
            id="in words",
        ),
        pytest.param(
            {"registry.example": {"identitytoken": "t"}},
            "registry.example/x",
            Credentials(identity_token="t"),
            id="identity token",
        ),
        pytest.param(
            {"registry.example": {"registrytoken": "t"}},
            "registry.example/x",
            Credentials(registry_token="t"),
            id="registry token",
        ),
        pytest.param(
            {"registry.example": {"username": "<token>", "password": "t"}},
            "registry.example/x",
            Credentials(identity_token="t"),
            id="identity token as password",
        ),
        pytest.param(
            {"registry.example": {}}, "registry.example/x", None, id="logged in by a helper"
        ),
        pytest.param(
            {"registry.example": pair("a:b"), "registry.example/team": pair("c:d")},
            "registry.example/team/app",
            account("c", "d"),
            id="the longest path",
        ),
        pytest.param(
            {"registry.example/team": pair("c:d")},
            "registry.example/teams/app",
            None,
            id="whole parts of the path",
        ),
        pytest.param(
            {"registry.example/team/app": pair("c:d")},
            "registry.example/team/app:1",
            account("c", "d"),
            id="the repository itself",
        ),
        pytest.param({}, "registry.example/x", None, id="nothing"),
    ],
)
def test_auths(auths, image, expected):
    assert config(auths=auths).credentials(Reference.parse(image)) == expected


@pytest.mark.parametrize(
    "data",
    [b"", b"[]", b"s3cret", b"[" * 50_000, b'{"auths": []}', b'{"auths": {"h": "s3cret"}}',
     b'{"auths": {"h": {"auth": "s3cret"}}}', b'{"auths": {"h": {"auth": "czNjcmV0"}}}',
     b'{"auths": {"h": {"password": 5}}}', b'{"credHelpers": {"h": "../s3cret"}}',
     b'{"credsStore": 5}', b'{"credHelpers": 5}'],
)  # fmt: skip
def test_what_is_no_config_is_said_without_its_secrets(data):
    with pytest.raises(UsageError, match=r"config\.json") as caught:
        DockerConfig.parse(data, "config.json")
    assert "s3cret" not in str(caught.value)
    assert "czNjcmV0" not in str(caught.value)


def test_secrets_do_not_show():
    shown = repr(config(auths={"registry.example": pair("user:s3cret")}))
    assert "s3cret" not in shown
    assert "user" in shown


@pytest.mark.parametrize(
    ("named", "environ", "expected"),
    [
        pytest.param(
            "a.json", {"REGISTRY_AUTH_FILE": "{}/b.json"}, "a.json", id="--authfile first"
        ),
        pytest.param(
            None,
            {"REGISTRY_AUTH_FILE": "{}/b.json", "DOCKER_CONFIG": "{}/c"},
            "b.json",
            id="REGISTRY_AUTH_FILE",
        ),
        pytest.param(None, {"DOCKER_CONFIG": "{}/c"}, "c/config.json", id="DOCKER_CONFIG"),
        pytest.param(None, {}, ".docker/config.json", id="home"),
        pytest.param(None, {"DOCKER_CONFIG": "{}/empty"}, None, id="DOCKER_CONFIG without one"),
        pytest.param(None, {"REGISTRY_AUTH_FILE": ""}, ".docker/config.json", id="set to nothing"),
    ],
)
def test_which_file(tmp_path, named, environ, expected):
    for name in ("a.json", "b.json", "c/config.json", ".docker/config.json"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text("{}")
    environ = {name: value.format(tmp_path) for name, value in environ.items()}

    found = find_config(named and str(tmp_path / named), environ, tmp_path)

    assert found == (expected and tmp_path / expected)


def test_a_file_that_was_named_has_to_be_there(tmp_path):
    with pytest.raises(UsageError, match="no such file"):
        find_config(str(tmp_path / "none"), {}, tmp_path)


def test_read_a_file(tmp_path):
    path = tmp_path / "config.json"
    path.write_text(json.dumps({"auths": {"registry.example": pair("a:b")}}))
    found = DockerConfig.read(path).credentials(Reference.parse("registry.example/x"))
    assert found == account("a", "b")


# --- helpers


@pytest.fixture
def helper(tmp_path, monkeypatch):
    """Install a credential helper called ``test``."""

    def install(script):
        path = Path(tmp_path) / "docker-credential-test"
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o755)

    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    return install


@pytest.mark.parametrize(
    ("image", "server"),
    [
        ("registry.example:5000/x", "registry.example:5000"),
        ("alpine", "https://index.docker.io/v1/"),
    ],
)
def test_a_helper_is_asked_for_the_server(helper, image, server):
    helper('server=$(cat); printf \'{"Username": "%s", "Secret": "s3cret"}\' "$server"')
    found = config(credsStore="test").credentials(Reference.parse(image))
    assert found == account(server, "s3cret")


def test_a_hosts_own_helper_goes_before_the_store(helper):
    helper('cat >/dev/null; echo \'{"Username": "a", "Secret": "b"}\'')
    both = config(credsStore="missing", credHelpers={"registry.example": "test"})
    assert both.credentials(Reference.parse("registry.example/x")) == account("a", "b")


def test_an_identity_token_of_a_helper(helper):
    helper('cat >/dev/null; echo \'{"Username": "<token>", "Secret": "b"}\'')
    assert ask_helper("test", "h", 60) == Credentials(identity_token="b")


def test_a_helper_that_knows_nothing_leaves_it_to_the_file(helper):
    helper("cat >/dev/null; echo credentials not found in native keychain; exit 1")
    found = config(credsStore="test", auths={"registry.example": pair("a:b")})
    assert found.credentials(Reference.parse("registry.example/x")) == account("a", "b")
    assert found.credentials(Reference.parse("quay.io/x")) is None


@pytest.mark.parametrize(
    ("script", "words"),
    [
        pytest.param("cat >/dev/null; echo s3cret; exit 3", "exit status 3", id="fails"),
        pytest.param("exit 1", "exit status 1", id="fails without reading"),
        pytest.param("cat >/dev/null; echo s3cret", "not what the protocol says", id="no JSON"),
        pytest.param("cat >/dev/null; echo '[1]'", "not what the protocol says", id="a list"),
        pytest.param("cat >/dev/null; echo '{}'", "not what the protocol says", id="no names"),
        pytest.param("sleep 60", "took too long", id="hangs"),
        pytest.param("sleep 60 & sleep 60", "took too long", id="its child hangs"),
        pytest.param("exec yes s3cret", "said too much", id="floods"),
    ],
)
def test_a_helper_that_fails_is_not_taken_for_nobody(helper, script, words):
    """Asking as nobody instead would give a 401 that explains nothing."""
    helper(script)
    begun = time.monotonic()
    with pytest.raises(Unauthorized, match=words) as caught:
        ask_helper("test", "registry.example", 0.3 if "sleep" in script else 60)
    assert time.monotonic() - begun < 30
    assert "docker-credential-test" in caught.value.detail
    assert "s3cret" not in caught.value.detail


def test_a_helper_that_is_not_there():
    with pytest.raises(Unauthorized, match="no such program on the PATH"):
        ask_helper("surely-not-installed", "registry.example", 5)


def test_a_registry_that_wants_what_the_file_has(image, client):
    with Registry({"team/app:1": image}, basic=("user", "s3cret"), token=True) as registry:
        keychain = config(auths={registry.host: pair("user:s3cret")})
        source = client(keychain=keychain)
        document = source.resolve(Reference.parse(f"{registry.host}/team/app:1"), soon())
    assert document.digest == image.digest
