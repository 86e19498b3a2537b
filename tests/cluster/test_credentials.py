"""A real API server with RBAC and a registry behind a password: who is told what of an image."""

from __future__ import annotations

import base64
import json
from contextlib import closing
from dataclasses import dataclass

import pytest

from tests.cluster.support.processes import eventually
from tests.cluster.support.web import request
from tests.support.push import push
from tests.support.samples import SAMPLES
from webhook.cluster import pull_secrets
from webhook.cluster.pull_secrets import PullSecrets, Unreadable
from webhook.gather.credentials import candidates_of, question_of
from webhook.gather.source import ImageRequest, Unread
from webhook.image.reference import Reference
from webhook.limits import Deadline
from webhook.pod import Account
from webhook.settings import Settings
from webhook.wiring import build

pytestmark = pytest.mark.cluster

OWNER, THIEF, CLOSED = "cred-owner", "cred-thief", "cred-closed"
"""Namespaces: with the right Secret; with a wrong one; where slimgate may read nothing."""


@dataclass(frozen=True)
class Reading:
    """How slimgate's controller reads: with the token of a ServiceAccount that RBAC limits."""

    cluster: object
    token: str

    def __call__(self, path):
        headers = {"Authorization": f"Bearer {self.token}"}
        answer = request("GET", self.cluster.url + path, headers=headers, trust=self.cluster.trust)
        if answer.status != 200:
            raise Unreadable(answer.status)
        return answer.json


@pytest.fixture(scope="module")
def private(registries):
    guarded = registries.guarded
    return push(guarded.host, "team/private", SAMPLES["distroless"].image, login=guarded.login)


@pytest.fixture(scope="module")
def tenants(bare_cluster, registries):
    """The namespaces with their Secrets, and slimgate's token."""
    host = registries.guarded.host
    for namespace in (OWNER, THIEF, CLOSED):
        bare_cluster.must("create", "namespace", namespace)
        bare_cluster.must("create", "serviceaccount", "default", "-n", namespace)
        login = registries.guarded.login if namespace != THIEF else "slim:wrong"
        username, _, password = login.partition(":")
        bare_cluster.must(
            "create", "secret", "docker-registry", "regcred", "-n", namespace,
            f"--docker-server={host}", f"--docker-username={username}",
            f"--docker-password={password}",
        )  # fmt: skip
    bare_cluster.must("create", "serviceaccount", "slimgate", "-n", OWNER)
    old = base64.b64encode(json.dumps({host: {"auth": _pair(registries.guarded.login)}}).encode())
    _create(bare_cluster, OWNER, {
        "apiVersion": "v1", "kind": "Secret", "metadata": {"name": "old"},
        "type": "kubernetes.io/dockercfg", "data": {".dockercfg": old.decode()},
    })  # fmt: skip
    _create(bare_cluster, OWNER, {
        "apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "runner"},
        "imagePullSecrets": [{"name": "regcred"}],
    })  # fmt: skip
    for namespace in (OWNER, THIEF):
        bare_cluster.must(
            "create", "role", "slimgate-pull-secrets", "-n", namespace,
            "--verb=get", "--resource=secrets,serviceaccounts",
        )  # fmt: skip
        bare_cluster.must(
            "create", "rolebinding", "slimgate-pull-secrets", "-n", namespace,
            "--role=slimgate-pull-secrets", f"--serviceaccount={OWNER}:slimgate",
        )  # fmt: skip
    may = ("auth", "can-i", "get", "secrets", "-n", THIEF)
    account = f"system:serviceaccount:{OWNER}:slimgate"
    assert eventually(lambda: bare_cluster.kubectl(*may, "--as", account).status == 0)
    return bare_cluster.must("create", "token", "slimgate", "-n", OWNER).strip()


def _create(cluster, namespace, document):
    cluster.must("create", "-n", namespace, "-f", "-", stdin=json.dumps(document))


def _pair(login):
    return base64.b64encode(login.encode()).decode()


@pytest.fixture
def read(bare_cluster, tenants, registries):
    """Read an image for an account as the webhook does, through what crosses the socket."""
    secrets = PullSecrets(Reading(bare_cluster, tenants))
    asked = []

    def ask(account, reference):
        question = json.loads(json.dumps(question_of(account, reference)))
        asked.append(question)
        return candidates_of(json.loads(json.dumps(pull_secrets.answer(secrets, question))))

    settings = Settings(plain_http=(registries.guarded.host, registries.open.host))
    with closing(build(settings, pods=ask)) as wired:

        def reading(image, namespace, *names, service_account="default"):
            account = Account(
                namespace=namespace, service_account=service_account, pull_secrets=names
            )
            wanted = ImageRequest(reference=Reference.parse(image), account=account)
            (item,) = wired.images.configs([wanted], Deadline.never())[wanted]
            return item

        reading.asked = asked
        yield reading


@pytest.mark.parametrize(
    ("names", "service_account"),
    [(("regcred",), "default"), (("old",), "default"), ((), "runner"), (("gone", "regcred"), "x")],
    ids=["dockerconfigjson", "dockercfg", "of the ServiceAccount", "the second"],
)
def test_a_pods_own_secrets_open_its_image(read, private, names, service_account):
    facts = read(private, OWNER, *names, service_account=service_account)
    assert not isinstance(facts, Unread), facts
    assert facts.credentials == f"Secret {OWNER}/{'old' if 'old' in names else 'regcred'}"


def test_another_namespace_is_told_nothing_of_it(read, private):
    """Though the image is known by then, and its pods name a Secret of the same name."""
    assert not isinstance(read(private, OWNER, "regcred"), Unread)
    told = read(private, THIEF, "regcred")
    assert isinstance(told, Unread)
    assert told.error.reason == "unauthorized"
    assert f"tried Secret {THIEF}/regcred (unauthorized)" in told.error.detail
    assert "wrong" not in told.error.detail


@pytest.mark.parametrize(
    ("namespace", "names", "said"),
    [
        (OWNER, ("gone",), f"Secret {OWNER}/gone is not there"),
        (CLOSED, ("regcred",), f"slimgate may not read Secrets in namespace {CLOSED}"),
        (CLOSED, (), f"slimgate may not read ServiceAccounts in namespace {CLOSED}"),
        (OWNER, (), "answers 401"),
    ],
)
def test_what_is_missing_is_said(read, private, namespace, names, said):
    told = read(private, namespace, *names)
    assert isinstance(told, Unread)
    assert told.error.reason == "unauthorized"
    assert said in told.error.detail


def test_a_public_image_costs_no_secret(read, images):
    assert not isinstance(read(images["distroless"], CLOSED, "regcred"), Unread)
    assert read.asked == []


def test_the_controllers_rights_go_no_further(bare_cluster, tenants):
    """The token reads what it is asked for by name; it lists nothing."""
    reading = Reading(bare_cluster, tenants)
    for path in (
        f"/api/v1/namespaces/{OWNER}/secrets",
        f"/api/v1/namespaces/{CLOSED}/secrets/regcred",
        "/api/v1/secrets",
    ):
        with pytest.raises(Unreadable) as caught:
            reading(path)
        assert caught.value.status == 403
