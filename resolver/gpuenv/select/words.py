"""The sentences of a decision: why this torch, variant, Python and channel, with numbers and their source."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence

from packaging.version import Version

from gpuenv.knowledge.rules import code_of, compare_versions
from gpuenv.model.decision import Reason
from gpuenv.model.machine import Gpu
from gpuenv.select import builds, family
from gpuenv.select.candidates import CatalogEntry, label, public_version
from gpuenv.select.completeness import Chosen
from gpuenv.select.evaluation import Evaluation
from gpuenv.select.family import day_words
from gpuenv.select.kernels import Served
from gpuenv.select.rules import Problem, check_driver
from gpuenv.select.target import Refusal

_TELLING: tuple[Reason, ...] = ("companion", "kernels", "driver", "unknown-kernels", "yanked", "too-new", "hash")
_NEWER_TOLD = 2
_SOURCES = {
    "package-index": "PyPI",
    "find-links": "a folder of wheels",
}


def because(evaluation: Evaluation, taken: Chosen) -> tuple[str, ...]:
    """Say why, the deciding sentence first: a person is shown that one, and the others on demand."""
    problem, chosen, found = evaluation.problem, taken.outcome, taken.found
    sentences: list[str] = []
    if problem.cpu:
        sentences += _cpu_sentences(evaluation, chosen)
    else:
        sentences += [_torch_sentence(evaluation, chosen), *_newer_sentences(evaluation, chosen)]
        sentences += [*_variant_sentences(problem, chosen), *_same_release_sentences(evaluation, chosen)]
        sentences += _passed_sentences(taken)
    sentences += _libc_sentences(evaluation, chosen)
    sentences += [*_python_sentences(problem, found), *_channel_sentences(evaluation, chosen)]
    sentences += [*_family_sentences(evaluation, found), *_source_sentences(chosen)]
    if problem.request.gpus is not None and problem.gpus and len(problem.gpus) < len(problem.machine.gpus):
        sentences.append(f"Only {gpu_list(problem.gpus)} counted, as --gpu said.")
    return tuple(sentences)


def warnings(evaluation: Evaluation, taken: Chosen, *, other: Version | None) -> tuple[str, ...]:
    """What works, and will surprise. ``other`` is the release of torch that has the whole family."""
    problem, chosen, found = evaluation.problem, taken.outcome, taken.found
    entry = chosen.entry
    said = list(chosen.warnings)
    if not problem.cpu and entry.variant is not None:
        verdict = check_driver(problem, entry.variant)
        if problem.machine.driver is None:
            said.append("the driver was not seen; that it runs this build is assumed")
        elif not verdict.full:
            said.append(_no_ptx(problem, entry.variant))
        if verdict.by_branch:
            said.append(f"{driver_words(problem)}, was compared by its branch alone")
    said += _driver_branches(problem)
    said += _moved_back(evaluation, entry)
    said += [f"{project} is left out: {detail}" for project, detail in found.left_out]
    if found.left_out and other is not None:
        missing = join([project for project, _ in found.left_out])
        said.append(f'torch {other} has {missing} too: add `--torch "=={other}"` to choose it')
    stood = [(each, family.stands(problem, entry, each, found.python)) for each in found.members[1:]]
    said += [f"{each.wheel.project} {fit.said}" for each, fit in stood if fit is not None and fit.said]
    said += [f"{label(each.wheel)} was yanked: {each.wheel.yanked}" for each in found.members if each.wheel.yanked]
    return tuple(dict.fromkeys(said))


def _driver_branches(problem: Problem) -> Iterator[str]:
    """Where the branch of the driver is after the last that serves a GPU, or before the first that knows it.

    A driver that named the GPU itself knows it, whatever the table says.
    """
    driver, known = problem.machine.driver, problem.knowledge
    if driver is None:
        return
    branch = driver.version.partition(".")[0]
    for gpu in problem.gpus:
        last, first = known.last_branch_for(gpu.compute_capability), known.least_branch_for(gpu.compute_capability)
        if last is not None and compare_versions(branch, last) > 0:
            yield f"driver branch {last} is the last that serves {gpu_words(gpu)}; found {driver.version}"
        if first is not None and driver.source != "nvml" and compare_versions(branch, first) < 0:
            yield f"driver branch {first} is the first that knows {gpu_words(gpu)}; found {driver.version}"


def gpu_words(gpu: Gpu) -> str:
    """``NVIDIA GeForce RTX 5090 (12.0)``."""
    return f"{gpu.name} ({gpu.compute_capability})"


def gpu_list(gpus: Iterable[Gpu]) -> str:
    """GPUs with their indices: ``GPU 0 Tesla V100 (7.0) and GPU 1 B200 (10.0)``."""
    return join([f"GPU {gpu.index} {gpu_words(gpu)}" for gpu in gpus])


def join(texts: Sequence[str]) -> str:
    """A list as people write it: ``a, b and c``."""
    return f"{', '.join(texts[:-1])} and {texts[-1]}" if len(texts) > 1 else "".join(texts)


def kinds(gpus: Sequence[Gpu]) -> str:
    """The distinct GPUs by name and capability, with their number where there are several alike."""
    counted: dict[str, int] = {}
    for gpu in gpus:
        counted[gpu_words(gpu)] = counted.get(gpu_words(gpu), 0) + 1
    return join([f"{count} × {name}" if count > 1 else name for name, count in counted.items()])


def driver_words(problem: Problem) -> str:
    """``driver 576.88 (NVML), which knows CUDA 12.9``."""
    driver = problem.machine.driver
    if driver is None:
        return "a driver that was not seen"
    knows = f", which knows CUDA {problem.driver_cuda}" if problem.driver_cuda else ""
    return f"driver {driver.version} ({driver.place}){knows}"


def _cpu_sentences(evaluation: Evaluation, chosen: Served) -> list[str]:
    problem, profile = evaluation.problem, evaluation.problem.profile
    if profile.accelerator == "auto" and not problem.machine.gpus and not problem.request.cpu:
        first = "There is no NVIDIA GPU on this machine: this is a CPU build."
    else:
        asked = f"profile {profile.name}" if profile.accelerator == "cpu" else "the request"
        first = f"This is a CPU build, as {asked} asks."
    return [first, f"{label(chosen.entry.wheel)} is the newest {_offered(evaluation, chosen)}."]


def _torch_sentence(evaluation: Evaluation, chosen: Served) -> str:
    problem = evaluation.problem
    code = join(list(dict.fromkeys(gpu.by for gpu in chosen.gpus)))
    name = label(chosen.entry.wheel)
    if chosen.kernels is None:
        return f"{name} was taken although its code is not known, because you insisted."
    origin = "by table" if chosen.kernels.origin == "table" else "read from the wheel"
    what = "native code" if chosen.native else "code, PTX at least,"
    offered = _offered(evaluation, chosen)
    return f"{name} is the newest {offered} with {what} for {kinds(problem.gpus)}: {code} ({origin})."


def _offered(evaluation: Evaluation, chosen: Served) -> str:
    specifiers = [str(each) for each in evaluation.problem.constraints.versions["torch"] if str(each)]
    asked = f" of torch {join(specifiers)}" if specifiers else ""
    build = "CPU build" if evaluation.problem.cpu else "wheel"
    return f"{chosen.entry.wheel.channel} {build} offered{asked}"


def _newer_sentences(evaluation: Evaluation, chosen: Served) -> list[str]:
    """Why the newer releases were not taken."""
    mine = public_version(chosen.entry.wheel.version)
    newer: dict[str, list[tuple[CatalogEntry, Refusal]]] = {}
    for entry, refusal in evaluation.refused(*_TELLING):
        if _comparable(entry, refusal, chosen.entry) and public_version(entry.wheel.version) > mine:
            newer.setdefault(entry.wheel.version.partition("+")[0], []).append((entry, refusal))
    versions = sorted(newer, key=public_version, reverse=True)[:_NEWER_TOLD]
    return [f"torch {each} is newer, but not for this machine ({_refusals(newer[each])})." for each in versions]


def _libc_sentences(evaluation: Evaluation, chosen: Served) -> list[str]:
    """Say that the system's libc keeps a newer release away."""
    mine, newest = public_version(chosen.entry.wheel.version), ""
    for row in evaluation.verdicts.rejected("libc"):
        version = row.version.partition("+")[0]
        stable = row.project == "torch" and ".dev" not in version
        if stable and public_version(version) > max(mine, public_version(newest or "0")):
            newest, detail = version, row.detail
    return [f"torch {newest} is newer, but not for this machine ({detail})."] if newest else []


