"""The repository's own locks, made from PyTorch's index as it was recorded: lockfiles/pylock.<profile>.toml.

    python tools/lock_recorded.py             write them, and say in lockfiles/README.md which there are and why
    python tools/lock_recorded.py --check     make them again and compare; exit 1 with the difference
    python tools/lock_recorded.py --readme    only renew the table, after locks were made on the live index

This is ``gpuenv lock --all --single-source`` with one thing exchanged: the HTTP client answers from the recording
(``tests/data/index``), so that the pages are those of one recorded day under their real addresses, and nothing leaves
the machine. What the wheels require comes from ``proven.json`` and is handed over as facts by the wheels' own hash;
what is not in there cannot be read, as if the network were cut. So every file of a lock is a recorded row with the hash
that PyTorch's index stated for it, which is checked once more here, apart from gpuenv.

A lock whose snapshot is another index's, made by ``.github/workflows/lock.yml`` on the live one, cannot be made again
from the recording. Of it is checked what can be: one source, PyTorch's hosts, its profile, its machine.
"""

from __future__ import annotations

import argparse
import difflib
import json
import os
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests"))


from packaging.utils import canonicalize_name  # noqa: E402

from gpuenv import knowledge as tables  # noqa: E402 # the folder of the recording has to be on the path first
from gpuenv import profile as profiles  # noqa: E402
from gpuenv.commands import lock as locking  # noqa: E402
from gpuenv.errors import IndexUnreachableError  # noqa: E402
from gpuenv.index.config import Place  # noqa: E402
from gpuenv.index.facts import WheelFacts  # noqa: E402
from gpuenv.index.source import load_source  # noqa: E402
from gpuenv.lock.codec import lock_filename, parse  # noqa: E402
from gpuenv.lock.fit import fits_machine  # noqa: E402
from gpuenv.lock.making import profile_digest  # noqa: E402
from gpuenv.lock.model import Lock  # noqa: E402
from gpuenv.machine.file import parse_machine  # noqa: E402
from gpuenv.model.wheel import WheelContents  # noqa: E402
from gpuenv.net.client import PAGE_LIMIT, PAGE_TYPES, Absent, Answer, Client  # noqa: E402
from gpuenv.net.location import Location, host_of  # noqa: E402
from gpuenv.report import Silent  # noqa: E402
from gpuenv.steps.context import Context  # noqa: E402
from gpuenv.steps.sources import open_http, source_plan  # noqa: E402
from gpuenv.system.files import read_text  # noqa: E402
from support.index_pages import Anchor, render_project_page  # noqa: E402
from support.recorded import Row, recording  # noqa: E402

if TYPE_CHECKING:
    from urllib3 import BaseHTTPResponse

DAY = "2025-04-22"
HOST = "https://download.pytorch.org"
LOCKS = ROOT / "lockfiles"
README = LOCKS / "README.md"
BEGIN, END = "<!-- locks: begin -->", "<!-- locks: end -->"


class RecordedClient(Client):
    """Answers for PyTorch's host as it stood on the recorded day; for anything else there is no network."""

    def get(self, where: Location | str, *, accept: str = PAGE_TYPES, limit: int = PAGE_LIMIT) -> Answer | Absent:
        where = self.address(where)
        url = where.url
        parts = url.removeprefix(f"{HOST}/whl/").strip("/").split("/")
        if not url.startswith(f"{HOST}/whl/") or not url.endswith("/") or len(parts) != 1:
            return Absent(where=where, status=403)
        rows = _stable_rows(parts[0])
        if not rows:
            return Absent(where=where, status=403)
        anchors = [
            Anchor(
                key=f"whl/{row.key}",
                sha256=row.sha256 if row.listed_hash else None,
                metadata_sha256=row.metadata_sha256,
            )
            for row in rows
        ]
        return Answer(where=where, body=render_project_page(parts[0], anchors).encode(), content_type="text/html")

    @contextmanager
    def open(self, where: Location, headers: Mapping[str, str]) -> Iterator[tuple[Location, BaseHTTPResponse]]:
        raise IndexUnreachableError("the bodies of the wheels were not recorded", causes=(where.url,))
        yield


