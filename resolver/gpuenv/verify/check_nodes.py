"""Checks what the ranks of several hosts found: who came, whose sums and gradients are wrong, which link is slow."""

from __future__ import annotations

import math
import statistics
from collections import Counter
from collections.abc import Iterator, Sequence
from functools import partial

from gpuenv.dataclass import dataclass
from gpuenv.model.nodes import Bus, Link, Meeting, NodeRank, NodesReport
from gpuenv.model.verification import Check, Status, Verdict
from gpuenv.verify.causes import DOCTOR, TRACE, Cause, Hints, of_ending, of_message
from gpuenv.verify.messages import Message
from gpuenv.verify.observed import agrees
from gpuenv.verify.payload import bounds
from gpuenv.verify.runner import PayloadEnded

SLOW = 0.5
"""The share of its kind's median below which a link is unusual. A floor for "something is wrong", not a target."""
FEWEST = 3
"""Links of a kind that make a median worth comparing with."""
PER_RANK, BESIDE = 512, 3840
"""Roundings of a gradient's longest sum: over the 8 × 64 tokens of each rank, and along the model and back (2 layers,
each product's inner size: 128 to qkv, 64 keys, 128, 128 and 512, four times over for the two products of backward)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What this host's processes said, and what all ranks told (``told``, one job a rank)."""

    asked: Meeting
    gpu: bool
    hints: Hints
    ended: tuple[PayloadEnded, ...]
    messages: tuple[Message, ...]
    told: tuple[Message, ...]
    folders: tuple[str, ...] = ()
    """Folders of this machine, which evidence does not show."""

    def first(self, event: str) -> Message | None:
        """The first message of a kind of this host's own."""
        return next((each for each in self.messages if each.event == event), None)

    def all(self, event: str) -> tuple[Message, ...]:
        """What all ranks told of a kind, by rank."""
        rows = (each for each in self.told if each.event == event)
        return tuple(sorted(rows, key=lambda each: each.whole("rank")))

    @property
    def nodes(self) -> tuple[str, ...]:
        """The names of those that met, in the order of their ranks; two of one name are numbered."""
        met = self.first("met")
        names = [str(row.get("node")) for row in met.rows("nodes")] if met is not None else []
        counts = Counter(names)
        return tuple(
            name if counts[name] == 1 else f"{name}#{names[: place + 1].count(name)}"
            for place, name in enumerate(names)
        )

    @property
    def homes(self) -> tuple[str, ...]:
        """The node of each rank."""
        met = self.first("met")
        rows = met.rows("nodes") if met is not None else ()
        return tuple(
            name for name, row in zip(self.nodes, rows, strict=True) for _ in range(int(str(row.get("ranks") or 0)))
        )

    def named(self, rank: int) -> str:
        """A rank as a person looks for it."""
        return f"rank {rank} on {self.homes[rank]}" if rank < len(self.homes) else f"rank {rank}"

    def plain(self, text: str) -> str:
        """A text without this machine's folders."""
        for folder in self.folders:
            text = text.replace(folder, "…") if len(folder) > 1 else text
        return text

    def check(self, name: str, title: str, *, expected: str, seen: str, cause: Cause | None, status: Status) -> Check:
        """A check; its hint is spelled for this environment."""
        hint = self.hints.spelled(cause.hint) if cause is not None else ""
        if cause is not None and cause.hint == TRACE:
            hint = hint if self.gpu else hint.removeprefix(TRACE.partition(" ")[0]).lstrip()
            hint += f" --nodes {self.asked.nodes} --rendezvous {self.asked.endpoint}"
        text = cause.text if cause is not None else ""
        return Check(
            name=name, title=title, status=status, expected=expected, seen=self.plain(seen), cause=self.plain(text),
            hint=hint,
        )  # fmt: skip


