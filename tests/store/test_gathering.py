"""Gathering with a shelf behind the memory: what one process found out, the next one knows."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from dataclasses import dataclass

import pytest

from tests.gather.test_accounts import OWNER, THIEF, Guarded
from tests.store.conftest import Watched
from tests.support import forge
from tests.support.source import ForgedSource
from webhook.errors import Forbidden, Unauthorized
from webhook.gather.gatherer import Gatherer
from webhook.gather.lanes import Lanes
from webhook.gather.source import ImageRequest, Unread
from webhook.image.facts import ImageFacts
from webhook.image.reference import Reference
from webhook.limits import Deadline, Limits
from webhook.reader.client import Apart
from webhook.reader.own import Own
from webhook.wiring.caches import Shelved, caches

TAG = "registry.test/app:1"
BASE = [forge.file("bin/sh", b"#!/x", mode=0o755)]
APP = forge.image([BASE, [forge.file("app", b"#!/bin/sh\n", mode=0o755)]], user="65532")
OTHER = forge.image([BASE, [forge.file("other", b"#!/bin/sh\n", mode=0o755)]], user="5")
PINNED = f"registry.test/app@{APP.digest}"


@dataclass
class Process:
    """A gatherer, what it asked its registry, and what its shelf said."""

    gatherer: Gatherer
    source: ForgedSource
    watch: Watched

    def read(self, name=TAG, account=None, turn=""):
        asked = ImageRequest(reference=Reference.parse(name), account=account, turn=turn)
        soon = Deadline.after(20, time.monotonic)
        (item,) = self.gatherer.configs([asked], soon)[asked]
        if isinstance(item, Unread) or item.contents is not None:
            return item
        ((_, layered),) = self.gatherer.layers([(asked, item)], soon).items()
        return layered


@pytest.fixture
def process(shelves):
    """Begin a process over the one shelf."""
    closing = []

    def begin(images, *, limits=Limits(), may=None, reader=None, seal=b""):  # noqa: B008 - a value
        watch, source = Watched(), ForgedSource(images)
        shelf = shelves.another(watch)
        lanes = Lanes(4, 8), Lanes(4, 8)
        closing.extend(lanes)
        asked = []
        gatherer = Gatherer(
            source,
            caches=caches(
                tag_seconds=600,
                limits=limits,
                shelved=Shelved(shelf=shelf, watch=watch, seal=seal),
                packed=reader is not None,
            ),
            reader=reader,
            limits=limits,
            opening=lanes[0],
            reading=lanes[1],
            clock=time.monotonic,
            background=30,
            on_behalf=may and (lambda account: Guarded(source, account, may, asked)),
        )
        return Process(gatherer, source, watch)

    yield begin
    for each in closing:
        each.close()


def test_after_a_restart_nothing_is_fetched_again(process):
    before = process({TAG: APP}).read()
    after = process({TAG: APP})

    assert after.read() == before
    assert after.source.asked == [f"HEAD {TAG}"]  # a tag may have moved
    assert after.watch.lookups == {"hit": 2}  # the image and its files: no layer


def test_by_digest_the_registry_need_not_be_there(process):
    process({PINNED: APP}).read(PINNED)
    after = process({})

    assert isinstance(after.read(PINNED), ImageFacts)
    assert after.source.asked == []


def test_a_base_that_images_share_is_read_once_by_all_processes(process):
    process({TAG: APP}).read()
    after = process({"registry.test/other:1": OTHER})
    found = after.read("registry.test/other:1")

    assert set(found.files.programs.executables) == {"/bin/sh", "/other"}
    assert OTHER.layers[0] == APP.layers[0]
    assert OTHER.layers[0] not in after.source.asked
    assert OTHER.layers[1] in after.source.asked


def test_a_layer_that_another_process_opened_goes_back_to_one_as_it_came(process):
    own = Own()
    apart = Apart(own.path, Limits(), restart=own.restart)
    try:
        process({TAG: APP}, reader=apart).read()
        after = process({"registry.test/other:1": OTHER}, reader=apart)
        found = after.read("registry.test/other:1")
    finally:
        own.close()

    assert set(found.files.programs.executables) == {"/bin/sh", "/other"}
    assert OTHER.layers[0] not in after.source.asked


def test_a_tag_that_moved_is_opened_anew(process):
    process({TAG: APP}).read()
    assert process({TAG: OTHER}).read().config.user == "5"

    third = process({TAG: OTHER})
    assert third.read().config.user == "5"
    assert third.source.asked == [f"HEAD {TAG}"]


def test_with_other_limits_nothing_is_known(process):
    process({TAG: APP}).read()
    strict = process({TAG: APP}, limits=Limits(entries=1))

    item = strict.read()
    assert isinstance(item, Unread)
    assert item.error.reason == "limit"


def test_a_failure_is_not_kept(process):
    assert isinstance(process({}).read(), Unread)
    assert isinstance(process({TAG: APP}).read(), ImageFacts)


def test_bytes_that_were_not_what_they_promised_are_not_kept(process):
    forged = forge.image([BASE], user="65532")
    forged.blobs[forged.layers[0]] = b"other bytes"
    assert process({TAG: forged}).read().error.reason == "integrity"

    honest = process({TAG: forge.image([BASE], user="65532")})
    assert isinstance(honest.read(), ImageFacts)
    assert honest.source.asked.count(forged.layers[0]) == 1


def test_an_account_has_to_show_that_it_may_in_every_process(process):
    """What the shelf knows is told to nobody whom the registry would not tell."""
    process({TAG: APP}, may={OWNER}).read(account=OWNER)
    after = process({TAG: APP}, may={OWNER})

    refused = after.read(account=THIEF)
    assert isinstance(refused, Unread)
    assert isinstance(refused.error, Unauthorized | Forbidden)
    assert isinstance(after.read(account=OWNER), ImageFacts)
    assert APP.layers[0] not in after.source.asked


def test_a_burst_over_several_processes_fetches_each_blob_once(process):
    gate = threading.Event()
    begun = [process({TAG: APP}) for _ in range(4)]
    for one in begun:
        one.source.held |= dict.fromkeys(APP.layers, gate)
    threads = [threading.Thread(target=one.read) for one in begun for _ in range(5)]
    for thread in threads:
        thread.start()
    time.sleep(0.5)
    gate.set()
    for thread in threads:
        thread.join()

    asked = [what for one in begun for what in one.source.asked]
    assert [asked.count(digest) for digest in APP.layers] == [1, 1]
    assert (asked.count(TAG), asked.count(f"HEAD {TAG}")) == (1, 3)


def test_two_releases_at_one_server_do_not_overwrite_each_others(process):
    for _ in range(2):
        for seal in (b"one" * 11, b"other" * 7):
            one = process({TAG: APP}, seal=seal)
            one.read()
            assert one.watch.lookups["broken"] == 0
    assert one.watch.lookups == {"hit": 2}


def test_pods_of_several_namespaces_wait_for_one_fetch_too(process):
    """Where all ask as one, it does not matter among whom turns are taken."""
    gate = threading.Event()
    begun = [process({TAG: APP}) for _ in range(2)]
    for one in begun:
        one.source.held[TAG] = gate
    threads = [
        threading.Thread(target=one.read, kwargs={"turn": turn})
        for one, turn in zip(begun, ("shop", "lab"), strict=True)
    ]
    for thread in threads:
        thread.start()
    time.sleep(0.5)
    gate.set()
    for thread in threads:
        thread.join()

    asked = [what for one in begun for what in one.source.asked]
    assert (asked.count(TAG), asked.count(f"HEAD {TAG}")) == (1, 1)


def test_all_processes_give_a_question_the_same_name():
    """Sets have another order in each."""
    code = (
        "from webhook.gather.source import ImageRequest\n"
        "from webhook.image.reference import Reference\n"
        "from webhook.wiring.caches import _told\n"
        "words = frozenset(f'linux/{n}' for n in range(9))\n"
        "reference = Reference.parse('app')\n"
        "print(_told(ImageRequest(reference=reference, architectures=words, nodes=words)))"
    )
    names = {
        subprocess.run(
            [sys.executable, "-c", code],
            env={**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": "."},
            capture_output=True, text=True, check=True,
        ).stdout
        for seed in ("1", "2")
    }  # fmt: skip
    assert len(names) == 1


def test_what_memory_no_longer_holds_is_not_read_again(process):
    one = process({TAG: APP})
    one.read()
    one.gatherer._caches.files._memory.forget(APP.digest)
    one.gatherer._caches.layers._memory._items.clear()
    before = list(one.source.asked)

    assert "/app" in one.read().files.programs.executables
    assert one.source.asked == before