def _comparable(entry: CatalogEntry, refusal: Refusal, chosen: CatalogEntry) -> bool:
    """Whether a refused wheel differs from the chosen one in a way worth a sentence: not by Python, not by channel."""
    same = entry.wheel.channel == chosen.wheel.channel and entry.tags.python == chosen.tags.python
    told_elsewhere = refusal.reason == "companion" and entry.day is not None
    return same and not told_elsewhere


def _same_release_sentences(evaluation: Evaluation, chosen: Served) -> list[str]:
    """Why the other builds of the same release were not taken: those with a newer CUDA."""
    mine = chosen.entry
    cuda = evaluation.problem.knowledge.cuda_of(mine.variant or "")
    others = []
    for entry, refusal in evaluation.refused(*_TELLING):
        other = evaluation.problem.knowledge.cuda_of(entry.variant or "")
        same = public_version(entry.wheel.version) == public_version(mine.wheel.version)
        if same and _comparable(entry, refusal, mine) and cuda and other and compare_versions(other, cuda) > 0:
            others.append((entry, refusal))
    return [f"Its builds for a newer CUDA were refused ({_refusals(others)})."] if others else []


def _passed_sentences(taken: Chosen) -> list[str]:
    """Say which newer builds of the same release were passed over because less of the family is there for them."""
    lacking = {
        entry.variant or label(entry.wheel): join([project for project, _ in found.left_out])
        for entry, found in taken.passed
        if entry.variant != taken.outcome.entry.variant
    }
    return [
        f"Of the same release, {variant} was passed over: it has no {missing} that goes with it."
        for variant, missing in lacking.items()
    ]


