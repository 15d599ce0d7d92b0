"""The committed locks that are fresh, made on the live default package index: lockfiles/hashed.<profile>.txt.

    python tools/lock_fresh.py            make them, and show what would change; exit 1 if anything would
    python tools/lock_fresh.py --force    write them, and say in lockfiles/README.md which there are and why

This is ``gpuenv lock --all --format hashed`` with the family, too, from the default package index, which is the one of
pip's configuration, else the one that uv knows. Only pages and metadata are asked for. The machines are those in
lockfiles/machines, with the least driver that every variant of the tables runs with. No host of an index may stand in
what is committed: a text that holds an address is refused here.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import replace
from functools import cmp_to_key
from pathlib import Path

from table_text import ROOT, show_and_write

from gpuenv import knowledge as tables
from gpuenv.commands import lock as locking
from gpuenv.errors import ConfigurationError
from gpuenv.knowledge.rules import compare_versions
from gpuenv.lock.hashed import hashed_filename, render_hashed
from gpuenv.lock.model import Lock
from gpuenv.model.machine import Os
from gpuenv.report import Silent
from gpuenv.steps.context import Context, Options
from gpuenv.steps.project import asked_of
from gpuenv.steps.sources import source_plan

LOCKS = ROOT / "lockfiles"
README = LOCKS / "README.md"
BEGIN, END = "<!-- hashed: begin -->", "<!-- hashed: end -->"
ADDRESS = re.compile(r"[a-z]+://|\b[\w-]+\.(?:org|com|net|io)\b")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--index", help="a package index; by default the one of pip's configuration")
    parser.add_argument("--force", action="store_true", help="write; without it only the difference is shown")
    options = parser.parse_args()
    return show_and_write(make_all(options.index), force=options.force)


def make_all(index: str | None) -> dict[Path, str]:
    """Every file this tool owns, by path. A lock that cannot be made any more stays as it was."""
    locks, reasons = make(index)
    texts = {LOCKS / hashed_filename(name): render_hashed(lock) for name, lock in locks.items()}
    for path, text in texts.items():
        found = ADDRESS.search(text)
        if found is not None:
            raise ConfigurationError(f"{path.name} would hold the address of an index: {found[0]}")
    return {**texts, README: readme(locks, reasons)}


def make(index: str | None) -> tuple[dict[str, Lock], dict[str, str]]:
    """The lock of each bundled profile that can be locked, and why the others cannot."""
    with tempfile.TemporaryDirectory() as folder:
        project = Path(folder, "project")
        write_machines(project / "lockfiles" / "machines")
        context = Context(
            environ=os.environ,
            project=project,
            cache=Path(folder, "cache"),
            state=Path(folder, "state"),
            config=Path(folder, "config"),
            reporter=Silent(),
            options=Options(index=index or default_index(project)),
        )
        plan, options = source_plan(replace(context, run=type(context.run)())), context.options
        assert plan.default_index is not None
        alone = replace(plan, torch=(plan.default_index,))
        key = (options.torch_index, options.index, options.find_links, options.allow_hosts, asked_of(context).sources)
        context.run.once(lambda: alone, by=source_plan, key=key)
        rows = locking.run(context, locking.LockOptions(everything=True, upgrade=True)).locks
    command = "gpuenv lock --profile {} --format hashed"
    locks = {
        row.profile: replace(row.lock, command=command.format(row.profile)) for row in rows if row.lock is not None
    }
    return locks, {row.profile: row.problem.message for row in rows if row.problem is not None}


def default_index(project: Path) -> str:
    """The default package index as pip's configuration or uv has it."""
    world = Path(project, "..").resolve()
    context = Context(
        environ=os.environ, project=project, cache=world / "cache", state=world / "state", config=world / "config",
        reporter=Silent(),
    )  # fmt: skip
    plan = source_plan(context)
    place = plan.default_index or plan.fallback()
    if place is None:
        raise ConfigurationError("pip's configuration names no package index", hints=("Name one with --index URL",))
    return place.location.url


def write_machines(folder: Path) -> None:
    """The reference machines of the bundled profiles, with a driver that runs every variant of the tables."""
    folder.mkdir(parents=True)
    for path in sorted((LOCKS / "machines").glob("*.json")):
        machine = json.loads(path.read_text("utf-8"))
        if machine["driver"] is not None:
            machine["driver"] = {"version": least_driver(machine["os"]), "cuda": None, "source": "file"}
        (folder / path.name).write_text(json.dumps(machine), encoding="utf-8")


def least_driver(os_name: Os) -> str:
    """The least driver that runs the compiled code of every variant in the tables."""
    knowledge = tables.load()
    variants = {variant for _, variant, _ in knowledge.kernels}
    floors = [floor.minimum for variant in variants if (floor := knowledge.driver_floor(variant, os_name))]
    return max(floors, key=cmp_to_key(compare_versions))


def readme(locks: Mapping[str, Lock], reasons: Mapping[str, str]) -> str:
    """The README with its table renewed."""
    head = "| profile | torch | variant | Python | packages | least driver | newest file |"
    lines = [head, "|---|---|---|---|---|---|---|"]
    for name, lock in sorted(locks.items()):
        decision = lock.decision
        newest = max(package.upload_time or "" for package in lock.packages)[:10]
        cells = [f"[{name}]({hashed_filename(name)})", decision.torch, decision.variant, lock.inputs.target.python]
        lines.append(f"| {' | '.join([*cells, str(len(lock.packages)), decision.least_driver or 'none', newest])} |")
    missing = [f"- **{name}**: {reason}." for name, reason in sorted(reasons.items())]
    text = "\n".join([*lines, "", "None for:", "", *missing] if missing else lines)
    before, _, rest = README.read_text(encoding="utf-8").partition(BEGIN)
    return f"{before}{BEGIN}\n\n{text}\n\n{END}{rest.partition(END)[2]}"


if __name__ == "__main__":
    sys.exit(main())
