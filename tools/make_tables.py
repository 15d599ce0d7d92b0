"""Make resolver/gpuenv/knowledge/*.toml out of the research data.

Deterministic: the same JSON gives the same bytes, so that a test can compare the committed tables with a fresh run.
A row is only ever copied, never interpolated: a release, variant or platform that nobody looked at has no row.

    python tools/make_tables.py DATA_DIR              # show what would change; exit 1 if anything would
    python tools/make_tables.py DATA_DIR --force      # write

DATA_DIR holds torch-matrix.json, torch-releases.json, cuda-drivers.json, gpus.json and wheel-archs.json.
"""

from __future__ import annotations

import argparse
import difflib
import json
import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
KNOWLEDGE = ROOT / "resolver" / "gpuenv" / "knowledge"
READINGS = ROOT / "tests" / "data" / "wheel-archs.jsonl"
DATE = "2026-11-22"
PLATFORMS = ("linux_x86_64", "linux_aarch64", "win_amd64")

Row = Mapping[str, Any]  # Any: one decoded JSON object of the research, whose shape this module is the reader of


def quote(value: str) -> str:
    """Write a TOML basic string (JSON's escapes are a subset of TOML's)."""
    return json.dumps(value, ensure_ascii=False)


def array(values: Iterable[str]) -> str:
    return "[" + ", ".join(quote(value) for value in values) + "]"


def inline(pairs: Sequence[tuple[str, object]]) -> str:
    """Write an inline table; a pair whose value is ``None`` is left out."""
    parts = []
    for key, value in pairs:
        match value:
            case None:
                continue
            case bool():
                parts.append(f"{key} = {str(value).lower()}")
            case str():
                parts.append(f"{key} = {quote(value)}")
            case list() | tuple():
                parts.append(f"{key} = {array(value)}")
            case _:
                parts.append(f"{key} = {value}")
    return "{ " + ", ".join(parts) + " }"


def spoken(source: str) -> str:
    """A source in the words of the project: no registry is named."""
    return re.sub(r"\bon PyPI\b", "on the default package index", source).replace("PyPI", "default package index")


class Sources:
    """Sources are long and few: rows hold a key, the sentence stands once."""

    def __init__(self, prefix: str) -> None:
        self._keys: dict[str, str] = {}
        self._prefix = prefix

    def key(self, text: str) -> str:
        return self._keys.setdefault(spoken(text), f"{self._prefix}{len(self._keys) + 1}")

    def lines(self) -> list[str]:
        return [f"{key} = {quote(text)}" for text, key in self._keys.items()]


def header(title: str, *more: str) -> list[str]:
    return [f"# {title}", *(f"# {line}" for line in more), "# Made by tools/make_tables.py; do not edit.", ""]


def version_key(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split("."))


def numbers(codes: Iterable[str]) -> str:
    return " ".join(code.partition("_")[2] for code in codes)


# --- kernels -----------------------------------------------------------------------------------------------------

#: cu129 of these releases lists sm_70, and nothing says which cuDNN it pins (research/torch-matrix.md,
#: "Compatibility rules").
DOUBTFUL = {("2.9.1", "cu129"): "70", ("2.10.0", "cu129"): "70"}
DOUBT = (
    "the wheel lists this architecture, but its cuDNN is not known, and cuDNN 9.11 or newer needs compute capability "
    "7.5: convolutions may fail"
)


def doubtful(row: Row) -> str | None:
    code = DOUBTFUL.get((row["torch"], row["cuda_variant"]))
    return code if code and f"sm_{code}" in row["archs"] else None


def make_kernels(matrix: Sequence[Row], releases: Sequence[Row]) -> str:
    pythons = {(row["torch"], platform): row["pythons"][platform] for row in releases for platform in PLATFORMS}
    sources = Sources("k")
    rows = []
    for row in sorted(
        matrix, key=lambda r: (version_key(r["torch"]), PLATFORMS.index(r["platform"]), r["cuda_variant"])
    ):
        known = pythons.get((row["torch"], row["platform"]))
        rows.append(
            "  "
            + inline(
                [
                    ("torch", row["torch"]),
                    ("variant", row["cuda_variant"]),
                    ("platform", row["platform"]),
                    ("sass", numbers(row["archs"])),
                    ("ptx", numbers(row["ptx"]) or None),
                    ("read", True if row["verified_from_wheel"] else None),
                    ("cudnn", row.get("cudnn")),
                    ("doubtful", doubtful(row)),
                    ("published", row["published"] if row["published"] != "yes" else None),
                    ("confidence", row["confidence"] if row["confidence"] != "high" else None),
                    ("pythons", None if known == row["python_tags"] else row["python_tags"]),
                    ("source", sources.key(row["source"])),
                    ("note", note_of(row)),
                ]
            )
            + ","
        )
    return "\n".join(
        [
            *header(
                "Code in the wheels of torch: one row a (torch, variant, platform), never a range.",
                "sass/ptx: real and virtual architectures without their prefix. read = true: read out of the wheel;",
                'else from build configuration. published and confidence are left out where they are "yes" and "high".',
                "doubtful: listed, and perhaps of no use; see doubt.",
            ),
            f"date = {quote(DATE)}",
            f"doubt = {quote(DOUBT)}",
            "",
            "rows = [",
            *rows,
            "]",
            "",
            "[sources]",
            *sources.lines(),
            "",
        ]
    )


