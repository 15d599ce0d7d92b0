"""Read wheels of torch on the default package index again, and compare or renew the tables.

    python tools/update_tables.py                      # read what has no reading yet; show what would change
    python tools/update_tables.py --all                # read one wheel of every version and platform
    python tools/update_tables.py --force              # write kernels.toml, releases.toml, the tests' readings
    python tools/update_tables.py --check --seed 7     # read ten wheels again; exit 1 where table and wheel disagree
    python tools/update_tables.py --companions         # read the newest companions that the table does not know
    python tools/update_tables.py --companions --only 'triton.*x86_64' --most 400    # large ones, a few at a time
    python tools/update_tables.py --exports 2.16.0     # add what a new torch exports (reads 135 MB)

Of torch's kernels only byte ranges are fetched: about 0.3 MB a new wheel, 1.3 MB an old one. The index is the one of
pip's configuration.
"""

from __future__ import annotations

import argparse
import os
import random
import re
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any, Self

from companion_table import MOST, PROJECTS, make_companion_facts, named_size, newest, read_companions
from export_table import COMMON, CUDA, ExportTable, read_exports
from packaging.requirements import Requirement
from packaging.version import Version
from table_text import (
    KNOWLEDGE,
    PLATFORMS,
    READINGS,
    asked_rows,
    dated,
    identity,
    kernel_rows,
    make_kernels,
    make_readings,
    make_releases,
    reading_rows,
    release_rows,
    show_and_write,
    variant_of_cuda,
    version_key,
)

from gpuenv import knowledge
from gpuenv.environment.compiling import default_index
from gpuenv.environment.uv import find_uv
from gpuenv.errors import ConfigurationError, GpuenvError
from gpuenv.index.config import Place, SourcePlan, plan_sources
from gpuenv.index.layout import read_package_index
from gpuenv.index.wheelfile import WheelReading, open_wheel, read_contents
from gpuenv.knowledge.companion_facts import all_facts
from gpuenv.knowledge.names import cudnn_of, platform_of_filename
from gpuenv.knowledge.torch_exports import minor_of
from gpuenv.model.wheel import Wheel
from gpuenv.net.client import Client
from gpuenv.report import Silent