def make_report(seen: Seen, *, seconds: float) -> NodesReport:
    """Turn what was seen into the report. Pure: the same makes the same."""
    links, buses = links_of(seen), buses_of(seen)
    checks = [_meeting(seen)]
    if checks[0].status != "failed":
        checks += [_same(seen), _finished(seen), _sums(seen), _step(seen), _links(seen, links), _bandwidth(seen, buses)]
    statuses = {check.status for check in checks}
    verdict: Verdict = "failed" if "failed" in statuses else "unusual" if "unusual" in statuses else "passed"
    return NodesReport(
        verdict=verdict,
        accelerator="cuda" if seen.gpu else "cpu",
        meeting=seen.asked,
        nodes=seen.nodes,
        ranks=tuple(
            NodeRank(
                rank=each.whole("rank"), node=_home(seen, each), device=each.text("device"), name=each.text("name")
            )
            for each in seen.all("joined")
        ),
        checks=tuple(checks),
        buses=buses,
        links=links,
        log=_log(seen),
        seconds=seconds,
    )


def _home(seen: Seen, message: Message) -> str:
    rank = message.whole("rank")
    return seen.homes[rank] if rank < len(seen.homes) else message.text("node")


def links_of(seen: Seen) -> tuple[Link, ...]:
    """Every copy between two ranks."""
    homes = seen.homes
    return tuple(
        Link(
            source=each.whole("source"),
            target=each.whole("target"),
            within=homes[each.whole("source")] == homes[each.whole("target")],
            bytes=each.whole("bytes"),
            seconds=each.amount("seconds") or math.inf,
            wrong=each.whole("wrong"),
        )
        for each in sorted(seen.all("link"), key=lambda each: (each.whole("source"), each.whole("target")))
        if max(each.whole("source"), each.whole("target")) < len(homes)
    )


def buses_of(seen: Seen) -> tuple[Bus, ...]:
    """The all-reduce of each size, by its slowest rank."""
    sizes: dict[int, list[Message]] = {}
    for each in seen.all("bus"):
        sizes.setdefault(each.whole("bytes"), []).append(each)
    slowest = {size: max(rows, key=lambda row: row.amount("seconds")) for size, rows in sorted(sizes.items())}
    return tuple(
        Bus(bytes=size, seconds=row.amount("seconds") or math.inf, slowest=row.whole("rank"), ranks=len(seen.homes))
        for size, row in slowest.items()
    )


def _meeting(seen: Seen) -> Check:
    asked = seen.asked
    expected = f"{asked.nodes} nodes at {asked.endpoint} within {asked.wait:.0f} s"
    check = partial(seen.check, "rendezvous", "All nodes meet", expected=expected)
    if (lacking := seen.first("no-device")) is not None:
        text = f"torch finds {lacking.whole('found')} of this node's GPUs: it stayed away"
        return check(seen=text, cause=Cause(text, DOCTOR), status="failed")
    if (missing := seen.first("missing")) is not None:
        came = missing.texts("came")
        text = f"{len(came)} of {asked.nodes} nodes came: {', '.join(came)}"
        return check(seen=text, cause=_absent(seen, came, missing.text("lost")), status="failed")
    if seen.first("met") is None:
        causes = (of_ending(each, gpu=seen.gpu) for each in seen.ended)
        failed = seen.first("failed")
        said = f"{failed.text('kind')}: {failed.text('message')}" if failed is not None else ""
        cause = next((each for each in causes if each is not None), None) or of_message(said)
        return check(seen="the nodes did not meet", cause=cause, status="failed")
    places = ", ".join(f"{name} ({_ranks(seen, name)})" for name in seen.nodes)
    return check(seen=f"{len(seen.nodes)} nodes, {len(seen.homes)} ranks: {places}", cause=None, status="passed")


