"""The verification of one environment: which processes run when, and the report that comes of them."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

from gpuenv.errors import TargetError
from gpuenv.installed.compare import compare
from gpuenv.installed.environment import EnvironmentFacts, read_environment
from gpuenv.installed.fatbin import DeviceCode, FatbinError, read_library
from gpuenv.knowledge.scheduler import owner_of_mask
from gpuenv.model.machine import Machine
from gpuenv.model.profile import VerificationPlan
from gpuenv.model.verification import Report
from gpuenv.report import Reporter
from gpuenv.shell import quote
from gpuenv.system.files import scratch
from gpuenv.verify.check_probes import needs_compiler
from gpuenv.verify.checks import make_report
from gpuenv.verify.expected import Expected, reference
from gpuenv.verify.messages import Message
from gpuenv.verify.observed import Observed
from gpuenv.verify.payload.devices import plain_uuid
from gpuenv.verify.probes import Probe, planned
from gpuenv.verify.runner import PayloadEnded, PayloadJob, dropped, run_jobs, scrub

Accelerator = Literal["cuda", "cpu"]

SILENCE = {"cuda": 150.0, "cpu": 300.0}
"""Seconds without an event after which a process is held to hang: an import from a cold network disk takes a minute, on
a busy processor two. Where no device can hang the deadline is the better judge, so that only half of it is waited."""
BUDGETS = {"cuda": 20.0, "cpu": 60.0}
"""Seconds that the whole may take, files warm; on a CPU also while other programs hold two cores."""
TYPES = ("float32", "float16", "bfloat16")
SEEDS = (1, 2, 3)
WITHOUT_COMPILER = {"CUDA_DISABLE_PTX_JIT": "1", "CUDA_CACHE_DISABLE": "1"}
"""The driver compiles no PTX, and takes nothing that it compiled for another process: on a host with two cards the
control beside this one was faster, and its module came out of the cache, without an error."""
GROUP_TIMEOUT = 120
SIDE_BY_SIDE = 4
"""Probes that run at once: each has a CUDA context of its own, half a gigabyte of the card."""


@dataclass(slots=True, kw_only=True)
class _Processes:
    """The payload processes of one verification, and how they ended."""

    there: EnvironmentFacts
    plan: VerificationPlan
    expected: Expected
    own: Mapping[str, str]
    """The person's variables."""
    environ: dict[str, str]
    """Those that the processes get."""
    gpu: bool
    uuids: tuple[str, ...]
    budget: float
    """The point of :func:`time.monotonic` at which training ought to be done."""
    deadline: float
    silence: float
    scratch: str
    probes: tuple[Probe, ...]
    heard: Sequence[Message]
    """Every message so far."""
    on_message: Callable[[Message], None]
    ended: list[PayloadEnded] = field(default_factory=list)

    def job(
        self, name: str, task: str, *, waits: bool = False, more: Mapping[str, str] | None = None, **settings: object
    ) -> PayloadJob:
        """Describe one payload process."""
        assert self.there.python is not None
        common: dict[str, object] = {
            "task": task,
            "paths": tuple(map(str, self.there.paths)),
            "device": "cuda" if self.gpu else "cpu",
            "uuids": self.uuids,
            "wait": waits,
        }
        return PayloadJob(
            name=name,
            python=self.there.python,
            settings=common | settings,
            environ=self.environ | dict(more or {}),
            # Packages of the system can only be found by running the system's own start-up code.
            isolated=not self.there.system_site_packages,
            waits=waits,
        )

    def run(self, jobs: Sequence[PayloadJob], *, on_message: Callable[[Message], None] | None = None) -> None:
        """Run jobs side by side and remember how they ended."""
        self.ended += run_jobs(
            jobs, deadline=self.deadline, silence=self.silence, on_message=on_message or self.on_message
        )

    def run_all(self) -> None:
        """Run every process that this environment and this machine call for."""
        if self.gpu:
            self._run_driver()
        torch, count = self.there.torch, max(len(self.uuids), 1)
        if torch is None:
            return  # nothing to import: the files alone are checked
        if self.gpu and not torch.cuda:
            # A CPU build: its import is shown, and nothing is trained on a CPU in the name of a GPU.
            self.run([self._training("training", ())])
            return
        names = ["training", *(f"training-{number}" for number in range(1, count if self.gpu else 1))]
        jobs = [self._training(name, self.uuids[number:][:1]) for number, name in enumerate(names)]
        if not self.gpu:
            jobs.append(self.job("numbers", "numbers", types=TYPES, budget=self._left()))
        else:
            jobs.append(self.job("numbers", "numbers", types=TYPES[:1]))
            # Each type by itself: cuDNN compiles its attention kernels for each, four seconds of one core.
            jobs += [self.job(f"numbers-{name}", "families", types=[name]) for name in TYPES[1:]]
            jobs.append(self.job("native", "native", more=WITHOUT_COMPILER))
            if self.there.site is not None and (self.there.site / "triton").is_dir():
                jobs.append(self.job("compile", "compile"))
        probes = [probe for probe in self.probes if not probe.skip]
        self.run([*jobs, *map(self._probe, probes[:SIDE_BY_SIDE])])
        for first in range(SIDE_BY_SIDE, len(probes), SIDE_BY_SIDE):
            self.run([self._probe(probe) for probe in probes[first : first + SIDE_BY_SIDE]])
        self._probe_with_compiler(probes)
        if self.gpu and count > 1:
            meeting = f"{self.scratch}/meeting"
            self.run(
                [
                    self.job(f"rank-{rank}", "ranks", rank=rank, world=count, meeting=meeting, timeout=GROUP_TIMEOUT)
                    for rank in range(count)
                ]
            )

    def _probe(self, probe: Probe, *, compiler: bool = False) -> PayloadJob:
        return self.job(
            probe.compiling_job if compiler else probe.job,
            "probe",
            more={} if compiler or not self.gpu else WITHOUT_COMPILER,
            project=probe.project,
            function=probe.function,
            imports=probe.imports,
            libraries=probe.libraries,
            torch=probe.torch,
        )

    def _probe_with_compiler(self, probes: Sequence[Probe]) -> None:
        """Run again, with the driver's compiler, what had no machine code: PTX alone starts slowly, and is right."""
        for probe in probes:
            found = [each.text("message") for each in self.heard if each.event == "probe" and each.job == probe.job]
            said = [line for each in self.ended if each.job == probe.job and not found for line in each.stderr]
            if self.gpu and needs_compiler([*found, *said]):
                self.run([self._probe(probe, compiler=True)])

    def _training(self, name: str, uuids: tuple[str, ...]) -> PayloadJob:
        first = name == "training"
        return self.job(
            name,
            "training",
            # What is timed waits until nothing else computes; one GPU does not disturb another.
            waits=True,
            uuids=uuids,
            packages=[(item.project, item.module) for item in self.expected.companions] if first else [],
            model=self.plan.model,
            precision=self.plan.precision,
            batch_size=self.plan.batch_size,
            samples=self.plan.samples,
            steps=self.plan.steps,
            budget=self._left(),
            seeds=SEEDS if self.gpu and first else SEEDS[:1],
        )

    def _left(self) -> float:
        """Seconds of the budget that are left now."""
        return self.budget - time.monotonic()

    def _run_driver(self) -> None:
        """Ask the driver library alone, with and without its compiler, and as the person's own loader path finds it."""
        python = self.there.python
        assert python is not None
        loader = {name: self.own[name] for name in ("LD_LIBRARY_PATH", "LD_PRELOAD") if self.own.get(name)}
        bare = dict(self.environ)
        if owner_of_mask(self.own) is None:  # the GPUs that a scheduler did not give stay untouched
            bare.pop("CUDA_VISIBLE_DEVICES", None)

        def probe(name: str, more: Mapping[str, str], *, ptx: bool = True) -> PayloadJob:
            settings = {"task": "driver", "ptx": ptx}
            return PayloadJob(name=name, python=python, settings=settings, environ=bare | dict(more))

        messages: list[Message] = []
        probes = [probe("driver", {}), probe("driver-nojit", WITHOUT_COMPILER)]
        if loader:
            probes.append(probe("driver-user", loader, ptx=False))
        self.run(probes, on_message=messages.append)
        works = {message.job: message.flag("loaded") for message in messages if message.event == "driver"}
        if not works.get("driver") and works.get("driver-user"):
            # Found on the loader path alone (containers, NixOS): the payload cannot do without it.
            self.environ |= {name: value for name, value in loader.items() if name == "LD_LIBRARY_PATH"}
            messages.clear()
            self.ended.clear()
            probes = [probe("driver", self.environ), probe("driver-nojit", self.environ | WITHOUT_COMPILER)]
            self.run(probes, on_message=messages.append)
        for message in messages:
            self.on_message(message)