def _stable_rows(project: str | None = None) -> list[Row]:
    names = None if project is None else [project]
    return [row for row in recording().on(DAY, projects=names) if row.channel == "stable"]


def remember(facts: WheelFacts, http: Client) -> None:
    """Put what is proven into gpuenv's memory of wheels, which goes by their rows."""
    entries = json.loads((recording().folder / "proven.json").read_text(encoding="utf-8"))
    proven = {f"{HOST}/whl/{entry['key']}": entry for entry in entries}
    projects = sorted({canonicalize_name(key.rpartition("/")[2].partition("-")[0]) for key in proven})
    place = Place(kind="pytorch", location=Location.parse(f"{HOST}/whl", origin=""), configured_by="default")
    for wheel in load_source(place, http, projects=projects).wheels:
        entry = proven.get(unquote(wheel.url))
        if entry is None or entry["sha256"] != wheel.sha256:
            continue
        contents = WheelContents(
            requires_dist=tuple(entry["requires"]),
            requires_python=entry["requires_python"],
            origin="metadata",
            detail=f"proven by {entry['proof']}",
        )
        facts.put(wheel, contents)


def make(project: Path) -> tuple[locking.OneLock, ...]:
    """Lock every bundled profile that can be locked into ``project``/lockfiles."""
    with tempfile.TemporaryDirectory() as folder:
        world = {"PATH": os.environ["PATH"], "HOME": folder, "PIP_CONFIG_FILE": os.devnull}
        context = Context(
            environ=world,
            project=project,
            cache=Path(folder) / "cache",
            state=Path(folder) / "state",
            config=Path(folder) / "config",
            reporter=Silent(),
            offline=True,
        )
        plan = source_plan(context)
        recorded = RecordedClient(cache=context.cache, environ=world, access=plan.access)
        context.run.once(lambda: recorded, by=open_http, key=(plan.access, plan.locations))
        remember(WheelFacts(context.cache / "wheels"), recorded)
        return locking.run(context, locking.LockOptions(everything=True, single_source=True, upgrade=True)).locks


def recorded_snapshot() -> str:
    """The identity of the recorded index, as locks made from it hold it."""
    with tempfile.TemporaryDirectory() as folder:
        http = RecordedClient(cache=Path(folder), environ={})
        place = Place(kind="pytorch", location=Location.parse(f"{HOST}/whl", origin=""), configured_by="default")
        return load_source(place, http, projects=("torch", "torchaudio", "torchvision")).snapshot


def audit(lock: Lock, shown: str, *, recorded: bool) -> list[str]:
    """What is wrong with a lock that stands, apart from gpuenv's own word for it.

    Of one made from the recording every file must be a row of the day with the hash that the index stated.
    """
    faults = [] if lock.decision.single_source else [f"{shown}: is not from a single source"]
    rows = {f"{HOST}/whl/{row.key}": row for row in _stable_rows()} if recorded else {}
    for package in lock.packages:
        row = rows.get(unquote(package.url or ""))
        if host_of(package.location) not in tables.load().pytorch_hosts:
            faults.append(f"{shown}: {package.name} is at {package.location}, which is not PyTorch's")
        elif recorded and row is None:
            faults.append(f"{shown}: {package.name} is at {package.location}, which was not listed on {DAY}")
        elif row is not None and (not row.listed_hash or row.sha256 != package.sha256):
            faults.append(f"{shown}: {package.name} is locked as {package.sha256}, and the index said {row.sha256}")
        elif recorded and package.hash_origin != "index":
            faults.append(f"{shown}: the hash of {package.name} is from {package.hash_origin}")
    return [*faults, *_stale(lock, shown)]


def _stale(lock: Lock, shown: str) -> list[str]:
    """Whether a lock still is its profile's, and fits its reference machine."""
    name = lock.inputs.profile
    wish = profiles.load(name, project=ROOT, user=ROOT / "nowhere", read=read_text)
    path = LOCKS / "machines" / f"{name}.json"
    mismatch = fits_machine(lock, parse_machine(path.read_text(encoding="utf-8"), origin=path.name), tables.load())
    faults = [] if lock.inputs.profile_digest == profile_digest(wish) else [f"{shown}: the profile {name} changed"]
    return [*faults, *([] if mismatch is None else [f"{shown}: {mismatch.sentence}"])]


