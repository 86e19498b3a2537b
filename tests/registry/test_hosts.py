"""certs.d as containerd reads it, and what of it is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from webhook.errors import UsageError
from webhook.registry.hosts import Hosts, parse_hosts, read_hosts
from webhook.registry.sites import CAPABILITIES, Site
from webhook.registry.transport import HostSettings, Transport

# containerd v2.1.4 core/remotes/docker/config/hosts_test.go, TestParseHostFile, without what is
# refused here (skip_verify = true).
TEST_TOML = """
server = "https://test-default.registry"
ca = "/etc/path/default"
[header]
  x-custom-1 = "custom header"

[host."https://mirror.registry"]
  capabilities = ["pull"]
  ca = "/etc/certs/mirror.pem"
  skip_verify = false
  [host."https://mirror.registry".header]
    x-custom-2 = ["value1", "value2"]

[host."https://mirror-bak.registry/us"]
  capabilities = ["pull"]

[host."http://mirror.registry"]
  capabilities = ["pull"]

[host."https://test-1.registry"]
  capabilities = ["pull", "resolve", "push"]
  ca = ["/etc/certs/test-1-ca.pem", "/etc/certs/special.pem"]
  client = [["/etc/certs/client.cert", "/etc/certs/client.key"],["/etc/certs/client.pem", ""]]

[host."https://test-2.registry"]
  client = "/etc/certs/client.pem"

[host."https://test-3.registry"]
  client = ["/etc/certs/client-1.pem", "/etc/certs/client-2.pem"]

[host."https://noncompliantmirror.registry/v2/namespaceprefix"]
  capabilities = ["pull"]
  override_path = true

[host."https://noprefixnoncompliant.registry"]
  override_path = true

[host."https://onlyheader.registry".header]
  x-custom-1 = "justaheader"

[host."https://dial-timeout.registry"]
  dial_timeout = "3s"
