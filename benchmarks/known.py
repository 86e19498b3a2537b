"""Reviews of 10,000 images that are known, beside those of one, with SQLite and with Valkey.

A server has in memory, before its store, what it was asked for. One that has just begun has
nothing there, so that each image, asked for once, is found in the store: as after a restart, or in
a replica that is new.
"""

from __future__ import annotations

import json
import secrets
import statistics
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from tempfile import mkdtemp
from typing import Final

from benchmarks import wrk
from benchmarks.rounds import Found, in_turns, spread
from benchmarks.serving import Client, Server, on_core, review, server
from benchmarks.warm import allowed, load, medians, script
from benchmarks.wrk import Load
from tests.cluster.support.processes import kept
from tests.support import forge, valkey
from tests.support.registry import Registry
from webhook.gather.source import Gathered, ImageRequest, unread
from webhook.image.facts import Files, ImageFacts
from webhook.image.reference import Reference
from webhook.limits import Deadline
from webhook.settings import Settings, SQLiteSettings, ValkeySettings
from webhook.store.shelf import Outcome, Trouble
from webhook.wiring import build, known_bases, shelved
from webhook.wiring.caches import caches

IMAGES: Final = 10_000
ROUNDS: Final = 3
SECONDS: Final = 4
CONNECTIONS: Final = 1
_AT_ONCE: Final = 200
"""Images that are read together."""

Run = Callable[[], tuple[Load, float]]
"""What wrk saw, and the server's seconds of CPU for one review."""


@dataclass(frozen=True)
class _Store:
    """A place for facts, as settings have it and as options of ``slimgate serve`` do."""

    told: SQLiteSettings | ValkeySettings
    options: Sequence[str]


class _Loud:
    """A store that fails ends the run."""

    def looked(self, kind: str, outcome: Outcome) -> None:
        """All there is to be found is new."""

    def trouble(self, trouble: Trouble, detail: str) -> None:
        """It could not do what it was asked."""
        raise AssertionError(f"{trouble}: {detail}")


def known() -> Found:
    """What a review costs the server, and how long it takes, by where its image is known."""
    if not wrk.there("known images"):
        return {}
    with tempfile.TemporaryDirectory() as work, ExitStack() as stack:
        folder = Path(work)
        library, digests = _library(IMAGES)
        images = stack.enter_context(Registry({"app:1": library}))
        names = [f"{images.host}/app@{digest}" for digest in digests]
        stores = _stores(folder, stack)
        _fill(names, stores.values())
        print(f"\n{IMAGES:,} images known; one worker on one core, {CONNECTIONS} connection")
        runs = _runs(folder, stack, images, names, stores)
        return _show(in_turns(runs, ROUNDS, dropped=0))


def _show(loads: Mapping[str, Sequence[tuple[Load, float]]]) -> Found:
    print(f"{'':32}reviews/s   p50   p99 ms   CPU us    CPU / one image (min med max)")
    first, found = next(iter(loads.values())), {}
    for name, taken in loads.items():
        ratios = [cpu / one for (_, cpu), (_, one) in zip(taken, first, strict=True)]
        middle = medians(taken)
        print(
            f"{name:32}{middle['rate']:9,.0f}{middle['p50']:6.2f}{middle['p99']:9.2f}"
            f"{middle['cpu'] * 1e6:9.0f}      {spread(ratios)}"
        )
        found[name] = middle | {"of one": statistics.median(ratios)}
    return found


def _library(count: int) -> tuple[forge.Image, list[str]]:
    """Images that differ by a label only, all their blobs as those of one; and their digests."""
    one = allowed()
    manifest = json.loads(one.body)
    config = json.loads(one.blobs[manifest["config"]["digest"]])
    blobs, digests = dict(one.blobs), []
    for number in range(count):
        config["config"]["Labels"] = {"number": str(number)}
        body = json.dumps(config).encode()
        manifest["config"] |= {"digest": forge.sha256(body), "size": len(body)}
        top = json.dumps(manifest).encode()
        blobs |= {forge.sha256(body): body, forge.sha256(top): top}
        digests.append(forge.sha256(top))
    return forge.Image(digests[0], forge.OCI_MANIFEST, blobs, one.layers), digests


