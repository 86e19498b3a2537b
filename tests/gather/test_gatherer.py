"""Gathering: each thing fetched once, nothing waited for beyond the deadline, nothing believed."""

from __future__ import annotations

import threading
import time
import traceback
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.cluster.support.processes import eventually
from tests.support import forge
from tests.support.source import ForgedSource
from webhook.errors import Busy
from webhook.gather.gatherer import Caches, Gatherer
from webhook.gather.lanes import Lanes
from webhook.gather.source import ImageRequest, Unread
from webhook.image.reference import Reference
from webhook.limits import Deadline, Limits, WouldWait
from webhook.store.memory import Memory

NAME = "registry.test/app:1"
APP = forge.image([[forge.file("app", b"#!/bin/false\n", mode=0o755)]], user="65532")


@pytest.fixture
def gatherer():
    pools = []

    def make(images, **options):
        source = ForgedSource(images)
        opening, reading = Lanes(2, 4), Lanes(2, 4)
        pools.extend((source, opening, reading))
        kept = {
            name: Memory(capacity=100, clock=time.monotonic)
            for name in ("tags", "proofs", "images", "partial", "layers", "files", "failures")
        }
        kept |= {name: options.pop(name) for name in ("tags", "failures") if name in options}
        made = Gatherer(
            source,
            caches=Caches(**kept),
            limits=options.pop("limits", Limits()),
            opening=opening,
            reading=reading,
            clock=time.monotonic,
            background=30,
            **options,
        )
        return made, source

    yield make
    for pool in pools:
        if isinstance(pool, ForgedSource):
            for event in pool.held.values():
                event.set()
        else:
            pool.close()


def request(name: str = NAME, **conditions) -> ImageRequest:
    return ImageRequest(reference=Reference.parse(name), **conditions)


def soon(seconds: float = 20) -> Deadline:
    return Deadline.after(seconds, time.monotonic)


def three_hundred():
    """Small images of one registry."""
    return {
        f"registry.test/many:{n}": forge.image([[forge.file(f"{n}", b"x", mode=0o755)]])
        for n in range(300)
    }


def read(gatherer, name: str = NAME):
    """Configs, then layers, of the one image: its facts or what went wrong."""
    asked = request(name)
    (item,) = gatherer.configs([asked], soon())[asked]
    if isinstance(item, Unread):
        return item
    ((_, layered),) = gatherer.layers([(asked, item)], soon()).items()
    return layered


def test_config_first_layers_only_when_asked(gatherer):
    images, source = gatherer({NAME: APP})
    asked = request()

    (facts,) = images.configs([asked], soon())[asked]

    assert facts.config.user == "65532"
    assert facts.contents is None
    assert APP.layers[0] not in source.asked
    assert facts.digest == facts.manifest_digest == APP.digest


def test_layers_are_read_and_merged(gatherer):
    images, _ = gatherer({NAME: APP})

    facts = read(images)

    assert list(facts.files.programs.executables) == ["/app"]
    assert facts.files.user.uid == 65532


def test_what_is_known_is_not_fetched_again(gatherer):
    images, source = gatherer({NAME: APP})
    read(images)
    before = list(source.asked)

    (facts,) = images.configs([request()], soon())[request()]

    assert facts.contents is not None
    assert source.asked == before


def test_a_tag_that_has_not_moved_is_not_fetched_again(gatherer):
    """When it is no longer believed, a HEAD will do: registries count their GETs."""
    moving = {NAME: APP}
    images, source = gatherer(moving, tags=Memory(capacity=0, clock=time.monotonic))
    read(images)
    assert read(images).digest == APP.digest
    assert (source.asked.count(NAME), source.asked.count(f"HEAD {NAME}")) == (1, 1)

    moving[NAME] = forge.image([], user="5")
    assert read(images).config.user == "5"


def test_a_tag_in_use_is_asked_for_again_before_it_is_forgotten_and_nobody_waits(gatherer):
    now = [0.0]
    tags = Memory(capacity=100, clock=lambda: now[0], seconds=30)
    images, source = gatherer({NAME: APP}, tags=tags, waiters=1)
    read(images)
    gate = source.held[f"HEAD {NAME}"] = threading.Event()

    now[0] = 25.0
    for _ in range(3):
        assert read(images).digest == APP.digest
    assert eventually(lambda: f"HEAD {NAME}" in source.asked)
    gate.set()
    assert eventually(lambda: not tags.ageing(request()))

    now[0] = 35.0
    assert read(images).digest == APP.digest
    assert (source.asked.count(NAME), source.asked.count(f"HEAD {NAME}")) == (1, 1)


