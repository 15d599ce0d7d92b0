"""Faults of create and lock on Windows: what stood stands whole, what is said can be done, and the next run ends well.

Files and folders in use, files that may only be read, Ctrl-C, two at once, deep folders, names in other alphabets.
"""

from __future__ import annotations

import shutil
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.systems import WINDOWS
from support.windows_place import LOCK, NEW, OLD, Place, begin, placed, snapshot

pytestmark = [WINDOWS, pytest.mark.xdist_group("windows-faults")]

BUILD, RELOCK = ("create", "--no-verify"), ("lock", "--upgrade", "--refresh")
STAGE = "*.gpuenv-stage-*"
OPEN = "import sys\nfile = open(sys.argv[1], 'rb')\nprint('open', flush=True)\ninput()"
"""A program that reads a file for as long as it lives."""


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    with placed(tmp_path_factory.mktemp("windows") / "project") as here:
        yield here


def ends_well(place: Place, *words: str) -> None:
    """The next create builds what the lock of the second night says, and leaves nothing beside it."""
    done = place.run(*BUILD, *words)
    assert done.returncode == 0, done.stderr
    assert place.torch() == NEW
    assert list(place.project.glob(".gpuenv-*")) == []
    assert place.run("doctor", ".venv-gpu").returncode == 0


