"""When nothing fits: the smallest set of rules that decided that, what came nearest, and what to type."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from packaging.version import Version

from gpuenv.knowledge.rules import code_of, compare_versions
from gpuenv.knowledge.rules import newest as newest_of
from gpuenv.model.decision import NoDecision
from gpuenv.model.machine import Gpu
from gpuenv.select import unmet
from gpuenv.select.candidates import CatalogEntry, label, public_version
from gpuenv.select.conflict import Conflict, Row, code, passed_over, smallest
from gpuenv.select.evaluation import Evaluation
from gpuenv.select.kernels import Served
from gpuenv.select.rules import Problem, check_driver
from gpuenv.select.target import Refusal
from gpuenv.select.verdicts import Rejections
from gpuenv.select.words import driver_words, gpu_list, gpu_words, join, kinds

_CAUSES = 4
Refused = tuple[CatalogEntry, Refusal]


def no_decision(evaluation: Evaluation, *, wants_nightly: bool) -> NoDecision:
    """Say why nothing fits. What was asked for stands in the sentence as far as it matters, and no further."""
    found = _find(evaluation)
    return replace(found, rejected=Rejections(evaluation.verdicts), wants_nightly=wants_nightly)


def only_ptx(evaluation: Evaluation, best: Served) -> NoDecision:
    """Say that stable wheels have only PTX, so that nightlies are worth a look before that is taken."""
    return NoDecision(
        summary=f"no stable wheel has native code for {kinds(evaluation.problem.gpus)}; a nightly may",
        causes=(f"{label(best.entry.wheel)} has PTX only: {join(list(dict.fromkeys(gpu.by for gpu in best.gpus)))}",),
        hints=("Add `--channel stable` to take the PTX",),
        rejected=Rejections(evaluation.verdicts),
        wants_nightly=True,
    )


def _find(evaluation: Evaluation) -> NoDecision:
    problem = evaluation.problem
    if not problem.target.pythons:
        return _no_interpreter(problem)
    if (wrong := _wrong_variant(problem)) is not None:
        return wrong
    if not evaluation.refused():
        return _no_platform(evaluation)
    conflict = smallest(evaluation)
    if conflict is None or (conflict.parts == {"variant"} and problem.variant is None):
        return _no_such_build(evaluation)
    rows = conflict.meeting(conflict.asked)
    if _one_channel(problem, conflict):
        conflict = replace(conflict, parts=conflict.parts | {"channel"})
    asked = unmet.qualified(problem, conflict.asked)
    if "companion" in conflict.parts:
        lacking = [(row.entry, row.refusal) for row in rows if "companion" in row.parts]
        return _companion(evaluation, lacking, unmet.subject_of(problem, conflict.asked))
    if "unknown-kernels" in conflict.parts:
        return _unknown(problem, [(row.entry, row.refusal) for row in rows if "unknown-kernels" in row.parts], asked)
    if "driver" in conflict.parts or "kernels" in conflict.parts:
        found = _driver_or_kernels(evaluation, conflict, rows, asked)
        unread = {label(row.entry.wheel) for row in rows if passed_over(problem, row.entry, row.refusal)}
        return replace(found, summary=f"{found.summary}; {len(unread)} older were not read") if unread else found
    return NoDecision(summary=unmet.summary(problem, conflict), causes=unmet.causes(problem, conflict)[:_CAUSES])


def _one_channel(problem: Problem, conflict: Conflict) -> bool:
    """Whether only the pages of the channel that was insisted on were looked at, so that nothing is said of others."""
    wheels = [row.entry.wheel for row in conflict.rows]
    layered = any(wheel.source in ("pytorch", "mirror") for wheel in wheels)
    return problem.channel != "auto" and layered and {wheel.channel for wheel in wheels} == {problem.channel}


def _no_interpreter(problem: Problem) -> NoDecision:
    asked, there = problem.profile.python, join(problem.request.pythons) or "none"
    said = f"the profile wants Python {asked}" if asked else "no interpreter was offered"
    return NoDecision(summary=f"{said}, and the interpreters to choose from are {there}")


def _wrong_variant(problem: Problem) -> NoDecision | None:
    """A variant that is none, or a CUDA build for the CPU."""
    profile, variant = problem.profile, problem.variant
    if variant is None:
        return None
    if unmet.misnamed(problem):
        near = unmet.nearest_variant(problem.knowledge, variant)
        other = variant.startswith(("rocm", "xpu"))
        why = "gpuenv decides between CUDA variants and cpu" if other or near is None else f"the nearest is {near}"
        return NoDecision(summary=f"there is no CUDA variant named {variant}", causes=(why,), contradiction=True)
    if not problem.cpu:
        return None
    if profile.accelerator == "cpu":
        return NoDecision(
            summary=f"profile {profile.name} is for the CPU, and {variant} is a CUDA build", contradiction=True
        )
    return NoDecision(summary=f"{variant} is a CUDA build, and there is no NVIDIA GPU on this machine")


def _no_platform(evaluation: Evaluation) -> NoDecision:
    machine = evaluation.problem.machine
    rows = [row for row in evaluation.verdicts.rejected() if row.project == "torch"]
    if not rows:
        channel = evaluation.problem.channel
        where = "" if channel == "auto" else f" in the {channel} channel"
        return NoDecision(
            summary=f"no source offers a torch wheel{where}",
            hints=("Name a source with `--torch-index BASE` or `--find-links DIR`",),
        )
    libc = [row for row in rows if row.reason == "libc"]
    if libc:
        newest: dict[str, str] = {}
        for row in libc:
            newest.setdefault(row.detail, row.candidate)
        newer = "a newer glibc" if machine.libc_family == "glibc" else "glibc"
        return NoDecision(
            summary=f"no torch wheel runs with {machine.libc or 'an unknown libc'}",
            causes=tuple(f"{candidate}: {detail}" for detail, candidate in newest.items())[:_CAUSES],
            hints=(f"Use a system with {newer}: the wheels of torch are built against it",),
        )
    return NoDecision(
        summary=f"no torch wheel is for {evaluation.problem.target.words}",
        causes=tuple(f"{row.candidate}: {row.detail}" for row in rows[:_CAUSES]),
    )


def _no_such_build(evaluation: Evaluation) -> NoDecision:
    """No wheel is of the kind that is decided on, whatever else was asked for."""
    problem = evaluation.problem
    # What gpuenv can decide on; a page lists the builds for other makers' cards beside them.
    builds = {entry.variant for entry, _ in evaluation.refused() if entry.variant}
    decidable = {each for each in builds if each == "cpu" or problem.knowledge.cuda_of(each)}
    offered = sorted(decidable or builds, key=lambda each: (len(each), each))
    cause = (f"offered for {problem.target.words}: {join(offered)}",) if offered else ()
    if problem.cpu:
        return NoDecision(
            summary="no CPU build of torch is offered for this machine, and a CUDA build is never taken for one",
            causes=cause,
            hints=("Name a source that has CPU builds: `--torch-index BASE` or `--find-links DIR`",),
        )
    return NoDecision(
        summary="only CPU builds of torch are offered for this machine, and none is ever taken for a GPU",
        causes=cause,
        hints=("Name a source that has CUDA builds: `--torch-index BASE`", "Use `--profile cpu` for a CPU build"),
    )


def _companion(evaluation: Evaluation, rows: Sequence[Refused], subject: str) -> NoDecision:
    best = max(rows, key=lambda row: row[0].version)
    names = join(evaluation.problem.constraints.required)
    details: dict[str, str] = {}
    for entry, refusal in sorted(rows, key=lambda row: row[0].version, reverse=True):
        details.setdefault(label(entry.wheel), refusal.detail)
    return NoDecision(
        summary=f"no {subject} that fits has its {names} beside it: {label(best[0].wheel)}: {best[1].detail}",
        causes=tuple(f"{name}: {detail}" for name, detail in details.items())[:_CAUSES],
        hints=(f"Make {names} optional in the profile (`optional-packages`) to go without",),
    )


def _unknown(problem: Problem, rows: Sequence[Refused], asked: str) -> NoDecision:
    details = {label(entry.wheel): refusal.detail for entry, refusal in rows}
    return NoDecision(
        summary=f"no wheel{asked} is known to have code for {kinds(problem.gpus)}, and {len(rows)} could not be read",
        causes=tuple(f"{name}: {detail}" for name, detail in sorted(details.items(), reverse=True))[:_CAUSES],
        hints=("Add `--allow-unknown-kernels` to accept what cannot be established",),
    )


def _driver_or_kernels(evaluation: Evaluation, conflict: Conflict, rows: Sequence[Row], asked: str) -> NoDecision:
    """Name the driver where a newer one would do, the code where none would."""
    problem = evaluation.problem
    lacking = [row.entry for row in rows if "kernels" in row.parts]
    if "driver" in conflict.parts:
        others = [row.entry for row in rows if "driver" in row.parts and "kernels" not in row.parts] or lacking
        sure = [entry for entry in others if _serves(evaluation, entry, problem.gpus)]
        return _driver(evaluation, sure or others, sure=bool(sure), asked=asked)
    if len({gpu.compute_capability for gpu in problem.gpus}) > 1:
        mixed = _mixed(evaluation, rows, asked)
        if mixed is not None:
            return mixed
    refused = [(entry, said) for entry in lacking if isinstance(said := code(evaluation, entry, problem.gpus), Refusal)]
    return _kernels(evaluation, refused, asked)


def _serves(evaluation: Evaluation, entry: CatalogEntry, gpus: Sequence[Gpu]) -> bool:
    """Whether a wheel's known code serves these GPUs, on a driver new enough for it."""
    return isinstance(code(evaluation, entry, gpus), Served)


