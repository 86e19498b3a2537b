"""Rotation under accidents: no replica ever serves what an API server does not trust.

The real rotation runs on an API in memory that checks versions, loses writes and lets another
leader in between; real verification says whether a chain holds.
"""

from __future__ import annotations

import base64
import copy
import json
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import pytest
from cryptography import x509
from cryptography.x509.verification import PolicyBuilder, Store
from hypothesis import given, settings
from hypothesis import strategies as st
from kubernetes.client.exceptions import ApiException
from prometheus_client import CollectorRegistry
from urllib3 import HTTPHeaderDict

from webhook.certs.authority import (
    RETIRE,
    Keys,
    Terms,
    Watched,
    ca_data,
    observe,
    plan,
    read_keys,
    read_leaf,
    tls_data,
)
from webhook.certs.issue import issue_authority, issue_leaf, names, pem, read_certificates
from webhook.cluster.certificates import ROTATE, Instruments, Rotation
from webhook.cluster.objects import ApiRefused
from webhook.cluster.registration import PODS, TEMPLATES, Registration

TERMS = Terms(service="slimgate", namespace="guard", overlap=60.0)
START = datetime(2026, 11, 23, 12, tzinfo=UTC)
HOUR = 3600.0
DAY = 24 * HOUR
SERVER_LAG, REPLICA_LAG = 50.0, RETIRE * 60.0 - 20.0
SECRETS = "/api/v1/namespaces/guard/secrets"
CONFIGURATION = (
    "/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations/slimgate.guard"
)


def verifies(leaf, bundle, at):
    """Raises where an API server with that bundle would not take the leaf."""
    verifier = PolicyBuilder().store(Store(bundle)).time(at)
    verifier.build_server_verifier(x509.DNSName("slimgate.guard.svc")).verify(leaf, [])


class MemoryApi:
    """Three objects with versions, and what replicas and API servers may have of them."""

    def __init__(self):
        self.time, self.jump = 0.0, 0.0
        self.before_write = lambda: None
        self.objects = {
            f"{SECRETS}/slimgate-ca": {"metadata": {"name": "slimgate-ca"}},
            f"{SECRETS}/slimgate-tls": {"metadata": {"name": "slimgate-tls"}},
            CONFIGURATION: {
                "metadata": {"name": "slimgate.guard"},
                "webhooks": [{"name": name, "clientConfig": {}} for name in (PODS, TEMPLATES)],
            },
        }
        for one in self.objects.values():
            one["metadata"]["resourceVersion"] = "1"
        self.bundles = []  # (since, certificates or None for what others wrote)
        self.leaves = []  # (since, certificate)
        self.down_until = 0.0

    @property
    def now(self):
        return START + timedelta(seconds=self.time)

    def wall(self):
        return self.now + timedelta(seconds=self.jump)

    def request(self, method, path, *, body, content_type, query_params, **_):
        if method == "get":
            return self._answer(path)
        self.before_write()
        found = copy.deepcopy(self.objects[path])
        steps = body if method == "patch" else []
        sent = body["metadata"] if method == "put" else {"resourceVersion": steps[0]["value"]}
        if sent["resourceVersion"] != found["metadata"]["resourceVersion"]:
            raise ApiException(status=409, reason="Conflict")
        if method == "put":
            found = copy.deepcopy(body)
        for step in steps[1:]:
            at = int(step["path"].split("/")[2])
            found["webhooks"][at]["clientConfig"]["caBundle"] = step["value"]
        self.store(path, found, ours=True)
        return self._answer(path)

    def _answer(self, path):
        return SimpleNamespace(
            data=json.dumps(self.objects[path]).encode(), headers=HTTPHeaderDict()
        )

    def store(self, path, document, *, ours):
        document["metadata"]["resourceVersion"] = str(
            int(self.objects[path]["metadata"]["resourceVersion"]) + 1
        )
        self.objects[path] = document
        if path == CONFIGURATION:
            self.bundles.append((self.time, self.bundle() if ours else None))
        leaf, _ = read_leaf(self.data("tls"))
        if leaf is not None and (not self.leaves or self.leaves[-1][1] != leaf.certificate):
            if self.leaves and self._ends_soon(self.leaves[-1][1]):
                # Nobody led for weeks and no call succeeds: the new one does not wait.
                self.down_until = self.time + SERVER_LAG
            self.leaves.append((self.time, leaf.certificate))

    def _ends_soon(self, leaf):
        return leaf.not_valid_after_utc < self.now + timedelta(hours=2)

    def data(self, which):
        found = self.objects[f"{SECRETS}/slimgate-{which}"].get("data") or {}
        return {name: base64.b64decode(text) for name, text in found.items()}

    def bundle(self):
        text = self.objects[CONFIGURATION]["webhooks"][0]["clientConfig"].get("caBundle", "")
        return read_certificates(base64.b64decode(text))

    def edit(self, path, change):
        document = copy.deepcopy(self.objects[path])
        change(document)
        self.store(path, document, ours=False)

    def recent(self, history, lag):
        """Values that were the newest one at some time within the lag."""
        ends = [*(since for since, _ in history[1:]), float("inf")][: len(history)]
        return [one for (_, one), end in zip(history, ends, strict=True) if end >= self.time - lag]

    def check(self):
        if self.time <= self.down_until:
            return
        for leaf in self.recent(self.leaves, REPLICA_LAG):
            if self._ends_soon(leaf):
                continue
            for bundle in self.recent(self.bundles, SERVER_LAG):
                if bundle is not None:
                    verifies(leaf, list(bundle), self.now)


