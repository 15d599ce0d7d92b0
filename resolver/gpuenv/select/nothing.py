"""When nothing fits: which rule decided that, what came nearest, and what to type."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from packaging.version import Version

from gpuenv.knowledge.rules import code_of, compare_versions
from gpuenv.knowledge.rules import newest as newest_of
from gpuenv.model.decision import NoDecision, Reason
from gpuenv.model.machine import Gpu
from gpuenv.select import kernels
from gpuenv.select.candidates import CatalogEntry, label, public_version
from gpuenv.select.evaluation import Evaluation
from gpuenv.select.kernels import Served
from gpuenv.select.rules import Problem, check_driver
from gpuenv.select.target import Refusal
from gpuenv.select.words import driver_words, gpu_list, gpu_words, join, kinds

_ORDER: tuple[Reason, ...] = (
    "python", "abi", "channel", "yanked", "version", "too-new", "hash", "variant", "driver", "kernels",
    "unknown-kernels", "companion",
)  # fmt: skip
_CAUSES = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """One sentence, its causes and what to type."""

    summary: str
    causes: tuple[str, ...] = ()
    hints: tuple[str, ...] = ()


def no_decision(evaluation: Evaluation, *, wants_nightly: bool) -> NoDecision:
    """Say why nothing fits. The rule that the best candidates failed last is the one to name."""
    finding = _find(evaluation)
    hints = finding.hints
    if evaluation.problem.channel == "stable" and not evaluation.problem.cpu:
        hints = (*hints, "Nightlies were not looked at: add `--channel auto`")
    return NoDecision(
        summary=finding.summary,
        causes=finding.causes,
        hints=hints,
        rejected=evaluation.verdicts.rejected(),
        wants_nightly=wants_nightly,
    )


def only_ptx(evaluation: Evaluation, best: Served) -> NoDecision:
    """Say that stable wheels have only PTX, so that nightlies are worth a look before that is taken."""
    return NoDecision(
        summary=f"no stable wheel has native code for {kinds(evaluation.problem.gpus)}; a nightly may",
        causes=(f"{label(best.entry.wheel)} has PTX only: {join(list(dict.fromkeys(gpu.by for gpu in best.gpus)))}",),
        hints=("Add `--channel stable` to take the PTX",),
        rejected=evaluation.verdicts.rejected(),
        wants_nightly=True,
    )


def _find(evaluation: Evaluation) -> Explanation:
    problem = evaluation.problem
    reached: dict[Reason, list[tuple[CatalogEntry, Refusal]]] = {}
    for entry, refusal in evaluation.refused:
        reached.setdefault(refusal.reason, []).append((entry, refusal))
    if not reached:
        return _no_platform(evaluation)
    # A companion decided the matter for a torch that would have served. One that was never read is no such, but it came
    # further than every wheel that was refused for its name.
    alone = reached.pop("companion", [])
    served = [row for row in alone if _serves(evaluation, row[0], problem.gpus)]
    if served or (alone and not reached.keys() & {"driver", "kernels", "unknown-kernels"}):
        return _companion(evaluation, served or alone)
    last = max(reached, key=_ORDER.index)
    unread = [row for row in reached.get("unknown-kernels", ()) if row[0].wheel.url in problem.unanswered]
    match last:
        case "unknown-kernels" if unread or not reached.get("kernels"):
            return _unknown(problem, unread or reached[last])
        case "driver" | "kernels" | "unknown-kernels":
            return _driver_or_kernels(evaluation, reached)
        case "variant":
            return _variant(evaluation, reached[last])
        case "python" | "abi":
            return _python(problem, [entry for entry, _ in evaluation.refused])
        case _:
            return _version(evaluation, last, reached[last])


def _no_platform(evaluation: Evaluation) -> Explanation:
    machine = evaluation.problem.machine
    rows = [row for row in evaluation.verdicts.rejected() if row.project == "torch"]
    if not rows:
        return Explanation(
            summary="no source offers a torch wheel",
            hints=("Name a source with `--torch-index BASE` or `--find-links DIR`",),
        )
    libc = [row for row in rows if row.reason == "libc"]
    if libc:
        newest: dict[str, str] = {}
        for row in libc:
            newest.setdefault(row.detail, row.candidate)
        newer = "a newer glibc" if machine.libc_family == "glibc" else "glibc"
        return Explanation(
            summary=f"no torch wheel runs with {machine.libc or 'an unknown libc'}",
            causes=tuple(f"{candidate}: {detail}" for detail, candidate in newest.items())[:_CAUSES],
            hints=(f"Use a system with {newer}: the wheels of torch are built against it",),
        )
    return Explanation(
        summary=f"no torch wheel is for {evaluation.problem.target.words}",
        causes=tuple(f"{row.candidate}: {row.detail}" for row in rows[:_CAUSES]),
    )


def _python(problem: Problem, entries: Sequence[CatalogEntry]) -> Explanation:
    tags = {tag for entry in entries for tag in entry.tags.python.split(".")}
    offered = sorted(int(found[1]) for tag in tags if (found := re.fullmatch(r"cp3(\d{1,3})", tag, re.ASCII)))
    names = join([f"3.{minor}" for minor in offered])
    if not problem.target.pythons:
        asked, there = problem.profile.python, join(problem.request.pythons) or "none"
        said = f"the profile wants Python {asked}" if asked else "no interpreter was offered"
        return Explanation(summary=f"{said}, and the interpreters to choose from are {there}")
    asked = join(problem.target.pythons)
    return Explanation(
        summary=f"no torch wheel is for Python {asked}",
        causes=(f"there are wheels for Python {names}",) if names else (),
        hints=(f"Add `--python 3.{offered[-1]}`",) if offered else (),
    )


def _version(evaluation: Evaluation, reason: Reason, rows: Sequence[tuple[CatalogEntry, Refusal]]) -> Explanation:
    newest = max(rows, key=lambda row: row[0].version)
    asked = join([f"torch{each}" for each in evaluation.problem.constraints.versions["torch"] if str(each)]) or "torch"
    summary = {
        "version": f"no wheel of {asked} is offered for this machine",
        "channel": f"no wheel of {asked} is in the {evaluation.problem.channel} channel",
        "too-new": f"no wheel of {asked} is as old as {evaluation.problem.request.exclude_newer}",
        "yanked": f"every wheel of {asked} that is left was yanked",
        "hash": f"no wheel of {asked} comes with a sha256",
    }[reason]
    hint = {"channel": ("Add `--channel auto`",), "too-new": ("Choose a later `--exclude-newer`",)}.get(reason, ())
    return Explanation(
        summary=summary, causes=(f"the newest there is: {label(newest[0].wheel)} ({newest[1].detail})",), hints=hint
    )


def _variant(evaluation: Evaluation, rows: Sequence[tuple[CatalogEntry, Refusal]]) -> Explanation:
    problem = evaluation.problem
    # What gpuenv can decide on; a page lists the builds for other makers' cards beside them.
    builds = {entry.variant for entry, _ in rows if entry.variant}
    decidable = {each for each in builds if each == "cpu" or problem.knowledge.cuda_of(each)}
    offered = sorted(decidable or builds, key=lambda each: (len(each), each))
    cause = (f"offered for {problem.target.words}: {join(offered)}",) if offered else ()
    if problem.cpu:
        return Explanation(
            summary="no CPU build of torch is offered for this machine, and a CUDA build is never taken for one",
            causes=cause,
            hints=("Name a source that has CPU builds: `--torch-index BASE` or `--find-links DIR`",),
        )
    if problem.variant is not None:
        return Explanation(
            summary=f"no {problem.variant} build of torch is offered for this machine",
            causes=cause,
            hints=("Leave the variant out, or choose one that is offered",),
        )
    return Explanation(
        summary="only CPU builds of torch are offered for this machine, and none is ever taken for a GPU",
        causes=cause,
        hints=("Name a source that has CUDA builds: `--torch-index BASE`", "Use `--profile cpu` for a CPU build"),
    )


def _companion(evaluation: Evaluation, rows: Sequence[tuple[CatalogEntry, Refusal]]) -> Explanation:
    best = max(rows, key=lambda row: row[0].version)
    names = join(evaluation.problem.constraints.required)
    details: dict[str, str] = {}
    for entry, refusal in sorted(rows, key=lambda row: row[0].version, reverse=True):
        details.setdefault(label(entry.wheel), refusal.detail)
    return Explanation(
        summary=f"no torch that fits has its {names} beside it: {label(best[0].wheel)}: {best[1].detail}",
        causes=tuple(f"{name}: {detail}" for name, detail in details.items())[:_CAUSES],
        hints=(f"Make {names} optional in the profile (`optional-packages`) to go without",),
    )


def _unknown(problem: Problem, rows: Sequence[tuple[CatalogEntry, Refusal]]) -> Explanation:
    details = {label(entry.wheel): refusal.detail for entry, refusal in rows}
    return Explanation(
        summary=f"no wheel is known to have code for {kinds(problem.gpus)}, and {len(rows)} could not be read",
        causes=tuple(f"{name}: {detail}" for name, detail in sorted(details.items(), reverse=True))[:_CAUSES],
        hints=("Add `--allow-unknown-kernels` to accept what cannot be established",),
    )


def _driver_or_kernels(
    evaluation: Evaluation, reached: dict[Reason, list[tuple[CatalogEntry, Refusal]]]
) -> Explanation:
    """Name the driver where a newer one would do, the code where none would."""
    problem = evaluation.problem
    by_driver = [entry for entry, _ in reached.get("driver", ())]
    would_serve = [entry for entry in by_driver if _serves(evaluation, entry, problem.gpus)]
    refusals = [
        (entry, said) for entry in by_driver if isinstance(said := _code(evaluation, entry, problem.gpus), Refusal)
    ]
    if problem.machine.driver is not None and by_driver and len(refusals) == len(by_driver):
        reached = {**reached, "kernels": [*reached.get("kernels", ()), *refusals]}  # no driver would help
    if would_serve or not reached.get("kernels"):
        return _driver(evaluation, would_serve or by_driver, sure=bool(would_serve))
    if len({gpu.compute_capability for gpu in problem.gpus}) > 1:
        mixed = _mixed(evaluation, [entry for rows in reached.values() for entry, _ in rows])
        if mixed is not None:
            return mixed
    return _kernels(evaluation, reached["kernels"])


def _serves(evaluation: Evaluation, entry: CatalogEntry, gpus: Sequence[Gpu]) -> bool:
    """Whether a wheel's known code serves these GPUs, on a driver new enough for it."""
    return isinstance(_code(evaluation, entry, gpus), Served)


