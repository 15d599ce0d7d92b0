"""Everything a judge may look at, and the words that judges share."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from packaging.version import InvalidVersion, Version

from gpuenv.installed.compare import Compared
from gpuenv.installed.environment import EnvironmentFacts
from gpuenv.knowledge.scheduler import Scheduler, owner_of_mask
from gpuenv.model.machine import ComputeCapability, Machine
from gpuenv.model.profile import VerificationPlan
from gpuenv.model.verification import Check, Status
from gpuenv.verify.causes import Cause, of_ending, of_words
from gpuenv.verify.fatbin import DeviceCode
from gpuenv.verify.hints import Hints
from gpuenv.verify.limits import CardShares
from gpuenv.verify.reference import Reference
from gpuenv.verify.runner import PayloadEnded
from gpuenv.verify.seen import Seen
from gpuenv.verify.values import Expected, ExpectedGpu


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """The evidence before the judges: promises, files, messages, endings."""

    gpu: bool
    plan: VerificationPlan
    expected: Expected
    machine: Machine
    installed: EnvironmentFacts
    compared: Compared
    seen: Seen
    ended: tuple[PayloadEnded, ...]
    environ: Mapping[str, str]
    """The person's own variables, for causes; the payload got fewer."""
    dropped: tuple[str, ...]
    code: tuple[tuple[str, DeviceCode], ...]
    """Device code by library name."""
    limits: CardShares
    reference: Reference
    seeds: tuple[int, ...] = (1,)
    """The seeds of the training runs, the main one first."""

    @property
    def shown(self) -> str:
        """The environment as a person names it."""
        return self.expected.environment or self.installed.path.name

    def plain(self, text: str) -> str:
        """Take this machine's folders out of a text: evidence is shown to others."""
        text = text.replace(str(self.installed.path), self.shown)
        home = self.environ.get("HOME", "")
        return text.replace(home, "~") if len(home) > 1 else text

    def ending(self, job: str) -> PayloadEnded | None:
        """Return how a job ended, ``None`` for one that was not run."""
        return next((item for item in self.ended if item.job == job), None)

    def gpus(self) -> tuple[ExpectedGpu, ...]:
        """Return the GPUs in scope: those of the lock, else all of the machine; in a job those that it was given."""
        scope = self.expected.gpus or tuple(
            ExpectedGpu(uuid=gpu.uuid, compute_capability=gpu.compute_capability, index=gpu.index)
            for gpu in self.machine.gpus
        )
        message = self.seen.first("devices", job="training")
        if message is None or self.job is None or not isinstance(message.value("visible"), str):
            return scope
        shown = {str(row.get("uuid")) for row in message.rows("devices")}
        return tuple(gpu for gpu in scope if plain_uuid(gpu.uuid) in shown) or scope

    @property
    def job(self) -> Scheduler | None:
        """The scheduler in whose job this is, which hands out the GPUs; ``None`` outside of one."""
        return owner_of_mask(self.environ)

    def trouble(self, job: str) -> tuple[str, Cause] | None:
        """Return what kept a job from finishing, ``None`` where it finished or was not run."""
        ended = self.ending(job)
        if ended is None:
            return None
        if (cause := of_ending(ended)) is not None:
            return f"the {job} process did not finish", cause
        if (failed := self.seen.first("failed", job=job)) is not None:
            words = f"{failed.text('kind')}: {failed.text('message')}"
            return words[:400], of_words(words)
        if self.seen.first("finished", job=job) is None:
            words = "\n".join(ended.words[-20:])
            return "the process ended before its end", of_words(words)
        return None

    def check(
        self,
        name: str,
        title: str,
        status: Status,
        *,
        seen: str,
        expected: str,
        cause: Cause | None = None,
        seconds: float | None = None,
    ) -> Check:
        """Make a check; its hint is spelled for this environment and what was done to it."""
        spelling = self.expected.hints or Hints(profile=self.expected.profile or "", environment=self.shown)
        hint = spelling.spelled(cause.hint) if cause else ""
        return Check(
            name=name,
            title=title,
            status=status,
            seen=self.plain(seen),
            expected=self.plain(expected),
            cause=self.plain(cause.cause) if cause else "",
            hint=self.plain(hint),
            seconds=seconds,
        )

    def verdict(
        self, name: str, title: str, *, seen: str, expected: str, cause: Cause | None, seconds: float | None = None
    ) -> Check:
        """Make a check that failed if there is a cause, and passed if there is none."""
        status: Status = "passed" if cause is None else "failed"
        return self.check(name, title, status, seen=seen, expected=expected, cause=cause, seconds=seconds)

    def not_run(self, name: str, title: str, *, expected: str, why: str) -> Check:
        """Make the check that could not be asked. Never read as passed."""
        return self.check(name, title, "not-applicable", seen=f"not run: {why}", expected=expected)


def same_version(one: str, other: str) -> bool:
    """Compare versions; a local label counts only where both have one (the default index's wheels have none).

    >>> same_version("2.10.0", "2.10.0+cu128"), same_version("2.10.0+cu126", "2.10.0+cu128")
    (True, False)
    """
    try:
        left, right = Version(one), Version(other)
    except InvalidVersion:
        return one == other
    same_local = left.local == right.local or left.local is None or right.local is None
    return left.public == right.public and same_local


def plain_uuid(text: str) -> str:
    """Return a UUID without NVML's prefix, in lower case, as torch and the driver write it."""
    low = text.lower()
    return low.removeprefix("gpu-").removeprefix("mig-")


def finite(value: float | None) -> bool:
    """Say whether there is a number and it is one."""
    return value is not None and math.isfinite(value)


def capability(text: object) -> ComputeCapability | None:
    """Read a capability that another process reported."""
    try:
        return ComputeCapability.parse(str(text))
    except ValueError:
        return None


def gigabytes(count: float) -> str:
    """Write bytes for a person."""
    return f"{count / 1e9:.2f} GB"
