"""Whose credentials are used for what, as it is wired; what the proof costs a registry."""

from __future__ import annotations

import json
import time
from contextlib import closing

import pytest
import yaml

from tests.support.registry import Registry
from tests.support.samples import SAMPLES
from webhook.errors import UsageError
from webhook.gather.credentials import Candidate, Candidates, Credentials
from webhook.gather.source import ImageRequest, Unread
from webhook.image.reference import Reference
from webhook.limits import Deadline
from webhook.pod import Account
from webhook.settings import Settings
from webhook.wiring import Sources, build
from webhook.wiring.registries import remembering

IMAGE = SAMPLES["distroless"].image
PAIR = ("user", "secret")
OWNER, FRIEND, THIEF = (Account(namespace=name) for name in ("owner", "friend", "thief"))


def pods(account, reference):
    """Two tenants have the right password, one has none."""
    if account == THIEF:
        return Candidates()
    right = Credentials(username="user", password="secret")
    return Candidates(
        candidates=(Candidate(source=f"Secret {account.namespace}/x", credentials=right),)
    )


def asked(wired, account, *references):
    """What an account is told of images, their layers read."""
    deadline = Deadline.after(20, time.monotonic)
    requests = [
        ImageRequest(reference=Reference.parse(each), account=account) for each in references
    ]
    opened = wired.images.configs(requests, deadline)
    wanted = [
        (request, item)
        for request, found in opened.items()
        for item in found
        if not isinstance(item, Unread) and item.contents is None
    ]
    wired.images.layers(wanted, deadline)
    return [item for found in opened.values() for item in found]


def spent(registry):
    """The requests since the last time, shortly: ``GET manifests 401``."""
    taken, registry.requests[:] = list(registry.requests), []
    return [
        f"{one.method} {one.path.partition('?')[0].split('/')[-2]} {one.status}" for one in taken
    ]


BLOBS = 1 + len(IMAGE.layers)


@pytest.mark.parametrize("name", ["team/app:1", f"team/app@{IMAGE.digest}"])
@pytest.mark.parametrize(
    ("settings", "first", "proof"),
    [
        pytest.param({}, ["GET manifests 200"], ["HEAD manifests 200"], id="public"),
        pytest.param(
            {"basic": PAIR},
            ["GET manifests 401", "GET manifests 200"],
            ["HEAD manifests 401", "HEAD manifests 200"],
            id="basic",
        ),
        pytest.param(
            {"basic": PAIR, "token": True},
            ["GET manifests 401", "GET  200", "GET manifests 200"],
            ["HEAD manifests 401", "GET  200", "HEAD manifests 200"],
            id="token",
        ),
    ],
)
def test_what_the_proof_costs(settings, first, proof, name):
    """One account reads it; each further one shows with one HEAD that it may."""
    with (
        Registry({"team/app:1": IMAGE}, **settings) as registry,
        closing(build(Settings(), pods=pods)) as wired,
    ):
        image = f"{registry.host}/{name}"
        asked(wired, OWNER, image)
        assert spent(registry) == [*first, *["GET blobs 200"] * BLOBS]

        (facts,) = asked(wired, FRIEND, image)
        assert facts.contents is not None
        assert spent(registry) == proof

        for account in (OWNER, FRIEND):
            asked(wired, account, image)
        assert spent(registry) == []


def test_a_tenant_without_the_password_is_told_nothing():
    with (
        Registry({"team/app:1": IMAGE}, basic=PAIR) as registry,
        closing(build(Settings(), pods=pods)) as wired,
    ):
        image = f"{registry.host}/team/app:1"
        (facts,) = asked(wired, OWNER, image)
        assert facts.credentials == "Secret owner/x"
        (told,) = asked(wired, THIEF, image)
    assert told.error.reason == "unauthorized"


@pytest.fixture
def authfile(tmp_path):
    def write(*hosts):
        path = tmp_path / "config.json"
        entry = {"username": "user", "password": "secret"}
        path.write_text(json.dumps({"auths": dict.fromkeys(hosts, entry)}))
        return path

    return write


def test_what_nodes_have_serves_every_pod_and_is_named(authfile):
    with (
        Registry({"team/app:1": IMAGE}, basic=PAIR) as registry,
        closing(build(Settings(authfile=authfile(registry.host)), pods=pods)) as wired,
    ):
        (facts,) = asked(wired, THIEF, f"{registry.host}/team/app:1")
    assert facts.credentials == "the configured pull secret"


