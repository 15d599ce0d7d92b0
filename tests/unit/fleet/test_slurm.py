"""What Slurm says of its nodes, and the scripts of jobs: without a Slurm (a real one: tests/slurm)."""

from __future__ import annotations

import pytest

from gpuenv.fleet.slurm import (
    Gres,
    SlurmJob,
    drain,
    node_classes,
    parse_gres,
    parse_nodes,
    place_on_node,
    to_lines,
    to_script,
)

SINFO = """\
gpu2|mix|ib,hopper|gpu:h100:8(S:0-1)|none
gpu10|idle|hopper,ib|gpu:h100:8(S:0-1)|none
gpu1|down*|hopper,ib|gpu:h100:8(S:0-1)|power supply | again
gpu1|down*|hopper,ib|gpu:h100:8(S:0-1)|power supply | again
mixed1|alloc|(null)|gpu:a100:4(S:0,1),gpu:t4:2,shard:8|none
plain1|drng@|(null)|(null)|Not responding
$(rm)|idle|x|y|z
"""


def test_nodes_are_read_once_in_their_order_and_grouped() -> None:
    nodes = parse_nodes(SINFO)
    assert [(node.name, node.usable, node.reason) for node in nodes] == [
        ("gpu1", False, "power supply | again"),
        ("gpu2", True, ""),
        ("gpu10", True, ""),
        ("mixed1", True, ""),
        ("plain1", False, "Not responding"),
    ]
    groups = node_classes(nodes)
    assert [[node.name for node in group.nodes] for group in groups] == [
        ["gpu1", "gpu2", "gpu10"],
        ["mixed1"],
        ["plain1"],
    ]
    assert groups[0].usable == ("gpu2", "gpu10")
    assert [group.words for group in groups] == [
        "gpu:h100:8; hopper,ib", "gpu:a100:4,gpu:t4:2; no features", "no GPU; no features",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("gpu:2", [("", 2)]),
        ("gpu:h100:8(S:0-1)", [("h100", 8)]),
        ("gpu:a:1(IDX:0,2),gpu:b:3,craynetwork:4", [("a", 1), ("b", 3)]),
        ("gpu:0", []),
        ("(null)", []),
        ("mps:100", []),
    ],
)
def test_generic_resources(text: str, found: list[tuple[str, int]]) -> None:
    assert [(each.type, each.count) for each in parse_gres(text)] == found


def test_a_request_names_the_type_that_the_site_gave() -> None:
    assert [Gres(type="h100", count=8).request(), Gres(type="", count=2).request(1)] == ["gpu:h100:8", "gpu:1"]


def _script(**changes: object) -> str:
    facts: dict[str, object] = {"step": "create", "partition": "p", "nodes": ("gpu1", "gpu2"), "gres": "gpu:h100:1"}
    job = SlurmJob(**{**facts, **changes})  # type: ignore[arg-type] # fields of the value
    return to_script(job, folder="/shared/a b/slurm", commands=("detect true", "create false", "never true"))


def test_an_array_has_a_task_a_node_and_is_requeued() -> None:
    lines = _script(batch=4, options=("--account=ml",)).splitlines()
    heads = [line.removeprefix("#SBATCH ") for line in lines if line.startswith("#SBATCH")]
    assert "--array=0-1%4" in heads
    assert {"--partition=p", "--gres=gpu:h100:1", "--requeue", "--nodes=1", "--account=ml"} <= set(heads)
    one = _script(nodes=(), gres="", excluded=("gpu1", "gpu2"))
    assert "--exclude=gpu1,gpu2" in one
    assert "--array" not in one
    assert "--gres" not in one


def test_a_place_on_a_node_is_variables_and_a_folder_and_nothing_more() -> None:
    assert place_on_node("/scratch/$USER/env") == '"/scratch/$USER/env"'
    for text in ("/a b", "$(id)", "`id`", '/a"', "/a;b", "/a\nb", "${A:-b}", ""):
        with pytest.raises(ValueError):
            place_on_node(text)


def test_commands_for_the_site_are_quoted() -> None:
    assert (
        drain("gpu1", "it's wrong; rm")
        == "scontrol update NodeName=gpu1 State=DRAIN Reason='gpuenv: it'\"'\"'s wrong; rm'"
    )
    assert "HealthCheckProgram=" in to_lines("gpuenv")
    assert "Prolog=" in to_lines("gpuenv")
