"""What one account may read is told to that account: never what another was told, or was not."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace

import pytest

from tests.support import forge
from tests.support.source import ForgedSource
from webhook.errors import Unauthorized
from webhook.gather.gatherer import Caches, Gatherer
from webhook.gather.lanes import Lanes
from webhook.gather.source import ImageRequest, Unread
from webhook.image.reference import Reference
from webhook.limits import Deadline, Limits
from webhook.pod import Account
from webhook.store.memory import Memory

APP = forge.image([[forge.file("app", b"#!/bin/false\n", mode=0o755)]], user="65532")
TAG = "registry.test/app:1"
BY_DIGEST = f"registry.test/app@{APP.digest}"
OWNER = Account(namespace="owner", pull_secrets=("regcred",))
THIEF = Account(namespace="thief", pull_secrets=("regcred",))


@dataclass
class Guarded:
    """The registry as one account sees it: ``may`` says whether it sees anything."""

    inside: ForgedSource
    account: Account
    may: set[Account]
    asked: list[tuple[str, str]]

    def _ask(self, what):
        self.asked.append((self.account.namespace, what))
        if self.account not in self.may:
            raise Unauthorized(f"{self.account.namespace} may not")

    def resolve(self, reference, deadline, most=None):
        self._ask("GET")
        return self.inside.resolve(reference, deadline, most)

    def digest(self, reference, deadline):
        self._ask("HEAD")
        return self.inside.digest(reference, deadline)

    def document(self, reference, descriptor, deadline):
        self._ask("GET")
        return self.inside.document(reference, descriptor, deadline)

    def blob(self, reference, descriptor, deadline):
        self._ask("GET blob")
        return self.inside.blob(reference, descriptor, deadline)

    def credentials(self, reference):
        return f"Secret {self.account.namespace}/regcred"


@dataclass
class World:
    images: dict[str, forge.Image]
    may: set[Account] = field(default_factory=lambda: {OWNER})
    asked: list[tuple[str, str]] = field(default_factory=list)
    now: float = 0.0

    def __post_init__(self):
        self.source = ForgedSource(self.images)
        self.lanes = Lanes(4, 8), Lanes(4, 8)

        def kept(seconds=float("inf")):
            return Memory(capacity=100, clock=lambda: self.now, seconds=seconds)

        self.gatherer = Gatherer(
            self.source,
            caches=Caches(
                tags=kept(30), proofs=kept(300), images=kept(), partial=kept(5),
                layers=kept(), files=kept(), failures=kept(5),
            ),
            limits=Limits(),
            opening=self.lanes[0],
            reading=self.lanes[1],
            clock=time.monotonic,
            background=30,
            on_behalf=lambda account: Guarded(self.source, account, self.may, self.asked),
        )  # fmt: skip

    def config(self, account, name=TAG, seconds=20.0):
        asked = ImageRequest(reference=Reference.parse(name), account=account)
        soon = Deadline.after(seconds, time.monotonic)
        (item,) = self.gatherer.configs([asked], soon)[asked]
        return asked, item

    def read(self, account, name=TAG):
        asked, item = self.config(account, name)
        if isinstance(item, Unread):
            return item
        soon = Deadline.after(20, time.monotonic)
        ((_, layered),) = self.gatherer.layers([(asked, item)], soon).items()
        return layered

    def heard(self):
        """What the registry was asked since the last time."""
        heard, self.asked[:] = list(self.asked), []
        return heard


@pytest.fixture
def world():
    made = World({TAG: APP, BY_DIGEST: APP, "registry.test/other:1": APP})
    yield made
    for event in made.source.held.values():
        event.set()
    for lanes in made.lanes:
        lanes.close()


@pytest.mark.parametrize("name", [TAG, BY_DIGEST])
def test_what_is_known_is_not_told_to_who_may_not_read_it(world, name):
    """Neither manifest nor config nor files, though all of it is in memory."""
    assert world.read(OWNER, name).files.programs.executables

    told = world.read(THIEF, name)

    assert isinstance(told, Unread)
    assert told.error.reason == "unauthorized"
    assert told.digest is None


def test_another_service_account_or_secret_is_another_account(world):
    world.read(OWNER)
    for other in (replace(OWNER, service_account="x"), replace(OWNER, pull_secrets=("y",))):
        assert isinstance(world.read(other), Unread)


@pytest.mark.parametrize("name", [TAG, BY_DIGEST])
def test_a_refusal_is_not_told_to_who_may_read_it(world, name):
    assert isinstance(world.read(THIEF, name), Unread)
    assert world.read(OWNER, name).files.programs.executables


@pytest.mark.parametrize("name", [TAG, BY_DIGEST])
def test_who_else_may_read_it_proves_it_by_one_head(world, name):
    """One request where the first took a manifest, a config and a layer."""
    world.may.add(THIEF)
    world.read(OWNER, name)
    assert [what for _, what in world.heard()] == ["GET", "GET blob", "GET blob"]

    facts = world.read(THIEF, name)

    assert facts.files.programs.executables
    assert facts.credentials == "Secret thief/regcred"
    assert world.heard() == [("thief", "HEAD")]


def test_the_proof_is_remembered_for_minutes_and_renewed_by_one_head(world):
    world.read(OWNER, BY_DIGEST)
    world.heard()
    world.now += 239
    world.read(OWNER, BY_DIGEST)
    assert world.heard() == []

    world.now += 62
    world.read(OWNER, BY_DIGEST)
    assert world.heard() == [("owner", "HEAD")]


def test_a_right_that_was_taken_away_ends_with_the_proof(world):
    world.read(OWNER, BY_DIGEST)
    world.may.clear()
    world.now += 301
    assert world.read(OWNER, BY_DIGEST).error.reason == "unauthorized"


def test_the_same_digest_in_another_repository_is_no_proof(world):
    """A registry of one's own says yes to every HEAD; it must hand out the manifest itself."""
    world.read(OWNER, BY_DIGEST)
    world.may.add(THIEF)
    world.heard()

    told = world.read(THIEF, f"evil.test/app@{APP.digest}")

    assert told.error.reason == "notFound"
    assert ("thief", "HEAD") not in world.heard()


