"""Judges numbers: the small model against its reference curve, each kernel family against double precision."""

from __future__ import annotations

import math
from collections.abc import Iterator

from gpuenv.model.verification import Check, Curve, Family
from gpuenv.verify.case import Case, finite
from gpuenv.verify.causes import Cause, of_words
from gpuenv.verify.hints import UPGRADE
from gpuenv.verify.reference import ABOVE_FLOOR, BOUNDS, FIRST_BOUND

OPTIONAL = ("attention flash", "attention efficient", "attention cudnn")
"""Backends that a card, type or build may lack; at least one backend of attention must run."""


def curves_of(case: Case) -> tuple[Curve, ...]:
    """Put every run of the small model beside the reference."""
    made = []
    for message in case.seen.all("curve"):
        losses = message.numbers("losses")
        reference = case.reference.losses[: len(losses)]
        apart = [abs(a - b) for a, b in zip(losses, reference, strict=False)]
        largest = math.inf if not apart or any(not finite(value) for value in apart) else max(apart)
        made.append(
            Curve(
                device=message.text("device"),
                precision=message.text("precision"),
                losses=losses,
                reference=reference,
                bound=BOUNDS.get(message.text("precision"), BOUNDS["fp32"]),
                largest=largest,
            )
        )
    return tuple(made)


def numbers(case: Case) -> Check:
    """Does every step follow the curve that was computed in double precision on a CPU?"""
    title = "Numbers of a small model"
    curves = curves_of(case)
    expected = f"first loss ln 256 = {case.reference.first:.7f} to {FIRST_BOUND:g}; every step within "
    expected += (
        f"{BOUNDS['fp32']:g} (fp32) and {BOUNDS['bf16']:g} (bf16) of the reference; floor {case.reference.entropy:.4f}"
    )
    found = case.trouble("numbers")
    if not curves:
        if found is None:
            return case.not_run("numbers", title, expected=expected, why="torch found no device")
        return case.check("numbers", title, "failed", seen=found[0], expected=expected, cause=found[1])
    seen = "; ".join(
        f"{curve.precision} on {'the CPU' if curve.device == 'cpu' else curve.device}: first {curve.losses[0]:.7f}, "
        f"last {curve.losses[-1]:.4f}, largest difference {curve.largest:.2g}"
        for curve in curves
    )
    problem = next(_number_problems(case, curves), None)
    return case.verdict("numbers", title, seen=seen, expected=expected, cause=problem)


def _number_problems(case: Case, curves: tuple[Curve, ...]) -> Iterator[Cause]:
    language = case.seen.first("language", job="numbers")
    if language is None or language.text("fingerprint") != case.reference.language:
        yield Cause(cause="the text that was learned is not the one the reference was computed on", hint=UPGRADE)
    for curve in curves:
        where = f"{curve.precision} on {curve.device}"
        if len(curve.losses) != len(case.reference.losses):
            words = f"{where}: {len(curve.losses)} steps, the reference has {len(case.reference.losses)}"
            yield Cause(cause=words, hint=UPGRADE)
        if not finite(curve.losses[0]) or abs(curve.losses[0] - case.reference.first) > FIRST_BOUND:
            words = f"{where}: the first loss is {curve.losses[0]:.7f}: the forward pass, mask or type is wrong"
            yield Cause(cause=words, hint=UPGRADE)
        elif not curve.largest <= curve.bound:
            step = next(
                (
                    number
                    for number, (a, b) in enumerate(zip(curve.losses, curve.reference, strict=False), start=1)
                    if not abs(a - b) <= curve.bound
                ),
                1,
            )
            kind = "is not a number" if not finite(curve.losses[step - 1]) else "leaves the reference"
            words = f"{where}: the loss {kind} at step {step}: a kernel of the backward pass or optimizer is wrong"
            yield Cause(cause=words, hint=UPGRADE)
        elif not case.reference.entropy - curve.bound < curve.losses[-1] < case.reference.entropy + ABOVE_FLOOR:
            words = f"{where}: the last loss {curve.losses[-1]:.4f} is not just above the language's entropy"
            yield Cause(cause=words, hint=UPGRADE)


def families_of(case: Case) -> tuple[Family, ...]:
    """Return each kernel family's error and bound."""
    return tuple(
        Family(
            device=message.text("device"),
            family=message.text("family"),
            type=message.text("type"),
            error=message.number("error"),
            bound=message.number("bound") or 0.0,
            note=message.text("message").splitlines()[0][:200] if message.text("message") else "",
        )
        for message in case.seen.all("family")
    )


def kernels(case: Case) -> Check:
    """Does each kernel family compute what the CPU computes in double precision?"""
    title = "Numbers of each kernel family"
    expected = "errors, over the reference's root mean square, within the bound of each type"
    rows = families_of(case)
    found = case.trouble("numbers")
    if not rows:
        if found is None:
            return case.not_run("kernels", title, expected=expected, why="torch found no device")
        return case.not_run("kernels", title, expected=expected, why="the process ended before")
    ran = [row for row in rows if row.error is not None]
    worst = max(
        ran, key=lambda row: row.error / row.bound if row.error is not None and row.bound else 0.0, default=None
    )
    where = "the CPU" if not case.gpu else ", ".join(sorted({row.device for row in rows}))
    seen = f"{len(ran)} of {len(rows)} ran on {where}"
    if worst is not None and worst.error is not None:
        seen += f"; nearest to its bound: {worst.family} {worst.type} {worst.error:.2g} of {worst.bound:g}"
    skipped = sorted({f"{row.family} {row.type}" for row in rows if row.error is None})
    seen += f"; not offered here: {', '.join(skipped)}" if skipped else ""
    problem = next(_family_problems(rows), None)
    return case.verdict("kernels", title, seen=seen, expected=expected, cause=problem)


def _family_problems(rows: tuple[Family, ...]) -> Iterator[Cause]:
    for row in rows:
        if row.error is None:
            if row.family not in OPTIONAL and row.type != "float8":
                why = of_words(row.note)
                yield Cause(cause=f"{row.family} in {row.type} on {row.device} fails: {why.cause}", hint=why.hint)
        elif not row.error <= row.bound:
            size = (
                "is not a number" if not finite(row.error) else f"misses by {row.error:.2g}, the bound is {row.bound:g}"
            )
            yield Cause(cause=f"{row.family} in {row.type} on {row.device} {size}: a wrong kernel", hint=UPGRADE)