def _refusals(rows: Sequence[tuple[CatalogEntry, Refusal]]) -> str:
    """Group refusals by what was said: ``cu130 needs driver …; cu126 has no code for sm_120 …``."""
    by_brief: dict[str, set[str]] = {}
    for entry, refusal in rows:
        by_brief.setdefault(refusal.brief, set()).add(entry.variant or label(entry.wheel))
    return "; ".join(f"{join(sorted(names))}: {text}" for text, names in sorted(by_brief.items()))


def _variant_sentences(problem: Problem, chosen: Served) -> list[str]:
    variant = chosen.entry.variant
    if variant is None:
        return []
    verdict, cuda = check_driver(problem, variant), problem.knowledge.cuda_of(variant)
    if verdict.floor is None or problem.machine.driver is None:
        return [f"{variant} is built with CUDA {cuda}; the driver was not seen."]
    if not verdict.full:
        return [_minor_version(problem, variant)]
    if verdict.floor.by == "driver":
        return [f"{variant} is built with CUDA {cuda}: {_driver(problem)} {verdict.floor.source}."]
    least = f"it needs driver {verdict.floor.minimum} or newer ({verdict.floor.source})"
    return [f"{variant} is built with CUDA {cuda}: {least}, and this machine has {driver_words(problem)}."]


def _minor_version(problem: Problem, variant: str) -> str:
    """Say that the driver is older than the variant's CUDA, and what carries it nevertheless."""
    verdict, cuda = check_driver(problem, variant), problem.knowledge.cuda_of(variant)
    floor = f", from driver {verdict.floor.minimum} on ({verdict.floor.source})" if verdict.floor else ""
    knows = (
        f"the {problem.driver_cuda} of {_driver(problem)}"
        if problem.driver_cuda
        else f"what {_driver(problem)} may know"
    )
    carried = f"its compiled code runs by minor-version compatibility{floor}"
    return f"{variant} is built with CUDA {cuda}, newer than {knows}: {carried}."


def _no_ptx(problem: Problem, variant: str) -> str:
    cuda = problem.knowledge.cuda_of(variant)
    return f"{_driver(problem)} runs the compiled code of {variant}; it does not compile PTX of CUDA {cuda}"


def _driver(problem: Problem) -> str:
    driver = problem.machine.driver
    return f"driver {driver.version} ({driver.place})" if driver else "the driver"


def _python_sentences(problem: Problem, found: family.TorchFamily) -> list[str]:
    # Only what was tried: a lock holds this sentence, and what else is installed here does not shape it.
    tried = problem.target.pythons[: problem.target.pythons.index(found.python) + 1]
    said = f"Python {found.python} is the first of {', '.join(tried)} for which there is such a family."
    return [said] if len(tried) > 1 else []


