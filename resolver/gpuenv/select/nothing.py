"""When nothing fits: which rule decided that, what came nearest, and what to type."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from packaging.version import Version

from gpuenv.knowledge.rules import code_of, compare_versions
from gpuenv.knowledge.rules import newest as newest_of
from gpuenv.model.decision import NoDecision, Reason
from gpuenv.model.machine import Gpu
from gpuenv.model.profile import Profile
from gpuenv.select import kernels
from gpuenv.select.candidates import Entry, label, public_version
from gpuenv.select.hearing import Hearing
from gpuenv.select.kernels import Served
from gpuenv.select.rules import Case, judge_driver
from gpuenv.select.target import Refusal
from gpuenv.select.words import driver_words, gpu_list, gpu_words, join, kinds

_ORDER: tuple[Reason, ...] = (
    "python", "abi", "channel", "yanked", "version", "too-new", "hash", "variant", "driver", "kernels",
    "unknown-kernels", "companion",
)  # fmt: skip
_CAUSES = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One sentence, its causes and what to type."""

    summary: str
    causes: tuple[str, ...] = ()
    hints: tuple[str, ...] = ()


def no_decision(hearing: Hearing, *, wants_nightly: bool) -> NoDecision:
    """Say why nothing fits. The rule that the best candidates failed last is the one to name."""
    finding = _find(hearing)
    hints = finding.hints
    if hearing.case.channel == "stable" and not hearing.case.cpu:
        hints = (*hints, "Nightlies were not looked at: add `--channel auto`")
    return NoDecision(
        summary=finding.summary,
        causes=finding.causes,
        hints=hints,
        rejected=hearing.docket.rejected(),
        wants_nightly=wants_nightly,
    )


def only_ptx(hearing: Hearing, best: Served) -> NoDecision:
    """Say that stable wheels have only PTX, so that nightlies are worth a look before that is taken."""
    return NoDecision(
        summary=f"no stable wheel has native code for {kinds(hearing.case.gpus)}; a nightly may",
        causes=(f"{label(best.entry.wheel)} has PTX only: {join(list(dict.fromkeys(gpu.by for gpu in best.gpus)))}",),
        hints=("Add `--channel stable` to take the PTX",),
        rejected=hearing.docket.rejected(),
        wants_nightly=True,
    )


def _find(hearing: Hearing) -> Finding:
    case = hearing.case
    reached: dict[Reason, list[tuple[Entry, Refusal]]] = {}
    for entry, refusal in hearing.judged:
        reached.setdefault(refusal.reason, []).append((entry, refusal))
    if not reached:
        return _no_platform(hearing)
    # A companion decided the matter for a torch that would have served. One that was never read is no such, but it came
    # further than every wheel that was refused for its name.
    alone = reached.pop("companion", [])
    served = [row for row in alone if _serves(hearing, row[0], case.gpus)]
    if served or (alone and not reached.keys() & {"driver", "kernels", "unknown-kernels"}):
        return _companion(hearing, served or alone)
    last = max(reached, key=_ORDER.index)
    unread = [row for row in reached.get("unknown-kernels", ()) if row[0].wheel.url in case.unanswered]
    match last:
        case "unknown-kernels" if unread or not reached.get("kernels"):
            return _unknown(case, unread or reached[last])
        case "driver" | "kernels" | "unknown-kernels":
            return _driver_or_kernels(hearing, reached)
        case "variant":
            return _variant(hearing, reached[last])
        case "python" | "abi":
            return _python(case, hearing.profile, [entry for entry, _ in hearing.judged])
        case _:
            return _version(hearing, last, reached[last])


def _no_platform(hearing: Hearing) -> Finding:
    machine = hearing.case.machine
    rows = [row for row in hearing.docket.rejected() if row.candidate.startswith("torch ")]
    if not rows:
        return Finding(
            summary="no source offers a torch wheel",
            hints=("Name a source with `--torch-index BASE` or `--find-links DIR`",),
        )
    libc = [row for row in rows if row.reason == "libc"]
    if libc:
        newest: dict[str, str] = {}
        for row in libc:
            newest.setdefault(row.detail, row.candidate)
        newer = "a newer glibc" if (machine.libc or "").startswith("glibc") else "glibc"
        return Finding(
            summary=f"no torch wheel runs with {machine.libc or 'an unknown libc'}",
            causes=tuple(f"{candidate}: {detail}" for detail, candidate in newest.items())[:_CAUSES],
            hints=(f"Use a system with {newer}: the wheels of torch are built against it",),
        )
    return Finding(
        summary=f"no torch wheel is for {hearing.case.target.words}",
        causes=tuple(f"{row.candidate}: {row.detail}" for row in rows[:_CAUSES]),
    )


