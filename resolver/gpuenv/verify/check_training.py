"""Checks the training: that it learned, where it ran, how fast, and the same as one CUDA graph."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterator
from functools import partial
from typing import Literal

from gpuenv.dataclass import dataclass
from gpuenv.knowledge import load
from gpuenv.knowledge.facts import DataSheet
from gpuenv.model.verification import Check, Training, TrainingStep
from gpuenv.verify.causes import DOCTOR, RECREATE, UPGRADE, Cause, of_message
from gpuenv.verify.expected import learned_bound
from gpuenv.verify.messages import Message
from gpuenv.verify.observed import Observed, finite, left_out
from gpuenv.verify.payload.sizing import LEAST_STEPS

WARM = 3
"""Steps left out of the rate: they load kernels and fill the allocator."""
FIRST_ROOM = 1.0
"""How far the first loss may be from the logarithm of the vocabulary: weights drawn small give nearly even odds."""
GRAPH_ROOM = 0.25
NEEDED_GROUPS = ("matmul", "attention", "optimizer")


def runs_of(observed: Observed, job: str) -> tuple[Training, ...]:
    """Assemble the runs that one process did: step by step, and as a graph where it did one."""
    start = observed.first("training", job=job)
    if start is None:
        return ()
    runs = (_run(observed, start, job, "eager"), _run(observed, start, job, "graph"))
    return tuple(run for run in runs if run.steps)


def _run(observed: Observed, start: Message, job: str, mode: Literal["eager", "graph"]) -> Training:
    steps = tuple(
        TrainingStep(
            step=message.whole("step"),
            loss=_loss(message),
            seconds=message.amount("seconds"),
            memory_bytes=message.whole("memory") or None,
        )
        for message in observed.all("step", job=job)
        if message.text("run") == mode
    )
    end = _end(observed, job, mode)
    batch = start.whole("batch_size")
    warm = [step.seconds for step in steps[WARM:] or steps]
    return Training(
        model=start.text("model"),
        parameters=start.whole("parameters"),
        device=_device(observed, start, job),
        precision=start.text("precision"),
        batch_size=batch,
        tokens_per_sample=start.whole("tokens"),
        samples_available=start.whole("samples"),
        samples_seen=batch * len(steps),
        steps=steps,
        seconds=(end.number("seconds") if end else None) or sum(step.seconds for step in steps),
        samples_per_second=batch / statistics.median(warm) if warm and min(warm) > 0 else 0.0,
        final_loss=steps[-1].loss if steps else math.nan,
        peak_memory_bytes=max((step.memory_bytes for step in steps if step.memory_bytes), default=None),
        mode=mode,
        seed=start.whole("seed"),
        shortest_step_seconds=_shortest(observed, start, job),
    )


def _end(observed: Observed, job: str, mode: str = "eager") -> Message | None:
    return next((m for m in observed.all("trained", job=job) if m.text("run") == mode), None)


def _loss(message: Message) -> float:
    value = message.number("loss")
    return math.nan if value is None else value


def final_losses(observed: Observed, job: str) -> list[tuple[int, float]]:
    """Return the last losses of the runs with other seeds, by seed."""
    return [(message.whole("seed"), _loss(message)) for message in observed.all("seed", job=job)]


def _device(observed: Observed, start: Message, job: str) -> str:
    device = start.text("device")
    message = observed.first("devices", job=job)
    if message is None:
        return device
    if device == "cpu":
        return f"CPU ({message.text('processor')})"
    rows = (row for row in message.rows("devices") if device == f"cuda:{row.get('index')}")
    return next((f"{device} {row.get('name')} (GPU-{row.get('uuid')})" for row in rows), device)


def card_of(observed: Observed, job: str) -> DataSheet | None:
    """Return the data sheet of the card that a job trained on, ``None`` where no table has it."""
    start, message = observed.first("training", job=job), observed.first("devices", job=job)
    if start is None or message is None:
        return None
    rows = (row for row in message.rows("devices") if start.text("device") == f"cuda:{row.get('index')}")
    return next((load().card_limits(str(row.get("name"))) for row in rows), None)


def _shortest(observed: Observed, start: Message, job: str) -> float | None:
    """Return the time of a step at the card's limits: its arithmetic, and the optimizer's traffic, one after the other.

    6 floating-point operations a parameter and token, forward and backward; AdamW in fp32 reads parameter, gradient
    and two moments and writes three of them, clipping reads the gradients, and the passes read the weights three times.
    """
    card = card_of(observed, job)
    if card is None or not card.matmul:
        return None
    parameters = start.whole("parameters")
    tokens = start.whole("batch_size") * start.whole("tokens")
    arithmetic = 6 * parameters * tokens / (card.matmul * 1e12)
    return arithmetic + 11 * 4 * parameters / (card.memory_gb_s * 1e9)


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """How much was to be trained on this machine, and the loss it has to end below."""

    model: str
    steps: int
    below: float
    why: str = ""
    """Why it is less than the plan says; empty where it is not."""


def size_of(observed: Observed, job: str) -> Size:
    """Return the plan's size, or the smaller one that the process chose by what a step took.

    A process cannot choose nothing: what it did beyond the rule's least is its word, the bound is ours.
    """
    plan, start = observed.plan, observed.first("training", job=job)
    sized = observed.first("sized", job=job)
    model = start.text("model") if start is not None else plan.model
    steps = max(sized.whole("steps"), min(LEAST_STEPS, plan.steps)) if sized is not None else plan.steps
    if start is None or sized is None or (model == plan.model and steps >= plan.steps):
        return Size(model=plan.model, steps=plan.steps, below=plan.loss_below)
    threads = sized.whole("threads")
    count = f"{threads} thread{'s' if threads != 1 else ''}"
    why = f"a step took {sized.amount('step_seconds'):.2g} s ({count}), so {model} and {steps} steps"
    below = learned_bound(model, steps=steps, vocabulary=max(start.whole("vocabulary"), 2))
    return Size(model=model, steps=steps, below=below, why=why)


def training(observed: Observed, job: str, suffix: str) -> Check:
    """Did it learn: every loss a number, the first one as random weights give it, the last one below the bound?"""
    size, found = size_of(observed, job), observed.trouble(job)
    where = "on the GPU" if observed.gpu else "on the CPU"
    expected = f"{size.model} {where}, {size.steps} steps, every loss finite, the last below {size.below:.3g}"
    check = partial(observed.check, job, f"Training{suffix}", expected=expected)
    eager = next((run for run in runs_of(observed, job) if run.mode == "eager"), None)
    if eager is None:
        if found is None:
            return check(why="torch found no device to train on")
        return check(seen=found[0], cause=found[1])
    losses = [step.loss for step in eager.steps]
    seen = f"loss {losses[0]:.3f} → {losses[-1]:.3f} in {len(losses)} steps of {eager.batch_size} samples, "
    seen += f"{eager.samples_per_second:.1f} samples/s after warm-up, {eager.precision}, {eager.device}"
    others = final_losses(observed, job)
    if (end := observed.first("trained", job=job)) is not None and end.value("scale") is not None:
        seen += f", gradients scaled by {end.number('scale'):g}, steps skipped by overflow: {end.whole('skipped')}"
    seen += f"; sized: {size.why}" if size.why else ""
    if others:
        seen += "; other seeds: " + ", ".join(f"{seed}: {loss:.3f}" for seed, loss in others)
    problem = next(_training_problems(observed, job, eager, [loss for _, loss in others]), None)
    if problem is None and found is not None and len(losses) < size.steps:
        problem = found[1]
    check = partial(check, seen=seen, seconds=eager.seconds)
    start = observed.first("training", job=job)
    if problem is None and observed.gpu and start and start.text("wanted") == "bf16" and eager.precision == "fp32":
        return check("warned", cause=Cause("this card has no bf16: trained in fp32 instead", "gpuenv profiles"))
    return check(cause=problem)


def _training_problems(observed: Observed, job: str, run: Training, others: list[float]) -> Iterator[Cause]:
    losses = [step.loss for step in run.steps]
    start, end = observed.first("training", job=job), observed.first("trained", job=job)
    bad = next((step.step for step in run.steps if not finite(step.loss)), None)
    if bad is not None:
        text = f"the loss is not a number from step {bad} on: a kernel of the backward pass or optimizer is wrong"
        yield Cause(text, UPGRADE)
    even = math.log(max(start.whole("vocabulary"), 2)) if start else losses[0]
    if finite(losses[0]) and abs(losses[0] - even) > FIRST_ROOM:
        text = f"the first loss is {losses[0]:.2f} where random weights give {even:.2f}: the forward pass is wrong"
        yield Cause(text, UPGRADE)
    if end is not None and end.number("moved") == 0.0:
        yield Cause("it does not learn: the optimizer ran and changed no weight", RECREATE)
    size = size_of(observed, job)
    if len(losses) < size.steps and observed.trouble(job) is None:
        yield Cause(f"{len(losses)} steps were trained, at least {size.steps} had to be", RECREATE)
    if len(losses) >= size.steps and not run.final_loss < size.below:
        text = f"it does not learn: the last loss is {run.final_loss:.3f}, the bound {size.below:.3g}"
        yield Cause(text, UPGRADE)
    scale = end.number("scale") if end is not None else None
    if scale is not None and not scale >= 1:
        text = f"gradients overflow fp16 even unscaled (by {scale:g}): a kernel of the backward pass is wrong"
        yield Cause(text, UPGRADE)
    if any(not loss < size.below for loss in others):
        yield Cause("with another seed the last loss is above the bound", UPGRADE)


def on_device(observed: Observed, job: str, suffix: str) -> Check:
    """Was the work done on the device: tensors there, memory taken, kernels counted?"""
    name, title = "on-device" + job.removeprefix("training"), f"Work on the device{suffix}"
    expected = "parameters, gradients and optimizer state on the GPU, their bytes at least, kernels of every kind"
    end = _end(observed, job)
    if end is None or not observed.gpu:
        why = "no training ran to its end" if observed.gpu else "CPU: the work was done on the CPU"
        return observed.check(name, title, expected=expected, why=why)
    profile = observed.first("profile", job=job)
    kernels = profile.whole("kernels") if profile else 0
    sizes = {key: int(value) for key, value in end.table("bytes").items() if isinstance(value, int)}
    needed = sum(sizes.values())
    groups = {key: value for key, value in (profile.table("groups") if profile else {}).items() if value}
    seen = (
        f"peak {_gigabytes(end.whole('memory'))}, of which tensors {_gigabytes(needed)}; {kernels} kernels in one step"
    )
    seen += f" ({', '.join(f'{key} {value}' for key, value in groups.items())})" if groups else ""
    check = partial(observed.check, name, title, seen=seen, expected=expected)
    if (problem := next(_device_problems(end, sizes, needed), None)) is not None:
        return check(cause=problem)
    if kernels == 0:
        why = profile.text("message") if profile else "the profiler did not answer"
        text = f"the profiler recorded no kernel ({why or 'CUPTI gives nothing here'}); memory and tensors agree"
        return check("warned", cause=Cause(text, DOCTOR))
    if absent := [group for group in NEEDED_GROUPS if group not in groups]:
        cause = Cause(f"no kernel of this kind was recognized by its name: {', '.join(absent)}", DOCTOR)
        return check("warned", cause=cause)
    return check()


def _device_problems(end: Message, sizes: dict[str, int], needed: int) -> Iterator[Cause]:
    elsewhere = [key for key, value in end.table("elsewhere").items() if value]
    if elsewhere:
        yield Cause(f"not on the GPU: {', '.join(elsewhere)}", DOCTOR)
    if any(size == 0 for size in sizes.values()) or not sizes:
        yield Cause("gradients or optimizer state do not exist: the optimizer did nothing", RECREATE)
    if end.whole("memory") < needed:
        text = f"the GPU holds {_gigabytes(end.whole('memory'))}, the tensors alone take {_gigabytes(needed)}"
        yield Cause(text, DOCTOR)


def _gigabytes(count: float) -> str:
    return f"{count / 1e9:.2f} GB"


def graph(observed: Observed, job: str, suffix: str) -> Check:
    """Do the same steps as one CUDA graph give the same losses, and how fast?"""
    name, title = "graph" + job.removeprefix("training"), f"The same steps as a CUDA graph{suffix}"
    expected = "the losses of the eager steps, one launch a step"
    check = partial(observed.check, name, title, expected=expected)
    if not observed.gpu:
        return check(why="CPU: CUDA graphs are for GPUs")
    if (failed := observed.first("graph-failed", job=job)) is not None:
        return check("warned", seen=failed.text("message")[:300], cause=of_message(failed.text("message")))
    if (reason := left_out(observed, job, "graph")) is not None:
        return check(why=reason)
    runs = {run.mode: run for run in runs_of(observed, job)}
    if len(runs) < 2:
        return check(why="no training ran to its end")
    eager, made = runs["eager"], runs["graph"]
    apart = max(abs(a.loss - b.loss) for a, b in zip(eager.steps, made.steps, strict=False))
    seen = f"loss {made.final_loss:.3f}, largest difference {apart:.2g}, {made.samples_per_second:.1f} samples/s"
    seen += f" ({made.samples_per_second / eager.samples_per_second:.1f}× eager)" if eager.samples_per_second else ""
    if made.shortest_step_seconds:
        took = made.batch_size / made.samples_per_second
        seen += f", {made.shortest_step_seconds / took:.0%} of the card's limit"
    if not apart <= GRAPH_ROOM:
        return check(seen=seen, cause=Cause("the replayed steps compute something else than the eager ones", UPGRADE))
    return check(seen=seen, seconds=made.seconds)
