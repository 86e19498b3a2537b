"""The CustomResourceDefinition of ImagePolicy, from the very types that read files.

A structural schema: every field has the description that stands beside it in the code, so that
``kubectl explain`` teaches; what a field's type cannot say is said in CEL with a message. What
neither can say (that a rule compiles) slimgate itself finds, and reports in the status.

Two things the API server does would turn a typing mistake into a weaker policy, silently: it
drops keys that the schema does not know, and nulls. So all objects of a policy keep unknown
keys, and a check may be null; then slimgate sees them and calls the policy broken. No CEL rule
of a CRD can see either; those of a ValidatingAdmissionPolicy can, and ``guard`` makes one that
refuses them when they are written (docs/adr/005-crd.md).
"""

from __future__ import annotations

import ast
import inspect as source_of
import re
import sys
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from itertools import pairwise
from typing import Any

import yaml
from msgspec import inspect

from webhook.checks import ALL
from webhook.checks.base import Bases
from webhook.checks.check import Options
from webhook.checks.reference import Named, Tags
from webhook.checks.size import Size
from webhook.image.globs import Glob, TagGlob
from webhook.image.quantity import Quantity
from webhook.judge.document import (
    Checks,
    Exemption,
    ImagePolicy,
    Images,
    Spec,
    Text,
)
from webhook.judge.rules import Expression
from webhook.judge.selector import LabelSelector, Requirement

GROUP = "slimgate.dev"
VERSION = "v1alpha1"
NAME = f"imagepolicies.{GROUP}"

Schema = dict[str, Any]

_LABEL_KEY = (
    r"^([a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*/)?"
    r"[A-Za-z0-9]([A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?$"
)
_LABEL_VALUE = r"^([A-Za-z0-9]([A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?)?$"
_QUANTITY = (
    r"^[+]?([0-9]{1,20}([.][0-9]{0,9})?|[.][0-9]{1,9})([KMGTPE]i|[kMGTPE]|[eE][+-]?[0-9]{1,2})?$"
)
Rule = tuple[str, str]
"""A CEL expression over ``self``, and what it means when it is false."""


def _some(field: str, message: str) -> Rule:
    return f"!has(self.{field}) || size(self.{field}) > 0", message


def _asks_something() -> Rule:
    asked = " || ".join(f"has(self.checks.{check.name})" for check in ALL)
    rules = "has(self.rules) && size(self.rules) > 0"
    return (
        f"({rules}) || (has(self.checks) && ({asked}))",
        "asks nothing: name at least one check or rule",
    )


_OBJECTS: Mapping[type, tuple[Rule, ...]] = {
    Spec: (_asks_something(),),
    Images: (_some("include", "include is empty: no image would be judged"),),
    Exemption: tuple(
        _some(field, f"{field} is empty: it would except nothing")
        for field in ("images", "checks", "namespaces")
    ),
    LabelSelector: (
        (
            f"!has(self.matchLabels) || self.matchLabels.all(key, key.matches(r'{_LABEL_KEY}'))",
            "matchLabels has a key that is no label key",
        ),
    ),
    Requirement: (
        (
            "!(self.operator in ['In', 'NotIn']) || (has(self.values) && size(self.values) > 0)",
            "In and NotIn need values",
        ),
        (
            "self.operator in ['In', 'NotIn'] || !has(self.values) || size(self.values) == 0",
            "Exists and DoesNotExist take no values",
        ),
    ),
    Size: (
        (
            "has(self.compressed) || has(self.unpacked) || has(self.layer) || has(self.layers)",
            "limits nothing: give compressed, unpacked, layer or layers",
        ),
    ),
    Named: (
        (
            "(has(self.digest) && self.digest) || has(self.tags) || has(self.registries)",
            "asks nothing: give digest: true, tags or registries",
        ),
        _some("registries", "registries is empty: it would refuse every image"),
    ),
    Tags: (_some("deny", "deny is empty: it would refuse no tag"),),
    Bases: (_some("allow", "allow is empty: it would refuse every image"),),
}
"""What ``__post_init__`` says of a class; tests/cluster/test_crd.py compares the two."""

