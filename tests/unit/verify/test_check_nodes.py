"""Several hosts together: what two ranks told, right and changed; each fault is named with its rank, link or node."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from gpuenv.model.nodes import Meeting, NodesReport
from gpuenv.model.verification import Check
from gpuenv.verify.causes import Hints
from gpuenv.verify.check_nodes import Seen, make_report
from gpuenv.verify.evidence import About
from gpuenv.verify.messages import Message, problem_of
from gpuenv.verify.nodes import told_by
from gpuenv.verify.nodes_evidence import write
from gpuenv.verify.runner import PayloadEnded

RECORDED = Path(__file__).parents[2] / "data" / "verify" / "nodes.jsonl"
MEETING = Meeting(nodes=2, names=("a", "b"), endpoint="gpu1:29400", serves=None, run="gpuenv", node="a", wait=30.0)
ENDED = PayloadEnded(job="local-0", ending="exited", status=0, stderr=(), last="finished", seconds=5.0)
Edit = Callable[[Message], Message | None]


def recorded() -> tuple[Message, ...]:
    rows = [json.loads(line) for line in RECORDED.read_text("utf-8").splitlines()]
    return tuple(Message(job=row.pop("job"), event=row.pop("event"), at=row.pop("at"), values=row) for row in rows)


def seen(edit: Edit = lambda message: message, **changes: object) -> Seen:
    """What node a saw; ``edit`` changes what the ranks told, ``None`` leaves it out."""
    messages = recorded()
    told = tuple(after for each in told_by(messages) if (after := edit(each)) is not None)
    facts = Seen(asked=MEETING, gpu=True, hints=Hints(environment="env"), ended=(ENDED,), messages=messages, told=told)
    return dataclasses.replace(facts, **changes)  # type: ignore[arg-type] # fields of the value


def report(edit: Edit = lambda message: message, **changes: object) -> NodesReport:
    return make_report(seen(edit, **changes), seconds=5.0)


def check(of: NodesReport, name: str) -> Check:
    return next(each for each in of.checks if each.name == name)


def changed(event: str, rank: int | None = None, **values: object) -> Edit:
    """An edit that changes the values of one event, of one rank or all."""

    def edit(message: Message) -> Message | None:
        if message.event != event or rank not in (None, message.whole("rank")):
            return message
        return dataclasses.replace(message, values={**message.values, **values})

    return edit


def without(*events: str, rank: int | None = None) -> Edit:
    return lambda message: None if message.event in events and rank in (None, message.whole("rank")) else message


def test_what_two_ranks_told_passes_and_is_in_the_table() -> None:
    found = report()
    assert [(each.name, each.status) for each in found.checks if each.status != "passed"] == []
    assert (found.verdict, found.nodes, [rank.node for rank in found.ranks]) == ("passed", ("a", "b"), ["a", "b"])
    assert len(found.links) == 2
    assert [problem for each in seen().told if (problem := problem_of(each.event, each.values))] == []


def test_bus_bandwidth_is_that_of_nccl_tests() -> None:
    found = report(changed("bus", seconds=0.5))
    assert [(bus.bytes, bus.gigabytes) for bus in found.buses][-1] == (1 << 24, (1 << 24) / 0.5 * 2 * (2 - 1) / 2 / 1e9)


@pytest.mark.parametrize(
    ("edit", "name", "words"),
    [
        (changed("alone", 1, wrong=3), "all-reduce", "rank 1 on b is wrong: a sum over this rank alone"),
        (changed("total", wrong=9, blamed=[1]), "all-reduce", "rank 1 on b is wrong: the sums are off by a multiple"),
        (changed("total", 1, wrong=9, blamed=[]), "all-reduce", "rank 1 on b holds another sum than the others"),
        (changed("total", wrong=9, blamed=[0, 1]), "all-reduce", "wrong on every rank, and by no single rank's part"),
        (changed("sum", wrong=9), "all-reduce", "the sums (in float32, gradient in float32, int64) are wrong on every"),
        (changed("parallel-step", 1, gradients="00"), "data-parallel", "rank 0 on a, rank 1 on b holds other"),
        (changed("parallel-step", error=2e-5), "data-parallel", "the averaged gradients are not those"),
        (changed("parallel-step", error="nan"), "data-parallel", "the averaged gradients are not those"),
        (changed("link", 1, wrong=4), "links", "rank 0 on a sends what it should not"),
        (changed("link", wrong=4), "links", "copies from rank 0 on a to rank 1 on b, rank 1 on b to rank 0 on a"),
    ],
)  # fmt: skip
def test_a_fault_is_named_with_its_rank(edit: Edit, name: str, words: str) -> None:
    found = report(edit)
    assert found.verdict == "failed"
    assert words in check(found, name).cause
    assert check(found, name).hint == "NCCL_DEBUG=INFO gpuenv verify env --nodes 2 --rendezvous gpu1:29400"


def test_of_three_ranks_the_one_that_holds_other_gradients_is_named() -> None:
    def third(message: Message) -> tuple[Message, ...]:
        more = {**message.values, "rank": 2, **({"gradients": "00"} if message.event == "parallel-step" else {})}
        return (message, dataclasses.replace(message, values=more)) if message.whole("rank") == 1 else (message,)

    messages = tuple(
        dataclasses.replace(each, values={**each.values, "nodes": [*each.rows("nodes"), {**each.rows("nodes")[1]}]})
        if each.event == "met"
        else each
        for each in recorded()
    )
    told = tuple(after for each in told_by(recorded()) if each.event != "link" for after in third(each))
    found = make_report(dataclasses.replace(seen(), messages=messages, told=told), seconds=1.0)
    assert found.nodes == ("a", "b#1", "b#2")
    assert check(found, "data-parallel").cause == "rank 2 on b#2 holds other gradients than the rest"


def test_a_missing_node_is_named_and_what_cannot_be_reached_too() -> None:
    def missing(**values: object) -> Check:
        message = Message(job="local-0", event="missing", at=30.0, values=values)
        found = report(messages=(message,), told=())
        assert (found.verdict, len(found.checks)) == ("failed", 1)
        return found.checks[0]

    assert missing(came=["a"], lost="").cause == "b did not come"
    assert missing(came=["a"], lost="").seen == "1 of 2 nodes came: a"
    assert "cannot be reached, or was left: refused" in missing(came=["a"], lost="refused").cause
    assert "another run meets there" in missing(came=["a", "b", "c"], lost="").cause


def test_a_rank_that_went_is_named_by_those_who_hear_nothing_and_by_its_own_host() -> None:
    silent = (*recorded(), Message(job="local-0", event="silent", at=9.0, values={"rank": 1}))
    found = report(without("done", "total", "link", "bus", "parallel-step", rank=1), messages=silent)
    assert check(found, "ranks").cause == "nothing was heard of rank 1 on b: it ended or hangs"
    assert check(found, "all-reduce").status == "not-applicable"
    killed = dataclasses.replace(ENDED, ending="signal", status=9, last="sum")
    assert check(report(ended=(killed,)), "ranks").cause.startswith("rank 0 on a: signal 9: the system killed")
    assert check(report(without("done", rank=1)), "ranks").cause == "nothing was heard of rank 1 on b"


def test_a_link_far_below_its_kind_is_unusual_and_named() -> None:
    slow = [
        {"source": source, "target": target, "bytes": 1 << 20, "seconds": seconds, "wrong": 0, "rank": target}
        for source, target, seconds in ((0, 1, 0.001), (1, 0, 0.001), (0, 1, 0.001), (1, 0, 0.01))
    ]
    rows = tuple(Message(job=f"rank-{each['rank']}", event="link", at=1.0, values=each) for each in slow)
    facts = seen(without("link"))
    found = make_report(dataclasses.replace(facts, told=(*facts.told, *rows)), seconds=1.0)
    assert found.verdict == "unusual"
    assert check(found, "links").cause == "rank 1 on b to rank 0 on a reaches 10% of the median between nodes"


def test_another_torch_fails_and_another_lock_warns() -> None:
    def met(**values: object) -> tuple[Message, ...]:
        return tuple(
            dataclasses.replace(
                each, values={**each.values, "nodes": [each.rows("nodes")[0], {**each.rows("nodes")[1], **values}]}
            )
            if each.event == "met"
            else each
            for each in recorded()
        )

    assert (
        check(report(messages=met(torch="2.12.0")), "same-environment").cause == "b has another torch than 2.13.0+cpu"
    )
    assert check(report(messages=met(lock="ff")), "same-environment").status == "warned"


def test_the_evidence_names_no_folder_of_the_machine(tmp_path: Path) -> None:
    about = About(created="2026-11-26T12:00:00Z", gpuenv="0", command="gpuenv verify", environment=".venv-gpu")
    files = write(tmp_path, report=report(changed("alone", 1, wrong=3)), about=about)
    texts = [path.read_text("utf-8") for path in files]
    assert "rank 1 on b is wrong" in texts[0]
    assert json.loads(texts[2])["verdict"] == "failed"
    assert json.loads(texts[2])["buses"][-1]["gigabytes"] > 0
    assert not [text for text in texts if "/tmp" in text]
