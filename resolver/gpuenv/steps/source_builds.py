"""Packages that are built from their source for the torch that was decided (``--build``): which archive, and the wheel.

A package that is named takes no part in the choice of torch: it is built for whatever that is. Nothing of a source
runs unless it is named.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from gpuenv import knowledge as tables
from gpuenv.companions.wheel import list_libraries, read_package
from gpuenv.dataclass import dataclass
from gpuenv.environment import build
from gpuenv.environment.built import BuildKey, BuiltWheel, find_built, keep_built
from gpuenv.environment.interpreters import Interpreter, interpreter_for, require_interpreter
from gpuenv.environment.source_build import Building, find_isolation, install_requirements
from gpuenv.environment.source_tree import SourceTree, unpack
from gpuenv.environment.store import sha256_of
from gpuenv.errors import NoFittingWheelError, PackageIndexError, SourceBuildError, UsageError
from gpuenv.index.config import Place
from gpuenv.index.source_archives import read_archives
from gpuenv.index.wheelfile import open_wheel
from gpuenv.installed.places import find_python
from gpuenv.knowledge.source_builds import BuildRecipe, recipe_of
from gpuenv.lock.codec import render
from gpuenv.lock.model import Lock
from gpuenv.metadata import parse_requirement
from gpuenv.model.decision import Companion
from gpuenv.model.source import SourceArchive
from gpuenv.select.beside import Fit, Unfit, beside
from gpuenv.select.companion_set import wheel_at
from gpuenv.select.companion_verdict import Surroundings
from gpuenv.select.source_archives import choose_archive
from gpuenv.select.target import TargetTags
from gpuenv.steps.advice import retyped
from gpuenv.steps.build_tools import Tools, require_tools
from gpuenv.steps.context import Context
from gpuenv.steps.decision import Decided
from gpuenv.steps.dependencies import indexes_of
from gpuenv.steps.downloads import fetcher, open_store
from gpuenv.steps.pythons import interpreters_of, uv_of
from gpuenv.steps.source_hints import namesake_words, places_of_source
from gpuenv.steps.sources import open_http, uv_credentials, uv_environment
from gpuenv.system.files import scratch, write_atomic

FOLDER = "builds"
"""Below the cache: one environment at a time, so that what a killed build left is removed by the next."""
_LATER = "is built from {} for {} when it is locked"
LockAlone = Callable[[Decided], Lock]
"""Locks a decision with no package beside torch's family."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _SourceBuild:
    """One package that is to be built, and from what."""

    requirement: Requirement
    project: str
    archive: SourceArchive
    place: Place
    recipe: BuildRecipe


def with_planned(context: Context, decided: Decided) -> Decided:
    """Name what will be built beside torch, for a decision that is shown and locks nothing."""
    there = {each.project for each in decided.decision.companions}
    planned = [each for each in _planned(context, decided) if each.project not in there]
    rows = [_companion(each, _of_torch(_LATER, each, decided)) for each in planned]
    return _with_companions(decided, rows)


def with_builds(context: Context, decided: Decided, *, lock_alone: LockAlone, tentative: bool) -> Decided:
    """Build what is to be built, or take what was built before; the decision then names each wheel by its address.

    A ``tentative`` one is left out where it has not been built yet, and that is said.

    Raises :class:`~gpuenv.errors.BuildToolError` before anything runs, :class:`~gpuenv.errors.SourceBuildError`, and
    :class:`~gpuenv.errors.NoFittingWheelError` where what came out does not run beside torch.
    """
    others, rows = list(decided.decision.others), []
    lock: Lock | None = None
    for each in _planned(context, decided):
        key = _key(decided, each)
        built = find_built(open_store(context), key)
        if built is None and tentative:
            rows.append(_companion(each, _of_torch(_LATER, each, decided)))
            continue
        if built is None:
            _require_asked(context, decided, each)
            lock = lock or lock_alone(decided)
            built = _build(context, decided, each, key, lock)
        else:
            context.reporter.say(f"Taking {built.path.name}, which was built here before from {each.archive.filename}")
        others.append(_address(each, built))
        rows.append(_companion(each, _of_torch("was built here from {} for {}", each, decided), built))
    return _with_companions(replace(decided, decision=replace(decided.decision, others=tuple(others))), rows)


def _require_asked(context: Context, decided: Decided, planned: _SourceBuild) -> None:
    """Stop where nobody here asked for a build: a lock that was cloned may record one, and runs nothing by that."""
    if "build" in context.options.origins:
        return
    command = retyped(context.words, {"build": context.options.build}, profile=decided.profile.name)
    raise UsageError(
        f"the lock has {planned.project} built from its source, and that was not done on this machine yet",
        causes=(f"it would run the code of {planned.archive.filename}",),
        hints=(f"If you want that, say so: `{command}`",),
    )