def standing() -> dict[str, Lock]:
    """The committed locks by profile; ``auto`` is a machine's own."""
    found = {}
    for path in sorted(LOCKS.glob("pylock.*.toml")):
        lock = parse(path.read_text(encoding="utf-8"), origin=path.name)
        if lock.inputs.profile != "auto":
            found[lock.inputs.profile] = lock
    return found


def table(locks: Mapping[str, Lock], reasons: Mapping[str, str]) -> str:
    """Which locks there are, and why the others are not."""
    lines = ["| profile | torch | variant | Python | packages | least driver |", "|---|---|---|---|---|---|"]
    for name, lock in sorted(locks.items()):
        decision = lock.decision
        cells = [f"[{name}](pylock.{name}.toml)", decision.torch, decision.variant]
        cells += [lock.inputs.target.python, str(len(lock.packages)), decision.least_driver or "none"]
        lines.append(f"| {' | '.join(cells)} |")
    missing = [f"- **{name}**: {reason}." for name, reason in sorted(reasons.items()) if name not in locks]
    return "\n".join([*lines, "", "None for:", "", *missing] if missing else lines)


def readme(locks: Mapping[str, Lock], reasons: Mapping[str, str]) -> str:
    """The README with its table renewed."""
    before, _, rest = README.read_text(encoding="utf-8").partition(BEGIN)
    return f"{before}{BEGIN}\n\n{table(locks, reasons)}\n\n{END}{rest.partition(END)[2]}"


def compare(project: Path, made: Sequence[locking.OneLock]) -> list[str]:
    """Faults of the locks that stand, and how they differ from those made in ``project``."""
    locks, snapshot = standing(), recorded_snapshot()
    reasons = reasons_of(made)
    pairs = {README: readme(locks, reasons)}
    lines: list[str] = []
    for row in made:
        path, lock = LOCKS / lock_filename(row.profile), locks.get(row.profile)
        live = lock is not None and lock.inputs.snapshot != snapshot
        if lock is not None:
            lines += audit(lock, path.name, recorded=not live)
        if row.lock is not None and not live:
            pairs[path] = (project / "lockfiles" / path.name).read_text(encoding="utf-8")
    for path, new in sorted(pairs.items()):
        old = path.read_text(encoding="utf-8") if path.is_file() else ""
        name = path.relative_to(ROOT).as_posix()
        lines += difflib.unified_diff(old.splitlines(), new.splitlines(), name, f"{name} (made now)", lineterm="", n=0)
    return lines


def reasons_of(made: Sequence[locking.OneLock]) -> dict[str, str]:
    """Why a profile has no lock, by name."""
    return {row.profile: row.problem.message for row in made if row.problem is not None}


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument(
        "--check", action="store_true", help="write nothing; exit 1 where a lock is not as it should be"
    )
    parser.add_argument("--readme", action="store_true", help="only renew the table of lockfiles/README.md")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        project = Path(folder)
        (project / "lockfiles").mkdir()
        (project / "lockfiles" / "machines").symlink_to(LOCKS / "machines")
        made = make(project)
        if not (arguments.check or arguments.readme):
            for row in made:
                write(row, project / "lockfiles" / lock_filename(row.profile))
        if not arguments.check:
            README.write_text(readme(standing(), reasons_of(made)), encoding="utf-8", newline="\n")
        wrong = compare(project, made)
    for line in wrong:
        print(line)
    if not wrong:
        count = len(standing())
        print(f"{count} locks hold, {len(made) - count} profiles have none (recorded index of {DAY})")
    return 1 if wrong else 0


def write(row: locking.OneLock, fresh: Path) -> None:
    """Put a lock where it belongs; one that cannot be made any more is removed."""
    path = LOCKS / fresh.name
    if row.lock is None:
        path.unlink(missing_ok=True)
        return
    text = fresh.read_text(encoding="utf-8")
    parse(text, origin=path.name)
    path.write_text(text, encoding="utf-8", newline="\n")


if __name__ == "__main__":
    sys.exit(main())
