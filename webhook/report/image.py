"""What is known of an image, on one page: who it runs as, where its bytes are, what it carries."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence

from webhook.image.bases import bases_of, claim_of
from webhook.image.facts import ImageFacts, LayerRef, Program, User
from webhook.report.page import Line, Span, Style
from webhook.report.safe import plural, short_digest, shorten, size

_LABEL = 13
_BAR = 16
"""Characters of the largest layer's bar."""
_EIGHTHS = " ▏▎▍▌▋▊▉█"
_STEP, _SHORT_STEP = 100, 40
"""Characters of a build step, where layers are listed and where programs are."""
_PATH = 40
"""Characters of the widest path that others are lined up with."""
_SHOWN = 12
"""Programs that are listed of a kind; the rest is counted, and whole in the JSON."""


def lines(facts: ImageFacts) -> Iterator[Line]:
    """The page.

    Raises:
        NotRead: the layers were not read yet.
    """
    name = facts.reference.partition("@")[0]
    yield Line((("strong", name), ("dim", f"  {facts.platform}")))
    yield _row("digest", ("", facts.digest))
    if facts.manifest_digest != facts.digest:
        yield _row("manifest", ("", facts.manifest_digest))
    yield _row("user", *_user(facts.files.user))
    yield _row("starts", ("", _command(facts)))
    yield _row("created", ("", facts.config.created or "not said"))
    yield _row("base", ("", _base(facts)))
    yield _row("size", ("", _size(facts)))
    yield from _layers(facts)
    yield from _programs(facts)
    yield from _problems(facts)


def _row(label: str, *body: Span) -> Line:
    return Line((("dim", f"  {label:<{_LABEL}}"),), body)


def _user(user: User) -> Iterator[Span]:
    style: Style = "good" if user.root is False else "bad"
    if user.uid is None:  # its reason says so, in full
        yield style, user.reason
        return
    yield style, f"root (uid {user.uid})" if user.root else f"uid {user.uid}, gid {user.gid}"
    yield "", f": {user.reason}"


def _command(facts: ImageFacts) -> str:
    command = [*(facts.config.entrypoint or ()), *(facts.config.cmd or ())]
    return json.dumps(command, ensure_ascii=False) if command else "nothing: no Entrypoint, no Cmd"


def _base(facts: ImageFacts) -> str:
    bases, claim = bases_of(facts), claim_of(facts.files)
    names = ", ".join(map(str, bases))
    proved = f"{names} (proved by its {bases[0].proof})" if bases else "not proved"
    return f"{proved}, says it is {claim}" if claim else proved


def _size(facts: ImageFacts) -> str:
    unpacked = sum(facts.files.unpacked)
    layers = plural(len(facts.layers), "layer")
    return f"{size(facts.compressed)} compressed, {size(unpacked)} unpacked, {layers}"


def _layers(facts: ImageFacts) -> Iterator[Line]:
    if not facts.layers:
        return
    yield Line()
    yield Line((("strong", f"{'layers':<25}{'compressed':>11}{'unpacked':>11}"),))
    largest = max(facts.files.unpacked, default=0)
    for layer, unpacked in zip(facts.layers, facts.files.unpacked, strict=True):
        yield _layer(layer, unpacked, largest)


def _layer(layer: LayerRef, unpacked: int, largest: int) -> Line:
    figures = f"{size(layer.compressed):>11}{size(unpacked):>11}  "
    return Line(
        (
            ("", f"{layer.index:>4}  "),
            ("dim", short_digest(layer.digest)),
            ("", figures),
            ("unsure", f"{_bar(unpacked, largest):<{_BAR}}  "),
        ),
        (("", shorten(layer.created_by or "(the history does not say)", _STEP)),),
    )


def _bar(value: int, largest: int) -> str:
    eighths = round(value / largest * _BAR * 8) if largest else 0
    return _EIGHTHS[8] * (eighths // 8) + _EIGHTHS[eighths % 8].strip()


def _programs(facts: ImageFacts) -> Iterator[Line]:
    files = facts.files
    kinds: Mapping[str, Sequence[Program]] = {
        "shells": files.shells,
        "package managers": files.package_managers,
        "build tools": files.build_tools,
        "interpreters": files.interpreters,
        "packed": files.packed,
        "setuid": files.setuid,
    }
    yield Line()
    for title, found in kinds.items():
        count: Span = ("bad", f"{len(found):,}") if found else ("good", "none")
        yield Line((("strong", f"{title}: "), count))
        width = min(_PATH, max((len(program.path) for program in found[:_SHOWN]), default=0))
        for program in found[:_SHOWN]:
            yield _program(program, width)
        if len(found) > _SHOWN:
            yield Line((("dim", f"  and {len(found) - _SHOWN:,} more (-o json has them all)"),))


def _program(program: Program, width: int) -> Line:
    how = f"{program.name} by {program.by}"
    if program.target is not None:
        how += f"{' to' if program.by == 'link' else ''} {program.target}"
    step = f", {shorten(program.created_by, _SHORT_STEP)}" if program.created_by else ""
    return Line(
        (("", f"  {program.path:<{width}}  "),),
        (("", f"{how:<28}"), ("dim", f"  layer {program.layer}{step}")),
    )


def _problems(facts: ImageFacts) -> Iterator[Line]:
    for problem in (*facts.problems, *facts.files.problems):
        yield Line((("bad", f"problem: {problem.reason}  "),), (("", problem.detail),))