def _planned(context: Context, decided: Decided) -> list[_SourceBuild]:
    found = []
    for text in decided.to_build:
        requirement = Requirement(text)
        project = canonicalize_name(requirement.name)
        if requirement.url is not None:
            raise UsageError(
                f"--build {project}: what is asked for is an address, not a version: {requirement.url}",
                hints=("Name the package without an address: it is built from the archive of its index",),
            )
        archive, place = _archive(context, decided, requirement, project)
        recipe = recipe_of(project)
        found.append(
            _SourceBuild(requirement=requirement, project=project, archive=archive, place=place, recipe=recipe)
        )
    return found


def _archive(context: Context, decided: Decided, requirement: Requirement, project: str) -> tuple[SourceArchive, Place]:
    decision, errors = decided.decision, []
    places = places_of_source(decided.plan, project)
    for place in places:
        try:
            listed = read_archives(place, open_http(context), project)
        except PackageIndexError as error:
            errors.append(error)
            continue
        cutoff = context.options.exclude_newer
        chosen = choose_archive(listed, requirement.specifier, python=decision.python, cutoff=cutoff)
        if chosen is not None:
            return chosen, place
    if errors:
        raise errors[0]
    raise NoFittingWheelError(
        f"{requirement}: no place that was asked has source of it with a hash for Python {decision.python}",
        causes=(*namesake_words(project), *(f"asked: {place.words}" for place in places)),
        hints=("Name a folder or page that has it: `--find-links DIR`",),
    )


def _key(decided: Decided, planned: _SourceBuild) -> BuildKey:
    decision, machine = decided.decision, decided.machine.facts
    torch = decision.packages[0]
    capabilities = sorted({gpu.compute_capability for gpu in decision.gpus})
    return BuildKey(
        source=planned.archive.sha256,
        torch=torch.filename,
        torch_sha256=torch.sha256 or "",
        cuda=tables.load().cuda_of(decision.variant) or "",
        python=decision.python,
        platform=f"{machine.os}_{machine.arch}",
        libc=machine.libc or "",
        capabilities=tuple(map(str, capabilities)),
        switches=tuple(planned.recipe.switches(capabilities).items()),
    )


def _build(context: Context, decided: Decided, planned: _SourceBuild, key: BuildKey, lock: Lock) -> BuiltWheel:
    """Fetch the source, see that everything is there, build, and accept what came out."""
    what = f"{planned.project} {planned.archive.version}"
    if not decided.machine.here:
        raise UsageError(
            f"{what} is built on the machine that it is for, and this decision is for another",
            hints=("Run the command there, or leave the package out",),
        )
    python = _interpreter(context, decided)
    with scratch("source") as folder:
        archive = fetcher(context).bring(planned.archive.url, folder / "archive", sha256=key.source)
        tree = unpack(archive, filename=planned.archive.filename, into=_made(folder / "looked-at"))
        tools = require_tools(context, decided, tree, python=python.path, what=what)
        write_atomic(folder / "pylock.build.toml", render(lock), what="the lock of the build's environment")
        store, place = open_store(context), _made(context.cache / FOLDER) / "environment"
        with build.staged_environment(
            folder / "pylock.build.toml", lock, target=place, python=python, uv=uv_of(context), state=context.state,
            reporter=context.reporter, options=_options(context),
        ) as staged:  # fmt: skip
            stage = staged.path.parent
            tree = unpack(archive, filename=planned.archive.filename, into=_made(stage / "source"))
            wheel = _run(context, planned, tree, tools, staged.path, lock, what=what)
            _accept(context, decided, planned, wheel, key)
            return keep_built(store, key, wheel, sha256_of(wheel))


def _run(
    context: Context, planned: _SourceBuild, tree: SourceTree, tools: Tools, environment: Path, lock: Lock, *, what: str
) -> Path:
    python = find_python(environment)
    assert python is not None
    uv, reporter, stage = uv_of(context), context.reporter, environment.parent
    here = {package.name: package.version for package in lock.packages}
    missing = [text for text in (*tree.requires, *planned.recipe.requires) if not _there(text, here, what)]
    if missing:
        with reporter.task(f"Installing what the build of {what} requires"):
            install_requirements(
                uv, python, missing, pinned=[f"{name}=={version}" for name, version in here.items()],
                variables={**uv_environment(context), **uv_credentials(context), **indexes_of(context).variables()},
                folder=stage, offline=context.offline, reporter=reporter,
            )  # fmt: skip
    isolation = find_isolation(context.environ.get("PATH", os.defpath))
    if isolation.why_not:
        reporter.warn(f"the build of {what} is not cut off from the network: {isolation.why_not}")
    variables = tools.variables(planned.recipe, python=python)
    shown = " ".join(f"{name}={value}" for name, value in variables.items() if name != "PATH")
    reporter.say(f"Building {what} from {planned.archive.filename}, whose own code runs for that: {shown}")
    building = Building(uv=uv, python=python, variables=variables, isolation=isolation, reporter=reporter)
    with reporter.task(f"Building {what}"):
        return building.wheel(tree, _made(stage / "wheels"), what=what)