def _driver(evaluation: Evaluation, entries: Sequence[CatalogEntry], *, sure: bool, asked: str) -> NoDecision:
    problem = evaluation.problem
    floors = {
        entry.variant: floor
        for entry in entries
        if entry.variant and (floor := check_driver(problem, entry.variant).floor) is not None
    }
    if not floors:
        variants = join(sorted({entry.variant or label(entry.wheel) for entry in entries}))
        return NoDecision(summary=f"which driver {variants} needs is not known, so that it cannot be said to run here")
    if problem.machine.driver is None:
        return NoDecision(
            summary="the driver of this machine is not known, so that no CUDA build can be said to run",
            hints=("Name the driver in the machine file, or add `--allow-unknown-kernels`",),
        )
    lowest = min(_numbers(floor.minimum) for floor in floors.values())
    easiest = max(
        (entry for entry in entries if entry.variant in floors and _numbers(floors[entry.variant].minimum) == lowest),
        key=lambda entry: (entry.version, entry.wheel.url),
    )
    floor = floors[easiest.variant or ""]
    what = f"{asked} with code for {kinds(problem.gpus)}" if sure else f"{asked} offered"
    causes = [f"{label(easiest.wheel)} needs the least of them: {floor.minimum} ({floor.source})"]
    hints = _driver_hints(problem, floor.minimum, causes)
    return NoDecision(
        summary=f"{driver_words(problem)}, is too old for every wheel{what}", causes=tuple(causes), hints=tuple(hints)
    )


