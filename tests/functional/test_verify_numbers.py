"""The numeric checks with real torch: right kernels are equal to the last bit, and injected faults are caught."""

from __future__ import annotations

import json
import os
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from gpuenv.installed.environment import read_environment
from gpuenv.verify.check_numbers import families_of, family_outcome
from gpuenv.verify.messages import Message
from gpuenv.verify.runner import PayloadJob, run_jobs
from support.torch_env import altered_environment
from support.verify_observed import observed

pytestmark = [pytest.mark.torch, pytest.mark.xdist_group("torch")]

ROOT = Path(__file__).resolve().parents[2]
ENVIRON = {"PATH": os.environ["PATH"], "HOME": "/nowhere", "OMP_NUM_THREADS": "1"}

FAULTS = (
    "one wrong element, by one", "one 16×16 tile of zeros", "the last term dropped", "a transposed operand",
    "a transposed filter", "scale 1.1 in a layer", "a layer without its bias", "missing mask",
    "a gradient not accumulated", "only the last of repeated rows", "TF32 for fp32", "overflow to inf in fp16",
    "stale momentum", "stale moments", "a bit that flips in one step", "scale 1.1 in softmax", "GELU by tanh",
    "variance over n - 1", "one GPU's gradient ignored",
)  # fmt: skip


def _run(environment: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [str(environment / "bin" / "python"), *arguments]
    return subprocess.run(command, env=ENVIRON, capture_output=True, text=True, check=False, timeout=600)


@pytest.fixture(scope="module")
def injected(torch_environment: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[dict[str, Any]]]:
    """What the checks say of every fault, from one process."""
    out = tmp_path_factory.mktemp("faults") / "faults.json"
    done = _run(
        torch_environment, str(ROOT / "tools" / "numeric_surroundings.py"), "--faults", "--device", "cpu", "--json",
        str(out),
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return {row["fault"]: row["values"] for row in json.loads(out.read_text("utf-8"))["faults"]}


def test_the_faults_are_these(injected: dict[str, list[dict[str, Any]]]) -> None:
    assert set(injected) == set(FAULTS)


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_found_wrong(injected: dict[str, list[dict[str, Any]]], fault: str) -> None:
    messages = [
        Message(job="numbers", event="family", at=0.0, values={"device": "cpu", **values}) for values in injected[fault]
    ]
    rows = families_of(observed(messages=tuple(messages)))
    assert "wrong" in {family_outcome(row) for row in rows}, [row.summary for row in rows]


EVERY_PART = """
import importlib, json, runpy, sys
runpy.run_path(sys.argv[1])["load"]()
import torch
torch.set_num_threads(1)
exact = importlib.import_module("gpuenv_payload.exact")
families = importlib.import_module("gpuenv_payload.families")
attention = importlib.import_module("gpuenv_payload.exact_attention").attention
ranks = importlib.import_module("gpuenv_payload.ranks")
checks = {**families.EXACT, "attention": attention("math"), "float8": exact.float8}
checks["ranks"] = lambda device, kind: [ranks.gradient(device, kind, rank=0, world=1, reduce=lambda gradient: None)]
for family, check in {**checks, **families.OPTIMIZER}.items():
    for kind in exact.KINDS.values():
        if family in families.OPTIMIZER and kind.name != "float32" or family == "float8" and kind.name != "bfloat16":
            continue
        for part in check("cpu", kind):
            wrong, _, count = exact.compared(part)
            print(json.dumps([family, kind.name, part.name, part.most(), kind.limit, wrong, count]))
"""


def test_sums_of_absolute_values_stay_among_the_whole_numbers_of_each_type(
    torch_environment: Path, tmp_path: Path
) -> None:
    """What makes order and accumulator irrelevant: no partial sum, in any order, can pass the limit."""
    script = tmp_path / "parts.py"
    script.write_text(EVERY_PART, "utf-8")
    payload = ROOT / "resolver" / "gpuenv" / "verify" / "payload" / "__main__.py"
    done = _run(torch_environment, str(script), str(payload))
    assert done.returncode == 0, done.stderr
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(rows) > 150
    assert [row for row in rows if not 0 <= row[3] <= row[4]] == []
    assert [row for row in rows if row[5] or not row[6]] == []


IGNORED = """
from torch import distributed as _distributed
_true_reduce = _distributed.all_reduce
def _one_is_ignored(tensor, *given, **named):
    if _distributed.get_rank() == 1 and tensor.dim() == 2:
        tensor.zero_()
    return _true_reduce(tensor, *given, **named)
_distributed.all_reduce = _one_is_ignored
"""


@pytest.mark.parametrize("code", ["", IGNORED], ids=["right", "ignored"])
def test_two_ranks_hold_the_gradient_of_the_whole_batch(torch_environment: Path, tmp_path: Path, code: str) -> None:
    environment = altered_environment(tmp_path / "env", torch_environment, torch_code=code)
    there = read_environment(environment)
    common = {"task": "ranks", "device": "cpu", "uuids": [], "paths": [str(path) for path in there.paths]}
    common |= {"world": 2, "meeting": str(tmp_path / "meeting"), "timeout": 120, "elements": [1, 1000]}
    jobs = [
        PayloadJob(name=f"rank-{rank}", python=there.python, settings={**common, "rank": rank}, environ=ENVIRON)
        for rank in range(2)
    ]
    heard: list[Message] = []
    ended = run_jobs(jobs, deadline=time.monotonic() + 300, silence=200, on_message=heard.append)
    assert [(end.ending, end.status) for end in ended] == [("exited", 0)] * 2, [m.values for m in heard[-4:]]
    sums = [message for message in heard if message.event == "sum"]
    assert len(sums) == 10
    wrong = {message.text("type") for message in sums if message.whole("wrong")}
    assert wrong == ({"gradient in float32"} if code else set())
