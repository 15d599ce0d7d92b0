"""The environment that stands at the target already: whether it is what the lock says, and whether its proof holds."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from gpuenv import __version__
from gpuenv.dataclass import dataclass
from gpuenv.environment.guard import guard_is_whole
from gpuenv.environment.previous import failed_place, settle
from gpuenv.environment.target import check_target, only_one
from gpuenv.errors import ConfigurationError, FileError
from gpuenv.installed.marker import Marker, lock_digest
from gpuenv.model.machine import Machine
from gpuenv.steps.context import Context
from gpuenv.steps.environment import evidence_of, verified_name
from gpuenv.steps.lock import Locked
from gpuenv.steps.machine import in_scope
from gpuenv.steps.proof import Proof, accelerator

if TYPE_CHECKING:  # what stands at the target is read where something does; what is not to be proved was not proved
    from gpuenv.installed.compare import Compared
    from gpuenv.installed.environment import EnvironmentFacts
    from gpuenv.verify.earlier import EarlierProof

WAIT = 4 * 3600.0
"""Seconds to wait for another build of the same target."""
SHOWN = 3
"""How many differences are named before they are only counted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """An environment that is what its lock says: nothing has to be built."""

    path: Path
    marker: Marker
    compared: Compared


def standing_environment(context: Context, locked: Locked, *, target: Path, deep: bool = False) -> Standing | None:
    """The environment at ``target``, where the lock, its marker and the RECORDs in it say that it is as it was built.

    Stat and size of every file, no process and no request; ``deep`` hashes them all. ``None`` where it has to be built,
    and what differs is said. Waits for another build of the same target, and finishes what a killed one left.
    """
    place = check_target(target)
    with only_one(place, state=context.state, timeout=WAIT, reporter=context.reporter):
        settle(place, context.reporter)
        found = examine(context, locked, target=target, deep=deep)
    if isinstance(found, Standing):
        return found
    if found:
        more = f" and {len(found) - SHOWN} more" if len(found) > SHOWN else ""
        context.reporter.say(f"{context.shown(target)} is built again: {'; '.join(found[:SHOWN])}{more}")
    return None


def examine(context: Context, locked: Locked, *, target: Path, deep: bool = False) -> Standing | tuple[str, ...]:
    """What :func:`standing_environment` finds, or why it has to be built: nothing to say where nothing stands there."""
    place = check_target(target)
    if not place.exists or not any(place.path.iterdir()):
        return ()
    from gpuenv.installed.compare import compare
    from gpuenv.installed.environment import read_environment

    facts = read_environment(place.path)
    if facts.marker is None:
        return (facts.marker_problem,)
    if facts.marker.lock != lock_digest(locked.path):
        return (_other_lock(locked, facts.marker),)
    if context.options.install_project and not facts.marker.projects:
        return ("the project is not installed in it",)
    lock = locked.lock
    family, versions = {each.name for each in lock.family}, {each.name: each.version for each in lock.packages}
    compared = compare(facts, expected=versions, family=family, deep=deep)
    reasons = (*_changes(facts, versions, family), *map(str, compared.differences))
    pins = [(each.name, each.version) for each in lock.family]
    if not reasons and not guard_is_whole(place.path, pins=pins, lock_name=locked.path.name):
        reasons = ("the files that hold its family are not as they were written",)
    return reasons or Standing(path=place.path, marker=facts.marker, compared=compared)


def _other_lock(locked: Locked, marker: Marker) -> str:
    before = next((each.version for each in marker.packages if each.name == "torch"), "")
    now = locked.lock.decision.torch
    moved = f", torch {before} → {now}" if before and before != now else ""
    if marker.profile != locked.lock.inputs.profile:
        return f"it is of the profile {marker.profile}{moved}"
    return f"{locked.shown} has changed since{moved}"


def _changes(facts: EnvironmentFacts, versions: dict[str, str], family: set[str]) -> Iterator[str]:
    from gpuenv.installed.drift import drift

    yield from facts.problems
    for change in drift(facts, expected=versions, family=family):
        if change.kind == "replaced":  # of the rest the comparison tells
            yield f"{change.name} {change.found} was replaced by another build"
    for folder in facts.orphans:
        yield f"{folder.name} is there without its metadata"


def earlier_proof(proof: Proof, standing: Standing) -> EarlierProof | str:
    """The proof of a standing environment that still holds, or why it has to be proved again.

    The last one counts, by `create` or by `verify`; what failed lies beside the evidence of what stood before.
    """
    from gpuenv.verify.earlier import read_proof

    context, shown = proof.context, proof.context.shown(proof.folder)
    verified = evidence_of(context, None, verified_name(proof.target))
    found, unreadable = [], ""
    for folder in (proof.folder, verified, failed_place(proof.folder)):
        try:
            each = read_proof(folder)
        except (ConfigurationError, FileError) as error:
            unreadable = unreadable or f"its evidence cannot be read: {error.message}"
            continue
        if each is not None and (folder == proof.folder or each.lock_sha256 == standing.marker.lock):
            found.append(each)
    if not found:
        return unreadable or f"there is no evidence in {shown}"
    last = max(found, key=lambda each: (each.created, each.verdict == "failed"))  # RFC 3339 in UTC, to the second
    reasons = [*_of_another(proof, standing, last), *_changed(proof, last)]
    return ", ".join(reasons) or last


def _of_another(proof: Proof, standing: Standing, found: EarlierProof) -> Iterator[str]:
    """Why evidence is not that of this environment, or tells nothing good of it."""
    shown = proof.context.shown(found.folder)
    if found.verdict == "failed":
        yield "its last proof failed"
    elif found.environment != proof.context.shown(proof.target):
        yield f"the evidence in {shown} is that of {found.environment}"
    elif found.lock_sha256 != standing.marker.lock:
        yield f"the evidence in {shown} is of another lock"
    elif found.created < standing.marker.created:
        yield "it was built after its last proof"


def _changed(proof: Proof, found: EarlierProof) -> Iterator[str]:
    """What of the circumstances is not as it was."""
    machine = proof.machine.facts
    if found.gpuenv != __version__:
        yield f"gpuenv changed {found.gpuenv} → {__version__}"
    if found.plan is None:
        yield "its evidence does not say what was asked of it"
    elif found.plan != proof.profile.verification:
        yield f"what {proof.profile.name} asks of a proof changed"
    probes = [each for each in proof.probes if each.allowed]
    if new := [each.project for each in probes if (f"probe-{each.project}", each.proves) not in found.asked]:
        yield f"the project has another probe for {', '.join(new)}"
    system = f"{machine.os} {machine.arch}, {machine.libc or 'no libc'}"
    if found.system != system:
        yield f"system changed {found.system} → {system}"
    if accelerator(proof.lock, proof.profile, machine) == "cuda":
        yield from _changed_cards(found, machine, scope=in_scope(proof.context, machine))


def _changed_cards(found: EarlierProof, machine: Machine, *, scope: Machine) -> Iterator[str]:
    driver = machine.driver.version if machine.driver is not None else "none"
    if found.driver != driver:
        yield f"driver changed {found.driver} → {driver}"
    before, now = found.gpus, tuple((gpu.uuid, gpu.name, str(gpu.compute_capability)) for gpu in scope.gpus)
    if before != now:
        names = [", ".join(name for _, name, _ in each) or "none" for each in (before, now)]
        yield f"GPUs changed {names[0]} → {names[1]}" if names[0] != names[1] else f"another {names[1]}"
