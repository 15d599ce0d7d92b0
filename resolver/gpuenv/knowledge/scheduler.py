"""Which scheduler runs this process or takes jobs from this machine, told by variables and programs; pure.

What a scheduler gave is never widened here: its variables are read, and the way to more is its own option.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from gpuenv.dataclass import dataclass
from gpuenv.knowledge import files

NO_DEVICE = frozenset({"", "-1", "nodevfiles", "void", "none"})
"""Values of a list of devices that name none (Slurm writes NoDevFiles where a job got no GPU)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scheduler:
    """A scheduler in whose job this process runs. ``given`` is False where its variables say that the job got no GPU,
    ``None`` where they do not say. ``ask`` is a sentence with the option that gets a GPU."""

    name: str
    unit: str
    job: str
    given: bool | None
    ask: str

    @property
    def place(self) -> str:
        """How a person knows the job: ``Slurm job 4711``, ``Kubernetes pod``."""
        return f"{self.name} {self.unit}" + (f" {self.job}" if self.job else "")


def schedulers(environ: Mapping[str, str]) -> tuple[Scheduler, ...]:
    """Every scheduler whose job this process is in, innermost first."""
    if not environ:
        return ()
    found = []
    for row in _rows():
        variable = next((name for name in row["job"] if environ.get(name)), None)
        if variable is None:
            continue
        told = environ[variable]
        found.append(
            Scheduler(
                name=row["name"],
                unit=row["unit"],
                job=told if row["unit"] == "job" and told.isprintable() and "/" not in told else "",
                given=_given(environ, row.get("devices", ()), row.get("counts", ())),
                ask=row["ask"],
            )
        )
    return tuple(found)


def owner_of_mask(environ: Mapping[str, str]) -> Scheduler | None:
    """The scheduler that sets CUDA_VISIBLE_DEVICES for this process; Kubernetes hands devices in without it."""
    return next((each for each in schedulers(environ) if each.name != "Kubernetes"), None)


def queue(*, which: Callable[[str], object]) -> tuple[str, str] | None:
    """Name and start command (perhaps empty) of the scheduler that takes jobs from this machine; ``None``: none does.

    ``which`` finds a program. A machine that hands jobs on and has no GPU is a login node.
    """
    for row in _rows():
        if any(which(program) for program in row.get("submit", ())):
            return row["name"], row.get("run", "")
    return None


def _given(environ: Mapping[str, str], devices: Sequence[str], counts: Sequence[str]) -> bool | None:
    """Whether the job got a GPU: by its lists, its counts, and the list that CUDA reads, which is set along."""
    lists = [environ[name].strip().lower() for name in (*devices, "CUDA_VISIBLE_DEVICES") if name in environ]
    numbers = [environ[name].strip() for name in counts if name in environ]
    if any(each not in NO_DEVICE for each in lists) or any(each.isdecimal() and each.strip("0") for each in numbers):
        return True
    return False if lists or numbers else None


def _rows() -> Sequence[files.Table]:
    rows: Sequence[files.Table] = files.read("schedulers")["scheduler"]
    return rows
