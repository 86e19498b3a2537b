"""Names that lead elsewhere than they did, and whoever would like to have the credentials.

8, 11 and 41 of docs/webhook-conformance.md: tags that move, DNS that changes its mind, redirects
and realms of other hosts, proxies that are not there.
"""

from __future__ import annotations

import json
import subprocess
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.cluster.support.processes import closed_port
from tests.faults.answers import in_both, let_in, refused
from tests.faults.images import app, layer_of
from tests.support.registry import Registry, redirect
from tests.support.served import MODES, POLICY, Served, both

LOGIN = ("user", "password")
WELL = "127.0.0.1 localhost registry.test proxied.test\n"
IN_A_NAMESPACE = ("unshare", "--mount", "sh", "-c", 'mount --bind "$0" /etc/hosts && exec "$@"')
"""A command's own /etc/hosts: the file that follows."""


@dataclass(frozen=True)
class World:
    """Servers that want digests and have a password for one registry."""

    servers: dict[str, Served]
    private: dict[str, Registry]
    """A registry of each mode, for which there is a password."""
    hosts: Path
    proxy: str
    """By which they go to names that they were not told of; nobody listens there."""
    obstacle: str
    """Why that cannot be; empty where it is."""


@pytest.fixture(scope="module")
def world(tls, ca_file, tmp_path_factory):
    folder = tmp_path_factory.mktemp("names")
    hosts = folder / "hosts"
    hosts.write_text(WELL)
    tried = subprocess.run(
        [*IN_A_NAMESPACE, hosts, "true"], capture_output=True, text=True, check=False
    )
    before = () if tried.returncode else (*IN_A_NAMESPACE, str(hosts))
    policy = folder / "policy.yaml"
    policy.write_text(
        POLICY.read_text().replace("  checks:\n", "  checks:\n    reference: {digest: true}\n", 1)
    )
    private = {mode: Registry(tls=tls, basic=LOGIN) for mode in MODES}
    auths = {one.host: {"username": LOGIN[0], "password": LOGIN[1]} for one in private.values()}
    (folder / "config.json").write_text(json.dumps({"auths": auths}))
    options = ("--ca-file", ca_file, "--policies", policy, "--authfile", folder / "config.json")
    with ExitStack() as stack:
        for registry in private.values():
            stack.enter_context(registry)
        proxy = f"127.0.0.1:{stack.enter_context(closed_port())}"
        env = {"HTTPS_PROXY": f"http://{proxy}", "NO_PROXY": "127.0.0.1,registry.test"}
        servers = stack.enter_context(both(folder, *map(str, options), env=env, before=before))
        yield World(servers, private, hosts, proxy, tried.stderr)


def test_a_tag_that_moves(servers, world, tls):
    """8: the answer names the digest that was judged; where digests are wanted, a tag is none."""

    def asked(mode: str) -> tuple[dict[str, Any], ...]:
        first, second = app(), app(shell=True)
        with Registry({"team/app:1": first}, tls=tls) as registry:
            name = f"{registry.host}/team/app"
            before = servers[mode].ask(f"{name}:1")
            registry.add("team/app:1", second)
            registry.add("team/app:old", first)  # its blobs stay
            after = servers[mode].ask(f"{name}:1")
            for answer in (before, after):
                let_in(answer)
                told = answer["auditAnnotations"]
                assert told["images"] == f"{name}:1@{first.digest}"
                assert told["advisory"] == f"judged by a tag, which can be moved: {name}:1"
            pinned = servers[mode].ask(f"{name}@{second.digest}")
            let_in(world.servers[mode].ask(f"{name}@{first.digest}"))
            return pinned, world.servers[mode].ask(f"{name}:old")

    for mode, (pinned, tagged) in in_both(asked).items():
        refused(mode, pinned, "/bin/sh", kind="violations")
        refused(mode, tagged, "the tag old can be moved", kind="violations")


def test_credentials_go_nowhere_else(world, tls):
    """11: neither where a blob is redirected to, nor to a realm of another's choice."""

    def asked(mode: str) -> tuple[dict[str, Any], dict[str, Any]]:
        private, served = world.private[mode], world.servers[mode]
        led, lied = app(), app()
        private.add("team/led:1", led)
        private.add("team/lied:1", lied)
        with Registry({"team/led:1": led}, tls=tls, basic=LOGIN) as other:
            private.faults = {
                layer_of(led): redirect(f"{other.url}/v2/team/led/blobs/{led.layers[-1]}")
            }
            redirected = served.ask(f"{private.host}/team/led@{led.digest}")
            assert private.count("/v2/team/led/manifests/*", status=200)  # with the password
            assert [one.status for one in other.requests] == [401]
            private.faults = {}
            private.challenge = f'Bearer realm="http://{other.host}/token",service="x"'
            misled = served.ask(f"{private.host}/team/lied@{lied.digest}")
            private.challenge = None
            assert not any(one.has_auth for one in other.requests)
            return redirected, misled

    for mode, (redirected, misled) in in_both(asked).items():
        refused(mode, redirected, "could not be found out (unauthorized)")
        refused(mode, misled, "could not be found out (")


def test_a_name_that_leads_elsewhere_by_now(world, tls):
    """11: to the cloud's metadata, which is not dialled; and to where it may, again."""
    if world.obstacle:
        pytest.skip(f"no /etc/hosts of one's own: {world.obstacle.strip()}")
    images = [app() for _ in range(6)]
    names = {f"team/{number}:1": image for number, image in enumerate(images)}
    with Registry(names, tls=tls) as registry:
        port = registry.host.rpartition(":")[2]

        def ask(mode: str, number: int) -> dict[str, Any]:
            name = f"registry.test:{port}/team/{number}@{images[number].digest}"
            return world.servers[mode].ask(name)

        for mode in MODES:
            let_in(ask(mode, 0))
        registry.hang_up()
        world.hosts.write_text("127.0.0.1 localhost\n169.254.169.254 registry.test\n")
        for mode in MODES:
            refused(mode, ask(mode, 1), "could not be found out (blocked)", "link-local")
            let_in(ask(mode, 0))
        world.hosts.write_text(WELL)
        for mode in MODES:
            let_in(ask(mode, 2))


def test_a_proxy_that_is_not_there(world, tls):
    """41: nothing is dialled past it, where the registry's name leads."""
    with Registry({"team/app:1": app()}, tls=tls) as registry:
        name = f"proxied.test:{registry.host.rpartition(':')[2]}/team/app@{app().digest}"
        for mode, served in world.servers.items():
            refused(mode, served.ask(name), "(unreachable)", f"{world.proxy} refuses")
        assert registry.requests == []
