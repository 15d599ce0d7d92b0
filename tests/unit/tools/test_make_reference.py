"""docs/reference.md says what the code says."""

from __future__ import annotations

import dataclasses
import re
import runpy
from pathlib import Path

from gpuenv.model.profile import Profile, VerificationPlan
from gpuenv.verify import evidence
from support.verify_observed import MACHINE, observed, report_of

ROOT = Path(__file__).resolve().parents[3]
PAGE = (ROOT / "docs" / "reference.md").read_text("utf-8")
TOOL = runpy.run_path(str(ROOT / "tools" / "make_reference.py"))


def first_cells(heading: str) -> set[str]:
    """The first column of a section's table."""
    section = PAGE.split(f"\n## {heading}\n")[1].split("\n## ")[0]
    return set(re.findall(r"^\| `([^`]+)` \|", section, re.MULTILINE))


def test_commands_options_and_exit_codes_are_up_to_date() -> None:
    assert TOOL["renewed"](PAGE) == PAGE, "run python tools/make_reference.py"


def test_every_argument_says_what_it_means() -> None:
    assert re.findall(r"^\| .*\|  \|$", TOOL["commands"](), re.MULTILINE) == []


def test_every_key_of_a_profile_is_told() -> None:
    fields = {field.name for model in (Profile, VerificationPlan) for field in dataclasses.fields(model)}
    keys = {name.replace("_", "-") for name in fields - {"name", "origin", "verification"}}
    assert {cell.rpartition(".")[2] for cell in first_cells("Profile")} == keys


def test_every_command_has_its_data() -> None:
    assert first_cells("JSON") == set(TOOL["verbs"].NAMES)


def test_every_file_of_the_evidence_is_told(tmp_path: Path) -> None:
    about = evidence.About(created="2026-11-22T12:00:00Z", gpuenv="0", command="gpuenv verify", environment="env")
    written = evidence.write(tmp_path, report=report_of(observed()), machine=MACHINE, about=about, smi_text="")
    assert first_cells("Evidence") == {path.name for path in written}
