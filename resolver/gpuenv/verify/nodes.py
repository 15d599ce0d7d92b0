"""Several hosts proved together: the processes that this host adds, and the report of what all ranks found."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Literal

from gpuenv.dataclass import dataclass
from gpuenv.errors import TargetError
from gpuenv.installed.environment import EnvironmentFacts, read_environment
from gpuenv.model.machine import Gpu
from gpuenv.model.nodes import Meeting, NodesReport
from gpuenv.report import Reporter
from gpuenv.shell import quote
from gpuenv.system.files import scratch
from gpuenv.system.home import home_of
from gpuenv.verify.causes import Hints
from gpuenv.verify.check_nodes import Seen, make_report
from gpuenv.verify.messages import Message, problem_of
from gpuenv.verify.payload.devices import plain_uuid
from gpuenv.verify.runner import PayloadJob, run_jobs, scrub
from gpuenv.verify.verification import GROUP_TIMEOUT, SILENCE

BLOCKING = {"TORCH_NCCL_BLOCKING_WAIT": "1", "NCCL_BLOCKING_WAIT": "1"}
"""A rank whose partner has gone raises an error and tells it; without, NCCL's watchdog aborts the process."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NodesAsked:
    """What is proved: an environment, on these GPUs (none: on the CPU), with those who come to a meeting."""

    environment: Path
    meeting: Meeting
    gpus: tuple[Gpu, ...]
    lock: str
    """The sha256 of the lock that the environment was built from; empty where it is not known."""
    deadline: float
    """Seconds that the work may take once all have met."""
    hints: Hints


def run_together(
    asked: NodesAsked,
    *,
    accelerator: Literal["cuda", "cpu"],
    environ: Mapping[str, str],
    reporter: Reporter,
) -> NodesReport:
    """Take part with this host: one process a GPU, or one on the CPU. Leaves no process and no file behind.

    Raises :class:`~gpuenv.errors.TargetError` where there is no environment to run.
    """
    begin = time.monotonic()
    there = read_environment(asked.environment)
    if there.python is None or there.torch is None:
        why = there.problems[0] if there.problems else "it has no torch"
        raise TargetError(
            f"{asked.hints.environment} cannot be verified: {why}",
            hints=(f"See what is wrong: `gpuenv doctor {quote(asked.hints.environment)}`",),
        )
    messages: list[Message] = []
    with scratch("nodes") as folder:

        def take(message: Message) -> None:
            messages.append(message)
            _say(message, reporter)

        jobs = _jobs(asked, there, accelerator, scrub(environ, scratch=str(folder)), meeting=str(folder / "meeting"))
        ended = run_jobs(
            jobs,
            deadline=begin + asked.meeting.wait + asked.deadline,
            silence=max(SILENCE[accelerator], asked.meeting.wait + 60.0, 2.0 * GROUP_TIMEOUT),
            on_message=take,
        )
    seen = Seen(
        asked=asked.meeting,
        gpu=accelerator == "cuda",
        hints=asked.hints,
        ended=ended,
        messages=tuple(messages),
        told=tuple(told_by(messages)),
        folders=(str(asked.environment), home_of(environ)),
    )
    return make_report(seen, seconds=time.monotonic() - begin)


def _jobs(
    asked: NodesAsked, there: EnvironmentFacts, accelerator: str, environ: dict[str, str], *, meeting: str
) -> list[PayloadJob]:
    assert there.python is not None
    count, facts = max(len(asked.gpus), 1), asked.meeting
    common: dict[str, object] = {
        "task": "nodes",
        "paths": tuple(map(str, there.paths)),
        "device": accelerator,
        "uuids": tuple(plain_uuid(gpu.uuid) for gpu in asked.gpus),
        "ranks": count,
        "nodes": facts.nodes,
        "node": facts.node,
        "endpoint": facts.endpoint,
        "serves": facts.serves,
        "id": facts.run,
        "wait": int(facts.wait),
        "meeting": meeting,
        "timeout": GROUP_TIMEOUT,
        "tells": {"lock": asked.lock},
    }
    return [
        PayloadJob(
            name=f"local-{local}",
            python=there.python,
            settings={**common, "local": local},
            environ=environ | BLOCKING,
            isolated=not there.system_site_packages,
        )
        for local in range(count)
    ]


def told_by(messages: Sequence[Message]) -> list[Message]:
    """The events of every rank, each under its rank's name; one that is not in the table counts as a failure of it."""
    told = []
    for message in messages:
        if message.event != "found":
            continue
        for row in message.rows("events"):
            values = dict(row)
            event, at = str(values.pop("event", "")), values.pop("at", 0.0)
            if problem := problem_of(event, values):
                event = "rank-failed"
                values = {"rank": message.whole("rank"), "kind": "unknown message", "message": problem}
            name = f"rank-{message.whole('rank')}"
            told.append(Message(job=name, event=event, at=at if isinstance(at, float) else 0.0, values=values))
    return told


def _say(message: Message, reporter: Reporter) -> None:
    say: Callable[[str], None] = reporter.say
    if message.event == "meeting":
        say(f"Waiting for {message.whole('nodes')} nodes at {message.text('endpoint')}")
    elif message.event == "came":
        names = message.texts("nodes")
        say(f"  {len(names)} of {message.whole('of')} are there: {', '.join(names)}")
    elif message.event == "warning":
        reporter.detail(f"{message.job}: {message.text('kind')}: {message.text('message')}")