def _python(case: Case, profile: Profile, entries: Sequence[Entry]) -> Finding:
    tags = {entry.tags.python for entry in entries if entry.tags.python.startswith("cp3")}
    offered = sorted(tags, key=lambda tag: int(tag[3:]))
    names = join([f"3.{tag[3:]}" for tag in offered])
    if not case.target.pythons:
        wanted = f"the profile wants Python {profile.python}" if profile.python else "no interpreter was offered"
        return Finding(
            summary=f"{wanted}, and the interpreters to choose from are {join(case.request.pythons) or 'none'}"
        )
    asked = join(case.target.pythons)
    return Finding(
        summary=f"no torch wheel is for Python {asked}",
        causes=(f"there are wheels for Python {names}",) if names else (),
        hints=(f"Add `--python 3.{offered[-1][3:]}`",) if offered else (),
    )


def _version(hearing: Hearing, reason: Reason, rows: Sequence[tuple[Entry, Refusal]]) -> Finding:
    newest = max(rows, key=lambda row: row[0].version)
    asked = join([f"torch{each}" for each in hearing.case.wanted["torch"] if str(each)]) or "torch"
    summary = {
        "version": f"no wheel of {asked} is offered for this machine",
        "channel": f"no wheel of {asked} is in the {hearing.case.channel} channel",
        "too-new": f"no wheel of {asked} is as old as {hearing.case.request.exclude_newer}",
        "yanked": f"every wheel of {asked} that is left was yanked",
        "hash": f"no wheel of {asked} comes with a sha256",
    }[reason]
    hint = {"channel": ("Add `--channel auto`",), "too-new": ("Choose a later `--exclude-newer`",)}.get(reason, ())
    return Finding(
        summary=summary, causes=(f"the newest there is: {label(newest[0].wheel)} ({newest[1].detail})",), hints=hint
    )


def _variant(hearing: Hearing, rows: Sequence[tuple[Entry, Refusal]]) -> Finding:
    case = hearing.case
    # What gpuenv can decide on; a page lists the builds for other makers' cards beside them.
    builds = {entry.variant for entry, _ in rows if entry.variant}
    decidable = {each for each in builds if each == "cpu" or case.knowledge.cuda_of(each)}
    offered = sorted(decidable or builds, key=lambda each: (len(each), each))
    cause = (f"offered for {case.target.words}: {join(offered)}",) if offered else ()
    if case.cpu:
        return Finding(
            summary="no CPU build of torch is offered for this machine, and a CUDA build is never taken for one",
            causes=cause,
            hints=("Name a source that has CPU builds: `--torch-index BASE` or `--find-links DIR`",),
        )
    if case.variant is not None:
        return Finding(
            summary=f"no {case.variant} build of torch is offered for this machine",
            causes=cause,
            hints=("Leave the variant out, or choose one that is offered",),
        )
    return Finding(
        summary="only CPU builds of torch are offered for this machine, and none is ever taken for a GPU",
        causes=cause,
        hints=("Name a source that has CUDA builds: `--torch-index BASE`", "Use `--profile cpu` for a CPU build"),
    )


def _companion(hearing: Hearing, rows: Sequence[tuple[Entry, Refusal]]) -> Finding:
    best = max(rows, key=lambda row: row[0].version)
    names = join(hearing.wishes.required)
    details: dict[str, str] = {}
    for entry, refusal in sorted(rows, key=lambda row: row[0].version, reverse=True):
        details.setdefault(label(entry.wheel), refusal.detail)
    return Finding(
        summary=f"no torch that fits has its {names} beside it: {label(best[0].wheel)}: {best[1].detail}",
        causes=tuple(f"{name}: {detail}" for name, detail in details.items())[:_CAUSES],
        hints=(f"Make {names} optional in the profile (`optional-packages`) to go without",),
    )


def _unknown(case: Case, rows: Sequence[tuple[Entry, Refusal]]) -> Finding:
    details = {label(entry.wheel): refusal.detail for entry, refusal in rows}
    return Finding(
        summary=f"no wheel is known to have code for {kinds(case.gpus)}, and {len(rows)} could not be read",
        causes=tuple(f"{name}: {detail}" for name, detail in sorted(details.items(), reverse=True))[:_CAUSES],
        hints=("Add `--allow-unknown-kernels` to accept what cannot be established",),
    )


