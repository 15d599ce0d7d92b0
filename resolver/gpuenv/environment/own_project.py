"""The person's own project in their environment: installed editable, and nothing else changed by that."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from gpuenv.environment.uv import failure
from gpuenv.errors import UvError
from gpuenv.installed.distribution import Distribution
from gpuenv.installed.environment import read_environment
from gpuenv.report import Reporter
from gpuenv.system.process import Ended


def install_project(
    project: Path,
    environment: Path,
    before: Sequence[Distribution],
    *,
    offline: bool,
    reporter: Reporter,
    run: Callable[[list[str]], Ended],
) -> tuple[tuple[Distribution, ...], str]:
    """Install a project without what it requires: the lock has that. Returns what is installed then, and its name.

    Its build backend runs, with what it needs from the package index. Raises :class:`~gpuenv.errors.UvError` where the
    build fails, or where it changed anything but the project.
    """
    args = ["pip", "install", "--python", str(environment), "--no-deps", "--editable", str(project)]
    with reporter.task(f"Installing the project {project.name}"):
        done = run([*args, "--offline"] if offline else args)
    if done.returncode != 0:
        raise failure(done, doing=f"installing the project {project}")
    found = read_environment(environment).distributions
    records = {each.name: each.record for each in before}
    moved = [each.name for each in found if records.get(each.name, each.record) != each.record]
    own = [each.name for each in found if each.name not in records]
    if moved or len(own) != 1 or len(found) != len(records) + 1:
        raise UvError(f"installing the project changed {', '.join(moved or own) or 'nothing'}")
    return found, own[0]
