"""One thing the doctor looked at, and what came of it."""

from __future__ import annotations

from typing import Literal

from gpuenv.dataclass import dataclass
from gpuenv.machine import problem

Severity = Literal["ok", "warning", "error"]
"""``error``: torch will not use the GPU, or will fail. ``warning``: it works, and will surprise."""

By = Literal["", "yourself", "the host's owner", "the site's administrator"]
"""Who follows ``fix`` by hand; empty where it is a command to type in this session."""

OwnKind = Literal[
    "in-order",
    # the machine
    "no-wheels-for-libc", "driver-unknown", "driver-past-the-card", "driver-before-the-card", "module-closed",
    "nvml-unasked", "fabric-down", "mig-without-slices", "mode-prohibited", "mode-exclusive", "vgpu-unlicensed",
    "cuda-refuses-the-card", "uvm-missing", "cuda-ends", "cuda-error", "cuda-unknown-error", "cuda-counts-none",
    # the library that CUDA programs get
    "libcuda-stub", "libcuda-older", "libcuda-newer", "cdi-outdated",
    # the session and the job
    "mask-hides-all", "mask-hides-some", "mask-outside-the-job", "job-without-gpu", "loader-path", "variable",
    "compile-cache",
    # the environment's files
    "no-environment", "start-up-code", "broken", "code-changed", "data-changed", "code-overwritten",
    "data-overwritten", "another-python", "system-library-missing",
    # what it was built from
    "origin-lost", "lock-moved-on", "family-drifted", "packages-drifted",
    # the set of packages
    "installed-twice", "without-metadata", "does-not-fit", "family-requirement", "compiler-requirement",
    "requirement", "companion-of-another-build", "extension-of-another-torch", "libraries-left-over", "two-compilers",
    # torch, extensions and the cards
    "torch-missing", "torch-for-amd", "torch-for-cpu", "torch-for-a-gpu", "driver-too-old", "driver-untold",
    "code-untold", "no-code", "ptx-only", "extension-without-code", "extension-by-ptx",
    "extension-of-another-cuda", "extension-of-another-python",
    # torch.compile
    "no-compiler", "no-headers", "assembler", "toolkit",
]  # fmt: skip
Kind = problem.Kind | OwnKind
"""Stable names of what can be wrong, one for each thing to do about it. Those of a driver are the machine's own."""

UNNAMED = "`gpuenv doctor` no longer names it"
"""How to see that most fixes worked."""

_ORDER: dict[Severity, int] = {"error": 0, "warning": 1, "ok": 2}


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """``summary`` is one sentence without a final period, ``detail`` the facts it rests on with where they were read.
    ``kind`` is the stable name of what is wrong, ``in-order`` where nothing is.
    ``fix`` is the one command (or, where no command can, the one act) that fixes it; empty where nothing needs to be
    done. ``by`` says who has to do that by hand, ``check`` how to see that it worked."""

    subject: str
    severity: Severity
    summary: str
    kind: Kind = "in-order"
    detail: str = ""
    fix: str = ""
    by: By = ""
    check: str = ""


def worst_first(findings: list[Finding]) -> tuple[Finding, ...]:
    """Errors, then warnings, then what is in order; within these as they were found."""
    return tuple(sorted(findings, key=lambda finding: _ORDER[finding.severity]))
