"""gpuenv killed at named points on Windows: what stood stands whole, and the next run ends what was begun.

Windows cannot exchange two names at once: between the two renames of a swap nothing stands at the target.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from support.index_server import IndexServer
from support.nights import TEAM, add_dependencies, add_night, where
from support.systems import WINDOWS

pytestmark = [WINDOWS, pytest.mark.xdist_group("windows-kills")]

STAGE = "*.gpuenv-stage-*"
LOCK = "lockfiles/pylock.team.toml"
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """A project with an environment of the first night, a lock of each night, and the server of both."""

    project: Path
    server: IndexServer
    texts: dict[str, str]

    @property
    def target(self) -> Path:
        return self.project / ".venv-gpu"

    def run(self, *words: str, strike: str = "", told: Path | None = None) -> subprocess.CompletedProcess[str]:
        start = ["-m", "support.struck", "SIGKILL", strike, "1"] if strike else ["-m", "gpuenv"]
        environ = os.environ | {"PYTHONPATH": str(Path(__file__).parents[1]), "UV_CACHE_DIR": str(self.project / "uv")}
        environ |= {"GPUENV_CACHE_DIR": str(self.project / "cache"), "GPUENV_STORE": str(self.project / "store")}
        environ |= {"GPUENV_TEST_STRUCK": str(told)} if told is not None else {}
        return subprocess.run(
            [sys.executable, *start, *words, *where(self.server)],
            cwd=self.project, env=environ, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL,
        )  # fmt: skip

    def must(self, *words: str) -> None:
        done = self.run(*words)
        assert done.returncode == 0, done.stderr

    def torch(self) -> str:
        """The version that is installed; empty where no whole environment stands."""
        found = [path.parent.name for path in self.target.glob("Lib/site-packages/torch-*.dist-info/RECORD")]
        return (
            found[0].removeprefix("torch-").removesuffix(".dist-info")
            if (self.target / "gpuenv.json").is_file()
            else ""
        )


def snapshot(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and "__pycache__" not in path.parts
    }


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    project = tmp_path_factory.mktemp("windows") / "project"
    (project / "profiles").mkdir(parents=True)
    (project / "profiles/team.toml").write_text(TEAM, encoding="utf-8")
    with IndexServer() as server:
        add_dependencies(server)
        here = Place(project=project, server=server, texts={})
        for name, night in (("one", "20260101"), ("two", "20260102")):
            add_night(server, night)
            here.must("lock", "--upgrade", "--refresh")
            here.texts[name] = (project / LOCK).read_text(encoding="utf-8")
        (project / LOCK).write_text(here.texts["one"], encoding="utf-8", newline="\n")
        here.must("create", "--no-verify")
        shutil.copytree(here.target, project / "template")
        yield here


def begin(place: Place, lock: str) -> dict[str, bytes]:
    """Put the first environment and a lock in their places."""
    shutil.rmtree(place.target, ignore_errors=True)
    shutil.copytree(place.project / "template", place.target)
    (place.project / LOCK).write_text(place.texts[lock], encoding="utf-8", newline="\n")
    return snapshot(place.target)


@pytest.mark.parametrize("stage", CREATE)
def test_a_create_that_is_killed_loses_nothing(place: Place, tmp_path: Path, stage: str) -> None:
    before = begin(place, "two")
    done = place.run("create", "--no-verify", strike=CREATE[stage], told=tmp_path / "struck")

    assert (tmp_path / "struck").read_text().endswith("struck\n"), (tmp_path / "struck").read_text()[-3000:]
    assert done.returncode != 0
    aside = list(place.project.glob(".gpuenv-old-*"))
    old = [folder for folder in (place.target, *aside) if folder.is_dir() and snapshot(folder) == before]
    assert old or place.torch() == "2.11.0.dev20260102+cpu"

    again = place.run("create", "--no-verify")
    assert again.returncode == 0, again.stderr
    assert place.torch() == "2.11.0.dev20260102+cpu"
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
    with subprocess.Popen([sys.executable, "-c", "input()"], cwd=place.target, stdin=subprocess.PIPE) as user:
        done = place.run("create", "--no-verify")
        user.kill()

    assert done.returncode == 2, done.stderr
    assert "cannot be replaced" in done.stderr
    assert "Close what uses it" in done.stderr
    assert snapshot(place.target) == before
    place.must("create", "--no-verify")
