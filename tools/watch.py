"""The watch: find what came out since the tables were made, read it, and renew the tables, difference first.

    python tools/watch.py                 look at the live pages; print what is new and the difference; exit 1 if any
    python tools/watch.py --force         write the tables
    python tools/watch.py --notes FILE    read NVIDIA's release notes from a saved page

It looks at

- the default package index (pip's configuration, else the one that uv knows): new torch, torchvision, torchaudio and
  triton. New wheels of torch are read by range, new companions by their METADATA; the newest of each is read again and
  compared with its row, so that a run without news proves the rows too;
- PyTorch's index: builds of torch, and so variants, that have no row, read by range;
- NVIDIA's release notes: drivers of toolkits that have no row.

A page that cannot be reached is said so, and nothing of it changes. What a table cannot take without a person, such as
the rule of a new CUDA major version, is a line that begins with ``note:``. Nothing needs a release of gpuenv meanwhile:
what no table knows is read from the wheel of the day, and a driver tells its own CUDA (docs/watch.md).
"""

from __future__ import annotations

import argparse
import os
import re
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from html.parser import HTMLParser
from pathlib import Path

from packaging.requirements import Requirement
from packaging.version import Version
from table_text import KNOWLEDGE, PLATFORMS, dated, identity, inline, show_and_write, variant_of_cuda, version_key
from update_tables import (
    Tables,
    differences,
    listed,
    package_index,
    python_key,
    renew,
    representatives,
    set_kernels,
    with_cache,
)

from gpuenv import knowledge
from gpuenv.errors import PackageIndexError
from gpuenv.index.config import Place
from gpuenv.index.layout import read_pytorch
from gpuenv.index.wheelfile import WheelReading, read_contents
from gpuenv.knowledge import files
from gpuenv.knowledge.names import platform_of_filename, public
from gpuenv.knowledge.rules import compare_versions
from gpuenv.model.wheel import Wheel
from gpuenv.net.client import Absent, Client
from gpuenv.net.location import Location

NOTES = "https://docs.nvidia.com/cuda/cuda-toolkit-release-notes/index.html"
CAPTION = "Corresponding Driver Versions"
MOST_READ = 24
"""New builds of PyTorch's index that one run reads."""


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--index", help="a package index; by default the one of pip's configuration")
    parser.add_argument("--notes", type=Path, help="NVIDIA's release notes, saved as HTML; by default the live page")
    parser.add_argument("--force", action="store_true", help="write; without it only the difference is shown")
    options = parser.parse_args(arguments)
    return with_cache(partial(run, options))


def run(options: argparse.Namespace, cache: Path) -> int:
    plan, index = package_index(options.index)
    tables = Tables.load()
    drivers, day = (KNOWLEDGE / "drivers.toml").read_text("utf-8"), datetime.now(UTC).date().isoformat()
    with Client(cache=cache, environ=os.environ, access=plan.access) as http:
        wrong = look_again(tables, http, index)
        known = {row["torch"] for row in tables.releases}
        renew(tables, http, index)
        for row in tables.releases:
            if row["torch"] not in known:
                say("note", f"what its libraries export is read by `tools/update_tables.py --exports {row['torch']}`")
        try:
            new_builds(tables, http)
        except PackageIndexError as error:
            say("PyTorch's index was not looked at", error.message)
        try:
            page = options.notes.read_text("utf-8") if options.notes else release_notes(http)
            drivers = with_toolkits(drivers, toolkits_of(page), day=day)
        except PackageIndexError as error:
            say("NVIDIA's release notes were not looked at", error.message)
    found = dated({**tables.texts(), KNOWLEDGE / "drivers.toml": drivers}, day)
    if all(path.read_text("utf-8") == text for path, text in found.items()):
        say("the tables are as the pages are")
    changed = show_and_write(found, force=options.force)
    return 1 if changed or wrong else 0


def say(*words: str) -> None:
    print(": ".join(words))


# --- the default package index -----------------------------------------------------------------------------------


