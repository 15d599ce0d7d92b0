"""The verification of one environment: which processes run when, and the report that comes of them."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from shlex import quote
from typing import Literal

from gpuenv.errors import TargetError
from gpuenv.installed.compare import compare
from gpuenv.installed.environment import EnvironmentFacts, read_environment
from gpuenv.knowledge.scheduler import owner_of_mask
from gpuenv.model.machine import Machine
from gpuenv.model.profile import VerificationPlan
from gpuenv.model.verification import Report
from gpuenv.report import Reporter
from gpuenv.verify import limits, reference
from gpuenv.verify.case import Case, plain_uuid
from gpuenv.verify.fatbin import DeviceCode, FatbinError, read_library
from gpuenv.verify.judging import judge
from gpuenv.verify.progress import Progress
from gpuenv.verify.runner import Job, PayloadEnded, run_jobs
from gpuenv.verify.seen import Message, collect
from gpuenv.verify.surroundings import dropped, scrub
from gpuenv.verify.values import CardLimits, Expected

Accelerator = Literal["cuda", "cpu"]

SILENCE = 150.0
"""Seconds without an event after which a process is held to hang: an import from a cold network disk takes a minute."""
BUDGETS = {"cuda": 20.0, "cpu": 60.0}
"""Seconds that the whole may take, files warm; on a CPU also while other programs hold two cores."""
TYPES = ("float32", "float16", "bfloat16")
SEEDS = (1, 2, 3)
WITHOUT_COMPILER = {"CUDA_DISABLE_PTX_JIT": "1", "CUDA_CACHE_DISABLE": "1"}
"""The driver compiles no PTX, and takes nothing that it compiled for another process: on a host with two cards the
control beside this one was faster, and its module came out of the cache, without an error."""
GROUP_TIMEOUT = 120


@dataclass(slots=True)
class _Room:
    """The state of one verification in progress."""

    python: Path
    paths: tuple[str, ...]
    isolated: bool
    environ: dict[str, str]
    gpu: bool
    uuids: tuple[str, ...]
    budget: float
    """The point of :func:`time.monotonic` at which training ought to be done."""
    deadline: float
    silence: float
    on_message: Callable[[Message], None]
    ended: list[PayloadEnded] = field(default_factory=list)

    def job(
        self, name: str, task: str, *, waits: bool = False, more: Mapping[str, str] | None = None, **settings: object
    ) -> Job:
        """Describe one payload process."""
        common: dict[str, object] = {
            "task": task,
            "paths": self.paths,
            "device": "cuda" if self.gpu else "cpu",
            "uuids": self.uuids,
            "wait": waits,
        }
        return Job(
            name=name,
            python=self.python,
            settings=common | settings,
            environ=self.environ | dict(more or {}),
            isolated=self.isolated,
            waits=waits,
        )

    def run(self, jobs: Sequence[Job]) -> None:
        """Run jobs side by side and remember how they ended."""
        self.ended += run_jobs(jobs, deadline=self.deadline, silence=self.silence, on_message=self.on_message)


def run_verification(
    environment: Path,
    *,
    plan: VerificationPlan,
    accelerator: Accelerator,
    expected: Expected,
    machine: Machine,
    environ: Mapping[str, str],
    reporter: Reporter,
    card_limits: Sequence[CardLimits] = (),
    on_event: Callable[[Message], None] | None = None,
    silence: float = SILENCE,
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
    with Progress(reporter, plan, gpu=accelerator == "cuda") as progress, tempfile.TemporaryDirectory() as scratch:

        def hear(message: Message) -> None:
            messages.append(message)
            progress.hear(message)
            if on_event is not None:
                on_event(message)

        room = _Room(
            python=there.python,
            paths=tuple(str(path) for path in there.paths),
            # Packages of the system can only be found by running the system's own start-up code.
            isolated=not there.system_site_packages,
            environ=scrub(environ, scratch=scratch),
            gpu=accelerator == "cuda",
            uuids=_scope(expected, machine),
            budget=begin + (plan.budget_seconds or BUDGETS[accelerator]),
            deadline=begin + plan.deadline_seconds,
            silence=silence,
            on_message=hear,
        )
        _run_all(room, plan, expected, there, environ, scratch)
    case = Case(
        gpu=room.gpu,
        plan=plan,
        expected=expected,
        machine=machine,
        installed=there,
        compared=compare(there, deep=deep),
        seen=collect(messages),
        ended=tuple(room.ended),
        environ=environ,
        dropped=dropped(environ),
        code=_device_code(there) if room.gpu else (),
        limits=limits.of_cards(card_limits),
        reference=reference.load(),
        seeds=SEEDS,
    )
    return judge(case, seconds=time.monotonic() - begin)


def _scope(expected: Expected, machine: Machine) -> tuple[str, ...]:
    uuids = tuple(gpu.uuid for gpu in expected.gpus) or tuple(gpu.uuid for gpu in machine.gpus)
    return tuple(plain_uuid(uuid) for uuid in uuids)


def _run_all(
    room: _Room,
    plan: VerificationPlan,
    expected: Expected,
    there: EnvironmentFacts,
    environ: Mapping[str, str],
    scratch: str,
) -> None:
    if room.gpu:
        _run_driver(room, environ)
    if there.torch is None:
        return  # nothing to import: the files alone are judged
    if room.gpu and not there.torch.cuda:
        # A CPU build: its import is shown, and nothing is trained on a CPU in the name of a GPU.
        room.run([_training_job(room, plan, expected, "training", ())])
        return
    count = max(len(room.uuids), 1)
    jobs = [
        _training_job(
            room, plan, expected, "training" if number == 0 else f"training-{number}", room.uuids[number:][:1]
        )
        for number in range(count if room.gpu else 1)
    ]
    jobs.append(room.job("numbers", "numbers", types=TYPES[:1] if room.gpu else TYPES))
    if room.gpu:
        # Each type by itself: cuDNN compiles its attention kernels for each, four seconds of one core.
        jobs += [room.job(f"numbers-{name}", "families", types=[name]) for name in TYPES[1:]]
        jobs.append(room.job("native", "native", more=WITHOUT_COMPILER))
        if there.site is not None and (there.site / "triton").is_dir():
            jobs.append(room.job("compile", "compile"))
    room.run(jobs)
    if room.gpu and count > 1:
        meeting = f"{scratch}/meeting"
        room.run(
            [
                room.job(f"rank-{rank}", "ranks", rank=rank, world=count, meeting=meeting, timeout=GROUP_TIMEOUT)
                for rank in range(count)
            ]
        )


def _training_job(room: _Room, plan: VerificationPlan, expected: Expected, name: str, uuids: tuple[str, ...]) -> Job:
    return room.job(
        name,
        "training",
        # What is timed waits until nothing else computes; one GPU does not disturb another.
        waits=True,
        uuids=uuids,
        packages=[(item.project, item.module) for item in expected.companions] if name == "training" else [],
        model=plan.model,
        precision=plan.precision,
        batch_size=plan.batch_size,
        samples=plan.samples,
        steps=plan.steps,
        budget=room.budget - time.monotonic(),
        seeds=SEEDS if room.gpu and name == "training" else SEEDS[:1],
    )


def _run_driver(room: _Room, environ: Mapping[str, str]) -> None:
    """Ask the driver library alone, with and without its compiler, and as the person's own loader path finds it."""
    loader = {name: environ[name] for name in ("LD_LIBRARY_PATH", "LD_PRELOAD") if environ.get(name)}
    bare = dict(room.environ)
    if owner_of_mask(environ) is None:  # the GPUs that a scheduler did not give stay untouched
        bare.pop("CUDA_VISIBLE_DEVICES", None)
    heard: list[Message] = []
    listener = room.on_message

    def hear(message: Message) -> None:
        heard.append(message)
        listener(message)

    def jobs(more: Mapping[str, str]) -> list[Job]:
        named = {"driver": {}, "driver-nojit": WITHOUT_COMPILER}
        return [
            Job(
                name=name,
                python=room.python,
                settings={"task": "driver", "ptx": True},
                environ=bare | dict(more) | switch,
            )
            for name, switch in named.items()
        ]

    first = jobs({})
    if loader:
        own = Job(name="driver-user", python=room.python, settings={"task": "driver"}, environ=bare | loader)
        first.append(own)
    ended = run_jobs(first, deadline=room.deadline, silence=room.silence, on_message=heard.append)
    works = {message.job: message.flag("loaded") for message in heard if message.event == "driver"}
    if not works.get("driver") and works.get("driver-user"):
        # Found on the loader path alone (containers, NixOS): the payload cannot do without it.
        room.environ |= {name: value for name, value in loader.items() if name == "LD_LIBRARY_PATH"}
        heard.clear()
        ended = run_jobs(jobs(room.environ), deadline=room.deadline, silence=room.silence, on_message=heard.append)
    for message in heard:
        listener(message)
    room.ended += ended


def _device_code(there: EnvironmentFacts) -> tuple[tuple[str, DeviceCode], ...]:
    """Read the code in torch's own libraries and in those of CUDA beside it."""
    cuda = ("libcublasLt.so.*", "libnccl.so.*", "libcudnn_engines_precompiled.so.*")
    patterns = ["torch/lib/libtorch_cuda*.so", *(f"nvidia/**/{name}" for name in cuda)]
    libraries = [path for site in there.sites for pattern in patterns for path in site.glob(pattern)]
    found = []
    for path in sorted(libraries):
        try:
            code = read_library(path)
        except (OSError, FatbinError):
            continue
        if code.fatbins:
            found.append((path.name, code))
    return tuple(found)