def _stores(folder: Path, stack: ExitStack) -> Mapping[str, _Store]:
    """SQLite, and Valkey where there is one."""
    file = folder / "facts.sqlite"
    found = {
        "SQLite": _Store(
            SQLiteSettings(file=file), ["--store", "sqlite", "--store-file", str(file)]
        )
    }
    if valkey.PROGRAM is None:
        print("\nknown images in Valkey: skipped, there is no redis-server and no valkey-server")
        return found
    service, port = valkey.server(folder)
    service.command = [*on_core(max), *service.command]
    stack.enter_context(kept(service))
    key = folder / "key"
    key.write_text(secrets.token_hex())
    options = (*valkey.options(port, key), *valkey.PATIENT)
    told = ValkeySettings(
        host="127.0.0.1", port=port, key=key.read_bytes(), timeout=valkey.PATIENCE
    )
    return found | {"Valkey": _Store(told, options)}


def _fill(names: Sequence[str], stores: Iterable[_Store]) -> None:
    """Read each image, and put what was found into every store."""
    settings = Settings()
    bases = known_bases(settings.bases)
    shelves = [shelved(store.told, _Loud()) for store in stores]
    held = [
        caches(tag_seconds=1, limits=settings.limits, bases=bases, shelved=one) for one in shelves
    ]
    for request, gathered, digest, files in _read(settings, names):
        for each in held:
            each.images.put(request, gathered)
            each.files.put(digest, files)
    for one in shelves:
        assert one is not None
        one.shelf.close()


def _read(
    settings: Settings, names: Sequence[str]
) -> Iterator[tuple[ImageRequest, Gathered, str, Files]]:
    with closing(build(settings)) as wired:
        for first in range(0, len(names), _AT_ONCE):
            asked = [
                ImageRequest(reference=Reference.parse(name))
                for name in names[first : first + _AT_ONCE]
            ]
            deadline = Deadline.after(60, time.monotonic)
            opened = wired.images.configs(asked, deadline)
            facts = [each for request in asked for each in unread(request, opened[request])]
            for (request, digest), found in wired.images.layers(facts, deadline).items():
                assert isinstance(found, ImageFacts), found
                yield request, opened[request], digest, found.files


def _runs(
    folder: Path,
    stack: ExitStack,
    images: Registry,
    names: Sequence[str],
    stores: Mapping[str, _Store],
) -> Mapping[str, Run]:
    one, many = folder / "one.lua", folder / "many.lua"
    one.write_text(script(names[:1]))
    many.write_text(script(names[1:]))
    begin = partial(server, registry=images.host, before=on_core(min))
    first = stack.enter_context(begin(folder / "one"))
    load(first, one, 1, 1)  # the image is read

    def in_memory(name: str, store: _Store) -> Run:
        full = stack.enter_context(begin(folder / name, options=store.options))
        _ask_for_each(full, names)
        return partial(load, full, many, CONNECTIONS, SECONDS)

    def found_in(store: _Store) -> tuple[Load, float]:
        with begin(Path(mkdtemp(dir=folder)) / "anew", options=store.options) as anew:
            load(anew, one, 1, 1)  # what is loaded with the first review is loaded
            before = len(images.requests)
            seen = load(anew, many, CONNECTIONS, SECONDS)
            assert seen[0].requests < len(names)  # or memory would have had some
            assert len(images.requests) == before
            return seen

    return (
        {"one image": partial(load, first, one, CONNECTIONS, SECONDS)}
        | {f"{IMAGES:,} in memory, {name} behind": in_memory(name, each)
           for name, each in stores.items()}
        | {f"{IMAGES:,} found in {name}": partial(found_in, each) for name, each in stores.items()}
    )  # fmt: skip


def _ask_for_each(one: Server, names: Sequence[str]) -> None:
    """So that all are in memory."""
    body = review(names[0])
    with closing(Client(one)) as client:
        for name in names:
            assert client.ask(body.replace(names[0].encode(), name.encode())).allowed
