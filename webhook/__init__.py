"""slimgate: a Kubernetes admission webhook that knows what is inside a container image.

The rooms and what each may know are in docs/architecture.md; import-linter keeps them.
"""

__version__ = "0.1.0"
