"""The environment that was replaced: kept, put back, and never lost between the two, whatever is killed."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from gpuenv.environment.build import BuildOptions
from gpuenv.environment.previous import kept_previous, previous_place, roll_back, settle
from gpuenv.environment.target import check_target
from gpuenv.errors import TargetError
from gpuenv.installed.marker import PREVIOUS_NOTE, MarkedPackage, Marker, read_marker, write_marker
from gpuenv.report import Silent
from support.workshop import NO_RETRIES, Workshop, alpha, torch

TESTS = Path(__file__).parents[2]
KEEP = BuildOptions(extra_env=NO_RETRIES, keep_previous=True)


def environment(path: Path, *, noted: bool = False) -> None:
    """A folder that gpuenv would take for an environment of its own."""
    path.mkdir(parents=True)
    (path / "pyvenv.cfg").write_text("version_info = 3.12.1\n")
    (path / "body").write_text(path.name)
    package = MarkedPackage(name="torch", version="1.0", record="cd", family=True)
    marker = Marker(
        gpuenv="0.1", uv="0.13", python="3.12.1", profile="cpu", lock="ab", lock_name="pylock.cpu.toml",
        created="2026-01-02T03:04:05Z", packages=(package,),
    )  # fmt: skip
    write_marker(path, marker)
    if noted:
        (path / PREVIOUS_NOTE).write_text("kept")


def body(path: Path) -> str | None:
    whole = path.is_dir() and {"body", "pyvenv.cfg", "gpuenv.json"} <= {each.name for each in path.iterdir()}
    return (path / "body").read_text() if whole else None


@pytest.mark.skipif(sys.platform == "win32", reason="forks")
@pytest.mark.parametrize("mode", ["exchange", "turns"])
@pytest.mark.parametrize(("doing", "older"), [("keep", True), ("keep", False), ("roll-back", True)])
def test_killed_at_every_step_one_stands_and_one_is_kept(tmp_path: Path, doing: str, older: bool, mode: str) -> None:
    environment(tmp_path / "start/env")
    environment(tmp_path / "start/new")
    if older:
        environment(tmp_path / "start/env.previous", noted=True)
    world = {**os.environ, "PYTHONPATH": str(TESTS)}
    subprocess.run([sys.executable, "-m", "support.swap_driver", tmp_path, doing, mode], env=world, check=True)

    ends = {"keep": {("env", "env.previous" if older else None), ("new", "env")},
            "roll-back": {("env", "env.previous"), ("env.previous", "env")}}[doing]  # fmt: skip
    seen = set()
    runs = sorted((path for path in tmp_path.iterdir() if path.name.isdecimal()), key=lambda path: int(path.name))
    for run in runs:
        target = check_target(run / "env")
        if mode == "exchange":  # not for a moment is there none
            assert body(run / "env") is not None, run.name
        settle(target, Silent())
        seen.add((body(run / "env"), body(run / "env.previous")))
        assert not (run / "env" / PREVIOUS_NOTE).exists(), run.name
        assert {path.name for path in run.iterdir()} <= {"env", "env.previous", "new", "state"}, run.name
        kept = kept_previous(run / "env")
        assert (kept is None) == (body(run / "env.previous") is None), run.name
    assert seen == ends
    assert len(runs) > 8


def test_one_is_kept_and_put_back(workshop: Workshop) -> None:
    workshop.build([alpha(), torch()])
    assert workshop.build([alpha("2.0"), torch("2.0")], options=KEEP).previous == previous_place(workshop.target)
    assert workshop.build([alpha("3.0"), torch("3.0")], options=KEEP).previous == previous_place(workshop.target)
    assert workshop.leftovers() == [".venv-gpu.previous"]

    def versions() -> list[str]:
        places = (workshop.target, previous_place(workshop.target))
        return [marker.packages[0].version for place in places if (marker := read_marker(place)) is not None]

    assert versions() == ["3.0", "2.0"]
    assert roll_back(check_target(workshop.target))
    assert versions() == ["2.0", "3.0"]
    assert workshop.look().differences == ()
    said = subprocess.run([workshop.target / "bin/alpha"], capture_output=True, text=True, check=True)
    assert said.stdout == "alpha 2.0\n"
    assert roll_back(check_target(workshop.target))
    assert versions() == ["3.0", "2.0"]

    workshop.build([alpha("4.0"), torch("4.0")])
    assert versions() == ["4.0"]
    assert workshop.leftovers() == []
    assert "Removed .venv-gpu.previous, which an earlier build had kept" in workshop.told.lines


def test_a_folder_of_that_name_is_left_alone(workshop: Workshop) -> None:
    """Somebody's own folder, and somebody's own environment: no note of ours is in it."""
    workshop.build([alpha()])
    other = previous_place(workshop.target)
    other.mkdir()
    (other / "thesis.tex").write_text("years of work")
    with pytest.raises(TargetError, match="left as it is"):
        workshop.build([alpha("2.0")], options=KEEP)
    workshop.build([alpha("2.0")])
    assert (other / "thesis.tex").read_text() == "years of work"
    (other / "thesis.tex").unlink()
    workshop.build([alpha("9.0")], target=other)
    with pytest.raises(TargetError, match="no environment that was kept"):
        workshop.build([alpha("3.0")], options=KEEP)
    workshop.build([alpha("3.0")])
    marker = read_marker(other)
    assert marker is not None
    assert marker.packages[0].version == "9.0"


def test_put_back_where_the_target_is_gone(tmp_path: Path) -> None:
    environment(tmp_path / "env.previous", noted=True)
    for emptied in (False, True):
        if emptied:
            (tmp_path / "env").rename(tmp_path / "env.previous")
            (tmp_path / "env.previous" / PREVIOUS_NOTE).touch()
            (tmp_path / "env").mkdir()
        assert not roll_back(check_target(tmp_path / "env"))
        assert body(tmp_path / "env") == "env.previous"
        assert [path.name for path in tmp_path.iterdir()] == ["env"]