def note_of(row: Row) -> str | None:
    note = row.get("note")
    # said once for the platform in releases.toml
    return None if note is None or note.startswith("on the PyTorch index only") else spoken(note)


# --- releases ----------------------------------------------------------------------------------------------------

#: Companions whose metadata does not pin the release they belong to (research/torch-matrix.md, "Companions").
FREE_COMPANIONS: dict[tuple[str, str], tuple[str, ...]] = {
    ("torchvision", "0.29.1"): ("torch>=2.14.0",),
    ("torchvision", "0.29.2"): ("torch>=2.14.0",),
    ("torchaudio", "2.11.0"): (),
    ("torchtext", "0.18.0"): ("torch>=2.3.0",),
}
#: Pinned differently by the build on the default package index; the others were not read.
ONLY_ON_PACKAGE_INDEX: dict[tuple[str, str], tuple[str, ...]] = {("torchvision", "0.15.0"): ("torch==2.0.0+cu117",)}


def triton_of(release: Row) -> tuple[str, str] | None:
    companions = release["companions"]
    if companions["triton"] is None:
        return None
    return companions["triton"], companions["triton_marker"]


def package_index_builds(readings: Sequence[Row], releases: Sequence[Row]) -> dict[str, dict[str, str]]:
    """Which build the default package index carries: as read from the wheels, checked against the releases."""
    builds: dict[str, dict[str, str]] = {}
    for reading in readings:
        version, platform = identity(reading)
        variant = variant_of_cuda(reading["cuda"])
        known = builds.setdefault(version, {}).setdefault(platform, variant)
        if known != variant:
            raise SystemExit(f"torch {version} {platform}: read as {known} and as {variant}")
    for release in releases:
        for platform, variant in release["cuda"]["pypi"].items():
            read = builds.setdefault(release["torch"], {}).get(platform)
            if read is not None and read != variant:
                raise SystemExit(f"torch {release['torch']} {platform}: listed as {variant}, read as {read}")
            builds[release["torch"]][platform] = variant
    return builds


def make_releases(releases: Sequence[Row], readings: Sequence[Row]) -> str:
    sources = Sources("r")
    builds = package_index_builds(readings, releases)
    rows = [release_lines(release, sources) for release in releases]
    companions = companion_rows(releases)
    return "\n".join(
        [
            *header("Releases of torch: Pythons, companions, the triton they ask for, what each index carries."),
            f"date = {quote(DATE)}",
            "",
            "# Which build of torch the default package index carries. macOS builds never have CUDA.",
            'package_index_source = "read from the wheels (one a version and platform) and the index listing"',
            f"cpu_platforms = {array(['macos_arm64', 'macos_x86_64'])}",
            "[package_index]",
            *(
                f"{quote(version)} = " + inline([(platform, builds[version].get(platform)) for platform in PLATFORMS])
                for version in sorted(builds, key=version_key)
            ),
            "",
            "# What a companion asks of torch, without the requirements that are not of the family.",
            "[companions]",
            'source = "METADATA of the wheels on the default package index"',
            "rows = [",
            *companions,
            "]",
            "",
            *(line for row in rows for line in row),
            "[sources]",
            *sources.lines(),
            "",
        ]
    )


