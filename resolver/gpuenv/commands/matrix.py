"""Show which torch runs on which GPU, by the tables."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from gpuenv import knowledge as tables
from gpuenv.errors import MachineError, UsageError
from gpuenv.knowledge import matrix as laying
from gpuenv.knowledge.called import capabilities_of
from gpuenv.knowledge.matrix import Matrix
from gpuenv.knowledge.rules import compare_versions
from gpuenv.model.machine import Machine
from gpuenv.steps.context import Context, Outcome
from gpuenv.steps.machine import detect_or_read, in_words

Format = Literal["text", "markdown"]
DriverWord = Literal["full", "least", "too old"]


@dataclass(frozen=True, slots=True, kw_only=True)
class MatrixOutcome(Outcome):
    """The matrix, and how a person wants to read it."""

    matrix: Matrix
    format: Format
    platform: str = ""
    """The platform of all rows; empty: all platforms."""
    machine: str = ""
    """The machine that the rows are for, in words; empty where they are for none."""
    drivers: tuple[tuple[str, DriverWord], ...] = ()
    """For each variant, what the machine's driver runs of it."""


def run(context: Context, *, gpus: Sequence[str], platform: str | None, format: Format, here: bool) -> MatrixOutcome:
    """Lay out the matrix. ``gpus`` are names, generations or compute capabilities; none: all.

    ``here``, or a machine given by ``--machine``: the GPUs, the platform and the driver of that machine.
    ``platform`` is ``None`` where nobody chose one, and empty for all.
    """
    known = tables.load()
    if here or context.options.machine is not None:
        if gpus:
            raise UsageError(
                "the matrix is either for a machine or for GPUs that are named",
                hints=("Run `gpuenv matrix --here`", f'Or run `gpuenv matrix "{gpus[0]}"`'),
            )
        return _of_machine(context, known, platform=platform, format=format)
    chosen = "linux_x86_64" if platform is None else platform
    capabilities = [item for text in gpus for item in capabilities_of(known, text)]
    return MatrixOutcome(
        matrix=laying.matrix(
            known,
            capabilities=capabilities,
            torch=context.options.torch or "",
            platform=chosen,
            variant=context.options.variant or "",
        ),
        format=format,
        platform=chosen,
    )


def _of_machine(context: Context, known: tables.Knowledge, *, platform: str | None, format: Format) -> MatrixOutcome:
    machine = detect_or_read(context).facts
    wanted = context.options.gpus
    capabilities = {gpu.compute_capability for gpu in machine.gpus if wanted is None or gpu.index in wanted}
    if not capabilities:
        raise MachineError(
            "this machine has no NVIDIA GPU that the matrix could be for"
            if wanted is None
            else f"this machine has no GPU {', '.join(map(str, wanted))}",
            causes=(in_words(machine),),
            hints=("Name one: `gpuenv matrix 5090`", "Or run `gpuenv matrix` for all"),
        )
    chosen = _platform(machine) if platform is None else platform
    found = laying.matrix(
        known,
        capabilities=capabilities,
        torch=context.options.torch or "",
        platform=chosen,
        variant=context.options.variant or "",
    )
    variants = dict.fromkeys(row.variant for row in found.rows)
    return MatrixOutcome(
        matrix=found,
        format=format,
        platform=chosen,
        machine=in_words(machine),
        drivers=()
        if machine.driver is None
        else tuple((name, _driver_word(known, name, machine)) for name in variants),
    )


def _platform(machine: Machine) -> str:
    if machine.os == "windows":
        return "win_amd64"
    return "linux_aarch64" if machine.arch in ("aarch64", "arm64") else "linux_x86_64"


def _driver_word(known: tables.Knowledge, variant: str, machine: Machine) -> DriverWord:
    """As the decision judges a driver: its least version by table, and whether it knows the variant's own CUDA."""
    assert machine.driver is not None
    # Inside WSL the driver is the Windows one, and carries its number.
    floor = known.driver_floor(variant, "windows" if machine.wsl else machine.os)
    if floor is None or compare_versions(machine.driver.version, floor.minimum) < 0:
        return "too old"
    cuda = known.cuda_of(variant)
    knows = machine.driver.cuda is not None and cuda is not None and compare_versions(machine.driver.cuda, cuda) >= 0
    return "full" if knows else "least"