def rotation(api, said=None):
    """One leader, with a memory of its own."""
    report = lambda word, text: None if said is None else said.append((word, text))  # noqa: E731
    return Rotation(
        api,
        release="slimgate",
        terms=TERMS,
        leading=lambda: True,
        registration=Registration(api, "slimgate.guard", report=report),
        instruments=Instruments(CollectorRegistry()),
        report=report,
        now=api.wall,
        monotonic=lambda: api.time,
    )


def led(api, leader):
    try:
        return leader.step()
    except ApiRefused:
        return None


def ticks(api, leader, seconds, every=5.0):
    end = api.time + seconds
    while api.time < end:
        led(api, leader)
        api.check()
        api.time += every


def _wipe(document):
    document["data"] = {}


def _wipe_bundle(document):
    document["webhooks"][0]["clientConfig"] = {}


def _garble(document):
    document["data"] = {
        name: base64.b64encode(base64.b64decode(text)[:-40]).decode()
        for name, text in (document.get("data") or {}).items()
    }


def _stranger(document):
    """A user's own pair, by a CA of their own, instead of slimgate's."""
    ca = issue_authority("stranger", now=START, valid=timedelta(days=3650))
    leaf = issue_leaf(ca, "x", ["x"], now=START, valid=timedelta(days=3650))
    mine = {"tls.crt": leaf.cert_pem, "tls.key": leaf.key_pem}
    document.setdefault("data", {}).update(
        {name: base64.b64encode(text).decode() for name, text in mine.items()}
    )


def _force(what):
    def change(document):
        document["metadata"]["annotations"] = {ROTATE: what}

    return change


LEADERS = st.integers(0, 1)
ACTIONS = st.one_of(
    st.tuples(st.just("tick"), LEADERS),
    st.tuples(st.just("spell"), LEADERS, st.sampled_from([60.0, 130.0, 500.0])),
    st.tuples(st.just("crash"), LEADERS, st.integers(1, 4)),
    st.tuples(st.just("overtaken"), LEADERS, st.integers(1, 4), st.integers(1, 3)),
    st.tuples(st.just("pause"), st.sampled_from([1.0, 20.0, 70.0, 400.0, 11 * DAY, 245 * DAY])),
    st.tuples(st.just("jump"), st.sampled_from([-HOUR, 0.0, HOUR])),
    st.tuples(st.just("force"), st.sampled_from(["ca", "leaf", "nonsense"])),
    st.tuples(st.just("tls"), st.sampled_from([_wipe, _garble, _stranger])),
    st.tuples(st.just("ca"), st.sampled_from([_wipe, _garble])),
    st.tuples(st.just("bundle"), st.just(_wipe_bundle)),
)


class LostError(Exception):
    """The leader's process ended, or its write never arrived."""


def _act(api, leaders, action):  # noqa: C901 - one branch an accident
    match action:
        case "tick", who:
            led(api, leaders[who])
        case "spell", who, seconds:
            ticks(api, leaders[who], seconds)
        case "crash", who, after:
            left = [after]

            def lose():
                left[0] -= 1
                if not left[0]:
                    raise LostError

            api.before_write = lose
            try:
                led(api, leaders[who])
            except LostError:
                leaders[who] = rotation(api)
            api.before_write = lambda: None
        case "overtaken", who, after, times:
            left = [after]

            def other():
                left[0] -= 1
                if not left[0]:
                    api.before_write = lambda: None
                    for _ in range(times * 13):
                        led(api, leaders[1 - who])
                        api.check()
                        api.time += 5.0

            api.before_write = other
            led(api, leaders[who])
            api.before_write = lambda: None
        case "pause", seconds:
            api.time += seconds
        case "jump", seconds:
            api.jump = seconds
        case "force", what:
            api.edit(f"{SECRETS}/slimgate-ca", _force(what))
        case "tls", change:
            api.edit(f"{SECRETS}/slimgate-tls", change)
        # One loss at a time: what a CA was is known from the bundle, or from its Secret.
        case "ca", change if api.bundles and api.bundles[-1][1]:
            api.edit(f"{SECRETS}/slimgate-ca", change)
        case "bundle", change:
            keys, problems = read_keys(api.data("ca"), {})
            if keys.bundle and not problems:
                api.edit(CONFIGURATION, change)


@settings(max_examples=80)
@given(st.lists(ACTIONS, max_size=25))
def test_every_leaf_that_may_be_served_is_trusted_by_every_api_server(actions):
    api = MemoryApi()
    leaders = [rotation(api), rotation(api)]
    ticks(api, leaders[0], 15)
    assert api.leaves
    for action in actions:
        _act(api, leaders, action)
        api.check()
    api.jump = 0.0
    ticks(api, leaders[0], 1500, every=25.0)  # whatever was, it ends well
    keys, problems = read_keys(api.data("ca"), api.data("tls"))
    assert problems == ()
    assert (keys.next, keys.old) == (None, ())
    verifies(keys.leaf.certificate, list(api.bundle()), api.now)
    annotations = api.objects[f"{SECRETS}/slimgate-ca"]["metadata"].get("annotations") or {}
    assert ROTATE not in annotations


