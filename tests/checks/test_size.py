"""size: each limit, its edge, and what is decided without the layers."""

from __future__ import annotations

import pytest

from tests.checks.subjects import STEP, found, image, layer, subject
from webhook.checks.check import run
from webhook.checks.size import CHECK, Size
from webhook.image.quantity import Quantity

MIB = 1 << 20
THREE = (layer(100 * MIB), layer(50 * MIB, index=1), layer(1, index=2))


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        pytest.param({"compressed": 150 * MIB + 1}, [], id="compressed, equal"),
        pytest.param(
            {"compressed": 150 * MIB},
            [
                (
                    "compressedSize",
                    "compressed it is 150.0Mi (157,286,401 bytes), over the limit of 150Mi",
                )
            ],
            id="compressed, one byte over",
        ),
        pytest.param({"unpacked": 300 * MIB + 2}, [], id="unpacked, equal"),
        pytest.param(
            {"unpacked": 300 * MIB},
            [
                (
                    "unpackedSize",
                    "unpacked it is 300.0Mi (314,572,802 bytes), over the limit of 300Mi",
                )
            ],
            id="unpacked, over",
        ),
        pytest.param({"layer": 100 * MIB}, [], id="layer, equal"),
        pytest.param(
            {"layer": 99 * MIB},
            [
                (
                    "layerSize",
                    "its largest layer is 100Mi (104,857,600 bytes), over the limit of 99Mi",
                )
            ],
            id="layer, over",
        ),
        pytest.param({"layers": 3}, [], id="layers, equal"),
        pytest.param(
            {"layers": 2}, [("layers", "it has 3 layers, more than 2")], id="layers, over"
        ),
    ],
)
def test_limits(options, expected):
    """A size equal to its limit passes."""
    options = {
        name: value if name == "layers" else Quantity(value) for name, value in options.items()
    }
    assert found(CHECK, subject(image(layers=THREE)), Size(**options)) == expected


def test_the_largest_layer_is_the_evidence():
    """Which layer, and which step made it."""
    ((finding,), _) = run(CHECK, subject(image(layers=THREE)), Size(layer=Quantity(1)))
    assert (finding.layer_digest, finding.created_by) == (THREE[0].digest, STEP)


def test_without_layers():
    """Too big by the manifest is proved at once; else the unpacked size has to be read."""
    unread = subject(image(layers=THREE, read=False))
    both = {"unpacked": Quantity(10 * MIB)}
    assert found(CHECK, unread, Size(compressed=Quantity(150 * MIB + 1))) == []
    assert found(CHECK, unread, Size(compressed=Quantity(151 * MIB), **both)) is None
    ((proved,), complete) = run(CHECK, unread, Size(compressed=Quantity(1), **both))
    assert (proved.reason, complete) == ("compressedSize", False)


def test_no_layers_at_all():
    """An image without layers is of size 0."""
    assert found(CHECK, subject(image(layers=())), Size(layer=Quantity(0))) == []


def test_a_limit_is_needed():
    """size: {} would look like a check and ask nothing."""
    with pytest.raises(ValueError, match="limits nothing"):
        Size()
