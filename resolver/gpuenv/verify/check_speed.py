"""Checks speed against the card's stated limits, several GPUs together, and torch.compile."""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import partial

from gpuenv.model.verification import Check, Rate
from gpuenv.verify.causes import DOCTOR, RECREATE, TRACE, UPGRADE, Cause, of_message
from gpuenv.verify.check_training import card_of
from gpuenv.verify.evidence_text import place
from gpuenv.verify.messages import Message
from gpuenv.verify.observed import Observed
from gpuenv.verify.payload.devices import plain_uuid

LEAST_SHARE = {"TFLOP/s": 0.4, "GB/s": 0.6}
"""The shares of a card's stated limits below which it is reported. Floors for "something is wrong" (throttled, shared,
wrong slot), not targets: an H200 reached 80 % of the matrix rate and 90 % of the bandwidth that its maker states."""


def rates_of(observed: Observed) -> tuple[Rate, ...]:
    """Return what each card reached, with its limit where one is known."""
    rates = []
    for message in observed.all("speed"):
        size, card = message.whole("size"), card_of(observed, message.job)
        if message.text("kind") == "matmul":
            limit, source = (card.matmul, card.source) if card and card.matmul else (None, "")
            what, unit = f"matrix product {size}³ {message.text('type')}", "TFLOP/s"
        else:
            limit, source = (card.memory_gb_s, card.source) if card else _by_clock(observed, message)
            what, unit = f"copy of {size / 1e9:.1f} GB in the card's memory", "GB/s"
        device = place(message.text("device"))
        value = message.amount("tflops" if unit == "TFLOP/s" else "gigabytes")
        rates.append(Rate(device=device, what=what, value=value, unit=unit, limit=limit, source=source))
    return tuple(rates)


def _by_clock(observed: Observed, message: Message) -> tuple[float | None, str]:
    """Return the bandwidth of a card that no table knows, by its own clock and bus, and the source."""
    uuid = next(
        (
            str(row.get("uuid"))
            for devices in observed.all("devices", job=message.job)
            for row in devices.rows("devices")
            if message.text("device") == f"cuda:{row.get('index')}"
        ),
        "",
    )
    probe = observed.first("driver", job="driver")
    for row in probe.rows("devices") if probe else ():
        clock, bits = row.get("memory_clock_khz"), row.get("memory_bus_bits")
        if plain_uuid(row.get("uuid")) == plain_uuid(uuid) and isinstance(clock, int) and isinstance(bits, int):
            return bandwidth(clock, bits), "the card's memory clock and bus width, by the driver"
    return None, ""


def bandwidth(memory_clock_khz: int, bus_bits: int) -> float | None:
    """Return gigabytes per second of a memory that moves data twice per clock; ``None`` for implausible readings."""
    if not (100_000 <= memory_clock_khz <= 50_000_000 and 32 <= bus_bits <= 65_536):
        return None
    return 2 * memory_clock_khz * 1e3 * bus_bits / 8 / 1e9


def speed(observed: Observed) -> Check:
    """Is the card near what its maker states, or far below its class?"""
    expected = f"at least {LEAST_SHARE['TFLOP/s']:.0%} of the matrix rate and {LEAST_SHARE['GB/s']:.0%} of the "
    expected += "memory bandwidth that the card's maker states"
    check = partial(observed.check, "speed", "Speed against the card", expected=expected)
    rates = rates_of(observed)
    if not observed.gpu:
        measured = "; ".join(f"{rate.what}: {rate.value:.2f} {rate.unit}" for rate in rates) or "not measured"
        return check(why=f"CPU: {measured}")
    if not rates:
        return check(why="no measurement")
    seen = "; ".join(
        f"{rate.what} on {rate.device}: {rate.value:.0f} {rate.unit}"
        + (f" ({rate.share:.0%} of {rate.limit:.0f})" if rate.share is not None else " (no limit known)")
        for rate in rates
    )
    slow = [rate for rate in rates if rate.share is not None and rate.share < LEAST_SHARE[rate.unit]]
    if slow:
        shares = ", ".join(f"{rate.what} on {rate.device} reaches {rate.share:.0%} of its limit" for rate in slow)
        text = f"far below its class: {shares}; throttled, power-capped, shared with others, or in the wrong slot"
        return check("unusual", seen=seen, cause=Cause(text, "nvidia-smi -q -d PERFORMANCE,CLOCK,POWER"))
    return check(seen=seen)


