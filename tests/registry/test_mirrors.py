"""Mirrors: asked in order, believed by digest only, and told nobody else's secrets."""

from __future__ import annotations

import ipaddress

import pytest

from tests.registry.conftest import Account, layer_of, soon
from tests.support import registry as faulty
from tests.support.registry import Registry
from webhook.errors import Blocked, IntegrityError, NotFound, Unauthorized, Unreachable
from webhook.gather.credentials import Candidate, Credentials
from webhook.image.reference import Reference
from webhook.registry import client as clients
from webhook.registry.addresses import AddressRules
from webhook.registry.keychains import Anonymous
from webhook.registry.sites import CAPABILITIES, Site
from webhook.registry.transport import HostSettings

PAIR = ("user", "right")
RIGHT = Credentials(username="user", password="right")
NOBODY = Anonymous()


@pytest.fixture
def mirrored(transport):
    """A client of a registry with mirrors, all of them spoken to by http."""

    def make(own, *mirrors, keychain=NOBODY, theirs=NOBODY, **settings):
        sites = tuple(
            one if isinstance(one, Site) else Site(host=one.host, scheme="http", mirror=True)
            for one in mirrors
        )
        settings.setdefault("default", HostSettings(plain_http=True))
        return clients.Registry(
            transport(**settings), keychain,
            sites=lambda _: (*sites, Site(host=own.host, scheme="http")), mirrors=theirs,
        )  # fmt: skip

    return make


def named(registry, tail=":1"):
    return Reference.parse(f"{registry.host}/team/app{tail}")


def good(image, **settings):
    return Registry({"team/app:1": image}, **settings)


def test_the_mirror_is_enough(image, mirrored):
    """It is told which registry it stands for, as containerd tells it."""
    with good(image) as own, good(image) as mirror:
        source = mirrored(own, mirror)
        assert source.resolve(named(own), soon()).digest == image.digest
        blob = layer_of(image)
        assert b"".join(source.blob(named(own), blob, soon())) == image.blobs[blob.digest]
        assert own.requests == []
        assert mirror.requests[0].path == f"/v2/team/app/manifests/1?ns={own.host}"


@pytest.mark.parametrize("code", [400, 401, 403, 404, 429, 500])
def test_what_a_mirror_does_not_have_the_next_one_has(image, mirrored, code):
    faults = {"*": faulty.status(code)}
    with good(image) as own, good(image, faults=faults) as bad, good(image) as fine:
        assert mirrored(own, bad, fine).resolve(named(own), soon()).digest == image.digest
        assert bad.requests
        assert own.requests == []


def test_a_mirror_that_is_not_there(image, mirrored):
    with good(image) as gone:
        pass
    with good(image) as own:
        assert mirrored(own, gone).resolve(named(own), soon()).digest == image.digest


def test_where_nobody_has_it_all_are_named(image, mirrored):
    with (
        Registry() as own,
        Registry(faults={"*": faulty.status(403)}) as mirror,
        pytest.raises(NotFound) as caught,
    ):
        mirrored(own, mirror).resolve(named(own), soon())
    assert caught.value.detail.endswith(f"404 NAME_UNKNOWN (mirror {mirror.host}: forbidden)")


def test_capabilities(image, mirrored):
    """What only pulls is not asked what a tag leads to; what only resolves hands out nothing."""
    with good(image) as own, good(image) as pulls, good(image) as resolves:
        sites = (
            Site(host=pulls.host, scheme="http", mirror=True, capabilities=frozenset({"pull"})),
            Site(host=resolves.host, scheme="http", mirror=True,
                 capabilities=frozenset({"resolve"})),
        )  # fmt: skip
        source = mirrored(own, *sites)
        source.resolve(named(own), soon())
        assert (len(pulls.requests), len(resolves.requests), len(own.requests)) == (0, 0, 1)
        source.resolve(named(own, f"@{image.digest}"), soon())
        assert source.digest(named(own, f"@{image.digest}"), soon()) == image.digest
        assert (len(pulls.requests), len(resolves.requests), len(own.requests)) == (2, 0, 1)


def test_nobody_is_left_to_ask(transport):
    site = Site(host="registry.test", capabilities=CAPABILITIES - {"resolve"})
    source = clients.Registry(transport(), sites=lambda _: (site,))
    with pytest.raises(Unreachable, match=r"hosts\.toml names nobody who may pull and resolve it"):
        source.resolve(Reference.parse("registry.test/app:1"), soon())


def test_a_mirror_that_lies_is_found_out(image, mirrored):
    with (
        good(image) as own,
        good(image, faults={"*": faulty.wrong_bytes()}) as liar,
        pytest.raises(IntegrityError),
    ):
        mirrored(own, liar).resolve(named(own, f"@{image.digest}"), soon())


def test_paths(image, mirrored):
    """Harbor's proxies have one."""
    with good(image) as own, good(image) as mirror:
        site = Site(host=mirror.host, scheme="http", path="/proxy/v2", mirror=True)
        mirrored(own, site).resolve(named(own), soon())
        assert mirror.requests[0].path == f"/proxy/v2/team/app/manifests/1?ns={own.host}"


