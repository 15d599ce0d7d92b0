"""Show which torch runs on which GPU, by the tables."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Literal

from gpuenv import knowledge as tables
from gpuenv.dataclass import dataclass
from gpuenv.errors import MachineError, UsageError
from gpuenv.knowledge import matrix as laying
from gpuenv.knowledge.called import capabilities_of
from gpuenv.knowledge.matrix import Matrix
from gpuenv.knowledge.rules import compare_versions
from gpuenv.model.machine import ComputeCapability, Machine
from gpuenv.steps.context import Context, Outcome
from gpuenv.steps.machine import detect_or_read, in_words

Format = Literal["text", "markdown", "html"]
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
    page: str = ""
    """The HTML page, where that was asked for; it holds every GPU and platform."""
    """For each variant, what the machine's driver runs of it."""


def run(context: Context, *, gpus: Sequence[str], platform: str | None, format: Format, here: bool) -> MatrixOutcome:
    """Lay out the matrix. ``gpus`` are names, generations or compute capabilities; none: all.

    ``here``, or a machine given by ``--machine``: the GPUs, the platform and the driver of that machine.
    ``platform`` is ``None`` where nobody chose one, and empty for all.
    """
    known, machine = tables.load(), None
    if format == "html":
        return _page(context, known, narrowed=bool(gpus) or here or platform is not None)
    capabilities: Collection[ComputeCapability] = [item for text in gpus for item in capabilities_of(known, text)]
    if here or context.options.machine is not None:
        if gpus:
            raise UsageError(
                "the matrix is either for a machine or for GPUs that are named",
                hints=("Run `gpuenv matrix --here`", f'Or run `gpuenv matrix "{gpus[0]}"`'),
            )
        machine = detect_or_read(context).facts
        capabilities = _capabilities(context, machine)
    if platform is None:
        platform = "linux_x86_64" if machine is None else _platform(machine)
    found = laying.matrix(
        known,
        capabilities=capabilities,
        torch=context.options.torch or "",
        platform=platform,
        variant=context.options.variant or "",
    )
    variants = dict.fromkeys(row.variant for row in found.rows) if machine and machine.driver else ()
    return MatrixOutcome(
        matrix=found,
        format=format,
        platform=platform,
        machine="" if machine is None else in_words(machine),
        drivers=tuple((name, _driver_word(known, name, machine)) for name in variants if machine is not None),
    )


def _page(context: Context, known: tables.Knowledge, *, narrowed: bool) -> MatrixOutcome:
    from gpuenv.select.answers import answer_all
    from gpuenv.select.answers_page import page

    options = context.options
    if narrowed or options.machine is not None or options.torch or options.variant:
        raise UsageError(
            "the HTML page holds every GPU, system and torch: it is not narrowed",
            hints=("Run `gpuenv matrix --format html`, and choose on the page",),
        )
    context.reporter.say("Deciding for every GPU, system, driver and Python of the tables")
    table = laying.matrix(known)
    answers = answer_all(known, tuple(column.capability for column in table.columns))
    return MatrixOutcome(matrix=table, format="html", page=page(known, answers))


def _capabilities(context: Context, machine: Machine) -> frozenset[ComputeCapability]:
    """Those of the machine's GPUs that count."""
    wanted = context.options.gpus
    found = frozenset(gpu.compute_capability for gpu in machine.gpus if wanted is None or gpu.index in wanted)
    if not found:
        raise MachineError(
            "this machine has no NVIDIA GPU that the matrix could be for"
            if wanted is None
            else f"this machine has no GPU {', '.join(map(str, wanted))}",
            causes=(in_words(machine),),
            hints=("Name one: `gpuenv matrix 5090`", "Or run `gpuenv matrix` for all"),
        )
    return found


def _platform(machine: Machine) -> str:
    if machine.os == "windows":
        return "win_amd64"
    return "linux_aarch64" if machine.arch in ("aarch64", "arm64") else "linux_x86_64"


def _driver_word(known: tables.Knowledge, variant: str, machine: Machine) -> DriverWord:
    """As the decision judges a driver: its least version by table, and whether it knows the variant's own CUDA."""
    floor, cuda = known.floor_for(variant, machine), known.cuda_of(variant)
    if floor is None or known.driver_reach(machine, floor.minimum) is None:
        return "too old"
    own = machine.driver.cuda if machine.driver is not None else None
    return "full" if own is not None and cuda is not None and compare_versions(own, cuda) >= 0 else "least"