def _absent(seen: Seen, came: Sequence[str], lost: str) -> Cause:
    """Who is missing: by name where the names are known."""
    asked = seen.asked
    host = asked.endpoint.rpartition(":")[0]
    look = f"getent hosts {host}"
    absent = [name for name in asked.names if name not in came]
    if lost:
        return Cause(f"the rendezvous at {asked.endpoint} cannot be reached, or was left: {lost}", look)
    if len(came) > asked.nodes:
        return Cause(f"{len(came)} nodes came where {asked.nodes} were expected: another run meets there", look)
    if absent:
        ask = f"scontrol show node {absent[0]}" if asked.run.startswith("slurm") else f"ssh {absent[0]} gpuenv doctor"
        return Cause(f"{', '.join(absent)} did not come", ask)
    return Cause(f"{asked.nodes - len(came)} of {asked.nodes} did not come; those that came: {', '.join(came)}", look)


def _ranks(seen: Seen, node: str) -> str:
    numbers = [rank for rank, home in enumerate(seen.homes) if home == node]
    return f"rank {numbers[0]}" if len(numbers) == 1 else f"ranks {numbers[0]} to {numbers[-1]}"


def _same(seen: Seen) -> Check:
    check = partial(seen.check, "same-environment", "The same environment", expected="one torch, one lock, one NCCL")
    met = seen.first("met")
    rows = met.rows("nodes") if met is not None else ()
    torches = [str(row.get("torch")) for row in rows]
    locks = [str(row.get("lock") or "unknown") for row in rows]
    nccls = {each.text("nccl") for each in seen.all("joined")} - {""}
    words = f"torch {', '.join(sorted(set(torches)))}; lock {', '.join(sorted({each[:12] for each in locks}))}"
    words += f"; NCCL {', '.join(sorted(nccls))}" if nccls else ""
    usual = Counter(torches).most_common(1)[0][0]
    other = [name for name, each in zip(seen.nodes, torches, strict=True) if not agrees(each, usual)]
    if other:
        text = f"{', '.join(other)} has another torch than {usual}"
        return check(seen=words, cause=Cause(text, "gpuenv create"), status="failed")
    if len(set(locks)) > 1:
        usual = Counter(locks).most_common(1)[0][0]
        other = [name for name, each in zip(seen.nodes, locks, strict=True) if each != usual]
        return check(
            seen=words, cause=Cause(f"{', '.join(other)} was built from another lock", DOCTOR), status="warned"
        )
    return check(seen=words, cause=None, status="passed")


def _finished(seen: Seen) -> Check:
    """Did every rank come to its end, and which is the one that did not?"""
    check = partial(seen.check, "ranks", "Every rank finishes", expected=f"{len(seen.homes)} ranks at their end")
    done = {each.whole("rank") for each in seen.all("done")}
    words = f"{len(done)} of {len(seen.homes)} ranks"
    if (cause := _ended(seen) or _silent(seen) or _failed(seen)) is not None:
        return check(seen=words, cause=cause, status="failed")
    if len(done) != len(seen.homes):
        lost = seen.first("unheard")
        others = ", ".join(seen.named(rank) for rank in range(len(seen.homes)) if rank not in done)
        why = f": {lost.text('message')}" if lost is not None else ""
        return check(seen=words, cause=Cause(f"nothing was heard of {others}{why}", TRACE), status="failed")
    return check(seen=words, cause=None, status="passed")


def _ended(seen: Seen) -> Cause | None:
    """How a process of this host ended before its end."""
    met = seen.first("met")
    before = seen.homes.index(seen.nodes[met.whole("node")]) if met is not None else 0
    for local, each in enumerate(seen.ended):
        if (cause := of_ending(each, gpu=seen.gpu)) is not None:
            return Cause(f"{seen.named(before + local)}: {cause.text}", cause.hint)
    return None


def _silent(seen: Seen) -> Cause | None:
    silent = sorted({each.whole("rank") for each in seen.messages if each.event == "silent"})
    names = ", ".join(map(seen.named, silent))
    return Cause(f"nothing was heard of {names}: it ended or hangs", TRACE) if silent else None


