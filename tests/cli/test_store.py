"""``slimgate serve --store``: pods are judged rightly, whatever happens to where facts are kept.

Every fault is put on while two servers run, one that enforces and one that audits only, and then an
image is asked about that nobody has seen yet.
"""

from __future__ import annotations

import re
import ssl
import time
import urllib.request
from contextlib import ExitStack
from dataclasses import dataclass, field
from itertools import count

import click
import pytest
from click.testing import CliRunner

from tests.cli.conftest import refused_start
from tests.cli.test_review import NAMESPACES
from tests.cli.test_serve import _post, _serving
from tests.store.test_sqlite import fill, mounted
from tests.support import forge
from tests.support.registry import Registry
from tests.support.samples import PASSWD, program
from tests.support.served import review
from tests.support.valkey import PATIENT, kill, options, server
from webhook.cli.store import keeps_facts
from webhook.store.valkey import _REST as REST

KEY = "k" * 32
KINDS = {False: "good", True: "bad"}


def image(number: int, *, shell: bool) -> forge.Image:
    """One that ``distroless-nonroot`` lets in, or refuses for its shell; none is like another."""
    base = [forge.file("etc/passwd", PASSWD), program("app")]
    own = [forge.file(f"srv/{number}", b"x"), *([program("bin/sh")] if shell else [])]
    return forge.image([base, own], user="65532", entrypoint=["/app"])


@dataclass
class World:
    """Two servers that judge by the same policy, and a registry."""

    registry: Registry
    urls: dict[str, str] = field(default_factory=dict)
    numbers: count = field(default_factory=count)

    def judge_new_ones(self) -> None:
        """A good image and a bad one that nobody knows."""
        number = next(self.numbers)
        for shell in (False, True):
            self.registry.add(f"team/{number}-{KINDS[shell]}:1", image(number, shell=shell))
        self.judge(number)

    def judge(self, number: int) -> None:
        """Both images of a number, by both servers."""
        for shell in (False, True):
            body = review(f"{self.registry.host}/team/{number}-{KINDS[shell]}:1")
            for mode, url in self.urls.items():
                answer = _post(url, body)
                assert answer["allowed"] is (not shell or mode == "audit-only"), (mode, answer)
                if shell:
                    assert "/bin/sh" in str(answer), (mode, answer)

    def told(self, mode: str, name: str) -> dict[str, float]:
        """A counter of a server, by its last label."""
        trusting = ssl._create_unverified_context()
        at = self.urls[mode].replace("/validate", "/metrics")
        with urllib.request.urlopen(at, context=trusting, timeout=60) as answer:
            text = answer.read().decode()
        found = re.findall(rf'^slimgate_{name}_total{{.*"(\w+)"}} (\S+)$', text, re.MULTILINE)
        summed: dict[str, float] = {}
        for label, value in found:
            summed[label] = summed.get(label, 0) + float(value)
        return {label: value for label, value in summed.items() if value}


@pytest.fixture
def served(tmp_path):
    """Begin both servers, each with options of its own."""
    namespaces = tmp_path / "namespaces.yaml"
    namespaces.write_text(NAMESPACES)
    with ExitStack() as stack:

        def start(options):
            registry = stack.enter_context(Registry())
            world = World(registry)
            for mode in ("enforcing", "audit-only"):
                world.urls[mode] = stack.enter_context(_serving(
                    "--namespaces", str(namespaces), "--plain-http", registry.host,
                    "--allow-loopback", "--lame-duck", "1ms", *options(mode),
                    *(["--audit-only"] if mode == "audit-only" else []),
                ))  # fmt: skip
            return world

        yield start


def test_a_file_that_is_damaged_and_a_disk_that_fills_up(served, tmp_path):
    """Both servers have the same file: what one of them read the other one knows."""
    with mounted(tmp_path / "disk", "size=4m"):
        file = tmp_path / "disk" / "facts.sqlite"
        file.write_bytes(b"no database" * 999)
        world = served(lambda mode: ("--store", "sqlite", "--store-file", str(file)))

        world.judge_new_ones()
        assert asked(world) == {"GET": 7, "HEAD": 2}  # of two images with a base in common
        assert world.told("enforcing", "store_troubles") == {"corrupt": 1}
        assert world.told("audit-only", "store_lookups") == {"hit": 4}
        assert file.with_name("facts.sqlite.corrupt").exists()

        fill(tmp_path / "disk" / "others")
        world.judge_new_ones()
        for mode in world.urls:
            assert {"full", "unwritable"} & set(world.told(mode, "store_troubles"))
        world.judge(0)


