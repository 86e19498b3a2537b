"""Fill docs/performance.md and draw its charts: ``make docs``, or ``python -m benchmarks.page``.

Its parts between ``<!-- NAME -->`` and ``<!-- end -->`` are made from benchmarks/results.json.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from benchmarks import aims, results
from benchmarks.charts import Bar, svg
from benchmarks.peaks import MODES

PAGE: Final = Path(__file__).parent.parent / "docs" / "performance.md"
CHARTS: Final = PAGE.parent / "performance"
_PART: Final = re.compile("(<!-- ([a-z]+) -->\n).*?(<!-- end -->)", re.DOTALL)

Results = Mapping[str, Any]


def write() -> None:
    """Both, by what was measured last."""
    found = results.kept()
    PAGE.write_text(filled(PAGE.read_text(), found))
    CHARTS.mkdir(exist_ok=True)
    for name, chart in charts(found).items():
        (CHARTS / name).write_text(chart)


def filled(page: str, found: Results) -> str:
    """The page with its parts made anew."""

    def part(match: re.Match[str]) -> str:
        return f"{match[1]}{_PARTS[match[2]](found)}{match[3]}"

    return _PART.sub(part, page)


def charts(found: Results) -> Mapping[str, str]:
    """By the name of the file."""
    gzip, second = found["cold"]["big"], found["second"]["big"]
    images = found["known"].items()
    return {
        "cold.svg": svg(
            "Reading the big layer, gzip: seconds",
            [
                *(_seconds(name, one["wall"]) for name, one in gzip.items()),
                _seconds("slimgate, second core", second["slimgate, second core"]["wall"]),
            ],
        ),
        "verdict.svg": svg(
            "From nothing known to a verdict by the webhook: seconds",
            [
                Bar(name, one["webhook"], f"{one['webhook']:.2f} s, {_layers(one)}")
                for name, one in found["verdict"].items()
            ],
        ),
        "known.svg": svg(
            "CPU of a warm review: milliseconds",
            [Bar(name, one["cpu"], f"{one['cpu'] * 1e3:.2f} ms") for name, one in images],
        ),
        "admission.svg": svg(
            "Pods created through a real API server: a second",
            [
                Bar(
                    f"{clients} at a time, {name}",
                    one["rate"],
                    f"{one['rate']:,.0f}",
                    ours=name == "slimgate",
                )
                for clients, asked in found["admission"].items()
                for name, one in asked.items()
            ],
        ),
        "day.svg": svg(
            "Fetched in a day: GB",
            [
                Bar(f"{replicas} replicas, {name}", one["bytes"], f"{one['bytes'] / 1e9:,.0f} GB")
                for replicas, which in ((3, "day"), (50, "on paper"))
                for name, one in found["day"][which].items()
            ],
        ),
    }


def _seconds(name: str, value: float) -> Bar:
    return Bar(name, value, f"{value:.2f} s", ours=name.startswith("slimgate"))


def _layers(one: Results) -> str:
    return f"{one['layers']} of {one['of']} layers"


def _machine(found: Results) -> str:
    machine = found["machine"]
    return f"{machine['cores']} cores ({machine['cpu']}), CPython {machine['python']}. Medians.\n"


def _aims(found: Results) -> str:
    rows = (
        (aim.says, aim.asked, aim.shown(value), "met" if aim.met(value) else "**missed**")
        for aim, value in aims.seen(found)
    )
    return _table("; wanted; seen; ", rows)


def _speeds(figure: str) -> Callable[[Results], str]:
    """The rows of ``benchmarks.rounds.show``, by layer."""

    def table(found: Results) -> str:
        return _table(
            "layer; run; CPU, s; wall, s; speed beside the first",
            (
                (layer, name, f"{one['cpu']:.2f}", f"{one['wall']:.2f}", f"{one['speed']:.0%}")
                for layer, runs in found[figure].items()
                for name, one in runs.items()
            ),
        )

    return table


def _apart(found: Results) -> str:
    return _table(
        "cores; layer; here, s; apart, s; speed",
        (
            (
                cores, layer, f"{runs['here']['wall']:.2f}",
                f"{runs['apart']['wall']:.2f}", f"{runs['apart']['speed']:.0%}",
            )
            for cores, by_layer in found["apart"].items()
            for layer, runs in by_layer.items()
        ),
    )  # fmt: skip


def _scanners(found: Results) -> str:
    return _table(
        "cores; process; CPU, s; wall, s; slimgate is faster",
        (
            (
                cores,
                name,
                f"{one['cpu']:.2f}",
                f"{one['wall']:.2f}",
                f"{1 / one['speed']:.2f} times",
            )
            for cores, runs in found["scanners"].items()
            for name, one in runs.items()
        ),
    )


def _two_layers(found: Results) -> str:
    return _table(
        "two gzip layers; wall, s; speed",
        (
            (name, f"{one['wall']:.2f}", f"{one['speed']:.2f}")
            for name, one in found["layers"].items()
        ),
    )


def _tiny(found: Results) -> str:
    return _table(
        "entries/s; " + "; ".join(found["tiny"]["tiny"]),
        (
            (layer, *(f"{rate:,.0f}" for rate in rates.values()))
            for layer, rates in found["tiny"].items()
        ),
    )


def _memory(found: Results) -> str:
    return _table(
        "peak, MiB; nothing read; reading; merging; both in one process",
        (
            (layer, *(f"{peaks[mode]:.0f}" for mode in MODES))
            for layer, peaks in found["memory"].items()
        ),
    )


def _verdict(found: Results) -> str:
    return _table(
        "image; `slimgate check`, s; webhook, s; fetched",
        (
            (name, f"{one['check']:.2f}", f"{one['webhook']:.2f}", _layers(one))
            for name, one in found["verdict"].items()
        ),
    )


def _warm(found: Results) -> str:
    return _table(
        "connections; reviews/s; p50, ms; p99, ms; CPU of a review, us",
        (
            (clients, f"{one['rate']:,.0f}", f"{one['p50']:.2f}", f"{one['p99']:.2f}",
             f"{one['cpu'] * 1e6:,.0f}")
            for clients, one in found["warm"].items()
        ),
    )  # fmt: skip


def _known(found: Results) -> str:
    return _table(
        "images; reviews/s; p50, ms; p99, ms; CPU of a review, us; of one image's",
        (
            (name, f"{one['rate']:,.0f}", f"{one['p50']:.2f}", f"{one['p99']:.2f}",
             f"{one['cpu'] * 1e6:,.0f}", f"{one['of one']:.2f}")
            for name, one in found["known"].items()
        ),
    )  # fmt: skip


def _steady(found: Results) -> str:
    one = found["steady"]
    return _table(
        f"200 reviews/s (clients woken late: p99 {one['noise, p99']:.2f} ms); p50, ms; p99, ms",
        [
            (how, f"{one[f'{key}, p50']:.2f}", f"{one[f'{key}, p99']:.2f}")
            for how, key in (("alone", "alone"), ("while 2.1 GB are read", "reading"))
        ],
    )


def _admission(found: Results) -> str:
    return _table(
        "clients; asked; pods/s; p50, ms; p99, ms; added p50; added p99",
        (
            (
                clients, name, f"{one['rate']:,.0f}", f"{one['p50']:,.1f}", f"{one['p99']:,.1f}",
                f"{one['added p50']:,.1f}", f"{one['added p99']:,.1f}",
            )
            for clients, asked in found["admission"].items()
            for name, one in asked.items()
        ),
    )  # fmt: skip


def _burst(found: Results) -> str:
    return _table(
        "500 pods; " + "; ".join(found["burst"]),
        [("s", *(f"{seconds:.2f}" for seconds in found["burst"].values()))],
    )


def _day(found: Results) -> str:
    day, formula = found["day"]["day"], found["day"]["by formula"]
    return _table(
        "store; layers fetched; GB; by formula; CPU s; from memory; store; registry; "
        "tags asked for; size, MB",
        (
            (
                name, f"{one['layers']:,.0f}", f"{one['bytes'] / 1e9:.1f}",
                f"{formula[name]['bytes'] / 1e9:.1f}", f"{one['cpu']:.0f}", *_shares(one),
                f"{one['tags']:,}", f"{one['stored'] / 1e6:.1f}",
            )
            for name, one in day.items()
        ),
    )  # fmt: skip


def _paper(found: Results) -> str:
    return _table(
        "store; GB; CPU s; from memory; store; registry",
        (
            (name, f"{one['bytes'] / 1e9:.0f}", f"{one['cpu']:,.0f}", *_shares(one))
            for name, one in found["day"]["on paper"].items()
        ),
    )


def _shares(one: Results) -> Iterable[str]:
    from_where = [one[key] for key in ("memory", "store", "registry")]
    return [f"{each / sum(from_where):.1%}" for each in from_where]


def _table(heads: str, rows: Iterable[Sequence[str]]) -> str:
    """Markdown; what is no word stands right."""
    names = heads.split("; ")
    body = [[cell.replace("%", " %") for cell in row] for row in rows]
    right = [all(re.match(r"[-0-9]", row[n]) for row in body) for n in range(len(names))]
    lines = [names, ["---:" if each else "---" for each in right], *body]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


_PARTS: Final[Mapping[str, Callable[[Results], str]]] = {
    "machine": _machine,
    "aims": _aims,
    "cold": _speeds("cold"),
    "second": _speeds("second"),
    "scanners": _scanners,
    "layers": _two_layers,
    "apart": _apart,
    "tiny": _tiny,
    "memory": _memory,
    "verdict": _verdict,
    "warm": _warm,
    "known": _known,
    "steady": _steady,
    "admission": _admission,
    "burst": _burst,
    "day": _day,
    "paper": _paper,
}


if __name__ == "__main__":
    write()
