"""A lock that was edited by hand is refused with its row before anything is fetched, and what stands is left alone."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from support.cli import Person
from support.index_server import IndexServer
from support.lock_edits import DAY, EDITS
from support.nights import add_night, team, where
from support.wheels import build_wheel

LOCK = "lockfiles/pylock.team.toml"


@pytest.fixture(scope="module")
def standing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Person, IndexServer, str]]:
    """Somebody whose environment stands, the index, and the lock as it was written."""
    person = team(tmp_path_factory.mktemp("edits"))
    with IndexServer() as index:
        index.add_package(build_wheel("filelock", "3.19.0", requires=("numpy>=2",)))
        index.add_package(build_wheel("numpy", "2.3.0"))
        add_night(index, DAY)
        run = person.run("create", "--no-verify", *where(index))
        assert run.code == 0, run.err
        yield person, index, (person.project / LOCK).read_text(encoding="utf-8")


def environment(person: Person) -> dict[str, float]:
    paths = sorted((person.project / ".venv-gpu").rglob("*"))
    return {path.as_posix(): path.lstat().st_mtime for path in paths if "__pycache__" not in path.parts}


@pytest.mark.parametrize("name", EDITS)
def test_an_edit_is_refused_with_its_row(name: str, standing: tuple[Person, IndexServer, str]) -> None:
    person, index, text = standing
    edit, row = EDITS[name]
    changed = edit(text, index.default_index)
    assert changed != text
    path = person.write(LOCK, changed)
    before, asked = environment(person), len(index.log)
    runs = [("create", "--no-verify"), ("lock", "--check"), ("lock",)]
    if name in ("no torch", "one more package"):
        runs += [("verify",), ("doctor", ".venv-gpu")]
    for words in runs:
        here = ("--profile", "team") if words[0] in ("verify", "doctor") else where(index)
        run = person.run(*words, *here)
        assert run.code == 5, (words, run.err)
        assert re.search(row, run.err), run.err
        assert re.search(r"`gpuenv lock (--profile team )?--upgrade`", run.err)
    assert len(index.log) == asked
    assert environment(person) == before
    assert path.read_text(encoding="utf-8") == changed


def test_what_the_hint_says_makes_it_right(standing: tuple[Person, IndexServer, str]) -> None:
    person, index, text = standing
    for edit, _ in EDITS.values():
        person.write(LOCK, edit(text, index.default_index))
        run = person.run("lock", "--upgrade", *where(index))
        assert run.code == 0, run.err
        assert (person.project / LOCK).read_text(encoding="utf-8") == text


def test_a_lock_without_hosts_and_dependencies_is_used_and_that_is_said(
    standing: tuple[Person, IndexServer, str],
) -> None:
    person, index, text = standing
    person.write(LOCK, re.sub(r"(?m)^(dependencies|family-hosts|package-hosts) = .*\n", "", text))
    run = person.run("create", "--no-verify", "-v", *where(index))
    assert run.code == 0, run.err
    assert "records no hosts and no dependencies" in run.err
