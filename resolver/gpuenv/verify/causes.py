"""Likely causes: what the messages of drivers, loaders and kernels mean, and the command that fixes it."""

from __future__ import annotations

import re
from typing import NamedTuple

from gpuenv.documents import shipped
from gpuenv.verify.hints import DOCTOR, RECREATE
from gpuenv.verify.runner import PayloadEnded


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
            return Cause(row["cause"], row["hint"])
    return otherwise or Cause(error.strip().splitlines()[0][:300] if error.strip() else "unknown", DOCTOR)


def of_ending(ended: PayloadEnded) -> Cause | None:
    """Return why a process did not come to its end; ``None`` for one that did, whatever it found."""
    doing = f"it was at '{ended.last}'"
    left = "; even a kill did not end it: the kernel holds it, as with a hung GPU" if ended.stuck else ""
    match ended.ending:
        case "exited" if ended.status in (0, 1):
            return None
        case "exited":
            return Cause(f"the process ended with status {ended.status}; {doing}", DOCTOR)
        case "signal":
            why, hint = _SIGNALS.get(ended.status, ("the process was ended by a signal", DOCTOR))
            return Cause(f"signal {ended.status}: {why}; {doing}", hint)
        case "deadline":
            return Cause(f"not finished at the deadline; {doing}{left}", "nvidia-smi")
        case "silence":
            text = f"nothing was heard for too long and it was ended; {doing}: a hung device looks like this{left}"
            return Cause(text, "nvidia-smi")
        case "not-started":
            return Cause(f"the environment's interpreter does not start: {' '.join(ended.stderr)}", RECREATE)
