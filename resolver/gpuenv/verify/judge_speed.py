"""Judges speed against the card's stated limits, several GPUs together, and torch.compile."""

from __future__ import annotations

import math
from collections.abc import Iterator

from gpuenv.model.verification import Check, Rate
from gpuenv.verify.case import Case, plain_uuid
from gpuenv.verify.causes import Cause, of_words
from gpuenv.verify.hints import DOCTOR, RECREATE, TRACE, UPGRADE
from gpuenv.verify.judge_training import card_of
from gpuenv.verify.limits import by_clock
from gpuenv.verify.seen import Message


def rates_of(case: Case) -> tuple[Rate, ...]:
    """Return what each card reached, with its limit where one is known."""
    rates = []
    for message in case.seen.all("speed"):
        limits = case.limits.of(card_of(case, message.job))
        if message.text("kind") == "matmul":
            size = message.whole("size")
            rates.append(
                Rate(
                    device=_where(message),
                    what=f"matrix product {size}³ {message.text('type')}",
                    value=message.number("tflops") or 0.0,
                    unit="TFLOP/s",
                    limit=limits.matmul_tflops if limits else None,
                    source=limits.source if limits and limits.matmul_tflops else "",
                )
            )
        else:
            limit, source = _bandwidth(case, message)
            rates.append(
                Rate(
                    device=_where(message),
                    what=f"copy of {message.whole('size') / 1e9:.1f} GB in the card's memory",
                    value=message.number("gigabytes") or 0.0,
                    unit="GB/s",
                    limit=limit,
                    source=source,
                )
            )
    return tuple(rates)


def _where(message: Message) -> str:
    return "CPU" if message.text("device") == "cpu" else message.text("device")


def _bandwidth(case: Case, message: Message) -> tuple[float | None, str]:
    limits = case.limits.of(card_of(case, message.job))
    if limits is not None and limits.memory_gigabytes_per_second:
        return limits.memory_gigabytes_per_second, limits.source
    uuid = next(
        (
            str(row.get("uuid"))
            for seen in case.seen.all("devices", job=message.job)
            for row in seen.rows("devices")
            if message.text("device") == f"cuda:{row.get('index')}"
        ),
        "",
    )
    probe = case.seen.first("driver", job="driver")
    for row in probe.rows("devices") if probe else ():
        clock, bits = row.get("memory_clock_khz"), row.get("memory_bus_bits")
        if plain_uuid(str(row.get("uuid"))) == plain_uuid(uuid) and isinstance(clock, int) and isinstance(bits, int):
            return by_clock(clock, bits), "the card's memory clock and bus width, by the driver"
    return None, ""


def speed(case: Case) -> Check:
    """Is the card near what its maker states, or far below its class?"""
    title = "Speed against the card"
    least = case.limits
    expected = f"at least {least.least_matmul_share:.0%} of the matrix rate and {least.least_copy_share:.0%} of the "
    expected += "memory bandwidth that the card's maker states"
    rates = rates_of(case)
    if not case.gpu:
        words = "; ".join(f"{rate.what}: {rate.value:.2f} {rate.unit}" for rate in rates) or "not measured"
        return case.not_run("speed", title, expected=expected, why=f"CPU: {words}")
    if not rates:
        return case.not_run("speed", title, expected=expected, why="no measurement")
    seen = "; ".join(
        f"{rate.what} on {rate.device}: {rate.value:.0f} {rate.unit}"
        + (f" ({rate.share:.0%} of {rate.limit:.0f})" if rate.share is not None else " (no limit known)")
        for rate in rates
    )
    slow = [rate for rate in rates if rate.share is not None and rate.share < _least(case, rate)]
    if slow:
        words = ", ".join(f"{rate.what} on {rate.device} reaches {rate.share:.0%} of its limit" for rate in slow)
        cause = Cause(
            cause=f"far below its class: {words}; throttled, power-capped, shared with others, or in the wrong slot",
            hint="nvidia-smi -q -d PERFORMANCE,CLOCK,POWER",
        )
        return case.check("speed", title, "unusual", seen=seen, expected=expected, cause=cause)
    return case.check("speed", title, "passed", seen=seen, expected=expected)


def _least(case: Case, rate: Rate) -> float:
    return case.limits.least_matmul_share if rate.unit == "TFLOP/s" else case.limits.least_copy_share