def _there(text: str, here: Mapping[str, str], what: str) -> bool:
    """Whether the build's environment has what is required: torch's family and what that needs is locked, and stays."""
    named = parse_requirement(text)
    if named is None:
        raise SourceBuildError(f"the build of {what} requires what is no requirement: {text!r}")
    name = canonicalize_name(named.name)
    if name not in here:
        return False
    if name in tables.load().family and not named.specifier.contains(here[name], prereleases=True):
        raise SourceBuildError(
            f"the build of {what} requires {text}, and {name} {here[name]} was decided",
            hints=(f'Decide that one: `--torch "{named.specifier}"`',) if name == "torch" else (),
        )
    return True


def _accept(context: Context, decided: Decided, planned: _SourceBuild, wheel: Path, key: BuildKey) -> None:
    """Refuse a wheel that is not the package, does not fit the interpreter, or does not run beside torch on a card."""
    row = wheel_at(planned.project, wheel.as_uri())
    name = wheel.name
    if row is None or canonicalize_name(name.split("-")[0]) != planned.project:
        raise SourceBuildError(f"the build of {planned.project} made {name}, which is no wheel of it")
    if not planned.requirement.specifier.contains(row.version, prereleases=True):
        raise SourceBuildError(f"the build of {planned.requirement} made {name}, which is of another version")
    target = TargetTags(decided.machine.facts, (decided.decision.python,))
    python_tag, abi, platform = name.removesuffix(".whl").split("-")[-3:]
    for refusal in (target.refuses_platform(platform), target.accepts_pythons(python_tag, abi)):
        if refusal is not None and not isinstance(refusal, tuple):
            raise SourceBuildError(
                f"the build of {planned.project} made {name}, which does not fit", causes=[refusal.detail]
            )
    fit = _verdict(context, decided, planned.project, row.version, wheel, key)
    if isinstance(fit, Unfit):
        raise NoFittingWheelError(
            f"what was built does not run beside torch: {fit.detail}",
            causes=(f"{name}, read after its build ({fit.source}); it was not kept",),
        )


def _verdict(context: Context, decided: Decided, project: str, version: str, wheel: Path, key: BuildKey) -> Fit | Unfit:
    knowledge, decision = tables.load(), decided.decision
    around = Surroundings(
        torch=decision.packages[0].version,
        cuda=key.cuda,
        python=decision.python.removesuffix("t"),
        capabilities=tuple(sorted({gpu.compute_capability for gpu in decision.gpus})),
        driver_cuda=knowledge.machine_cuda(decided.machine.facts),
        platform=key.platform,
    )
    with open_wheel(wheel, http=open_http(context), filename=wheel.name) as file:
        facts = read_package(file, list_libraries(file), project=project, version=version)
    if not facts.own and not facts.unread:  # Python alone
        return Fit(support="no-code")
    return beside(project, version, around, facts=facts, knowledge=knowledge, of_index=False)


def _interpreter(context: Context, decided: Decided) -> Interpreter:
    wanted = decided.decision.python
    found = interpreter_for(wanted, interpreters_of(context, downloads=False))
    return found or require_interpreter(wanted, interpreters_of(context, downloads=not context.offline))


def _options(context: Context) -> build.BuildOptions:
    return build.BuildOptions(
        offline=context.offline,
        store=open_store(context),
        extra_env=uv_environment(context) | uv_credentials(context),
    )


def _made(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _address(planned: _SourceBuild, built: BuiltWheel) -> str:
    extras = f"[{','.join(sorted(planned.requirement.extras))}]" if planned.requirement.extras else ""
    marker = f" ; {planned.requirement.marker}" if planned.requirement.marker else ""
    return f"{planned.requirement.name}{extras} @ {built.path.absolute().as_uri()}#sha256={built.sha256}{marker}"


def _of_torch(sentence: str, planned: _SourceBuild, decided: Decided) -> str:
    return sentence.format(planned.archive.filename, f"torch {decided.decision.packages[0].version}")


def _companion(planned: _SourceBuild, because: str, built: BuiltWheel | None = None) -> Companion:
    version = built.path.name.split("-")[1] if built is not None else planned.archive.version
    return Companion(
        project=planned.project, version=version, wheel=None, place=planned.place.words, support="unknown",
        because=because,
    )  # fmt: skip


def _with_companions(decided: Decided, rows: Sequence[Companion]) -> Decided:
    decision = decided.decision
    return replace(decided, decision=replace(decision, companions=(*decision.companions, *rows)))