def look_again(tables: Tables, http: Client, place: Place) -> int:
    """Read the newest of each project once more, and compare it with its rows; how many are wrong."""
    wrong = 0
    wheels = listed(http, place)
    newest = max((wheel.version for wheel in wheels), key=Version)
    known = {identity(row): row for row in tables.readings}
    names = {key: row["filename"] for key, row in known.items()}
    for (version, platform), wheel in sorted(representatives(wheels, names).items()):
        row = known.get((version, platform))
        if version != newest:
            continue
        if row is None:
            say("new", f"torch {version} {platform}")
            continue
        reading = read_contents(wheel.url, http=http, filename=wheel.filename)
        found = differences(row, wheel, reading)
        wrong += bool(found)
        code = " ".join([*(reading.contents.sass or ()), *(reading.contents.ptx or ())]) or "no CUDA"
        say(cost(wheel, reading), f"CUDA {reading.contents.cuda or 'none'}, {code}", verdict(found))
    for project in ("torchvision", "torchaudio", "triton"):
        wheel = max(listed(http, place, project), key=lambda each: (Version(each.version), each.filename))
        reading = read_contents(wheel.url, http=http, filename=wheel.filename, want=("metadata",))
        stated = knowledge.load().family_requires(wheel)
        asks = family_of(reading.contents.requires_dist or ())
        if stated is None:
            say(cost(wheel, reading), f"asks for {', '.join(asks) or 'nothing of the family'}", "no row yet")
            continue
        differ = sorted(map(str, map(Requirement, stated))) != asks
        wrong += differ
        found = [f"the table says {', '.join(stated) or 'nothing'}"] if differ else []
        say(cost(wheel, reading), f"asks for {', '.join(asks) or 'nothing of the family'}", verdict(found))
    return wrong


def cost(wheel: Wheel, reading: WheelReading) -> str:
    return f"{wheel.filename} ({reading.requests} requests, {reading.bytes / 1e6:.2f} of {reading.size / 1e6:.0f} MB)"


def verdict(differing: Sequence[str]) -> str:
    return f"WRONG, {'; '.join(differing)}" if differing else "as the table says"


def family_of(requires: Iterable[str]) -> list[str]:
    """The requirements on members of the family that hold everywhere, sorted."""
    family = knowledge.load().family
    found = (Requirement(text) for text in requires)
    return sorted(str(each) for each in found if each.name in family and "extra" not in str(each.marker or ""))


# --- PyTorch's index ---------------------------------------------------------------------------------------------


def new_builds(tables: Tables, http: Client) -> None:
    """Read the builds of torch on PyTorch's own index that have no row, newest first."""
    where = Location.parse(knowledge.load().pytorch_index, origin="PyTorch's index")
    place = Place(kind="pytorch", location=where, configured_by="default")
    (listing,) = read_pytorch(place, http, ("torch",), "stable", variants=())
    missing = sorted(unknown_builds(tables, listing.wheels).items(), key=lambda item: Version(item[0][0]), reverse=True)
    for (version, variant, platform), wheel in missing[:MOST_READ]:
        reading = read_contents(wheel.url, http=http, filename=wheel.filename)
        say("new", cost(wheel, reading), f"{variant} {platform}")
        take_build(tables, version, variant, platform, reading)
    if len(missing) > MOST_READ:
        say("note", f"{len(missing) - MOST_READ} older builds on PyTorch's index have no row and were not read")