def test_a_registry_that_is_away_while_a_tag_ages_takes_nothing_from_it(gatherer):
    """What is known holds until its time is over, and the registry is not asked at every review."""
    now = [0.0]
    there = {NAME: APP}
    tags = Memory(capacity=100, clock=lambda: now[0], seconds=30)
    failures = Memory(capacity=100, clock=lambda: now[0], seconds=5)
    images, source = gatherer(there, tags=tags, failures=failures)
    read(images)
    there.clear()

    now[0] = 25.0
    assert read(images).digest == APP.digest
    assert eventually(lambda: failures.get(request()) is not None)
    assert read(images).digest == APP.digest
    assert source.asked.count(f"HEAD {NAME}") == 1

    now[0] = 31.0
    assert read(images).error.reason == "notFound"


def test_a_layer_that_two_images_share_is_read_once_and_blamed_on_each_ones_own_step(gatherer):
    base = [forge.file("bin/sh", b"\x7fELF", mode=0o755)]
    one = forge.image([base], history=["ADD base /"])
    two = forge.image([[forge.folder("srv")], base], history=["RUN mkdir srv", "COPY shell /"])
    images, source = gatherer({"registry.test/one:1": one, "registry.test/two:1": two})

    first = read(images, "registry.test/one:1").files.shells[0]
    second = read(images, "registry.test/two:1").files.shells[0]

    assert (first.layer, first.created_by) == (0, "ADD base /")
    assert (second.layer, second.created_by) == (1, "COPY shell /")
    assert source.asked.count(one.layers[0]) == 1


def test_a_burst_makes_one_fetch(gatherer):
    images, source = gatherer({NAME: APP})
    with ThreadPoolExecutor(16) as burst:
        answers = list(burst.map(lambda _: read(images), range(64)))

    assert {facts.manifest_digest for facts in answers} == {APP.digest}
    assert source.asked.count(APP.layers[0]) == 1
    assert source.asked.count(NAME) == 1


def test_the_deadline_is_kept_and_the_retry_finds_it_done(gatherer):
    images, source = gatherer({NAME: APP})
    gate = source.held[APP.layers[0]] = threading.Event()
    asked = request()
    (facts,) = images.configs([asked], soon())[asked]

    ((_, late),) = images.layers([(asked, facts)], soon(0.05)).items()
    assert isinstance(late, Unread)
    assert (late.error.reason, late.error.detail) == ("deadline", "0 of 1 layers read so far")

    gate.set()
    assert read(images).files.programs.executables
    assert source.asked.count(APP.layers[0]) == 1


def test_where_nothing_may_be_waited_for_it_is_begun_and_found_later(gatherer):
    images, source = gatherer({NAME: APP})
    gates = [source.held.setdefault(name, threading.Event()) for name in (NAME, APP.layers[0])]
    at_once = Deadline(time.monotonic() + 20, time.monotonic, patient=False)
    asked = request()

    with pytest.raises(WouldWait):
        images.configs([asked], at_once)
    assert eventually(lambda: NAME in source.asked)
    gates[0].set()
    images.configs([asked], soon())
    (facts,) = images.configs([asked], at_once)[asked]
    with pytest.raises(WouldWait):
        images.layers([(asked, facts)], at_once)
    gates[1].set()
    read(images)

    (facts,) = images.configs([asked], at_once)[asked]
    assert facts.files.programs.executables
    assert (source.asked.count(NAME), source.asked.count(APP.layers[0])) == (1, 1)


def test_as_many_wait_as_may_and_known_images_are_answered_all_the_same(gatherer):
    slow = forge.image([[forge.file("slow", b"x", mode=0o755)]])
    names = "registry.test/slow:1", "registry.test/other:1"
    images, source = gatherer({NAME: APP} | dict.fromkeys(names, slow), waiters=1)
    read(images)
    gate = threading.Event()
    source.held |= dict.fromkeys(names, gate)
    waiting = threading.Thread(target=read, args=(images, names[0]))
    waiting.start()
    assert eventually(lambda: not images._waiters._places._free)

    with pytest.raises(Busy):
        images.configs([request(names[1])], soon())
    assert read(images).manifest_digest == APP.digest

    gate.set()
    waiting.join()


def test_a_failure_is_an_answer_and_is_remembered(gatherer):
    images, source = gatherer({})
    missing = read(images)
    again = read(images)

    assert missing.error.reason == again.error.reason == "notFound"
    assert source.asked == []


def test_a_failure_that_is_told_to_many_does_not_grow(gatherer):
    images, _ = gatherer({})
    for _ in range(50):
        error = read(images).error
    assert len(list(traceback.walk_tb(error.__traceback__))) < 5


