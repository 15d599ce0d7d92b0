"""Files that gpuenv writes: never through a link, and in a shared store for whom the store is."""

from __future__ import annotations

import re
import stat
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from support.cli import Person, command
from support.helper_project import helper_index, helper_person
from support.index_server import IndexServer

TESTS = Path(__file__).parents[2]
RANDOM = re.compile(r"\.[0-9a-f]{16}$|/\.[0-9a-f]{16}\.part$|/\.gpuenv-stage-|/gpuenv-[a-z]+-\w+/|/\.tmp")
COMMANDS = (
    ("lock", "--keep", "--format", "requirements"),
    ("create", "--no-verify"),
    ("create", "--no-verify", "--keep-previous"),
    ("create",),
    ("verify", ".venv-gpu"),
    ("store", "export", "out"),
)


@pytest.fixture
def index() -> Iterator[IndexServer]:
    with helper_index() as server:
        yield server


@pytest.fixture
def person(tmp_path: Path, index: IndexServer) -> Person:
    return helper_person(tmp_path, index)


def written(person: Person) -> set[Path]:
    """What the commands write, by path below the folder of home and project; names that nobody can guess aside."""
    root = person.home.parent
    listing = root / "listing"
    world = person.world(PYTHONPATH=str(TESTS))
    for words in COMMANDS:
        run = [sys.executable, "-m", "support.written", str(listing), *words]
        subprocess.run(run, cwd=person.project, env=world, capture_output=True, check=False, timeout=300)
    paths = {Path(line) for line in listing.read_text().splitlines() if not RANDOM.search(line)}
    return {path.relative_to(root) for path in paths if path.is_relative_to(root)}


def test_no_file_is_written_through_a_link(person: Person) -> None:
    """The list comes from what the interpreter announces; each place is a link to somebody's file the next time."""
    root = person.home.parent
    places = {place for place in written(person) if not (root / place).is_dir()}
    names = {place.name for place in places}
    assert {"pylock.team.toml", "requirements.team.txt", "requirements.txt", "evidence.json", "body", "lock"} <= names
    assert len(places) > 25

    other = root / "again"
    other.mkdir()
    fresh = Person.at(other, **person.environ)
    fresh.write("profiles/team.toml", (person.project / "profiles/team.toml").read_text())
    victims = {}
    for number, place in enumerate(sorted(places)):
        victim = root / "victims" / str(number)
        victim.parent.mkdir(exist_ok=True)
        victim.write_text(f"mine {place}")
        victims[victim] = (victim.read_text(), victim.stat().st_mode, victim.stat().st_ino)
        link = other / place
        if not any(each.is_symlink() for each in link.parents):
            link.parent.mkdir(parents=True, exist_ok=True)
            link.symlink_to(victim)
    for words in COMMANDS:
        run = fresh.run(*words)
        for _ in range(len(places)):  # what stops at a link is tried again without that one
            link = next((each for each in other.rglob("*") if each.is_symlink() and str(each) in run.err), None)
            if run.code in (0, 1) or link is None:
                break
            link.unlink()
            run = fresh.run(*words)
    found = {each: (each.read_text(), each.stat().st_mode, each.stat().st_ino) for each in victims}
    assert found == victims


@pytest.mark.skipif(sys.platform == "win32", reason="modes of POSIX")
@pytest.mark.parametrize("umask", [0o077, 0o002])
@pytest.mark.parametrize("mode", [0o2775, 0o700])
def test_a_shared_store_is_for_whom_its_folder_is(person: Person, umask: int, mode: int) -> None:
    store = person.home.parent / "store"
    store.mkdir()
    store.chmod(mode)
    done = subprocess.run(
        command("lock", "--keep", "--store", str(store)), cwd=person.project, env=person.world(), umask=umask,
        capture_output=True, text=True, check=False, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    for path in store.rglob("*"):
        found = stat.S_IMODE(path.stat().st_mode)
        if "partial" in path.relative_to(store).parts[:1] and path.name != "partial":
            continue  # one user's own
        assert found == (mode if path.is_dir() else mode & 0o444 | 0o200), path
    assert {path.name for path in store.iterdir()} == {"partial", "roots", "sha256"}
    again = replace(person, project=person.project).run("store", "verify", "--store", str(store))
    assert again.code == 0, again.err


def test_a_download_that_somebody_else_began_is_not_gone_on_with(person: Person) -> None:
    """A folder laid out in advance, with a link for what arrives, or behind a link."""
    victim = person.home / "mine"
    victim.write_text("mine")
    store = person.home.parent / "store"
    assert person.run("lock", "--keep", "--store", str(store)).code == 0
    begun = [path for path in (store / "partial").iterdir() if path.is_dir()]
    for path in store.glob("sha256/*/*/*.whl"):
        path.unlink()
    for folder in begun:
        (folder / "body").symlink_to(victim)
    run = person.run("lock", "--keep", "--store", str(store))
    assert run.code != 0
    assert "body" in run.err
    assert victim.read_text() == "mine"
    for folder in begun:
        (folder / "body").unlink()
        (folder / "lock").unlink(missing_ok=True)
        for each in folder.iterdir():
            each.unlink()
        folder.rmdir()
        folder.symlink_to(person.home)
    assert person.run("lock", "--keep", "--store", str(store)).code != 0
    assert not (person.home / "body").exists()
    assert victim.read_text() == "mine"