SOURCE = "wheel on the default package index, read by range requests: CUDAConfig.h"
EXPORT_SOURCE = "wheel for Linux x86_64 on PyPI, cp312"
COMPANION_RELEASES = 2
TODAY = datetime.now(UTC).date().isoformat()
Rows = list[dict[str, Any]]  # Any: rows of the tables in the research's shape, which table_text owns


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--index", help="a package index; by default the one of pip's configuration")
    parser.add_argument("--all", action="store_true", help="read every version and platform again")
    parser.add_argument("--force", action="store_true", help="write; without it only the difference is shown")
    parser.add_argument("--check", action="store_true", help="compare some wheels with the tables, write nothing")
    parser.add_argument("--seed", type=int, default=1, help="chooses the wheels of --check (default %(default)s)")
    parser.add_argument("--count", type=int, default=10, help="how many wheels --check reads (default %(default)s)")
    parser.add_argument("--companions", action="store_true", help="renew companion_facts.toml")
    parser.add_argument("--only", metavar="PATTERN", default="", help="with --companions: only wheels so named")
    parser.add_argument("--most", type=int, metavar="MB", default=MOST // 10**6, help="megabytes of the largest")
    parser.add_argument("--exports", metavar="VERSION", help="add a release of torch to torch_exports.toml")
    parser.add_argument("--cuda", action="store_true", help="with --exports: read libtorch_cuda.so, too (about 350 MB)")
    options = parser.parse_args(arguments)
    return with_cache(partial(run, options))


def with_cache(work: Callable[[Path], int]) -> int:
    """Do the work of a tool with a cache of its own; an error of gpuenv's is said as gpuenv says it."""
    try:
        with tempfile.TemporaryDirectory() as cache:
            return work(Path(cache))
    except GpuenvError as error:
        print(f"error: {error.message}", *(f"cause: {cause}" for cause in error.causes), sep="\n", file=sys.stderr)
        return error.exit_code


def run(options: argparse.Namespace, cache: Path) -> int:
    plan, index = package_index(options.index)
    with Client(cache=cache, environ=os.environ, access=plan.access) as http:
        if options.companions:
            return update_companions(http, index, only=options.only, most=options.most * 10**6, force=options.force)
        if options.exports:
            return add_exports(http, index, options.exports, cuda=options.cuda, force=options.force)
        if options.check:
            return check(http, index, seed=options.seed, count=options.count)
        return update(http, index, everything=options.all, force=options.force)


def package_index(named: str | None) -> tuple[SourcePlan, Place]:
    """The default package index: the one that was named, that of pip's configuration, or the one that uv knows."""
    plan = plan_sources(
        index=named,
        environ=os.environ,
        platform=sys.platform,
        folder=Path.cwd(),
        default_index_url=lambda: default_index(find_uv(os.environ), reporter=Silent()),
    )
    index = plan.default_index or plan.fallback()
    if index is None:
        raise ConfigurationError("pip's configuration names no package index", hints=("Name one with --index URL",))
    return plan, index


def listed(http: Client, place: Place, project: str = "torch") -> tuple[Wheel, ...]:
    listing = read_package_index(place, http, project)
    return tuple(wheel for wheel in listing.wheels if wheel.yanked is None and not Version(wheel.version).is_prerelease)


def check(http: Client, place: Place, *, seed: int, count: int) -> int:
    """Read some of the wheels that the tables rest on once more."""
    readings = [row for row in reading_rows(READINGS.read_text("utf-8")) if row["cuda"]]
    by_name = {wheel.filename: wheel for wheel in listed(http, place)}
    chosen = random.Random(seed).sample(readings, min(count, len(readings)))
    wrong = 0
    for row in sorted(chosen, key=lambda row: version_key(identity(row)[0])):
        wheel = by_name.get(row["filename"])
        if wheel is None:
            print(f"GONE  {row['filename']}: the index lists it no more")
            wrong += 1
            continue
        reading = read_contents(wheel.url, http=http, want=("kernels",), filename=wheel.filename)
        problems = differences(row, wheel, reading)
        wrong += bool(problems)
        cost = f"{reading.requests} requests, {reading.bytes / 1e6:.2f} MB of {reading.size / 1e6:.0f} MB"
        print(f"{'WRONG' if problems else 'ok':5} {wheel.filename} ({cost}){''.join(f'; {text}' for text in problems)}")
    print(f"{len(chosen) - wrong} of {len(chosen)} wheels agree with the tables (seed {seed})")
    return 1 if wrong else 0


def differences(row: dict[str, Any], wheel: Wheel, reading: WheelReading) -> list[str]:  # Any: as above
    found = knowledge.load().compare(wheel, reading.contents)
    problems = list(found.differences) if found else []
    flags = [*(reading.contents.sass or ()), *(reading.contents.ptx or ())]
    if (reading.contents.cuda, flags) != (row["cuda"], row["header"].split()):
        problems.append(f"read earlier: CUDA {row['cuda']}, {row['header']}")
    if reading.contents.git != row["git"]:
        problems.append(f"another build: git {reading.contents.git}, earlier {row['git']}")
    return problems


@dataclass(slots=True, kw_only=True)
class Tables:
    """The rows of the tables that are read from wheels, to be added to; ``asked`` is what companions ask of torch."""

    readings: Rows
    releases: Rows
    kernels: Rows
    asked: dict[tuple[str, str], tuple[str, ...]]

    @classmethod
    def load(cls) -> Self:
        """As they stand in this checkout."""
        text = (KNOWLEDGE / "releases.toml").read_text("utf-8")
        releases = release_rows(text)
        return cls(
            readings=reading_rows(READINGS.read_text("utf-8")),
            releases=releases,
            kernels=kernel_rows((KNOWLEDGE / "kernels.toml").read_text("utf-8"), releases),
            asked=asked_rows(text),
        )

    def texts(self) -> dict[Path, str]:
        """Every file they make, by path."""
        return {
            KNOWLEDGE / "kernels.toml": make_kernels(self.kernels, self.releases),
            KNOWLEDGE / "releases.toml": make_releases(self.releases, self.readings, self.asked),
            READINGS: make_readings(self.readings),
        }


def update(http: Client, place: Place, *, everything: bool, force: bool) -> int:
    """Read what is new, or everything, and lay the tables beside what they were."""
    tables = Tables.load()
    renew(tables, http, place, everything=everything)
    return show_and_write(dated(tables.texts(), datetime.now(UTC).date().isoformat()), force=force)


def renew(tables: Tables, http: Client, place: Place, *, everything: bool = False) -> None:
    """Read what is new on the default package index, or everything, into the rows."""
    readings, releases, kernels = tables.readings, tables.releases, tables.kernels
    before = len(releases)
    wheels = listed(http, place)
    known = {identity(row): row["filename"] for row in readings}
    oldest = min(version_key(version) for version, _ in known)
    for key, wheel in sorted(representatives(wheels, known).items(), key=lambda item: version_key(item[0][0])):
        if version_key(key[0]) < oldest or (key in known and not everything):
            continue
        reading = read_contents(wheel.url, http=http, filename=wheel.filename)
        print(f"read {wheel.filename}: {reading.requests} requests, {reading.bytes / 1e6:.2f} MB", file=sys.stderr)
        take(wheel, reading, readings, kernels, releases, wheels)
    companions(http, place, releases, tables.asked, new=releases[before:])


def update_companions(http: Client, place: Place, *, only: str = "", most: int = MOST, force: bool) -> int:
    """Read the newest wheels of the companions that the table does not hold, and lay it beside what it was."""
    known = all_facts()
    chosen = [
        wheel for project in PROJECTS for wheel in newest(listed(http, place, project), releases=COMPANION_RELEASES)
    ]
    of_interest = re.compile(only)
    known_files = {each.filename for each in known}
    small = [each for each in chosen if of_interest.search(each.filename) or each.filename in known_files]
    facts, left_out = read_companions(http, small, known, most=most)
    left_out += [named_size(each) for each in chosen if each not in small]
    names = {each.filename for each in facts}
    facts += [each for each in known if each.filename not in names]  # what was once read stays true
    text = make_companion_facts(facts, left_out=left_out, date=TODAY)
    return show_and_write({KNOWLEDGE / "companion_facts.toml": text}, force=force)


def add_exports(http: Client, place: Place, version: str, *, cuda: bool, force: bool) -> int:
    """Add one release of torch, newer than those there, to the table of exported symbols; of one that is there what its
    libtorch_cuda.so exports."""
    path = KNOWLEDGE / "torch_exports.toml"
    table = ExportTable.read(path.read_text("utf-8"))
    minor = minor_of(version)
    wheels = [each for each in listed(http, place) if each.version == version]
    wheel = next((each for each in wheels if re.search(r"cp312-cp312-.*linux.*_x86_64", each.filename)), None)
    there = any(row["version"] == version for row in table.torches)
    known = minor in (table.cuda_read if there and cuda else [row["minor"] for row in table.torches])
    if wheel is None or known:
        print(f"error: there is no wheel of torch {version} to read, or its minor is in the table", file=sys.stderr)
        return 2
    with open_wheel(wheel.url, http=http, filename=wheel.filename) as file:
        row = {"minor": minor, "version": version, "source": EXPORT_SOURCE, "date": TODAY}
        if not there:
            table.add(row, read_exports(file, COMMON))
        if cuda:
            table.add_cuda(minor, read_exports(file, CUDA))
    return show_and_write({path: table.text(date=TODAY)}, force=force)


def representatives(wheels: Sequence[Wheel], known: dict[tuple[str, str], str]) -> dict[tuple[str, str], Wheel]:
    """One wheel a version and platform: the one read before, else that of the middle Python."""
    groups: dict[tuple[str, str], list[Wheel]] = {}
    for wheel in wheels:
        platform = platform_of_filename(wheel.filename)
        if platform in PLATFORMS:
            groups.setdefault((wheel.version, platform), []).append(wheel)
    chosen = {}
    for key, group in groups.items():
        group.sort(key=lambda wheel: python_key(wheel.filename))
        before = [wheel for wheel in group if wheel.filename == known.get(key)]
        chosen[key] = (before or [group[len(group) // 2]])[0]
    return chosen


def take(
    wheel: Wheel, reading: WheelReading, readings: Rows, kernels: Rows, releases: Rows, wheels: Sequence[Wheel]
) -> None:
    """Put one reading into the rows of all three files."""
    contents = reading.contents
    requires = list(contents.requires_dist or ())
    gpu = [text for text in requires if re.match(r"(pytorch-)?triton|nvidia-cudnn", text)] if contents.cuda else []
    row = {
        "filename": wheel.filename,
        "size": reading.size,
        "uploaded": (wheel.upload_time or "")[:10],
        "version": f"{wheel.version}+{variant_of_cuda(contents.cuda)}",
        "cuda": contents.cuda,
        "git": contents.git,
        "requires_python": contents.requires_python,
        "header": " ".join([*(contents.sass or ()), *(contents.ptx or ())]),
        "requires_gpu": gpu,
    }
    before = next((old for old in readings if old["filename"] == wheel.filename), None)
    if before is None:
        readings.append(row)
    else:
        before.update({key: row[key] for key in ("size", "cuda", "git", "header")})
    _, platform = identity(row)
    release = next((each for each in releases if each["torch"] == wheel.version), None)
    if release is None:
        release = new_release(wheel, contents.git or "", requires, wheels)
        releases.append(release)
    release["cuda"]["pypi"][platform] = variant_of_cuda(contents.cuda)
    if not contents.cuda:
        return
    variant = variant_of_cuda(contents.cuda)
    if variant not in release["cuda"]["all"][platform]:
        release["cuda"]["all"][platform].append(variant)
    set_kernels(kernels, wheel.version, variant, platform, row, release["pythons"][platform])


def set_kernels(
    kernels: Rows, torch: str, variant: str, platform: str, row: dict[str, Any], pythons: list[str]
) -> None:
    """Add a row, or correct the one there is: what was read goes before what was concluded."""
    read = {
        "archs": [flag for flag in row["header"].split() if flag.startswith("sm_")],
        "ptx": [flag for flag in row["header"].split() if flag.startswith("compute_")],
    }
    key = (torch, variant, platform)
    old = next((each for each in kernels if (each["torch"], each["cuda_variant"], each["platform"]) == key), None)
    if old is not None and old["verified_from_wheel"] and {name: old[name] for name in read} == read:
        return
    facts = {
        **read,
        "verified_from_wheel": True,
        "cudnn": cudnn_of(row["requires_gpu"]),
        "published": "yes",
        "confidence": "high",
        "source": SOURCE,
    }
    if old is not None:
        old.update(facts)
    else:
        kernels.append(
            {"torch": torch, "cuda_variant": variant, "platform": platform, "python_tags": pythons, "note": None}
            | facts
        )


def new_release(wheel: Wheel, git: str, requires: Sequence[str], wheels: Sequence[Wheel]) -> dict[str, Any]:
    """A release the tables have not heard of, as far as the index tells."""
    pythons: dict[str, list[str]] = {platform: [] for platform in PLATFORMS}
    for other in sorted(wheels, key=lambda each: python_key(each.filename)):
        platform = platform_of_filename(other.filename)
        tag = abi_tag(other.filename)
        if other.version == wheel.version and platform in PLATFORMS and tag not in pythons[platform]:
            pythons[platform].append(tag)
    triton = next((text for text in map(Requirement, requires) if text.name in ("triton", "pytorch-triton")), None)
    companions: dict[str, Any] = {"triton": f"{triton.name}{triton.specifier}" if triton else None}
    if triton:
        companions["triton_marker"] = str(triton.marker or "")
    return {
        "torch": wheel.version,
        "uploaded": (wheel.upload_time or "")[:10],
        "git": git,
        "requires_python": wheel.requires_python or "",
        "pythons": pythons,
        "companions": companions,
        "cuda": {"all": {platform: [] for platform in PLATFORMS}, "pypi": {}, "unconfirmed": None},
        "notes": ["variants other than the default package index's were not looked at"],
        "source": "default package index: listing and METADATA",
    }


def companions(
    http: Client, place: Place, releases: Rows, asked: dict[tuple[str, str], tuple[str, ...]], *, new: Rows
) -> None:
    """Give each release the companions that came since, and a ``new`` one the earlier ones whose range it meets.

    One that asks for no torch at all goes to the newest release: the tables say what its METADATA does, and whether the
    two are of one build is read from the wheels.
    """
    earlier_companions(new, asked)
    for project in ("torchvision", "torchaudio"):
        seen = {version for row in releases for version in row["companions"].get(project) or ()}
        newest = max(map(Version, seen))
        for wheel in sorted({each.version: each for each in listed(http, place, project)}.values(), key=_by_version):
            if Version(wheel.version) <= newest:
                continue
            reading = read_contents(wheel.url, http=http, want=("metadata",), filename=wheel.filename)
            print(f"read {wheel.filename}: {reading.requests} requests, {reading.bytes / 1e6:.2f} MB", file=sys.stderr)
            take_companion(wheel, reading.contents.requires_dist or (), releases, asked)


def earlier_companions(new: Rows, asked: dict[tuple[str, str], tuple[str, ...]]) -> None:
    """Give new releases the companions that came before and admit them by a range; of those that ask for nothing, the
    newest."""
    for (project, version), wanted in sorted(asked.items(), key=lambda item: Version(item[0][1])):
        for row in new:
            if all(Requirement(each).specifier.contains(row["torch"]) for each in wanted):
                held = row["companions"].get(project, []) if wanted else []
                row["companions"][project] = [*held, version]


def take_companion(
    wheel: Wheel, requires: Sequence[str], releases: Rows, asked: dict[tuple[str, str], tuple[str, ...]]
) -> None:
    """Put what a companion asks of torch into the rows of the releases that meet it."""
    torch = [each for each in map(Requirement, requires) if each.name == "torch" and each.marker is None]
    wanted = [f"torch{each.specifier}" for each in torch]
    exact = any(spec.operator == "==" for each in torch for spec in each.specifier)
    fitting = [row for row in releases if torch and all(each.specifier.contains(row["torch"]) for each in torch)]
    for row in fitting if torch else releases[-1:]:
        held = row["companions"].get(wheel.project) or []
        row["companions"][wheel.project] = [*held, wheel.version]
    if not exact:
        asked[wheel.project, wheel.version] = tuple(wanted)


def _by_version(wheel: Wheel) -> Version:
    return Version(wheel.version)


def abi_tag(filename: str) -> str:
    """``cp313t`` of a free-threaded wheel, ``cp312`` of any other."""
    python, abi = filename.removesuffix(".whl").split("-")[-3:-1]
    return abi if abi.startswith("cp") and abi.endswith("t") else python


def python_key(filename: str) -> tuple[int, bool, str]:
    tag = abi_tag(filename)
    return int(re.sub(r"\D", "", tag) or 0), tag.endswith("t"), filename


if __name__ == "__main__":
    sys.exit(main())