def test_what_was_not_what_it_promised_is_asked_for_again(gatherer):
    """Integrity is never cached: the honest bytes may be there a moment later."""
    lied = forge.image([[forge.file("app", b"x", mode=0o755)]])
    honest = lied.blobs[lied.layers[0]]
    lied.blobs[lied.layers[0]] = b"nonsense"
    images, _ = gatherer({NAME: lied})

    assert read(images).error.reason == "integrity"
    lied.blobs[lied.layers[0]] = honest
    assert read(images).files.programs.executables


def test_a_layer_that_another_repository_holds_back_holds_nobody_up(gatherer):
    """Whoever names somebody's layer in a manifest of their own may let it drip for ever."""
    evil = "evil.test/app:1"
    images, source = gatherer({NAME: APP, evil: APP})
    source.held[f"evil.test/app@{APP.layers[0]}"] = threading.Event()
    asked = request(evil)
    (facts,) = images.configs([asked], soon())[asked]
    images.layers([(asked, facts)], soon(0.05))

    assert read(images).files.programs.executables


def test_a_layer_that_another_repository_has_not_is_still_there(gatherer):
    evil = forge.Image(APP.digest, APP.media_type, dict(APP.blobs), APP.layers)
    del evil.blobs[APP.layers[0]]
    images, _ = gatherer({NAME: APP, "registry.test/evil:1": evil})

    assert read(images, "registry.test/evil:1").error.reason == "notFound"
    assert read(images).files.programs.executables


def test_one_registry_that_stalls_stalls_no_other(gatherer):
    stalled = [f"slow.test/app:{number}" for number in range(8)]
    images, source = gatherer({NAME: APP} | dict.fromkeys(stalled, APP))
    source.held |= {name: threading.Event() for name in stalled}
    late = images.configs([request(name) for name in stalled], soon(0.05))

    assert {item.error.reason for (item,) in late.values()} == {"deadline"}
    assert read(images).files.programs.executables


def test_one_namespaces_many_images_do_not_starve_another(gatherer):
    """Of one registry: the second namespace's image is read after a few of the first one's 300."""
    many = three_hundred()
    images, source = gatherer({NAME: APP, **many})
    gates = [source.held.setdefault(f"registry.test/many:{n}", threading.Event()) for n in (0, 1)]
    images.configs([request(name, turn="greedy") for name in many], soon(0.05))
    mine = request(turn="modest")
    images.configs([mine], soon(0.05))
    for gate in gates:
        gate.set()

    (facts,) = images.configs([mine], soon())[mine]

    assert facts.digest == APP.digest
    assert source.asked.index(NAME) < 20


def test_an_image_that_two_namespaces_want_comes_in_the_turn_of_the_second(gatherer):
    many = three_hundred()
    images, source = gatherer(many)
    gates = [source.held.setdefault(f"registry.test/many:{n}", threading.Event()) for n in (0, 1)]
    images.configs([request(name, turn="greedy") for name in many], soon(0.05))
    last = request("registry.test/many:299", turn="modest")
    images.configs([last], soon(0.05))
    for gate in gates:
        gate.set()

    images.configs([last], soon())

    resolved = [name for name in source.asked if name in many]
    assert resolved.index("registry.test/many:299") < 20
    assert source.asked.count("registry.test/many:299") == 1


def test_merging_is_not_waited_for_beyond_the_deadline(gatherer):
    """It may read a layer again, and the registry may let it drip the second time."""
    linked = forge.image(
        [[forge.symlink("etc/passwd", "../data"), forge.file("data", b"app:x:5:5::/:\n")]],
        user="app",
    )
    images, source = gatherer({NAME: linked})
    gate = source.held[f"{linked.layers[0]} again"] = threading.Event()
    asked = request()
    (facts,) = images.configs([asked], soon())[asked]

    began = time.monotonic()
    ((_, late),) = images.layers([(asked, facts)], soon(0.2)).items()

    assert late.error.reason == "deadline"
    assert time.monotonic() - began < 8  # where it is held back for ten
    gate.set()
    assert read(images).files.user.uid == 5


def test_bytes_that_are_not_what_was_promised_are_refused(gatherer):
    lied = forge.image([[forge.file("app", b"x", mode=0o755)]])
    lied.blobs[lied.layers[0]] = forge.compress(forge.tar([forge.file("app", b"y")]), "gzip")
    images, _ = gatherer({NAME: lied})

    assert read(images).error.reason == "integrity"