"""
PULL = frozenset({"pull"})


def site(host, path="/v2", capabilities=CAPABILITIES, scheme="https", **headers):
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Site(host=host, scheme=scheme, path=path, capabilities=capabilities, headers=named)


def tls(*authorities, client=(), plain_http=False):
    return HostSettings(more_ca_files=authorities, client=client, plain_http=plain_http)


EXPECTED = [
    (site("mirror.registry", capabilities=PULL, x_custom_2="value1, value2"),
     tls("/etc/certs/mirror.pem")),
    (site("mirror-bak.registry", path="/us/v2", capabilities=PULL), tls()),
    (site("mirror.registry", capabilities=PULL, scheme="http"), tls(plain_http=True)),
    (site("test-1.registry"),
     tls("/etc/certs/test-1-ca.pem", "/etc/certs/special.pem",
         client=(("/etc/certs/client.cert", "/etc/certs/client.key"),
                 ("/etc/certs/client.pem", None)))),
    (site("test-2.registry"), tls(client=(("/etc/certs/client.pem", None),))),
    (site("test-3.registry"),
     tls(client=(("/etc/certs/client-1.pem", None), ("/etc/certs/client-2.pem", None)))),
    (site("noncompliantmirror.registry", path="/v2/namespaceprefix", capabilities=PULL), tls()),
    (site("noprefixnoncompliant.registry", path=""), tls()),
    (site("onlyheader.registry", x_custom_1="justaheader"), tls()),
    (site("dial-timeout.registry"), tls()),
    (site("test-default.registry", x_custom_1="custom header"), tls("/etc/path/default")),
]  # fmt: skip


def parsed(text, folder="/certs.d/registry.example"):
    return list(parse_hosts(text.encode(), Path(folder)))


def test_as_containerd_parses_its_own_example():
    assert parsed(TEST_TOML) == EXPECTED


def test_relative_files_are_beside_it():
    ((_, settings), _) = parsed('[host."https://m"]\nca = "ca.pem"\nclient = [["c", "sub/k"]]')
    assert settings.more_ca_files == ("/certs.d/registry.example/ca.pem",)
    assert settings.client == (("/certs.d/registry.example/c", "/certs.d/registry.example/sub/k"),)


def write(root, **files):
    """``registry__hosts="…"``: the file of a folder."""
    for name, text in files.items():
        folder = root / name.replace("__", ".")
        folder.mkdir(exist_ok=True)
        (folder / "hosts.toml").write_text(text)
    return read_hosts(root)


def hosts_of(hosts, registry):
    return [(one.host, one.mirror) for one in hosts.sites(registry)]


def test_mirrors_before_the_registry_itself(tmp_path):
    hosts = write(
        tmp_path,
        docker__io='[host."https://mirror.example"]',
        quay__io='server = "https://quay.io"\n[host."https://one.example:443"]\n[host."https://2.e"]',
    )
    assert hosts_of(hosts, "docker.io") == [
        ("mirror.example", True), ("registry-1.docker.io", False)
    ]  # fmt: skip
    assert hosts_of(hosts, "quay.io") == [("one.example", True), ("2.e", True), ("quay.io", False)]
    assert hosts_of(hosts, "other.example") == [("other.example", False)]


def test_default_is_for_those_that_have_no_folder(tmp_path):
    hosts = write(
        tmp_path, _default='server = "https://all.example"', quay__io='[host."https://m"]'
    )
    assert hosts_of(hosts, "other.example") == [("all.example", True)]
    assert hosts_of(hosts, "all.example") == [("all.example", False)]
    assert hosts_of(hosts, "quay.io") == [("m", True), ("quay.io", False)]


def test_a_port_may_be_written_without_a_colon(tmp_path):
    hosts = write(tmp_path, localhost_5000_='[host."http://m"]')
    assert hosts_of(hosts, "localhost:5000") == [("m", True), ("localhost:5000", False)]


def test_a_folder_with_dockers_certificates(tmp_path):
    folder = tmp_path / "registry.example"
    folder.mkdir()
    for name in ("ca.crt", "me.cert", "me.key", "both.cert", "README"):
        (folder / name).touch()
    hosts = read_hosts(tmp_path)
    assert hosts.sites("registry.example") == (Site(host="registry.example"),)
    assert hosts.settings["registry.example"] == tls(
        str(folder / "ca.crt"),
        client=(
            (str(folder / "both.cert"), None),
            (str(folder / "me.cert"), str(folder / "me.key")),
        ),
    )


def test_what_kubernetes_puts_beside_a_mounted_volume_is_no_registry(tmp_path):
    (tmp_path / "..data").mkdir()
    (tmp_path / "..data" / "hosts.toml").write_text("x")
    (tmp_path / "file").touch()
    assert read_hosts(tmp_path) == Hosts()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("server =", "no TOML"),
        ("server = 5", "server must be a string"),
        ("host = 5", "mirrors are written as"),
        ('[host]\n"https://m" = 1', "mirrors are written as"),
        ('[host."https://m"]\nskip_verify = true', "skip_verify is refused"),
        ("skip_verify = true", "skip_verify is refused"),
        ('[host."https://m"]\ncapabilities = ["fly"]', "pull, resolve and push"),
        ('[host."https://m"]\ncapabilities = [1]', "must be strings"),
        ('[host."ftp://m"]', "must be like"),
        ('[host."https://u:p@m"]', "must be like"),
        ('[host."https://m:port"]', "no URL"),
        ('[host."https://m/?x"]\nca = 5', "ca must be a string or a list"),
        ('[host."https://m"]\nclient = [["one"]]', "pairs"),
        ('[host."https://m"]\nclient = 5', "must be a string or a list"),
        ('[host."https://m"]\nheader = 5', "must be a table"),
        ('[host."https://m".header]\nx = 5', "a string, or several"),
        ('[host."https://m".header]\nx = "a\\r\\nb"', "a string, or several"),
        ('[host."https://m".header]\n"a b" = "x"', "name cannot be used"),
        ('[host."https://m"]\noverride_path = "yes"', "true or false"),
        ('capabilities = ["pull"]', "need a server"),
        ('[header]\nx = "y"', "need a server"),
    ],
)
def test_what_cannot_be_used_ends_the_start(tmp_path, text, said):
    with pytest.raises(UsageError, match=said):
        write(tmp_path, docker__io=text)


def test_two_folders_may_not_say_different_things_of_one_host(tmp_path):
    mirror = '[host."https://m"]\nca = "/{}.pem"'
    write(tmp_path, docker__io=mirror.format("a"), quay__io=mirror.format("a"))
    with pytest.raises(UsageError, match="something else of m"):
        write(tmp_path, ghcr__io=mirror.format("b"))


def test_certificates_for_everybody_have_an_option_of_their_own(tmp_path):
    with pytest.raises(UsageError, match="--ca-file"):
        write(tmp_path, _default='ca = "/x.pem"')


def test_a_large_file_is_not_read(tmp_path):
    with pytest.raises(UsageError, match="more than"):
        write(tmp_path, docker__io="#" * ((1 << 20) + 1))


def test_files_that_are_not_there_end_the_start():
    for settings in (tls("/no/such.pem"), tls(client=(("/no/such.pem", None),))):
        with pytest.raises(UsageError, match=r"/no/such\.pem holds no certificate"):
            Transport(hosts={"m": settings})
