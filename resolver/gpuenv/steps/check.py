"""Will what a project has fixed run on a machine? Reads it, judges it for each machine, learns what no table knows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import field
from pathlib import Path
from typing import TYPE_CHECKING

from gpuenv import knowledge as tables
from gpuenv.dataclass import dataclass
from gpuenv.index.facts import WheelFacts
from gpuenv.installed.environment import read_environment
from gpuenv.knowledge import packages
from gpuenv.knowledge.names import public
from gpuenv.lock.model import MachineTarget
from gpuenv.lock.target import marker_environment
from gpuenv.metadata import parse_range
from gpuenv.model.decision import Question
from gpuenv.model.machine import Machine
from gpuenv.model.wheel import WheelContents
from gpuenv.project.judge import judge, refused
from gpuenv.project.pinned_wheel import fitting_files
from gpuenv.project.pins import MarkerTarget, Pin, PinSet, Project
from gpuenv.project.read import read_project
from gpuenv.project.verdicts import Bench, Judged
from gpuenv.select.target import Refusal
from gpuenv.steps.context import Context
from gpuenv.steps.machine import TargetMachine
from gpuenv.steps.pythons import PREFERRED_PYTHONS

if TYPE_CHECKING:
    from gpuenv.steps.wheels import Reader

_CONDA = {
    ("linux", "x86_64"): "linux-64",
    ("linux", "aarch64"): "linux-aarch64",
    ("linux", "arm64"): "linux-aarch64",
    ("windows", "x86_64"): "win-64",
    ("macos", "arm64"): "osx-arm64",
    ("macos", "aarch64"): "osx-arm64",
    ("macos", "x86_64"): "osx-64",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgedSet:
    """What is installed together on one machine, judged. ``name`` is empty for what is installed by default, else it
    says with what: ``extra cu128``."""

    name: str
    packages: tuple[Judged, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgedProject:
    """A file or folder, judged for one machine and one Python."""

    project: Project
    machine: TargetMachine
    python: str
    sets: tuple[JudgedSet, ...]


@dataclass(slots=True, kw_only=True)
class Examiner:
    """Judges projects; what was read of wheels is shared by all of them. Without ``read`` no network is used."""

    context: Context
    read: bool
    facts: dict[str, WheelContents] = field(default_factory=dict)
    _reader: Reader | None = None

    def open(self, path: Path, *, shown: str) -> Project:
        """Read a file or folder; our own lock and an environment tell torch's code themselves."""
        project = read_project(path, shown=shown, environ=self.context.environ, relevant=is_relevant)
        if project.kind == "gpuenv":
            self._of_lock(path if path.is_file() else path.parent / project.shown, shown=project.shown)
        elif project.kind == "environment":
            self._of_environment(path, project)
        return project

    def _of_lock(self, path: Path, *, shown: str) -> None:
        from gpuenv.steps.lock_file import read_lock

        lock = read_lock(path, shown=shown)
        torch = lock.by_name.get("torch") if lock is not None else None
        if lock is not None and torch is not None:
            decision = lock.decision
            cuda = tables.load().cuda_of(decision.variant) or ""
            self.facts[torch.location] = WheelContents(
                cuda=cuda if decision.accelerator == "cuda" else "",
                sass=decision.sass,
                ptx=decision.ptx,
                requires_dist=torch.requires or None,
                origin="table" if decision.kernels_from.startswith("table") else "wheel",
                detail=f"{shown}: {decision.kernels_from or 'a build for the CPU'}",
            )

    def _of_environment(self, path: Path, project: Project) -> None:
        torch = read_environment(path).torch
        pins = project.sets(MarkerTarget(markers={}, conda=""))[0].pins
        pin = next((each for each in pins if each.name == "torch"), None)
        if torch is not None and pin is not None and pin.wheels:
            self.facts[pin.wheels[0].url] = WheelContents(
                cuda=torch.cuda, sass=torch.sass, ptx=torch.ptx, origin="wheel", detail=torch.origin
            )

    def judge(self, project: Project, machine: TargetMachine) -> JudgedProject:
        """Judge a project for a machine: what it installs by default, then each extra and group that differs."""
        options = self.context.options
        python, sets = self._python(project, machine.facts)
        target = _target(machine.facts, python)
        found: list[JudgedSet] = []
        bench = Bench(
            machine=machine.facts,
            python=python,
            knowledge=tables.load(),
            facts=self.facts,
            usual_index=project.usual_index,
        )
        if (whole := refused(project, bench, target)) is not None:
            only = (JudgedSet(name="", packages=(whole,)),)
            return JudgedProject(project=project, machine=machine, python=python, sets=only)
        asked = {f"extra {each}" for each in options.extras} | {f"group {each}" for each in options.groups}
        for number, each in enumerate(sets):
            if number and (each.pins == sets[0].pins or not each.pins or (asked and each.name not in asked)):
                continue
            found.append(JudgedSet(name=each.name, packages=self._judged(each.pins, bench)))
        return JudgedProject(project=project, machine=machine, python=python, sets=tuple(found))

    def _judged(self, pins: Sequence[Pin], bench: Bench) -> tuple[Judged, ...]:
        found = judge(pins, bench)
        questions = [each.verdict.question for each in found if each.verdict.question is not None]
        return judge(pins, bench) if self._learn(questions) else found

    def _learn(self, questions: Sequence[Question]) -> bool:
        """Answer questions from memory, or by reading; whether anything was learned."""
        memory = WheelFacts(self.context.cache / "wheels")
        learned = False
        for question in questions:
            known = memory.get(question.wheel)
            if known is not None and (known.cuda is not None or known.sass is not None):
                self.facts[question.wheel.url] = known
            elif self.read:
                answer = self._open_reader().read(question)
                if isinstance(answer, str):
                    continue
                self.facts[question.wheel.url] = answer
            learned = learned or question.wheel.url in self.facts
        return learned

    def _open_reader(self) -> Reader:
        from gpuenv.steps.wheels import Reader  # a client, which nothing else here needs

        self._reader = self._reader or Reader(self.context)
        return self._reader

    def _python(self, project: Project, machine: Machine) -> tuple[str, tuple[PinSet, ...]]:
        """The Python that is judged, and what is installed with it: the one asked for; else the first usual one of the
        range for which torch has a wheel."""
        asked = self.context.options.python
        allowed = parse_range(project.requires_python)
        fitting = [each for each in PREFERRED_PYTHONS if allowed is None or allowed.contains(f"{each}.0")]
        first: tuple[str, tuple[PinSet, ...]] | None = None
        for python in [asked] if asked is not None else fitting or PREFERRED_PYTHONS[:1]:
            sets = project.sets(_target(machine, python))
            first = first or (python, sets)
            pins = (pin for each in sets for pin in each.pins)
            torch = next((pin for pin in pins if pin.name == "torch" and not pin.conda), None)
            if torch is None or _has_wheel(torch, machine, python):
                return python, sets
        assert first is not None
        return first


def _has_wheel(torch: Pin, machine: Machine, python: str) -> bool:
    """Whether there is a wheel of a torch for a Python: among those that are locked, else by the tables."""
    known = tables.load()
    bench = Bench(machine=machine, python=python, knowledge=known, facts={})
    if torch.wheels:
        answer = fitting_files([each.filename for each in torch.wheels], bench)
        return not isinstance(answer, Refusal) or answer.reason != "python"
    release = known.releases.get(public(torch.version))
    pythons = dict(release.pythons).get(bench.platform, ()) if release is not None else ()
    return not pythons or f"cp{python.replace('.', '')}" in pythons


def is_relevant(name: str) -> bool:
    """Whether a package is judged: of torch's family, a library of NVIDIA's, or one with code for GPUs."""
    known = tables.load()
    return name in known.family or packages.is_library(name) or packages.gpu_package(name) is not None


def _target(machine: Machine, python: str) -> MarkerTarget:
    target = MachineTarget(
        os=machine.os, arch=machine.arch, libc=machine.libc, python=python, compute_capabilities=(), driver=None
    )
    return MarkerTarget(markers=marker_environment(target), conda=_CONDA.get((machine.os, machine.arch), ""))
