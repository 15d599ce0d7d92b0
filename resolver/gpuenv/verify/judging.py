"""Turns what was seen into the report: every check in the design's order, the facts, the log."""

from __future__ import annotations

from gpuenv.model.verification import Check, Report, Verdict
from gpuenv.verify import judge_devices, judge_files, judge_numbers, judge_speed, judge_training
from gpuenv.verify.case import Case

LARGEST_LOG = 4000
LONGEST_VALUE = 400


def judge(case: Case, *, seconds: float) -> Report:
    """Turn everything that was seen into the report. Pure: the same case makes the same report."""
    checks: list[Check] = [
        judge_files.installed(case),
        judge_files.startup(case),
        judge_devices.driver(case),
        judge_devices.imports(case),
        judge_devices.devices(case),
        judge_files.native_code(case),
        judge_devices.no_jit(case),
    ]
    training = [ended.job for ended in case.ended if ended.job.startswith("training")] or ["training"]
    for number, job in enumerate(training):
        suffix = f", GPU {case.gpus()[number].index}" if len(training) > 1 else ""
        checks += [
            judge_training.training(case, job, suffix),
            judge_training.on_device(case, job, suffix),
            judge_training.graph(case, job, suffix),
        ]
    checks += [
        judge_numbers.numbers(case),
        judge_numbers.kernels(case),
        judge_speed.speed(case),
        judge_speed.several_gpus(case),
        judge_speed.compiles(case),
    ]
    runs = tuple(run for job in training for run in judge_training.runs_of(case, job))
    return Report(
        verdict=_verdict(checks, trained=bool(runs)),
        accelerator="cuda" if case.gpu else "cpu",
        checks=tuple(checks),
        training=runs[0] if runs else None,
        facts=_facts(case),
        log=_log(case),
        seconds=seconds,
        runs=runs,
        curves=judge_numbers.curves_of(case),
        families=judge_numbers.families_of(case),
        rates=judge_speed.rates_of(case),
        final_losses=_final_losses(case, runs[0].final_loss if runs else None),
    )


def _verdict(checks: list[Check], *, trained: bool) -> Verdict:
    """Nothing may pass that did not train: a verification without a proof is none."""
    statuses = {check.status for check in checks}
    if "failed" in statuses or not trained:
        return "failed"
    return "unusual" if "unusual" in statuses else "passed"


def _final_losses(case: Case, first: float | None) -> tuple[tuple[int, float], ...]:
    if first is None:
        return ()
    others = [(message.whole("seed"), message.number("loss")) for message in case.seen.all("seed", job="training")]
    return ((case.seeds[0], first), *((seed, loss if loss is not None else float("nan")) for seed, loss in others))


def _facts(case: Case) -> tuple[tuple[str, str], ...]:
    facts = {"environment": case.shown, "python": case.installed.python_version}
    for item in case.installed.distributions:
        facts[f"package {item.name}"] = item.version
    for library, code in case.code:
        machine_code = ", ".join(f"{name} {count}" for name, count in code.sass)
        ptx = ", ".join(f"{name} {count}" for name, count in code.ptx) or "none"
        facts[f"device code {library}"] = f"{machine_code or 'none'}; PTX: {ptx}"
    if (torch := case.seen.first("torch", job="training")) is not None:
        facts["torch git"] = torch.text("git")
        facts["torch import seconds"] = f"{torch.number('seconds') or 0.0:.2f}"
        facts["torch threads"] = str(torch.whole("threads"))
    if (sized := case.seen.first("sized", job="training")) is not None:
        facts["training size"] = (
            f"{sized.text('model')}, {sized.whole('steps')} of {sized.whole('wished')} steps: a step took "
            f"{sized.number('step_seconds') or 0.0:.3g} s, {sized.number('left') or 0.0:.0f} s of the budget were left"
        )
    for message in case.seen.all("threads"):
        words = ", ".join(f"{count}: {took} s" for count, took in message.table("seconds").items())
        facts[f"threads {message.job}"] = (
            f"{message.whole('chosen')} (a pass of the smallest model by threads: {words})"
        )
    if (seen := case.seen.first("devices", job="training")) is not None:
        for name in ("cudnn", "nccl"):
            if value := seen.value(name):
                facts[name] = str(value)
        if case.gpu:
            facts["cuda start seconds"] = f"{seen.number('seconds') or 0.0:.2f}"
        elif seen.text("processor"):
            facts["processor"] = seen.text("processor")
    if (driver := case.seen.first("driver", job="driver")) is not None:
        facts["driver library"] = driver.text("path")
        facts["driver cuda"] = driver.text("cuda")
    for ended in case.ended:
        facts[f"seconds {ended.job}"] = f"{ended.seconds:.1f}"
    facts["reference curve"] = f"{len(case.reference.losses)} steps, language {case.reference.language[:16]}"
    return tuple((name, case.plain(value)) for name, value in sorted(facts.items()))


def _log(case: Case) -> tuple[str, ...]:
    """Write what was said, by process; numbers as they came."""
    lines: list[str] = []
    for message in case.seen.messages:
        values = ", ".join(f"{key}={_short(value)}" for key, value in message.values.items())
        lines.append(f"{message.at:9.3f} {message.job:<12} {message.event}: {values}".rstrip(": "))
    for ended in case.ended:
        lines.append(f"          {ended.job:<12} ended: {ended.ending} {ended.status} after {ended.seconds:.1f} s")
        lines += [f"          {ended.job:<12} stderr: {line}" for line in ended.words[-40:]]
    return tuple(case.plain(line) for line in lines[:LARGEST_LOG])


def _short(value: object) -> str:
    text = str(value)
    return text if len(text) <= LONGEST_VALUE else f"{text[:LONGEST_VALUE]}… ({len(text)} characters)"
