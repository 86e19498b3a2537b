"""Finding programs: paths, links and mounts; what the kernel says is tested with runnable."""

from __future__ import annotations

import time

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
        pytest.param("/usr/bin/tool", {"mounts": ("/bin",)}, id="a mount path that is a link"),
    ],
)
def test_hidden(command, changes):
    """What a volume may hold cannot be known."""
    with pytest.raises(Hidden):
        root(**changes).obstacle(command)


@pytest.mark.parametrize(
    ("argument", "wanted"),
    [
        pytest.param("node", "node", id="program"),
        pytest.param("-S node --x", "node", id="split"),
        pytest.param("-Sdeno run", "deno", id="split, attached"),
        pytest.param("-S A=b node", "node", id="a variable before"),
        pytest.param("-S -u HOME node", None, id="an option with a value"),
        pytest.param("-i node", None, id="another option"),
        pytest.param("-S 'my node'", None, id="quotes"),
        pytest.param(None, None, id="nothing"),
    ],
)
def test_scripts_by_env(argument, wanted):
    """What env would start is looked up where that is plain, and only there."""
    script = Executable(kind="script", interpreter="/usr/bin/env", interpreter_argument=argument)
    programs = Programs(executables={"/app": script, "/usr/bin/env": ELF})
    found = Root(programs=programs, architecture="amd64", path="/usr/bin").obstacle("/app")
    assert found is None if wanted is None else f"script for {wanted}," in found.detail


def test_long_links_cost_little():
    """Each link may have thousands of parts, and lead to the next."""
    links = {f"/{'x/' * 2000 * n}l": "x/" * 2000 + "l" for n in range(41)}
    programs = Programs(executables={}, links=links)
    begin = time.process_time()
    assert Root(programs=programs, architecture="amd64", path="").obstacle("/l") is not None
    assert time.process_time() - begin < 5


def test_many_links_cost_little():
    """Chains of links end where the kernel ends them."""
    links = {f"/l{n}": f"/l{n + 1}" for n in range(1000)}
    programs = Programs(executables={"/l1000": ELF}, links=links)
    long = Root(programs=programs, architecture="amd64", path="")
    assert long.obstacle("/l960") is None
    assert long.obstacle("/l959") is not None
