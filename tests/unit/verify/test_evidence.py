"""The evidence folder: complete, deterministic, honest about the CPU, and free of anything that is fetched."""

from __future__ import annotations

import dataclasses
import json
import re
from pathlib import Path

import pytest

from gpuenv.model.machine import Machine
from gpuenv.model.verification import Check, Report
from gpuenv.verify import evidence
from gpuenv.verify.messages import Message
from support.verify_observed import MACHINE, altered, observed, report_of

NAMES = [
    "README.md",
    "env_info.txt",
    "torch_version.txt",
    "cuda_check.txt",
    "nvidia_smi.txt",
    "training_log.txt",
    "report.html",
    "evidence.json",
]
ABOUT = evidence.About(
    created="2026-11-22T12:00:00Z",
    gpuenv="0.1.0",
    command="gpuenv verify .venv-gpu",
    environment=".venv-gpu",
    profile="hopper",
    lock="../lockfiles/pylock.hopper.toml",
    lock_sha256="ab" * 32,
    because=("driver 580.159.04 (NVML) runs CUDA 13.0",),
)
SMI = "Sun Nov 22 12:00:00 2026\n| NVIDIA-SMI 580.159.04 |\n"


def _write(folder: Path, report: Report | None = None, machine: Machine = MACHINE) -> dict[str, str]:
    paths = evidence.write(folder, report=report or report_of(observed()), machine=machine, about=ABOUT, smi_text=SMI)
    return {path.name: path.read_text("utf-8") for path in paths}


def test_every_file_is_written_and_the_same_twice(tmp_path: Path) -> None:
    first = _write(tmp_path / "one")
    assert list(first) == NAMES
    assert _write(tmp_path / "two") == first
    assert sorted(path.name for path in (tmp_path / "one").iterdir()) == sorted(NAMES)


def test_the_summary_has_a_verdict_for_every_requirement(tmp_path: Path) -> None:
    text = _write(tmp_path)["README.md"]
    assert text.startswith("# Verification passed (GPU)\n")
    report = report_of(observed())
    assert text.count("| passed |") == sum(check.status == "passed" for check in report.checks)
    for words in ("NVIDIA H200", "124,439,808", "550 samples there, 56 seen", "sha256 abab", "samples/s"):
        assert words in text
    assert "](../lockfiles/pylock.hopper.toml)" in text


def test_each_step_stands_in_the_training_log(tmp_path: Path) -> None:
    text = _write(tmp_path)["training_log.txt"]
    assert len(re.findall(r"^ +\d+ +\d+\.\d{4} ", text, re.MULTILINE)) == 28
    assert "Small model on the Markov language, bf16 on cuda:0" in text
    assert "native       kernel: " in text


def test_the_json_is_versioned_and_whole(tmp_path: Path) -> None:
    value = json.loads(_write(tmp_path)["evidence.json"])
    assert value["schema"] == {"name": "gpuenv-evidence", "version": "1"}
    assert value["verdict"] == "passed"
    assert len(value["runs"]) == 2
    assert len(value["checks"]) == 15
    assert value["rates"][0]["share"] == pytest.approx(0.8, abs=0.01)
    assert value["about"]["lock_sha256"] == "ab" * 32


def test_numbers_that_are_none_do_not_break_the_json(tmp_path: Path) -> None:
    def edit(message: Message) -> Message:
        return altered(message, loss="nan") if message.event == "step" else message

    text = _write(tmp_path, report_of(observed(edit=edit)))
    assert json.loads(text["evidence.json"])["runs"][0]["final_loss"] == "nan"
    assert "# Verification FAILED (GPU)" in text["README.md"]
    assert "not a number from step 1" in text["README.md"]


def test_nothing_is_fetched_by_the_page(tmp_path: Path) -> None:
    page = _write(tmp_path)["report.html"]
    assert "default-src 'none'" in page
    assert not re.search(r"(?:src|href)=\"(?!\.\./lockfiles/)", page)
    assert "<script" not in page
    assert page.count("<svg") == 6


def test_markup_in_a_value_stays_text(tmp_path: Path) -> None:
    report = report_of(observed())
    evil = Check(name="x", title="<b>", status="failed", seen="<script>1</script>", expected="|", cause="<i>", hint="&")
    page = _write(tmp_path, dataclasses.replace(report, checks=(evil,), log=("</pre><script>",)))
    assert "<script>" not in page["report.html"]
    assert "&lt;script&gt;1" in page["report.html"]
    assert "| \\| |" in page["README.md"]


def test_every_file_of_a_cpu_run_says_cpu(tmp_path: Path) -> None:
    machine = dataclasses.replace(MACHINE, driver=None, gpus=())
    report = report_of(observed(gpu=False, machine=machine))
    written = evidence.write(tmp_path, report=report, machine=machine, about=ABOUT, smi_text="")
    assert report.accelerator == "cpu"
    for path in written:
        assert "CPU" in path.read_text("utf-8"), path.name
    assert "CPU, no GPU was used" in (tmp_path / "nvidia_smi.txt").read_text("utf-8")
