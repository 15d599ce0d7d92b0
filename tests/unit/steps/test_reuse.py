"""Which earlier proof still holds, and what is said where it does not."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from gpuenv import __version__
from gpuenv.installed.compare import Compared
from gpuenv.installed.marker import Marker
from gpuenv.model.machine import Driver
from gpuenv.model.profile import Profile, VerificationPlan
from gpuenv.report import Silent
from gpuenv.steps.context import Context, Options
from gpuenv.steps.machine import TargetMachine
from gpuenv.steps.proof import Proof
from gpuenv.steps.reuse import Standing, earlier_proof
from gpuenv.verify import evidence
from gpuenv.verify.causes import Hints
from gpuenv.verify.earlier import EarlierProof
from gpuenv.verify.probes import OwnProbe
from support.verify_observed import MACHINE, observed, report_of

PROFILE = Profile(name="hopper", description="", origin="", accelerator="cuda", packages=("torch",))
ABOUT = evidence.About(
    created="2026-11-22T12:00:00Z", gpuenv=__version__, command="gpuenv verify", environment=".venv-gpu",
    profile="hopper", lock_sha256="ab" * 32, plan=PROFILE.verification, gpus=tuple(gpu.uuid for gpu in MACHINE.gpus),
)  # fmt: skip
NEWER = Driver(version="999.1", cuda="13.0", source="nvml")
OTHER = replace(MACHINE.gpus[0], uuid="GPU-of-another-card")


def proof(folder: Path, **changes: Any) -> Proof:  # Any: a field of Proof
    context = Context(
        environ={}, project=folder, cache=folder, state=folder, config=folder, reporter=Silent(), options=Options()
    )
    made = Proof(
        context=context, machine=TargetMachine(facts=MACHINE, here=True), profile=PROFILE, lock=None, lock_name="",
        folder=folder / "evidence/hopper", target=folder / ".venv-gpu", hints=Hints(),
    )  # fmt: skip
    return replace(made, **changes)


def standing(created: str = "2026-11-22T11:00:00Z") -> Standing:
    marker = Marker(
        gpuenv="0", uv="0", python="3.12", profile="hopper", lock="ab" * 32, lock_name="pylock.hopper.toml",
        created=created, packages=(),
    )  # fmt: skip
    return Standing(path=Path(), marker=marker, compared=Compared(differences=(), notes=(), files=0, hashed=0))


def write(made: Proof, about: evidence.About = ABOUT, *, folder: Path | None = None) -> Path:
    place = folder or made.folder
    evidence.write(place, report=report_of(observed()), machine=MACHINE, about=about, smi_text="")
    return place / "evidence.json"


def test_a_proof_of_the_same_holds(tmp_path: Path) -> None:
    made = proof(tmp_path)
    write(made)
    found = earlier_proof(made, standing())
    assert isinstance(found, EarlierProof)
    assert (found.verdict, found.created) == ("passed", "2026-11-22T12:00:00Z")


@pytest.mark.parametrize(
    ("about", "circumstances", "why"),
    [
        ({"gpuenv": "0.0.1"}, {}, f"gpuenv changed 0.0.1 → {__version__}"),
        ({"plan": replace(VerificationPlan(), steps=99)}, {}, "what hopper asks of a proof changed"),
        ({"plan": None}, {}, "its evidence does not say what was asked of it"),
        ({"environment": "other"}, {}, "the evidence in evidence/hopper is that of other"),
        ({"lock_sha256": "cd" * 32}, {}, "the evidence in evidence/hopper is of another lock"),
        ({"created": "2026-11-22T10:00:00Z"}, {}, "it was built after its last proof"),
        ({"gpus": ()}, {}, f"GPUs changed none → {MACHINE.gpus[0].name}"),
        ({}, {"driver": NEWER}, f"driver changed {MACHINE.driver and MACHINE.driver.version} → 999.1"),
        ({}, {"libc": "glibc 2.17"}, f"system changed linux x86_64, {MACHINE.libc} → linux x86_64, glibc 2.17"),
        ({}, {"gpus": (OTHER, *MACHINE.gpus[1:])}, f"another {MACHINE.gpus[0].name}"),
    ],
)
def test_what_differs_is_said(tmp_path: Path, about: dict[str, Any], circumstances: dict[str, Any], why: str) -> None:
    made = proof(tmp_path, machine=TargetMachine(facts=replace(MACHINE, **circumstances), here=True))
    write(made, replace(ABOUT, **about))
    assert earlier_proof(made, standing()) == why


def test_a_probe_that_it_was_not_asked_is_asked(tmp_path: Path) -> None:
    own = OwnProbe(project="mine", function="/p.py:probe", said="p.py:probe")
    made = proof(tmp_path, probes=(own,))
    path = write(made)
    assert earlier_proof(made, standing()) == "the project has another probe for mine"
    value = json.loads(path.read_text())
    value["checks"].append({**value["checks"][0], "name": "probe-mine", "expected": own.proves})
    path.write_text(json.dumps(value))
    assert isinstance(earlier_proof(made, standing()), EarlierProof)


def test_evidence_that_is_missing_failed_or_no_evidence_proves_nothing(tmp_path: Path) -> None:
    made = proof(tmp_path)
    assert earlier_proof(made, standing()) == "there is no evidence in evidence/hopper"
    path = write(made)
    failed = write(made, replace(ABOUT, created="2026-11-22T13:00:00Z"), folder=tmp_path / "evidence/hopper.failed")
    failed.write_text(json.dumps(json.loads(failed.read_text()) | {"verdict": "failed"}))
    assert earlier_proof(made, standing()) == "its last proof failed"
    failed.unlink()
    failed = write(made, replace(ABOUT, created="2026-11-22T13:00:00Z"), folder=tmp_path / "evidence/verify-venv-gpu")
    again = earlier_proof(made, standing())
    assert isinstance(again, EarlierProof)
    assert (again.created, again.folder.name) == ("2026-11-22T13:00:00Z", "verify-venv-gpu")  # by `verify`, since
    failed.write_text(json.dumps(json.loads(failed.read_text()) | {"verdict": "failed"}))
    assert earlier_proof(made, standing()) == "its last proof failed"
    failed.unlink()
    value = json.loads(path.read_text())
    path.write_text(json.dumps(value | {"verdict": "failed"}))
    assert earlier_proof(made, standing()) == "its last proof failed"
    for text in ("{", "[]", json.dumps(value | {"about": 1}), json.dumps(value | {"machine": {"gpus": 1}})):
        path.write_text(text)
        assert str(earlier_proof(made, standing())).startswith("its evidence cannot be read: "), text