def release_lines(release: Row, sources: Sources) -> list[str]:
    triton = triton_of(release)
    cuda = release["cuda"]
    name = re.split(r"[=~<>!]", triton[0], maxsplit=1)[0] if triton else None
    lines = [
        "[[release]]",
        f"torch = {quote(release['torch'])}",
        f"uploaded = {release['uploaded']}",
        f"git = {quote(release['git'])}",
        f"requires_python = {quote(release['requires_python'])}",
    ]
    if triton and name:
        lines.append("triton = " + inline([("name", name), ("requirement", triton[0]), ("marker", triton[1])]))
    lines.append("companions = " + inline([(k, release["companions"].get(k) or None) for k in COMPANIONS]))
    lines += [f"pythons.{platform} = {array(release['pythons'][platform])}" for platform in PLATFORMS]
    lines += [f"variants.{platform} = {array(cuda['all'][platform])}" for platform in PLATFORMS]
    if cuda.get("unconfirmed"):
        lines.append(f"unconfirmed = {array(cuda['unconfirmed'])}")
    if release.get("notes"):
        lines.append(f"notes = {array(spoken(note) for note in release['notes'])}")
    return [*lines, f"source = {quote(sources.key(release['source']))}", ""]


COMPANIONS = ("torchvision", "torchaudio", "torchtext")


def companion_rows(releases: Sequence[Row]) -> list[str]:
    requires: dict[tuple[str, str], tuple[str, ...]] = {}
    for release in releases:
        for project in COMPANIONS:
            for version in release["companions"].get(project) or ():
                requires.setdefault(
                    (project, version), FREE_COMPANIONS.get((project, version), (f"torch=={release['torch']}",))
                )
    rows = []
    for (project, version), asked in sorted(requires.items(), key=lambda i: (i[0][0], version_key(i[0][1]))):
        only = ONLY_ON_PACKAGE_INDEX.get((project, version))
        rows.append(
            "  "
            + inline(
                [
                    ("project", project),
                    ("version", version),
                    ("requires", list(only or asked)),
                    ("only", "package-index" if only else None),
                ]
            )
            + ","
        )
    return rows


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
    ("Jetson Xavier has its own code", {"code": ["70"], "not_on": ["7.2"], "until_cuda": "13.2"}),
    (
        "Jetson Orin: server (SBSA) wheels do not run with its driver before CUDA 13.2",
        {"code": ["80", "86"], "not_on": ["8.7"], "until_cuda": "13.2"},
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
        f"date = {quote(DATE)}",
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
            f"date = {quote(DATE)}",
            "rows = '''",
            *rows,
            "'''",
            "",
            "[sources]",
            *sources.lines(),
            "",
        ]
    )


# --- what was read from the wheels ---------------------------------------------------------------------------------


def identity(reading: Row) -> tuple[str, str]:
    """Public version and platform of a wheel that was read."""
    filename = reading["filename"]
    match filename.removesuffix(".whl").rpartition("-")[2]:
        case tag if tag.endswith("_x86_64") and tag.startswith("manylinux"):
            platform = "linux_x86_64"
        case tag if tag.endswith("_aarch64"):
            platform = "linux_aarch64"
        case "win_amd64":
            platform = "win_amd64"
        case tag:
            raise SystemExit(f"{filename}: unknown platform tag {tag}")
    return filename.split("-")[1], platform


def variant_of_cuda(cuda: str | None) -> str:
    return "cpu" if cuda is None else "cu" + cuda.replace(".", "")


def make_readings(readings: Sequence[Row]) -> str:
    """The evidence in the form the tests and ``make tables-check`` use: one wheel a line."""
    lines = []
    for reading in sorted(readings, key=lambda r: (version_key(identity(r)[0]), r["filename"])):
        flags = reading.get("header", "").split()
        kept = {
            "filename": reading["filename"],
            "size": reading["size"],
            "uploaded": reading["uploaded"],
            "version": reading["version"],
            "cuda": reading["cuda"] or "",
            "git": reading["git"],
            "requires_python": reading["requires_python"],
            "sass": [flag for flag in flags if flag.startswith("sm_")],
            "ptx": [flag for flag in flags if flag.startswith("compute_")],
            "triton": [text for text in reading.get("requires_gpu", ()) if "triton" in text],
            "cudnn": [text for text in reading.get("requires_gpu", ()) if "cudnn" in text],
        }
        lines.append(json.dumps({k: v for k, v in kept.items() if v not in (None, [])}, ensure_ascii=False))
    return "\n".join(lines) + "\n"


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
    changed = False
    for path, text in make_all(options.data).items():
        old = path.read_text("utf-8") if path.is_file() else ""
        if old == text:
            continue
        changed = True
        name = path.relative_to(ROOT).as_posix()
        sys.stdout.writelines(
            difflib.unified_diff(
                old.splitlines(keepends=True), text.splitlines(keepends=True), f"a/{name}", f"b/{name}", n=1
            )
        )
        if options.force:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, "utf-8", newline="\n")
    return 0 if options.force or not changed else 1


if __name__ == "__main__":
    sys.exit(main())
