"""Every flow over real HTTP; what a registry may not talk us into."""

from __future__ import annotations

import pytest

from tests.registry.conftest import Account, layer_of, soon
from tests.support import registry as faulty
from tests.support.registry import Registry
from webhook.errors import Blocked, RateLimited, ServerError, Unauthorized
from webhook.gather.credentials import Credentials
from webhook.image.reference import Reference
from webhook.registry.auth import Authenticator, Tried
from webhook.registry.challenges import Challenge
from webhook.registry.client import Registry as Client
from webhook.registry.transport import HostSettings

ACCOUNT = Credentials(username="user", password="pass:word")
PAIR = ("user", "pass:word")


def named(registry):
    return Reference.parse(f"{registry.host}/team/app:1")


def paths(registry):
    return [one.path.partition("?")[0] for one in registry.requests]


MANIFEST = "/v2/team/app/manifests/1"


def test_nobody_is_asked_for_nothing(image, client):
    with Registry({"team/app:1": image}) as registry:
        assert client(ACCOUNT).resolve(named(registry), soon()).digest == image.digest
        assert [one.has_auth for one in registry.requests] == [False]


def test_basic(image, client):
    """Once after the challenge; from then on unasked."""
    with Registry({"team/app:1": image}, basic=PAIR) as registry:
        source = client(ACCOUNT)
        for _ in range(2):
            assert source.resolve(named(registry), soon()).digest == image.digest
        assert [one.status for one in registry.requests] == [401, 200, 200]
        assert [one.has_auth for one in registry.requests] == [False, True, True]


def test_anonymous_token(image, client):
    with Registry({"team/app:1": image}, token=True) as registry:
        assert client().resolve(named(registry), soon()).digest == image.digest
        assert paths(registry) == [MANIFEST, "/token", MANIFEST]
        assert [one.has_auth for one in registry.requests] == [False, False, True]
        assert registry.requests[1].path.endswith(
            f"?service={registry.host}&scope=repository:team/app:pull".replace(":", "%3A").replace(
                "team/", "team%2F"
            )
        )


def test_token_bought_with_basic(image, client):
    with Registry({"team/app:1": image}, token=True, basic=PAIR) as registry:
        source = client(ACCOUNT)
        for _ in range(2):
            assert source.resolve(named(registry), soon()).digest == image.digest
        assert paths(registry) == [MANIFEST, "/token", MANIFEST, MANIFEST]


def test_token_bought_with_an_identity_token(image, client):
    with Registry({"team/app:1": image}, token=True, identity="refresh me") as registry:
        source = client(Credentials(identity_token="refresh me"))
        assert source.resolve(named(registry), soon()).digest == image.digest
        assert [one.method for one in registry.requests] == ["GET", "POST", "GET"]
        assert registry.requests[1].path == "/token"


def test_registry_token_is_sent_as_it_is(image, client):
    with Registry({"team/app:1": image}, token=True) as registry:
        registry.tokens["ready-made"] = ("repository:team/app:pull", float("inf"))
        source = client(Credentials(registry_token="ready-made"))
        assert source.resolve(named(registry), soon()).digest == image.digest
        assert paths(registry) == [MANIFEST, MANIFEST]


def test_the_challenges_scope_is_asked_for_as_well(image, client):
    """public.ecr.aws has one scope, ``aws``, for all it holds."""
    with Registry({"team/app:1": image}, token=True) as registry:
        registry.challenge = f'Bearer realm="{registry.url}/token",scope="aws"'
        client().resolve(named(registry), soon())
        assert registry.requests[1].path.endswith("pull&scope=aws")


def test_a_token_is_of_one_repository(image, client):
    with Registry({"team/app:1": image, "team/other:1": image}, token=True) as registry:
        source = client()
        source.resolve(named(registry), soon())
        source.resolve(Reference.parse(f"{registry.host}/team/other:1"), soon())
        assert registry.count("/token*") == 2


def test_a_token_that_the_registry_forgot_is_replaced_once(image, client):
    with Registry({"team/app:1": image}, token=True) as registry:
        source = client()
        source.resolve(named(registry), soon())
        registry.tokens.clear()
        assert source.resolve(named(registry), soon()).digest == image.digest
        assert [one.status for one in registry.requests] == [401, 200, 200, 401, 200, 200]