_LEAVES: Mapping[type, tuple[Rule, ...]] = {
    Glob: (  # one regular expression for all of it would be over the API server's CEL budget
        (
            "self == '*' || self.matches('^([^/]*[.:A-Z][^/]*|localhost)/')",
            "names no registry: globs match whole names (try docker.io/library/nginx for nginx)",
        ),
        (
            r"self == '*' || self.matches(r'^([*][.])?[\]\[A-Za-z0-9.:-]+/')",
            "the host of a glob is literal, or *.domain",
        ),
        (
            "self == '*' || self.matches('^[^/]+/[a-z0-9._/*-]+$')",
            "is no image name in lower case, without tag and digest; * is the only wildcard",
        ),
        (
            "!self.matches('^(docker.io/[^/*]+$|index.docker.io/)')",
            "matches nothing: write docker.io/library/NAME or docker.io/USER/NAME",
        ),
    ),
    TagGlob: ((r"self.matches(r'^[A-Za-z0-9_.*-]+$')", "is no tag"),),
    Quantity: (
        (
            f"type(self) == int ? self >= 0 : string(self).matches(r'{_QUANTITY}')",
            "is no size in bytes: 150Mi, 1Gi, 1.5G, 1048576",
        ),
    ),
    Text: (
        (
            r"self.trim() != '' && self.matches(r'^[^\p{Cc}\p{Cf}\p{Co}\p{Zl}\p{Zp}]*$')",
            "is no text on one line",
        ),
    ),
    Expression: (("self.trim() != ''", "is no CEL expression"),),
}
_MORE: Mapping[type, Schema] = {
    Quantity: {"x-kubernetes-int-or-string": True, "maxLength": 32},
    TagGlob: {"minLength": 1},
}
_LABEL_KEYS: Schema = {"type": "string", "maxLength": 317, "pattern": _LABEL_KEY}
_LABEL_VALUES: Schema = {"type": "string", "maxLength": 63, "pattern": _LABEL_VALUE}

COLUMNS = (
    ("Action", "string", ".spec.action", "What is done about a failure."),
    ("Ready", "string", '.status.conditions[?(@.type=="Ready")].status', "Whether it is in use."),
    (
        "Reason",
        "string",
        '.status.conditions[?(@.type=="Ready")].reason',
        "Why it is, or is not.",
    ),
    ("Age", "date", ".metadata.creationTimestamp", ""),
)


def custom_resource_definition() -> Schema:
    """The whole object, as ``kubectl apply`` takes it."""
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": NAME},
        "spec": {
            "group": GROUP,
            "scope": "Cluster",
            "names": {
                "kind": "ImagePolicy",
                "listKind": "ImagePolicyList",
                "plural": "imagepolicies",
                "singular": "imagepolicy",
                "shortNames": ["imgpol"],
            },
            "versions": [
                {
                    "name": VERSION,
                    "served": True,
                    "storage": True,
                    "subresources": {"status": {}},
                    "additionalPrinterColumns": [_column(*column) for column in COLUMNS],
                    "schema": {"openAPIV3Schema": _policy()},
                }
            ],
        },
    }


def guard() -> tuple[Schema, Schema]:
    """A ValidatingAdmissionPolicy that refuses unknown keys and null checks, and its binding."""
    name = {"name": NAME}
    rule = {
        "apiGroups": [GROUP],
        "apiVersions": ["*"],
        "operations": ["CREATE", "UPDATE"],
        "resources": ["imagepolicies"],
    }
    checks = "object.spec.checks"
    null = {
        "expression": f"!has({checks}) || {checks}.all(key, {checks}[key] != null)",
        "message": "spec.checks has a check that is null: write {} to switch it on, "
        "or remove the key",
    }
    known = [_known(path, keys) for path, keys in _keys("object.spec", inspect.type_info(Spec))]
    return (
        {
            "apiVersion": "admissionregistration.k8s.io/v1",
            "kind": "ValidatingAdmissionPolicy",
            "metadata": name,
            "spec": {
                "failurePolicy": "Fail",
                "matchConstraints": {"resourceRules": [rule]},
                "validations": [null, *known],
            },
        },
        {
            "apiVersion": "admissionregistration.k8s.io/v1",
            "kind": "ValidatingAdmissionPolicyBinding",
            "metadata": name,
            "spec": {"policyName": NAME, "validationActions": ["Deny"]},
        },
    )