def _driver_or_kernels(hearing: Hearing, reached: dict[Reason, list[tuple[Entry, Refusal]]]) -> Finding:
    """Name the driver where a newer one would do, the code where none would."""
    case = hearing.case
    by_driver = [entry for entry, _ in reached.get("driver", ())]
    would_serve = [entry for entry in by_driver if _serves(hearing, entry, case.gpus)]
    refusals = [(entry, said) for entry in by_driver if isinstance(said := _code(hearing, entry, case.gpus), Refusal)]
    if case.machine.driver is not None and by_driver and len(refusals) == len(by_driver):
        reached = {**reached, "kernels": [*reached.get("kernels", ()), *refusals]}  # no driver would help
    if would_serve or not reached.get("kernels"):
        return _driver(hearing, would_serve or by_driver, sure=bool(would_serve))
    if len({gpu.compute_capability for gpu in case.gpus}) > 1:
        mixed = _mixed(hearing, [entry for rows in reached.values() for entry, _ in rows])
        if mixed is not None:
            return mixed
    return _kernels(hearing, reached["kernels"])


def _serves(hearing: Hearing, entry: Entry, gpus: Sequence[Gpu]) -> bool:
    """Whether a wheel's known code serves these GPUs, on a driver new enough for it."""
    return isinstance(_code(hearing, entry, gpus), Served)


def _code(hearing: Hearing, entry: Entry, gpus: Sequence[Gpu]) -> kernels.Outcome:
    case = replace(
        hearing.case,
        gpus=tuple(gpus),
        driver_cuda=hearing.case.knowledge.cuda_of(entry.variant or "") or hearing.case.driver_cuda,
    )
    return kernels.examine(case, entry, hearing.facts)


def _driver(hearing: Hearing, entries: Sequence[Entry], *, sure: bool) -> Finding:
    case = hearing.case
    floors = {
        entry.variant: floor
        for entry in entries
        if entry.variant and (floor := judge_driver(case, entry.variant).floor) is not None
    }
    if not floors:
        variants = join(sorted({entry.variant or label(entry.wheel) for entry in entries}))
        return Finding(summary=f"which driver {variants} needs is not known, so that it cannot be said to run here")
    if case.machine.driver is None:
        return Finding(
            summary="the driver of this machine is not known, so that no CUDA build can be said to run",
            hints=("Name the driver in the machine file, or add `--allow-unknown-kernels`",),
        )
    lowest = min(_numbers(floor.minimum) for floor in floors.values())
    easiest = max(
        (entry for entry in entries if entry.variant in floors and _numbers(floors[entry.variant].minimum) == lowest),
        key=lambda entry: (entry.version, entry.wheel.url),
    )
    floor = floors[easiest.variant or ""]
    what = f"with code for {kinds(case.gpus)}" if sure else "offered"
    causes = [f"{label(easiest.wheel)} needs the least of them: {floor.minimum} ({floor.source})"]
    hints = _driver_hints(case, floor.minimum, causes)
    return Finding(
        summary=f"{driver_words(case)}, is too old for every wheel {what}", causes=tuple(causes), hints=tuple(hints)
    )


def _driver_hints(case: Case, minimum: str, causes: list[str]) -> list[str]:
    """Which driver to install, and where a card's last branch is below it or bounds it."""
    branch = minimum.partition(".")[0]
    install = f"Install NVIDIA driver {minimum} or newer (branch {branch})"
    first = newest_of(filter(None, (case.knowledge.least_branch_for(gpu.compute_capability) for gpu in case.gpus)))
    if first is not None and compare_versions(first, branch) > 0:  # the wheel would do with less, the card does not
        install = f"Install an NVIDIA driver of branch {first} or newer: the first that knows {kinds(case.gpus)}"
    bounds: list[str] = []
    for gpu in case.gpus:
        last = case.knowledge.last_branch_for(gpu.compute_capability)
        if last is not None and compare_versions(last, branch) < 0:
            causes.append(f"driver branch {last} is the last that serves {gpu_words(gpu)}")
            return [f"No driver for {gpu.name} is new enough: ask for an older torch (`--torch`), or use another GPU"]
        if last is not None:
            bounds.append(f"Stay on driver branch {last} or older: it is the last that serves {gpu.name}")
    return [*case.knowledge.install_hints(case.machine, install), *dict.fromkeys(bounds)]


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split("."))


