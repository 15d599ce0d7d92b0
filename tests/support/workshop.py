"""A place to build small environments with the real uv: wheels, a lock, a server, a cache, a state folder."""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gpuenv.environment.build import BuildOptions, Built, staged_environment
from gpuenv.environment.interpreters import running_interpreter
from gpuenv.environment.uv import Uv, find_uv
from gpuenv.installed.compare import Compared, compare
from gpuenv.installed.environment import read_environment
from gpuenv.lock.model import Lock
from gpuenv.model.verification import Report
from support.locked import FileServer, make_lock, write_lock
from support.wheels import BuiltWheel, build_wheel

NO_RETRIES = {"UV_HTTP_RETRIES": "0"}


def build(
    lock_path: Path, lock: Lock, *, verify: Callable[[Path], Report] | None = None, **options: Any
) -> Built:  # Any: what ``staged_environment`` takes
    """Build as `create` does: staged, verified where that is asked for, swapped in."""
    with staged_environment(lock_path, lock, **options) as staged:
        return staged.swap_in(verify(staged.path) if verify else None)


def alpha(version: str = "1.0") -> BuiltWheel:
    """A small wheel with a command."""
    return build_wheel(
        "alpha",
        version,
        files={"alpha/__init__.py": f"__version__ = {version!r}\ndef main(): print('alpha', __version__)\n"},
        entry_points="[console_scripts]\nalpha = alpha:main\n",
    )


def torch(version: str = "1.0", size: int = 2_000_000) -> BuiltWheel:
    """A wheel with the name that matters, a few hundred files, and a large one."""
    files: dict[str, str | bytes] = {"torch/__init__.py": f"__version__ = {version!r}\n"}
    files |= {f"torch/part_{number:03}.py": f"VALUE = {number}\n" for number in range(300)}
    files["torch/lib/blob.bin"] = random.Random(version).randbytes(size)
    return build_wheel("torch", version, files=files)


class Told:
    """A reporter that remembers."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.progress: list[tuple[str, int, int]] = []

    def say(self, line: str, /) -> None:
        self.lines.append(line)

    notice = warn = detail = say

    def task(self, title: str, /, *, total: int | None = None, unit: str = "") -> AbstractContextManager[ToldTask]:
        self.progress.append((title, total or 0, 0))
        return nullcontext(ToldTask(self))


class ToldTask:
    def __init__(self, told: Told) -> None:
        self._told = told

    def advance(self, amount: int, /) -> None:
        title, total, done = self._told.progress[-1]
        self._told.progress[-1] = (title, total, done + amount)

    def update(self, *, total: int | None = None, text: str | None = None) -> None:
        pass


@dataclass(kw_only=True)
class Workshop:
    """Builds into ``folder/project/.venv-gpu``. ``told`` is what the last build said."""

    folder: Path
    server: FileServer
    environ: Mapping[str, str] = field(default_factory=lambda: dict(os.environ))
    told: Told = field(default_factory=Told)

    def __post_init__(self) -> None:
        self.project.mkdir(parents=True, exist_ok=True)

    @property
    def project(self) -> Path:
        return self.folder / "project"

    @property
    def target(self) -> Path:
        return self.project / ".venv-gpu"

    @property
    def uv(self) -> Uv:
        return find_uv(self.environ)

    def lock(self, wheels: Sequence[BuiltWheel]) -> tuple[Path, Lock]:
        """Serve wheels and lock them."""
        for wheel in wheels:
            self.server.files[wheel.filename] = wheel.body
        path = write_lock(self.folder / "pylock.test.toml", wheels, base=self.server.url)
        return path, make_lock(wheels, base=self.server.url)

    def build(
        self,
        wheels: Sequence[BuiltWheel],
        *,
        options: BuildOptions | None = None,
        verify: Callable[[Path], Report] | None = None,
        target: Path | None = None,
        cache: Path | None = None,
    ) -> Built:
        """Lock and build."""
        lock_path, lock = self.lock(wheels)
        self.told = Told()
        return build(
            lock_path,
            lock,
            target=target or self.target,
            python=running_interpreter(),
            uv=self.uv,
            state=self.folder / "state",
            cache=cache or self.folder / "cache",
            reporter=self.told,
            verify=verify,
            options=options or BuildOptions(extra_env=NO_RETRIES),
        )

    def build_from_nowhere(self, wheels: Sequence[BuiltWheel]) -> Built:
        """Lock wheels that the server has not, and build."""
        lock_path, lock = self.lock(wheels)
        self.server.files.clear()
        return build(
            lock_path,
            lock,
            target=self.target,
            python=running_interpreter(),
            uv=self.uv,
            state=self.folder / "state",
            cache=self.folder / "cache",
            reporter=self.told,
            options=BuildOptions(extra_env=NO_RETRIES),
        )

    def look(self) -> Compared:
        """Compare every file of the environment at the target with the RECORDs in it."""
        return compare(read_environment(self.target), deep=True)

    def leftovers(self) -> list[str]:
        """What lies beside the target that no build may leave."""
        return sorted(path.name for path in self.project.iterdir() if path.name != self.target.name)
