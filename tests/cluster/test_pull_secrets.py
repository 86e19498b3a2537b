"""Which secrets are read for a pod, and what is said of those that cannot be."""

from __future__ import annotations

import base64
import json

import pytest

from webhook.cluster.pull_secrets import PullSecrets, Unreadable, answer
from webhook.pod import MOST_PULL_SECRETS, Account

IMAGE = "registry.example/team/app"


def secret(auths, kind="kubernetes.io/dockerconfigjson"):
    legacy = kind.endswith("dockercfg")
    body = json.dumps(auths if legacy else {"auths": auths}).encode()
    key = ".dockercfg" if legacy else ".dockerconfigjson"
    return {"type": kind, "data": {key: base64.b64encode(body).decode()}}


def entry(name):
    return {"username": name, "password": "s3cret"}


class Api:
    """Objects by path; a number in the place of one is a refusal."""

    def __init__(self, **objects):
        self.objects, self.read = objects, []

    def __call__(self, path):
        self.read.append(path)
        _, _, _, _, namespace, kind, name = path.split("/")
        assert namespace == "team"
        found = self.objects.get(f"{kind[:-1]}_{name}", 404)
        if found is None or isinstance(found, int):
            raise Unreadable(found)
        return found


def asked(api, *names, service_account="default", image=IMAGE):
    account = Account(namespace="team", service_account=service_account, pull_secrets=names)
    return PullSecrets(api).candidates(account, image)


def users(found):
    return [(each.source, each.credentials.username) for each in found.candidates]


def test_only_what_fits_the_image():
    api = Api(secret_regcred=secret({"registry.example": entry("u"), "quay.io": entry("other")}))
    assert users(asked(api, "regcred")) == [("Secret team/regcred", "u")]
    assert api.read == ["/api/v1/namespaces/team/secrets/regcred"]


def test_the_longest_path_first_over_all_of_them():
    api = Api(
        secret_a=secret({"registry.example": entry("host")}),
        secret_b=secret({"registry.example/team": entry("team")}, "kubernetes.io/dockercfg"),
    )
    assert users(asked(api, "a", "b")) == [("Secret team/b", "team"), ("Secret team/a", "host")]


def test_the_service_accounts_only_where_the_pod_names_none():
    """So admission does it, and the kubelet knows no others."""
    api = Api(
        serviceaccount_runner={"imagePullSecrets": [{"name": "mine"}, {}]},
        secret_mine=secret({"registry.example": entry("sa")}),
        secret_own=secret({"registry.example": entry("pod")}),
    )
    assert users(asked(api, service_account="runner")) == [("Secret team/mine", "sa")]
    assert users(asked(api, "own", service_account="runner")) == [("Secret team/own", "pod")]


def test_none_at_all():
    found = asked(Api(serviceaccount_default={}))
    assert (found.candidates, found.problems) == ((), ())


@pytest.mark.parametrize(
    ("object_", "said"),
    [
        (404, "Secret team/x is not there"),
        (403, "slimgate may not read Secrets in namespace team"),
        (500, "the API server answers 500"),
        (None, "the API server does not answer"),
        ({"type": "Opaque", "data": {"password": "s3cret"}}, "its type is not"),
        ({"type": "kubernetes.io/dockerconfigjson"}, "has no .dockerconfigjson"),
        ({"type": "kubernetes.io/dockerconfigjson", "data": {".dockerconfigjson": "s3cret!"}},
         "has no .dockerconfigjson"),
        (secret({"registry.example": {"auth": "s3cret"}}), "not base64 of username:password"),
        (secret({"registry.example": "s3cret"}), "not as docker login writes it"),
        ({"type": "kubernetes.io/dockercfg", "data": {".dockercfg": "A" * (3 << 20)}}, "too large"),
    ],
)  # fmt: skip
def test_what_cannot_be_used_is_named_and_the_others_still_count(object_, said):
    api = Api(secret_x=object_, secret_good=secret({"registry.example": entry("u")}))
    found = asked(api, "x", "good")
    assert users(found) == [("Secret team/good", "u")]
    (problem,) = found.problems
    assert said in problem
    assert "s3cret" not in problem


def test_a_service_account_that_may_not_be_read():
    found = asked(Api(serviceaccount_default=403))
    assert "may not read ServiceAccounts in namespace team" in found.problems[0]


@pytest.mark.parametrize("name", ["../../nodes", "a/b", "A", "x?", "a" * 254, "-a"])
def test_a_name_is_no_way_into_the_api(name):
    api = Api()
    found = asked(api, name)
    assert "a name that no Secret can have" in found.problems[0]
    assert api.read == []
    account = Account(namespace=name, pull_secrets=("x",))
    assert PullSecrets(api).candidates(account, IMAGE).problems
    assert api.read == []


def test_a_name_that_is_empty_is_none():
    """As old API servers let them in."""
    api = Api(serviceaccount_default={})
    assert asked(api, "").problems == ()


def test_more_secrets_than_a_pod_has_reason_for():
    api = Api()
    found = asked(api, *(f"s{number}" for number in range(100)))
    assert len(api.read) == MOST_PULL_SECRETS
    assert f"of the pull secrets, {MOST_PULL_SECRETS} are read" in found.problems


def test_with_mode_none_it_is_said_where_it_matters():
    assert PullSecrets(None).candidates(Account(namespace="team"), IMAGE).problems == ()
    named = Account(namespace="team", pull_secrets=("regcred",))
    assert PullSecrets(None).candidates(named, IMAGE).problems == (
        "Secret team/regcred not read: slimgate is installed with pullSecrets.read=none",
    )


def test_the_sockets_question():
    api = Api(secret_regcred=secret({"registry.example": entry("u")}))
    question = {
        "namespace": "team", "service_account": "default", "pull_secrets": ["regcred"],
        "image": IMAGE,
    }  # fmt: skip
    assert answer(PullSecrets(api), question) == {
        "candidates": [
            {
                "source": "Secret team/regcred", "username": "u", "password": "s3cret",
                "identity_token": "", "registry_token": "",
            }
        ],
        "problems": [],
    }  # fmt: skip
