"""Image configs: catalogue 21-27, 31 and 88."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import datetime

import pytest

from tests.support import forge
from webhook.errors import LimitExceeded, Malformed, Unsupported
from webhook.image.config import HistoryStep, ImageConfig, parse_config
from webhook.image.platform import Platform
from webhook.limits import Limits

DIGEST = "sha256:" + "d" * 64
DIFF_ID = "sha256:" + "a" * 64


def parse(document, limits=Limits()):  # noqa: B008 - frozen
    body = document if isinstance(document, bytes) else json.dumps(document).encode()
    return parse_config(body, DIGEST, limits)


def test_every_field():
    document = {
        "os": "linux",
        "architecture": "arm64",
        "variant": "v8",
        "created": "2026-11-01T00:00:00.123456789Z",
        "config": {
            "User": "65532:65532",
            "Entrypoint": ["/app"],
            "Cmd": [],
            "Env": ["PATH=/bin"],
            "WorkingDir": "/srv",
            "Labels": {"A": "1", "a": "2"},
            "ArgsEscaped": True,
        },
        "rootfs": {"type": "layers", "diff_ids": [DIFF_ID]},
        "history": [
            {"created_by": "COPY app /", "created": "2026-11-01T00:00:00Z"},
            {"empty_layer": True},
        ],
    }
    assert parse(document) == ImageConfig(
        digest=DIGEST,
        platform=Platform(os="linux", architecture="arm64"),
        diff_ids=(DIFF_ID,),
        user="65532:65532",
        entrypoint=("/app",),
        cmd=(),
        env=("PATH=/bin",),
        working_dir="/srv",
        labels={"A": "1", "a": "2"},
        created="2026-11-01T00:00:00.123456789Z",
        history=(
            HistoryStep(created_by="COPY app /", empty_layer=False),
            HistoryStep(created_by="", empty_layer=True),
        ),
    )


@pytest.mark.parametrize(
    "document", [{}, {"config": None, "rootfs": None, "history": None, "created": None}]
)
def test_nothing_but_zero_values(document):
    empty = Platform(os="linux", architecture="")
    assert parse(document) == ImageConfig(digest=DIGEST, platform=empty, diff_ids=())


def test_a_forged_image_is_read():
    image = forge.image([[forge.file("a")]], user="app", labels={"x": "y"})
    config = json.loads(image.body)["config"]["digest"]
    assert parse(image.blobs[config]).user == "app"


@pytest.mark.parametrize(
    ("body", "detail"),
    [
        pytest.param(b'{"config":{"User":"1000","user":"0"}}', "one key to Go", id="21 twins"),
        pytest.param(b'{"config":{"User":"0"},"config":{"Env":[]}}', "twice", id="22 merged"),
        pytest.param(b'{"config":{"User":"0","User":null}}', "twice", id="23 null does nothing"),
        pytest.param('{"config":{"uſer":"0"}}'.encode(), "Go takes for 'User'", id="24 long s"),
        pytest.param(b'{"config":{"USER":"0"}}', "Go takes for 'User'", id="24 USER"),
        pytest.param(b'{"Config":{"User":"0"}}', "Go takes for 'config'", id="24 Config"),
        pytest.param(b'{"config":{"User":0}}', "User is not a string", id="25 a number"),
        pytest.param(b'\xef\xbb\xbf{"config":{}}', "byte order mark", id="26 BOM"),
        pytest.param('{"config":{}}'.encode("utf-16"), "not UTF-8", id="26 UTF-16"),
        pytest.param(b'{"config":{}} {"config":{"User":"0"}}', "Extra data", id="27 a second one"),
        pytest.param(b'{"config":[]}', "is not an object", id="config no object"),
        pytest.param(b'{"config":{"Env":{}}}', "Env is not an array", id="Env no array"),
        pytest.param(b'{"config":{"Cmd":["a",1]}}', r"Cmd\[1\] is not", id="Cmd with a number"),
        pytest.param(b'{"config":{"Labels":{"a":1}}}', r"Labels\['a'\] is", id="label a number"),
        pytest.param(b'{"rootfs":{"diff_ids":["x"]}}', r"diff_ids\[0\] has no", id="bad diff_id"),
        pytest.param(b'{"history":[{"empty_layer":1}]}', "true or false", id="empty_layer 1"),
        pytest.param(b'{"history":[{"created":"x"}]}', r"history\[0\].created", id="step's date"),
    ],
)
def test_malformed(body, detail):
    with pytest.raises(Malformed, match=detail):
        parse(body)


@pytest.mark.parametrize(
    "date",
    [
        "2026-11-01T00:00:00Z",
        "1970-01-01T00:00:00Z",
        "0001-01-01T00:00:00Z",
        "2099-12-31T23:59:59.999999999+14:00",
        "2024-02-29T12:00:00-07:00",
    ],
)
def test_dates(date):
    created = parse({"created": date}).created
    assert created == date
    assert datetime.fromisoformat(created)


@pytest.mark.parametrize(
    "date",
    [
        "",
        "2026-11-01",
        "2026-11-01 00:00:00Z",
        "2026-11-01T00:00:00",
        "2026-11-01t00:00:00z",
        "2026-11-01T24:00:00Z",
        "2026-11-01T23:59:60Z",
        "2026-02-29T00:00:00Z",
        "2026-13-01T00:00:00Z",
        "2026-11-01T00:00:00.Z",
        "2026-11-01T00:00:00+1400",
        "2026-11-01T00:00:00+25:00",
        "2026-11-01T00:00:00Z\n",
        "20261101T000000Z",
        "٢٠٢٦-11-01T00:00:00Z",
        "Thu, 01 Nov 2026 00:00:00 GMT",
        "1793491200",
    ],
)
def test_dates_that_keep_the_image_from_being_pulled(date):
    with pytest.raises(Malformed, match=r"created is no RFC 3339 date"):
        parse({"created": date})


@pytest.mark.parametrize(
    "document, detail",
    [
        ({"author": 1}, "the image config.author is not a string"),
        ({"os.version": 1}, "the image config.os.version is not a string"),
        ({"os.features": "a"}, "the image config.os.features is not an array"),
        ({"rootfs": {"type": True}}, "the image config.rootfs.type is not a string"),
        ({"history": [{"comment": 1}]}, "history[0].comment is not a string"),
        ({"history": [{"author": []}]}, "history[0].author is not a string"),
        ({"config": {"StopSignal": 15}}, "config.StopSignal is not a string"),
        ({"config": {"ArgsEscaped": "no"}}, "config.ArgsEscaped is not true or false"),
        ({"config": {"Volumes": ["/data"]}}, "config.Volumes is not an object"),
        ({"config": {"ExposedPorts": {"80/tcp": 1}}}, "ExposedPorts['80/tcp'] is not an object"),
    ],
)
def test_fields_that_nobody_reads_have_their_type(document, detail):
    """Go's decoder does not take the whole config else, and containerd does not pull it."""
    with pytest.raises(Malformed) as refused:
        parse(document)
    assert detail in refused.value.detail


def test_fields_that_nobody_reads():
    empty = {"80/tcp": {}, "81/tcp": None, "82/tcp": {"a": 1}}
    assert parse({"config": {"ExposedPorts": empty, "Volumes": None}}) == parse({})


def test_a_diff_id_of_another_algorithm():
    with pytest.raises(Unsupported, match="a digest by md5"):
        parse({"rootfs": {"diff_ids": ["md5:" + "a" * 32]}})


@pytest.mark.parametrize(
    ("document", "limits", "detail"),
    [
        ({"rootfs": {"diff_ids": [DIFF_ID] * 3}}, replace(Limits(), layers=2), "the limit is 2"),
        ({"author": "x" * 100}, replace(Limits(), config_bytes=50), "the limit is 50"),
    ],
)
def test_limits(document, limits, detail):
    with pytest.raises(LimitExceeded, match=detail):
        parse(document, limits)


def test_depth():
    with pytest.raises(Malformed, match="deeper than 4"):
        parse({"x": [[[[]]]]}, replace(Limits(), json_depth=4))
