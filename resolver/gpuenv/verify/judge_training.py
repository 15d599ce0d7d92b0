"""Judges the training: that it learned, where it ran, how fast, and the same as one CUDA graph."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterator
from dataclasses import dataclass

from gpuenv.model.verification import Check, Status, Training, TrainingStep
from gpuenv.verify.case import Case, finite, gigabytes
from gpuenv.verify.causes import Cause, of_words
from gpuenv.verify.hints import DOCTOR, RECREATE, UPGRADE
from gpuenv.verify.learning import bound
from gpuenv.verify.payload.sizing import LEAST_STEPS
from gpuenv.verify.seen import Message

WARM = 3
"""Steps left out of the rate: they load kernels and fill the allocator."""
FIRST_ROOM = 1.0
"""How far the first loss may be from the logarithm of the vocabulary: weights drawn small give nearly even odds."""
GRAPH_ROOM = 0.25
NEEDED_GROUPS = ("matmul", "attention", "optimizer")


def runs_of(case: Case, job: str) -> tuple[Training, ...]:
    """Assemble the runs that one process did: step by step, and as a graph where it did one."""
    start = case.seen.first("training", job=job)
    if start is None:
        return ()
    runs = (_run(case, start, job, "eager"), _run(case, start, job, "graph"))
    return tuple(run for run in runs if run.steps)


def _run(case: Case, start: Message, job: str, mode: str) -> Training:
    steps = tuple(
        TrainingStep(
            step=message.whole("step"),
            loss=_loss(message),
            seconds=message.number("seconds") or 0.0,
            memory_bytes=message.whole("memory") or None,
        )
        for message in case.seen.all("step", job=job)
        if message.text("run") == mode
    )
    end = next((m for m in case.seen.all("trained", job=job) if m.text("run") == mode), None)
    batch = start.whole("batch_size")
    warm = [step.seconds for step in steps[WARM:] or steps]
    return Training(
        model=start.text("model"),
        parameters=start.whole("parameters"),
        device=_device_words(case, start, job),
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
        mode="graph" if mode == "graph" else "eager",
        seed=start.whole("seed"),
        shortest_step_seconds=_shortest(case, start, job),
    )


def _loss(message: Message) -> float:
    value = message.number("loss")
    return math.nan if value is None else value


def _device_words(case: Case, start: Message, job: str) -> str:
    device = start.text("device")
    message = case.seen.first("devices", job=job)
    if message is None or device == "cpu":
        return f"CPU ({message.text('processor')})" if message and device == "cpu" else device
    for row in message.rows("devices"):
        if device == f"cuda:{row.get('index')}":
            return f"{device} {row.get('name')} (GPU-{row.get('uuid')})"
    return device


def card_of(case: Case, job: str) -> str:
    """Return the name of the card that a job trained on."""
    start, message = case.seen.first("training", job=job), case.seen.first("devices", job=job)
    if start is None or message is None:
        return ""
    rows = (row for row in message.rows("devices") if start.text("device") == f"cuda:{row.get('index')}")
    return next((str(row.get("name")) for row in rows), "")


def _shortest(case: Case, start: Message, job: str) -> float | None:
    """Return the time of a step at the card's limits: its arithmetic, and the optimizer's traffic, one after the other.

    6 floating-point operations a parameter and token, forward and backward; AdamW in fp32 reads parameter, gradient
    and two moments and writes three of them, clipping reads the gradients, and the passes read the weights three times.
    """
    limits = case.limits.of(card_of(case, job))
    if limits is None or not limits.matmul_tflops or not limits.memory_gigabytes_per_second:
        return None
    parameters = start.whole("parameters")
    tokens = start.whole("batch_size") * start.whole("tokens")
    arithmetic = 6 * parameters * tokens / (limits.matmul_tflops * 1e12)
    return arithmetic + 11 * 4 * parameters / (limits.memory_gigabytes_per_second * 1e9)


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """How much was to be trained on this machine, and the loss it has to end below."""

    model: str
    steps: int
    below: float
    words: str = ""
    """Why it is less than the plan says; empty where it is not."""


def size_of(case: Case, job: str) -> Size:
    """Return the plan's size, or the smaller one that the process chose by what a step took.

    A process cannot choose nothing: what it did beyond the rule's least is its word, the bound is ours.
    """
    plan, start = case.plan, case.seen.first("training", job=job)
    sized = case.seen.first("sized", job=job)
    model = start.text("model") if start is not None else plan.model
    steps = max(sized.whole("steps"), min(LEAST_STEPS, plan.steps)) if sized is not None else plan.steps
    if start is None or sized is None or (model == plan.model and steps >= plan.steps):
        return Size(model=plan.model, steps=plan.steps, below=plan.loss_below)
    took = sized.number("step_seconds") or 0.0
    words = f"a step took {took:.2g} s ({_threads(sized)}), so {model} and {steps} steps"
    below = bound(model, steps=steps, vocabulary=max(start.whole("vocabulary"), 2))
    return Size(model=model, steps=steps, below=below, words=words)


def _threads(sized: Message) -> str:
    count = sized.whole("threads")
    return f"{count} thread{'s' if count != 1 else ''}"


def training(case: Case, job: str, suffix: str) -> Check:
    """Did it learn: every loss a number, the first one as random weights give it, the last one below the bound?"""
    title = f"Training{suffix}"
    where = "on the GPU" if case.gpu else "on the CPU"
    name = job
    runs = runs_of(case, job)
    eager = next((run for run in runs if run.mode == "eager"), None)
    found = case.trouble(job)
    size = size_of(case, job)
    expected = f"{size.model} {where}, {size.steps} steps, every loss finite, the last below {size.below:.3g}"
    if eager is None:
        if found is None:
            return case.not_run(name, title, expected=expected, why="torch found no device to train on")
        return case.check(name, title, "failed", seen=found[0], expected=expected, cause=found[1])
    losses = [step.loss for step in eager.steps]
    seen = f"loss {losses[0]:.3f} → {losses[-1]:.3f} in {len(losses)} steps of {eager.batch_size} samples, "
    seen += f"{eager.samples_per_second:.1f} samples/s after warm-up, {eager.precision}, {eager.device}"
    others = [(m.whole("seed"), _number(m, "loss")) for m in case.seen.all("seed", job=job)]
    if (end := case.seen.first("trained", job=job)) is not None and end.value("scale") is not None:
        seen += f", gradients scaled by {end.number('scale'):g}, steps skipped by overflow: {end.whole('skipped')}"
    seen += f"; sized: {size.words}" if size.words else ""
    if others:
        seen += "; other seeds: " + ", ".join(f"{seed}: {loss:.3f}" for seed, loss in others)
    problem = next(_training_problems(case, job, eager, [loss for _, loss in others]), None)
    if problem is None and found is not None and len(losses) < size.steps:
        problem = found[1]
    status: Status = "failed" if problem is not None else "passed"
    wished = case.seen.first("training", job=job)
    if status == "passed" and case.gpu and wished and wished.text("wanted") == "bf16" and eager.precision == "fp32":
        problem = Cause(cause="this card has no bf16: trained in fp32 instead", hint="gpuenv profiles")
        status = "warned"
    return case.check(name, title, status, seen=seen, expected=expected, cause=problem, seconds=eager.seconds)


def _number(message: Message, key: str) -> float:
    value = message.number(key)
    return math.nan if value is None else value


def _training_problems(case: Case, job: str, run: Training, others: list[float]) -> Iterator[Cause]:
    losses = [step.loss for step in run.steps]
    start, end = case.seen.first("training", job=job), case.seen.first("trained", job=job)
    bad = next((step.step for step in run.steps if not finite(step.loss)), None)
    if bad is not None:
        words = f"the loss is not a number from step {bad} on: a kernel of the backward pass or optimizer is wrong"
        yield Cause(cause=words, hint=UPGRADE)
    even = math.log(max(start.whole("vocabulary"), 2)) if start else losses[0]
    if finite(losses[0]) and abs(losses[0] - even) > FIRST_ROOM:
        words = f"the first loss is {losses[0]:.2f} where random weights give {even:.2f}: the forward pass is wrong"
        yield Cause(cause=words, hint=UPGRADE)
    if end is not None and end.number("moved") == 0.0:
        words = "it does not learn: the optimizer ran and changed no weight"
        yield Cause(cause=words, hint=RECREATE)
    size = size_of(case, job)
    if len(losses) < size.steps and case.trouble(job) is None:
        yield Cause(cause=f"{len(losses)} steps were trained, at least {size.steps} had to be", hint=RECREATE)
    if len(losses) >= size.steps and not run.final_loss < size.below:
        words = f"it does not learn: the last loss is {run.final_loss:.3f}, the bound {size.below:.3g}"
        yield Cause(cause=words, hint=UPGRADE)
    scale = end.number("scale") if end is not None else None
    if scale is not None and not scale >= 1:
        words = f"gradients overflow fp16 even unscaled (by {scale:g}): a kernel of the backward pass is wrong"
        yield Cause(cause=words, hint=UPGRADE)
    if any(not loss < size.below for loss in others):
        yield Cause(cause="with another seed the last loss is above the bound", hint=UPGRADE)


def on_device(case: Case, job: str, suffix: str) -> Check:
    """Was the work done on the device: tensors there, memory taken, kernels counted?"""
    title = f"Work on the device{suffix}"
    name = "on-device" + job.removeprefix("training")
    expected = "parameters, gradients and optimizer state on the GPU, their bytes at least, kernels of every kind"
    end = next((m for m in case.seen.all("trained", job=job) if m.text("run") == "eager"), None)
    if not case.gpu:
        return case.not_run(name, title, expected=expected, why="CPU: the work was done on the CPU")
    if end is None:
        return case.not_run(name, title, expected=expected, why="no training ran to its end")
    profile = case.seen.first("profile", job=job)
    sizes = {key: int(value) for key, value in end.table("bytes").items() if isinstance(value, int)}
    needed = sum(sizes.values())
    groups = {key: value for key, value in (profile.table("groups") if profile else {}).items() if value}
    seen = f"peak {gigabytes(end.whole('memory'))}, of which tensors {gigabytes(needed)}; "
    seen += f"{profile.whole('kernels') if profile else 0} kernels in one step"
    seen += f" ({', '.join(f'{key} {value}' for key, value in groups.items())})" if groups else ""
    problem = next(_device_problems(end, sizes, needed), None)
    if problem is not None:
        return case.check(name, title, "failed", seen=seen, expected=expected, cause=problem)
    if profile is None or profile.whole("kernels") == 0:
        why = profile.text("message") if profile else "the profiler did not answer"
        words = f"the profiler recorded no kernel ({why or 'CUPTI gives nothing here'}); memory and tensors agree"
        cause = Cause(cause=words, hint=DOCTOR)
        return case.check(name, title, "warned", seen=seen, expected=expected, cause=cause)
    absent = [group for group in NEEDED_GROUPS if group not in groups]
    if absent:
        cause = Cause(cause=f"no kernel of this kind was recognized by its name: {', '.join(absent)}", hint=DOCTOR)
        return case.check(name, title, "warned", seen=seen, expected=expected, cause=cause)
    return case.check(name, title, "passed", seen=seen, expected=expected)


def _device_problems(end: Message, sizes: dict[str, int], needed: int) -> Iterator[Cause]:
    elsewhere = [key for key, value in end.table("elsewhere").items() if value]
    if elsewhere:
        yield Cause(cause=f"not on the GPU: {', '.join(elsewhere)}", hint=DOCTOR)
    if any(size == 0 for size in sizes.values()) or not sizes:
        yield Cause(cause="gradients or optimizer state do not exist: the optimizer did nothing", hint=RECREATE)
    if end.whole("memory") < needed:
        words = f"the GPU holds {gigabytes(end.whole('memory'))}, the tensors alone take {gigabytes(needed)}"
        yield Cause(cause=words, hint=DOCTOR)


def left_out(case: Case, job: str, what: str) -> str | None:
    """Return why a run was left out for want of time, ``None`` where it was not."""
    message = next((m for m in case.seen.all("left-out", job=job) if m.text("what") == what), None)
    if message is None:
        return None
    took, left = message.number("step_seconds") or 0.0, message.number("left") or 0.0
    return f"{message.whole('steps')} steps of {took:.2g} s do not fit into the {max(left, 0.0):.0f} s that are left"


def graph(case: Case, job: str, suffix: str) -> Check:
    """Do the same steps as one CUDA graph give the same losses, and how fast?"""
    title = f"The same steps as a CUDA graph{suffix}"
    name = "graph" + job.removeprefix("training")
    expected = "the losses of the eager steps, one launch a step"
    if not case.gpu:
        return case.not_run(name, title, expected=expected, why="CPU: CUDA graphs are for GPUs")
    runs = {run.mode: run for run in runs_of(case, job)}
    failed = case.seen.first("graph-failed", job=job)
    if failed is not None:
        cause = of_words(failed.text("message"))
        return case.check(name, title, "warned", seen=failed.text("message")[:300], expected=expected, cause=cause)
    if (reason := left_out(case, job, "graph")) is not None:
        return case.not_run(name, title, expected=expected, why=reason)
    if "graph" not in runs or "eager" not in runs:
        return case.not_run(name, title, expected=expected, why="no training ran to its end")
    eager, made = runs["eager"], runs["graph"]
    apart = max(abs(a.loss - b.loss) for a, b in zip(eager.steps, made.steps, strict=False))
    seen = f"loss {made.final_loss:.3f}, largest difference {apart:.2g}, {made.samples_per_second:.1f} samples/s"
    seen += f" ({made.samples_per_second / eager.samples_per_second:.1f}× eager)" if eager.samples_per_second else ""
    if made.shortest_step_seconds:
        took = made.batch_size / made.samples_per_second
        seen += f", {made.shortest_step_seconds / took:.0%} of the card's limit"
    if not apart <= GRAPH_ROOM:
        cause = Cause(cause="the replayed steps compute something else than the eager ones", hint=UPGRADE)
        return case.check(name, title, "failed", seen=seen, expected=expected, cause=cause)
    return case.check(name, title, "passed", seen=seen, expected=expected, seconds=made.seconds)
