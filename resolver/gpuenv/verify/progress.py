"""Draws what the payload says: one bar over the steps that are known beforehand, and what is being done."""

from __future__ import annotations

from gpuenv.model.profile import VerificationPlan
from gpuenv.report import Reporter
from gpuenv.verify.messages import Message

DOING = {
    "importing": "importing {module}",
    "starting-cuda": "starting CUDA",
    "threads": "choosing threads",
    "language": "small model",
    "family": "{family} in {type}",
    "kernel": "{name} without the driver's compiler",
    "compiling": "torch.compile",
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
