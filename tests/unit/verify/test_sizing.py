"""How much is trained follows from what a step took, and what has to be learned from how much was trained."""

from __future__ import annotations

import dataclasses
import math

import pytest

from gpuenv.model.verification import Report
from gpuenv.verify.expected import learned_bound
from gpuenv.verify.messages import Message
from gpuenv.verify.payload import sizing
from support.verify_observed import altered, check_of, observed, report_of

PARAMETERS = {"gpt2": 124_439_808, "gpt2-small": 10_844_160, "gpt2-tiny": 858_880}


@pytest.mark.parametrize(
    ("wished", "probe", "left", "model"),
    [
        ("gpt2", 0.001, 40.0, "gpt2"),
        ("gpt2", 0.05, 40.0, "gpt2-small"),
        ("gpt2-small", 0.05, 40.0, "gpt2-small"),
        ("gpt2-small", 0.3, 30.0, "gpt2-tiny"),
        ("gpt2-small", 0.05, -3.0, "gpt2-tiny"),
        ("gpt2-small", 90.0, 40.0, "gpt2-tiny"),
        ("gpt2-tiny", 0.0001, 40.0, "gpt2-tiny"),
    ],
)
def test_the_model_follows_from_one_measured_step(wished: str, probe: float, left: float, model: str) -> None:
    chosen = sizing.model_that_fits(
        wished,
        probe_seconds=probe,
        probe_parameters=PARAMETERS["gpt2-tiny"],
        parameters=PARAMETERS,
        steps=14,
        left=left,
    )
    assert chosen == model


@pytest.mark.parametrize(
    ("took", "wished", "left", "steps"),
    [
        ([3.0], 14, 1000.0, 14),
        ([3.0, 0.1], 14, 10.0, 14),  # the first step loads kernels: it says nothing of the others
        ([3.0, 2.0], 14, 20.0, 10),
        ([3.0, 2.0], 14, 1.0, 6),
        ([3.0] * 8, 14, -5.0, 8),  # late: no step more
        ([3.0], 2, 0.0, 2),
        ([0.0, 0.0], 14, 1.0, 14),
        ([3.0, 2.0], 14, math.inf, 14),  # no budget was set
    ],
)
def test_the_steps_follow_from_the_measured_ones(took: list[float], wished: int, left: float, steps: int) -> None:
    assert sizing.steps_that_fit(took, planned=wished, left=left) == steps


@pytest.mark.parametrize(("model", "vocabulary"), [("gpt2", 50257), ("gpt2-small", 256), ("gpt2-tiny", 256)])
@pytest.mark.parametrize("steps", [6, 10, 14, 100])
def test_the_bound_lies_as_far_from_nothing_learned_as_from_a_right_run(
    model: str, vocabulary: int, steps: int
) -> None:
    nothing = math.log(vocabulary)
    below = learned_bound(model, steps=steps, vocabulary=vocabulary)
    assert nothing - below >= 4 * 0.12  # eight seeds of the smallest model differ by at most that from their middle
    assert below <= learned_bound(model, steps=max(steps - 4, 1), vocabulary=vocabulary)


def _shortened(steps: int, *, said: int | None = None, losses: tuple[float, ...] = ()) -> Report:
    """The recorded run, ended by its process after so many steps."""

    def edit(message: Message) -> Message | None:
        if message.event == "step" and message.whole("step") > steps:
            return None
        if message.event == "step" and losses:
            return altered(message, loss=losses[message.whole("step") - 1])
        if message.event == "seed":
            return altered(message, loss=5.0)
        return message

    made = observed(edit=edit)
    values = {"model": "gpt2", "steps": said or steps, "wished": 14, "step_seconds": 1.25, "threads": 8, "left": 0.5}
    sized = Message(job="training", event="sized", at=1.0, values=values)
    return report_of(dataclasses.replace(made, messages=(*made.messages, sized)))


def test_a_shortened_training_is_measured_by_what_it_could_learn() -> None:
    report = _shortened(8)
    check = next(check for check in report.checks if check.name == "training")
    assert (check.status, report.verdict) == ("passed", "passed")
    assert check.seen.count("sized: a step took 1.2 s (8 threads), so gpt2 and 8 steps") == 1
    assert dict(report.facts)["training size"].startswith("gpt2, 8 of 14 steps: a step took 1.25 s")


def test_a_shortened_training_that_learned_nothing_fails() -> None:
    report = _shortened(8, losses=(10.8,) * 8)
    check = next(check for check in report.checks if check.name == "training")
    assert (check.status, report.verdict) == ("failed", "failed")
    assert check.cause.startswith("it does not learn: the last loss is 10.800, the bound 7.")


def test_a_process_cannot_shorten_the_training_to_nothing() -> None:
    report = _shortened(2)
    check = next(check for check in report.checks if check.name == "training")
    assert (check.status, check.cause) == ("failed", "2 steps were trained, at least 6 had to be")


def test_a_run_left_out_for_want_of_time_says_so() -> None:
    def edit(message: Message) -> Message | None:
        return None if message.values.get("run") == "graph" else message

    made = observed(edit=edit)
    values = {"what": "graph", "steps": 14, "step_seconds": 1.0, "left": 3.2}
    message = Message(job="training", event="left-out", at=1.0, values=values)
    check = check_of(dataclasses.replace(made, messages=(*made.messages, message)), "graph")
    assert check.seen == "not run: 14 steps of 1 s do not fit into the 3 s that are left"