def _driver_hints(problem: Problem, minimum: str, causes: list[str]) -> list[str]:
    """Which driver to install, and where a card's last branch is below it or bounds it."""
    branch = minimum.partition(".")[0]
    install = f"Install NVIDIA driver {minimum} or newer (branch {branch})"
    first = newest_of(
        filter(None, (problem.knowledge.least_branch_for(gpu.compute_capability) for gpu in problem.gpus))
    )
    if first is not None and compare_versions(first, branch) > 0:  # the wheel would do with less, the card does not
        install = f"Install an NVIDIA driver of branch {first} or newer: the first that knows {kinds(problem.gpus)}"
    bounds: list[str] = []
    for gpu in problem.gpus:
        last = problem.knowledge.last_branch_for(gpu.compute_capability)
        if last is not None and compare_versions(last, branch) < 0:
            causes.append(f"driver branch {last} is the last that serves {gpu_words(gpu)}")
            return [f"No driver for {gpu.name} is new enough: ask for an older torch (`--torch`), or use another GPU"]
        if last is not None:
            bounds.append(f"Stay on driver branch {last} or older: it is the last that serves {gpu.name}")
    return [*problem.knowledge.install_hints(problem.machine, install), *dict.fromkeys(bounds)]


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split("."))


def _kernels(evaluation: Evaluation, rows: Sequence[Refused], asked: str) -> NoDecision:
    problem = evaluation.problem
    newest_cuda = _newest_variant(problem, rows)
    lost = [gpu for gpu in problem.gpus if not any(_serves(evaluation, entry, [gpu]) for entry, _ in _best_rows(rows))]
    gpus = lost or list(problem.gpus)
    codes = join(sorted({code_of(gpu.compute_capability) for gpu in gpus}))
    summary = f"no wheel{asked} has code for {codes} ({kinds(gpus)})"
    firsts = {problem.knowledge.first_cuda_for(gpu.compute_capability) for gpu in gpus}
    first = next(iter(firsts)) if len(firsts) == 1 else None
    offered = problem.knowledge.cuda_of(newest_cuda) if newest_cuda else None
    if first and offered and compare_versions(offered, first) < 0:
        summary += f"; CUDA {first} is the first that does"
        if problem.variant is None:
            summary += f", and the newest variant {'there' if asked else 'offered'} is {newest_cuda}"
    causes = dict.fromkeys(f"{label(entry.wheel)}: {refusal.detail}" for entry, refusal in _best_rows(rows))
    hints = () if asked else _kernel_hints(problem, gpus)
    return NoDecision(summary=summary, causes=tuple(causes)[:_CAUSES], hints=hints)


