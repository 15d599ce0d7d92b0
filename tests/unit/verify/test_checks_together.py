"""Two GPUs together, on the recording with two ranks added, and made wrong in one value each."""

from __future__ import annotations

import dataclasses

import pytest

from gpuenv.verify.messages import Message
from gpuenv.verify.observed import Observed
from support.verify_observed import MACHINE, check_of, ended, observed


def _two_gpus(
    *, wrong: int = 0, error: float = 1e-7, digests: tuple[str, str] = ("a", "a"), pairs: int = 2
) -> Observed:
    made = observed()
    second = dataclasses.replace(MACHINE.gpus[0], index=1, uuid="GPU-second")
    messages = list(made.messages)
    for rank in range(2):
        job = f"rank-{rank}"
        messages.append(Message(job=job, event="sum", at=1.0, values={"elements": 1000, "wrong": wrong}))
        values = {"error": error, "gradients": digests[rank]}
        messages.append(Message(job=job, event="parallel-step", at=1.0, values=values))
        messages.append(Message(job=job, event="finished", at=2.0, values={}))
    for number in range(pairs):
        values = {"source": number, "target": 1 - number, "peer": True, "wrong": 0}
        messages.append(Message(job="rank-0", event="pair", at=1.0, values=values))
    return dataclasses.replace(
        made,
        machine=dataclasses.replace(MACHINE, gpus=(MACHINE.gpus[0], second)),
        messages=tuple(messages),
        ended=(*made.ended, ended("rank-0"), ended("rank-1")),
    )


def test_two_gpus_that_agree() -> None:
    check = check_of(_two_gpus(), "several-gpus")
    assert check.status == "passed"
    assert check.seen == "2 ranks, 2 sums, gradients apart by 1e-07, 2 pairs copied, 2 with peer access"


@pytest.mark.parametrize(
    ("made", "words"),
    [
        (_two_gpus(wrong=7), "7 wrong elements of 1000"),
        (_two_gpus(error=0.5), "not those of the whole batch"),
        (_two_gpus(digests=("a", "b")), "different gradients"),
        (_two_gpus(pairs=1), "2 ranks and 1 pairs reported"),
    ],
)
def test_two_gpus_that_do_not_agree(made: Observed, words: str) -> None:
    check = check_of(made, "several-gpus")
    assert check.status == "failed"
    assert words in check.cause


@pytest.mark.parametrize(
    ("found", "words"), [(0, "not run: torch found no device"), (1, "not run: torch found 1 of 2 devices")]
)
def test_ranks_without_devices_are_not_run(found: int, words: str) -> None:
    made = _two_gpus()
    kept = [message for message in made.messages if not message.job.startswith("rank-")]
    lacking = [
        Message(job=f"rank-{rank}", event="no-device", at=1.0, values={"rank": rank, "found": found})
        for rank in range(2)
    ]
    made = dataclasses.replace(made, messages=(*kept, *lacking))
    check = check_of(made, "several-gpus")
    assert (check.status, check.seen, check.cause) == ("not-applicable", words, "")
