"""Importing the family once in the staged environment, before anything is swapped: a companion of another build says so
when it is imported, and nowhere else."""

from __future__ import annotations

import os
import platform
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from gpuenv.dataclass import dataclass
from gpuenv.environment.target import Target
from gpuenv.errors import VerificationError
from gpuenv.installed.places import find_python
from gpuenv.knowledge import load
from gpuenv.lock.model import Lock
from gpuenv.report import Reporter
from gpuenv.system.ending import how_ended
from gpuenv.system.process import Ended, Limits, NotStarted, TimedOut, run

DEADLINE = 300.0
"""Seconds for all imports together: a second with warm files, minutes where a network disk has to bring gigabytes."""

# Without json or importlib: modules that the child would load for this alone take as long as its start. What is said
# goes past sys.stdout, which what is imported may replace or close, or leave in the middle of a line.
_CODE = """
import os, sys
out, (_, mark, *names) = os.dup(1), sys.argv
for name in names:
    try:
        __import__(name)
        said = ""
    except BaseException as problem:
        said = f"{type(problem).__name__}: {problem}"[:10_000]
    line = "\\n" + mark + name + " " + said.encode("utf-8", "backslashreplace").hex() + "\\n"
    os.write(out, line.encode())
    if said:
        break
"""
_SYSTEMS = {"linux": "linux", "win32": "windows", "darwin": "macos"}
_ARCHS = {"amd64": "x86_64", "arm64": "aarch64"}
_ROLES = ("core", "companion")
"""What is imported: torch and what is released with it. Extensions may need libraries of the system to be imported."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportFault:
    """A package of the family that cannot be imported beside the others, and the words it says. One that is ``late``
    was not at its end when the time was up: that may be the machine, and says nothing of the wheels."""

    package: str
    said: str
    late: bool = False


def modules_of(lock: Lock) -> tuple[str, ...]:
    """The modules of a lock's family that every environment of it must be able to import, torch first."""
    names = sorted(package.name for package in lock.family if load().role(package.name) in _ROLES)
    return tuple(sorted(names, key=lambda name: load().role(name) != "core"))


def is_for_here(lock: Lock) -> bool:
    """Whether a lock is for this platform, so that its wheels can be imported at all."""
    target, arch = lock.inputs.target, platform.machine().lower()
    here = _SYSTEMS.get(sys.platform), _ARCHS.get(arch, arch)
    return here == (target.os, _ARCHS.get(target.arch, target.arch))


def import_family(
    environment: Path,
    modules: Sequence[str],
    *,
    environ: Mapping[str, str],
    deadline: float = DEADLINE,
    meanwhile: Callable[[], None] = lambda: None,
) -> ImportFault | None:
    """Import ``modules`` one after the other in one isolated child of the environment's own Python.

    ``environ`` is what the child may see. No bytecode is written: the environment stays as its wheels say. A machine
    without a GPU or driver imports a CUDA build of torch all the same. ``meanwhile`` is done while the child runs.
    Returns the first that fails, else ``None``.
    """
    # -I: neither PYTHON* variables nor the working directory nor a user's site-packages have a say.
    python = find_python(environment)
    if python is None:
        return ImportFault(package=modules[0], said=f"{environment} has no Python that can be started")
    mark = f"gpuenv-import-{os.urandom(8).hex()} "  # which nothing that is imported writes
    command = [str(python), "-I", "-B", "-c", _CODE, mark, *modules]
    done = run(command, cwd=environment, environ=environ, limits=Limits(deadline=deadline), meanwhile=meanwhile)
    if isinstance(done, NotStarted):
        return ImportFault(package=modules[0], said=f"{python} cannot be started: {done.reason}")
    ours = (line.removeprefix(mark) for line in done.stdout.splitlines() if line.startswith(mark))
    told = [pair for line in ours if (pair := _pair(line))]
    for name, said in told:
        if said:
            return ImportFault(package=name, said=said)
    if isinstance(done, Ended) and done.returncode == 0 and len(told) == len(modules):
        return None
    late = isinstance(done, TimedOut)
    return ImportFault(package=modules[min(len(told), len(modules) - 1)], said=_ended(done), late=late)


def _pair(line: str) -> tuple[str, str] | None:
    """Module and error, of a line that is whole: its writer may have been ended at it."""
    name, _, said = line.partition(" ")
    try:
        return name, bytes.fromhex(said).decode()
    except ValueError:
        return None


def _ended(done: Ended | TimedOut) -> str:
    if isinstance(done, TimedOut):
        return f"the import did not end within {done.seconds:.0f} s"
    last = next((line for line in reversed(done.stderr.splitlines()) if line.strip()), "")
    how = f"the process {how_ended(done.returncode)}"
    return f"{how}: {last.strip()}" if last else how


def require_imports(
    environment: Path,
    lock: Lock,
    *,
    target: Target,
    environ: Mapping[str, str],
    reporter: Reporter,
    meanwhile: Callable[[], None] = lambda: None,
) -> None:
    """Import the family, whether or not a proof follows: a companion of another build is refused by nothing else.

    ``target`` is where the environment will stand; ``meanwhile`` is done in any case.

    Raises :class:`~gpuenv.errors.VerificationError`.
    """
    modules = modules_of(lock)
    if modules and not is_for_here(lock):
        reporter.detail(f"{', '.join(modules)} not imported: the lock is for another platform")
        modules = ()
    if not modules:
        meanwhile()
        return
    fault = import_family(environment, modules, environ=environ, meanwhile=meanwhile)
    if fault is None:
        return
    kept = f"; {target.path} was left as it was" if target.exists else ""
    from gpuenv.installed.missing import find_missing

    missing = find_missing(environment, modules, environ=environ)
    versions = {package.name: package.version for package in lock.packages}
    torch = versions.get("torch", "").partition("+")[0]
    does = "did not come to the end of its import" if fault.late else "cannot be imported"
    profile = lock.inputs.profile
    again = (f"A busy machine or a slow disk may be why: run it again, `gpuenv create --profile {profile}`",)
    raise VerificationError(
        f"{fault.package} {versions[fault.package]} {does} in the new environment, which was discarded{kept}",
        causes=(fault.said, *map(str, missing)),
        hints=(
            *(f"Install what is missing: `{hint}`" for hint in dict.fromkeys(each.hint for each in missing) if hint),
            *(again if fault.late else ()),
            f'Lock another torch, then build again: `gpuenv lock --profile {profile} --upgrade --torch "!={torch}"`',
        ),
    )
