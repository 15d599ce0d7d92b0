"""A small world that faults are let loose in: a person with an environment that stands, an index, and every command.

Two nights of a family stand on the index. The environment was built from the lock of the first (``one``); the lock of
the second (``two``) is what an upgrade gives. Each case starts from the same bytes at the same paths.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import signal
import subprocess
import sys
import time
import tomllib
import zipfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path

from gpuenv.installed.environment import read_environment
from gpuenv.installed.marker import PREVIOUS_NOTE
from support.cli import Person, Run, command, know_interpreters
from support.index_server import IndexServer
from support.nights import add_night, team, where
from support.wheels import BuiltWheel, build_wheel

TESTS = Path(__file__).parents[1]
DAYS = {"one": "20260101", "two": "20260102"}
LOCK = "lockfiles/pylock.team.toml"
TIMED_OUT = 999
"""The exit code of a command that had to be ended, because its time was over."""

_INSTALLED = ("INSTALLER", "REQUESTED", "RECORD", "direct_url.json", "uv_cache.json", "uv_build.json")
_OWN = ("__pycache__", "_virtualenv.py", "_virtualenv.pth")


@dataclass(kw_only=True)
class World:
    """The place, the server and the person; ``texts`` are the two locks, ``known`` every wheel by its sha256."""

    folder: Path
    server: IndexServer
    person: Person
    texts: dict[str, str] = field(default_factory=dict)
    known: dict[str, BuiltWheel] = field(default_factory=dict)
    healing: list[Callable[[], object]] = field(default_factory=list)
    struck: bool = False
    notes: list[str] = field(default_factory=list)

    @classmethod
    def at(cls, folder: Path, server: IndexServer) -> World:
        """Make the world below ``folder``, and the copy that each case starts from."""
        here = folder / "world"
        here.mkdir()
        (here / "tmp").mkdir()
        world = cls(folder=here, server=server, person=team(here))
        world.person = Person(
            home=world.person.home, project=world.person.project, environ={"TMPDIR": str(here / "tmp")}
        )
        for name, day in DAYS.items():
            world.serve(DAYS["one"], day)
            world.must("lock", "--upgrade", "--keep", "--refresh")
            world.texts[name] = world.lock.read_text(encoding="utf-8")
            world.must("create", "--no-verify")
        world.put_lock("one")
        world.must("create", "--no-verify")
        shutil.copytree(here, folder / "template", symlinks=True)
        return world

    # Places

    @property
    def lock(self) -> Path:
        return self.person.project / LOCK

    @property
    def target(self) -> Path:
        return self.person.project / ".venv-gpu"

    @property
    def cache(self) -> Path:
        return self.person.home / ".cache/gpuenv"

    @property
    def uv_cache(self) -> Path:
        return self.person.home / ".cache/uv"

    @property
    def state(self) -> Path:
        return self.person.home / ".local/state/gpuenv"

    @property
    def store(self) -> Path:
        return self.state / "store"

    @property
    def where(self) -> tuple[str, ...]:
        return where(self.server)

    # Beginning and end of a case

    def begin(self, start: str, lock: str) -> None:
        """Put everything as it was. ``start``: ``warm``; ``cold``, nothing cached or kept (but uv knows the
        interpreters); ``new``, no environment too. ``lock`` says which lock stands; empty: none."""
        self.heal()
        shutil.rmtree(self.folder)
        shutil.copytree(self.folder.parent / "template", self.folder, symlinks=True)
        self.server.log.clear()
        self.serve(*DAYS.values())
        self.struck, self.notes = False, []
        if start in ("cold", "new"):
            for path in (self.cache, self.uv_cache, self.state):
                shutil.rmtree(path)
            know_interpreters(self.uv_cache)
        if start == "new":
            shutil.rmtree(self.target)
        if lock:
            self.put_lock(lock)
        else:
            self.lock.unlink()

    def serve(self, *days: str) -> None:
        """Serve these nights and nothing else."""
        self.server.heal()
        self.server.clear()
        self.server._packages.clear()
        for wheel in (build_wheel("filelock", "3.19.0", requires=("numpy>=2",)), build_wheel("numpy", "2.3.0")):
            self.server.add_package(wheel)
            self.known[wheel.sha256] = wheel
        for day in days:
            add_night(self.server, day)
        self.known |= {file.built().sha256: file.built() for file in self.server._files.values()}

    def put_lock(self, name: str) -> None:
        self.lock.write_text(self.texts[name], encoding="utf-8")

    def heal(self) -> None:
        """Undo what a case did to the world outside its files."""
        while self.healing:
            self.healing.pop()()
        self.server.heal()

    def let_time_pass(self) -> None:
        """Make what was left behind two days old: some of it is cleared away only then."""
        past = time.time() - 2 * 86400
        places = (self.person.project, self.person.project / "lockfiles", self.folder / "tmp")
        for path in [*(each for place in places for each in place.glob(".*")), *self.store.rglob("*")]:
            if not path.is_symlink() and path != self.target:
                os.utime(path, (past, past))

    # Running

    def must(self, *words: str) -> Run:
        done = self.run(*words, *self.where)
        assert done.code == 0, (words, done.err)
        return done

    def start(
        self,
        *words: str,
        strike: tuple[str, str, int] | None = None,
        prefix: tuple[str, ...] = (),
        home: Person | None = None,
        **environ: str,
    ) -> Running:
        """Start gpuenv in a session of its own."""
        person = home or self.person
        line: list[str] = [*prefix, *command(*words)]
        if strike is not None:
            what, point, number = strike
            line = [*prefix, sys.executable, "-m", "support.struck", what, point, str(number), *words]
            environ |= {"PYTHONPATH": str(TESTS), "GPUENV_TEST_STRUCK": str(self.folder / "struck")}
        return Running(line, cwd=person.project, env=person.world(**environ), logs=self.folder)

    def run(
        self,
        *words: str,
        strike: tuple[str, str, int] | None = None,
        bound: float = 120.0,
        **environ: str,
    ) -> Run:
        """Run gpuenv to its end, or to the end of its time."""
        done = self.start(*words, strike=strike, **environ).wait(bound)
        log = self.folder / "struck"
        if log.exists():
            self.struck = log.read_text(errors="replace").rstrip().endswith("struck")
            self.struck = self.struck or "\nstruck\n" in log.read_text(errors="replace")
            log.unlink()
        return done

    def processes(self) -> list[str]:
        """Command lines of processes that name this world, once the kernel has ended what was to be ended."""
        for _ in range(500):
            found = [each for each in _command_lines() if str(self.folder) in each]
            if not found:
                return []
            time.sleep(0.02)
        return found

    # Looking

    def snapshot(self) -> dict[str, str] | None:
        """Every file of the environment with its content; ``None`` where none stands there."""
        if not os.path.lexists(self.target):
            return None
        return snapshot(self.target)

    def unlike_lock(self, name: str = "", *, project: Path | None = None) -> list[str]:
        """What the environment has that its lock has not, and the other way round: packages and bytes.

        ``name`` is one of the two locks, instead of the one that stands in the project.
        """
        root = project or self.person.project
        text = self.texts[name] if name else (root / LOCK).read_text(encoding="utf-8")
        return unlike(root / self.target.name, text, self.known)

    def strangers(self) -> list[str]:
        """Files outside gpuenv's own places."""
        allowed = {"lockfiles", LOCK, "profiles", "profiles/team.toml", ".venv-gpu", "evidence"}
        kept = {path.relative_to(self.folder.parent / "template/project").as_posix() for path in self._template()}
        found = []
        for path in sorted(self.person.project.rglob("*")):
            name = path.relative_to(self.person.project).as_posix()
            inside = name.startswith((".venv-gpu/", "evidence/", ".venv-gpu.previous"))
            if not inside and name not in allowed | kept | self.brought:
                found.append(name)
        home = self.person.home
        tops = {".cache", ".cache/gpuenv", ".cache/uv", ".local", ".local/state", ".local/state/gpuenv"}
        for path in sorted(home.rglob("*")):
            name = path.relative_to(home).as_posix()
            inside = name.startswith((".cache/gpuenv/", ".cache/uv/", ".local/state/gpuenv/", ".local/share/uv"))
            if not inside and name not in tops | self.brought | {".local/share"}:
                found.append(f"~/{name}")
        for path in sorted(self.folder.iterdir()):
            if path.name not in {"home", "project", "tmp"} | self.brought:
                found.append(f"../{path.name}")
        found += [f"tmp/{path.name}" for path in (self.folder / "tmp").iterdir() if not path.name.startswith("gpuenv-")]
        return [each for each in found if each.removeprefix("~/") not in self.brought]

    @property
    def brought(self) -> set[str]:
        """Files that the case itself laid out."""
        return {note.removeprefix("brought ") for note in self.notes if note.startswith("brought ")}

    def bring(self, name: str, text: str, *, home: bool = False) -> Path:
        """Write a file of the case's own into the project or the home; it goes when the fault is over."""
        path = (self.person.home if home else self.person.project) / name
        self.notes += [f"brought {each.as_posix()}" for each in (Path(name), *Path(name).parents)]
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        self.healing.append(lambda: path.unlink(missing_ok=True))
        return path

    def _template(self) -> Iterator[Path]:
        root = self.folder.parent / "template/project"
        return (path for path in root.rglob("*") if ".venv-gpu" not in path.parts)


