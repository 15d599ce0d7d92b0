"""Two days of a team that lives on nightlies: what moved is seen, shown, written and built, and nothing is lost."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from support.cli import Person, Run
from support.index_server import IndexServer
from support.nights import add_night, team, where
from support.wheels import build_wheel

FIRST, SECOND = "20260101", "20260102"
MOVED = [
    f" - torch==2.11.0.dev{FIRST}+cpu",
    f" + torch==2.11.0.dev{SECOND}+cpu (commits {FIRST}aa..{SECOND}aa)",
    f" - torchaudio==2.10.0.dev{FIRST}+cpu",
    f" + torchaudio==2.10.0.dev{SECOND}+cpu",
    f" - torchvision==0.25.0.dev{FIRST}+cpu",
    f" + torchvision==0.25.0.dev{SECOND}+cpu",
]


@pytest.fixture
def index() -> Iterator[IndexServer]:
    with IndexServer() as server:
        server.add_package(build_wheel("filelock", "3.19.0"))
        add_night(server, FIRST)
        yield server


@pytest.fixture
def person(tmp_path: Path) -> Person:
    return team(tmp_path)


def lock_text(person: Person) -> str:
    return (person.project / "lockfiles/pylock.team.toml").read_text(encoding="utf-8")


def installed(person: Person) -> str:
    """The torch that stands in the environment."""
    (info,) = person.project.glob(".venv-gpu/lib/python*/site-packages/torch-*.dist-info")
    return info.name.removeprefix("torch-").removesuffix(".dist-info")


def reasons(run: Run) -> list[tuple[str, str]]:
    (row,) = run.json["data"]["locks"]
    return [(reason["kind"], reason["package"]) for reason in row["reasons"]]


def test_the_two_days(person: Person, index: IndexServer) -> None:
    here = where(index)
    assert person.run("lock", *here).code == 0
    first = lock_text(person)
    assert person.run("lock", "--check", *here).code == 0
    assert person.run("create", "--no-verify", *here).code == 0
    assert installed(person) == f"2.11.0.dev{FIRST}+cpu"

    add_night(index, SECOND)

    checked = person.run("lock", "--check", "--refresh", *here)
    assert checked.code == 1
    assert f"torch 2.11.0.dev{FIRST}+cpu -> 2.11.0.dev{SECOND}+cpu" in checked.err
    assert lock_text(person) == first

    shown = person.run("lock", "--upgrade", "--dry-run", *here)
    assert shown.code == 0, shown.err
    assert shown.out.splitlines() == ["Would update lockfiles/pylock.team.toml", *MOVED]
    assert lock_text(person) == first

    assert person.run("lock", *here).code == 0
    assert lock_text(person) == first  # a lock that still answers moves only when it is told to

    written = person.run("lock", "--upgrade", *here)
    assert written.code == 0, written.err
    assert written.out.splitlines() == MOVED
    assert lock_text(person) != first
    assert person.run("lock", "--check", *here).code == 0

    # The small torch cannot train: what stood there comes back.
    failed = person.run("create", *here)
    assert failed.code == 1
    assert "did not prove itself and was discarded" in failed.err
    assert installed(person) == f"2.11.0.dev{FIRST}+cpu"
    (python,) = person.project.glob(".venv-gpu/bin/python")
    assert python.exists()
    assert not [path for path in person.project.iterdir() if path.name.startswith(".gpuenv")]

    swapped = person.run("create", "--no-verify", *here)
    assert swapped.code == 0, swapped.err
    assert "Replaced .venv-gpu" in swapped.err
    assert installed(person) == f"2.11.0.dev{SECOND}+cpu"


def test_the_dry_run_and_the_check_download_no_wheel(person: Person, index: IndexServer) -> None:
    """Nightlies have no hash on the index; one is learned by a download, when it is locked and not before."""
    here = where(index)
    assert person.run("lock", *here).code == 0
    add_night(index, SECOND)
    before = len(index.log)
    assert person.run("lock", "--check", "--refresh", *here).code == 1
    assert person.run("lock", "--upgrade", "--dry-run", *here).code == 0
    assert downloads(index, since=before) == []
    assert person.run("lock", "--upgrade", *here).code == 0
    assert len(downloads(index, since=before)) == 3


def downloads(index: IndexServer, *, since: int) -> list[str]:
    """Wheels that were asked for as a whole."""
    return [each.path for each in index.log[since:] if each.path.endswith(".whl") and each.range is None]


def test_a_companion_that_is_missing_takes_the_set_back_a_day(person: Person, index: IndexServer) -> None:
    add_night(index, SECOND, without="torchvision")
    run = person.run("lock", *where(index), "--json")
    assert run.code == 0, run.err
    assert run.json["data"]["locks"][0]["torch"] == f"2.11.0.dev{FIRST}+cpu"
    assert "no torchvision nightly of 2026-01-02" in run.err
    assert SECOND not in "".join(line for line in lock_text(person).splitlines() if line.startswith("wheels"))


def test_a_companion_that_pins_the_day_before_goes_with_the_day_before(person: Person, index: IndexServer) -> None:
    add_night(index, SECOND, pins=FIRST)
    run = person.run("lock", *where(index))
    assert run.code == 0, run.err
    assert f"torch-2.11.0.dev{FIRST}" in lock_text(person)
    assert f"torch-2.11.0.dev{SECOND}" not in lock_text(person)


def test_the_same_five_inputs_give_the_same_bytes(person: Person, index: IndexServer, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    other = team(tmp_path / "other")
    for each in (person, other):
        assert each.run("lock", *where(index)).code == 0
    assert lock_text(person) == lock_text(other)
    assert lock_text(person).splitlines()[0] == "# gpuenv " + " ".join(("lock", *where(index)))


def test_hidden_and_gone_are_told_apart(person: Person, index: IndexServer) -> None:
    here = where(index)
    assert person.run("lock", *here).code == 0
    index.hide()
    add_night(index, SECOND)
    hidden = person.run("lock", "--check", "--refresh", "--json", *here)
    assert hidden.code == 1
    assert reasons(hidden) == [
        ("hidden", "torch"),
        ("hidden", "torchaudio"),
        ("hidden", "torchvision"),
        ("outdated", ""),
    ]
    assert "its link still answers" in hidden.err
    index.remove(f"nightly/cpu/{_file(person, 'torchaudio')}")
    gone = person.run("lock", "--check", "--refresh", "--json", *here)
    assert reasons(gone) == [("gone", "torchaudio"), ("hidden", "torch"), ("hidden", "torchvision"), ("outdated", "")]
    assert gone.json["errors"][0]["code"] == "lock-outdated"


def _file(person: Person, project: str) -> str:
    (line,) = [each for each in lock_text(person).splitlines() if each.startswith(f'wheels = [{{ name = "{project}-')]
    return line.split('"')[1]


def test_a_row_whose_hash_changed_is_never_an_update(tmp_path: Path) -> None:
    person = team(tmp_path)
    person.write("profiles/team.toml", 'description = "t"\naccelerator = "cpu"\npackages = ["torchaudio", "torch"]\n')
    from support.nights import TAG
    from support.wheels import torch_wheel

    def audio(text: str):  # type: ignore[no-untyped-def] # a BuiltWheel
        return build_wheel(
            "torchaudio", "2.10.0+cpu", tag=TAG, requires=["torch==2.10.0"], files={"torchaudio/__init__.py": text}
        )

    with IndexServer() as index:
        here = where(index)
        index.add(torch_wheel("2.10.0", "cpu", tag=TAG), folder="cpu")
        index.add(audio("first = 1\n"), folder="cpu")
        assert person.run("lock", *here).code == 0
        locked = lock_text(person)
        index.add(audio("second = 2\n"), folder="cpu")
        for words in (("lock", "--check"), ("lock", "--upgrade"), ("lock", "--upgrade", "--dry-run")):
            run = person.run(*words, "--refresh", "--json", *here)
            assert run.code == 5, (words, run.out, run.err)
            assert run.json["errors"][0]["code"] == "integrity"
            assert lock_text(person) == locked
        built = person.run("create", "--no-verify", *here)
        assert built.code == 5, built.err
        assert not (person.project / ".venv-gpu").exists()


def test_a_nightly_written_again_under_its_name_is_an_integrity_error(person: Person, index: IndexServer) -> None:
    """Its row has no hash, so that only the file itself can tell."""
    here = where(index)
    assert person.run("lock", *here).code == 0
    assert 'hash-origin = "first-download"' in lock_text(person)
    locked = lock_text(person)
    add_night(index, FIRST, requires=("filelock>=1",))
    shared = person.project / "an-empty-store"
    for words in (("lock", "--keep"), ("create", "--no-verify")):
        run = person.run(*words, "--store", str(shared), *here)
        assert run.code == 5, (words, run.err)
    assert lock_text(person) == locked


def test_a_triton_that_is_missing_takes_the_set_back_too(person: Person, index: IndexServer) -> None:
    """What torch needs beyond the profile's packages is looked for when the lock is made."""
    add_night(index, SECOND, requires=("filelock", "pytorch-triton==3.6.0+git00000000"))
    run = person.run("lock", *where(index))
    assert run.code == 0, run.err
    assert f"torch 2.11.0.dev{SECOND}+cpu needs pytorch-triton==3.6.0+git00000000" in run.err
    assert "going back to an earlier day" in run.err
    assert f"torch-2.11.0.dev{FIRST}" in lock_text(person)
    assert SECOND not in "".join(line for line in lock_text(person).splitlines() if line.startswith("wheels"))

    index.remove(f"nightly/cpu/{_file(person, 'torch')}")
    (person.project / "lockfiles/pylock.team.toml").unlink()
    nothing = person.run("lock", "--refresh", *where(index))
    assert nothing.code == 3
    assert "which the torch source does not have" in nothing.err
    assert not (person.project / "lockfiles/pylock.team.toml").exists()
