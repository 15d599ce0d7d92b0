"""Give every reader changed inputs, in turn, for a while: ``python -m fuzz.run SECONDS [TARGET…]``, in ``tests/``.

What an input is depends on its target and number alone. Numbers, times and findings are kept in ``.fuzz/``, so that a
later run goes on where this one ended; what was being read when the process died is a finding too.
"""

from __future__ import annotations

import argparse
import json
import resource
import tempfile
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from random import Random

from fuzz.judge import Found, Memory, Target, digest, judge, say
from fuzz.mutate import mutate
from fuzz.targets import READERS
from fuzz.whole import WHOLE

FOLDER = Path(__file__).parents[2] / ".fuzz"
TARGETS = {target.name: target for target in (*READERS, *WHOLE)}
TURN_SECONDS = 1.0
SPACE = 4 << 30
"""Bytes of address space: what takes more fails, and is found."""


@dataclass(slots=True)
class Count:
    """How far a target has come. ``drawn`` counts the inputs that hypothesis made."""

    inputs: int = 0
    drawn: int = 0
    seconds: float = 0.0
    cpu: float = 0.0
    peak: int = 0
    keys: list[str] = field(default_factory=list)


class Session:
    """Counts and findings in a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.folder.mkdir(exist_ok=True)
        self.state = folder / "counts.json"
        saved = json.loads(self.state.read_text()) if self.state.is_file() else {}
        self.counts = {name: Count(**saved.get(name, {})) for name in TARGETS}

    def save(self) -> None:
        beside = self.state.with_suffix(".new")
        beside.write_text(json.dumps({name: asdict(count) for name, count in self.counts.items()}, indent=1))
        beside.replace(self.state)

    def keep(self, found: Found) -> None:
        """Keep the smallest input of each fault."""
        count = self.counts[found.target]
        name = f"{found.target}-{digest(found.key.encode())}"
        path = self.folder / name
        if found.key not in count.keys:
            count.keys.append(found.key)
            say(f"FOUND {found.target}: {found.key}")
        if not path.exists() or path.stat().st_size > len(found.data):
            path.write_bytes(found.data)
            (self.folder / f"{name}.txt").write_text(found.words, errors="backslashreplace")


def turn(target: Target, session: Session, room: Path) -> None:
    """One target's turn: some seconds of changed samples, then some inputs that hypothesis draws."""
    count, memory = session.counts[target.name], Memory()
    started, cpu = time.monotonic(), time.process_time()
    samples, current = target.samples(), session.folder / "current"

    def one(data: bytes) -> None:
        current.write_bytes(target.name.encode() + b"\n" + data)
        if found := judge(target, data, room, memory=memory):
            session.keep(found)

    while time.monotonic() - started < TURN_SECONDS:
        one(mutate(Random(f"{target.name} {count.inputs}"), target.kind, samples))
        count.inputs += 1
    from fuzz.draw import draw

    count.drawn += draw(target, count.drawn, one, seconds=TURN_SECONDS / 4)
    current.unlink()
    count.seconds += time.monotonic() - started
    count.cpu += time.process_time() - cpu
    count.peak = max(count.peak, memory.peak)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m fuzz.run")
    parser.add_argument("seconds", type=float)
    parser.add_argument("targets", nargs="*", choices=[*TARGETS, []], metavar="TARGET")
    options = parser.parse_args()
    resource.setrlimit(resource.RLIMIT_AS, (SPACE, SPACE))
    session = Session(FOLDER)
    if (left := FOLDER / "current").is_file():
        name, _, data = left.read_bytes().partition(b"\n")
        session.keep(Found(target=name.decode(), key="the process died", words="the process died", data=data))
    ends = time.monotonic() + options.seconds
    chosen = [TARGETS[name] for name in options.targets or TARGETS]
    with tempfile.TemporaryDirectory(prefix="fuzz-") as folder:
        while time.monotonic() < ends:
            for target in chosen:
                turn(target, session, Path(folder))
            session.save()
    for line in table(session):
        say(line)
    return int(any(count.keys for count in session.counts.values()))


def table(session: Session) -> list[str]:
    rows = [
        "| input | inputs | of them drawn | seconds | of CPU | most memory, MiB | findings |",
        "|---|" + "---:|" * 6,
    ]
    for name, count in session.counts.items():
        total = count.inputs + count.drawn
        numbers = f"{total:,} | {count.drawn:,} | {count.seconds:.0f} | {count.cpu:.0f} | {count.peak >> 20}"
        rows.append(f"| {name} | {numbers} | {len(count.keys)} |")
    whole = sum(count.inputs + count.drawn for count in session.counts.values())
    drawn = sum(count.drawn for count in session.counts.values())
    seconds, cpu = (sum(getattr(count, each) for count in session.counts.values()) for each in ("seconds", "cpu"))
    rows.append(f"| all | {whole:,} | {drawn:,} | {seconds:.0f} | {cpu:.0f} | | |")
    return rows


if __name__ == "__main__":
    raise SystemExit(main())
