"""gpuenv killed at named points on Windows: what stood stands whole, and the next run ends what was begun.

Windows cannot exchange two names at once: between the two renames of a swap nothing stands at the target.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.systems import WINDOWS
from support.windows_place import LOCK, NEW, Place, begin, placed, snapshot

pytestmark = [WINDOWS, pytest.mark.xdist_group("windows-kills")]

STAGE = "*.gpuenv-stage-*"
CREATE = {
    "before staging": f"os.mkdir {STAGE}",
    "before `uv venv`": "subprocess.Popen *venv*--relocatable*",
    "before `uv pip sync`": "subprocess.Popen *pip*sync*",
    "before the marker is written": f"os.rename {STAGE}gpuenv.json*",
    "before the import check": f"subprocess.Popen {STAGE}python*-I*",
    "before the old one is moved aside": "os.rename *.venv-gpu *.gpuenv-old-*",
    "between the two renames": f"os.rename {STAGE}.venv-gpu *project/.venv-gpu",
    "before the old one goes into the stage": f"os.rename *.gpuenv-old-* {STAGE}",
    "while the old one is removed": "os.remove *RECORD",
    "before the stage is removed": f"os.rmdir {STAGE}",
}
RELOCK = {
    "before uv resolves": "subprocess.Popen *pip*compile*",
    "before the lock is written": "open *lockfiles/.pylock*",
    "before the lock takes its name": "os.rename *lockfiles/.pylock*",
}


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    with placed(tmp_path_factory.mktemp("windows") / "project") as here:
        yield here


@pytest.mark.parametrize("stage", CREATE)
def test_a_create_that_is_killed_loses_nothing(place: Place, tmp_path: Path, stage: str) -> None:
    before = begin(place, "two")
    done = place.run("create", "--no-verify", strike=CREATE[stage], told=tmp_path / "struck")

    assert (tmp_path / "struck").read_text().endswith("struck\n"), (tmp_path / "struck").read_text()[-3000:]
    assert done.returncode != 0
    aside = list(place.project.glob(".gpuenv-old-*"))
    old = [folder for folder in (place.target, *aside) if folder.is_dir() and snapshot(folder) == before]
    assert old or place.torch() == NEW

    again = place.run("create", "--no-verify")
    assert again.returncode == 0, again.stderr
    assert place.torch() == NEW
    assert list(place.project.glob(".gpuenv-*")) == []
    assert place.run("doctor", ".venv-gpu").returncode == 0


@pytest.mark.parametrize("stage", RELOCK)
def test_a_lock_that_is_killed_leaves_the_old_one(place: Place, tmp_path: Path, stage: str) -> None:
    before = begin(place, "one")
    words = ("lock", "--upgrade", "--refresh")
    done = place.run(*words, strike=RELOCK[stage], told=tmp_path / "struck")

    assert (tmp_path / "struck").read_text().endswith("struck\n"), (tmp_path / "struck").read_text()[-3000:]
    assert done.returncode != 0
    assert (place.project / LOCK).read_text(encoding="utf-8") == place.texts["one"]
    assert snapshot(place.target) == before

    place.must(*words)
    assert "20260102" in (place.project / LOCK).read_text(encoding="utf-8")


def test_a_program_in_the_environment_keeps_it(place: Place) -> None:
    before = begin(place, "two")
    program = [sys.executable, "-c", "print('here', flush=True); input()"]
    with subprocess.Popen(program, cwd=place.target, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as user:
        assert user.stdout is not None
        user.stdout.readline()
        done = place.run("create", "--no-verify")
        user.kill()

    assert done.returncode == 2, done.stderr
    assert "cannot be replaced" in done.stderr
    assert "Close what uses it" in done.stderr
    assert snapshot(place.target) == before
    place.must("create", "--no-verify")
