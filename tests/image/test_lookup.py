"""Finding programs: paths, links and mounts; what the kernel says is tested with runnable."""

from __future__ import annotations

import pytest

from webhook.image.facts import Executable, Programs
from webhook.image.lookup import Hidden, Root

ELF = Executable(kind="elf")
LINKS = {
    "/bin": "usr/bin",
    "/usr/bin/sh": "../../opt/busybox",
    "/abs": "/usr/bin/node",
    "/up": "../../../usr/bin/node",
    "/a": "b",
    "/b": "a",
    "/gone": "/nowhere",
}


def root(path="/usr/bin", cwd="/", mounts=()):
    programs = Programs(executables={"/opt/busybox": ELF, "/usr/bin/node": ELF}, links=LINKS)
    return Root(programs=programs, architecture="amd64", path=path, cwd=cwd, mounts=mounts)


@pytest.mark.parametrize(
    ("command", "changes", "found"),
    [
        pytest.param("/usr/bin/node", {}, True, id="absolute"),
        pytest.param("//usr/./bin/../bin/node", {}, True, id="unclean"),
        pytest.param("/bin/node", {}, True, id="through a folder's link"),
        pytest.param("/bin/sh", {}, True, id="link behind a link"),
        pytest.param("/abs", {}, True, id="absolute link"),
        pytest.param("/up", {}, True, id="above the root is the root"),
        pytest.param("/a", {}, False, id="circle"),
        pytest.param("/gone", {}, False, id="dangling"),
        pytest.param("/usr/bin", {}, False, id="a folder"),
        pytest.param("node", {}, True, id="in PATH"),
        pytest.param("node", {"path": "/x:/bin"}, True, id="in the second folder of PATH"),
        pytest.param("node", {"path": ""}, False, id="an empty PATH finds nothing"),
        pytest.param("node", {"path": ":/x", "cwd": "/bin"}, True, id="an empty part is here"),
        pytest.param("node", {"path": "", "cwd": "/bin"}, False, id="not without PATH"),
        pytest.param("./node", {"cwd": "/bin"}, True, id="relative"),
        pytest.param("../bin/node", {"cwd": "/usr/lib"}, True, id="relative, upwards"),
        pytest.param("", {}, False, id="empty"),
        pytest.param("node", {"mounts": ("/data",)}, True, id="a mount elsewhere"),
        pytest.param("node", {"path": "/data:/bin", "mounts": ("/data",)}, True, id="found anyway"),
    ],
)
def test_find(command, changes, found):
    """As exec.LookPath and the kernel's path walk."""
    obstacle = root(**changes).obstacle(command)
    assert (obstacle is None) == found
    assert obstacle is None or obstacle.reason == "commandMissing"


@pytest.mark.parametrize(
    ("command", "changes"),
    [
        pytest.param("/data/x", {"mounts": ("/data/",)}, id="below"),
        pytest.param("/data", {"mounts": ("/data",)}, id="the mount itself"),
        pytest.param("/anything", {"mounts": ("/",)}, id="over everything"),
        pytest.param("x", {"path": "/data", "mounts": ("/data",)}, id="in PATH"),
        pytest.param("/bin/node", {"mounts": ("/usr/bin",)}, id="behind a link"),
        pytest.param("/bin/node", {"mounts": ("/bin",)}, id="over the link"),
    ],
)
def test_hidden(command, changes):
    """What a volume may hold cannot be known."""
    with pytest.raises(Hidden):
        root(**changes).obstacle(command)


def test_many_links_cost_little():
    """Chains of links end where the kernel ends them."""
    links = {f"/l{n}": f"/l{n + 1}" for n in range(1000)}
    programs = Programs(executables={"/l1000": ELF}, links=links)
    long = Root(programs=programs, architecture="amd64", path="")
    assert long.obstacle("/l960") is None
    assert long.obstacle("/l959") is not None
