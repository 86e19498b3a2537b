"""The checks, one file each. ``ALL`` lists them in the order in which they are asked and shown."""

from __future__ import annotations

from webhook.checks import (
    age,
    base,
    no_build_tools,
    no_interpreter,
    no_package_manager,
    no_setuid,
    no_shell,
    non_root,
    reference,
    runnable,
    size,
)
from webhook.checks.check import Check

ALL: tuple[Check, ...] = (
    non_root.CHECK,
    no_shell.CHECK,
    no_package_manager.CHECK,
    no_build_tools.CHECK,
    no_interpreter.CHECK,
    no_setuid.CHECK,
    size.CHECK,
    age.CHECK,
    reference.CHECK,
    base.CHECK,
    runnable.CHECK,
)