def _failed(seen: Seen) -> Cause | None:
    failed = sorted(seen.all("rank-failed"), key=lambda each: each.at)
    if not failed:
        return None
    text = f"{failed[0].text('kind')}: {failed[0].text('message')}"
    return Cause(f"{seen.named(failed[0].whole('rank'))} failed: {of_message(text).text}", TRACE)


def _sums(seen: Seen) -> Check:
    expected = "every sum exact on every rank, in every type, also over one rank alone"
    check = partial(seen.check, "all-reduce", "Sums over all ranks", expected=expected)
    alone, totals, typed = seen.all("alone"), seen.all("total"), seen.all("sum")
    wrong = [each for each in (*alone, *totals, *typed) if each.whole("wrong")]
    words = f"{len(alone) + len(totals) + len(typed)} sums on {len({each.job for each in totals})} ranks"
    if not wrong and {each.whole("rank") for each in totals} != set(range(len(seen.homes))):
        return check(seen="not run: a rank ended before", cause=None, status="not-applicable")
    if not wrong:
        return check(seen=f"{words}, all exact", cause=None, status="passed")
    cause = next(_wrong_ranks(seen, alone, totals, wrong))
    return check(seen=f"{words}, {len(wrong)} wrong", cause=Cause(cause, TRACE), status="failed")


def _wrong_ranks(
    seen: Seen, alone: Sequence[Message], totals: Sequence[Message], wrong: Sequence[Message]
) -> Iterator[str]:
    """Name the rank that a wrong sum comes from, the surest sign first."""

    def named(ranks: Iterator[int]) -> str:
        return ", ".join(seen.named(rank) for rank in sorted(set(ranks)))

    if names := named(each.whole("rank") for each in alone if each.whole("wrong")):
        yield f"{names} is wrong: a sum over this rank alone comes out as something else"
    blames = [each.numbers("blamed") for each in totals if each.whole("wrong") and each.whole("elements") > 1]
    sure = [int(each[0]) for each in blames if len(each) == 1]
    if sure and len(sure) == len(blames):
        yield f"{named(iter(sure))} is wrong: the sums are off by a multiple of what it added, and of no other's part"
    holders = {each.whole("rank") for each in wrong}
    if len(holders) < len(seen.homes):
        yield f"{named(iter(holders))} holds another sum than the others, whose sums are exact"
    types = sorted({each.text("type") for each in wrong if each.event == "sum"})
    where = f" (in {', '.join(types)})" if all(each.event == "sum" for each in wrong) else ""
    yield f"the sums{where} are wrong on every rank, and by no single rank's part"


def _step(seen: Seen) -> Check:
    expected = "a layer's gradient over all ranks bit by bit that of the whole batch; a model's the same on every rank"
    check = partial(seen.check, "data-parallel", "One data-parallel step", expected=expected)
    steps = seen.all("parallel-step")
    if len(steps) != len(seen.homes):
        text = f"not run on every rank: {len(steps)} of {len(seen.homes)} did the step"
        return check(seen=text, cause=None, status="not-applicable")
    bound = step_bound(len(steps))
    errors = [each.number("error") for each in steps]
    largest = max((math.inf if each is None or math.isnan(each) else each) for each in errors)
    digests = Counter(each.text("gradients") for each in steps)
    words = f"{len(digests)} set of gradients on {len(steps)} ranks, apart from the whole batch's by {largest:.2g} "
    words += f"(allowed {bound:.2g})"
    if len(digests) > 1:
        usual, count = digests.most_common(1)[0]
        others = [each.whole("rank") for each in steps if each.text("gradients") != usual]
        names = ", ".join(map(seen.named, others if count > 1 else range(len(steps))))
        return check(seen=words, cause=Cause(f"{names} holds other gradients than the rest", TRACE), status="failed")
    if not largest <= bound:
        text = "the averaged gradients are not those of the whole batch"
        return check(seen=words, cause=Cause(text, TRACE), status="failed")
    return check(seen=words, cause=None, status="passed")