def test_a_mirror_that_hangs_leaves_the_registry_time(image, mirrored):
    with good(image) as own, good(image, faults={"*": faulty.stall()}) as mirror:
        assert mirrored(own, mirror).resolve(named(own), soon()).digest == image.digest


# --- secrets


class Watched:
    """A keychain that notes what it was asked for."""

    def __init__(self, held=RIGHT):
        self.held, self.asked = held, []

    def candidates(self, reference):
        self.asked.append(reference.registry)
        yield Candidate(source="the account", credentials=self.held)


@pytest.mark.parametrize("token", [False, True])
def test_the_registrys_credentials_never_go_to_a_mirror(image, mirrored, token):
    with (
        good(image, basic=PAIR) as own,
        good(image, basic=PAIR, token=token) as mirror,
    ):
        keychain = Watched()
        source = mirrored(own, mirror, keychain=keychain)
        assert source.resolve(named(own), soon()).digest == image.digest
        assert not any(one.has_auth and one.path != "/token" for one in mirror.requests)
        assert keychain.asked == [own.host]
        # A token that was bought for the registry is not shown to the mirror either.
        source.resolve(named(own), soon())
        assert [one.has_auth for one in own.requests] == [False, True, True]
        assert all(one.status == 401 for one in mirror.requests)


def test_a_mirror_has_credentials_of_its_own(image, mirrored):
    with good(image) as own, good(image, basic=PAIR) as mirror:
        theirs = Watched()
        source = mirrored(own, mirror, keychain=Account(Credentials(username="x")), theirs=theirs)
        source.resolve(named(own), soon())
        assert theirs.asked == [mirror.host]
        assert own.requests == []
        assert source.credentials(named(own)) == "the account"


def test_a_header_of_a_mirror_goes_no_further(image, mirrored):
    with good(image) as own, good(image) as elsewhere:
        seen = []

        def strike(handler, answer):
            seen.append(dict(handler.headers))
            handler.send(answer)

        elsewhere.faults["*"] = faulty.Fault(strike)
        blob = layer_of(image)
        to = faulty.redirect(f"{elsewhere.url}/v2/team/app/blobs/{blob.digest}")
        with good(image, faults={"*": to}) as mirror:
            site = Site(host=mirror.host, scheme="http", mirror=True, headers={"X-Key": "s3cret"})
            source = mirrored(own, site)
            assert b"".join(source.blob(named(own), blob, soon())) == image.blobs[blob.digest]
    assert len(seen) == 1
    assert "X-Key" not in seen[0]


def test_a_mirrors_challenge_after_a_redirect_is_met_with_nothing(image, mirrored):
    with good(image) as own, good(image, basic=PAIR) as elsewhere:
        faults = {"*": faulty.redirect(f"{elsewhere.url}/v2/")}
        with good(image, faults=faults) as mirror:
            theirs = Watched()
            source = mirrored(own, mirror, theirs=theirs)
            assert source.resolve(named(own), soon()).digest == image.digest
            assert theirs.asked == []
        assert [one.has_auth for one in elsewhere.requests] == [False]


# --- addresses


@pytest.mark.parametrize("host", ["169.254.169.254", "127.0.0.1:1", "[::1]:1", "0.0.0.0"])
def test_a_mirror_is_dialled_by_the_same_rules(transport, host):
    source = clients.Registry(
        transport(addresses=AddressRules()),
        sites=lambda _: (Site(host=host, scheme="https", mirror=True), Site(host=host)),
    )
    with pytest.raises(Blocked, match="mirror"):
        source.resolve(Reference.parse("registry.test/app:1"), soon())


def test_a_mirror_may_not_redirect_where_it_may_not_be_dialled(image, mirrored):
    with good(image) as own, good(image) as inside:
        port = inside.host.partition(":")[2]
        faults = {"*": faulty.redirect(f"http://127.0.0.2:{port}/v2/team/app/manifests/1")}
        with good(image, faults=faults) as mirror:
            denied = (ipaddress.ip_network("127.0.0.2/32"),)
            rules = AddressRules(allow_loopback=True, deny=denied)
            source = mirrored(own, mirror, addresses=rules)
            assert source.resolve(named(own), soon()).digest == image.digest
        assert inside.requests == []


def test_plain_http_to_a_mirror_only_where_it_is_configured(image, mirrored):
    with good(image) as own, good(image) as mirror:
        source = mirrored(own, mirror, default=HostSettings(), loopback_http=False)
        with pytest.raises(Blocked, match="plain http"):
            source.resolve(named(own), soon())
        assert mirror.requests == own.requests == []


def test_a_registry_that_wants_credentials_behind_a_mirror_that_has_none(image, mirrored):
    with (
        good(image, basic=PAIR) as own,
        Registry() as mirror,
        pytest.raises(Unauthorized, match=r"401 UNAUTHORIZED \(mirror .*: notFound\)"),
    ):
        mirrored(own, mirror).resolve(named(own), soon())
