"""The layers of an image, as its manifest and its config together name them."""

from __future__ import annotations

from collections.abc import Sequence

from webhook.errors import Malformed
from webhook.image.config import HistoryStep, ImageConfig
from webhook.image.facts import LayerRef
from webhook.image.manifest import Manifest


def layer_refs(manifest: Manifest, config: ImageConfig) -> tuple[LayerRef, ...]:
    """Pair each layer with its diff_id and the build step that made it, oldest first.

    Raises:
        Malformed: their numbers differ, and containerd refuses to unpack such an image; or a
            layer has no bytes at all, and it refuses to fetch that (core/remotes/handlers.go,
            ``Fetch``).
    """
    layers, diff_ids = manifest.layers, config.diff_ids
    if len(layers) != len(diff_ids):
        raise Malformed(
            f"the manifest lists {len(layers)} layers, the config {len(diff_ids)} diff_ids"
        )
    for layer in layers:
        if layer.size == 0:
            raise Malformed(f"the layer {layer.digest} has no bytes: no node fetches such a one")
    steps = _created_by(config.history, len(layers))
    return tuple(
        LayerRef(
            index=index,
            digest=layer.digest,
            diff_id=diff_id,
            media_type=layer.media_type,
            compressed=layer.size,
            created_by=step,
        )
        for index, (layer, diff_id, step) in enumerate(zip(layers, diff_ids, steps, strict=True))
    )


def _created_by(history: Sequence[HistoryStep], layers: int) -> Sequence[str | None]:
    """The step of each layer; all None where the history does not fit the layers.

    ``empty_layer`` is a claim: a miscount would blame the wrong step, so none is named.
    """
    made = [step.created_by or None for step in history if not step.empty_layer]
    return made if len(made) == layers else [None] * layers
