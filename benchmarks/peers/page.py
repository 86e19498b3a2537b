"""docs/peers.md, from what the tools said."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

PAGE = Path(__file__).parents[2] / "docs" / "peers.md"
VERDICTS = ("right", "false allow", "false deny", "no answer")

HEAD = """\
# Who sees root

Does a container of this image run as uid 0, where the pod says nothing? Other tools that answer
this are asked of the images of the [catalogue](catalogue.md)'s first chapter that start somewhere.
The page is written by `python -m benchmarks.peers`, which runs the tools:

```console
$ python -m benchmarks.peers.build Dockle Kyverno Trivy   # from Go modules: minutes, and GiB
$ python -m benchmarks.peers --dockle PATH --kyverno PATH --trivy PATH
```

A tool that is not at hand is left out. What counts is its answer, not its reasons:

- **Dockle**: `CIS-DI-0001`, "Create a user for the container". It does not claim to look names up
  in the image's `/etc/passwd`, and has no check for shells, so that is not asked.
- **Kyverno**: `kyverno apply --registry` of a pod of the image and of the ClusterPolicy in
  `benchmarks/peers/tools.py`. It refuses images whose `imageData.configData.config.User` is empty,
  `0` or `root`. That is more than Kyverno's own examples ask for; a policy may list more spellings,
  and none can look into `/etc/passwd`.
- **Trivy**: `DS-0002`, "Image user should not be 'root'", of `trivy image --image-config-scanners
  misconfig` with the checks that are built in. It judges a Dockerfile that it makes of the image's
  history and `User`; the history of these images gives no line of one, so it says nothing where
  there is no `User` either.

The images are borders, not what people deploy: the counts say where a tool's answer ends, not how
often it is wrong in a cluster. slimgate has no row, since the catalogue is its own test; that its
users are right is compared with containerd's code ([the truth](truth.md)).

- **false allow**: it runs as root, and the tool is content.
- **false deny**: it does not, and the tool complains.
- **no answer**: the tool failed, or does not say.
- **seconds**: the median for one image, a process each, everything on one machine.
"""


@dataclass(frozen=True)
class Answer:
    """What a tool said of an image, and how many seconds it took."""

    root: bool | None
    seconds: float


def verdict(*, said: bool | None, root: bool) -> str:
    """One of ``VERDICTS``."""
    if said is None:
        return "no answer"
    if said is root:
        return "right"
    return "false allow" if root else "false deny"


def text(
    truths: Mapping[str, bool],
    answers: Mapping[str, Sequence[Answer]],
    versions: Mapping[str, str],
    left_out: Iterable[str],
) -> str:
    """The whole page; ``answers`` of a tool are in the order of ``truths``."""
    verdicts = {
        tool: [
            verdict(said=one.root, root=root)
            for one, root in zip(given, truths.values(), strict=True)
        ]
        for tool, given in answers.items()
    }
    roots = sum(truths.values())
    lines = [
        HEAD,
        f"Images: {roots} that run as root, {len(truths) - roots} that do not.",
        "",
        _row("tool", "version", *VERDICTS, "seconds"),
        "|---|---|" + "---:|" * (len(VERDICTS) + 1),
    ]
    for tool, given in answers.items():
        counts = Counter(verdicts[tool])
        seconds = f"{median(one.seconds for one in given):.2f}"
        lines.append(_row(tool, versions[tool], *(counts[one] for one in VERDICTS), seconds))
    lines += [
        "",
        *(f"{tool} was not at hand when this was run, and is left out.\n" for tool in left_out),
    ]
    lines += [
        "## By image",
        "",
        _row("image", "root", *answers),
        "|---|---|" + "---|" * len(answers),
    ]
    for number, (name, root) in enumerate(truths.items()):
        said = (verdicts[tool][number] for tool in answers)
        lines.append(_row(name, "yes" if root else "no", *said))
    return "\n".join(lines) + "\n"


def _row(*cells: object) -> str:
    return "| " + " | ".join(map(str, cells)) + " |"