def _channel_sentences(evaluation: Evaluation, chosen: Served) -> list[str]:
    problem, entry = evaluation.problem, chosen.entry
    version = entry.wheel.version.partition("+")[0]
    if entry.wheel.channel == "stable":
        if problem.channel != "auto" or problem.cpu:
            return []
        what = "native code" if chosen.native else "code"
        return [f"Stable {version} has {what} for every GPU, so that no nightly was needed."]
    if problem.channel == "nightly":
        return ["The nightly channel was asked for."]
    return ["No stable wheel serves every GPU natively: this is a nightly."]


def _moved_back(evaluation: Evaluation, chosen: CatalogEntry) -> list[str]:
    """Say which newer days were passed over, and for what."""
    if chosen.day is None:
        return []
    passed: dict[str, str] = {}
    for entry, refusal in evaluation.refused("companion"):
        newer = entry.day is not None and entry.day > chosen.day and entry.wheel.channel == "nightly"
        if newer and entry.variant == chosen.variant:
            passed.setdefault(entry.day or "", refusal.detail)
    if not passed:
        return []
    days = "; ".join(f"{day_words(day)}: {detail}" for day, detail in sorted(passed.items(), reverse=True))
    return [f"the set is of {day_words(chosen.day)}, the newest coherent day; passed over: {days}"]


def _family_sentences(evaluation: Evaluation, found: family.TorchFamily) -> list[str]:
    torch = found.members[0]
    pinned = []
    for entry in found.members[1:]:
        requires = family.requires_of(evaluation.problem, entry, evaluation.facts) or ()
        pins = family.torch_pins(evaluation.problem, requires, found.python)
        asks = [f"requires torch{', '.join(map(str, pins))}"] if pins else []
        asks += _build_words(evaluation, entry)
        pinned.append(f"{entry.wheel.project} {entry.wheel.version}" + (f" ({'; '.join(asks)})" if asks else ""))
    if not pinned:
        return []
    place = f"of {torch.variant} and the {torch.wheel.channel} channel" if torch.variant else "of the same source"
    return [f"With it, {place}: {join(pinned)}."]


def _build_words(evaluation: Evaluation, entry: CatalogEntry) -> list[str]:
    """What a companion's build is, where its name does not show it and it counts."""
    if "+" in entry.wheel.version or entry.wheel.project not in evaluation.problem.knowledge.import_checks:
        return []
    cuda = builds.built_with(evaluation.problem.knowledge, entry, evaluation.facts.build(entry))
    return ["its CUDA is not known"] if cuda is None else [f"built with CUDA {cuda}" if cuda else "built without CUDA"]


def _source_sentences(chosen: Served) -> list[str]:
    place = _SOURCES.get(chosen.entry.wheel.source)
    if place is None:
        return []
    build = f", where this release is the {chosen.entry.variant} build" if chosen.entry.wheel.variant is None else ""
    return [f"The wheels come from {place}{build}."]


_PINNED = re.compile(r"triton\s*==\s*([0-9.]+)(?![0-9.*+])")


def compile_warnings(evaluation: Evaluation, torch: CatalogEntry) -> tuple[str, ...]:
    """Say for which GPU it cannot work. Nothing is said where the triton that torch asks for was never read."""
    problem = evaluation.problem
    if problem.cpu or problem.machine.os != "linux":
        return ()
    requires = family.requires_of(problem, torch, evaluation.facts)
    release = problem.knowledge.releases.get(torch.wheel.version.partition("+")[0])
    if requires is None and release is not None and release.triton is not None:
        requires = (release.triton.requirement,)
    pinned = (found[1] for text in requires or () if (found := _PINNED.match(text)))
    known = [row for version in pinned if (row := problem.knowledge.assemblers.get(version)) is not None]
    lost = {
        gpu_words(gpu): (row, code_of(gpu.compute_capability))
        for row in known
        for gpu in problem.gpus
        if gpu.compute_capability not in row.capabilities
    }
    return tuple(
        f"torch.compile cannot work on {name}: the assembler of triton {row.triton}, which this torch asks for, "
        f"makes no code for {code} ({row.source})"
        for name, (row, code) in lost.items()
    )
