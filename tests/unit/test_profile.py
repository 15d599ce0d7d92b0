"""Profiles: what the bundled ones say, and what is said about broken ones."""

from __future__ import annotations

from pathlib import Path

import pytest

from gpuenv import profile as profiles
from gpuenv.errors import ConfigurationError, UsageError
from gpuenv.model.machine import ComputeCapability
from gpuenv.system.files import read_text

ELEVEN = {
    "ada",
    "ampere",
    "auto",
    "blackwell",
    "cpu",
    "hopper",
    "m40",
    "maxwell",
    "pascal",
    "turing",
    "volta",
}


def test_the_eleven_are_bundled_and_readable(tmp_path: Path) -> None:
    found = profiles.find_all(project=tmp_path, user=tmp_path)
    assert {row.name for row in found} == ELEVEN
    for row in found:
        profile = profiles.load(row.name, project=tmp_path, user=tmp_path, read=read_text)
        assert profile.origin == f"bundled:{row.name}"
        assert profile.environment == ".venv-gpu"


def test_m40_is_the_set_of_that_evening(tmp_path: Path) -> None:
    profile = profiles.load("m40", project=tmp_path, user=tmp_path, read=read_text)
    assert profile.packages[0] == "torch==2.11.0.dev20260102+cu128"
    assert profile.channel == "nightly"


def test_every_capability_of_a_generation_belongs_to_one_profile(tmp_path: Path) -> None:
    seen: dict[ComputeCapability, str] = {}
    for name in ELEVEN - {"m40", "auto", "cpu"}:
        for capability in profiles.load(name, project=tmp_path, user=tmp_path, read=read_text).compute_capabilities:
            assert capability not in seen, f"{capability} is in {name} and {seen[capability]}"
            seen[capability] = name
    assert seen[ComputeCapability(12, 0)] == "blackwell"


def test_project_wins_over_user_over_bundled(tmp_path: Path) -> None:
    for folder, text in (("project", "project's"), ("user", "user's")):
        path = tmp_path / folder / "profiles" / "hopper.toml"
        path.parent.mkdir(parents=True)
        path.write_text(f'description = "{text}"\npackages = ["torch"]\n')
    project, user = tmp_path / "project", tmp_path / "user"
    assert profiles.load("hopper", project=project, user=user, read=read_text).description == "project's"
    row = next(row for row in profiles.find_all(project=project, user=user) if row.name == "hopper")
    assert row.kind == "project"
    assert len(row.hides) == 2
    assert profiles.load("hopper", project=tmp_path, user=user, read=read_text).description == "user's"


BROKEN = {
    "unknown key": ('description = "x"\npackages = ["torch"]\npakages = []\n', "p.toml:3: pakages: is not a key"),
    "unknown key in a table": (
        'description = "x"\npackages = ["torch"]\n[machine]\ncompute-capability = ["9.0"]\n',
        "p.toml:4: machine.compute-capability: is not a key",
    ),
    "wrong type": ('description = "x"\npackages = "torch"\n', "p.toml:2: packages: must be a list"),
    "no torch": ('description = "x"\npackages = ["numpy"]\n', "p.toml:2: packages: does not name torch"),
    "a URL": ('description = "x"\npackages = ["torch @ https://e.invalid/t.whl"]\n', "names a URL"),
    "bad requirement": ('description = "x"\npackages = ["torch=="]\n', "is not a requirement"),
    "bad capability": (
        'description = "x"\npackages = ["torch"]\n[machine]\ncompute-capabilities = ["9"]\n',
        "p.toml:4: machine.compute-capabilities: not a compute capability: '9'",
    ),
    "bad python": ('description = "x"\npackages = ["torch"]\npython = "three"\n', "p.toml:3: python:"),
    "outside": ('description = "x"\npackages = ["torch"]\nenvironment = "../x"\n', "p.toml:3: environment:"),
    "bad steps": (
        'description = "x"\npackages = ["torch"]\n[verification]\nsteps = 0\n',
        "p.toml:4: verification.steps: must be a whole number from 2",
    ),
    "the project itself": ('description = "x"\npackages = ["torch"]\nenvironment = "."\n', "p.toml:3: environment:"),
    "a bound that bounds nothing": (
        'description = "x"\npackages = ["torch"]\n[verification]\nloss-below = inf\n',
        "p.toml:4: verification.loss-below: must be a finite number",
    ),
    "a driver in other digits": (
        'description = "x"\npackages = ["torch"]\n[machine]\nleast-driver = "١٢"\n',
        "p.toml:4: machine.least-driver: must be a driver version",
    ),
    "a bound that no float holds": (
        'description = "x"\npackages = ["torch"]\n[verification]\nloss-below = 1' + "0" * 400 + "\n",
        "p.toml:4: verification.loss-below: must be a finite number",
    ),
    "no table": ('description = "x"\npackages = ["torch"]\nmachine = 3\n', "p.toml:3: machine: must be a table"),
    "missing": ('packages = ["torch"]\n', "p.toml: description: is missing"),
    "not TOML": ("description = \n", "p.toml:1: is not valid TOML"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_errors_name_file_line_and_key(case: str) -> None:
    text, expected = BROKEN[case]
    with pytest.raises(ConfigurationError) as caught:
        profiles.parse_profile(text, name="p", origin="p.toml")
    assert expected in str(caught.value)
    assert caught.value.exit_code == 2


def test_a_misspelt_key_is_answered_with_the_near_one() -> None:
    with pytest.raises(ConfigurationError) as caught:
        profiles.parse_profile('description = "x"\npackages = ["torch"]\nchanel = "stable"\n', name="p", origin="p")
    assert "Did you mean `channel`?" in caught.value.hints


def test_a_misspelt_name_is_answered_with_the_near_one(tmp_path: Path) -> None:
    with pytest.raises(UsageError) as caught:
        profiles.load("blackwel", project=tmp_path, user=tmp_path, read=read_text)
    assert "Did you mean `--profile blackwell`?" in caught.value.hints
