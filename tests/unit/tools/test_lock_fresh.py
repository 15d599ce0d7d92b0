"""The committed locks of hashed requirements: whole, of the profiles as they are, and free of every address."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from gpuenv import knowledge as tables
from gpuenv import profile as profiles
from gpuenv.lock.fit import fits_machine
from gpuenv.lock.hashed import hashed_filename, parse_hashed
from gpuenv.lock.soundness import faults_of
from gpuenv.machine.file import parse_machine
from gpuenv.system.files import read_text

ROOT = Path(__file__).resolve().parents[3]
LOCKS = ROOT / "lockfiles"
FILES = sorted(LOCKS.glob("hashed.*.txt"))


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_each_is_whole_and_names_no_place(path: Path) -> None:
    text = path.read_text("utf-8")
    assert re.search(r"://|\.(?:org|com|net|io)\b", text) is None
    lock = parse_hashed(text, origin=path.name)
    profile = profiles.load(lock.inputs.profile, project=ROOT, user=ROOT / "nowhere", read=read_text)
    assert path.name == hashed_filename(profile.name)
    assert faults_of(lock, profile=profile, knowledge=tables.load()) == ()


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_each_serves_the_machines_of_its_profile_with_a_driver_it_says(path: Path) -> None:
    lock = parse_hashed(path.read_text("utf-8"), origin=path.name)
    machine = LOCKS / "machines" / f"{lock.inputs.profile}.json"
    text = re.sub(r'"version": "[\d.]+"', f'"version": "{lock.decision.least_driver}"', machine.read_text("utf-8"))
    assert fits_machine(lock, parse_machine(text, origin=machine.name), tables.load()) is None


def test_every_bundled_profile_has_one_or_the_reason_stands_in_the_readme() -> None:
    readme = (LOCKS / "README.md").read_text("utf-8").partition("<!-- hashed: begin -->")[2]
    names = {row.name for row in profiles.find_all(project=ROOT, user=ROOT / "nowhere")} - {"auto"}
    made = {path.name.split(".")[1] for path in FILES}
    assert "blackwell" in made
    assert names == made | set(re.findall(r"^- \*\*(\w+)\*\*: ", readme, re.MULTILINE))
