"""Two hosts together, with a real torch and torchrun's rendezvous: the wrong rank is named, and who does not come."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from support.torch_env import altered_environment

pytestmark = [pytest.mark.torch, pytest.mark.xdist_group("torch")]

FORGOTTEN = """
from torch import distributed as _distributed
_true_reduce = _distributed.all_reduce
def _one_is_forgotten(tensor, *given, **named):
    world = _distributed.get_world_size(named.get("group"))
    if world > 1 and _distributed.get_rank() == 1 and not tensor.is_floating_point():
        tensor.zero_()
    return _true_reduce(tensor, *given, **named)
_distributed.all_reduce = _one_is_forgotten
"""


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def _start(node: str, environment: Path, project: Path, *options: str) -> subprocess.Popen[str]:
    """One host's command; Slurm's variable gives it a name of its own."""
    project.mkdir(exist_ok=True)
    variables = {"PATH": os.environ["PATH"], "HOME": str(project), "SLURMD_NODENAME": node, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "gpuenv", "verify", str(environment), "--json", *options]
    return subprocess.Popen(command, cwd=project, env=variables, stdout=subprocess.PIPE, text=True)


def _answer(process: subprocess.Popen[str]) -> dict[str, Any]:
    out, _ = process.communicate(timeout=300)
    answer: dict[str, Any] = json.loads(out)
    assert process.returncode == answer["exit_code"] == 1
    return answer


def test_the_rank_whose_part_is_missing_from_a_sum_is_named_on_both_hosts(
    torch_environment: Path, tmp_path: Path
) -> None:
    environment = altered_environment(tmp_path / "env", torch_environment, torch_code=FORGOTTEN)
    options = ("--nodes", "one,two", "--rendezvous", f"127.0.0.1:{_free_port()}", "--wait", "120")
    started = [_start(name, environment, tmp_path / name, *options) for name in ("one", "two")]
    for answer in [_answer(process) for process in started]:
        data = answer["data"]
        wrong = next(rank["node"] for rank in data["ranks"] if rank["rank"] == 1)
        checks = {check["name"]: check for check in data["checks"]}
        assert [name for name, check in checks.items() if check["status"] != "passed"] == ["all-reduce"]
        assert checks["all-reduce"]["cause"].startswith(f"rank 1 on {wrong} is wrong: the sums are off by a multiple")
        assert {(link["source"], link["target"]) for link in data["links"]} == {(0, 1), (1, 0)}
        assert all(row["gigabytes"] > 0 for row in data["bandwidth"])
    assert sorted(path.name for path in tmp_path.glob("*/evidence/*/node-*")) == ["node-one", "node-two"]


def test_a_host_that_does_not_come_is_named(torch_environment: Path, tmp_path: Path) -> None:
    options = ("--nodes", "one,two", "--rendezvous", f"127.0.0.1:{_free_port()}", "--wait", "2")
    answer = _answer(_start("one", torch_environment, tmp_path / "one", *options))
    assert [(check["status"], check["cause"]) for check in answer["data"]["checks"]] == [("failed", "two did not come")]
