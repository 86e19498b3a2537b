"""Manifests, indexes and configs against ``encoding/json`` and containerd's reading."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from hypothesis import strategies as st

from tests.image.reading import LIMITS
from tests.oracles import support
from tests.oracles.documents import STRINGS, spoiled
from tests.oracles.support import BOTH_REFUSE, EQUAL, refused
from webhook.errors import ImageRefused
from webhook.image.config import parse_config
from webhook.image.manifest import (
    CONFIG_TYPES,
    DOCKER_LIST,
    DOCKER_MANIFEST,
    LAYER_TYPES,
    OCI_INDEX,
    OCI_MANIFEST,
    Index,
    parse_manifest,
)

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
GOOD = "sha256:" + "a" * 64
JSON_CLASSES = {
    "key twice": "twice in one object|one key to Go",
    "key spelled otherwise": "which Go takes for",
    "not UTF-8": "is not UTF-8",
    "lone surrogate": "has a lone surrogate",
    "deep nesting": "is nested deeper",
    "no object": "is no JSON object",
    "no digest to prove": "has no digest but|has a digest by",
}
MANIFEST_CLASSES = {
    **JSON_CLASSES,
    "schemaVersion": "schemaVersion is not|is of Docker schema 1",
    "negative size": r"\.size is -",
    "two media types": "was sent as",
    "no container image": "but an artifact of type",
    "no tar layer": "no tar layer",
    "data in numbers": r"\.data is not a string",
}
CONFIG_CLASSES = {**JSON_CLASSES, "odd date": "is no RFC 3339 date"}


def mostly(good: st.SearchStrategy, *odd: object) -> st.SearchStrategy:
    return support.mostly(good, st.sampled_from([None, *odd]))


DIGESTS = mostly(
    st.sampled_from([GOOD, GOOD, "sha512:" + "0" * 128]),
    *("", "sha256:" + "A" * 64, "sha256:" + "a" * 63, "md5:" + "a" * 32, "sha384:" + "a" * 96),
    *("sha256:../../etc", GOOD + "\n", "\u00e9"),
)
PLATFORMS = st.fixed_dictionaries(
    {
        "os": st.sampled_from(
            ["linux", "Linux", "", "windows", "macOS", "unknown", "L\u0130nux", "\u03a3"]
        ),
        "architecture": st.sampled_from(
            [
                "amd64",
                "AMD64",
                "x86_64",
                "x86-64",
                "i386",
                "aarch64",
                "arm64",
                "arm",
                "armhf",
                "armel",
                "386",
                "s390x",
                "",
                "unknown",
                "İ",
                "K",
            ]
        ),
    },
    optional={
        "variant": st.sampled_from(["", "v1", "v2", "v7", "8", "v8", "V8", "5", "v9", "\u1e9e"]),
        "os.version": STRINGS,
        "os.features": st.lists(STRINGS, max_size=2),
    },
)
MAPS = st.dictionaries(STRINGS, STRINGS, max_size=2)
EMPTY_OBJECTS = st.dictionaries(STRINGS, st.just({}), max_size=2)


def descriptors(media_types: st.SearchStrategy[str]) -> st.SearchStrategy:
    return st.fixed_dictionaries(
        {
            "mediaType": mostly(media_types, "", "text/plain"),
            "digest": DIGESTS,
            "size": mostly(st.integers(0, 2**40), -1, 0, 2**63 - 1, 2**63),
        },
        optional={
            "platform": PLATFORMS,
            "annotations": MAPS,
            "urls": st.lists(STRINGS, max_size=2),
            "data": st.sampled_from(["", "e30=", "e30", "!", "e30=\n", None]),
            "artifactType": STRINGS,
        },
    )


MEDIA_TYPES = [OCI_MANIFEST, DOCKER_MANIFEST, OCI_INDEX, DOCKER_LIST]
CONFIGS = descriptors(st.sampled_from(sorted(CONFIG_TYPES)))
LAYERS = descriptors(st.sampled_from(sorted(LAYER_TYPES)))
OTHERS = descriptors(st.sampled_from(MEDIA_TYPES))
COMMON = {
    "mediaType": mostly(st.just(""), *MEDIA_TYPES),
    "artifactType": STRINGS,
    "annotations": MAPS,
    "subject": OTHERS,
}
VERSION = mostly(st.just(2), 1, 2, 2, 3)
MANIFESTS = st.tuples(
    st.sampled_from(MEDIA_TYPES[:2]),
    spoiled(
        st.fixed_dictionaries(
            {"schemaVersion": VERSION, "config": CONFIGS, "layers": st.lists(LAYERS, max_size=3)},
            optional=COMMON,
        )
    ),
)
INDEXES = st.tuples(
    st.sampled_from(MEDIA_TYPES[2:]),
    spoiled(
        st.fixed_dictionaries(
            {"schemaVersion": VERSION, "manifests": st.lists(OTHERS, max_size=3)}, optional=COMMON
        )
    ),
)
DATES = mostly(
    st.datetimes(timezones=st.just(UTC)).map(lambda date: date.isoformat().replace("+00:00", "Z")),
    *("2024-01-01T00:00:00.123456789Z", "2024-01-01T00:00:00+23:59", "2024-01-01T00:00:00+24:00"),
    *("2024-02-30T00:00:00Z", "2024-01-01T24:00:00Z", "2024-01-01T23:59:60Z", "2024-01-01"),
    *(
        "2024-01-01t00:00:00z",
        "2024-01-01T1:00:00Z",
        "2024-01-01T00:00:00,5Z",
        "0000-01-01T00:00:00Z",
    ),
    *("0001-01-01T00:00:00Z", "9999-12-31T23:59:59-23:59", "2024-01-01T00:00:00", "", "now"),
    *("2024-01-01T00:00:00-00:00", "2024-01-01T00:00:00+00:60", "\u0662024-01-01T00:00:00Z"),
)
WORDS = mostly(st.lists(mostly(STRINGS), max_size=3), [])
RUN = st.fixed_dictionaries(
    {},
    optional={
        "User": STRINGS,
        "Entrypoint": WORDS,
        "Cmd": WORDS,
        "Env": WORDS,
        "WorkingDir": STRINGS,
        "Labels": MAPS,
        "ExposedPorts": EMPTY_OBJECTS,
        "Volumes": EMPTY_OBJECTS,
        "StopSignal": STRINGS,
        "ArgsEscaped": st.booleans(),
    },
)
STEPS = st.fixed_dictionaries(
    {},
    optional={
        "created": DATES,
        "created_by": STRINGS,
        "author": STRINGS,
        "comment": STRINGS,
        "empty_layer": st.booleans(),
    },
)
CONFIG_DOCUMENTS = spoiled(
    st.builds(
        lambda platform, rest: {**platform, **rest},
        PLATFORMS,
        st.fixed_dictionaries(
            {
                "rootfs": st.fixed_dictionaries(
                    {"type": st.just("layers"), "diff_ids": st.lists(DIGESTS, max_size=2)}
                )
            },
            optional={
                "created": DATES,
                "author": STRINGS,
                "config": RUN,
                "history": st.lists(STEPS, max_size=2),
            },
        ),
    )
)


def platform(found):
    """As ``platforms.Normalize`` leaves it, less what slimgate does not look at."""
    return found and (found["os"], found["architecture"], found.get("variant", ""))


def ours(found):
    return (
        found.media_type,
        found.digest,
        found.size,
        found.platform and (found.platform.os, found.platform.architecture, found.platform.variant),
        dict(found.annotations),
    )


def theirs(found):
    return (
        found["mediaType"],
        found["digest"],
        found["size"],
        platform(found["platform"]),
        found["annotations"] or {},
    )


def compare_manifest(answer, media_type: str, body: bytes):
    try:
        read = parse_manifest(body, media_type, LIMITS)
    except ImageRefused as error:
        return BOTH_REFUSE if "error" in answer else refused(error.detail, MANIFEST_CLASSES)
    assert "children" in answer, f"slimgate takes it: {answer}"
    children = read.entries if isinstance(read, Index) else (read.config, *read.layers)
    assert list(map(ours, children)) == list(map(theirs, answer["children"]))
    return EQUAL


def compare_config(answer, body: bytes):
    try:
        read = parse_config(body, GOOD, LIMITS)
    except ImageRefused as error:
        return BOTH_REFUSE if "error" in answer else refused(error.detail, CONFIG_CLASSES)
    assert "history" in answer, f"slimgate takes it: {answer}"
    created = read.created and str(
        (datetime.fromisoformat(read.created) - EPOCH) // timedelta(microseconds=1)
    )
    words = [None if one is None else list(one) for one in (read.entrypoint, read.cmd)]
    assert {
        **answer,
        "platform": platform(answer["platform"]),
        "diff_ids": answer["diff_ids"] or [],
        "env": answer["env"] or [],
        "labels": answer["labels"] or {},
    } == {
        "platform": (read.platform.os, read.platform.architecture, read.platform.variant),
        "diff_ids": list(read.diff_ids),
        "user": read.user,
        "entrypoint": words[0],
        "cmd": words[1],
        "env": list(read.env),
        "workingDir": read.working_dir,
        "labels": dict(read.labels),
        "created": created,
        "history": [
            {"created_by": step.created_by, "empty_layer": step.empty_layer}
            for step in read.history
        ],
    }
    return EQUAL


def test_manifests(oracle, truth):
    """The same descriptors as containerd's walk through a manifest or an index."""
    ask = oracle("image", "manifest")
    truth(
        "manifest",
        st.one_of(MANIFESTS, INDEXES),
        lambda pair: compare_manifest(ask(pair[0].encode() + b"\n" + pair[1]), *pair),
    )


def test_configs(oracle, truth):
    """The same config as in containerd's image store."""
    ask = oracle("image", "config")
    truth("config", CONFIG_DOCUMENTS, lambda body: compare_config(ask(body), body))
