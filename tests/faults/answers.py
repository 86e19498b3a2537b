"""What is answered by a server of each mode, and what of it is in the API server's audit log."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from tests.faults.images import app
from tests.support.registry import Registry
from tests.support.served import MODES, Served

POLICY = "distroless-nonroot"


def let_in(answer: dict[str, Any]) -> None:
    """Nothing was found, in any mode."""
    assert answer["allowed"], answer
    assert answer["auditAnnotations"]["decision"] == "allow", answer


def refused(mode: str, answer: dict[str, Any], *says: str, kind: str = "unknown") -> None:
    """Denied by Enforce; let in by audit-only, which records that it would have been.

    ``kind`` is the annotation that has it: ``unknown``, or ``violations`` for what is proved.
    """
    recorded = answer["auditAnnotations"]
    texts = [recorded[kind]]
    if mode == "Enforce":
        assert not answer["allowed"], answer
        assert (answer["status"]["code"], recorded["decision"]) == (403, "deny")
        texts.append(answer["status"]["message"])
    else:
        assert answer["allowed"], answer
        assert answer.keys() <= {"uid", "allowed", "auditAnnotations"}  # nor warns anybody
        assert (recorded["decision"], recorded["would-deny"]) == ("would-deny", POLICY)
    for text in texts:
        assert all(one in text for one in says), (says, text)


def judge_new_ones(registry: Registry, mode: str, served: Served) -> None:
    """An image that is fine and one with a shell, both unlike any other."""
    good, bad = app(), app(shell=True)
    registry.add(f"{mode.lower()}/good:1", good)
    registry.add(f"{mode.lower()}/bad:1", bad)
    let_in(served.ask(f"{registry.host}/{mode.lower()}/good@{good.digest}"))
    found = served.ask(f"{registry.host}/{mode.lower()}/bad@{bad.digest}")
    refused(mode, found, "/bin/sh", kind="violations")


def in_both(ask: Callable[[str], Any]) -> dict[str, Any]:
    """What is answered in each mode, both at the same time."""
    with ThreadPoolExecutor() as threads:
        return dict(zip(MODES, threads.map(ask, MODES), strict=True))
