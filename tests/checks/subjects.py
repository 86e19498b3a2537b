"""Subjects for the checks' tables: an image that passes everything, and one thing changed."""

from __future__ import annotations

from datetime import date

from webhook.checks.check import Options, Subject, run
from webhook.image.config import ImageConfig
from webhook.image.facts import Executable, Files, ImageFacts, LayerRef, Program, Programs
from webhook.image.platform import Platform
from webhook.image.reference import Reference
from webhook.image.user import resolve
from webhook.pod import Container, Workload

TODAY = date(2026, 11, 23)
DIGEST = "sha256:" + "d" * 64
LAYER = "sha256:" + "1" * 64
STEP = "COPY --from=build /app /app"
REFERENCE = Reference(registry="registry.test", repository="team/app", tag="1.2")


def layer(compressed: int = 1000, *, index: int = 0, digest: str = LAYER) -> LayerRef:
    """A layer reference."""
    return LayerRef(
        index=index,
        digest=digest,
        diff_id="sha256:" + "2" * 64,
        media_type="application/vnd.oci.image.layer.v1.tar+gzip",
        compressed=compressed,
        created_by=STEP,
    )


def program(path: str, name: str, by: str = "path", target: str | None = None) -> Program:
    """A program in the image's only layer."""
    return Program(
        path=path, name=name, by=by, target=target, layer=0, layer_digest=LAYER, created_by=STEP
    )


def image(
    *,
    os="linux",
    architecture="amd64",
    layers=None,
    contents=None,
    passwd=None,
    read=True,
    user="65532",
    **config,
) -> ImageFacts:
    """An image's facts; ``config`` are fields of its config, ``contents`` of its files."""
    platform = Platform(os=os, architecture=architecture)
    refs = (layer(),) if layers is None else layers
    config = {"entrypoint": ("/app",), "created": "2026-11-01T00:00:00Z", **config}
    files = Files(
        **{
            "user": resolve(user, passwd),
            "unpacked": tuple(2 * ref.compressed for ref in refs),
            "programs": Programs(executables={"/app": Executable(kind="elf", machine="amd64")}),
            **(contents or {}),
        }
    )
    return ImageFacts(
        reference=str(REFERENCE),
        digest=DIGEST,
        manifest_digest=DIGEST,
        platform=platform,
        config=ImageConfig(
            digest=DIGEST,
            platform=platform,
            diff_ids=tuple(ref.diff_id for ref in refs),
            user=user,
            **config,
        ),
        layers=refs,
        contents=files if read else None,
    )


def workload(container: Container, **fields) -> Workload:
    """A pod with one container."""
    return Workload(kind="Pod", name="web", namespace="shop", containers=(container,), **fields)


def subject(facts: ImageFacts | None, *, pod=None, reference=REFERENCE, **container) -> Subject:
    """The subject; ``container`` are fields of the container, ``pod`` of the workload."""
    one = Container(**{"name": "app", "image": "registry.test/team/app:1.2", **container})
    return Subject(
        workload=workload(one, **(pod or {})),
        container=one,
        reference=reference,
        today=TODAY,
        facts=facts,
    )


def found(check, asked: Subject, options: Options | None = None):
    """(reason, detail) of every finding; None where more has to be read first."""
    findings, complete = run(check, asked, check.options() if options is None else options)
    return [(one.reason, one.detail) for one in findings] if complete else None
