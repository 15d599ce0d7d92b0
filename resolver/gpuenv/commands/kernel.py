"""Register an environment as a kernel for Jupyter, by the environment's own ipykernel."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

from gpuenv.dataclass import dataclass
from gpuenv.environment.guard import activated
from gpuenv.errors import ConfigurationError, UsageError
from gpuenv.installed.environment import EnvironmentFacts, read_environment
from gpuenv.shell import quote
from gpuenv.steps.context import Context, Outcome
from gpuenv.steps.environment import standing_at
from gpuenv.system import process
from gpuenv.system.ending import how_ended

_LIMITS = process.Limits(deadline=120.0)
_NAME = re.compile(r"[A-Za-z0-9._-]+")


@dataclass(frozen=True, slots=True, kw_only=True)
class KernelOutcome(Outcome):
    """The kernel as Jupyter lists it; ``folder`` holds its ``kernel.json``."""

    name: str
    title: str
    environment: Path
    folder: str


def run(context: Context, *, environment: Path | None, name: str | None) -> KernelOutcome:
    """Write the kernel's specification into the user's folder of Jupyter, as ``ipykernel install --user`` does.

    The kernel gets the variables of an activated environment, so that ``!pip install`` in a notebook is this pip, and
    keeps torch's family.
    """
    target = standing_at(context, environment)
    shown = context.shown(target)
    facts = read_environment(target, shown=shown)
    if facts.version_of("ipykernel") is None:
        of = f" --profile {quote(facts.marker.profile)}" if facts.marker is not None else ""
        add = f"gpuenv add ipykernel{of}"
        if environment is not None:  # `add` builds the profile's own
            add = f"{add} --lock-only`, then `gpuenv create{of} {quote(shown)}"
        raise UsageError(
            f"ipykernel is not in {shown}, and Jupyter starts a kernel through it",
            hints=(f"Add it: `{add}`, then run this again",),
        )
    wanted = name or _name(context, target)
    if _NAME.fullmatch(wanted) is None:
        raise UsageError(f"a kernel cannot be named {wanted!r}: letters, digits, `.`, `_` and `-` only")
    environ = activated(context.environ, target)
    before = _kernels(facts, environ).get(wanted)
    if before is not None and not before[1].startswith(f"{target}/") and not before[1].startswith(f"{target}\\"):
        raise UsageError(
            f"there is a kernel named {wanted} already, in {before[0]}; it was left as it is",
            causes=(f"it starts {before[1]}",),
            hints=(f"Choose another name: `gpuenv kernel --name {quote(f'{wanted}-2')}`",),
        )
    torch = facts.torch.version if facts.torch is not None else None
    title = f"{context.project.name} ({f'torch {torch}, ' if torch else ''}Python {facts.python_version})"
    words = ["ipykernel", "install", "--user", "--name", wanted, "--display-name", title]
    variables: dict[str, str] = {
        key: environ[key] for key in ("VIRTUAL_ENV", "UV_CONSTRAINT", "PIP_CONSTRAINT") if key in environ
    }
    variables["PATH"] = f"{_scripts(facts)}{os.pathsep}${{PATH}}"  # Jupyter fills in its own
    for key, value in variables.items():
        words += ["--env", key, value]
    _ask(facts, words, environ)
    after = _kernels(facts, environ).get(wanted)
    if after is None:
        raise ConfigurationError(f"ipykernel wrote the kernel {wanted}, and Jupyter does not list it")
    return KernelOutcome(name=wanted, title=title, environment=target, folder=after[0])


def _name(context: Context, target: Path) -> str:
    place = target.relative_to(context.project).as_posix() if target.is_relative_to(context.project) else target.name
    words = f"gpuenv {context.project.name} {place.removeprefix('.venv-gpu')}"
    return re.sub(r"[^a-z0-9]+", "-", words.lower()).strip("-")


def _scripts(facts: EnvironmentFacts) -> Path:
    assert facts.python is not None
    return facts.python.parent


def _kernels(facts: EnvironmentFacts, environ: dict[str, str]) -> dict[str, tuple[str, str]]:
    """The kernels that Jupyter knows by name: folder, and the program that each starts."""
    text = _ask(facts, ["jupyter_client.kernelspecapp", "list", "--json"], environ)
    try:
        found = json.loads(text)["kernelspecs"]
        return {
            str(name): (str(each["resource_dir"]), str((each["spec"]["argv"] or [""])[0]))
            for name, each in found.items()
        }
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        raise ConfigurationError("Jupyter's list of kernels cannot be read", causes=(str(error),)) from None


def _ask(facts: EnvironmentFacts, words: list[str], environ: dict[str, str]) -> str:
    done = process.run([str(facts.python), "-m", *words], environ=environ, limits=_LIMITS)
    if isinstance(done, process.Ended) and done.returncode == 0:
        return done.stdout
    match done:
        case process.Ended():
            why = done.stderr.strip().splitlines()[-1:] or [f"it {how_ended(done.returncode)}"]
        case process.NotStarted():
            why = [done.reason]
        case _:
            why = [f"it took longer than {done.seconds:.0f} s"]
    raise ConfigurationError(f"`python -m {words[0]}` of the environment failed", causes=why)