def run_verification(
    environment: Path,
    *,
    plan: VerificationPlan,
    accelerator: Accelerator,
    expected: Expected,
    machine: Machine,
    environ: Mapping[str, str],
    reporter: Reporter,
    on_event: Callable[[Message], None] | None = None,
    silence: float | None = None,
    deep: bool = False,
) -> Report:
    """Prove an environment on this machine: every check of the design, each a value, in the design's order.

    Ends at ``plan.deadline_seconds`` at the latest (plus seconds to end processes) and leaves no process and no file
    behind. ``deep`` hashes every installed file. A wrong environment is a report with a failed check, never an
    exception. Raises :class:`~gpuenv.errors.TargetError` where there is no environment at all.
    """
    begin = time.monotonic()
    if accelerator == "cpu" and plan.model == "gpt2":
        # The same training on a smaller model: GPT-2 takes ten seconds a step on two cores.
        plan = replace(plan, model="gpt2-small", precision="fp32")
    there = read_environment(environment)
    if there.python is None or there.site is None:
        raise TargetError(
            f"{environment} cannot be verified: {there.problems[0]}",
            hints=(f"See what is wrong: `gpuenv doctor {quote(str(environment))}`",),
        )
    messages: list[Message] = []
    with Progress(reporter, plan, gpu=accelerator == "cuda") as progress, scratch("verify") as folder:

        def take(message: Message) -> None:
            messages.append(message)
            progress.show(message)
            if on_event is not None:
                on_event(message)

        gpus, gpu = expected.gpus or machine.gpus, accelerator == "cuda"
        uuids = [each.uuid for each in gpus]
        processes = _Processes(
            there=there,
            plan=plan,
            expected=expected,
            own=environ,
            environ=scrub(environ, scratch=str(folder)),
            gpu=gpu,
            uuids=tuple(map(plain_uuid, uuids)),
            budget=begin + (plan.budget_seconds or BUDGETS[accelerator]),
            deadline=begin + plan.deadline_seconds,
            silence=SILENCE[accelerator] if silence is None else silence,
            scratch=str(folder),
            probes=planned(there.versions, gpus=gpus, gpu=gpu, own=expected.probes),
            heard=messages,
            on_message=take,
        )
        processes.run_all()
    observed = Observed(
        gpu=processes.gpu,
        plan=plan,
        expected=expected,
        machine=machine,
        installed=there,
        compared=compare(there, deep=deep),
        messages=tuple(messages),
        ended=tuple(processes.ended),
        environ=environ,
        dropped=dropped(environ),
        code=_device_code(there, processes.probes) if processes.gpu else (),
        reference=reference(),
        seeds=SEEDS,
        probes=processes.probes,
    )
    return make_report(observed, seconds=time.monotonic() - begin)


