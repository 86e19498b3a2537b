"""What was aimed at, beside what was measured: the figures of docs/performance.md."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

Results = Mapping[str, Any]


@dataclass(frozen=True)
class Aim:
    """One figure."""

    says: str
    value: Callable[[Results], float]
    at: Literal["least", "most"]
    target: float
    form: str = "{:.2f}"

    @property
    def asked(self) -> str:
        """``at least 1.70``."""
        return f"at {self.at} {self.shown(self.target)}"

    def shown(self, value: float) -> str:
        """With its unit."""
        return self.form.format(value)

    def met(self, value: float) -> bool:
        """Whether it is good enough."""
        return value >= self.target if self.at == "least" else value <= self.target


def seen(found: Results) -> Iterator[tuple[Aim, float]]:
    """Each with what was measured, where that was."""
    for aim in AIMS:
        try:
            yield aim, aim.value(found)
        except KeyError:  # a program was missing: Go, wrk, redis-server, a peer
            continue


def _of_go(library: str, layer: str = "big") -> Callable[[Results], float]:
    def ratio(found: Results) -> float:
        runs = found["cold"][layer]
        return float(runs[f"Go, {library}"]["cpu"] / runs["slimgate, facts"]["cpu"])

    return ratio


def _beside(scanner: str, cores: str) -> Callable[[Results], float]:
    return lambda found: 1 / float(found["scanners"][cores][scanner]["speed"])


def _beside_kyverno(found: Results, clients: str, figure: str) -> float:
    asked = found["admission"][clients]
    return float(asked["slimgate"][figure] / asked["Kyverno"][figure])


def _worst_beside_kyverno(found: Results, figure: str) -> float:
    return max(_beside_kyverno(found, clients, figure) for clients in found["admission"])


def _known(where: str) -> Callable[[Results], float]:
    return lambda found: float(found["known"][f"10,000 {where}"]["of one"])


_TIMES, _RATE, _MS, _MIB = "{:.2f} times", "{:,.0f}/s", "{:.1f} ms", "{:.0f} MiB"
AIMS: Final = (
    Aim("cold layer, one core, all facts: speed of the limit",
        lambda found: found["cold"]["big"]["slimgate, facts"]["speed"], "least", 0.85, "{:.0%}"),
    Aim("the same beside Go's standard library", _of_go("std"), "least", 3, _TIMES),
    Aim("the same beside klauspost/compress", _of_go("klauspost"), "least", 2, _TIMES),
    Aim("zstd, beside klauspost/compress", _of_go("klauspost", "big-zstd"), "least", 1, _TIMES),
    Aim("an image beside Dockle, one core", _beside("Dockle", "one core"), "least", 1.7, _TIMES),
    Aim("the same, two cores", _beside("Dockle", "two cores"), "least", 2.3, _TIMES),
    Aim("an image beside Trivy, one core", _beside("Trivy", "one core"), "least", 3.5, _TIMES),
    Aim("two layers on two cores beside one after the other",
        lambda found: found["layers"]["two threads"]["speed"], "least", 1.7, _TIMES),
    Aim("many tiny files, walk",
        lambda found: found["tiny"]["tiny"]["slimgate, walk"], "least", 100_000, _RATE),
    Aim("peak memory of a reader",
        lambda found: max(max(each["read"], each["merge"]) for each in found["memory"].values()),
        "most", 96, _MIB),
    Aim("layers fetched to deny for root",
        lambda found: found["verdict"]["root"]["layers"], "most", 0, "{:.0f}"),
    Aim("layers fetched to deny for size",
        lambda found: found["verdict"]["too big"]["layers"], "most", 0, "{:.0f}"),
    Aim("layers fetched, of four, to deny for a shell in the first",
        lambda found: found["verdict"]["a shell in the first layer"]["layers"],
        "most", 3, "{:.0f}"),
    Aim("warm reviews of one worker on one core",
        lambda found: max(one["rate"] for one in found["warm"].values()), "least", 1_500, _RATE),
    Aim("p99 at 200 reviews/s", lambda found: found["steady"]["alone, p99"], "most", 5, _MS),
    Aim("the same while 2.1 GB are read, beside alone",
        lambda found: found["steady"]["p99 of alone"], "most", 2, _TIMES),
    Aim("CPU of a review, 10,000 images known and SQLite behind the memory, beside one image's",
        _known("in memory, SQLite behind"), "most", 1.25, _TIMES),
    Aim("the same with Valkey", _known("in memory, Valkey behind"), "most", 1.25, _TIMES),
    Aim("the same of the first review of each after a restart, found in SQLite",
        _known("found in SQLite"), "most", 1.25, _TIMES),
    Aim("the same in Valkey", _known("found in Valkey"), "most", 1.25, _TIMES),
    Aim("pods through an API server, 10 clients, beside Kyverno",
        lambda found: _beside_kyverno(found, "10", "rate"), "least", 5, _TIMES),
    Aim("the same, 50 clients",
        lambda found: _beside_kyverno(found, "50", "rate"), "least", 5, _TIMES),
    Aim("the same, 200 clients",
        lambda found: _beside_kyverno(found, "200", "rate"), "least", 5, _TIMES),
    Aim("added to the p50, beside Kyverno, at the worst of these and of one client",
        lambda found: _worst_beside_kyverno(found, "added p50"), "most", 0.2, _TIMES),
    Aim("the same of the p99",
        lambda found: _worst_beside_kyverno(found, "added p99"), "most", 0.2, _TIMES),
    Aim("added to the p50 of one client",
        lambda found: found["admission"]["1"]["slimgate"]["added p50"], "most", 3, _MS),
)  # fmt: skip