def test_a_failing_layer_decides_before_the_others_are_there(gatherer):
    bad = forge.image([[forge.file("a", b"1")], [forge.file("b", b"2")]])
    bad.blobs[bad.layers[1]] = b"nonsense"
    images, source = gatherer({NAME: bad})
    source.held[bad.layers[0]] = threading.Event()
    asked = request()
    (facts,) = images.configs([asked], soon())[asked]

    def told():
        ((_, item),) = images.layers([(asked, facts)], soon(0.5)).items()
        return item.error.reason

    assert eventually(lambda: told() == "integrity", seconds=8)  # the other is held back for ten


class TestPlatforms:
    ARM = forge.image([], architecture="arm64")
    INDEX = forge.index(
        [
            (APP, {"os": "linux", "architecture": "amd64"}),
            (ARM, {"os": "linux", "architecture": "arm64"}),
        ]
    )

    def platforms(self, images, **conditions):
        asked = request(**conditions)
        return [str(item.platform) for item in images.configs([asked], soon())[asked]]

    def test_all_that_the_pod_could_land_on(self, gatherer):
        images, _ = gatherer({NAME: self.INDEX})
        assert self.platforms(images) == ["linux/amd64", "linux/arm64"]

    def test_the_pod_narrows_it(self, gatherer):
        images, _ = gatherer({NAME: self.INDEX})
        assert self.platforms(images, architectures=frozenset({"arm64"})) == ["linux/arm64"]

    def test_the_nodes_narrow_it(self, gatherer):
        images, _ = gatherer({NAME: self.INDEX})
        assert self.platforms(images, nodes=frozenset({"linux/amd64"})) == ["linux/amd64"]

    def test_a_node_that_joins_is_judged_for_at_once(self, gatherer):
        images, _ = gatherer({NAME: self.INDEX})
        for nodes in ({"linux/amd64"}, {"linux/amd64", "linux/arm64"}):
            assert self.platforms(images, nodes=frozenset(nodes)) == sorted(nodes)

    def test_the_digest_is_the_indexs(self, gatherer):
        images, _ = gatherer({NAME: self.INDEX})
        asked = request()
        facts = images.configs([asked], soon())[asked][0]
        assert (facts.digest, facts.manifest_digest) == (self.INDEX.digest, APP.digest)

    def test_one_broken_platform_is_its_own_failure(self, gatherer):
        broken = forge.image([], architecture="arm64", config=b"{")
        index = forge.index(
            [
                (APP, {"os": "linux", "architecture": "amd64"}),
                (broken, {"os": "linux", "architecture": "arm64"}),
            ]
        )
        images, _ = gatherer({NAME: index})
        asked = request()

        good, bad = images.configs([asked], soon())[asked]

        assert str(good.platform) == "linux/amd64"
        assert (str(bad.platform), bad.error.reason) == ("linux/arm64", "malformed")

    @pytest.mark.parametrize(("config", "times"), [(b"{", 1), (None, 2)])
    def test_it_is_remembered_unless_it_is_not_what_was_promised(self, gatherer, config, times):
        broken = forge.image([], architecture="arm64", config=config)
        if config is None:
            broken.blobs = {key: broken.blobs[key] + b" " for key in broken.blobs} | {
                broken.digest: broken.body
            }
        index = forge.index([(APP, None), (broken, None)])
        images, source = gatherer({NAME: index})
        for _ in range(2):
            assert len(images.configs([request()], soon())[request()]) == 2
        assert source.asked.count(NAME) == times

    def test_an_index_of_attestations_holds_no_image(self, gatherer):
        index = forge.index([(APP, {"os": "unknown", "architecture": "unknown"})])
        images, _ = gatherer({NAME: index})
        assert read(images).error.reason == "unsupported"

    def test_indexes_nest_as_deep_as_the_limit(self, gatherer):
        nested = APP
        for _ in range(4):
            nested = forge.index([(nested, None)])
        images, _ = gatherer({NAME: nested}, limits=Limits(index_depth=3))
        deep, _ = gatherer({NAME: nested}, limits=Limits(index_depth=4))

        assert read(images).error.reason == "limit"
        assert read(deep).manifest_digest == APP.digest

    def test_wide_nests_are_bounded_too(self, gatherer):
        wide = APP
        for _ in range(3):
            wide = forge.index([(wide, None)] * 10)
        images, source = gatherer({NAME: wide}, limits=Limits(index_entries=50))

        assert read(images).error.reason == "limit"
        assert len(source.asked) < 60


def test_near_images_are_read_at_once(gatherer):
    images, _ = gatherer({NAME: APP}, near=lambda reference: reference.registry == "registry.test")
    (facts,) = images.configs([request()], soon())[request()]
    assert facts.contents is not None
