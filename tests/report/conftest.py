"""A few decisions as a platform engineer would meet them, for every report to show."""

from __future__ import annotations

import pytest

from webhook.checks.check import Finding
from webhook.judge.decision import Action, Judgement
from webhook.report.entry import Entry

DIGEST = "sha256:" + "9f" * 32
LAYER = "sha256:" + "ab" * 32

SHELL = Finding(
    check="noShell",
    result="fail",
    reason="shell",
    detail="/bin/busybox is a shell, and 304 links lead to it such as /bin/sh",
    remedy="build on a distroless base",
    path="/bin/sh",
    layer_digest=LAYER,
    created_by="ADD alpine-minirootfs.tar.gz / # buildkit",
)
ROOT = Finding(
    check="nonRoot",
    result="fail",
    reason="runsAsRoot",
    detail='the image sets User ""',
    remedy="add USER 65532 to the Dockerfile",
)
UNREACHABLE = Finding(
    check="image",
    result="unknown",
    reason="unreachable",
    detail="registry.example refused the connection",
    remedy="check that slimgate can reach the registry",
)


def judgement(**changes) -> Judgement:
    fields = {
        "workload": "Pod/web",
        "container": "app",
        "image": "registry.example/app:1",
        "digest": DIGEST,
        "platform": "linux/amd64",
        "policy": "distroless-nonroot",
        "action": Action.ENFORCE,
        "allowed": True,
    }
    return Judgement(**{**fields, **changes})


@pytest.fixture
def entries() -> tuple[Entry, ...]:
    """One of each outcome."""
    return (
        Entry(
            judgement=judgement(
                allowed=False, findings=(SHELL, ROOT), unasked=("noSetuid", "rules.maintained")
            ),
            file="deploy/web.yaml",
            line=4,
        ),
        Entry(
            judgement=judgement(
                policy="team-warn",
                action=Action.WARN,
                findings=(SHELL,),
                warned=(SHELL,),
                excepted=("noSetuid: OPS-1234: moving to distroless (until 2027-01-31)",),
            )
        ),
        Entry(judgement=judgement(policy="audit-all", action=Action.AUDIT, findings=(ROOT,))),
        Entry(
            judgement=judgement(
                workload="Image/registry.example/db:2",
                container="image",
                image="registry.example/db:2",
                digest=None,
                platform=None,
                allowed=False,
                findings=(UNREACHABLE,),
            )
        ),
        Entry(
            judgement=judgement(
                workload="Image/registry.example/db:3",
                container="image",
                image="registry.example/db:3",
                digest=None,
                platform=None,
                action=Action.WARN,
                findings=(UNREACHABLE,),
            )
        ),
        Entry(judgement=judgement(workload="Job/tidy")),
    )


HOSTILE = "\x1b[2J\x07evil\u202egnp.sh\u2028\n::error::pwned%0A\ud800"


@pytest.fixture
def hostile() -> Entry:
    """Every string of it is what an attacker would choose."""
    return Entry(
        judgement=judgement(
            workload="Pod/" + HOSTILE,
            container=HOSTILE,
            image=HOSTILE,
            digest=HOSTILE,
            platform=HOSTILE,
            policy=HOSTILE,
            allowed=False,
            findings=(
                Finding(
                    check=HOSTILE,
                    result="fail",
                    reason=HOSTILE,
                    detail=HOSTILE,
                    remedy=HOSTILE,
                    path=HOSTILE,
                    layer_digest=HOSTILE,
                    created_by=HOSTILE,
                ),
            ),
            excepted=(HOSTILE,),
            unasked=(HOSTILE,),
        ),
        file=HOSTILE,
        line=1,
    )
