"""The values that the packaged tables hold."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import fields
from functools import cache
from typing import TypeVar

from gpuenv.knowledge.facts import Architecture, Assembler, DataSheet, GpuName, ImportCheck, KernelRow, Release, Triton
from gpuenv.knowledge.files import Table, read
from gpuenv.knowledge.rules import CodeException, CodeRules, LibraryFloor
from gpuenv.model.machine import ComputeCapability

Made = TypeVar("Made")


def codes(prefix: str, text: str) -> tuple[str, ...]:
    """Spell out a table's short form: ``codes("sm", "75 90a")`` is ``("sm_75", "sm_90a")``."""
    return tuple(f"{prefix}_{number}" for number in text.split())


def _made(kind: Callable[..., Made], row: Table, **read: object) -> Made:
    """The value of a row: what was ``read`` out of it, and the row's own entries for all other fields."""
    return kind(**{name: row[name] for name in row.keys() & _names(kind)} | read)


@cache
def _names(kind: Callable[..., Made]) -> frozenset[str]:
    return frozenset(each.name for each in fields(kind))  # type: ignore[arg-type]  # a dataclass, each of them


def kernel_rows() -> dict[tuple[str, str, str], KernelRow]:
    """Code by (torch, variant, platform)."""
    table = read("kernels")
    rows = {}
    for row in table["rows"]:
        key = (row["torch"], row["variant"], row["platform"])
        if key in rows:
            raise ValueError(f"kernels.toml lists {key} twice")
        rows[key] = _made(
            KernelRow,
            row,
            sass=codes("sm", row["sass"]),
            ptx=codes("compute", row.get("ptx", "")),
            doubtful=codes("sm", row.get("doubtful", "")),
            source=table["sources"][row["source"]],
        )
    return rows


def releases() -> dict[str, Release]:
    """Releases of torch by version, oldest first."""
    table = read("releases")
    return {row["torch"]: _release(row, table["sources"]) for row in table["release"]}


def _release(row: Table, sources: Mapping[str, str]) -> Release:
    return _made(
        Release,
        row,
        uploaded=row["uploaded"].isoformat(),
        triton=Triton(**row["triton"]) if "triton" in row else None,
        **{name: _lists(row[name]) for name in ("companions", "pythons", "variants")},
        notes=tuple(row.get("notes", ())),
        source=sources[row["source"]],
    )


def _lists(table: Mapping[str, list[str]]) -> tuple[tuple[str, tuple[str, ...]], ...]:
    return tuple((key, tuple(table[key])) for key in sorted(table))


def companion_requires() -> dict[tuple[str, str], tuple[tuple[str, ...], str | None]]:
    """What a companion asks of the family, by (project, version), and the only kind of source it was read from."""
    rows = read("releases")["companions"]["rows"]
    return {(row["project"], row["version"]): (tuple(row["requires"]), row.get("only")) for row in rows}


def import_checks() -> dict[str, ImportCheck]:
    """What companions compare at import, by project."""
    return {row["project"]: ImportCheck(**row) for row in read("companions")["checks"]}


def assemblers() -> dict[str, Assembler]:
    """Assemblers by the version of triton that carries them."""
    return {
        version: _made(Assembler, row, triton=version, capabilities=_capabilities(row["capabilities"]))
        for row in read("companions")["assemblers"]
        for version in row["triton"]
    }


def architectures() -> dict[ComputeCapability, Architecture]:
    """Generations by compute capability, ascending."""
    rows = {ComputeCapability.parse(row["capability"]): row for row in read("drivers")["architectures"]}
    return {
        capability: _made(Architecture, row, capability=capability, platforms=tuple(row.get("platforms", ())))
        for capability, row in rows.items()
    }


def _capabilities(texts: Iterable[str]) -> frozenset[ComputeCapability]:
    return frozenset(map(ComputeCapability.parse, texts))


def gpu_names() -> tuple[GpuName, ...]:
    """All names, in the table's order."""
    table = read("gpus")
    sources = table["sources"]
    fields = [(line.split("\t") + [""] * 6)[:7] for line in table["rows"].splitlines() if line]
    return tuple(
        GpuName(
            name=name,
            compute_capability=ComputeCapability.parse(capability),
            pci_ids=tuple(pci_ids.split()),
            aliases=tuple(part for part in aliases.split("; ") if part),
            source=sources[source],
            note=note,
        )
        for name, capability, _chips, pci_ids, aliases, source, note in fields
    )


def cards() -> tuple[tuple[tuple[str, ...], DataSheet], ...]:
    """Limits of cards, each with the names it goes by."""
    table = read("cards")
    sources = table["sources"]
    rates = ("memory_gb_s", "fp32")
    return tuple(
        (
            (row["name"], *row.get("names", ())),
            _made(DataSheet, row, **{name: float(row[name]) for name in rates}, source=sources[row["source"]]),
        )
        for row in table["cards"]
    )


def code_rules() -> CodeRules:
    """The exceptions to the rules on code, the least capabilities of libraries, and what is said of doubtful code."""
    table = read("drivers")
    return CodeRules(
        exceptions=tuple(
            _made(
                CodeException,
                row,
                code=frozenset(row["code"]),
                not_on=_capabilities(row.get("not_on", ())),
                only_on=_capabilities(row.get("only_on", ())),
            )
            for row in table["exceptions"]
        ),
        cudnn=tuple(
            _made(LibraryFloor, row, capability=ComputeCapability.parse(row["capability"]))
            for row in table["library_floors"]
        ),
        doubt=read("kernels")["doubt"],
    )
