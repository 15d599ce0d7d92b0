"""Everything that was observed of one environment: what the checks read, and how they answer."""

from __future__ import annotations

import math
from collections.abc import Mapping

from packaging.version import InvalidVersion, Version

from gpuenv.dataclass import dataclass
from gpuenv.installed.compare import Compared
from gpuenv.installed.environment import EnvironmentFacts
from gpuenv.installed.fatbin import DeviceCode
from gpuenv.knowledge.scheduler import Scheduler, owner_of_mask
from gpuenv.model.machine import Gpu, Machine
from gpuenv.model.profile import VerificationPlan
from gpuenv.model.verification import Check, Status
from gpuenv.system.home import home_of
from gpuenv.verify.causes import DOCTOR, Cause, Hints, of_ending, of_message
from gpuenv.verify.expected import Expected, Reference
from gpuenv.verify.messages import Message
from gpuenv.verify.payload.devices import plain_uuid
from gpuenv.verify.probes import Probe
from gpuenv.verify.runner import PayloadEnded


@dataclass(frozen=True, slots=True, kw_only=True)
class Observed:
    """What was expected, what lies on the disk, what the payload said, and how its processes ended."""

    gpu: bool
    plan: VerificationPlan
    expected: Expected
    machine: Machine
    installed: EnvironmentFacts
    compared: Compared
    messages: tuple[Message, ...]
    """In the order of arrival."""
    ended: tuple[PayloadEnded, ...]
    environ: Mapping[str, str]
    """The person's own variables, for causes; the payload got fewer."""
    dropped: tuple[str, ...]
    code: tuple[tuple[str, DeviceCode], ...]
    """Device code by library name."""
    reference: Reference
    seeds: tuple[int, ...] = (1,)
    """The seeds of the training runs, the main one first."""
    probes: tuple[Probe, ...] = ()
    """Those of its companions, also those that were not run."""

    @property
    def shown(self) -> str:
        """The environment as a person names it."""
        return self.expected.environment or self.installed.path.name

    def plain(self, text: str) -> str:
        """Take this machine's folders out of a text: evidence is shown to others."""
        text = text.replace(str(self.installed.path), self.shown)
        home = home_of(self.environ)
        for written in (home, home.replace("\\", "\\\\")):  # as it is, and as Python writes a text of Windows
            text = text.replace(written, "~") if len(written) > 1 else text
        return text

    def all(self, event: str, *, job: str | None = None) -> tuple[Message, ...]:
        """Return the messages of one kind, of one job or of all."""
        return tuple(m for m in self.messages if m.event == event and job in (None, m.job))

    def first(self, event: str, *, job: str | None = None) -> Message | None:
        """Return the first message of one kind, ``None`` where there is none."""
        return next(iter(self.all(event, job=job)), None)

    def ending(self, job: str) -> PayloadEnded | None:
        """Return how a job ended, ``None`` for one that was not run."""
        return next((item for item in self.ended if item.job == job), None)

    def gpus(self) -> tuple[Gpu, ...]:
        """Return the GPUs in scope: those of the lock, else all of the machine; in a job those that it was given."""
        scope = self.expected.gpus or self.machine.gpus
        message = self.first("devices", job="training")
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
        if (cause := of_ending(ended, gpu=self.gpu)) is not None:
            return f"the {job} process did not finish", cause
        if (failed := self.first("failed", job=job)) is not None:
            text = f"{failed.text('kind')}: {failed.text('message')}"
            return text[:400], of_message(text)
        if self.first("finished", job=job) is None:
            return "the process ended before its end", of_message("\n".join(ended.stderr[-20:]))
        return None

    def silence(self, job: str, *, who: str = "the payload") -> tuple[str, Cause]:
        """Return what kept a job from saying what it was asked, be it nothing that shows."""
        return self.trouble(job) or ("nothing was heard", Cause(f"{who} said nothing", DOCTOR))

    def check(
        self,
        name: str,
        title: str,
        status: Status | None = None,
        *,
        expected: str,
        seen: str = "",
        cause: Cause | None = None,
        seconds: float | None = None,
        why: str = "",
    ) -> Check:
        """Make a check; its hint is spelled for this environment and what was done to it.

        Without a ``status`` it failed if there is a cause, and passed if there is none. ``why`` says that it could not
        be asked, which is never read as passed.
        """
        if why:
            status, seen = "not-applicable", f"not run: {why}"
        spelling = self.expected.hints or Hints(profile=self.expected.profile or "", environment=self.shown)
        return Check(
            name=name,
            title=title,
            status=status or ("failed" if cause else "passed"),
            seen=self.plain(seen),
            expected=self.plain(expected),
            cause=self.plain(cause.text) if cause else "",
            hint=self.plain(spelling.spelled(cause.hint, stands=status == "warned")) if cause else "",
            seconds=seconds,
        )


def left_out(observed: Observed, job: str, what: str) -> str | None:
    """Return why a run was left out for want of time, ``None`` where it was not."""
    message = next((m for m in observed.all("left-out", job=job) if m.text("what") == what), None)
    if message is None:
        return None
    took, left = message.amount("step_seconds"), max(message.amount("left"), 0.0)
    return f"{message.whole('steps')} steps of {took:.2g} s do not fit into the {left:.0f} s that are left"


def agrees(one: str, other: str) -> bool:
    """Compare versions; a local label counts only where both have one (the wheels of PyPI have none).

    >>> agrees("2.10.0", "2.10.0+cu128"), agrees("2.10.0+cu126", "2.10.0+cu128")
    (True, False)
    """
    try:
        left, right = Version(one), Version(other)
    except InvalidVersion:
        return one == other
    same_local = left.local == right.local or left.local is None or right.local is None
    return left.public == right.public and same_local


def finite(value: float | None) -> bool:
    """Say whether there is a number and it is one."""
    return value is not None and math.isfinite(value)
