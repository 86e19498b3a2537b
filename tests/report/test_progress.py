"""What is shown while layers are read."""

from __future__ import annotations

import io

from webhook.image.facts import LayerRef
from webhook.report import progress


def _layer(index: int, size: int) -> LayerRef:
    digest = "sha256:" + f"{index:02x}" * 32
    return LayerRef(
        index=index,
        digest=digest,
        diff_id=digest,
        media_type="application/vnd.oci.image.layer.v1.tar",
        compressed=size,
        created_by="RUN \x1b[2J" if index else None,
    )


def test_lines():
    """One for each layer, once it is read to its end, whatever comes between."""
    out = io.StringIO()
    with progress.lines(out) as observe:
        observe(_layer(0, 3000), 1000)
        observe(_layer(1, 10), 10)
        observe(_layer(0, 3000), 2000)

    assert out.getvalue().splitlines() == [
        r"slimgate: read sha256:010101010101 RUN \x1b[2J (10 B)",
        "slimgate: read sha256:000000000000 layer 0 (2.9 KiB)",
    ]


def test_bars(monkeypatch):
    """Bytes read of bytes known; escape sequences of an image are not among what is written."""
    monkeypatch.setenv("COLUMNS", "120")
    monkeypatch.setenv("TTY_COMPATIBLE", "1")
    out = io.StringIO()
    with progress.bars(out) as observe:
        observe(_layer(1, 4096), 1024)

    assert "1.0/4.0 KiB" in out.getvalue()
    assert r"RUN \x1b[2J" in out.getvalue()
    assert "\x1b[2JX" not in out.getvalue()
