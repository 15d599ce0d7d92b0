"""A fleet by Slurm where some nodes come first: the commands of Slurm are stand-ins that run each task at once."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.cli import Person, Run
from support.index_server import IndexServer
from support.nights import PYTHON, TAG
from support.wheels import torch_wheel

NODES = ("gpu1", "gpu2", "gpu3")
COMMANDS = {
    "sinfo": "\n".join(f"echo '{node}|idle|hopper|gpu:h100:1|none'" for node in NODES),
    "squeue": "echo 'slurm_load_jobs error: Invalid job id specified' >&2; exit 1",
    "sbatch": """
n=$(ls "$JOBS" | wc -l)
for last; do :; done
mkdir "$JOBS/$n" && cp "$last" "$JOBS/$n/script"
case $* in *--hold*) ;; *) SLURMD_NODENAME=gpu1 SLURM_JOB_ID=$n bash "$JOBS/$n/script" >&2 ;; esac
echo "$n"
""",
    "scontrol": """
case $1 in
update) id=${2#JobId=}; echo "${3#NodeList=}" >"$JOBS/${id%_*}/node.${id#*_}" ;;
release)
  for file in "$JOBS/$2"/node.*; do
    SLURMD_NODENAME=$(cat "$file") SLURM_JOB_ID=$2 SLURM_ARRAY_JOB_ID=$2 SLURM_ARRAY_TASK_ID=${file##*.} \\
      bash "$JOBS/$2/script" >&2 || true
  done ;;
esac
""",
}


@pytest.fixture
def person(tmp_path: Path) -> Iterator[Person]:
    """A person on a login node of three nodes, whose torch is none: each proof fails."""
    programs, jobs = tmp_path / "bin", tmp_path / "jobs"
    programs.mkdir()
    jobs.mkdir()
    for name, text in COMMANDS.items():
        (programs / name).write_text(f"#!/bin/sh\n{text}")
        (programs / name).chmod(0o755)
    with IndexServer() as index:
        index.add(torch_wheel("2.10.0", "cpu", tag=TAG), folder="cpu")
        person = Person.at(
            tmp_path,
            GPUENV_TORCH_INDEX=index.torch_index,
            GPUENV_INDEX=index.default_index,
            GPUENV_PYTHON=PYTHON,
            GPUENV_PROFILE="team",
            PATH=f"{programs}{os.pathsep}{os.environ['PATH']}",
            JOBS=str(jobs),
        )
        person.write("profiles/team.toml", 'description = "t"\naccelerator = "cpu"\npackages = ["torch"]\n')
        yield person


def create(person: Person, *more: str) -> tuple[Run, list[str]]:
    """Create on the nodes; returns which were tried, in their order."""
    shutil.rmtree(person.project / "fleet/slurm/ended", ignore_errors=True)
    run = person.run("fleet", "slurm", "create", "--partition", "p", *more)
    ended = (person.project / "fleet/slurm/ended").glob("create.*.json")
    tried = sorted(ended, key=lambda path: path.stat().st_mtime_ns)
    return run, [node for path in tried for node in NODES if f'"{node}"' in path.read_text("utf-8")]


def test_where_the_first_fail_the_others_are_left(person: Person) -> None:
    for words in (("slurm", "detect", "--partition", "p"), ("lock",)):
        run = person.run("fleet", *words)
        assert run.code == 0, run.out + run.err
    run, tried = create(person, "--canary", "1")
    assert (run.code, tried) == (1, ["gpu1"]), run.out + run.err
    assert "gpu1 was tried first of class" in run.err
    run, tried = create(person, "--batch", "2", "--max-fail", "99")
    assert (run.code, tried) == (1, ["gpu1", "gpu2"]), run.out + run.err
    assert "2 of 2 hosts failed, more than 99 %" in run.err