def test_without_pods_all_ask_as_one(authfile):
    with (
        Registry({"team/app:1": IMAGE}, basic=PAIR) as registry,
        closing(build(Settings(authfile=authfile(registry.host)))) as wired,
    ):
        image = f"{registry.host}/team/app:1"
        for account in (OWNER, THIEF, None):
            (facts,) = asked(wired, account, image)
            assert facts.credentials is None
        assert registry.count("*/manifests/*") == 2


def test_credential_providers(tmp_path, authfile):
    """After what is written, and only for what they are for."""
    program = tmp_path / "provider"
    with Registry({"team/app:1": IMAGE}, basic=PAIR) as registry:
        answer = {
            "apiVersion": "credentialprovider.kubelet.k8s.io/v1",
            "kind": "CredentialProviderResponse",
            "cacheKeyType": "Registry",
            "auth": {registry.host: {"username": "user", "password": "secret"}},
        }
        program.write_text(f"#!/bin/sh\ncat >/dev/null\necho '{json.dumps(answer)}'\n")
        program.chmod(0o755)
        config = tmp_path / "providers.yaml"
        provider = {
            "name": "provider",
            "matchImages": [registry.host],
            "defaultCacheDuration": "1m",
            "apiVersion": answer["apiVersion"],
        }
        document = {
            "apiVersion": "kubelet.config.k8s.io/v1",
            "kind": "CredentialProviderConfig",
            "providers": [provider],
        }
        config.write_text(yaml.safe_dump(document))
        settings = Settings(
            authfile=authfile("other.example"),
            credential_providers=config,
            credential_provider_bin=tmp_path,
        )
        with closing(build(settings, pods=pods)) as wired:
            (facts,) = asked(wired, THIEF, f"{registry.host}/team/app:1")
        assert facts.credentials == "credential provider provider"
        with (
            closing(Sources(Settings(credential_providers=config))) as sources,
            pytest.raises(UsageError, match="--credential-provider-bin"),
        ):
            sources.connect()


def test_hosts(tmp_path):
    """A mirror by plain http because it is written so; the registry itself is never asked."""
    with Registry({"team/app:1": IMAGE}) as mirror:
        folder = tmp_path / "registry.test"
        folder.mkdir()
        (folder / "hosts.toml").write_text(f'[host."{mirror.url}"]\n')
        settings = Settings(hosts=tmp_path, loopback_http=False)
        with closing(build(settings)) as wired:
            (facts,) = asked(wired, None, "registry.test/team/app:1")
        assert facts.digest == IMAGE.digest


def test_hosts_that_cannot_be_used_end_the_start(tmp_path):
    (tmp_path / "registry.test").mkdir()
    (tmp_path / "registry.test" / "hosts.toml").write_text("skip_verify = true")
    with (
        closing(Sources(Settings(hosts=tmp_path))) as sources,
        pytest.raises(UsageError, match="skip_verify"),
    ):
        sources.connect()


class TestRemembering:
    REFERENCE = Reference.parse("registry.test/app:1")

    def ask(self, answer):
        now, times = [0.0], []

        def asked(account, reference):
            times.append(account)
            return answer

        return remembering(asked, lambda: now[0]), now, times

    def test_for_a_minute_and_by_account_and_repository(self):
        ask, now, times = self.ask(pods(OWNER, self.REFERENCE))
        for reference in (self.REFERENCE, Reference.parse("registry.test/app:2")):
            ask(OWNER, reference)
        assert len(times) == 1
        ask(FRIEND, self.REFERENCE)
        ask(OWNER, Reference.parse("registry.test/other:1"))
        assert len(times) == 3
        now[0] = 61.0
        ask(OWNER, self.REFERENCE)
        assert len(times) == 4

    def test_what_could_not_be_had_is_asked_for_again(self):
        ask, _, times = self.ask(Candidates(problems=("Secret owner/x is not there",)))
        for _ in range(2):
            ask(OWNER, self.REFERENCE)
        assert len(times) == 2

    def test_what_is_huge_is_not_kept(self):
        huge = Candidate(source="x", credentials=Credentials(password="x" * (17 << 20)))
        ask, _, times = self.ask(Candidates(candidates=(huge,)))
        for _ in range(2):
            ask(OWNER, self.REFERENCE)
        assert len(times) == 2