def test_the_first_leaf_waits_for_one_look_only():
    api = MemoryApi()
    leader = rotation(api)
    leader.step()
    assert not api.leaves
    assert len(api.bundle()) == 1
    leader.step()
    (_, leaf), *_ = api.leaves
    assert names(leaf) == {
        "slimgate.guard.svc",
        "slimgate.guard.svc.cluster.local",
        "slimgate.guard",
    }
    assert leaf.not_valid_before_utc == START - timedelta(hours=1)
    assert leaf.not_valid_after_utc == START + timedelta(days=30)
    assert api.bundle()[0].not_valid_after_utc == START + timedelta(days=365)


@pytest.mark.parametrize(
    ("days", "leaves", "authorities"), [(19, 1, 1), (21, 2, 1), (242, 2, 1), (244, 3, 2)]
)
def test_renewal_is_at_two_thirds_of_life(days, leaves, authorities):
    api = MemoryApi()
    leader = rotation(api)
    ticks(api, leader, 15)
    first = api.bundle()
    api.time = days * DAY
    ticks(api, leader, 80)
    assert len(api.leaves) == leaves
    assert len({*first, *api.bundle()}) == authorities


def test_a_forced_ca_is_in_the_bundle_first_and_the_old_one_leaves_last():
    api = MemoryApi()
    leader = rotation(api)
    ticks(api, leader, 15)
    (old,) = api.bundle()
    api.edit(f"{SECRETS}/slimgate-ca", _force("ca"))
    begun = api.time
    ticks(api, leader, 60)
    assert len(api.leaves) == 1
    assert old in api.bundle()
    assert len(api.bundle()) == 2
    ticks(api, leader, 20)
    assert api.leaves[1][0] - begun >= TERMS.overlap
    assert old in api.bundle()
    ticks(api, leader, RETIRE * TERMS.overlap)
    assert old not in api.bundle()
    assert api.bundles[-1][0] - api.leaves[1][0] >= RETIRE * TERMS.overlap


def test_somebody_elses_pair_is_told_of_and_replaced():
    api, said = MemoryApi(), []
    leader = rotation(api, said)
    ticks(api, leader, 15)
    api.edit(f"{SECRETS}/slimgate-tls", _stranger)
    ticks(api, leader, 10)
    assert ("certificate-error", "tls.crt: it is not by the CA in ca.crt") in said
    assert len(api.leaves) == 2
    assert "stranger" not in str(api.leaves)


def test_a_leaf_is_no_secret_of_another_key():
    ca = issue_authority("a", now=START, valid=TERMS.ca)
    one, other = (issue_leaf(ca, "x", TERMS.hosts, now=START, valid=TERMS.leaf) for _ in range(2))
    data = {"tls.crt": one.cert_pem, "tls.key": other.key_pem, "ca.crt": ca.cert_pem}
    leaf, problem = read_leaf(data)
    assert leaf is None
    assert problem == "tls.crt: the key is another certificate's"


@given(st.binary(max_size=200), st.binary(max_size=200))
def test_whatever_the_secrets_hold_is_read(one, other):
    begin = b"-----BEGIN CERTIFICATE-----\n"
    data = {"ca.crt": begin + one, "ca.key": other, "bundle.crt": begin + other, "tls.crt": one}
    keys, problems = read_keys(data, data)
    assert keys.current is None
    assert problems


def test_secrets_hold_what_was_planned():
    ca, old = (issue_authority(name, now=START, valid=TERMS.ca) for name in "ab")
    leaf = issue_leaf(ca, "x", TERMS.hosts, now=START, valid=TERMS.leaf)
    keys = Keys(current=ca, old=(old.certificate,), leaf=leaf)
    again, problems = read_keys(ca_data(keys), tls_data(keys, leaf))
    assert problems == ()
    assert pem(*again.bundle) == pem(*keys.bundle)
    assert again.leaf.certificate == leaf.certificate


def test_after_a_gap_everything_counts_from_now():
    ca = issue_authority("a", now=START, valid=TERMS.ca).certificate
    seen = observe(Watched(), bundle=[ca], leaf=None, at=5.0, gap=30.0)
    near = observe(seen, bundle=[ca], leaf=None, at=34.0, gap=30.0)
    far = observe(seen, bundle=[ca], leaf=None, at=36.0, gap=30.0)
    back = observe(near, bundle=[ca], leaf=None, at=30.0, gap=30.0)
    assert [*near.bundle.values(), *far.bundle.values(), *back.bundle.values()] == [5.0, 36.0, 30.0]


def test_without_a_configuration_nothing_is_waited_for():
    first = plan(Keys(), Watched(), terms=TERMS, now=START, bundle=None)
    assert first.keys.leaf is not None
