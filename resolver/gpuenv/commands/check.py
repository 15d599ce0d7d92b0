"""Will a lock, a project or an environment run on a machine? Nothing is built, and nothing fetched that is known."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from gpuenv.dataclass import dataclass
from gpuenv.errors import UsageError
from gpuenv.model.machine import Machine
from gpuenv.project.judge import EVERYTHING
from gpuenv.project.pins import Kind
from gpuenv.project.read import LOCKS
from gpuenv.project.verdicts import FAILS, RUNS, Judged, Word
from gpuenv.shell import quote
from gpuenv.steps.check import Examiner, JudgedProject
from gpuenv.steps.context import Context, Failure, Outcome
from gpuenv.steps.lock_file import FOLDER
from gpuenv.steps.machine import TargetMachine, detect_or_read, in_scope, in_words


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckedMachine:
    """A machine that was asked about: ``name`` is as short as a column's title, ``words`` say what it is."""

    name: str
    words: str
    typed: str
    """What names it behind ``--machine``, as a shell takes it; empty for this machine."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckedPackage:
    """One package of one set on one machine. ``next`` is what to type where it does not run."""

    file: str
    set: str
    machine: str
    package: Judged
    next: str = ""

    @property
    def runs(self) -> bool | None:
        """Whether it runs; ``None`` where that is not known."""
        word = self.package.verdict.word
        return None if word == "unknown" else word in RUNS


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckedFile:
    """A file or folder: what wrote it, how many packages it fixes, and the Python it was judged for by machine."""

    file: str
    kind: Kind
    count: int
    pythons: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckOutcome(Outcome):
    """The answers, in the order of files, machines and sets."""

    machines: tuple[CheckedMachine, ...]
    files: tuple[CheckedFile, ...]
    rows: tuple[CheckedPackage, ...]
    format: str = "text"
    facts: bool = False
    """Whether a person wants to see what each answer follows from."""


def run(
    context: Context,
    *,
    files: Sequence[Path],
    machines: Sequence[Path],
    read: bool = False,
    strict: bool = False,
    format: str = "text",
    facts: bool = False,
) -> CheckOutcome:
    """Judge each file for each machine; exit 1 where something will not run, with ``strict`` where it is not known."""
    targets = _short([_machine(context, each) for each in dict.fromkeys(machines)] or [_own(context)])
    examiner = Examiner(context=context, read=read)
    projects = [
        examiner.open(context.project / each, shown=_shown(context, each)) for each in files or [_here(context)]
    ]
    checked = [[examiner.judge(project, target) for _, target in targets] for project in projects]
    rows = tuple(
        row
        for judged in checked
        for (machine, _), one in zip(targets, judged, strict=True)
        for row in _rows(one, machine)
    )
    failed = any(_fails(judged, strict=strict) for each in checked for judged in each)
    return CheckOutcome(
        machines=tuple(machine for machine, _ in targets),
        files=tuple(
            CheckedFile(
                file=project.shown,
                kind=project.kind,
                count=project.count,
                pythons=tuple(each.python for each in judged),
            )
            for project, judged in zip(projects, checked, strict=True)
        ),
        rows=rows,
        format=format,
        facts=facts,
        exit_code=1 if failed else 0,
        problems=(_problem(rows),) if failed else (),
    )


def _problem(rows: Sequence[CheckedPackage]) -> Failure:
    """How much does not run, and what to type."""
    wrong = [row for row in rows if row.runs is False] or [row for row in rows if row.runs is None]
    names = list(dict.fromkeys(row.package.name for row in wrong))
    said = ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
    where = " and ".join(dict.fromkeys(row.machine for row in wrong))
    known = any(row.runs is False for row in wrong)
    if names == [EVERYTHING]:
        files = " and ".join(dict.fromkeys(row.file for row in wrong))
        hints = tuple(dict.fromkeys(f"{_why(row)}: `{row.next}`" for row in wrong if row.next))
        return Failure(code="will-not-run", message=f"{files} is not locked for {where}", hints=hints)
    return Failure(
        code="will-not-run" if known else "not-known",
        message=f"on {where} {said} will not run" if known else f"whether {said} will run on {where} is not known",
        hints=tuple(dict.fromkeys(f"{_why(row)}: `{row.next}`" for row in wrong if row.next)),
    )


def _why(row: CheckedPackage) -> str:
    """What the command does that comes next."""
    if row.runs is None:
        return f"To read the wheels for {row.machine}"
    if row.next.startswith("gpuenv doctor"):
        return f"What is wrong with {row.file}"
    return f"What fits {row.machine}" if row.next.startswith("gpuenv resolve") else "To ask about another machine"


def _fails(judged: JudgedProject, *, strict: bool) -> bool:
    """Whether something of a project does not run on a machine.

    Where torch comes with extras or groups alone, they are builds to choose from: one that runs is enough.
    """
    bad: frozenset[Word] = FAILS | ({"unknown"} if strict else frozenset())
    wrong = [any(package.verdict.word in bad for package in each.packages) for each in judged.sets]
    with_torch = [
        failed
        for each, failed in zip(judged.sets, wrong, strict=True)
        if any(package.name == "torch" for package in each.packages)
    ]
    if with_torch and not any(package.name == "torch" for package in judged.sets[0].packages):
        return wrong[0] or all(with_torch)
    return any(wrong)


def _own(context: Context) -> tuple[CheckedMachine, TargetMachine]:
    target = detect_or_read(context)
    target = replace(target, facts=in_scope(context, target.facts))
    typed = _typed(context, context.options.machine)
    facts = target.facts
    words = in_words(facts)
    if facts.gpus and (facts.os, facts.arch) != ("linux", "x86_64"):
        words += f", {facts.os} {facts.arch}"
    name = typed or "this machine"
    return CheckedMachine(name=name, words=words, typed=quote(typed) if typed else ""), target


def _short(targets: list[tuple[CheckedMachine, TargetMachine]]) -> list[tuple[CheckedMachine, TargetMachine]]:
    """Machines by the last part of their paths, where that tells them apart."""
    last = [machine.name.rpartition("/")[2] for machine, _ in targets]
    if len(set(last)) < len(last):
        return targets
    return [(replace(machine, name=name), target) for name, (machine, target) in zip(last, targets, strict=True)]


def _machine(context: Context, path: Path) -> tuple[CheckedMachine, TargetMachine]:
    return _own(replace(context, options=replace(context.options, machine=path)))


def _typed(context: Context, option: Path | None) -> str:
    if option is None:
        return ""
    there = (context.project / option).exists()
    return context.shown(context.project / option) if there else option.name


def _shown(context: Context, path: Path) -> str:
    return context.shown(context.project / path)


def _here(context: Context) -> Path:
    """The first lock that stands in the project."""
    found = next((Path(each) for each in LOCKS if (context.project / each).is_file()), None)
    if found is None:
        ours = sorted((context.project / FOLDER).glob("pylock.*.toml"))
        named = quote(context.shown(ours[0])) if ours else "FILE"
        raise UsageError(
            "there is no lock in this folder, and none was named",
            causes=(f"looked for {', '.join(LOCKS)}",),
            hints=(f"Name a file or the folder of an environment: `gpuenv check {named}`",),
        )
    return found


def _rows(judged: JudgedProject, machine: CheckedMachine) -> list[CheckedPackage]:
    """What is installed by default; of an extra, a group or an environment what it adds or changes."""
    project = judged.project
    default = {(each.name, each.version, each.verdict) for each in judged.sets[0].packages}
    return [
        CheckedPackage(
            file=project.shown,
            set=each.name,
            machine=machine.name,
            package=package,
            next=_next(package, project.kind, project.shown, machine, judged.machine.facts),
        )
        for number, each in enumerate(judged.sets)
        for package in each.packages
        if not number or (package.name, package.version, package.verdict) not in default
    ]


def _next(package: Judged, kind: Kind, shown: str, machine: CheckedMachine, facts: Machine) -> str:
    """What to type for a package that does not run, or about which more can be learned."""
    word, lock, there = package.verdict.word, quote(shown), machine.typed
    if kind == "environment" and word not in RUNS:
        return f"gpuenv doctor {lock} --machine {there}" if there else f"gpuenv doctor {lock}"
    if word == "unknown":
        read = f"gpuenv check {lock} --read --machine {there}" if there else f"gpuenv check {lock} --read"
        return read if package.verdict.question is not None else ""
    if word not in FAILS:
        return ""
    if word == "no-gpu" or not facts.gpus:
        return f"gpuenv check {lock} --machine h100"
    if kind in ("requirements", "conda"):
        return f"gpuenv resolve -r {lock} --machine {there}" if there else f"gpuenv resolve -r {lock}"
    return f"gpuenv resolve --machine {there}" if there else "gpuenv resolve"