def unknown_builds(tables: Tables, wheels: Iterable[Wheel]) -> dict[tuple[str, str, str], Wheel]:
    """One wheel for each CUDA build of a release in the tables that has no row, by torch, variant and platform."""
    rows = {(row["torch"], row["cuda_variant"], row["platform"]) for row in tables.kernels}
    releases = {row["torch"] for row in tables.releases}
    found: dict[tuple[str, str, str], list[Wheel]] = {}
    for wheel in wheels:
        version, platform = public(wheel.version), platform_of_filename(wheel.filename)
        if platform not in PLATFORMS or version not in releases or wheel.variant is None:
            continue
        if knowledge.load().cuda_of(wheel.variant) and (version, wheel.variant, platform) not in rows:
            found.setdefault((version, wheel.variant, platform), []).append(wheel)
    return {
        key: sorted(group, key=lambda each: python_key(each.filename))[len(group) // 2] for key, group in found.items()
    }


def take_build(tables: Tables, version: str, variant: str, platform: str, reading: WheelReading) -> None:
    """Put what was read of a build on PyTorch's index into the tables."""
    contents = reading.contents
    if variant_of_cuda(contents.cuda) != variant:
        say("note", f"torch {version} in {variant} for {platform} is built with CUDA {contents.cuda or 'none'}: no row")
        return
    release = next(row for row in tables.releases if row["torch"] == version)
    row = {
        "header": " ".join([*(contents.sass or ()), *(contents.ptx or ())]),
        "requires_gpu": [text for text in contents.requires_dist or () if text.startswith("nvidia-cudnn")],
    }
    set_kernels(tables.kernels, version, variant, platform, row, release["pythons"][platform])
    if variant not in release["cuda"]["all"][platform]:
        release["cuda"]["all"][platform].append(variant)


# --- NVIDIA's release notes --------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Toolkit:
    """One row of the table of toolkits and their drivers; a driver is ``None`` where the table has none."""

    cuda: str
    release: str
    linux: str | None
    windows: str | None


def release_notes(http: Client) -> str:
    answer = http.get(Location.parse(NOTES, origin="NVIDIA's release notes"))
    if isinstance(answer, Absent):
        raise PackageIndexError(f"{NOTES} answers {answer.status}")
    return answer.body.decode("utf-8", "replace")


class _Tables(HTMLParser):
    """The rows of every table of a page as texts of cells, with the table's caption."""

    def __init__(self) -> None:
        super().__init__()
        self.rows: list[tuple[str, list[str]]] = []
        self._caption, self._text, self._cells = "", "", list[str]()

    def handle_starttag(self, tag: str, attrs: object) -> None:
        if tag == "table":
            self._caption = ""
        if tag == "tr":
            self._cells = []
        if tag in ("td", "th", "caption"):
            self._text = ""

    def handle_data(self, data: str) -> None:
        self._text += data

    def handle_endtag(self, tag: str) -> None:
        text = " ".join(self._text.split())
        if tag == "caption":
            self._caption = text
        if tag in ("td", "th"):
            self._cells.append(text)
        if tag == "tr":
            self.rows.append((self._caption, self._cells))


def toolkits_of(page: str) -> list[Toolkit]:
    """The rows "CUDA 13.2 Update 1, >=595.58.03, N/A" of the table of toolkits and drivers.

    Raises :class:`~gpuenv.errors.PackageIndexError` for a page without that table.
    """
    parser = _Tables()
    parser.feed(page)
    found = []
    for caption, cells in parser.rows:
        named = re.fullmatch(r"CUDA (\d+\.\d+)(?:\.\d+)* (GA|Update \d+)\b.*", cells[0]) if len(cells) > 2 else None
        if CAPTION not in caption or named is None:
            continue
        linux, windows = (re.fullmatch(r">= ?(\d+(?:\.\d+)+)", cell) for cell in cells[1:3])
        found.append(
            Toolkit(
                cuda=named[1],
                release=named[2],
                linux=linux[1] if linux else None,
                windows=windows[1] if windows else None,
            )
        )
    if not found:
        raise PackageIndexError(f"the page has no table {CAPTION!r} of CUDA releases")
    return found


def entries_of(each: Toolkit) -> list[tuple[str, object]]:
    return [("cuda", each.cuda), ("release", each.release), ("linux", each.linux), ("windows", each.windows)]


def with_toolkits(text: str, toolkits: Sequence[Toolkit], *, day: str) -> str:
    """The text of drivers.toml with the toolkits that it lacks, and with the driver branches that came with them."""
    table = files.read("drivers")
    held = {(row["cuda"], row.get("linux"), row.get("windows")) for row in table["toolkits"]}
    named = {(row["cuda"], row["release"]): row for row in table["toolkits"]}
    oldest = min((row["cuda"] for row in table["toolkits"]), key=version_key)
    new = []
    for each in toolkits:
        before = named.get((each.cuda, each.release))
        if version_key(each.cuda) < version_key(oldest) or each.linux is None:
            continue
        if before is not None and before.get("linux") not in (None, each.linux):
            say("note", f"CUDA {each.cuda} {each.release}: the page says {each.linux}, the table {before['linux']}")
        elif (each.cuda, each.linux) not in {(cuda, linux) for cuda, linux, _ in held}:
            new.append(each)
    if not new:
        return text
    new.sort(key=lambda each: (version_key(each.cuda), version_key(each.linux or "0")), reverse=True)
    source = f"NVIDIA CUDA release notes, table of toolkits and drivers, read {day}"
    rows = [f"  {inline([*entries_of(each), ('source', source)])}," for each in new]
    text = text.replace("toolkits = [\n", "\n".join(["toolkits = [", *rows, ""]), 1)
    last = table["branches"][-1]
    branches: dict[str, str] = {}
    for each in reversed(new):
        branch = (each.linux or "").partition(".")[0]
        if compare_versions(branch, last["branch"]) > 0 and compare_versions(each.cuda, last["cuda"]) > 0:
            branches[branch] = each.cuda
    for branch, cuda in branches.items():
        begin, rest = text.split("branches = [\n", 1)
        inside, end = rest.split("\n]\n", 1)
        row = f"  {inline([('branch', branch), ('cuda', cuda), ('source', source)])},"
        text = f"{begin}branches = [\n{inside}\n{row}\n]\n{end}"
    majors = {row["cuda"] for row in table["majors"]}
    for major in sorted({version_key(each.cuda)[0] for each in new} - majors):
        say(
            "note",
            f"CUDA {major} is a new major version: until its rule is in drivers.toml, its own driver is asked for",
        )
    return text


if __name__ == "__main__":
    sys.exit(main())
