"""``gpuenv check`` as a person and a workflow run it: answers, exit codes, forms, and what it does not touch."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from gpuenv.project.read import LOCKS as LOCKS_READ
from support.cli import Person, machine_json
from support.index_server import IndexServer
from support.wheels import torch_wheel

LOCKS = Path(__file__).parents[2] / "data" / "locks"
ROW = {
    "file", "line", "set", "machine", "package", "version", "build", "verdict", "runs", "by", "detail", "facts",
    "tells", "members", "next",
}  # fmt: skip


@pytest.fixture
def person(tmp_path: Path) -> Person:
    person = Person.at(tmp_path)
    shutil.copy(LOCKS / "uv/uv.lock", person.project / "uv.lock")
    person.write("t4.json", machine_json("7.5", driver="470.82.01", cuda="11.4", name="Tesla T4"))
    person.write("5090.json", machine_json("12.0"))
    return person


def test_the_answer_for_several_machines(person: Person) -> None:
    run = person.run("check", "uv.lock", "--machine", "5090.json", "--machine", "t4.json")
    assert run.code == 1
    assert run.out.splitlines() == [
        "5090.json: NVIDIA GeForce RTX 5090 (12.0), driver 576.88 (NVML), CUDA 12.9",
        "t4.json: Tesla T4 (7.5), driver 470.82.01 (NVML), CUDA 11.4",
        "",
        "uv.lock: 33 packages, Python 3.12",
        "package                5090.json      t4.json",
        "─────────────────────  ─────────────  ──────────────",
        "torch 2.9.1            native sm_120  driver too old",
        "triton 3.5.1           native sm_120  native sm_75",
        "NVIDIA libraries (15)  fits torch     driver too old",
        "torch on t4.json: CUDA 12.8 needs driver 525.60.13; this is 470.82.01",
        "NVIDIA libraries on t4.json: CUDA 12.0 needs driver 525.60.13; this is 470.82.01",
        "",
        "with extra quant:",
        "package              5090.json      t4.json",
        "───────────────────  ─────────────  ──────────────",
        "bitsandbytes 0.50.2  native sm_120  driver too old",
        "bitsandbytes on t4.json: CUDA 12.8 needs driver 525.60.13; this is 470.82.01",
    ]
    assert run.err.splitlines() == [
        "error: on t4.json torch, NVIDIA libraries, bitsandbytes will not run",
        "",
        "hint: What fits t4.json: `gpuenv resolve --machine t4.json`",
    ]


def test_what_runs_is_said_in_few_lines_and_without_network_or_a_client(person: Person) -> None:
    """No line of a request, no proxy asked (there is none), and no module of an HTTP client or of uv's is loaded."""
    code = (
        "import sys\nfrom gpuenv.cli.app import main\n"
        "code = main(['check', 'uv.lock', '--machine', '5090.json'])\n"
        "heavy = {'urllib3', 'rich', 'uv', 'pynvml', 'yaml', 'tomlkit'} & set(sys.modules)\n"
        "print(code, *sorted(heavy), file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=person.project, env=person.world(), capture_output=True, text=True, check=True
    )
    assert done.stderr == "0\n"
    assert len(done.stdout.splitlines()) == 13


def test_facts_and_what_would_tell_come_with_v(person: Person) -> None:
    person.write("r.txt", "torch==2.9.1+cu128\nflash-attn==2.8.3\n")
    run = person.run("check", "r.txt", "--machine", "5090.json", "-v")
    assert run.code == 0
    assert "  cu128 needs driver" not in run.out
    assert "kernels.toml, torch 2.9.1 cu128 linux_x86_64" in run.out
    assert "  what would tell: `gpuenv verify ENV` on that machine, which runs a kernel of it" in run.out


def test_the_object_for_programs(person: Person) -> None:
    run = person.run("check", "uv.lock", "--machine", "t4.json", "--json")
    data: dict[str, Any] = run.json["data"]
    assert run.code == run.json["exit_code"] == 1
    assert {frozenset(row) for row in data["rows"]} == {frozenset(ROW)}
    assert data["files"] == [{"file": "uv.lock", "kind": "uv", "packages": 33, "pythons": ["3.12"]}]
    torch = data["rows"][0]
    assert (torch["package"], torch["build"], torch["verdict"], torch["runs"]) == ("torch", "cu128", "driver", False)
    assert torch["next"] == "gpuenv resolve --machine t4.json"
    assert len(data["rows"][2]["members"]) == 15
    assert run.json["errors"][0]["code"] == "will-not-run"