def several_gpus(case: Case) -> Check:
    """Do the GPUs work together: right sums, agreeing gradients, whole copies between every pair?"""
    title = "Several GPUs together"
    expected = (
        "all-reduce exact on every rank, gradients of one data-parallel step equal, copies between every pair whole"
    )
    count = len(case.gpus())
    if not case.gpu or count < 2:
        why = "CPU: no GPU is used" if not case.gpu else "one GPU"
        return case.not_run("several-gpus", title, expected=expected, why=why)
    if (lacking := case.seen.first("no-device", job="rank-0")) is not None:
        return case.not_run("several-gpus", title, expected=expected, why=_too_few(lacking.whole("found"), count))
    sums, steps, pairs = case.seen.all("sum"), case.seen.all("parallel-step"), case.seen.all("pair")
    trouble = [found for rank in range(count) if (found := case.trouble(f"rank-{rank}")) is not None]
    peers = sum(pair.flag("peer") for pair in pairs)
    largest = max((message.number("error") or 0.0 for message in steps), default=math.nan)
    seen = f"{len({m.job for m in sums})} ranks, {len(sums)} sums, gradients apart by {largest:.2g}, "
    seen += f"{len(pairs)} pairs copied, {peers} with peer access"
    problem = next(_group_problems(case, count, sums, steps, pairs), None)
    if problem is None and trouble:
        problem = trouble[0][1]
    if problem is None and pairs and peers < len(pairs):
        words = f"{len(pairs) - peers} of {len(pairs)} pairs have no peer access: copies go through the host"
        return case.check(
            "several-gpus",
            title,
            "warned",
            seen=seen,
            expected=expected,
            cause=Cause(cause=words, hint="nvidia-smi topo -m"),
        )
    return case.verdict("several-gpus", title, seen=seen, expected=expected, cause=problem)


def _too_few(found: int, count: int) -> str:
    """Why ranks could not start; that devices are missing is the ``devices`` check's verdict."""
    return f"torch found {found} of {count} devices" if found else "torch found no device"


def _group_problems(
    case: Case, count: int, sums: tuple[Message, ...], steps: tuple[Message, ...], pairs: tuple[Message, ...]
) -> Iterator[Cause]:
    wrong = next((message for message in sums if message.whole("wrong")), None)
    if wrong is not None:
        words = (
            f"the all-reduce gives {wrong.whole('wrong')} wrong elements of {wrong.whole('elements')} on {wrong.job}"
        )
        yield Cause(cause=words, hint=TRACE)
    bad = next((pair for pair in pairs if pair.whole("wrong")), None)
    if bad is not None:
        words = f"a copy from GPU {bad.whole('source')} to {bad.whole('target')} and back comes out different"
        yield Cause(cause=words, hint="sudo dmesg | grep -i -e xid -e iommu")
    if not all((message.number("error") or 0.0) <= 1e-4 for message in steps):
        yield Cause(cause="the averaged gradients are not those of the whole batch", hint=UPGRADE)
    if len({message.text("gradients") for message in steps}) > 1:
        yield Cause(cause="the ranks hold different gradients after the all-reduce", hint=TRACE)
    ranks = [case.ending(f"rank-{rank}") for rank in range(count)]
    if all(ending is not None and ending.status == 0 for ending in ranks) and (
        len(steps) != count or len(pairs) != count * (count - 1)
    ):
        yield Cause(cause=f"{len(steps)} ranks and {len(pairs)} pairs reported, {count} GPUs are there", hint=DOCTOR)


def compiles(case: Case) -> Check:
    """Does torch.compile make code for the card that computes the same?"""
    title = "torch.compile"
    expected = "a small function, compiled, equal to the eager one"
    if not case.gpu:
        return case.not_run("compile", title, expected=expected, why="CPU: Triton is for GPUs")
    if case.ending("compile") is None:
        return case.not_run("compile", title, expected=expected, why="no Triton in this environment")
    if case.seen.first("no-device", job="compile") is not None:
        return case.not_run("compile", title, expected=expected, why="torch found no device")
    message = case.seen.first("compiled", job="compile")
    if message is None:
        found = case.trouble("compile") or ("nothing was heard", Cause(cause="the process said nothing", hint=DOCTOR))
        return case.check("compile", title, "warned", seen=found[0], expected=expected, cause=found[1])
    if message.text("message"):
        cause = of_words(message.text("message"), otherwise=Cause(cause="it does not compile", hint=RECREATE))
        seen = message.text("message").strip().splitlines()[0][:300]
        return case.check("compile", title, "warned", seen=seen, expected=expected, cause=cause)
    error, bound = message.number("error"), message.number("bound")
    seconds = message.number("seconds")
    seen = f"error {error:.2g} on {message.text('device')}" if error is not None else "no result"
    if error is None or bound is None or not error <= bound:
        cause = Cause(cause="the compiled function computes something else", hint=UPGRADE)
        return case.check("compile", title, "failed", seen=seen, expected=expected, cause=cause, seconds=seconds)
    return case.check("compile", title, "passed", seen=seen, expected=expected, seconds=seconds)