def _kernel_hints(problem: Problem, gpus: Sequence[Gpu]) -> tuple[str, ...]:
    """A build that is known to have the code, and that this machine's driver runs."""
    known = [
        row
        for row in problem.knowledge.kernels.values()
        if row.platform == problem.platform
        and all(code_of(gpu.compute_capability) in row.sass for gpu in gpus)
        and check_driver(problem, row.variant).refusal is None
    ]
    jetson = problem.knowledge.install_hints(problem.machine, "")
    if not known:
        return tuple(filter(None, jetson))
    newest = max(known, key=lambda row: (public_version(row.torch), row.variant))
    return (f"torch {newest.torch} {newest.variant} has it: name a source that offers it (`--torch-index BASE`)",)


def _best_rows(rows: Sequence[Refused]) -> list[Refused]:
    """The newest wheel of each variant, newest variant first."""
    best: dict[str, Refused] = {}
    for row in sorted(rows, key=lambda row: (row[0].version, row[0].wheel.url)):
        best[row[0].variant or ""] = row
    return [best[variant] for variant in sorted(best, key=lambda text: (len(text), text), reverse=True)]


def _newest_variant(problem: Problem, rows: Sequence[Refused]) -> str | None:
    newest: str | None = None
    for entry, _ in rows:
        cuda = problem.knowledge.cuda_of(entry.variant or "")
        best = problem.knowledge.cuda_of(newest or "")
        if cuda and (best is None or compare_versions(cuda, best) > 0):
            newest = entry.variant
    return newest


def _mixed(evaluation: Evaluation, rows: Sequence[Row], asked: str) -> NoDecision | None:
    """Say which card is lost with which choice: of those that serve the same cards, the stable and newest one."""
    problem = evaluation.problem
    entries = [row.entry for row in rows if row.parts <= {"kernels"}]
    best: dict[tuple[int, ...], CatalogEntry] = {}
    for entry in sorted(entries, key=lambda entry: _merit(problem, entry), reverse=True):
        served = tuple(gpu.index for gpu in problem.gpus if _serves(evaluation, entry, [gpu]))
        if served:
            best.setdefault(served, entry)
    choices = [served for served in best if not any(set(served) < set(other) for other in best)]
    if not choices:
        return None
    causes = []
    for served in sorted(choices, key=lambda each: (-len(each), each)):
        kept = [gpu for gpu in problem.gpus if gpu.index in served]
        lost = [gpu for gpu in problem.gpus if gpu.index not in served]
        causes.append(f"{label(best[served].wheel)} serves {gpu_list(kept)} and loses {gpu_list(lost)}")
    capabilities = join(list(dict.fromkeys(gpu_words(gpu) for gpu in problem.gpus)))
    return NoDecision(
        summary=f"no single wheel{asked} has code for every GPU of this machine: {capabilities}", causes=tuple(causes)
    )


def _merit(problem: Problem, entry: CatalogEntry) -> tuple[bool, Version, bool, Version, str]:
    """A stable wheel before a nightly, the newest, one that the driver fully supports; by address in the end."""
    full = entry.variant is not None and check_driver(problem, entry.variant).full
    cuda = Version(problem.knowledge.cuda_of(entry.variant or "") or "0")
    return (entry.wheel.channel == "stable", public_version(entry.wheel.version), full, cuda, entry.wheel.url)