@pytest.mark.parametrize("name", ["Lib/site-packages/torch/__init__.py", "gpuenv.json", "Scripts/python.exe"])
def test_a_file_of_the_environment_that_is_open(place: Place, name: str) -> None:
    before = begin(place, "two")
    reader = [sys.executable, "-c", OPEN, str(place.target / name)]
    with subprocess.Popen(reader, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as user:
        assert user.stdout is not None
        user.stdout.readline()
        done = place.run(*BUILD)
        user.kill()

    if done.returncode:  # Windows refuses; Wine moves the folder all the same
        assert done.returncode == 2, done.stderr
        assert "Close what uses it" in done.stderr
        assert snapshot(place.target) == before
    ends_well(place)


def test_a_python_of_the_environment_that_runs(place: Place) -> None:
    before = begin(place, "two")
    python = place.target / "Scripts/python.exe"
    with subprocess.Popen([python, "-c", "print('open', flush=True); input()"], stdin=subprocess.PIPE,
                          stdout=subprocess.PIPE) as user:  # fmt: skip
        assert user.stdout is not None
        user.stdout.readline()
        done = place.run(*BUILD)
        user.kill()

    if done.returncode:
        assert done.returncode == 2, done.stderr
        assert "Close what uses it" in done.stderr
        assert snapshot(place.target) == before
    ends_well(place)


def test_files_that_may_only_be_read_go_with_their_environment(place: Place) -> None:
    begin(place, "two")
    for path in place.target.rglob("*"):
        if path.is_file() and path.suffix in (".py", ".json"):
            path.chmod(stat.S_IREAD)

    ends_well(place)


def test_a_lock_that_may_only_be_read(place: Place) -> None:
    before = begin(place, "one")
    lock = place.project / LOCK
    lock.chmod(stat.S_IREAD)
    done = place.run(*RELOCK)
    assert list(lock.parent.glob(".pylock*")) == []
    lock.chmod(stat.S_IREAD | stat.S_IWRITE)

    if done.returncode:
        assert done.returncode == 2, done.stderr
        assert "it may only be read" in done.stderr
        assert "`attrib -R " in done.stderr
        assert lock.read_text(encoding="utf-8") == place.texts["one"]
    assert snapshot(place.target) == before
    place.must(*RELOCK)
    assert "20260102" in lock.read_text(encoding="utf-8")
    assert list(lock.parent.glob(".pylock*")) == []


def test_a_lock_that_another_program_reads_all_the_time(place: Place) -> None:
    begin(place, "one")
    lock = place.project / LOCK
    reader = [sys.executable, "-c", OPEN, str(lock)]
    with subprocess.Popen(reader, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as user:
        assert user.stdout is not None
        user.stdout.readline()
        done = place.run(*RELOCK)
        user.kill()

    if done.returncode:
        assert done.returncode == 2, done.stderr
        assert "another program has it open" in done.stderr
        assert lock.read_text(encoding="utf-8") == place.texts["one"]
    place.must(*RELOCK)


def test_a_file_where_the_folder_of_the_locks_should_be(place: Place) -> None:
    before = begin(place, "one")
    folder = place.project / "lockfiles"
    folder.rename(place.project / "away")
    folder.write_text("mine", encoding="utf-8")
    try:
        done = place.run(*RELOCK)
        assert done.returncode == 2, done.stderr
        assert folder.read_text(encoding="utf-8") == "mine"
        assert snapshot(place.target) == before
    finally:
        folder.unlink()
        (place.project / "away").rename(folder)
    place.must(*RELOCK)


@pytest.mark.parametrize(
    "strike",
    [
        f"os.mkdir {STAGE}",
        "subprocess.Popen *pip*sync*",
        f"os.rename {STAGE}gpuenv.json*",
        "os.rename *.venv-gpu *.gpuenv-old-*",
        f"os.rename {STAGE}.venv-gpu *project/.venv-gpu",
        f"os.rename *.gpuenv-old-* {STAGE}",
        f"os.rmdir {STAGE}",
    ],
)
def test_ctrl_c_in_a_create(place: Place, tmp_path: Path, strike: str) -> None:
    before = begin(place, "two")
    done = place.run(*BUILD, strike=strike, by="SIGINT", told=tmp_path / "struck")

    assert "struck\n" in (tmp_path / "struck").read_text(), (tmp_path / "struck").read_text()[-3000:]
    assert done.returncode in (0, 130), done.stderr
    assert place.torch() in (OLD, NEW)
    if place.torch() == OLD:
        assert snapshot(place.target) == before
    if "rmdir" not in strike:  # what is left of one that was being removed, the next run removes
        assert list(place.project.glob(".gpuenv-stage-*")) == []
    ends_well(place)


@pytest.mark.parametrize("strike", ["subprocess.Popen *pip*compile*", "os.rename *lockfiles/.pylock*"])
def test_ctrl_c_in_a_lock(place: Place, tmp_path: Path, strike: str) -> None:
    before = begin(place, "one")
    done = place.run(*RELOCK, strike=strike, by="SIGINT", told=tmp_path / "struck")

    assert "struck\n" in (tmp_path / "struck").read_text()
    assert done.returncode == 130, done.stderr
    assert (place.project / LOCK).read_text(encoding="utf-8") == place.texts["one"]
    assert list((place.project / "lockfiles").glob(".pylock*")) == []
    assert snapshot(place.target) == before
    place.must(*RELOCK)


@pytest.mark.parametrize("words", [BUILD, RELOCK], ids=["create", "lock"])
def test_two_at_once(place: Place, words: tuple[str, ...]) -> None:
    begin(place, "two" if words == BUILD else "one")
    both = [place.start(*words) for _ in range(2)]
    said = [each.communicate()[1] for each in both]

    assert [each.returncode for each in both] == [0, 0], said
    assert "20260102" in (place.project / LOCK).read_text(encoding="utf-8")
    ends_well(place)


def test_a_create_and_one_that_is_killed_beside_it(place: Place) -> None:
    begin(place, "two")
    first, second = place.start(*BUILD), place.start(*BUILD)
    first.kill()
    first.communicate()
    said = second.communicate()[1]

    assert second.returncode == 0, said
    ends_well(place)


def test_the_same_folder_in_other_letters(place: Place) -> None:
    """Names that differ in case are one folder on Windows."""
    begin(place, "two")
    both = [place.start(*BUILD, name) for name in (".venv-gpu", ".VENV-GPU")]
    said = [each.communicate()[1] for each in both]

    assert [each.returncode for each in both] == [0, 0], said
    ends_well(place)
    assert [path.name.lower() for path in place.project.glob(".venv*")] == [".venv-gpu"]


@pytest.mark.parametrize("name", ["a folder with spaces", "Müller & Söhne", "проект 模型", "100% (a) [b] 'c'"])
def test_folders_of_any_name(tmp_path: Path, name: str) -> None:
    with placed(tmp_path / name / "project") as here:
        begin(here, "two")
        ends_well(here)
        shutil.rmtree(here.project / "uv", ignore_errors=True)
        begin(here, "two")
        ends_well(here)


@pytest.mark.parametrize("length", [130, 195])
def test_a_folder_deeper_than_windows_may_know(tmp_path: Path, length: int) -> None:
    """Files beyond 260 characters are built where long paths are on; no program starts in such a folder at all."""
    deep = tmp_path / ("a" * (length - len(str(tmp_path)) - 1))
    with placed(deep / "project", build=False) as here:
        done = here.run(*BUILD)
        if done.returncode:
            assert done.returncode == 2, done.stderr
            assert "is too deep for Windows" in done.stderr or "its name is too long" in done.stderr
            assert here.run("create", "--no-verify", str(tmp_path / "env")).returncode == 0
        assert list(here.project.glob(".gpuenv-*")) == []


def test_a_batch_file_gets_its_words_whole(place: Place) -> None:
    begin(place, "two")
    (place.project / "say it.bat").write_bytes(b"@echo off\r\necho %1/%2\r\nexit /b 3\r\n")
    done = place.run("run", "--", ".\\say it.bat", "a b", "c&no-such-program")
    assert (done.returncode, done.stdout.strip()) == (3, '"a b"/"c&no-such-program"'), done.stderr


def test_what_cannot_be_is_refused_in_windows_words(place: Place) -> None:
    before = begin(place, "two")
    missing = place.run("run", "--", "no-such-program")
    assert missing.returncode == 2
    assert "`ls .venv-gpu\\Scripts`" in missing.stderr
    home = place.run("create", "~", "--no-verify")
    assert home.returncode == 2
    assert "takes a folder of its own" in home.stderr
    device = place.run("create", "nul", "--no-verify")
    assert device.returncode == 2
    assert "Windows means a device by nul" in device.stderr
    nobody = place.run("remove", "--env", ".venv-gpu")  # the null device is a terminal here
    assert nobody.returncode == 2
    assert "there is nobody to ask" in nobody.stderr
    assert snapshot(place.target) == before
