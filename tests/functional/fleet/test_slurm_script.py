"""The script of a task, run by bash as Slurm runs it: what it leaves when it ends, and when it is tried again."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

from gpuenv.fleet.slurm import SlurmJob, to_script


def _run(script: Path, **variables: str) -> int:
    environ = {"PATH": os.environ["PATH"], "SLURMD_NODENAME": "gpu1", "SLURM_JOB_ID": "7", **variables}
    return subprocess.run(["bash", str(script)], env=environ, capture_output=True, check=False).returncode


def test_answers_are_kept_whole_and_the_last_try_counts(tmp_path: Path) -> None:
    folder = tmp_path / "a b"
    job = SlurmJob(step="create", partition="p", nodes=("gpu1",), gres="")
    fails = "create sh -c 'echo partly; [ \"$SLURM_RESTART_COUNT\" = 1 ]'"
    script = tmp_path / "job.sh"
    text = to_script(job, folder=str(folder), commands=("detect echo facts", fails, "after echo more"))
    script.write_text(text, "utf-8")
    task = {"SLURM_ARRAY_JOB_ID": "6", "SLURM_ARRAY_TASK_ID": "3"}
    place, ended = folder / "nodes" / "gpu1", folder / "ended" / "create.6.3.json"
    assert _run(script, SLURM_RESTART_COUNT="0", **task) == 1
    assert json.loads(ended.read_text()) == {"node": "gpu1", "task": "6.3", "restart": 0, "exit_code": 1}
    assert sorted(path.name for path in place.iterdir()) == ["create.json", "detect.json"]
    assert _run(script, SLURM_RESTART_COUNT="1", **task) == 0
    assert json.loads(ended.read_text())["restart"] == 1
    assert sorted(path.name for path in place.iterdir()) == ["after.json", "create.json", "detect.json"]
    assert (place / "create.json").read_text() == "partly\n"


def test_outside_of_a_job_it_does_nothing(tmp_path: Path) -> None:
    script = tmp_path / "job.sh"
    job = SlurmJob(step="detect", partition="p", nodes=(), gres="")
    script.write_text(to_script(job, folder=str(tmp_path / "out"), commands=("detect true",)), "utf-8")
    done = subprocess.run(
        ["bash", str(script)], env={"PATH": os.environ["PATH"]}, capture_output=True, text=True, check=False
    )
    assert done.returncode != 0
    assert "this is a job script of Slurm" in done.stderr
    assert not (tmp_path / "out").exists()
