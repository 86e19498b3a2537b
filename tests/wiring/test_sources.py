"""One source for every image, and what is built around it."""

from __future__ import annotations

import json
import time
from contextlib import closing
from pathlib import Path

import pytest

from tests.support import forge
from tests.support.registry import Registry
from tests.support.samples import SAMPLES
from webhook.errors import Blocked, NotFound, Unauthorized, UsageError
from webhook.image.reference import Reference
from webhook.limits import Deadline
from webhook.settings import Settings
from webhook.wiring import Sources


def soon() -> Deadline:
    return Deadline.after(20, time.monotonic)


@pytest.fixture
def registry():
    """One that wants a password."""
    images = {"team/app:1": SAMPLES["scratch"].image}
    with Registry(images, basic=("user", "secret")) as registry:
        yield registry


def _resolved(settings: Settings, registry: Registry) -> str:
    with closing(Sources(settings)) as sources:
        return sources.resolve(sources.open(f"{registry.host}/team/app:1"), soon()).digest


def _config(path: Path, registry: Registry) -> Path:
    path.parent.mkdir(exist_ok=True)
    path.write_text(
        json.dumps({"auths": {registry.host: {"username": "user", "password": "secret"}}})
    )
    return path


def test_two_archives_and_a_registry(tmp_path):
    """Each reference leads to where it was opened."""
    images = [SAMPLES["scratch"].image, SAMPLES["distroless"].image]
    for number, image in enumerate(images):
        forge.write_layout(tmp_path / str(number), image)
    with closing(Sources(Settings())) as sources:
        opened = [sources.open(f"oci:{tmp_path / str(number)}") for number in (0, 1)]

        assert [sources.resolve(one, soon()).digest for one in opened] == [i.digest for i in images]
        assert [Reference.parse(str(one)) for one in opened] == opened


def test_a_broken_archive_says_why_when_asked(tmp_path):
    """Opening it is no error: whoever judges it is to find it."""
    with closing(Sources(Settings())) as sources:
        first, second = (sources.open(f"oci:{tmp_path}/{name}") for name in ("a", "b"))

        with pytest.raises(NotFound, match="/b: "):
            sources.resolve(second, soon())
        with pytest.raises(NotFound, match="/a: "):
            sources.resolve(first, soon())


def test_credentials_of_the_home_folder(registry, tmp_path):
    """Where docker keeps them."""
    _config(tmp_path / ".docker" / "config.json", registry)

    assert _resolved(Settings(home=tmp_path), registry) == SAMPLES["scratch"].image.digest


def test_authfile_goes_before_the_environment(registry, tmp_path):
    """The option counts, then the variable."""
    right, wrong = _config(tmp_path / "right.json", registry), tmp_path / "wrong.json"
    wrong.write_text("{}")

    environ = {"REGISTRY_AUTH_FILE": str(wrong)}

    assert _resolved(Settings(authfile=right, environ=environ), registry)
    with pytest.raises(Unauthorized):
        _resolved(Settings(environ=environ), registry)


def test_what_the_webhook_does_not_dial(registry):
    """Loopback, unless it is allowed; a network that is allowed is."""
    webhook = {"loopback_http": False, "plain_http": (registry.host,), "allow_loopback": False}

    with pytest.raises(Blocked):
        _resolved(Settings(**webhook), registry)
    with pytest.raises(Unauthorized):
        _resolved(Settings(**webhook, allow_addresses=("127.0.0.0/8",)), registry)


def test_a_network_that_is_denied_is_so_whatever_else_is_said(registry):
    """A cluster's own pods and services, which a pod's author could not reach by image names."""
    rules = {"allow_loopback": True, "allow_addresses": ("127.0.0.0/8",)}

    with pytest.raises(Blocked, match="denied by configuration"):
        _resolved(Settings(**rules, deny_addresses=("10.96.0.0/12", "127.0.0.0/16")), registry)


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"allow_addresses": ("10.1",)}, id="network"),
        pytest.param({"deny_addresses": ("10.1",)}, id="denied network"),
        pytest.param({"authfile": Path("missing.json")}, id="credentials"),
        pytest.param({"ca_file": Path("/dev/null")}, id="CA"),
        pytest.param({"environ": {"HTTPS_PROXY": "ftp://x"}}, id="proxy"),
    ],
)
def test_wrong_settings_show_at_once(changes):
    """Before the first image."""
    with pytest.raises(UsageError):
        Sources(Settings(**changes)).connect()


@pytest.mark.parametrize(
    ("environ", "value"),
    [({}, ""), ({"HTTPS_PROXY": "a"}, "a"), ({"HTTPS_PROXY": "a", "https_proxy": "b"}, "b")],
)
def test_variables(environ, value):
    """Lower case first, as curl reads them."""
    assert Settings(environ=environ).variable("https_proxy") == value


def test_settings_hide_the_environment():
    """It may hold secrets, and settings may be logged."""
    assert "s3cret" not in repr(Settings(environ={"HTTPS_PROXY": "http://u:s3cret@proxy"}))