def several_gpus(observed: Observed) -> Check:
    """Do the GPUs work together: right sums, agreeing gradients, whole copies between every pair?"""
    count = len(observed.gpus())
    expected = (
        "all-reduce exact on every rank, gradients of one data-parallel step equal, copies between every pair whole"
    )
    check = partial(observed.check, "several-gpus", "Several GPUs together", expected=expected)
    if not observed.gpu or count < 2:
        return check(why="one GPU" if observed.gpu else "CPU: no GPU is used")
    if (lacking := observed.first("no-device", job="rank-0")) is not None:  # the check ``devices`` says what that means
        found = lacking.whole("found")
        return check(why=f"torch found {found} of {count} devices" if found else "torch found no device")
    sums, steps, pairs = observed.all("sum"), observed.all("parallel-step"), observed.all("pair")
    trouble = (each[1] for rank in range(count) if (each := observed.trouble(f"rank-{rank}")) is not None)
    peers = sum(pair.flag("peer") for pair in pairs)
    largest = max((message.amount("error") for message in steps), default=math.nan)
    seen = f"{len({m.job for m in sums})} ranks, {len(sums)} sums, gradients apart by {largest:.2g}, "
    seen += f"{len(pairs)} pairs copied, {peers} with peer access"
    check = partial(check, seen=seen)
    problem = next(_group_problems(observed, count, sums, steps, pairs), None) or next(trouble, None)
    if problem is None and peers < len(pairs):
        text = f"{len(pairs) - peers} of {len(pairs)} pairs have no peer access: copies go through the host"
        return check("warned", cause=Cause(text, "nvidia-smi topo -m"))
    return check(cause=problem)


def _group_problems(
    observed: Observed, count: int, sums: tuple[Message, ...], steps: tuple[Message, ...], pairs: tuple[Message, ...]
) -> Iterator[Cause]:
    for total in (message for message in sums if message.whole("wrong")):
        wrong = f"{total.whole('wrong')} wrong elements of {total.whole('elements')}"
        yield Cause(f"the all-reduce gives {wrong} on {total.job}", TRACE)
    for pair in (pair for pair in pairs if pair.whole("wrong")):
        text = f"a copy from GPU {pair.whole('source')} to {pair.whole('target')} and back comes out different"
        yield Cause(text, "sudo dmesg | grep -i -e xid -e iommu")
    if not all(message.amount("error") <= 1e-4 for message in steps):
        yield Cause("the averaged gradients are not those of the whole batch", UPGRADE)
    if len({message.text("gradients") for message in steps}) > 1:
        yield Cause("the ranks hold different gradients after the all-reduce", TRACE)
    ranks = [observed.ending(f"rank-{rank}") for rank in range(count)]
    if all(ending is not None and ending.status == 0 for ending in ranks) and (
        len(steps) != count or len(pairs) != count * (count - 1)
    ):
        yield Cause(f"{len(steps)} ranks and {len(pairs)} pairs reported, {count} GPUs are there", DOCTOR)


def compiles(observed: Observed) -> Check:
    """Does torch.compile make code for the card that computes the same?"""
    expected = "a small function, compiled, equal to the eager one"
    check = partial(observed.check, "compile", "torch.compile", expected=expected)
    if not observed.gpu:
        return check(why="CPU: Triton is for GPUs")
    if observed.ending("compile") is None:
        return check(why="no Triton in this environment")
    if observed.first("no-device", job="compile") is not None:
        return check(why="torch found no device")
    message = observed.first("compiled", job="compile")
    if message is None:
        seen, cause = observed.silence("compile", who="the process")
        return check("warned", seen=seen, cause=cause)
    if text := message.text("message"):
        cause = of_message(text, otherwise=Cause("it does not compile", RECREATE))
        return check("warned", seen=text.strip().splitlines()[0][:300], cause=cause)
    error, bound = message.number("error"), message.number("bound")
    check = partial(check, seconds=message.number("seconds"))
    seen = f"error {error:.2g} on {message.text('device')}" if error is not None else "no result"
    if error is None or bound is None or not error <= bound:
        return check(seen=seen, cause=Cause("the compiled function computes something else", UPGRADE))
    return check(seen=seen)
