"""A hint names the environment it is about, and is never what was just done."""

from __future__ import annotations

import dataclasses
import os

import pytest

from gpuenv.model.verification import Check
from gpuenv.verify.causes import DOCTOR, EXPLAIN, RECREATE, TRACE, UPGRADE, Hints, hints_of

VERIFY = Hints(profile="hopper", environment=".venv-gpu")
CREATE = dataclasses.replace(VERIFY, doing="create", fresh=True)
OTHER = dataclasses.replace(VERIFY, environment="envs/my env", named=True)
FOREIGN = dataclasses.replace(OTHER, profile="", ours=False)
KEPT = dataclasses.replace(CREATE, kept=".venv-gpu.failed")


@pytest.mark.parametrize(
    ("hints", "hint", "typed"),
    [
        (VERIFY, RECREATE, "gpuenv create --profile hopper"),
        (VERIFY, UPGRADE, "gpuenv lock --upgrade --profile hopper"),
        (VERIFY, DOCTOR, "gpuenv doctor .venv-gpu"),
        (VERIFY, TRACE, "NCCL_DEBUG=INFO gpuenv verify .venv-gpu"),
        (OTHER, RECREATE, "gpuenv create --profile hopper 'envs/my env'"),
        (OTHER, DOCTOR, "gpuenv doctor 'envs/my env'"),
        (FOREIGN, RECREATE, "gpuenv doctor 'envs/my env'"),  # gpuenv does not replace what it did not build
        (FOREIGN, UPGRADE, "gpuenv doctor 'envs/my env'"),
        (CREATE, RECREATE, "gpuenv create --keep-failed --profile hopper"),
        (CREATE, UPGRADE, "gpuenv resolve --explain --profile hopper"),  # the newest was chosen a minute ago
        (dataclasses.replace(CREATE, fresh=False), UPGRADE, "gpuenv lock --upgrade --profile hopper"),
        (CREATE, EXPLAIN, "gpuenv resolve --explain --profile hopper"),
        (CREATE, DOCTOR, "gpuenv doctor"),  # the environment is gone: what is left to look at is the machine
        (CREATE, TRACE, "NCCL_DEBUG=INFO gpuenv create --profile hopper"),
        (KEPT, RECREATE, "gpuenv doctor .venv-gpu.failed"),
        (KEPT, DOCTOR, "gpuenv doctor .venv-gpu.failed"),
        (CREATE, "sudo reboot", "sudo reboot"),
        (VERIFY, "", ""),
    ],
)
def test_a_hint_is_typed_as_it_stands(hints: Hints, hint: str, typed: str) -> None:
    assert hints.spelled(hint) == (typed.replace("'", '"') if os.name == "nt" else typed)


def test_what_only_warns_leaves_the_environment_for_the_doctor() -> None:
    assert CREATE.spelled(DOCTOR, stands=True) == "gpuenv doctor .venv-gpu"


def test_one_command_for_several_checks_is_said_once() -> None:
    def check(title: str, hint: str) -> Check:
        return Check(name=title, title=title, status="failed", seen="", expected="", hint=hint)

    said = hints_of([check("Import", "free -h"), check("Speed", ""), check("Training", "free -h")])
    assert said == ("For Import, Training: `free -h`",)
