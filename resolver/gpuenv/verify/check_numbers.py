"""Checks numbers: each kernel family by its one right result or its bound, the small model by its reference curve."""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import partial
from itertools import chain
from typing import Literal

from gpuenv.model.verification import Check, Curve, KernelFamily, Status
from gpuenv.verify.causes import UPGRADE, Cause, of_message
from gpuenv.verify.expected import ABOVE_FLOOR
from gpuenv.verify.observed import Observed, finite, left_out
from gpuenv.verify.payload.bounds import FIRST
from gpuenv.verify.payload.sizing import LEAST_CURVE

Outcome = Literal["right", "unusual", "wrong"]
STATUSES: tuple[tuple[Outcome, Status], ...] = (("wrong", "failed"), ("unusual", "unusual"))

KINDS = ("float32", "float16", "bfloat16")
"""The types that are compared, in their order."""
OPTIONAL = ("attention flash", "attention efficient", "attention cudnn")
"""Backends that a card, type or build may lack; at least one backend of attention must run."""
WRONG_FROM = 4.0
"""A result up to four times beyond a bound is unusual: the bound holds with near certainty for every algorithm that was
analysed, and correct ones keep at least this distance below it; beyond four times above, none explains it."""
UNEXPLAINED = "; no algorithm that was analysed rounds so: unusual, not proven wrong"


def outcome_of(share: float) -> Outcome:
    """Tell what it means that something took so much of its bound.

    >>> outcome_of(0.9), outcome_of(1.1), outcome_of(4.0), outcome_of(float("nan"))
    ('right', 'unusual', 'wrong', 'wrong')
    """
    if share <= 1:
        return "right"
    return "unusual" if share < WRONG_FROM else "wrong"


def curves_of(observed: Observed) -> tuple[Curve, ...]:
    """Put every run of the small model beside the reference."""
    made = []
    for message in observed.all("curve"):
        losses = message.numbers("losses")
        reference = observed.reference.losses[: len(losses)]
        precision = message.text("precision")
        bounds = observed.reference.bounds.get(precision, observed.reference.bounds["fp32"])[: len(losses)]
        apart = [abs(a - b) if finite(a) else math.inf for a, b in zip(losses, reference, strict=False)]
        shares = [difference / bound for difference, bound in zip(apart, bounds, strict=False)] or [math.inf]
        # Infinite differences are all alike: the first is the one to name.
        step = max(range(len(shares)), key=lambda place: (shares[place], -place))
        made.append(
            Curve(
                device=message.text("device"),
                precision=precision,
                losses=losses,
                reference=reference,
                bounds=bounds,
                step=step + 1,
                bound=bounds[step] if apart else 0.0,
                largest=apart[step] if apart else math.inf,
            )
        )
    return tuple(made)


def numbers(observed: Observed) -> Check:
    """Does every step follow the curve that was computed in double precision on a CPU?"""
    title, curves, reference = "Numbers of a small model", curves_of(observed), observed.reference
    expected = f"first loss ln 256 = {reference.first:.7f} to {FIRST:g}; every step as near to the reference as "
    expected += f"rounding allows, which grows with the step; floor {reference.entropy:.4f}"
    check = partial(observed.check, "numbers", title, expected=expected)
    if not curves:
        if (found := observed.trouble("numbers")) is not None:
            return check(seen=found[0], cause=found[1])
        return check(why="torch found no device")
    seen = "; ".join(
        f"{curve.precision} on {'the CPU' if curve.device == 'cpu' else curve.device}: first {_first(curve):.7f}, "
        f"last of {len(curve.losses)} {curve.losses[-1] if curve.losses else math.nan:.4f}, at most "
        f"{curve.largest:.2g} of {curve.bound:.2g} allowed"
        for curve in curves
    )
    if (why := left_out(observed, "numbers", "curve")) is not None:
        seen += f"; shortened: {why}"
    status, cause = _decided(_number_problems(observed, curves))
    return check(status, seen=seen, cause=cause)


def _first(curve: Curve) -> float:
    return curve.losses[0] if curve.losses else math.nan


def _decided(problems: Iterator[tuple[Outcome, Cause]]) -> tuple[Status, Cause | None]:
    """The first wrong thing decides, else the first unusual one."""
    found = list(problems)
    for outcome, status in STATUSES:
        if (cause := next((cause for kind, cause in found if kind == outcome), None)) is not None:
            return status, cause
    return "passed", None


def _number_problems(observed: Observed, curves: tuple[Curve, ...]) -> Iterator[tuple[Outcome, Cause]]:
    language, reference = observed.first("language", job="numbers"), observed.reference
    if language is None or language.text("fingerprint") != reference.language:
        text = "the text that was learned is not the one the reference was computed on"
        yield "wrong", Cause(text, UPGRADE)
    steps = language.whole("steps") if language is not None else len(reference.losses)
    shortened = left_out(observed, "numbers", "curve") is not None
    for curve in curves:
        where = f"{curve.precision} on {curve.device}"
        least = min(LEAST_CURVE, steps) if shortened else steps
        if not least <= len(curve.losses) <= steps <= len(reference.losses):
            text = f"{where}: {len(curve.losses)} steps of {steps}, the reference has {len(reference.losses)}"
            yield "wrong", Cause(text, UPGRADE)
        if not finite(_first(curve)) or abs(curve.losses[0] - reference.first) > FIRST:
            text = f"{where}: the first loss is {_first(curve):.7f}: the forward pass, mask or type is wrong"
            yield "wrong", Cause(text, UPGRADE)
        elif (found := outcome_of(curve.largest / curve.bound)) != "right":
            yield found, Cause(f"{where}: {_leaving(curve, found)}", UPGRADE)
        elif curve.losses[-1] < reference.entropy - curve.bounds[-1] or (
            len(curve.losses) == len(reference.losses) and curve.losses[-1] >= reference.entropy + ABOVE_FLOOR
        ):
            text = f"{where}: the last loss {curve.losses[-1]:.4f} is not just above the language's entropy"
            yield "wrong", Cause(text, UPGRADE)