class Running:
    """A process that runs; what it says goes to files, so that no pipe can keep anybody waiting."""

    _count = 0

    def __init__(self, line: list[str], *, cwd: Path, env: Mapping[str, str], logs: Path) -> None:
        Running._count += 1
        self._out, self._err = (logs.parent / f"said-{Running._count}.{kind}" for kind in ("out", "err"))
        with self._out.open("wb") as out, self._err.open("wb") as err:
            self.process = subprocess.Popen(
                line, cwd=cwd, env=dict(env), stdin=subprocess.DEVNULL, stdout=out, stderr=err, start_new_session=True
            )

    def send(self, name: str) -> None:
        self.process.send_signal(signal.Signals[name])

    def wait(self, bound: float = 120.0) -> Run:
        try:
            code = self.process.wait(bound)
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
            code = TIMED_OUT
        out, err = (path.read_text(encoding="utf-8", errors="replace") for path in (self._out, self._err))
        for path in (self._out, self._err):
            path.unlink()
        return Run(code=code, out=out, err=err)


@contextmanager
def mounted(folder: Path, *options: str, kind: str = "tmpfs") -> Iterator[bool]:
    """Mount something at ``folder`` for a while; yields whether this was permitted."""
    done = subprocess.run(["mount", *options, kind, str(folder)], capture_output=True, check=False)
    yield done.returncode == 0
    if done.returncode == 0:
        unmount(folder)


