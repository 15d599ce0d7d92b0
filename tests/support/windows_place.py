"""A project on Windows with a small environment, and gpuenv as a process of its own in it: for tests by hand there."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from support.index_server import IndexServer
from support.nights import TEAM, add_dependencies, add_night, where

Running = subprocess.Popen[str]
Done = subprocess.CompletedProcess[str]
LOCK = "lockfiles/pylock.team.toml"
OLD, NEW = "2.11.0.dev20260101+cpu", "2.11.0.dev20260102+cpu"


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """A project with an environment of the first night, a lock of each night, and the server of both."""

    project: Path
    server: IndexServer
    texts: dict[str, str]

    @property
    def target(self) -> Path:
        """Where the environment stands."""
        return self.project / ".venv-gpu"

    def start(self, *words: str, strike: str = "", by: str = "SIGKILL", told: Path | None = None) -> Running:
        """Start gpuenv; with ``strike`` it is struck at a point (``support.struck``), ``by`` a kill or a Ctrl-C."""
        start = ["-m", "support.struck", by, strike, "1"] if strike else ["-m", "gpuenv"]
        environ = os.environ | {"PYTHONPATH": str(Path(__file__).parents[1]), "UV_CACHE_DIR": str(self.project / "uv")}
        environ |= {"GPUENV_CACHE_DIR": str(self.project / "cache"), "GPUENV_STORE": str(self.project / "store")}
        environ |= {"GPUENV_TEST_STRUCK": str(told)} if told is not None else {}
        return subprocess.Popen(
            [sys.executable, *start, *words, *where(self.server)],
            cwd=self.project,
            env=environ | {"PYTHONIOENCODING": "utf-8"},
            encoding="utf-8",
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )

    def run(self, *words: str, strike: str = "", by: str = "SIGKILL", told: Path | None = None) -> Done:
        """The same, to its end."""
        running = self.start(*words, strike=strike, by=by, told=told)
        out, err = running.communicate()
        return subprocess.CompletedProcess(running.args, running.returncode, out, err)

    def must(self, *words: str) -> None:
        """Run it to a good end."""
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
    """Every file below a folder."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and "__pycache__" not in path.parts
    }


@contextmanager
def placed(project: Path, *, build: bool = True) -> Iterator[Place]:
    """A project in a folder that is made, with the environment of the first night, kept as ``template`` too."""
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
        if build:
            here.must("create", "--no-verify")
            shutil.copytree(here.target, project / "template")
        yield here


def begin(place: Place, lock: str) -> dict[str, bytes]:
    """Put the first environment and a lock in their places."""
    shutil.rmtree(place.target, ignore_errors=True)
    shutil.copytree(place.project / "template", place.target)
    (place.project / LOCK).write_text(place.texts[lock], encoding="utf-8", newline="\n")
    return snapshot(place.target)
