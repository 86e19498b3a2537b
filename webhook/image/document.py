"""Image facts as the JSON document of ``slimgate inspect``: what scripts and CEL rules see.

Its keys are a contract (``SCHEMA_VERSION``): they are added to, never renamed. Absent values
are null; paths are absolute; ``layer`` counts from 0; sizes are bytes. ``facts_of`` goes the
other way, as far as a document tells, for the tests that people write for their policies.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Literal

import msgspec

from webhook.errors import UsageError
from webhook.image.bases import bases_of, claim_of
from webhook.image.config import ImageConfig
from webhook.image.facts import (
    SCHEMA_VERSION,
    By,
    Executable,
    Files,
    ImageFacts,
    LayerRef,
    Problem,
    Program,
    Programs,
    User,
)
from webhook.image.platform import Platform
from webhook.image.user import resolve

_NO_DIGEST = "sha256:" + "0" * 64
_PASSWD = b"root:x:0:0:::\nnobody:x:65534:65534:::\nnonroot:x:65532:65532:::\n"


def document(facts: ImageFacts) -> dict[str, Any]:
    """The whole document, of lists and dicts only.

    Raises:
        NotRead: the layers were not read yet.
    """
    contents = facts.files
    config = facts.config
    return {
        "schemaVersion": SCHEMA_VERSION,
        "reference": facts.reference,
        "digest": facts.digest,
        "manifestDigest": facts.manifest_digest,
        "platform": str(facts.platform),
        "user": _user(contents.user),
        "shells": _programs(contents.shells),
        "packageManagers": _programs(contents.package_managers),
        "buildTools": _programs(contents.build_tools),
        "interpreters": _programs(contents.interpreters),
        "packed": _programs(contents.packed),
        "setuid": _programs(contents.setuid),
        "size": {
            "compressed": facts.compressed,
            "unpacked": sum(contents.unpacked),
            "layers": [
                _layer(layer, size)
                for layer, size in zip(facts.layers, contents.unpacked, strict=True)
            ],
        },
        "created": config.created,
        "entrypoint": _words(config.entrypoint),
        "cmd": _words(config.cmd),
        "base": _base(facts),
        "labels": dict(config.labels),
        "problems": [_problem(problem) for problem in (*facts.problems, *contents.problems)],
    }


def _user(user: User) -> dict[str, Any]:
    return {
        "declared": user.declared,
        "uid": user.uid,
        "gid": user.gid,
        "root": user.root,
        "reason": user.reason,
    }


def _programs(programs: Iterable[Program]) -> list[dict[str, Any]]:
    return [
        {
            "path": program.path,
            "name": program.name,
            "by": program.by,
            "target": program.target,
            "layer": program.layer,
            "layerDigest": program.layer_digest,
            "createdBy": program.created_by,
        }
        for program in programs
    ]


def _layer(layer: LayerRef, unpacked: int) -> dict[str, Any]:
    return {
        "digest": layer.digest,
        "diffId": layer.diff_id,
        "compressed": layer.compressed,
        "unpacked": unpacked,
        "createdBy": layer.created_by,
    }


def _base(facts: ImageFacts) -> dict[str, Any]:
    """``name`` only where it is proved; ``claim`` is what the image says of itself."""
    base = next(iter(bases_of(facts)), None)
    return {
        "name": base.name if base else None,
        "version": base.version if base else None,
        "proof": base.proof if base else None,
        "claim": claim_of(facts.files),
    }


def _words(words: tuple[str, ...] | None) -> list[str] | None:
    return None if words is None else list(words)


def _problem(problem: Problem) -> dict[str, str]:
    return {"reason": problem.reason, "detail": problem.detail}


class _Partial(
    msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="camel", kw_only=True
):
    """Part of the document; what is left out is as in an image that passes every check."""


class _User(_Partial, frozen=True):
    declared: str = "65532"
    uid: int | None = None
    gid: int | None = None
    root: bool | msgspec.UnsetType | None = msgspec.UNSET
    """Left out: what ``declared`` comes to with the /etc/passwd of a distroless image."""
    reason: str = "as the test says"


class _Program(_Partial, frozen=True):
    path: str
    name: str
    by: By = "path"
    target: str | None = None
    layer: int = 0
    layer_digest: str = _NO_DIGEST
    created_by: str | None = None


class _Layer(_Partial, frozen=True):
    digest: str = _NO_DIGEST
    diff_id: str = _NO_DIGEST
    compressed: int = 0
    unpacked: int = 0
    created_by: str | None = None


class _Size(_Partial, frozen=True):
    compressed: int | None = None
    """Only where ``layers`` is empty: then it is that of the one layer."""
    unpacked: int | None = None
    layers: tuple[_Layer, ...] = ()


class _Problem(_Partial, frozen=True):
    reason: str
    detail: str


class _Facts(_Partial, frozen=True):
    schema_version: Literal[1] = 1
    reference: str = f"registry.example/app@{_NO_DIGEST}"
    digest: str = _NO_DIGEST
    manifest_digest: str = _NO_DIGEST
    platform: str = "linux/amd64"
    user: _User = _User()
    shells: tuple[_Program, ...] = ()
    package_managers: tuple[_Program, ...] = ()
    build_tools: tuple[_Program, ...] = ()
    interpreters: tuple[_Program, ...] = ()
    packed: tuple[_Program, ...] = ()
    setuid: tuple[_Program, ...] = ()
    size: _Size = _Size()
    created: str | None = None
    entrypoint: tuple[str, ...] | None = ("/app",)
    cmd: tuple[str, ...] | None = None
    base: Any = None
    """Not read: it follows from the layers."""
    labels: dict[str, str] = {}
    problems: tuple[_Problem, ...] = ()


def facts_of(partial: Any) -> ImageFacts:
    """Facts as far as a document, or a part of one, tells them.

    A program that ``entrypoint`` or ``cmd`` names by its path is taken to be there and to run.

    Raises:
        ValueError: it is no part of such a document; the text says where.
    """
    try:
        given = msgspec.convert(partial, _Facts)
        platform = Platform.parse(given.platform)
    except (msgspec.ValidationError, UsageError) as error:
        raise ValueError(str(error)) from error
    layers = given.size.layers or (
        _Layer(compressed=given.size.compressed or 0, unpacked=given.size.unpacked or 0),
    )
    return ImageFacts(
        reference=given.reference,
        digest=given.digest,
        manifest_digest=given.manifest_digest,
        platform=platform,
        config=ImageConfig(
            digest=_NO_DIGEST,
            platform=platform,
            diff_ids=tuple(layer.diff_id for layer in layers),
            user=given.user.declared,
            entrypoint=given.entrypoint,
            cmd=given.cmd,
            labels=given.labels,
            created=given.created,
        ),
        layers=tuple(_layer_ref(index, layer) for index, layer in enumerate(layers)),
        contents=_contents(given, layers),
    )


def _contents(given: _Facts, layers: tuple[_Layer, ...]) -> Files:
    words = (given.entrypoint or ())[:1] + (given.cmd or ())[:1]
    return Files(
        user=_user_of(given.user),
        shells=_told(given.shells),
        package_managers=_told(given.package_managers),
        build_tools=_told(given.build_tools),
        interpreters=_told(given.interpreters),
        packed=_told(given.packed),
        setuid=_told(given.setuid),
        unpacked=tuple(layer.unpacked for layer in layers),
        programs=Programs(executables={word: Executable(kind="elf") for word in words}),
        problems=tuple(
            Problem(reason=problem.reason, detail=problem.detail) for problem in given.problems
        ),
    )


def _user_of(given: _User) -> User:
    if given.root is msgspec.UNSET:
        return resolve(given.declared, _PASSWD)
    return User(**msgspec.structs.asdict(given))


def _told(programs: Iterable[_Program]) -> tuple[Program, ...]:
    return tuple(Program(**msgspec.structs.asdict(program)) for program in programs)


def _layer_ref(index: int, layer: _Layer) -> LayerRef:
    return LayerRef(
        index=index,
        digest=layer.digest,
        diff_id=layer.diff_id,
        media_type="application/vnd.oci.image.layer.v1.tar+gzip",
        compressed=layer.compressed,
        created_by=layer.created_by,
    )
