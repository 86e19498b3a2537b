"""``slimgate certs``: what certificates say, and to have them renewed."""

from __future__ import annotations

import click


@click.group("certs")
def command() -> None:
    """Show certificates, and have them renewed."""
