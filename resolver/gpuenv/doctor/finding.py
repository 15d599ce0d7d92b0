"""One thing the doctor looked at, and what came of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Severity = Literal["ok", "warning", "error"]
"""``error``: torch will not use the GPU, or will fail. ``warning``: it works, and will surprise."""

By = Literal["", "yourself", "the host's owner", "the site's administrator"]
"""Who follows ``fix`` by hand; empty where it is a command to type in this session."""

UNNAMED = "`gpuenv doctor` no longer names it"
"""How to see that most fixes worked."""

_ORDER: dict[Severity, int] = {"error": 0, "warning": 1, "ok": 2}


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """``summary`` is one sentence without a final period, ``detail`` the facts it rests on with where they were read.
    ``fix`` is the one command (or, where no command can, the one act) that fixes it; empty where nothing needs to be
    done. ``by`` says who has to do that by hand, ``check`` how to see that it worked."""

    subject: str
    severity: Severity
    summary: str
    detail: str = ""
    fix: str = ""
    by: By = ""
    check: str = ""


def worst_first(findings: list[Finding]) -> tuple[Finding, ...]:
    """Errors, then warnings, then what is in order; within these as they were found."""
    return tuple(sorted(findings, key=lambda finding: _ORDER[finding.severity]))
