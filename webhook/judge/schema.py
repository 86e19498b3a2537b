"""The JSON Schema of an ImagePolicy, from the very types that read it.

Editors complete and check policy files with it (``slimgate policy schema``). What a type cannot
say (that a glob names a registry, that a CEL expression compiles) only ``slimgate policy check``
finds.
"""

from __future__ import annotations

from typing import Any

import msgspec

from webhook.judge.document import ImagePolicy

DRAFT = "https://json-schema.org/draft/2020-12/schema"


def policy_schema() -> dict[str, Any]:
    """The schema, with one definition for each kind of object."""
    (policy,), definitions = msgspec.json.schema_components(
        (ImagePolicy,), schema_hook=_leaf, ref_template="#/$defs/{name}"
    )
    return {
        "$schema": DRAFT,
        "title": "ImagePolicy",
        **policy,
        "$defs": {name: _without_null(definition) for name, definition in definitions.items()},
    }


def _leaf(kind: type) -> dict[str, Any]:
    """The schema of a leaf: each brings its own (see ``judge/decode.py``)."""
    leaf: Any = kind
    schema: dict[str, Any] = leaf.SCHEMA
    return schema


def _without_null(definition: Any) -> Any:
    """None is how the types say absent; in a document null is a fault."""
    if isinstance(definition, list):
        return [_without_null(item) for item in definition]
    if not isinstance(definition, dict):
        return definition
    kept = {
        key: _without_null(value)
        for key, value in definition.items()
        if not (key == "default" and value is None)
    }
    if {"type": "null"} in kept.get("anyOf", ()):
        kinds = [kind for kind in kept.pop("anyOf") if kind != {"type": "null"}]
        return {**(kinds[0] if len(kinds) == 1 else {"anyOf": kinds}), **kept}
    return kept