def step_bound(ranks: int) -> float:
    """Return how far averaged gradients may be from the whole batch's, relative to their norm.

    λ √n u (``payload/bounds.py``), n the roundings of a gradient's longest way (``PER_RANK``, ``BESIDE``), in fp32.

    >>> 1e-5 < step_bound(2) < 2e-5
    True
    """
    return bounds.largest(PER_RANK * ranks + BESIDE) * bounds.UNITS["fp32"]


def _links(seen: Seen, links: Sequence[Link]) -> Check:
    check = partial(seen.check, "links", "Every link", expected="every byte of every copy; no link far below its kind")
    if not links:
        return check(seen="not run: a rank ended before", cause=None, status="not-applicable")
    if wrong := [each for each in links if each.wrong]:
        whole = {each.source for each in wrong} if len({each.source for each in wrong}) == 1 else set()
        names = ", ".join(f"{seen.named(each.source)} to {seen.named(each.target)}" for each in wrong[:4])
        text = (
            f"{seen.named(whole.pop())} sends what it should not: copies {names}" if whole else f"copies from {names}"
        )
        return check(seen=f"{len(wrong)} of {len(links)} wrong", cause=Cause(f"{text} differ", TRACE), status="failed")
    words, slow = [], []
    for within in (True, False):
        rows = [each for each in links if each.within is within]
        if not rows:
            continue
        usual, least = statistics.median(each.gigabytes for each in rows), min(rows, key=lambda each: each.gigabytes)
        kind = "within a node" if within else "between nodes"
        between = f"{seen.named(least.source)} to {seen.named(least.target)}"
        words.append(f"{len(rows)} {kind}, median {usual:.3g} GB/s, slowest {between} with {least.gigabytes:.3g} GB/s")
        if len(rows) >= FEWEST and least.gigabytes < SLOW * usual:
            slow.append(f"{between} reaches {least.gigabytes / usual:.0%} of the median {kind}")
    if slow:
        look = "nvidia-smi topo -m" if seen.gpu else "ip -s link"
        return check(seen="; ".join(words), cause=Cause("; ".join(slow), look), status="unusual")
    return check(seen="; ".join(words), cause=None, status="passed")


def _bandwidth(seen: Seen, buses: Sequence[Bus]) -> Check:
    check = partial(seen.check, "bandwidth", "Bandwidth of sums", expected="a figure for each size")
    if not buses:
        return check(seen="not run: a rank ended before", cause=None, status="not-applicable")
    words = ", ".join(f"{_size(each.bytes)}: {each.seconds * 1e6:.0f} µs, {each.gigabytes:.3g} GB/s" for each in buses)
    last = buses[-1]
    return check(seen=f"{words} (bus; slowest at the end: {seen.named(last.slowest)})", cause=None, status="passed")


def _size(count: int) -> str:
    """Bytes in a power of two.

    >>> _size(1 << 26)
    '64 MiB'
    """
    for unit, size in (("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)):
        if count >= size:
            return f"{count // size} {unit}"
    return f"{count} B"


def _log(seen: Seen) -> tuple[str, ...]:
    lines = []
    own = (each for each in seen.messages if each.event != "found" and "rank" not in each.values)
    for message in (*own, *seen.told):
        values = ", ".join(f"{key}={value}" for key, value in message.values.items())[:400]
        lines.append(f"{message.at:9.3f} {message.job:<9} {message.event}: {values}".rstrip(": "))
    for ended in seen.ended:
        lines.append(f"          {ended.job:<9} ended: {ended.ending} {ended.status} after {ended.seconds:.1f} s")
        lines += [f"          {ended.job:<9} stderr: {line}" for line in ended.stderr[-20:]]
    return tuple(seen.plain(line) for line in lines[:4000])