def _code(evaluation: Evaluation, entry: CatalogEntry, gpus: Sequence[Gpu]) -> kernels.Outcome:
    problem = replace(
        evaluation.problem,
        gpus=tuple(gpus),
        driver_cuda=evaluation.problem.knowledge.cuda_of(entry.variant or "") or evaluation.problem.driver_cuda,
    )
    return kernels.examine(problem, entry, evaluation.facts)


def _driver(evaluation: Evaluation, entries: Sequence[CatalogEntry], *, sure: bool) -> Explanation:
    problem = evaluation.problem
    floors = {
        entry.variant: floor
        for entry in entries
        if entry.variant and (floor := check_driver(problem, entry.variant).floor) is not None
    }
    if not floors:
        variants = join(sorted({entry.variant or label(entry.wheel) for entry in entries}))
        return Explanation(summary=f"which driver {variants} needs is not known, so that it cannot be said to run here")
    if problem.machine.driver is None:
        return Explanation(
            summary="the driver of this machine is not known, so that no CUDA build can be said to run",
            hints=("Name the driver in the machine file, or add `--allow-unknown-kernels`",),
        )
    lowest = min(_numbers(floor.minimum) for floor in floors.values())
    easiest = max(
        (entry for entry in entries if entry.variant in floors and _numbers(floors[entry.variant].minimum) == lowest),
        key=lambda entry: (entry.version, entry.wheel.url),
    )
    floor = floors[easiest.variant or ""]
    what = f"with code for {kinds(problem.gpus)}" if sure else "offered"
    causes = [f"{label(easiest.wheel)} needs the least of them: {floor.minimum} ({floor.source})"]
    hints = _driver_hints(problem, floor.minimum, causes)
    return Explanation(
        summary=f"{driver_words(problem)}, is too old for every wheel {what}", causes=tuple(causes), hints=tuple(hints)
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


def _kernels(evaluation: Evaluation, rows: Sequence[tuple[CatalogEntry, Refusal]]) -> Explanation:
    problem = evaluation.problem
    newest_cuda = _newest_variant(problem, rows)
    lost = [gpu for gpu in problem.gpus if not any(_serves(evaluation, entry, [gpu]) for entry, _ in _best_rows(rows))]
    gpus = lost or list(problem.gpus)
    codes = join(sorted({code_of(gpu.compute_capability) for gpu in gpus}))
    summary = f"no wheel has code for {codes} ({kinds(gpus)})"
    firsts = {problem.knowledge.first_cuda_for(gpu.compute_capability) for gpu in gpus}
    first = next(iter(firsts)) if len(firsts) == 1 else None
    offered = problem.knowledge.cuda_of(newest_cuda) if newest_cuda else None
    if first and offered and compare_versions(offered, first) < 0:
        summary += f"; CUDA {first} is the first that does, and the newest variant offered is {newest_cuda}"
    causes = dict.fromkeys(f"{label(entry.wheel)}: {refusal.detail}" for entry, refusal in _best_rows(rows))
    return Explanation(summary=summary, causes=tuple(causes)[:_CAUSES], hints=_kernel_hints(problem, gpus))


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


def _best_rows(rows: Sequence[tuple[CatalogEntry, Refusal]]) -> list[tuple[CatalogEntry, Refusal]]:
    """The newest wheel of each variant, newest variant first."""
    best: dict[str, tuple[CatalogEntry, Refusal]] = {}
    for row in sorted(rows, key=lambda row: (row[0].version, row[0].wheel.url)):
        best[row[0].variant or ""] = row
    return [best[variant] for variant in sorted(best, key=lambda text: (len(text), text), reverse=True)]


def _newest_variant(problem: Problem, rows: Sequence[tuple[CatalogEntry, Refusal]]) -> str | None:
    newest: str | None = None
    for entry, _ in rows:
        cuda = problem.knowledge.cuda_of(entry.variant or "")
        best = problem.knowledge.cuda_of(newest or "")
        if cuda and (best is None or compare_versions(cuda, best) > 0):
            newest = entry.variant
    return newest


def _mixed(evaluation: Evaluation, entries: Sequence[CatalogEntry]) -> Explanation | None:
    """Say which card is lost with which choice, and the ``--gpu`` to type."""
    problem = evaluation.problem
    newest: dict[tuple[Version, str], CatalogEntry] = {}
    for entry in entries:
        if entry.variant and check_driver(problem, entry.variant).refusal is None:
            newest.setdefault((public_version(entry.wheel.version), entry.variant), entry)
    best: dict[tuple[int, ...], CatalogEntry] = {}
    for _, entry in sorted(newest.items(), key=lambda item: item[0]):
        served = tuple(gpu.index for gpu in problem.gpus if _serves(evaluation, entry, [gpu]))
        if served:
            best[served] = entry
    choices = [served for served in best if not any(set(served) < set(other) for other in best)]
    if not choices:
        return None
    causes, hints = [], []
    for served in sorted(choices, key=lambda each: (-len(each), each)):
        kept = [gpu for gpu in problem.gpus if gpu.index in served]
        lost = [gpu for gpu in problem.gpus if gpu.index not in served]
        causes.append(f"{label(best[served].wheel)} serves {gpu_list(kept)} and loses {gpu_list(lost)}")
        options = " ".join(f"--gpu {index}" for index in served)
        hints.append(f"Add `{options}` to go without {gpu_list(lost)}")
    capabilities = join(list(dict.fromkeys(gpu_words(gpu) for gpu in problem.gpus)))
    return Explanation(
        summary=f"no single wheel has code for every GPU of this machine: {capabilities}",
        causes=tuple(causes),
        hints=tuple(hints),
    )
