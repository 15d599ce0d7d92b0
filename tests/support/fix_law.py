"""The law of fixes: a fix that is a command was run by a test and fixed; any other says by whom, and how to see it.

Every finding that is made while tests run in this process is held to it (tests/conftest.py).
"""

from __future__ import annotations

from typing import get_args

from gpuenv.doctor import finding
from gpuenv.machine import problem

FIXES = "tests/functional/cli/test_fixes.py::test_a_fix_fixes_and_touches_nothing_else"
ABSENT = "tests/functional/cli/test_fixes.py::test_no_environment_is_a_finding_whose_fix_makes_one"
REBUILT = "tests/functional/cli/test_rebuilding_fixes.py::test_what_was_put_into_an_environment_goes_by_its_fix"
MACHINE = "tests/functional/cli/test_rebuilding_fixes.py::test_a_machine_that_changed_gets_its_environment_by_the_fix"
SESSION = "tests/functional/machine/test_session_fixes.py::test_the_fix_of_a_session_fixes_it"

TRIED = {
    "no-environment": ABSENT,
    "code-changed": FIXES,
    "data-changed": FIXES,
    "packages-drifted": FIXES,
    "code-overwritten": FIXES,
    "requirement": FIXES,
    "origin-lost": FIXES,
    "another-python": FIXES,
    "start-up-code": FIXES,
    "installed-twice": FIXES,
    "without-metadata": FIXES,
    "data-overwritten": REBUILT,
    "broken": REBUILT,
    "lock-moved-on": REBUILT,
    "family-drifted": REBUILT,
    "does-not-fit": REBUILT,
    "family-requirement": REBUILT,
    "compiler-requirement": REBUILT,
    "companion-of-another-build": REBUILT,
    "extension-of-another-torch": REBUILT,
    "libraries-left-over": REBUILT,
    "two-compilers": REBUILT,
    "torch-missing": REBUILT,
    "torch-for-amd": REBUILT,
    "torch-for-cpu": MACHINE,
    "torch-for-a-gpu": MACHINE,
    "driver-too-old": MACHINE,
    "no-code": MACHINE,
    "loader-path": SESSION,
    "variable": SESSION,
    "compile-cache": SESSION,
    "mask-hides-all": SESSION,
    "mask-hides-some": SESSION,
    "toolkit": SESSION,
    "libcuda-stub": SESSION,
    "libcuda-older": SESSION,
    "libcuda-newer": SESSION,
}
"""Kinds whose fix is a command for this session, by the test that stages the fault, runs it and sees it gone. Some are
by hand elsewhere: a library in an image, a driver package."""

BY_HAND = frozenset(
    {
        *get_args(problem.Kind),
        "no-wheels-for-libc",
        "driver-unknown",
        "driver-past-the-card",
        "driver-before-the-card",
        "module-closed",
        "nvml-unasked",
        "fabric-down",
        "mig-without-slices",
        "mode-prohibited",
        "mode-exclusive",
        "vgpu-unlicensed",
        "cuda-refuses-the-card",
        "uvm-missing",
        "cuda-ends",
        "cuda-error",
        "cuda-unknown-error",
        "cuda-counts-none",
        "cdi-outdated",
        "mask-outside-the-job",
        "job-without-gpu",
        "driver-untold",
        "code-untold",
        "ptx-only",
        "extension-without-code",
        "extension-of-another-cuda",
        "extension-of-another-python",
        "extension-by-ptx",
        "no-compiler",
        "system-library-missing",
        "no-headers",
        "assembler",
    }
)
"""Kinds that need root, a network, another machine's owner or a choice: no test can run them here."""


def kinds() -> frozenset[str]:
    """Every kind of finding there is."""
    own = {kind for each in get_args(finding.Kind) for kind in (get_args(each) or (each,))}
    return frozenset(own - {"in-order"})


def broken(each: finding.Finding) -> str:
    """What of the law a finding breaks, empty where it keeps it."""
    if each.severity == "ok":
        return "" if each.kind == "in-order" else f"{each.kind} is said to be in order"
    if each.kind == "in-order":
        return f"no kind: {each.summary}"
    if not each.fix:
        return f"no fix: {each.summary}"
    if each.by and not each.check:
        return f"by hand, and nothing says how to see that it worked: {each.summary}"
    if each.kind in BY_HAND and not each.by:
        return f"no test runs it, and nobody is said to do it by hand: {each.summary}"
    return ""
