"""Likely causes: what the messages of drivers, loaders and kernels mean, and the command that fixes it.

A command is spelled for the environment at hand, and never what was just done.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal, NamedTuple

from gpuenv.dataclass import dataclass
from gpuenv.documents import shipped
from gpuenv.model.verification import Check
from gpuenv.shell import quote
from gpuenv.system.ending import how_ended

if TYPE_CHECKING:
    from gpuenv.verify.runner import PayloadEnded

RECREATE = "gpuenv create"
UPGRADE = "gpuenv lock --upgrade"
EXPLAIN = "gpuenv resolve --explain"
DOCTOR = "gpuenv doctor"
TRACE = "NCCL_DEBUG=INFO gpuenv verify"


class Cause(NamedTuple):
    """Why something failed, in one sentence, and what to type."""

    text: str
    hint: str


_SIGNALS = {
    9: ("the system killed the process, as it does when the machine or its container runs out of memory", "free -h"),
    11: ("the process crashed inside a compiled library", DOCTOR),
    6: ("a compiled library gave up", DOCTOR),
    4: ("a compiled library uses processor instructions that this CPU does not have", "lscpu"),
    7: ("the process lost its memory: a full /dev/shm or a damaged file does this", "df -h /dev/shm"),
}


def of_message(error: str, *, otherwise: Cause | None = None) -> Cause:
    """Return the cause that somebody else's error message points to, by the table (``causes.toml``)."""
    for row in shipped(__file__, "causes")["message"]:
        if re.search(row["pattern"], error):
            return Cause(row["cause"], row.get("windows", row["hint"]) if sys.platform == "win32" else row["hint"])
    return otherwise or Cause(error.strip().splitlines()[0][:300] if error.strip() else "unknown", DOCTOR)


def of_ending(ended: PayloadEnded, *, gpu: bool) -> Cause | None:
    """Return why a process did not come to its end; ``None`` for one that did, whatever it found."""
    doing = f"it was at '{ended.last}'"
    left = "; even a kill did not end it: the kernel holds it, as with a hung GPU" if ended.stuck else ""
    match ended.ending:
        case "exited" if ended.status in (0, 1):
            return None
        case "exited":
            return Cause(f"the process {how_ended(ended.status)}; {doing}", DOCTOR)
        case "signal":
            why, hint = _SIGNALS.get(ended.status, ("the process was ended by a signal", DOCTOR))
            return Cause(f"signal {ended.status}: {why}; {doing}", hint)
        case "deadline" if not gpu:
            text = f"not finished at the deadline; {doing}{left}. This machine is slow, or busy with other programs: "
            return Cause(f"{text}deadline-seconds in [verification] of the profile gives it more time", DOCTOR)
        case "silence" if not gpu:
            return Cause(f"nothing was heard for too long and it was ended; {doing}{left}", DOCTOR)
        case "deadline":
            return Cause(f"not finished at the deadline; {doing}{left}", "nvidia-smi")
        case "silence":
            text = f"nothing was heard for too long and it was ended; {doing}: a hung device looks like this{left}"
            return Cause(text, "nvidia-smi")
        case "not-started":
            return Cause(f"the environment's interpreter does not start: {' '.join(ended.stderr)}", RECREATE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Hints:
    """What a person did, and how they name profile and environment."""

    profile: str = ""
    """As ``--profile`` takes it; empty where the environment has none."""
    environment: str = ""
    """As a person names it."""
    named: bool = False
    """The environment is not the one that the profile names by itself, so commands have to."""
    doing: Literal["create", "verify"] = "verify"
    fresh: bool = False
    """The lock was decided in this very run: nothing newer fits this machine."""
    ours: bool = True
    """gpuenv built it, and may build it again."""
    kept: str = ""
    """Where the environment will stand if it fails; empty: it is discarded."""

    def create(self, *options: str) -> str:
        """Return the command that builds this environment."""
        target = (quote(self.environment),) if self.named else ()
        return " ".join([RECREATE, *options, *self._profile(), *target])

    def spelled(self, hint: str, *, stands: bool = False) -> str:
        """Return a hint's command as it has to be typed here; ``stands``: the environment is none the worse for it.

        >>> Hints(profile="cpu").spelled(UPGRADE)
        'gpuenv lock --upgrade --profile cpu'
        >>> Hints(profile="cpu", doing="create", fresh=True).spelled(UPGRADE)
        'gpuenv resolve --explain --profile cpu'
        """
        building = self.doing == "create"
        if hint == RECREATE:
            if building:
                return self._examine() if self.kept else self.create("--keep-failed")
            return self.create() if self.ours else self._examine()
        if hint == UPGRADE:
            if not self.ours:
                return self._examine()
            hint = EXPLAIN if building and self.fresh else UPGRADE
        if hint in (UPGRADE, EXPLAIN):
            return " ".join([hint, *self._profile()])
        if hint == DOCTOR:
            return DOCTOR if building and not (self.kept or stands) else self._examine()
        if hint == TRACE:
            name, _, _ = TRACE.partition(" ")
            return f"{name} {self.create()}" if building else f"{TRACE} {self._environment()}".rstrip()
        return hint

    def _examine(self) -> str:
        return f"{DOCTOR} {quote(self.kept) if self.kept else self._environment()}".rstrip()

    def _environment(self) -> str:
        return quote(self.environment) if self.environment else ""

    def _profile(self) -> tuple[str, ...]:
        return ("--profile", quote(self.profile)) if self.profile else ()


def hints_of(checks: Sequence[Check]) -> tuple[str, ...]:
    """Return the checks' hints as sentences, one a command."""
    titles: dict[str, list[str]] = {}
    for check in checks:
        if check.hint:
            titles.setdefault(check.hint, []).append(check.title)
    return tuple(f"For {', '.join(names)}: `{hint}`" for hint, names in titles.items())
