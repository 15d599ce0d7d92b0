"""One fault at one stage as a line of data, and the judge: what must hold after it, whatever it was."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field

from faults.world import TIMED_OUT, World
from support.cli import Run

CREATE = ("create", "--no-verify")
LOCK = ("lock", "--upgrade")
KEEP = ("lock", "--keep")

Arrange = Callable[[World], object]


@dataclass(frozen=True, kw_only=True)
class Case:
    """``fault`` at ``stage``; the command is ``words``, run from ``start`` with the lock ``lock`` (see the world).

    ``arrange`` does the damage before, ``strike`` while it runs (see ``support/struck.py``); ``drive`` runs the command
    itself where one plain run is not the fault. ``refuse``: ending 0 would be wrong. ``code``: the one right exit code.
    ``wants``: the lock that the environment must be of after exit 0, where it is not the one that stands. ``relocks``:
    another lock than the two may come of it. ``mounts``: needs the right to mount file systems. ``repair``
    is what a person does before the next `create`, beside the end of the fault.
    """

    group: str
    fault: str
    stage: str
    words: tuple[str, ...] = CREATE
    start: str = "warm"
    lock: str = "two"
    arrange: Arrange | None = None
    strike: tuple[str, str, int] | None = None
    drive: Callable[[World], Run] | None = None
    repair: Arrange | None = None
    where: Callable[[World], tuple[str, ...]] | None = None
    environ: Mapping[str, str] | Callable[[World], Mapping[str, str]] = field(default_factory=dict)
    wants: str = ""
    relocks: bool = False
    mounts: bool = False
    refuse: bool = False
    code: int | None = None
    bound: float = 120.0
    ci: bool = False

    @property
    def id(self) -> str:
        return re.sub(r"[^\w.+]+", "-", f"{self.group} {self.fault} {self.stage}").strip("-").lower()


@dataclass(frozen=True, kw_only=True)
class Row:
    """What happened, for the table. ``wrong`` is empty where all holds."""

    group: str
    fault: str
    stage: str
    code: int
    error: str
    bounded: bool
    environment: str
    foreign: int
    silent: bool
    after: bool
    wrong: tuple[str, ...]
    id: str

    def json(self) -> str:
        return json.dumps(asdict(self), indent=1) + "\n"


def judge(case: Case, world: World) -> Row:
    """Let the fault happen, look at everything, and let one more `create` run where nothing is wrong any more."""
    world.begin(case.start, case.lock)
    if case.arrange is not None:
        case.arrange(world)
    before, locked = world.snapshot(), _text(world)
    done = _run(case, world)
    wrong: list[str] = []
    if case.strike is not None and not world.struck:
        wrong.append(f"the fault did not happen: {' '.join(map(str, case.strike))}")
    left = world.processes()
    if left:
        wrong.append(f"{len(left)} processes are left: {left[0][:80]}")
    environment = _environment(case, world, done, before)
    silent = done.code == 0 and (case.refuse or environment.startswith("WRONG"))
    if environment.startswith(("LOST", "WRONG")):
        wrong.append(environment)
    wrong += [note for note in world.notes if note.startswith("WRONG")]
    wrong += _said(case, done) + _lock_wrong(case, world, done, locked)
    if silent:
        wrong.append("ended 0, and should not have")
    world.heal()
    if case.repair is not None:
        case.repair(world)
    world.let_time_pass()
    after = world.run(*CREATE, *world.where, bound=120.0)
    unlike = world.unlike_lock() if after.code == 0 else []
    if after.code != 0:
        wrong.append(f"the next create ended {after.code}: {redact(_first(after), world)}")
    strangers = world.strangers() + unlike
    if strangers:
        wrong.append(f"left or foreign: {', '.join(redact(each, world) for each in strangers[:3])}")
    return Row(
        group=case.group, fault=case.fault, stage=case.stage, code=done.code, error=redact(_first(done), world),
        bounded=done.code != TIMED_OUT, environment=environment, foreign=len(strangers), silent=silent,
        after=after.code == 0 and not unlike, wrong=tuple(redact(each, world) for each in wrong), id=case.id,
    )  # fmt: skip


def _run(case: Case, world: World) -> Run:
    if case.drive is not None:
        return case.drive(world)
    environ = case.environ(world) if callable(case.environ) else case.environ
    where = world.where if case.where is None else case.where(world)
    return world.run(*case.words, *where, strike=case.strike, bound=case.bound, **environ)


def _environment(case: Case, world: World, done: Run, before: dict[str, str] | None) -> str:
    """What became of the environment that stood there."""
    after = world.snapshot()
    if done.code == 0 and case.words[0] == "create":
        unlike = world.unlike_lock(case.wants)
        return f"WRONG: {unlike[0]}" if unlike else "as locked"
    if after == before:
        return "none before, none after" if before is None else "unchanged"
    killed = done.code < 0 or done.code == 130 or (case.strike is not None and case.strike[0].startswith("SIG"))
    if killed and case.words[0] == "create" and not all(world.unlike_lock(name) for name in world.texts):
        return "as locked"
    return "LOST" if after is None else "LOST: it was changed"


def _said(case: Case, done: Run) -> list[str]:
    wrong = []
    if done.code == TIMED_OUT:
        wrong.append(f"not ended after {case.bound:g} s")
    if done.code == 70 or "Traceback" in done.err + done.out or "has a bug" in done.err + done.out:
        wrong.append("a traceback or exit 70")
    if case.code is not None and done.code != case.code:
        wrong.append(f"ended {done.code}, {case.code} is right")
    if 0 < done.code < 100 and not any(line.startswith("error: ") for line in done.err.splitlines()):
        wrong.append("no error was said")
    return wrong


def _lock_wrong(case: Case, world: World, done: Run, before: str | None) -> list[str]:
    """The lock is what it was, or one of the two that are right; where it may be another, it has no foreign wheel."""
    after = _text(world)
    if after == before or after in world.texts.values():
        return []
    if case.relocks and after is not None:
        hashes = set(re.findall(r'sha256 = "(\w+)"', after))
        return [f"{len(hashes - set(world.known))} foreign wheels in the lock"] if hashes - set(world.known) else []
    return [f"the lock was changed by a command that ended {done.code}"]


def _text(world: World) -> str | None:
    try:
        return world.lock.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None


def _first(done: Run) -> str:
    lines = [line.removeprefix("error: ") for line in done.err.splitlines() if line.startswith("error: ")]
    return lines[0] if lines else ""


def redact(text: str, world: World) -> str:
    """Take out of a line what is of this machine and of this minute: folders, hosts, ports, hashes, random names."""
    text = text.replace(str(world.person.project) + "/", "").replace(str(world.person.project), "the project")
    text = text.replace(str(world.folder / "tmp"), "$TMPDIR").replace(str(world.person.home), "~")
    text = text.replace(str(world.folder), "…")
    text = re.sub(r"(localhost|127\.0\.0\.1)(:\d+)?", "HOST", text)
    text = re.sub(r"\b[0-9a-f]{32,64}\b", "HASH", text)
    text = re.sub(r"gpuenv-stage-[\w-]+", "gpuenv-stage-…", text)
    text = re.sub(r"(gpuenv-dependencies-|\.)[a-z0-9_]{8}\b(?=[/ ]|$)", r"\1…", text)
    text = re.sub(r"\.[0-9a-f]{16}\b", ".…", text)
    return re.sub(r"(?<![…~\w])/(usr|root|home|tmp|opt|work|proc)/[^\s:,]*", "PATH", text)