def test_a_token_is_not_used_to_its_last_second(transport):
    """Expired on our side: a new one is fetched without a refusal in between."""
    now = [1000.0]
    with Registry(token=True, token_seconds=100) as registry:
        reference = named(registry)
        who = Authenticator(transport(), AnonymousLike(), clock=lambda: now[0])
        challenge = Challenge("bearer", {"realm": f"{registry.url}/token"})
        (proof,) = who.proofs(reference, (challenge,), "http", soon(), Tried())
        who.remember(reference, proof)
        assert who.known(reference) == proof
        now[0] += 91
        assert who.known(reference) is None


@pytest.mark.parametrize("seconds", [b"1" + b"0" * 400, b"1e400", b"true", b"-1", b'"60"'])
def test_a_token_of_any_age_is_a_token(image, client, seconds):
    """What is no life of a token is taken for the usual one; what is long has an end."""
    with Registry({"team/app:1": image}, token=True) as registry:
        registry.tokens["ready-made"] = ("repository:team/app:pull", float("inf"))
        registry.faults["/token*"] = faulty.body(
            b'{"token": "ready-made", "expires_in": ' + seconds + b"}"
        )
        assert client().resolve(named(registry), soon()).digest == image.digest


class AnonymousLike:
    def candidates(self, reference):
        return iter(())


def test_bearer_goes_before_basic(image, client):
    with Registry({"team/app:1": image}, token=True, basic=PAIR) as registry:
        registry.challenge = (
            f'Basic realm="x", Bearer realm="{registry.url}/token",service="{registry.host}"'
        )
        client(ACCOUNT).resolve(named(registry), soon())
        assert "/token" in paths(registry)


@pytest.mark.parametrize(
    ("settings", "account"),
    [
        pytest.param({"basic": PAIR}, None, id="basic: none"),
        pytest.param(
            {"basic": PAIR}, Credentials(username="user", password="no"), id="basic: wrong"
        ),
        pytest.param({"basic": PAIR, "token": True}, None, id="token: none"),
        pytest.param(
            {"basic": PAIR, "token": True},
            Credentials(username="user", password="no"),
            id="token: wrong",
        ),
        pytest.param(
            {"token": True, "identity": "a"}, Credentials(identity_token="b"), id="identity"
        ),
        pytest.param({"token": True}, Credentials(registry_token="b"), id="registry token"),
    ],
)
def test_wrong_credentials_are_unauthorized(image, client, settings, account):
    """At most one more try, and never a secret in the message."""
    with Registry({"team/app:1": image}, **settings) as registry:
        with pytest.raises(Unauthorized) as caught:
            client(account).resolve(named(registry), soon())
        assert len(registry.requests) <= 3
    assert caught.value.detail.startswith(f"{registry.host}/team/app:1: ")
    assert "401 UNAUTHORIZED" in caught.value.detail
    assert "pass:word" not in caught.value.detail


def test_a_token_server_that_is_busy_says_so(image, client):
    faults = {"/token*": faulty.status(429, Retry_After="600")}
    with (
        Registry({"team/app:1": image}, token=True, faults=faults) as registry,
        pytest.raises(RateLimited) as caught,
    ):
        client().resolve(named(registry), soon())
    assert caught.value.retry_after == 600


@pytest.mark.parametrize(
    "answer",
    [b"", b"<html>", b"[]", b"{}", b'{"token": 5}', b'{"token": "a b"}', b'{"token": ""}',
     b'{"token": "a\\r\\nX-Evil: 1"}', b'{"token":' + b"[" * 20_000, b" " * 100_000],
    ids=["empty", "html", "list", "none", "number", "blank", "empty token", "header injection",
         "deep", "long"],
)  # fmt: skip
def test_a_token_server_that_talks_nonsense(image, client, answer):
    with (
        Registry(
            {"team/app:1": image}, token=True, faults={"/token*": faulty.body(answer)}
        ) as registry,
        pytest.raises(ServerError, match="token"),
    ):
        client().resolve(named(registry), soon())


# --- what a registry may not talk us into


