"""Draws what the payload says: one bar over the steps that are known beforehand."""

from __future__ import annotations

from contextlib import AbstractContextManager

from gpuenv.model.profile import VerificationPlan
from gpuenv.report import Reporter, Task
from gpuenv.verify.seen import Message


class Progress:
    """A progress bar that listens to messages."""

    def __init__(self, reporter: Reporter, plan: VerificationPlan, *, gpu: bool) -> None:
        steps = plan.steps * 2 if gpu else plan.steps
        title = f"Verifying on the {'GPU' if gpu else 'CPU'}"
        self._reporter = reporter
        self._context: AbstractContextManager[Task] = reporter.task(title, total=steps, unit="steps")
        self._task: Task | None = None

    def __enter__(self) -> Progress:
        self._task = self._context.__enter__()
        return self

    def __exit__(self, *error: object) -> None:
        self._context.__exit__(None, None, None)

    def hear(self, message: Message) -> None:
        """Show one event."""
        assert self._task is not None
        if message.event == "step" and message.job == "training":
            loss = message.number("loss")
            self._task.update(text=f"{message.text('run')} step {message.whole('step')}: loss {loss:.3f}")
            self._task.advance(1)
        elif message.event in ("importing", "starting-cuda", "profiling", "compiling", "progress"):
            self._task.update(
                text=f"{message.job}: {message.event} {message.text('module') or message.text('of')}".strip()
            )
        elif message.event == "warning":
            self._reporter.detail(f"{message.job}: {message.text('kind')}: {message.text('message')}")
