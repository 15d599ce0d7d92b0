"""The packaged tables: their bytes, their version, and the values they hold.

Each table is parsed when somebody asks for it, and once. Nothing outside this folder is read.
"""

from __future__ import annotations

import hashlib
import re
import tomllib
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from gpuenv.knowledge.facts import Architecture, Assembler, DataSheet, GpuName, ImportCheck, KernelRow, Release, Triton
from gpuenv.knowledge.rules import CodeException, CodeRules, LibraryFloor
from gpuenv.model.machine import ComputeCapability

Table = Mapping[str, Any]  # Any: decoded TOML; the functions below are the only ones that see it

FOLDER = Path(__file__).parent


@cache
def read(name: str) -> Table:
    """Parse one table of the package, such as ``"drivers"``."""
    return tomllib.loads((FOLDER / f"{name}.toml").read_text("utf-8"))


def version() -> str:
    """Name the state of all tables: the newest date among them, and a hash over their bytes."""
    total = hashlib.sha256()
    newest = ""
    for path in sorted(FOLDER.glob("*.toml")):
        data = path.read_bytes()
        total.update(path.name.encode() + b"\0" + hashlib.sha256(data).digest())
        if found := re.search(rb'^date = "([0-9-]+)"$', data, re.MULTILINE):
            newest = max(newest, found[1].decode())
    return f"{newest}+{total.hexdigest()[:12]}"


def codes(prefix: str, text: str) -> tuple[str, ...]:
    """Spell out a table's short form: ``codes("sm", "75 90a")`` is ``("sm_75", "sm_90a")``."""
    return tuple(f"{prefix}_{number}" for number in text.split())


def kernel_rows() -> dict[tuple[str, str, str], KernelRow]:
    """Code by (torch, variant, platform)."""
    table = read("kernels")
    sources = table["sources"]
    rows = {}
    for row in table["rows"]:
        key = (row["torch"], row["variant"], row["platform"])
        if key in rows:
            raise ValueError(f"kernels.toml lists {key} twice")
        rows[key] = KernelRow(
            torch=row["torch"],
            variant=row["variant"],
            platform=row["platform"],
            sass=codes("sm", row["sass"]),
            ptx=codes("compute", row.get("ptx", "")),
            read=row.get("read", False),
            cudnn=row.get("cudnn"),
            doubtful=codes("sm", row.get("doubtful", "")),
            published=row.get("published", "yes"),
            confidence=row.get("confidence", "high"),
            source=sources[row["source"]],
            note=row.get("note", ""),
        )
    return rows


def releases() -> dict[str, Release]:
    """Releases of torch by version, oldest first."""
    table = read("releases")
    return {row["torch"]: _release(row, table["sources"]) for row in table["release"]}


def _release(row: Table, sources: Mapping[str, str]) -> Release:
    triton = row.get("triton")
    return Release(
        torch=row["torch"],
        uploaded=row["uploaded"].isoformat(),
        git=row["git"],
        requires_python=row["requires_python"],
        triton=Triton(**triton) if triton else None,
        companions=_lists(row["companions"]),
        pythons=_lists(row["pythons"]),
        variants=_lists(row["variants"]),
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
        version: Assembler(
            triton=version,
            capabilities=frozenset(map(ComputeCapability.parse, row["capabilities"])),
            source=row["source"],
        )
        for row in read("companions")["assemblers"]
        for version in row["triton"]
    }


def architectures() -> dict[ComputeCapability, Architecture]:
    """Generations by compute capability, ascending."""
    rows = (
        Architecture(
            capability=ComputeCapability.parse(row["capability"]),
            name=row["name"],
            first_cuda=row["first_cuda"],
            last_branch=row.get("last_branch"),
            platforms=tuple(row.get("platforms", ())),
        )
        for row in read("drivers")["architectures"]
    )
    return {row.capability: row for row in rows}


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
    return tuple(
        (
            (row["name"], *row.get("names", ())),
            DataSheet(
                name=row["name"],
                memory_gb_s=float(row["memory_gb_s"]),
                bf16=row.get("bf16"),
                fp16=row.get("fp16"),
                tf32=row.get("tf32"),
                fp32=float(row["fp32"]),
                source=sources[row["source"]],
                note=row.get("note", ""),
            ),
        )
        for row in table["cards"]
    )


def code_rules() -> CodeRules:
    """The exceptions to the rules on code, the least capabilities of libraries, and what is said of doubtful code."""
    table = read("drivers")
    return CodeRules(
        exceptions=tuple(
            CodeException(
                code=frozenset(row["code"]),
                not_on=frozenset(map(ComputeCapability.parse, row.get("not_on", ()))),
                only_on=frozenset(map(ComputeCapability.parse, row.get("only_on", ()))),
                until_cuda=row.get("until_cuda"),
                driver_cuda=row.get("driver_cuda"),
                why=row["why"],
            )
            for row in table["exceptions"]
        ),
        cudnn=tuple(
            LibraryFloor(
                library=row["library"], since=row["since"], capability=ComputeCapability.parse(row["capability"])
            )
            for row in table["library_floors"]
        ),
        doubt=read("kernels")["doubt"],
    )