@pytest.mark.parametrize(
    ("realm", "error"),
    [
        pytest.param("http://169.254.169.254/latest", Blocked, id="metadata"),
        pytest.param("http://10.0.0.1/token", Blocked, id="plain http elsewhere"),
        pytest.param("file:///etc/passwd", ServerError, id="file"),
        pytest.param("", ServerError, id="empty"),
        pytest.param("https://[", ServerError, id="no host"),
        pytest.param("http://[evil", ServerError, id="half a host"),
        pytest.param("https://" + "a." * 5000, ServerError, id="a long host"),
        pytest.param("//evil.test/token", ServerError, id="no scheme"),
        pytest.param("https://user:x@evil.test/", Blocked, id="with credentials"),
        pytest.param("https://evil.test:x/", ServerError, id="no port"),
    ],
)
def test_realms_that_are_not_asked(image, client, realm, error):
    with (
        Registry(
            {"team/app:1": image}, token=True, challenge=f'Bearer realm="{realm}"'
        ) as registry,
        pytest.raises(error),
    ):
        client(ACCOUNT).resolve(named(registry), soon())


def test_an_https_registry_may_not_name_an_http_realm(image, client, server_tls, ca_file):
    """Whoever reads the line would have the password."""
    with Registry(basic=PAIR, token=True) as realm:
        challenge = f'Bearer realm="{realm.url}/token"'
        with Registry(
            {"team/app:1": image}, tls=server_tls, token=True, challenge=challenge
        ) as registry:
            source = client(
                ACCOUNT, hosts={registry.host: HostSettings(ca_file=ca_file)},
                default=HostSettings(plain_http=True),
            )  # fmt: skip
            with pytest.raises(Blocked, match="plain http"):
                source.resolve(named(registry), soon())
        assert realm.requests == []


def test_a_token_request_is_not_redirected(image, client):
    """Its answer would be the other host's, and its credentials nearly were."""
    with Registry(basic=PAIR, token=True) as other:
        faults = {"/token*": faulty.redirect(f"{other.url}/token")}
        settings = {"token": True, "basic": PAIR, "faults": faults}
        with (
            Registry({"team/app:1": image}, **settings) as registry,
            pytest.raises(ServerError, match="redirected"),
        ):
            client(ACCOUNT).resolve(named(registry), soon())
        assert other.requests == []


def test_a_redirected_blob_carries_no_credentials(image, client):
    """As registries do that keep their blobs in a bucket."""
    with Registry({"team/app:1": image}) as bucket:
        blob = layer_of(image)
        target = f"{bucket.url}/v2/team/app/blobs/{blob.digest}"
        faults = {"/v2/team/app/blobs/*": faulty.redirect(target)}
        with Registry({"team/app:1": image}, basic=PAIR, faults=faults) as registry:
            chunks = client(ACCOUNT).blob(named(registry), blob, soon())
            assert b"".join(chunks) == image.blobs[blob.digest]
        assert [one.has_auth for one in bucket.requests] == [False]


def test_a_challenge_of_a_redirects_target_buys_no_token(image, client):
    """The other host's 401 is an answer, not a reason to send it our credentials."""
    with Registry(basic=PAIR, token=True) as other:
        faults = {"/v2/team/app/manifests/*": faulty.redirect(f"{other.url}/v2/")}
        with (
            Registry({"team/app:1": image}, faults=faults) as registry,
            pytest.raises(Unauthorized),
        ):
            client(ACCOUNT).resolve(named(registry), soon())
        assert [one.has_auth for one in other.requests] == [False]


def test_secrets_do_not_show():
    secret = Credentials(
        username="user", password="s3cret", identity_token="s3cret", registry_token="s3cret"
    )
    assert "s3cret" not in repr(secret)
    assert "s3cret" not in str(secret)


def test_nobodys_429_keeps_no_account_away(image, transport):
    """Registries count who has no account by address: who has one is not of these."""

    def limit(handler, answer):
        nobodys = handler.headers.get("Authorization") == "Bearer token-0"
        handler.send(faulty.Answer(429, headers={"Retry-After": "90"}) if nobodys else answer)

    here = transport()
    with Registry({"team/app:1": image}, token=True) as registry:
        registry.faults = {"*/manifests/*": faulty.Fault(limit)}
        for _ in range(2):
            with pytest.raises(RateLimited):
                Client(here).resolve(named(registry), soon())
        assert (
            Client(here, Account(ACCOUNT)).resolve(named(registry), soon()).digest == image.digest
        )