def unmount(folder: Path) -> None:
    for _ in range(50):
        if subprocess.run(["umount", str(folder)], capture_output=True, check=False).returncode == 0:
            return
        time.sleep(0.05)
    subprocess.run(["umount", "-l", str(folder)], check=True)


def snapshot(folder: Path) -> dict[str, str]:
    """Each path below a folder with what stands there, byte code aside."""
    found = {}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if "__pycache__" in name or name == PREVIOUS_NOTE:
            continue
        if path.is_symlink():
            found[name] = f"-> {path.readlink()}"
        elif path.is_file():
            found[name] = hashlib.sha256(path.read_bytes()).hexdigest()
        else:
            found[name] = "folder"
    return found


def unlike(target: Path, lock: str, known: Mapping[str, BuiltWheel]) -> list[str]:
    """Compare an environment with its lock by bytes: each wheel's own, nothing lacking, nothing more."""
    if not (target / "gpuenv.json").is_file():
        return ["no environment"]
    found, wanted, wrong = read_environment(target), {}, []
    for package in tomllib.loads(lock)["packages"]:
        wheel = known.get(package["wheels"][0]["hashes"]["sha256"])
        if wheel is None:
            wrong.append(f"{package['name']}: foreign wheel in the lock")
            continue
        wanted |= _members(wheel)
    (site,) = target.glob("lib/python*/site-packages")
    there = {path.relative_to(site).as_posix(): path for path in site.rglob("*") if not path.is_dir()}
    for name, body in wanted.items():
        if name not in there or there[name].read_bytes() != body:
            wrong.append(f"{name}: {'other bytes' if name in there else 'missing'}")
    for name in sorted(set(there) - set(wanted)):
        last = name.rpartition("/")[2]
        if last not in _OWN and "__pycache__" not in name and not (".dist-info/" in name and last in _INSTALLED):
            wrong.append(f"{name}: foreign")
    return wrong + [f"{each.name}: {each.problem}" for each in found.distributions if each.problem]


def _members(wheel: BuiltWheel) -> dict[str, bytes]:
    """The files that a wheel brings, RECORD aside, and aside what leads out of it: uv leaves that out."""
    if not zipfile.is_zipfile(BytesIO(wheel.body)):
        return {f"{wheel.filename} is no archive": b""}
    with zipfile.ZipFile(BytesIO(wheel.body)) as archive:
        names = [name for name in archive.namelist() if not name.startswith(("/", "../"))]
        return {name: archive.read(name) for name in names if not name.endswith("/RECORD")}


def _command_lines() -> Iterator[str]:
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            yield entry.read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
