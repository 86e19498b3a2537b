"""ImagePolicy documents for tests, and the policies made of them."""

from __future__ import annotations

from webhook.judge.load import parse_policies
from webhook.judge.policy import Policy


def text(spec: str, name: str = "test") -> str:
    """A document with this ``spec``, whose first line is line 5."""
    body = "\n".join(f"  {line}" for line in spec.strip("\n").splitlines())
    head = f"apiVersion: slimgate.dev/v1alpha1\nkind: ImagePolicy\nmetadata: {{name: {name}}}"
    return f"{head}\nspec:\n{body}\n"


def policy(spec: str, name: str = "test") -> Policy:
    """The one policy of such a document."""
    (one,) = parse_policies(text(spec, name), "policy.yaml")
    return one
