"""Every candidate in its turn, over real HTTP; what is said when none of them does."""

from __future__ import annotations

import pytest

from tests.registry.conftest import Account as OneAccount
from tests.registry.conftest import soon
from tests.support import registry as faulty
from tests.support.registry import Registry
from webhook.errors import NotFound, ServerError, Unauthorized
from webhook.gather.credentials import Candidate, Candidates, Credentials
from webhook.image.reference import Reference
from webhook.pod import Account
from webhook.registry import client as clients
from webhook.registry.auth import ACCOUNT_SECONDS, Proof, Proofs
from webhook.registry.keychains import Anonymous, InTurn, Pods

PAIR = ("user", "right")
RIGHT = Credentials(username="user", password="right")
WRONG = Credentials(username="user", password="s3cret-and-wrong")
TEAM = Account(namespace="team", pull_secrets=("one", "two"))


def named(registry, name="team/app:1"):
    return Reference.parse(f"{registry.host}/{name}")


def secret(name, credentials):
    return Candidate(source=f"Secret team/{name}", credentials=credentials)


class Asked:
    """What a controller answers, and how often it was asked."""

    def __init__(self, *candidates, problems=()):
        self.answer, self.times = Candidates(candidates=candidates, problems=problems), 0

    def __call__(self, account, reference):
        assert account == TEAM
        self.times += 1
        return self.answer


def both(image, **settings):
    return Registry({"team/app:1": image}, basic=PAIR, **settings)


@pytest.mark.parametrize("token", [False, True])
@pytest.mark.parametrize("order", [(WRONG, RIGHT), (RIGHT, WRONG), (WRONG, WRONG, RIGHT)])
def test_each_secret_has_its_turn_and_the_good_one_is_remembered(image, client, token, order):
    ask = Asked(*(secret(f"s{number}", each) for number, each in enumerate(order)))
    with both(image, token=token) as registry:
        source = client(keychain=Pods(TEAM, ask))
        assert source.resolve(named(registry), soon()).digest == image.digest
        assert source.credentials(named(registry)) == f"Secret team/s{order.index(RIGHT)}"
        before = len(registry.requests)
        source.resolve(named(registry), soon())
        assert len(registry.requests) == before + 1
        assert ask.times == 1


def test_the_configured_one_after_the_pods_own(image, client):
    keychain = InTurn((Pods(TEAM, Asked(secret("one", WRONG))), OneAccount(RIGHT)))
    with both(image) as registry:
        source = client(keychain=keychain)
        source.resolve(named(registry), soon())
        assert source.credentials(named(registry)) == "the configured pull secret"


def test_the_configured_one_is_not_asked_for_where_the_pods_own_does(image, client):
    class Never:
        def candidates(self, reference):
            raise AssertionError("asked for")

    with both(image) as registry:
        keychain = InTurn((Pods(TEAM, Asked(secret("one", RIGHT))), Never()))
        client(keychain=keychain).resolve(named(registry), soon())


@pytest.mark.parametrize("token", [False, True])
def test_nobody_is_asked_where_the_registry_does_not_ask(image, client, token):
    """What anybody may read costs no question to the API server, nor a secret on the line."""
    ask = Asked(secret("one", RIGHT))
    with Registry({"team/app:1": image}) as registry:
        source = client(keychain=Pods(TEAM, ask))
        source.resolve(named(registry), soon())
        assert source.credentials(named(registry)) is None
        assert [one.has_auth for one in registry.requests] == [False]
    assert ask.times == 0


def test_without_any_it_is_asked_as_nobody(image, client):
    ask = Asked(problems=("Secret team/one is not there",))
    with Registry({"team/app:1": image}, token=True) as registry:
        source = client(keychain=Pods(TEAM, ask))
        assert source.resolve(named(registry), soon()).digest == image.digest
        assert source.credentials(named(registry)) is None


def test_with_wrong_ones_it_is_not_asked_as_nobody(image, client):
    """Nor does a kubelet: such a pod would not start."""
    with both(image, token=True) as registry:
        source = client(keychain=Pods(TEAM, Asked(secret("one", WRONG))))
        with pytest.raises(Unauthorized):
            source.resolve(named(registry), soon())
        assert [one.has_auth for one in registry.requests] == [False, True]


@pytest.mark.parametrize("token", [False, True])
def test_all_that_was_tried_is_said_and_no_secret(image, client, token):
    ask = Asked(
        secret("one", WRONG), secret("two", WRONG), problems=("Secret team/three is not there",)
    )
    with both(image, token=token) as registry:
        source = client(keychain=InTurn((Pods(TEAM, ask), OneAccount(WRONG))))
        with pytest.raises(Unauthorized) as caught:
            source.resolve(named(registry), soon())
    assert registry.host in caught.value.detail
    assert "answers 401" in caught.value.detail
    assert caught.value.detail.endswith(
        "(tried Secret team/one (unauthorized) and Secret team/two (unauthorized) and "
        "the configured pull secret (unauthorized); Secret team/three is not there)"
    )
    assert "s3cret" not in caught.value.detail
    assert str(caught.value) == caught.value.detail


