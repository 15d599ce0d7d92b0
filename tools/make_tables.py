"""Make resolver/gpuenv/knowledge/*.toml out of the research data.

Deterministic: the same JSON gives the same bytes, so that a test can compare the committed tables with a fresh run.
A row is only ever copied, never interpolated: a release, variant or platform that nobody looked at has no row.

    python tools/make_tables.py DATA_DIR              # show what would change; exit 1 if anything would
    python tools/make_tables.py DATA_DIR --force      # write

DATA_DIR holds torch-matrix.json, torch-releases.json, cuda-drivers.json, gpus.json and wheel-archs.json.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from table_text import (
    KNOWLEDGE,
    READINGS,
    Row,
    Sources,
    date_of,
    header,
    inline,
    make_kernels,
    make_readings,
    make_releases,
    quote,
    show_and_write,
    spoken,
    version_key,
)

# --- drivers -----------------------------------------------------------------------------------------------------

MINIMUM_SOURCE = "NVIDIA CUDA release notes 13.2 Update 2, table 2"
FULL_SOURCE = "NVIDIA CUDA release notes 13.2 Update 2, table 3"
#: First toolkit that compiles for a capability, where the research's cell names several (checked with its ptxas lists).
FIRST_TOOLKITS = {"8.0": "11.0", "8.6": "11.1", "8.7": "11.5", "11.0": "13.0"}
#: The chip of 11.0 under its old number.
OLD_NUMBERS = {"10.1": ("12.8", "11.0")}
#: Chips that exist on one platform only: Tegra and Thor (research, "jetson").
EMBEDDED = {capability: ["linux_aarch64"] for capability in ("3.2", "5.3", "6.2", "7.2", "8.7", "10.1", "11.0")}
#: CUDA 11.0 is older than the rule of its family (minor_version_limits of the research).
OWN_DRIVER = ({"cuda": "11.0", "linux": "450.36.06", "windows": "451.22"},)
#: Windows numbers a branch's drivers may have beyond the branch's own (research: 616.x and 617.x report 13.4).
WINDOWS_NUMBERS = {"615": ["616", "617"]}

#: The exceptions to "same major, minor at least" (DEVICE_REQUIREMENT in torch/cuda/__init__.py, torch 2.11 to 2.15).
EXCEPTIONS: tuple[tuple[str, Row], ...] = (
    ("Jetson Nano and TX1 have their own code", {"code": ["50", "52"], "not_on": ["5.3"]}),
    ("Jetson TX2 has its own code", {"code": ["60", "61"], "not_on": ["6.2"]}),
    (
        "Jetson Xavier has its own code",
        {"code": ["70"], "not_on": ["7.2"], "until_cuda": "13.2", "driver_cuda": "13.2"},
    ),
    (
        "Jetson Orin: server (SBSA) wheels do not run with its driver before CUDA 13.2",
        {"code": ["80", "86"], "not_on": ["8.7"], "until_cuda": "13.2", "driver_cuda": "13.2"},
    ),
    ("code for Jetson Orin runs on nothing else", {"code": ["87"], "only_on": ["8.7"]}),
    ("code for Jetson Nano and TX1 runs on nothing else", {"code": ["53"], "only_on": ["5.3"]}),
    ("code for Jetson TX2 runs on nothing else", {"code": ["62"], "only_on": ["6.2"]}),
    ("code for Jetson Xavier runs on nothing else", {"code": ["72"], "only_on": ["7.2"]}),
    ("Thor under its old number is not of the family of 10.0", {"code": ["100"], "not_on": ["10.1"]}),
    ("Thor: 10.1 and 11.0 are one chip", {"code": ["101", "110"], "only_on": ["10.1", "11.0"]}),
)


def make_drivers(drivers: Row) -> str:
    lines = [
        *header(
            "NVIDIA drivers: what each CUDA variant needs, what each branch can run, which GPUs each serves.",
            "Versions compare component by component. minimum: enough for the compiled kernels of a wheel",
            "(minor-version compatibility). full: the toolkit's own driver, needed for its PTX.",
        ),
        f"date = {quote(date_of('drivers'))}",
        f"minimum_source = {quote(MINIMUM_SOURCE)}",
        f"full_source = {quote(FULL_SOURCE)}",
        "variants = [",
        *(f"  {variant_row(row)}," for row in drivers["variants"]),
        "]",
        "",
        "# By major version, for variants that nobody has written down.",
        "majors = [",
    ]
    for row in drivers["minor_version_compatibility"]:
        major = row["cuda"].partition(".")[0]
        windows = next(v["windows_min"] for v in reversed(drivers["variants"]) if v["cuda"].partition(".")[0] == major)
        lines.append(f"  {inline([('cuda', int(major)), ('linux', row['linux']), ('windows', windows)])},")
    lines += [
        "]",
        "# Members of a major that its rule leaves out: they need their own driver.",
        "own_driver = [",
        *(f"  {inline(list(row.items()))}," for row in OWN_DRIVER),
        "]",
        "",
        "# Drivers that came with a toolkit.",
        "toolkits = [",
        *(f"  {toolkit_row(row)}," for row in drivers["toolkits"]),
        "]",
        "",
        "# The CUDA version that a driver of a branch reports.",
        "branches = [",
        *(f"  {branch_row(row)}," for row in drivers["driver_branches"]),
        "]",
        "",
        f"architectures_source = {quote(drivers['architectures_source'])}",
        "architectures = [",
        *(f"  {row}," for row in architecture_rows(drivers)),
        "]",
        "",
        "# Exceptions to the rule that code runs on the same major and a minor at least as high.",
        f"exceptions_source = {quote(drivers['compatibility_rules']['source'])}",
        "exceptions = [",
        *(f"  {inline([*row.items(), ('why', why)])}," for why, row in EXCEPTIONS),
        "]",
        "",
        "# Libraries that serve fewer GPUs than the kernels do.",
        "library_floors = [",
        "  "
        + inline(
            [
                ("library", "cuDNN"),
                ("since", "9.11"),
                ("capability", "7.5"),
                ("source", spoken(drivers["library_floors"][0]["source"])),
            ]
        )
        + ",",
        "]",
        "",
    ]
    return "\n".join(lines)


def variant_row(row: Row) -> str:
    return inline([(k, row[k]) for k in ("variant", "cuda", "linux_min", "windows_min", "linux_full", "windows_full")])


def toolkit_row(row: Row) -> str:
    return inline([(k, row[k]) for k in ("cuda", "release", "linux", "windows")] + [("source", row["source"])])


def branch_row(row: Row) -> str:
    more = WINDOWS_NUMBERS.get(row["branch"])
    source = spoken(row["source"]).replace("table 3 above", "NVIDIA CUDA release notes 13.2 Update 2, table 3")
    return inline(
        [
            ("branch", row["branch"]),
            ("cuda", row["cuda"]),
            ("windows", more),
            ("note", row.get("note")),
            ("source", source.replace("brief and common knowledge, not re-read here", "commonly reported")),
        ]
    )


def architecture_rows(drivers: Row) -> list[str]:
    rows = []
    for row in drivers["architectures"]:
        for capability in row["cc"]:
            first = FIRST_TOOLKITS.get(capability, row["first_toolkit"])
            check_first_toolkit(capability, first, drivers["ptxas_targets"])
            rows.append((capability, row["arch"].partition(" ")[0], first, row["last_driver_branch"]))
    for capability, (first, successor) in OLD_NUMBERS.items():
        name = next(name for known, name, *_ in rows if known == successor)
        rows.append((capability, name, first, None))
    return [
        inline(
            [
                ("capability", capability),
                ("name", name),
                ("first_cuda", first),
                ("last_branch", last.removeprefix("R") if last else None),
                ("platforms", EMBEDDED.get(capability)),
            ]
        )
        for capability, name, first, last in sorted(rows, key=lambda r: version_key(r[0]))
    ]


def check_first_toolkit(capability: str, first: str, targets: Mapping[str, Sequence[str]]) -> None:
    """Refuse a first toolkit that its own ptxas contradicts, as far as the lists reach back."""
    code = "sm_" + capability.replace(".", "")
    listed = [toolkit for toolkit in sorted(targets, key=version_key) if code in targets[toolkit]]
    oldest = min(targets, key=version_key)
    if listed and listed[0] != first and listed[0] != oldest:
        raise SystemExit(f"{capability}: first toolkit {first}, but ptxas knows it from {listed[0]} on")


# --- gpus --------------------------------------------------------------------------------------------------------


def make_gpus(gpus: Sequence[Row]) -> str:
    sources = Sources("g")
    rows = []
    for row in gpus:
        fields = (
            row["name"],
            row["cc"],
            " ".join(row.get("chips", ())),
            " ".join(row.get("pci_ids", ())),
            "; ".join(row.get("aliases", ())),
            sources.key(row["source"]),
            row.get("note", ""),
        )
        if any("\t" in field or "'''" in field for field in fields):
            raise SystemExit(f"a field of {row['name']} cannot stand in the table")
        rows.append("\t".join(fields).rstrip("\t"))
    return "\n".join(
        [
            *header(
                'Names of NVIDIA GPUs, Kepler to Rubin, without a leading "NVIDIA".',
                "Tab-separated: name, compute capability, chips, PCI device ids, other names, source, note.",
                "A name that stands in two rows with two capabilities is ambiguous: the PCI id decides.",
            ),
            f"date = {quote(date_of('gpus'))}",
            "rows = '''",
            *rows,
            "'''",
            "",
            "[sources]",
            *sources.lines(),
            "",
        ]
    )


def make_all(folder: Path) -> dict[Path, str]:
    """Every file this tool owns, by path."""
    data = {
        name: json.loads((folder / f"{name}.json").read_text("utf-8"))
        for name in ("torch-matrix", "torch-releases", "cuda-drivers", "gpus", "wheel-archs")
    }
    return {
        KNOWLEDGE / "kernels.toml": make_kernels(data["torch-matrix"], data["torch-releases"]),
        KNOWLEDGE / "releases.toml": make_releases(data["torch-releases"], data["wheel-archs"]),
        KNOWLEDGE / "drivers.toml": make_drivers(data["cuda-drivers"]),
        KNOWLEDGE / "gpus.toml": make_gpus(data["gpus"]),
        READINGS: make_readings(data["wheel-archs"]),
    }


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="folder of the research JSON")
    parser.add_argument("--force", action="store_true", help="write; without it only the difference is shown")
    options = parser.parse_args(arguments)
    return show_and_write(make_all(options.data), force=options.force)


if __name__ == "__main__":
    sys.exit(main())
