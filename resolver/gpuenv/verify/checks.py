"""Turns what was observed into the report: every check in the design's order, the facts, the log."""

from __future__ import annotations

from gpuenv.model.verification import Check, Report, Verdict
from gpuenv.verify import check_devices, check_files, check_numbers, check_probes, check_speed, check_training
from gpuenv.verify.observed import Observed

LARGEST_LOG = 4000
LONGEST_VALUE = 400


def make_report(observed: Observed, *, seconds: float) -> Report:
    """Turn everything that was observed into the report. Pure: the same makes the same."""
    checks: list[Check] = [
        check_files.installed(observed),
        check_files.startup(observed),
        check_devices.driver(observed),
        check_devices.imports(observed),
        check_devices.devices(observed),
        check_files.native_code(observed),
        check_devices.no_jit(observed),
    ]
    training = [ended.job for ended in observed.ended if ended.job.startswith("training")] or ["training"]
    for number, job in enumerate(training):
        suffix = f", GPU {observed.gpus()[number].index}" if len(training) > 1 else ""
        checks += [
            check_training.training(observed, job, suffix),
            check_training.on_device(observed, job, suffix),
            check_training.graph(observed, job, suffix),
        ]
    checks += [
        check_numbers.numbers(observed),
        check_numbers.kernels(observed),
        check_speed.speed(observed),
        check_speed.several_gpus(observed),
        check_speed.compiles(observed),
        *check_probes.probes(observed),
    ]
    runs = tuple(run for job in training for run in check_training.runs_of(observed, job))
    first = (observed.seeds[0], runs[0].final_loss) if runs else None
    return Report(
        verdict=_verdict(checks, trained=bool(runs)),
        accelerator="cuda" if observed.gpu else "cpu",
        checks=tuple(checks),
        training=runs[0] if runs else None,
        facts=_facts(observed),
        log=_log(observed),
        seconds=seconds,
        runs=runs,
        curves=check_numbers.curves_of(observed),
        families=check_numbers.families_of(observed),
        rates=check_speed.rates_of(observed),
        final_losses=(first, *check_training.final_losses(observed, "training")) if first else (),
    )


def _verdict(checks: list[Check], *, trained: bool) -> Verdict:
    """Nothing may pass that did not train: a verification without a proof is none."""
    statuses = {check.status for check in checks}
    if "failed" in statuses or not trained:
        return "failed"
    return "unusual" if "unusual" in statuses else "passed"


def _facts(observed: Observed) -> tuple[tuple[str, str], ...]:
    facts = {"environment": observed.shown, "python": observed.installed.python_version}
    for item in observed.installed.distributions:
        facts[f"package {item.name}"] = item.version
    for library, code in observed.code:
        machine_code = ", ".join(f"{name} {count}" for name, count in code.sass)
        ptx = ", ".join(f"{name} {count}" for name, count in code.ptx) or "none"
        facts[f"device code {library}"] = f"{machine_code or 'none'}; PTX: {ptx}"
    if (torch := observed.first("torch", job="training")) is not None:
        facts["torch git"] = torch.text("git")
        facts["torch import seconds"] = f"{torch.amount('seconds'):.2f}"
        facts["torch threads"] = str(torch.whole("threads"))
    if (sized := observed.first("sized", job="training")) is not None:
        facts["training size"] = (
            f"{sized.text('model')}, {sized.whole('steps')} of {sized.whole('wished')} steps: a step took "
            f"{sized.amount('step_seconds'):.3g} s, {sized.amount('left'):.0f} s of the budget were left"
        )
    for message in observed.all("threads"):
        counts = ", ".join(f"{count}: {took} s" for count, took in message.table("seconds").items())
        facts[f"threads {message.job}"] = (
            f"{message.whole('chosen')} (a pass of the smallest model by threads: {counts})"
        )
    if (devices := observed.first("devices", job="training")) is not None:
        for name in ("cudnn", "nccl"):
            if value := devices.value(name):
                facts[name] = str(value)
        if observed.gpu:
            facts["cuda start seconds"] = f"{devices.amount('seconds'):.2f}"
        elif devices.text("processor"):
            facts["processor"] = devices.text("processor")
    if (driver := observed.first("driver", job="driver")) is not None:
        facts["driver library"] = driver.text("path")
        facts["driver cuda"] = driver.text("cuda")
    for ended in observed.ended:
        facts[f"seconds {ended.job}"] = f"{ended.seconds:.1f}"
    facts["reference curve"] = f"{len(observed.reference.losses)} steps, language {observed.reference.language[:16]}"
    return tuple((name, observed.plain(value)) for name, value in sorted(facts.items()))


def _log(observed: Observed) -> tuple[str, ...]:
    """Write what was said, by process; numbers as they came."""
    lines: list[str] = []
    for message in observed.messages:
        values = ", ".join(f"{key}={_short(value)}" for key, value in message.values.items())
        lines.append(f"{message.at:9.3f} {message.job:<12} {message.event}: {values}".rstrip(": "))
    for ended in observed.ended:
        lines.append(f"          {ended.job:<12} ended: {ended.ending} {ended.status} after {ended.seconds:.1f} s")
        lines += [f"          {ended.job:<12} stderr: {line}" for line in ended.stderr[-40:]]
    return tuple(observed.plain(line) for line in lines[:LARGEST_LOG])


def _short(value: object) -> str:
    text = str(value)
    return text if len(text) <= LONGEST_VALUE else f"{text[:LONGEST_VALUE]}… ({len(text)} characters)"