def test_a_file_that_cannot_be_written(served, tmp_path):
    with mounted(tmp_path / "disk", "size=4m", "ro"):
        file = tmp_path / "disk" / "facts.sqlite"
        world = served(lambda mode: ("--store", "sqlite", "--store-file", str(file)))

        world.judge_new_ones()
        for mode in world.urls:
            assert set(world.told(mode, "store_troubles")) == {"unwritable"}


def test_replicas_that_share_a_server_read_once_and_do_without_it(served, tmp_path):
    """What one replica read the other one knows; killed by SIGKILL, and back."""
    key = tmp_path / "key"
    key.write_text(KEY)
    (tmp_path / "password").write_text("secret\n")
    service, port = server(tmp_path, "--requirepass", "secret")
    service.start()
    try:
        world = served(lambda mode: (
            *options(port, key), *PATIENT, "--store-password-file", str(tmp_path / "password"),
        ))  # fmt: skip
        world.judge_new_ones()
        assert asked(world) == {"GET": 7, "HEAD": 2}  # of two images with a base in common
        assert world.told("audit-only", "store_lookups") == {"hit": 4}

        kill(service)
        killed = time.monotonic()
        world.judge_new_ones()
        world.judge(0)
        for mode in world.urls:
            told = world.told(mode, "store_troubles")
            assert set(told) == {"unreachable"}
            assert told["unreachable"] <= 1 + (time.monotonic() - killed) / REST

        service.start()
        world.judge_new_ones()
        world.judge(0)
    finally:
        service.stop()


def asked(world: World) -> dict[str, int]:
    """What the registry was asked for, by method; where it is what a digest or a tag names."""
    methods = [each.method for each in world.registry.requests if each.path != "/v2/"]
    return {method: methods.count(method) for method in sorted(set(methods))}


@pytest.mark.parametrize(("told", "seconds"), [([], 0.5), (["--store-timeout", "2s"], 2.0)])
def test_how_long_a_server_may_take_is_told(tmp_path, told, seconds):
    key = tmp_path / "key"
    key.write_text(KEY)
    shown = click.command(keeps_facts(lambda *, store: click.echo(store.timeout)))
    assert CliRunner().invoke(shown, [*options(1, key), *told]).output == f"{seconds}\n"


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        pytest.param(["--store", "sqlite"], "--store-file", id="no file"),
        pytest.param(["--store-file", "x"], "--store sqlite only", id="a file for memory"),
        pytest.param(
            ["--store", "sqlite", "--store-file", "x", "--store-size", "1k"], "1Mi", id="too small"
        ),
        pytest.param(["--store", "valkey", "--store-server", "a:1"], "--store-key-file", id="key"),
        pytest.param(
            ["--store", "sqlite", "--store-file", "x", "--store-timeout", "1s"],
            "--store valkey only",
            id="a timeout for a file",
        ),
        pytest.param([*options(1, "key"), "--store-timeout", "31s"], "30s at most", id="too long"),
        pytest.param(
            ["--store", "valkey", "--store-server", "a", "--store-key-file", "key"],
            "HOST:PORT",
            id="no port",
        ),
        pytest.param(options(1, "short"), "32 bytes", id="a short key"),
        pytest.param(
            [*options(1, "key"), "--store-ca-file", "key"], "--store-tls", id="a CA and no TLS"
        ),
        pytest.param(
            [*options(1, "key"), "--store-tls", "--store-ca-file", "key"],
            "certificate",
            id="no CA",
        ),
    ],
)
def test_mistakes_end_the_start(tmp_path, arguments, says):
    (tmp_path / "key").write_text(KEY)
    (tmp_path / "short").write_text("short")

    assert says in refused_start(arguments, tmp_path)