def _leaving(curve: Curve, outcome: Outcome) -> str:
    """Say where a curve leaves its reference first, and how far it is off where that is worst."""
    apart = zip(curve.losses, curve.reference, curve.bounds, strict=False)
    step = next((number for number, (a, b, bound) in enumerate(apart, start=1) if not abs(a - b) <= bound), 1)
    if not finite(curve.losses[step - 1]):
        return f"the loss is not a number at step {step}: a kernel of the backward pass or optimizer is wrong"
    text = f"the loss leaves the reference at step {step}, and is off by {curve.largest:.2g} at step {curve.step}, "
    text += f"{curve.largest / curve.bound:.2g} times what rounding allows"
    ending = ": a kernel of the backward pass or optimizer is wrong" if outcome == "wrong" else UNEXPLAINED
    return text + ending


def families_of(observed: Observed) -> tuple[KernelFamily, ...]:
    """Return what was found of each kernel family."""
    return tuple(
        KernelFamily(
            device=message.text("device"),
            family=message.text("family"),
            type=message.text("type"),
            rule="bound" if message.text("rule") == "bound" else "exact",
            error=message.number("error"),
            bound=message.number("bound") or 0.0,
            part=message.text("part"),
            rms=message.number("rms"),
            rms_bound=message.number("rms_bound"),
            wrong=message.whole("wrong"),
            elements=message.whole("elements"),
            note=message.text("message").splitlines()[0][:200] if message.text("message") else "",
        )
        for message in observed.all("family")
    )


def family_outcome(row: KernelFamily) -> Outcome:
    """Tell what became of one family that ran."""
    if row.error is None:
        return "right"
    if row.rule == "bound":
        share = row.share
        return outcome_of(math.nan if share is None else share)
    if row.wrong == 0:
        # Nothing compared is nothing proven.
        return "right" if row.elements else "wrong"
    return "unusual" if row.error <= row.bound else "wrong"


def kernels(observed: Observed) -> Check:
    """Does each kernel family compute the one right result of whole numbers, and round no more than it may?"""
    expected = "every bit of the result of whole numbers; where results are rounded, errors within what rounding allows"
    check = partial(observed.check, "kernels", "Numbers of each kernel family", expected=expected)
    rows = families_of(observed)
    if not rows:
        why = "the process ended before" if observed.trouble("numbers") else "torch found no device"
        return check(why=why)
    exact = [row for row in rows if row.rule == "exact" and row.error is not None]
    bound = [row for row in rows if row.share is not None]
    where = "the CPU" if not observed.gpu else ", ".join(sorted({row.device for row in rows}))
    right = sum(family_outcome(row) == "right" for row in exact)
    seen = f"{right} of {len(exact)} exact checks equal in all of {sum(row.elements for row in exact):,} elements, "
    seen += f"{len(bound)} within bounds compared, on {where}"
    worst = max(bound, key=lambda row: row.share if row.share == row.share and row.share else 0.0, default=None)
    if worst is not None and worst.share is not None:
        seen += f"; nearest to its bound: {worst.name} with {worst.share:.0%} of it"
    skipped = sorted({f"{row.family} {row.type}" for row in rows if row.error is None})
    seen += f"; not offered here: {', '.join(skipped)}" if skipped else ""
    late = [kind for kind in KINDS if left_out(observed, "numbers", kind) is not None]
    seen += f"; left out for want of time: {', '.join(late)}" if late else ""
    status, cause = _decided(chain(_family_problems(rows), _unfinished(observed)))
    return check(status, seen=seen, cause=cause)


def _unfinished(observed: Observed) -> Iterator[tuple[Outcome, Cause]]:
    """Yield the processes that compared less than they were to."""
    for job in (ended.job for ended in observed.ended if ended.job.startswith("numbers")):
        if (found := observed.trouble(job)) is not None:
            yield "wrong", found[1]


def _family_problems(rows: tuple[KernelFamily, ...]) -> Iterator[tuple[Outcome, Cause]]:
    for row in rows:
        if row.error is None:
            if not row.family.startswith(OPTIONAL) and row.type != "float8":
                why = of_message(row.note)
                yield "wrong", Cause(f"{row.name} on {row.device} fails: {why.text}", why.hint)
        elif (found := family_outcome(row)) != "right":
            ending = ": a wrong kernel" if found == "wrong" else UNEXPLAINED
            yield found, Cause(f"{row.name} on {row.device}{_far(row)}{ending}", UPGRADE)


def _far(row: KernelFamily) -> str:
    """Say how far a result is off."""
    if not finite(row.error):
        return f", {row.part}: is not a number"
    if row.rule == "exact":
        text = f": {row.wrong:,} of {row.elements:,} elements differ from the only right result"
        return f"{text}, by up to {row.error:.3g} in the {row.part}"
    share = row.share or math.nan
    return f": the {row.part} misses by {share:.2g} times what rounding allows ({row.summary})"
