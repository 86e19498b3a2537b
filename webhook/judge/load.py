"""Policy files to policies: every fault at once, each with file and line.

A file holds one ImagePolicy or several, exactly as ``kubectl apply`` takes them. Of a folder
``*.yaml`` and ``*.yml`` are read, not recursive, entries that begin with a dot left out (a
mounted ConfigMap keeps its old versions in such). PolicyTest documents (``judge/cases.py``) may
stand beside the policies they test.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from webhook.errors import PolicyError
from webhook.judge.decode import decode
from webhook.judge.document import ImagePolicy
from webhook.judge.nodes import MAX_BYTES, Node, read
from webhook.judge.policy import Policy

BUILTIN = ("audit-everything", "nonroot", "distroless-nonroot", "debuggable")
"""The policies that come with slimgate."""

_ROOT = Path(__file__).resolve().parent.parent
_SUFFIXES = frozenset({".yaml", ".yml"})


def parse_policies(text: str, source: str) -> tuple[Policy, ...]:
    """Read all policies of a text.

    Args:
        text: YAML or JSON, one document or several.
        source: how faults name it: a file.

    Raises:
        PolicyError: with every fault of every document.
    """
    return _policies([(source, node) for node in read(text, source)], source)


def load_policies(path: Path) -> tuple[Policy, ...]:
    """Read a policy file, or all of a folder.

    Raises:
        PolicyError: with every fault of every file; also where there is no policy at all, or
            two of one name.
    """
    documents: list[tuple[str, Node]] = []
    faults: list[str] = []
    for file in _files(path):
        try:
            documents.extend((str(file), node) for node in read(text_of(file), str(file)))
        except PolicyError as error:
            faults.extend(error.problems)
    try:
        policies = _policies(documents, str(path))
    except PolicyError as error:
        faults.extend(error.problems)
    if faults:
        raise PolicyError(tuple(faults))
    return policies


def builtin(name: str) -> Path:
    """The file of a policy that comes with slimgate.

    Raises:
        PolicyError: there is none of that name.
    """
    if name in BUILTIN:
        # A wheel carries them in the package; a checkout beside it.
        for folder in (_ROOT / "policies", _ROOT.parent / "policies"):
            if (file := folder / f"{name}.yaml").is_file():
                return file
    raise PolicyError((f"{name}: is no file, and no policy of slimgate: {', '.join(BUILTIN)}",))


def _policies(documents: Iterable[tuple[str, Node]], source: str) -> tuple[Policy, ...]:
    policies: dict[str, Policy] = {}
    faults: list[str] = []
    for file, node in documents:
        if _is_test(node):
            continue
        try:
            policy = Policy.of(decode(node, ImagePolicy, file))
        except PolicyError as error:
            faults.extend(error.problems)
            continue
        if policy.name in policies:
            faults.append(f"{file}:{node.line}: metadata.name: there are two of {policy.name}")
        policies[policy.name] = policy
    if not policies and not faults:
        faults.append(f"{source}: holds no ImagePolicy")
    if faults:
        raise PolicyError(tuple(faults))
    return tuple(policies.values())


def _is_test(node: Node) -> bool:
    kind = node.value.get("kind") if isinstance(node.value, dict) else None
    return kind is not None and kind.value == "PolicyTest"


def _files(path: Path) -> list[Path]:
    if not path.is_dir():
        return [path]
    try:
        entries = sorted(path.iterdir())
    except OSError as error:
        raise PolicyError((f"{path}: cannot be read: {error.strerror}",)) from error
    return [
        file
        for file in entries
        if file.suffix in _SUFFIXES and not file.name.startswith(".") and file.is_file()
    ]


def text_of(file: Path) -> str:
    """The text of a policy or test file. Raises ``PolicyError``."""
    try:
        with file.open("rb") as stream:
            data = stream.read(MAX_BYTES + 1)
    except OSError as error:
        raise PolicyError((f"{file}: cannot be read: {error.strerror}",)) from error
    if len(data) > MAX_BYTES:
        raise PolicyError((f"{file}: is larger than {MAX_BYTES} bytes",))
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise PolicyError((f"{file}: is no UTF-8",)) from error