def test_annotations_of_a_workflow(person: Person) -> None:
    run = person.run("check", "uv.lock", "--machine", "t4.json", "--format", "github")
    assert run.code == 1
    first = run.out.splitlines()[0]
    place = "file=uv.lock,line=454,title=gpuenv%3A The NVIDIA driver is too old for the wheel's CUDA"
    assert first == (
        f"::error {place}::torch 2.9.1 on t4.json: CUDA 12.8 needs driver 525.60.13; this is 470.82.01. "
        "Next: gpuenv resolve --machine t4.json"
    )
    assert person.run("check", "uv.lock", "--machine", "5090.json", "--format", "github").out == ""


def test_sarif_has_what_the_standard_asks_for(person: Person) -> None:
    """SARIF 2.1.0: 3.13 and 3.14 (file and run), 3.19 (tool), 3.27 (result), 3.28 to 3.30 (location)."""
    run = person.run("check", "uv.lock", "--machine", "t4.json", "--format", "sarif")
    document = json.loads(run.out)
    assert (document["version"], document["$schema"].rpartition("/")[2]) == ("2.1.0", "sarif-schema-2.1.0.json")
    (only,) = document["runs"]
    rules = [rule["id"] for rule in only["tool"]["driver"]["rules"]]
    assert only["tool"]["driver"]["name"] == "gpuenv"
    assert only["results"]
    for result in only["results"]:
        assert rules[result["ruleIndex"]] == result["ruleId"]
        assert result["level"] in ("error", "warning", "note")
        assert result["message"]["text"]
        place = result["locations"][0]["physicalLocation"]
        assert place["artifactLocation"]["uri"] == "uv.lock"
        assert place["region"]["startLine"] > 0
    prints = [result["partialFingerprints"]["package/v1"] for result in only["results"]]
    assert len(prints) == len(set(prints))


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("check", "uv.lock", "--machine", "rtx5090"), 0, "rtx5090: NVIDIA GeForce RTX 5090 (12.0), driver"),
        (("check", "uv.lock", "--machine", "rtx5090@470.82.01"), 1, "driver 470.82.01 (--machine)"),
        (("check", "--machine", "h100"), 0, "uv.lock: 33 packages"),
        (("check", ".", "--machine", "h100"), 0, "uv.lock: 33 packages"),
        (("check", "uv.lock", "--machine", "gone.json"), 2, "there is no machine file gone.json"),
        (("check", "uv.lock", "--machine", "rtx9999x"), 2, "no GPU is known by the name 'rtx9999x'"),
        (("check", "uv.lock", "--machine", "rtx5090@new"), 2, "'new' is no driver version"),
        (("check", "gone.lock", "--machine", "h100"), 2, "gone.lock: the file cannot be read"),
        (("check", "5090.json", "--machine", "h100"), 2, "5090.json locks no packages in a way that gpuenv reads"),
        (("check", "uv.lock", "--machine", "h100", "--json", "--format", "sarif"), 2, "two forms of the same answer"),
        (("check", "uv.lock", "--machine", "h100", "--python", "3.9"), 1, "is for Python >=3.11, <3.14, not 3.9"),
        (("check", "uv.lock", "--machine", "h100", "--python", "3.9"), 1, "error: uv.lock is not locked for h100\n"),
        (("resolve", "--machine", "rtx5090", "--offline"), 4, "rtx5090: NVIDIA GeForce RTX 5090 (12.0)"),
    ],
)
def test_exit_codes(person: Person, words: tuple[str, ...], code: int, said: str) -> None:
    run = person.run(*words)
    assert (run.code, said in run.out + run.err) == (code, True), run.out + run.err


@pytest.fixture(scope="module")
def index() -> Iterator[IndexServer]:
    with IndexServer() as server:
        for variant in ("cu126", "cu128"):
            server.add(torch_wheel("9.9.9", variant, tag="cp312-cp312-manylinux_2_28_x86_64"), folder=variant)
        yield server


def test_a_wheel_that_no_table_knows_is_read_when_asked_and_remembered(person: Person, index: IndexServer) -> None:
    url = f"{index.torch_index}/cu128/torch-9.9.9%2Bcu128-cp312-cp312-manylinux_2_28_x86_64.whl"
    person.write("r.txt", f"torch @ {url}\n")
    asked = len(index.log)
    first = person.run("check", "r.txt", "--machine", "5090.json")
    assert (first.code, "not known: torch" in first.out, len(index.log)) == (0, True, asked)
    assert "`gpuenv check r.txt --read --machine 5090.json`" in first.out
    read = person.run("check", "r.txt", "--read", "--machine", "5090.json")
    assert (read.code, "native sm_120" in read.out) == (0, True), read.out + read.err
    asked = len(index.log)
    again = person.run("check", "r.txt", "--machine", "5090.json", "--offline")
    assert (again.code, "native sm_120" in again.out, len(index.log)) == (0, True, asked)