def test_a_burst_of_one_account_makes_one_fetch(world):
    with ThreadPoolExecutor(32) as burst:
        answers = list(burst.map(lambda _: world.read(OWNER), range(500)))

    assert {facts.manifest_digest for facts in answers} == {APP.digest}
    assert [what for _, what in world.heard()] == ["GET", "GET blob", "GET blob"]


def test_a_layer_is_read_once_for_all(world):
    world.may.add(THIEF)
    world.read(OWNER)
    world.read(THIEF, "registry.test/other:1")
    assert world.source.asked.count(APP.layers[0]) == 1


def test_what_is_under_way_for_one_is_not_waited_for_by_another(world):
    """It may fail for its own reasons, and was begun with the credentials of the one."""
    world.may.add(THIEF)
    gate = world.source.held[APP.layers[0]] = threading.Event()
    asked, facts = world.config(THIEF)
    world.gatherer.layers([(asked, facts)], Deadline.after(0.05, time.monotonic))
    del world.source.held[APP.layers[0]]

    assert world.read(OWNER).files.programs.executables
    gate.set()


def test_a_burst_of_accounts_reads_no_more_than_it_has_threads(world):
    """Those who wait for their turn find it read."""
    accounts = [Account(namespace="team", service_account=f"a{n}") for n in range(12)]
    world.may.update(accounts)
    gate = world.source.held[APP.layers[0]] = threading.Event()
    for account in accounts:
        asked, facts = world.config(account)
        world.gatherer.layers([(asked, facts)], Deadline.after(0.05, time.monotonic))
    gate.set()
    for account in accounts:
        assert world.read(account).files.programs.executables
    assert world.source.asked.count(APP.layers[0]) <= 4


def test_where_all_ask_as_one_accounts_do_not_matter(world):
    plain = Gatherer(
        world.source,
        caches=Caches(**{
            name: Memory(capacity=100, clock=time.monotonic)
            for name in ("tags", "proofs", "images", "partial", "layers", "files", "failures")
        }),
        limits=Limits(), opening=world.lanes[0], reading=world.lanes[1], clock=time.monotonic,
        background=30,
    )  # fmt: skip
    for account in (OWNER, THIEF):
        asked = ImageRequest(reference=Reference.parse(TAG), account=account)
        (item,) = plain.configs([asked], Deadline.after(20, time.monotonic))[asked]
        assert item.credentials is None
    assert world.source.asked.count(TAG) == 1