def _kernels(hearing: Hearing, rows: Sequence[tuple[Entry, Refusal]]) -> Finding:
    case = hearing.case
    newest_cuda = _newest_variant(case, rows)
    lost = [gpu for gpu in case.gpus if not any(_serves(hearing, entry, [gpu]) for entry, _ in _best_rows(rows))]
    gpus = lost or list(case.gpus)
    codes = join(sorted({code_of(gpu.compute_capability) for gpu in gpus}))
    summary = f"no wheel has code for {codes} ({kinds(gpus)})"
    firsts = {case.knowledge.first_cuda_for(gpu.compute_capability) for gpu in gpus}
    first = next(iter(firsts)) if len(firsts) == 1 else None
    offered = case.knowledge.cuda_of(newest_cuda) if newest_cuda else None
    if first and offered and compare_versions(offered, first) < 0:
        summary += f"; CUDA {first} is the first that does, and the newest variant offered is {newest_cuda}"
    causes = dict.fromkeys(f"{label(entry.wheel)}: {refusal.detail}" for entry, refusal in _best_rows(rows))
    return Finding(summary=summary, causes=tuple(causes)[:_CAUSES], hints=_kernel_hints(case, gpus))


def _kernel_hints(case: Case, gpus: Sequence[Gpu]) -> tuple[str, ...]:
    """A build that is known to have the code, and that this machine's driver runs."""
    known = [
        row
        for row in case.knowledge.kernels.values()
        if row.platform == case.platform
        and all(code_of(gpu.compute_capability) in row.sass for gpu in gpus)
        and judge_driver(case, row.variant).refusal is None
    ]
    jetson = case.knowledge.install_hints(case.machine, "")
    if not known:
        return tuple(filter(None, jetson))
    newest = max(known, key=lambda row: (public_version(row.torch), row.variant))
    return (f"torch {newest.torch} {newest.variant} has it: name a source that offers it (`--torch-index BASE`)",)


def _best_rows(rows: Sequence[tuple[Entry, Refusal]]) -> list[tuple[Entry, Refusal]]:
    """The newest wheel of each variant, newest variant first."""
    best: dict[str, tuple[Entry, Refusal]] = {}
    for row in sorted(rows, key=lambda row: (row[0].version, row[0].wheel.url)):
        best[row[0].variant or ""] = row
    return [best[variant] for variant in sorted(best, key=lambda text: (len(text), text), reverse=True)]


def _newest_variant(case: Case, rows: Sequence[tuple[Entry, Refusal]]) -> str | None:
    newest: str | None = None
    for entry, _ in rows:
        cuda = case.knowledge.cuda_of(entry.variant or "")
        best = case.knowledge.cuda_of(newest or "")
        if cuda and (best is None or compare_versions(cuda, best) > 0):
            newest = entry.variant
    return newest


def _mixed(hearing: Hearing, entries: Sequence[Entry]) -> Finding | None:
    """Say which card is lost with which choice, and the ``--gpu`` to type."""
    case = hearing.case
    newest: dict[tuple[Version, str], Entry] = {}
    for entry in entries:
        if entry.variant and judge_driver(case, entry.variant).refusal is None:
            newest.setdefault((public_version(entry.wheel.version), entry.variant), entry)
    best: dict[tuple[int, ...], Entry] = {}
    for _, entry in sorted(newest.items(), key=lambda item: item[0]):
        served = tuple(gpu.index for gpu in case.gpus if _serves(hearing, entry, [gpu]))
        if served:
            best[served] = entry
    choices = [served for served in best if not any(set(served) < set(other) for other in best)]
    if not choices:
        return None
    causes, hints = [], []
    for served in sorted(choices, key=lambda each: (-len(each), each)):
        kept = [gpu for gpu in case.gpus if gpu.index in served]
        lost = [gpu for gpu in case.gpus if gpu.index not in served]
        causes.append(f"{label(best[served].wheel)} serves {gpu_list(kept)} and loses {gpu_list(lost)}")
        options = " ".join(f"--gpu {index}" for index in served)
        hints.append(f"Add `{options}` to go without {gpu_list(lost)}")
    capabilities = join(list(dict.fromkeys(gpu_words(gpu) for gpu in case.gpus)))
    return Finding(
        summary=f"no single wheel has code for every GPU of this machine: {capabilities}",
        causes=tuple(causes),
        hints=tuple(hints),
    )
