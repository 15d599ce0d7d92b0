"""Ask nvidia-smi, by its query interface only.

The banner is for people: driver 610 renamed its fields. A query answers in lines of values, each of which may be a
bracketed reason instead; a driver that does not know one of the fields refuses the whole query.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Mapping

from gpuenv.dataclass import dataclass
from gpuenv.machine.nvml import version_in
from gpuenv.machine.windows import smi_folders
from gpuenv.model.machine import ComputeCapability
from gpuenv.report import visible
from gpuenv.system.ending import how_ended
from gpuenv.system.process import Ended, Limits, NotStarted, TimedOut, absolute_path, run

WSL_FOLDER = "/usr/lib/wsl/lib"
FIELDS = ("driver_version", "index", "uuid", "pci.bus_id", "memory.total", "mig.mode.current", "compute_cap", "name")
"""The name comes last: it is the one value that might hold a comma."""
MEBIBYTE = 1024 * 1024
REAP_SECONDS = 1.0
"""How long a killed nvidia-smi may take to disappear. One that sleeps inside a driver never does."""

_NOT_A_FIELD = re.compile(r'Field "([a-z_.]+)" is not a valid field')


@dataclass(frozen=True, slots=True, kw_only=True)
class SmiGpu:
    """One line of the answer; ``None`` where nvidia-smi gave a reason instead of a value."""

    index: int
    uuid: str | None = None
    name: str | None = None
    compute_capability: ComputeCapability | None = None
    memory_bytes: int | None = None
    bus: str | None = None
    mig: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class SmiAnswer:
    """What nvidia-smi knows. ``failure`` says why there is nothing, in its own words where it had some; ``code`` is its
    exit status, which repeats NVML's return code."""

    path: str | None
    driver: str | None = None
    gpus: tuple[SmiGpu, ...] = ()
    failure: str = ""
    code: int | None = None


def find(environ: Mapping[str, str]) -> str | None:
    """Find nvidia-smi on PATH, or where drivers put it off the PATH; ``None`` where there is none."""
    import shutil

    folders = smi_folders(environ) if sys.platform == "win32" else (WSL_FOLDER,)
    return shutil.which("nvidia-smi", path=absolute_path(environ)) or next(
        (found for folder in folders if (found := shutil.which("nvidia-smi", path=folder))), None
    )


def query(environ: Mapping[str, str], *, timeout: float) -> SmiAnswer:
    """Ask for :data:`FIELDS`, leaving out those that this nvidia-smi does not know."""
    path = find(environ)
    if path is None:
        return SmiAnswer(path=None, failure="nvidia-smi was not found on PATH")
    fields = list(FIELDS)
    while True:
        argv = [path, f"--query-gpu={','.join(fields)}", "--format=csv,noheader,nounits"]
        result = run(argv, environ=environ, limits=Limits(deadline=timeout, reap=REAP_SECONDS))
        match result:
            case NotStarted(reason=reason):
                return SmiAnswer(path=path, failure=f"{path}: {reason}")
            case TimedOut(seconds=seconds):
                return SmiAnswer(path=path, failure=f"{path} did not answer within {seconds:g} s")
            case Ended(returncode=code, stdout=stdout, stderr=stderr):
                unknown = _NOT_A_FIELD.search(stdout + stderr)
                if unknown and unknown[1] in fields and len(fields) > 1:
                    fields.remove(unknown[1])
                    continue
                return parse(stdout, stderr=stderr, code=code, path=path, fields=fields)


def parse(stdout: str, *, stderr: str = "", code: int, path: str, fields: Iterable[str] = FIELDS) -> SmiAnswer:
    """Read the answer to a query for ``fields``.

    >>> parse("570.26, 0, GPU-a, 00000000:01:00.0, 24564, [N/A], 8.9, RTX", code=0, path="x").gpus[0].memory_bytes
    25757220864
    """
    names = tuple(fields)
    rows = [values for line in stdout.splitlines() if len(values := line.split(", ", len(names) - 1)) == len(names)]
    if code != 0 or not rows:
        output = next((line.strip() for line in (*stdout.splitlines(), *stderr.splitlines()) if line.strip()), "")
        return SmiAnswer(path=path, failure=output[:300] or f"nvidia-smi {how_ended(code)}", code=code)
    answers = [dict(zip(names, map(_value, row), strict=True)) for row in rows]
    gpus = [gpu for position, answer in enumerate(answers) if (gpu := _gpu(position, answer))]
    driver = next((text for answer in answers if (text := version_in(answer.get("driver_version")))), None)
    return SmiAnswer(path=path, driver=driver, gpus=tuple(gpus), code=code)


def snapshot(environ: Mapping[str, str], *, timeout: float = 15.0) -> str:
    """nvidia-smi's own picture of the machine, for the evidence; where there is none, one line that says why."""
    path = find(environ)
    if path is None:
        return "nvidia-smi was not found on PATH\n"
    match run([path], environ=environ, limits=Limits(deadline=timeout, reap=REAP_SECONDS)):
        case NotStarted(reason=reason):
            return f"nvidia-smi could not be started: {reason}\n"
        case TimedOut(seconds=seconds):
            return f"nvidia-smi did not answer within {seconds:g} s\n"
        case Ended(returncode=0, stdout=stdout):
            return stdout
        case Ended(returncode=code, stdout=stdout, stderr=stderr):
            output = (stdout + stderr).strip()
            return f"{output}\n(nvidia-smi {how_ended(code)})\n" if output else f"nvidia-smi: status {code}\n"


def _value(text: str) -> str | None:
    """``[N/A]``, ``[Not Supported]``, ``[GPU is lost]``, ``ERR!``: reasons, not values."""
    text = visible(text.strip())
    return None if not text or text.startswith("[") or text in ("N/A", "ERR!", "Unknown Error") else text


def _gpu(position: int, answer: Mapping[str, str | None]) -> SmiGpu | None:
    index = answer.get("index") or str(position)
    if not index.isdecimal():
        return None
    memory = answer.get("memory.total") or ""
    return SmiGpu(
        index=int(index),
        uuid=answer.get("uuid"),
        name=answer.get("name"),
        compute_capability=ComputeCapability.read(answer.get("compute_cap") or ""),
        memory_bytes=int(memory) * MEBIBYTE if memory.isdecimal() and int(memory) > 0 else None,
        bus=answer.get("pci.bus_id"),
        mig=answer.get("mig.mode.current") == "Enabled",
    )
