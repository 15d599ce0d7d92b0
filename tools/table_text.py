"""Writes the tables of kernels, releases and readings as text, and reads them back.

Rows pass through here in the shape of the research data (JSON), so that a table can be made from the research, or read
back, added to, and written again: ``make_kernels(kernel_rows(text), ...)`` gives the same text.
"""

from __future__ import annotations

import difflib
import json
import re
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
KNOWLEDGE = ROOT / "resolver" / "gpuenv" / "knowledge"
READINGS = ROOT / "tests" / "data" / "wheel-archs.jsonl"
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


def date_of(name: str) -> str:
    """The date of a table as it stands: making it again from the same facts changes nothing."""
    found = re.search(r'^date = "([0-9-]+)"$', (KNOWLEDGE / f"{name}.toml").read_text("utf-8"), re.MULTILINE)
    if found is None:
        raise SystemExit(f"{name}.toml has no date")
    return found[1]


def dated(files: Mapping[Path, str], day: str) -> dict[Path, str]:
    """The files with the day in those tables whose rows change."""
    return {
        path: text if path.read_text("utf-8") == text else _DATE.sub(f'date = "{day}"', text, count=1)
        for path, text in files.items()
    }


_DATE = re.compile(r'^date = "[0-9-]+"$', re.MULTILINE)


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
            f"date = {quote(date_of('kernels'))}",
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
    ("triton", "2.0.0"): ("torch",),
}
#: torchtext's pin on another member of the family, torchdata.
TORCHDATA = {
    "0.15.1": "0.6.0",
    "0.15.2": "0.6.1",
    "0.16.0": "0.7.0",
    **dict.fromkeys(("0.16.1", "0.16.2", "0.17.0", "0.17.1"), "0.7.1"),
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


def make_releases(releases: Sequence[Row], readings: Sequence[Row], asked: Asked | None = None) -> str:
    """The text of releases.toml. ``asked`` is what companions ask of torch where it was read from them."""
    sources = Sources("r")
    builds = package_index_builds(readings, releases)
    rows = [release_lines(release, sources) for release in releases]
    companions = companion_rows(releases, asked or {})
    return "\n".join(
        [
            *header("Releases of torch: Pythons, companions, the triton they ask for, what each index carries."),
            f"date = {quote(date_of('releases'))}",
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
            'source = "METADATA of one wheel a version on the default package index, read 2026-11-22"',
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
#: What a companion asks of the family, by project and version.
Asked = Mapping[tuple[str, str], tuple[str, ...]]


def companion_rows(releases: Sequence[Row], read: Asked) -> list[str]:
    requires: dict[tuple[str, str], tuple[str, ...]] = {}
    for release in releases:
        for project in COMPANIONS:
            for version in release["companions"].get(project) or ():
                asked = FREE_COMPANIONS.get((project, version), (f"torch=={release['torch']}",))
                asked = read.get((project, version), asked)
                if project == "torchtext" and version in TORCHDATA:
                    asked = (*asked, f"torchdata=={TORCHDATA[version]}")
                requires.setdefault((project, version), asked)
        if triton := triton_of(release):
            name, _, version = re.split(r"([=~<>!]+)", triton[0], maxsplit=1)
            requires.setdefault((name, version), FREE_COMPANIONS.get((name, version), ()))
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
    return "cu" + cuda.replace(".", "") if cuda else "cpu"


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


# --- back from the tables ------------------------------------------------------------------------------------------


def kernel_rows(text: str, releases: Sequence[Row]) -> list[dict[str, Any]]:
    """The rows of kernels.toml in the shape of the research."""
    table = tomllib.loads(text)
    pythons = {(row["torch"], platform): row["pythons"][platform] for row in releases for platform in PLATFORMS}
    return [
        {
            "torch": row["torch"],
            "cuda_variant": row["variant"],
            "platform": row["platform"],
            "archs": [f"sm_{number}" for number in row["sass"].split()],
            "ptx": [f"compute_{number}" for number in row.get("ptx", "").split()],
            "verified_from_wheel": row.get("read", False),
            "cudnn": row.get("cudnn"),
            "published": row.get("published", "yes"),
            "confidence": row.get("confidence", "high"),
            "python_tags": row.get("pythons") or pythons.get((row["torch"], row["platform"])),
            "source": table["sources"][row["source"]],
            "note": row.get("note"),
        }
        for row in table["rows"]
    ]


def release_rows(text: str) -> list[dict[str, Any]]:
    """The releases of releases.toml in the shape of the research."""
    table = tomllib.loads(text)
    rows = []
    for row in table["release"]:
        triton = row.get("triton")
        companions = {**row["companions"], "triton": triton["requirement"] if triton else None}
        if triton:
            companions["triton_marker"] = triton["marker"]
        rows.append(
            {
                **{key: row[key] for key in ("torch", "git", "requires_python", "pythons")},
                "uploaded": row["uploaded"].isoformat(),
                "companions": companions,
                "cuda": {
                    "all": row["variants"],
                    "pypi": table["package_index"][row["torch"]],
                    "unconfirmed": row.get("unconfirmed"),
                },
                "notes": row.get("notes"),
                "source": table["sources"][row["source"]],
            }
        )
    return rows


def asked_rows(text: str) -> dict[tuple[str, str], tuple[str, ...]]:
    """What releases.toml says that companions ask of torch, where it is no pin that follows from the release."""
    rows = tomllib.loads(text)["companions"]["rows"]
    return {
        (row["project"], row["version"]): tuple(row["requires"])
        for row in rows
        if row["project"] in ("torchvision", "torchaudio")
        and "only" not in row
        and not any(each.startswith("torch==") for each in row["requires"])
    }


def reading_rows(text: str) -> list[dict[str, Any]]:
    """The readings in the shape of the research."""
    rows = []
    for line in text.splitlines():
        row = json.loads(line)
        header_flags = " ".join([*row.pop("sass", []), *row.pop("ptx", [])])
        gpu = [*row.pop("triton", []), *row.pop("cudnn", [])]
        rows.append({"requires_python": None, **row, "header": header_flags, "requires_gpu": gpu})
    return rows


def show_and_write(files: Mapping[Path, str], *, force: bool) -> int:
    """Print what would change; write it when told. 1 when there was a difference and nothing was written."""
    changed = False
    for path, text in files.items():
        old = path.read_text("utf-8") if path.is_file() else ""
        if old == text:
            continue
        changed = True
        name = path.relative_to(ROOT).as_posix()
        before, after = old.splitlines(keepends=True), text.splitlines(keepends=True)
        print("".join(difflib.unified_diff(before, after, f"a/{name}", f"b/{name}", n=1)), end="")
        if force:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, "utf-8", newline="\n")
    return 1 if changed and not force else 0