def _keys(path: str, kind: Any) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Each object below ``path``, lists as ``[]``, with the keys that it may have."""
    if isinstance(kind, inspect.UnionType):
        kind = _present(kind)
    if isinstance(kind, inspect.VarTupleType):
        yield from _keys(f"{path}[]", kind.item_type)
    if isinstance(kind, inspect.StructType):
        yield path, tuple(field.encode_name for field in kind.fields)
        for field in kind.fields:
            yield from _keys(f"{path}.{field.encode_name}", field.type)


def _known(path: str, keys: tuple[str, ...]) -> dict[str, str]:
    """The validation that an object has no other keys, where the object is there at all."""
    allowed = ", ".join(f"'{key}'" for key in keys)
    whole, _, inner = path.partition("[]")
    assert not inner, "a list of objects in a list of objects needs one more all()"
    steps = whole.split(".")
    there = [
        f"has({'.'.join(steps[:end])}) && {'.'.join(steps[:end])} != null"
        for end in range(3, len(steps) + 1)
    ]
    only = f".all(key, key in [{allowed}])"
    test = f"{whole}.all(item, item{only})" if path != whole else f"{whole}{only}"
    return {
        "expression": f"!({' && '.join(there)}) || {test}" if there else test,
        "message": f"{path.removeprefix('object.')} has an unknown field: "
        + (f"there are {', '.join(keys)}" if keys else "there are none"),
    }


def manifest() -> str:
    """All three objects as YAML, for ``kubectl apply``."""
    return "---\n".join(map(yaml_of, (custom_resource_definition(), *guard())))


def yaml_of(document: Schema) -> str:
    """One object as YAML, its keys in the order of the code."""
    return yaml.safe_dump(document, sort_keys=False, width=100, allow_unicode=True)


def _column(name: str, kind: str, path: str, description: str) -> Schema:
    column = {"name": name, "type": kind, "jsonPath": path}
    return {**column, "description": description} if description else column


def _policy() -> Schema:
    said = _said_of_fields(ImagePolicy)
    return {
        "type": "object",
        "description": _words(ImagePolicy.__doc__),
        "required": ["spec"],
        "properties": {
            "apiVersion": {"type": "string", "description": said["api_version"]},
            "kind": {"type": "string", "description": said["kind"]},
            "metadata": {"type": "object"},
            "spec": _schema(inspect.type_info(Spec)) | {"description": said["spec"]},
            "status": _status() | {"description": said["status"]},
        },
    }


def _status() -> Schema:
    """As Kubernetes' own conditions are; slimgate's leading controller writes it."""
    text = {"type": "string", "maxLength": 32768}
    word = {"type": "string", "maxLength": 316}
    number = {"type": "integer", "format": "int64", "minimum": 0}
    properties = {
        "type": word | {"description": "Ready: the newest version is what judges."},
        "status": {
            "type": "string",
            "enum": ["True", "False", "Unknown"],
            "description": "True, False, or Unknown.",
        },
        "reason": word | {"description": "One word: why."},
        "message": text | {"description": "For people: every problem, with the field it is in."},
        "observedGeneration": number | {"description": "metadata.generation this is said of."},
        "lastTransitionTime": {
            "type": "string",
            "format": "date-time",
            "description": "When status changed last.",
        },
    }
    return {
        "type": "object",
        "properties": {
            "observedGeneration": number
            | {"description": "metadata.generation of the version that was read last."},
            "conditions": {
                "type": "array",
                "description": "Ready says whether the newest version could be read.",
                "x-kubernetes-list-type": "map",
                "x-kubernetes-list-map-keys": ["type"],
                "maxItems": 16,
                "items": {
                    "type": "object",
                    "description": "A condition, as of any Kubernetes object.",
                    "required": ["type", "status", "reason", "message", "lastTransitionTime"],
                    "properties": properties,
                },
            },
        },
    }


def _schema(kind: Any) -> Schema:
    """The schema of one type, by what ``msgspec.inspect`` says of it."""
    if isinstance(kind, inspect.UnionType):
        return _schema(_present(kind))
    return _MAKERS.get(type(kind), _scalar)(kind)


def _present(kind: Any) -> Any:
    """None is how the types say absent."""
    return next(one for one in kind.types if not isinstance(one, inspect.NoneType))


def _array(kind: inspect.VarTupleType) -> Schema:
    return {"type": "array", "maxItems": kind.max_length, "items": _schema(kind.item_type)}


def _map(kind: inspect.DictType) -> Schema:
    values = _schema(kind.value_type)
    return {"type": "object", "maxProperties": kind.max_length, "additionalProperties": values}


def _scalar(kind: Any) -> Schema:
    if isinstance(kind, inspect.BoolType):
        return {"type": "boolean"}
    if isinstance(kind, inspect.IntType):
        return {"type": "integer", "minimum": kind.ge, "maximum": kind.le}
    assert isinstance(kind, inspect.StrType), kind
    return dict(_LABEL_VALUES)  # the only strings without a type of their own


def _enum(kind: inspect.EnumType) -> Schema:
    words = [member.value for member in kind.cls]
    return {"type": "string", "enum": words, "description": _words(kind.cls.__doc__)}


def _literal(kind: inspect.LiteralType) -> Schema:
    return {"type": "string", "enum": list(kind.values)}


def _leaf(kind: inspect.CustomType) -> Schema:
    leaf: Any = kind.cls
    schema = {key: value for key, value in leaf.SCHEMA.items() if key != "anyOf"}
    described = {"description": _words(leaf.__doc__), **schema}
    return described | _MORE.get(leaf, {}) | _validations(_LEAVES.get(leaf, ()))


def _object(kind: inspect.StructType) -> Schema:
    said = _said_of_fields(kind.cls)
    properties = {
        field.encode_name: _field(kind.cls, field, said.get(field.name)) for field in kind.fields
    }
    required = [field.encode_name for field in kind.fields if field.required]
    rules = _OBJECTS.get(kind.cls, ())
    return {
        "type": "object",
        "description": _words(kind.cls.__doc__),
        **({"required": required} if required else {}),
        **({"properties": properties} if properties else {}),
        "x-kubernetes-preserve-unknown-fields": True,
        **_validations(rules),
    }


_MAKERS: Mapping[type, Callable[[Any], Schema]] = {
    inspect.StructType: _object,
    inspect.CustomType: _leaf,
    inspect.VarTupleType: _array,
    inspect.DictType: _map,
    inspect.EnumType: _enum,
    inspect.LiteralType: _literal,
}


def _field(kind: type, field: inspect.Field, said: str | None) -> Schema:
    schema = _schema(field.type)
    if kind is Checks:
        # Or the API server would drop a null, and with it the check.
        return schema | {"nullable": True, "description": _said_of_check(field.name)}
    if (kind, field.name) == (Spec, "rules"):
        schema |= {"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"]}
    if (kind, field.name) == (Requirement, "key"):
        schema = dict(_LABEL_KEYS)
    return schema | {"description": said} if said else schema


def _validations(rules: tuple[Rule, ...]) -> Schema:
    if not rules:
        return {}
    return {
        "x-kubernetes-validations": [
            {"rule": expression, "message": message} for expression, message in rules
        ]
    }


def _said_of_check(name: str) -> str:
    """The check's page without its sections on remedies: what ``kubectl explain`` shows."""
    check = next(check for check in ALL if check.name == name)
    page = source_of.cleandoc(sys.modules[check.inspect.__module__].__doc__ or "")
    title, *_ = page.splitlines()
    sections = dict(re.findall(r"^(\w[\w ]*)\n((?:    .*\n|\n)+)", page + "\n", re.MULTILINE))
    options = sections.get("Options", "")
    parts = [title.removeprefix(f"{name}: "), *map(_words, (sections["What it asks"],))]
    if check.options is Options:
        parts.append(f"Options: none, write {name}: {{}}.")
    else:
        parts.append("Options: " + _words(options.replace("- ``", "``")))
    first, *rest = parts
    return " ".join([first[0].upper() + first[1:], *rest])


@cache
def _said_of_fields(kind: type) -> dict[str, str]:
    """Field to the text below it, which Python itself does not keep.

    Of a check's options it is the list in the docstring of the check.
    """
    if issubclass(kind, Options):
        return dict(_said_of_options(sys.modules[kind.__module__].__doc__ or ""))
    if kind is Checks:
        return {}
    (tree,) = ast.parse(source_of.getsource(kind)).body
    assert isinstance(tree, ast.ClassDef)
    said = {}
    for field, text in pairwise(tree.body):
        match field, text:
            case ast.AnnAssign(target=ast.Name(name)), ast.Expr(ast.Constant(str(words))):
                said[name] = _words(words)
    return said


def _said_of_options(page: str) -> Iterator[tuple[str, str]]:
    for names, text in re.findall(r"- ``([\w.]+)``: ((?:.|\n(?! *- |\n))*)", page):
        said = _words(text).rstrip(";.")
        for name in names.split("."):
            snake = re.sub(r"([A-Z])", lambda big: "_" + big[1].lower(), name)
            yield snake, f"{said[0].upper()}{said[1:]}."


def _words(text: str | None) -> str:
    """A docstring as one line of plain words."""
    return " ".join((text or "").replace("``", "").split())
