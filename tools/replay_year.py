"""Replay a year with tables that stopped at its beginning: what is decided then, against what the wheels say.

    python tools/replay_year.py                        print the page's table
    python tools/replay_year.py --write                put it into docs/watch.md
    python tools/replay_year.py --day 2025-10-15       one day only, every machine in full

The pages are the recorded ones (``tests/data/index``). For each day of the year and each machine three decisions are
made by ``gpuenv.select``, as the commands make them:

- *right*: with the tables as they are today, which hold what the wheels of that day held;
- *stale*: with the tables as they would have stood on the first day, the wheels read where a table knows nothing;
- *blind*: the same, and no wheel can be read.

A stale decision that differs from the right one is wrong: the wheels of that day would have made it right. Pages that
list the same are decided once. Tables that stopped know no release of torch that came after that day, and no CUDA,
driver branch or architecture that is newer than the newest variant of those releases.
"""

from __future__ import annotations

import argparse
import multiprocessing
import sys
import tomllib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from functools import cache, partial
from pathlib import Path
from typing import Any, Literal
from urllib.parse import unquote

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests"))

from packaging.version import Version  # noqa: E402 # the folder of the recording has to be on the path first

from gpuenv import knowledge  # noqa: E402
from gpuenv.knowledge import files, tables  # noqa: E402
from gpuenv.model.decision import Decision, Question  # noqa: E402
from gpuenv.model.machine import Arch, Os  # noqa: E402
from gpuenv.model.wheel import Catalog, WheelContents  # noqa: E402
from gpuenv.select.settle import settle  # noqa: E402
from support.choosing import FAMILY, machine, of_row, profile, read_recorded, request  # noqa: E402
from support.recorded import Row, platform_of, recording  # noqa: E402