def _device_code(there: EnvironmentFacts, probes: Sequence[Probe]) -> tuple[tuple[str, DeviceCode], ...]:
    """Read the code in torch's own libraries, in those of CUDA beside it, and in those that are probed (by path)."""
    cuda = ("libcublasLt.so.*", "libnccl.so.*", "libcudnn_engines_precompiled.so.*")
    torch = ("libtorch_cuda*.so", "torch_cuda*.dll")
    patterns = [*(f"torch/lib/{name}" for name in torch), *(f"nvidia/**/{name}" for name in cuda)]
    libraries = [(path, path.name) for site in there.sites for pattern in patterns for path in site.glob(pattern)]
    for site in there.sites:
        probed = {path for probe in probes for path in probe.files(site)}
        libraries += [(path, path.relative_to(site).as_posix()) for path in probed]
    found = []
    for path, name in sorted(libraries):
        try:
            code = read_library(path)
        except (OSError, FatbinError):
            continue
        if code.fatbins:
            found.append((name, code))
    return tuple(found)


DOING = {
    "importing": "importing {module}",
    "starting-cuda": "starting CUDA",
    "threads": "choosing threads",
    "language": "small model",
    "family": "{family} in {type}",
    "kernel": "{name} without the driver's compiler",
    "compiling": "torch.compile",
    "probing": "{project} on {device}",
    "profiling": "counting kernels",
    "seed": "training with another seed",
}
"""What an event means to somebody who waits; names in braces are the event's own values."""


class Progress:
    """A progress bar that listens to messages."""

    def __init__(self, reporter: Reporter, plan: VerificationPlan, *, gpu: bool) -> None:
        self._runs = 2 if gpu else 1
        self._title = f"Verifying on the {'GPU' if gpu else 'CPU'}"
        self._reporter = reporter
        self._context = reporter.task(self._title, total=plan.steps * self._runs, unit="steps")

    def __enter__(self) -> Progress:
        self._bar = self._context.__enter__()
        return self

    def __exit__(self, *error: object) -> None:
        self._context.__exit__(None, None, None)

    def show(self, message: Message) -> None:
        """Show one event."""
        if message.event == "step" and message.job == "training":
            self._say(f"step {message.whole('step')}, loss {message.number('loss'):.3f}")
            self._bar.advance(1)
        elif message.event == "sized" and message.job == "training":
            self._bar.update(total=message.whole("steps") * self._runs)
        elif message.event == "progress":
            self._say(f"{message.text('of')}, {message.whole('done')} of {message.whole('total')}")
        elif message.event in DOING:
            self._say(DOING[message.event].format_map(message.values))
        elif message.event == "warning":
            self._reporter.detail(f"{message.job}: {message.text('kind')}: {message.text('message')}")

    def _say(self, doing: str) -> None:
        self._bar.update(text=f"{self._title}: {doing}")
