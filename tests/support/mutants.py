"""A pytest plugin that switches off one rule of the decision: ``pytest -p support.mutants --mutant driver``.

A test that still passes with a rule switched off does not hold that rule. ``tests/mutation.py`` counts those that fail.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from gpuenv.knowledge import Knowledge
from gpuenv.knowledge.rules import Support
from gpuenv.select import completeness, family, kernels, rules
from gpuenv.select.target import Refusal

Patch = pytest.MonkeyPatch


def no_kernel_rule(patch: Patch) -> None:
    """Every wheel is said to have native code for every GPU."""
    patch.setattr(Knowledge, "serve", lambda *_, **__: Support(support="native", by="sm_00"))
    patch.setattr(kernels, "_first_cuda", lambda *_: None)


def no_driver_rule(patch: Patch) -> None:
    """Every driver is said to run every variant."""
    judge = rules.check_driver

    def lenient(case: Any, variant: str) -> rules.DriverVerdict:
        return replace(judge(case, variant), refusal=None)

    _everywhere(patch, "check_driver", lenient)


def no_companion_rule(patch: Patch) -> None:
    """Any torchvision is said to go with any torch."""
    patch.setattr(family, "_conflict", lambda *_: "")


def no_build_rule(patch: Patch) -> None:
    """A companion of any CUDA is said to go with torch of any other."""
    patch.setattr(family, "_apart", lambda *_: "")


def no_completeness(patch: Patch) -> None:
    """The newest variant of a release is taken however little of the family is there for it."""
    patch.setattr(completeness, "_equal", lambda *_: False)


def no_minor_version_rule(patch: Patch) -> None:
    """A driver is said to run only what was built for a CUDA it knows."""
    judge = rules.check_driver

    def strict(case: Any, variant: str) -> rules.DriverVerdict:
        verdict = judge(case, variant)
        if verdict.full or verdict.refusal is not None:
            return verdict
        return replace(verdict, refusal=Refusal("driver", "needs a driver that knows its CUDA"))

    _everywhere(patch, "check_driver", strict)


def no_preference_for_full_support(patch: Patch) -> None:
    """Variants the driver knows are said to be no better than those it does not."""
    judge = rules.check_driver

    def flat(case: Any, variant: str) -> rules.DriverVerdict:
        return replace(judge(case, variant), full=True)

    _everywhere(patch, "check_driver", flat)


def _everywhere(patch: Patch, name: str, value: Callable[..., object]) -> None:
    from gpuenv.select import nothing, rank, words

    for module in (rules, kernels, rank, words, nothing):
        if hasattr(module, name):
            patch.setattr(module, name, value)


MUTANTS: dict[str, Callable[[Patch], None]] = {
    "kernel": no_kernel_rule,
    "driver": no_driver_rule,
    "companion": no_companion_rule,
    "build": no_build_rule,
    "complete": no_completeness,
    "minor-version": no_minor_version_rule,
    "full-first": no_preference_for_full_support,
}


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--mutant", choices=sorted(MUTANTS), help="switch off one rule of the decision")


@pytest.fixture(autouse=True, scope="session")
def mutant(request: pytest.FixtureRequest) -> Any:
    name = request.config.getoption("--mutant")
    with pytest.MonkeyPatch.context() as patch:
        if name:
            MUTANTS[name](patch)
        yield