DOCUMENT = ROOT / "docs" / "watch.md"
BEGIN, END = "<!-- year: begin -->", "<!-- year: end -->"
FIRST, LAST = date(2025, 5, 20), date(2026, 5, 19)
"""The year before the last recorded page."""
NIGHTLIES = (date(2025, 9, 1), date(2026, 3, 15))
"""The days on which the nightly pages were recorded too."""
Knowing = Literal["right", "stale", "blind"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Bench:
    """A machine that decisions are made for."""

    name: str
    capabilities: tuple[str, ...]
    driver: str
    cuda: str
    """The driver's own, which it tells itself."""
    os: Os = "linux"
    arch: Arch = "x86_64"
    channel: Literal["stable", "nightly"] = "stable"


BENCHES = (
    Bench(name="GTX 1080, driver 560", capabilities=("6.1",), driver="560.35.03", cuda="12.6"),
    Bench(name="V100, driver 580", capabilities=("7.0",), driver="580.95.05", cuda="13.0"),
    Bench(name="T4, driver 550", capabilities=("7.5",), driver="550.163.01", cuda="12.4"),
    Bench(name="RTX 4090, driver 575", capabilities=("8.9",), driver="575.57.08", cuda="12.9"),
    Bench(name="H100, driver 535", capabilities=("9.0",), driver="535.230.02", cuda="12.2"),
    Bench(name="H100, driver 580", capabilities=("9.0",), driver="580.95.05", cuda="13.0"),
    Bench(name="RTX 5090, driver 570", capabilities=("12.0",), driver="570.124.06", cuda="12.8"),
    Bench(name="RTX 5090, driver 595", capabilities=("12.0",), driver="595.58.03", cuda="13.2"),
    Bench(name="B300, driver 580", capabilities=("10.3",), driver="580.95.05", cuda="13.0"),
    Bench(name="V100 and RTX 5090, driver 580", capabilities=("7.0", "12.0"), driver="580.95.05", cuda="13.0"),
    Bench(name="GH200, driver 580", capabilities=("9.0",), driver="580.95.05", cuda="13.0", arch="aarch64"),
    Bench(name="GB10, driver 580", capabilities=("12.1",), driver="580.95.05", cuda="13.0", arch="aarch64"),
    Bench(name="Windows, GTX 1080, driver 576", capabilities=("6.1",), driver="576.88", cuda="12.9", os="windows"),
    Bench(name="Windows, RTX 5070, driver 581", capabilities=("12.0",), driver="581.42", cuda="13.0", os="windows"),
)
NIGHTLY = (
    Bench(
        name="nightly, RTX 5090, driver 580", capabilities=("12.0",), driver="580.95.05", cuda="13.0", channel="nightly"
    ),
)


# --- tables that stopped -----------------------------------------------------------------------------------------


def stop_tables(day: str) -> None:
    """Let this process know what the tables would have held on ``day``, and nothing more; empty: all of it."""
    if not day:
        return
    read = partial(_stopped, files.read, day)
    files.read = tables.read = read  # type: ignore[assignment] # the same call, without the cache's methods
    for name, module in sys.modules.items():  # what was worked out from the whole tables
        for each in vars(module).values() if name.startswith("gpuenv.") else ():
            if callable(getattr(each, "cache_clear", None)):
                each.cache_clear()


def _stopped(whole: Any, day: str, name: str) -> Mapping[str, Any]:  # Any: decoded TOML, and the cached reader of it
    table = dict(whole(name))
    releases = whole("releases")
    came = {row["torch"] for row in releases["release"] if row["uploaded"].isoformat() <= day}
    later = {row["torch"] for row in releases["release"]} - came
    if name == "releases":
        table["release"] = [row for row in table["release"] if row["torch"] in came]
        table["package_index"] = {key: row for key, row in table["package_index"].items() if key not in later}
    if name == "kernels":
        table["rows"] = [row for row in table["rows"] if row["torch"] not in later]
    if name == "drivers":
        variants = {each for row in whole("kernels")["rows"] if row["torch"] not in later for each in [row["variant"]]}
        newest = max(Version(row["cuda"]) for row in table["variants"] if row["variant"] in variants)
        for key, field_ in (
            ("variants", "cuda"),
            ("toolkits", "cuda"),
            ("branches", "cuda"),
            ("architectures", "first_cuda"),
        ):
            table[key] = [row for row in table[key] if Version(row[field_]) <= newest]
        table["majors"] = [row for row in table["majors"] if row["cuda"] <= newest.major]
    return table


# --- decisions ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What was decided: the wheels, or why none; ``read`` wheels were asked for what is in them."""

    wheels: tuple[str, ...] = ()
    reason: str = ""
    read: int = 0

    @property
    def words(self) -> str:
        """The torch of it, or the refusal."""
        return unquote(self.wheels[0]).rpartition("/")[2].split("-")[1] if self.wheels else f"none: {self.reason}"


def decide(bench: Bench, day: str, *, blind: bool) -> Answer:
    """Decide for a machine on the page of a day."""
    read = 0

    def look(question: Question) -> WheelContents | str:
        nonlocal read
        if question.wheel.project == "torch" and question.about != "metadata":
            read += 1
            return "no wheel can be read" if blind else _with_cudnn(question, read_recorded(question))
        return read_recorded(question)

    said = settle(
        machine(*bench.capabilities, driver=bench.driver, cuda=bench.cuda, os=bench.os, arch=bench.arch),
        profile(packages=FAMILY),
        Catalog(wheels=tuple(of_row(row) for row in page(day, bench.channel) if _may_serve(row, bench))),
        {},
        request(pythons=("3.12",), channel=bench.channel),
        knowledge.load(),
        read=look,
    )[0]
    if isinstance(said, Decision):
        return Answer(wheels=tuple(wheel.url for wheel in said.packages), read=read)
    return Answer(reason=said.summary, read=read)


def _may_serve(row: Row, bench: Bench) -> bool:
    """Whether a row is for the machine's platform and Python: the others are refused by their names."""
    platform = "win_amd64" if bench.os == "windows" else f"linux_{bench.arch}"
    return row.platform in (platform, "any") and row.tag.startswith(("cp312-", "py"))


def _with_cudnn(question: Question, contents: WheelContents | str) -> WheelContents | str:
    """What was read of a wheel with its pin of cuDNN, which the recording lacks: that of the tables, and where they
    doubt old code because they do not know the pin, one that has left it."""
    wheel = question.wheel
    key = (Version(wheel.version).public, wheel.variant or "", platform_of(wheel.filename))
    pin = _pins().get(key)
    if isinstance(contents, str) or pin is None:
        return contents
    return replace(contents, requires_dist=(*(contents.requires_dist or ()), f"nvidia-cudnn-{key[1][:4]}=={pin}"))


@cache
def _pins() -> dict[tuple[str, str, str], str]:
    """cuDNN by torch, variant and platform, from today's tables."""
    rows = tomllib.loads((files.FOLDER / "kernels.toml").read_text("utf-8"))["rows"]
    floors = tomllib.loads((files.FOLDER / "drivers.toml").read_text("utf-8"))["library_floors"]
    left = next(row["since"] for row in floors if row["library"] == "cuDNN")
    return {
        (row["torch"], row["variant"], row["platform"]): row.get("cudnn") or left
        for row in rows
        if "cudnn" in row or "doubtful" in row
    }


def page(day: str, channel: str) -> list[Row]:
    """The family's rows of a channel on a day, sorted as the page is."""
    return [row for row in _rows(channel) if row.first_seen <= day <= row.last_seen]


@cache
def _rows(channel: str) -> list[Row]:
    listed = (row for row in recording()._rows if row.first_seen and row.channel == channel)
    return sorted((row for row in listed if row.project in FAMILY), key=lambda row: row.key)


def answer_all(work: tuple[Bench, str], *, blind: bool) -> Answer:
    return decide(work[0], work[1], blind=blind)


def decisions(
    work: Sequence[tuple[Bench, str]], knowing: Knowing, *, since: date = FIRST, jobs: int = 1
) -> list[Answer]:
    """Decide everything in processes of their own, whose tables are those of today or of the first day.

    They are forks: the recording is read once.
    """
    context = multiprocessing.get_context("fork")
    _rows("stable")
    stop = "" if knowing == "right" else since.isoformat()
    with ProcessPoolExecutor(jobs, mp_context=context, initializer=stop_tables, initargs=(stop,)) as pool:
        return list(pool.map(partial(answer_all, blind=knowing == "blind"), work, chunksize=8))


# --- the year ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Stretch:
    """Days on which a channel's page listed the same."""

    channel: str
    days: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Compared:
    """The three answers of a machine for a stretch of days."""

    bench: Bench
    stretch: Stretch
    right: Answer
    stale: Answer
    blind: Answer

    @property
    def wrong(self) -> bool:
        return self.stale.wheels != self.right.wheels

    @property
    def blind_wrong(self) -> bool:
        return self.blind.wheels != self.right.wheels


def days(first: date, last: date) -> Iterator[str]:
    """Every day, both ends included."""
    for number in range((last - first).days + 1):
        yield (first + timedelta(days=number)).isoformat()


def stretches(channel: str, first: date, last: date) -> list[Stretch]:
    """The days of the year, those together on which nothing changed."""
    found: list[Stretch] = []
    before: list[str] | None = None
    for day in days(first, last):
        listed = [row.key for row in page(day, channel)]
        if listed == before:
            found[-1] = Stretch(channel=channel, days=(*found[-1].days, day))
        else:
            found.append(Stretch(channel=channel, days=(day,)))
        before = listed
    return found


def replay(benches: Iterable[Bench], parts: Sequence[Stretch], *, since: date = FIRST, jobs: int = 1) -> list[Compared]:
    """Every machine on every stretch of its channel."""
    pairs = [(bench, part) for bench in benches for part in parts if part.channel == bench.channel]
    work = [(bench, part.days[0]) for bench, part in pairs]
    said = {
        "right": decisions(work, "right", since=since, jobs=jobs),
        "stale": decisions(work, "stale", since=since, jobs=jobs),
    }
    # No table ever knows a nightly: without reading there is none, every day.
    known = [each for each in work if each[0].channel == "stable"]
    blind = iter(decisions(known, "blind", since=since, jobs=jobs))
    none = Answer(reason="a nightly has to be read")
    said["blind"] = [next(blind) if bench.channel == "stable" else none for bench, _ in work]
    answers = zip(pairs, said["right"], said["stale"], said["blind"], strict=True)
    return [
        Compared(bench=bench, stretch=part, right=right, stale=stale, blind=blind)
        for (bench, part), right, stale, blind in answers
    ]


# --- the lag -----------------------------------------------------------------------------------------------------


@dataclass(slots=True, kw_only=True)
class Lag:
    """Days on which a page listed what a table did not know."""

    table: str
    unwatched: int = 0
    """Without any renewal since the first day."""
    watched: int = 0
    """Renewed every Monday from the page of that morning."""
    missing: set[str] = field(default_factory=set)


def lags(first: date = FIRST, last: date = LAST) -> list[Lag]:
    """How long each table lagged behind the stable page."""
    found = [Lag(table="kernels.toml"), Lag(table="releases.toml"), Lag(table="drivers.toml")]
    start = monday = facts_of(first.isoformat())
    for day in days(first, last):
        today = facts_of(day)
        if date.fromisoformat(day).weekday() == 0:
            monday = [one | other for one, other in zip(monday, today, strict=True)]
        for lag, listed, at_start, at_monday in zip(found, today, start, monday, strict=True):
            lag.unwatched += bool(listed - at_start)
            lag.watched += bool(listed - at_monday)
            lag.missing |= listed - at_start
    return found


def facts_of(day: str) -> list[set[str]]:
    """What the stable page of a day would have taught each table: builds of torch, releases, variants."""
    builds = [
        (Version(row.version).public, row.variant, row.platform)
        for row in page(day, "stable")
        if row.project == "torch" and row.variant.startswith("cu") and row.variant[2:].isdigit()
    ]
    return [
        {" ".join(build) for build in builds},
        {version for version, _, _ in builds},
        {variant for _, variant, _ in builds},
    ]


# --- the page ----------------------------------------------------------------------------------------------------


def document(found: Sequence[Compared], lag: Sequence[Lag]) -> list[str]:
    """The tables of docs/watch.md."""
    lines = ["| machine | days | pages that differ | wrong days | wheels read | without reading: wrong days |"]
    lines.append("|---|---|---|---|---|---|")
    for bench in dict.fromkeys(each.bench for each in found):
        rows = [each for each in found if each.bench == bench]
        cells = [_days(rows), len(rows), _days(each for each in rows if each.wrong)]
        cells += [sum(each.stale.read for each in rows), _days(each for each in rows if each.blind_wrong)]
        lines.append(f"| {bench.name} | {' | '.join(map(str, cells))} |")
    total = [_days(found), len(found), _days(each for each in found if each.wrong)]
    total += [sum(each.stale.read for each in found), _days(each for each in found if each.blind_wrong)]
    lines += [f"| all | {' | '.join(map(str, total))} |", ""]
    lines += [
        "What was right for these machines on the stable page, from the first day on and whenever it changed:",
        "",
    ]
    stable = [each for each in found if each.bench.channel == "stable"]
    before = ""
    for day in sorted({each.stretch.days[0] for each in stable}):
        right = {each.right.words.partition(":")[0] for each in stable if each.stretch.days[0] == day}
        said = ", ".join(sorted(right))
        lines += [f"- {day}: {said}"] if said != before else []
        before = said
    lines += ["", "| table | knew less than the page: days without a watch | with a watch every Monday | what came |"]
    lines.append("|---|---|---|---|")
    for each in lag:
        came = sorted(each.missing, key=lambda text: text.split(" ")[0])
        what = f"{len(came)} builds" if len(came) > 12 else ", ".join(came)
        lines.append(f"| `{each.table}` | {each.unwatched} | {each.watched} | {what} |")
    return lines


def _days(rows: Iterable[Compared]) -> int:
    return sum(len(each.stretch.days) for each in rows)


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--write", action="store_true", help=f"put the tables into {DOCUMENT.relative_to(ROOT)}")
    parser.add_argument("--day", help="one day only, every machine in full")
    parser.add_argument("--jobs", type=int, default=2)
    arguments = parser.parse_args()
    if arguments.day:
        parts = [Stretch(channel="stable", days=(arguments.day,))]
        for each in replay(BENCHES, parts, jobs=arguments.jobs):
            print(
                f"{'WRONG' if each.wrong else 'ok':5} {each.bench.name}: {each.stale.words} ({each.stale.read} read);"
            )
            print(f"      blind: {each.blind.words}")
        return 0
    parts = [*stretches("stable", FIRST, LAST), *stretches("nightly", *NIGHTLIES)]
    found = replay((*BENCHES, *NIGHTLY), parts, jobs=arguments.jobs)
    for each in found:
        if each.wrong:
            print(f"WRONG {each.stretch.days[0]} {each.bench.name}: {each.stale.words}, right: {each.right.words}")
    text = "\n".join(document(found, lags()))
    if arguments.write:
        before, _, rest = DOCUMENT.read_text(encoding="utf-8").partition(BEGIN)
        after = rest.partition(END)[2]
        DOCUMENT.write_text(f"{before}{BEGIN}\n\n{text}\n\n{END}{after}", encoding="utf-8", newline="\n")
    else:
        print(text)
    return 1 if any(each.wrong for each in found) else 0


if __name__ == "__main__":
    sys.exit(main())
