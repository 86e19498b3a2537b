"""noShell: what is told of shells, and how many links are folded into a line."""

from __future__ import annotations

import pytest

from tests.checks.subjects import LAYER, STEP, found, image, program, subject
from webhook.checks.check import run
from webhook.checks.no_shell import CHECK, Shells

BUSYBOX = program("/bin/busybox", "busybox")


def link(path, target="/bin/busybox"):
    return program(path, "busybox", "link", target)


def shells(*programs):
    return subject(image(contents={"shells": programs}))


@pytest.mark.parametrize(
    ("programs", "details"),
    [
        pytest.param([], [], id="none"),
        pytest.param([program("/bin/bash", "bash")], ["/bin/bash is bash"], id="by path"),
        pytest.param(
            [program("/app/server", "busybox", "content")],
            ["/app/server is busybox by its content"],
            id="renamed",
        ),
        pytest.param(
            [BUSYBOX, link("/bin/sh")],
            ["/bin/busybox is busybox, and /bin/sh is a link to it"],
            id="one link",
        ),
        pytest.param(
            [BUSYBOX, *(link(f"/bin/{name}") for name in ("ash", "cat", "sh", "vi"))],
            ["/bin/busybox is busybox, and 4 links lead to it, such as /bin/sh"],
            id="many links",
        ),
        pytest.param(
            [link("/app/run", "/opt/tools")],
            ["/app/run is busybox, a link to /opt/tools"],
            id="only the link is known",
        ),
        pytest.param(
            [program("/bin/sh", "dash", "loader", "/lib64/ld-linux-x86-64.so.2")],
            ["/bin/sh is dash, which /lib64/ld-linux-x86-64.so.2 starts without an x bit"],
            id="through the loader",
        ),
        pytest.param(
            [program("/bin/dash", "dash"), program("/bin/bash", "bash")],
            ["/bin/dash is dash", "/bin/bash is bash"],
            id="two files",
        ),
    ],
)
def test_findings(programs, details):
    """One finding a real file."""
    assert found(CHECK, shells(*programs)) == [("shell", detail) for detail in details]


def test_evidence_is_the_most_telling_path():
    """The evidence is what the reader knows: /bin/sh, with the layer and the step."""
    ((finding,), _) = run(CHECK, shells(BUSYBOX, link("/bin/[["), link("/bin/sh")), CHECK.options())
    assert (finding.path, finding.layer_digest, finding.created_by) == ("/bin/sh", LAYER, STEP)
    assert finding.remedy == "copy the application into a distroless base in the last build stage"


def test_many_are_counted():
    """A message stays readable whatever the image holds."""
    details = [d for _, d in found(CHECK, shells(*(program(f"/{n}/sh", "sh") for n in range(25))))]
    assert len(details) == 11
    assert details[-1] == "and 15 more (slimgate inspect lists them)"


PACKED = (program("/app/helper", "upx", "content"), link("/bin/x", "/app/helper"))
PACKED_DETAIL = (
    "/app/helper is packed by UPX, so what it is cannot be seen, and /bin/x is a link to it"
)


@pytest.mark.parametrize(
    ("options", "details"),
    [
        pytest.param(Shells(), [("shell", "/bin/sh is sh"), ("packed", PACKED_DETAIL)], id="fail"),
        pytest.param(
            Shells(packed="Fail"), [("shell", "/bin/sh is sh"), ("packed", PACKED_DETAIL)]
        ),
        pytest.param(Shells(packed="Pass"), [("shell", "/bin/sh is sh")], id="pass"),
    ],
)
def test_what_is_packed_fails_unless_it_may_pass(options, details):
    """What cannot be looked into is no pass; shells are refused whatever it says."""
    contents = {"shells": (program("/bin/sh", "sh"),), "packed": PACKED}
    assert found(CHECK, subject(image(contents=contents)), options) == details


def test_needs_the_layers():
    """Not looked is not the same as not there."""
    assert found(CHECK, subject(image(read=False))) is None


def test_windows_is_refused():
    """Layers of Windows images are not read, and no onUnknown lets in what cannot be judged."""
    ((finding,), _) = run(CHECK, subject(image(os="windows", read=False)), CHECK.options())
    assert (finding.result, finding.reason) == ("fail", "unsupported")