def test_what_may_not_be_read_and_what_is_not_there_may_look_the_same(image, client):
    """Many registries answer 404 to whom they do not show a repository."""
    with both(image) as registry:
        registry.faults["*"] = faulty.Fault(_hides(registry), None)
        source = client(keychain=Pods(TEAM, Asked(secret("one", WRONG), secret("two", RIGHT))))
        assert source.resolve(named(registry), soon()).digest == image.digest
        with pytest.raises(NotFound):
            source.resolve(named(registry, "team/app:none"), soon())


def _hides(registry):
    """401 to nobody, 404 to the wrong one."""

    def strike(handler, answer):
        if answer.status == 401 and handler.headers["Authorization"]:
            answer = faulty.Answer(404)
        handler.send(answer)

    return strike


def test_a_busy_registry_is_not_asked_with_every_secret(image, client):
    with both(image, faults={"/v2/*": faulty.status(503)}) as registry:
        source = client(keychain=Pods(TEAM, Asked(*[secret("one", WRONG)] * 9)))
        with pytest.raises(ServerError):
            source.resolve(named(registry), soon())
        assert not any(one.has_auth for one in registry.requests)


def test_more_candidates_than_a_pod_has_reason_for_are_not_tried(image, client):
    with both(image) as registry:
        source = client(keychain=Pods(TEAM, Asked(*[secret("one", WRONG)] * 50)))
        with pytest.raises(Unauthorized):
            source.resolve(named(registry), soon())
        assert len(registry.requests) == 1 + 16


class TestAccountsThatShareAMemory:
    OTHER = Account(namespace="other")

    @pytest.fixture
    def sources(self, transport):
        shared, one = clients.Shared(), transport()

        def make(account, keychain):
            return clients.Registry(one, keychain, account=account, shared=shared)

        return make

    @pytest.mark.parametrize("token", [False, True])
    def test_what_one_bought_serves_no_other(self, image, sources, token):
        with both(image, token=token) as registry:
            owner = sources(TEAM, Pods(TEAM, Asked(secret("one", RIGHT))))
            owner.resolve(named(registry), soon())
            for other in (sources(self.OTHER, Anonymous()), sources(None, Anonymous())):
                with pytest.raises(Unauthorized):
                    other.resolve(named(registry), soon())
                assert other.credentials(named(registry)) is None

    def test_it_serves_the_same_account_again(self, image, sources):
        ask = Asked(secret("one", RIGHT))
        with both(image) as registry:
            for _ in range(3):
                sources(TEAM, Pods(TEAM, ask)).resolve(named(registry), soon())
            assert [one.status for one in registry.requests] == [401, 200, 200, 200]
        assert ask.times == 1

    def test_for_a_minute(self, transport):
        """Within that time its Secret may be taken away."""
        now = [0.0]
        who = clients.Authenticator(transport(), Anonymous(), account=TEAM, clock=lambda: now[0])
        reference = Reference.parse("registry.example/team/app")
        who.remember(reference, Proof("Basic x", float("inf"), "Secret team/one"))
        now[0] = ACCOUNT_SECONDS - 1
        assert who.known(reference)
        now[0] = ACCOUNT_SECONDS
        assert who.known(reference) is None


def test_a_right_that_was_taken_away_is_asked_for_anew(image, client):
    """403 to what was good before: the next candidate may do."""
    ask = Asked(secret("one", RIGHT))
    with both(image) as registry:
        source = client(keychain=Pods(TEAM, ask))
        source.resolve(named(registry), soon())
        registry.faults["*"] = faulty.status(403, times=1)
        assert source.resolve(named(registry), soon()).digest == image.digest
        assert [one.status for one in registry.requests] == [401, 200, 403, 401, 200]
        assert ask.times == 2


def test_headers_that_are_remembered_are_bounded():
    proofs = Proofs(capacity=100_000)
    for number in range(100):
        proofs.put(number, Proof("x" * 10_000, float("inf"), None))
        assert proofs.get(0) is not None or number > 8
    kept = [number for number in range(100) if proofs.get(number)]
    assert 5 < len(kept) < 10
    assert kept[-1] == 99
    proofs.put(99, Proof("y", 0.0, None))
    proofs.drop(99)
    assert proofs.get(99) is None


def test_a_header_does_not_show():
    assert "s3cret" not in repr(Proof("Basic s3cret", 0.0, None))


def test_whose_they_are_takes_room_as_well():
    proofs = Proofs(capacity=100_000)
    for number in range(100):
        proofs.put("k" * 10_000 + str(number), Proof("x", float("inf"), None))
    assert sum(proofs.get("k" * 10_000 + str(number)) is not None for number in range(100)) < 10
