"""One module a verb: ``configure`` its parser, ``run`` the command, show its outcome as ``data`` or ``text``.

The modules load nothing heavy: a command's room is imported inside ``run``. ``EXAMPLES`` are pairs of a command that
can be typed and what it is for; the first line of the module's docstring says what the verb does.
"""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from types import ModuleType

NAMES = (
    "detect", "resolve", "lock", "create", "verify", "add", "remove", "run", "list", "kernel", "export", "doctor",
    "inspect", "matrix", "profiles", "diff", "check", "fleet", "evidence", "store", "cache", "completions", "help",
)  # fmt: skip
"""Every verb, in the order of the help."""


def load(names: Sequence[str] = NAMES) -> dict[str, ModuleType]:
    """Load the modules of verbs, in the order of the help."""
    return {name: importlib.import_module(f"gpuenv.cli.verbs.{name}") for name in names}