def test_what_is_hinted_works(person: Person, index: IndexServer) -> None:
    run = person.run("check", "uv.lock", "--machine", "t4.json", "--json")
    sources = ("--torch-index", index.torch_index, "--index", index.default_index)
    for hint in run.json["errors"][0]["hints"]:
        words = hint.split("`")[1].split()[1:]
        done = person.run(*words, *sources)
        assert done.code in (0, 3), done.err  # 3: it says that no wheel of this index is for that driver
        assert "t4.json" in done.out + done.err


def test_an_environment_is_told_by_its_own_files(person: Person, index: IndexServer) -> None:
    site = person.project / "env/lib/python3.12/site-packages"
    info = site / "torch-2.9.1.dist-info"
    info.mkdir(parents=True)
    (person.project / "env/pyvenv.cfg").write_text("home = /usr/bin\nversion_info = 3.12.4\n")
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: torch\nVersion: 2.9.1\n")
    (info / "WHEEL").write_text("Wheel-Version: 1.0\nTag: cp312-cp312-manylinux_2_28_x86_64\n")
    (site / "torch/include/ATen/cuda").mkdir(parents=True)
    (site / "torch/version.py").write_text("__version__ = '2.9.1+cu128'\ncuda: Optional[str] = '12.8'\n")
    (site / "torch/include/ATen/cuda/CUDAConfig.h").write_text('"-gencode;arch=compute_90,code=sm_90"\n')
    run = person.run("check", "env", "--machine", "5090.json", "--json")
    (row,) = run.json["data"]["rows"]
    assert (run.code, row["verdict"], row["build"]) == (1, "no-code", "cu128")
    assert "sm_90 (torch/include/ATen/cuda/CUDAConfig.h)" in " ".join(row["facts"])


def test_a_lock_of_our_own_answers_as_it_was_decided(person: Person) -> None:
    shutil.copy(LOCKS.parents[2] / "lockfiles/pylock.hopper.toml", person.project / "pylock.hopper.toml")
    for card, code in (("h100", 0), ("rtx5090@470.82.01", 1)):
        assert person.run("check", "pylock.hopper.toml", "--machine", card).code == code


ROOT = LOCKS.parents[2]


@pytest.mark.parametrize(
    ("format", "strict", "code"), [("github", "false", 1), ("sarif", "false", 1), ("text", "true", 1)]
)
def test_the_action_runs_what_its_inputs_say(
    person: Person, tmp_path: Path, format: str, strict: str, code: int
) -> None:
    """Its script as it stands, behind the two lines that install gpuenv; inputs reach it by the environment alone."""
    action = yaml.safe_load((ROOT / "action.yml").read_text())
    (step,) = action["runs"]["steps"]
    assert "${{" not in step["run"]
    assert set(step["env"].values()) == {f"${{{{ inputs.{name} }}}}" for name in action["inputs"]}
    script = [line for line in step["run"].splitlines() if "-m venv" not in line and "pip install" not in line]
    assert len(step["run"].splitlines()) - len(script) == 2
    (tmp_path / "gpuenv/bin").mkdir(parents=True)
    program = tmp_path / "gpuenv/bin/gpuenv"
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m gpuenv "$@"\n')
    program.chmod(0o755)
    inputs = {"FILES": "uv.lock", "MACHINES": "rtx5090 t4@470.82.01", "FORMAT": format, "STRICT": strict}
    output = tmp_path / "output"
    done = subprocess.run(
        ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", "\n".join(script)],
        cwd=person.project,
        env=person.world(RUNNER_TEMP=str(tmp_path), GITHUB_OUTPUT=str(output), **inputs),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1, done.stderr
    if format == "sarif":
        assert output.read_text() == f"sarif={tmp_path}/gpuenv.sarif\n"
        assert json.loads((tmp_path / "gpuenv.sarif").read_text())["version"] == "2.1.0"
    else:
        assert "t4@470.82.01" in done.stdout


def test_the_hook_takes_the_files_that_check_reads() -> None:
    (hook,) = yaml.safe_load((ROOT / ".pre-commit-hooks.yaml").read_text())
    assert (hook["id"], hook["entry"], hook["language"]) == ("gpuenv-check", "gpuenv check", "python")
    taken = re.compile(hook["files"])
    for name in (*LOCKS_READ, "requirements-dev.txt", "a/pylock.gpu.toml", "environment.yaml"):
        assert taken.search(name), name
    assert not any(map(taken.search, ("pyproject.toml", "my-uv.lock.bak", "src/environment.py", "notes.txt")))
