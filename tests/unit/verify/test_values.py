"""The smaller parts: surroundings, causes, languages, the reference curve, files at rest, charts, baseline."""

from __future__ import annotations

import doctest
import itertools
import json
import math
import re
from pathlib import Path

import pytest

from gpuenv.errors import ConfigurationError
from gpuenv.verify import baseline, causes, check_devices, check_speed, evidence, expected
from gpuenv.verify import observed as observed_module
from gpuenv.verify.evidence_page import Series, line_chart
from gpuenv.verify.messages import Message
from gpuenv.verify.payload import language
from gpuenv.verify.runner import dropped, scrub
from gpuenv.verify.verification import WITHOUT_COMPILER
from support.verify_observed import MACHINE, altered, observed, report_of


@pytest.mark.parametrize("module", [observed_module, expected, check_devices])
def test_examples_in_docstrings(module) -> None:
    assert doctest.testmod(module).failed == 0


def test_what_bends_results_is_not_passed_on_and_is_named() -> None:
    environ = {
        "PATH": "/bin",
        "LD_PRELOAD": "/evil.so",
        "PYTHONPATH": "/evil",
        "PYTORCH_NVML_BASED_CUDA_CHECK": "1",
        "CUDA_FORCE_PTX_JIT": "1",
        "CUDA_VISIBLE_DEVICES": "1",
        "NCCL_NVLS_ENABLE": "0",
        "NVSHMEM_DISABLE_NVLS": "1",
        "TORCH_SYMM_MEM_DISABLE_MULTICAST": "1",
        "ATEN_CPU_CAPABILITY": "avx2",
        "EDITOR": "vi",
    }
    kept = scrub(environ, scratch="/scratch")
    assert {name for name in environ if name in kept and kept[name] == environ[name]} == {
        "PATH",
        "CUDA_VISIBLE_DEVICES",
        "ATEN_CPU_CAPABILITY",
        "NCCL_NVLS_ENABLE",
        "NVSHMEM_DISABLE_NVLS",
        "TORCH_SYMM_MEM_DISABLE_MULTICAST",
    }
    assert kept["PYTORCH_NVML_BASED_CUDA_CHECK"] == "0"
    assert dropped(environ) == ("CUDA_FORCE_PTX_JIT", "LD_PRELOAD", "PYTHONPATH", "PYTORCH_NVML_BASED_CUDA_CHECK")


@pytest.mark.parametrize(("clock", "bits"), [(0, 512), (1000, 512), (1_000_000, 0), (10**9, 512)])
def test_implausible_clocks_give_no_limit(clock: int, bits: int) -> None:
    assert check_speed.bandwidth(clock, bits) is None


@pytest.mark.parametrize(
    ("words", "cause"),
    [
        ("CUDA error: no kernel image is available for execution on the device", "no machine code"),
        ("RuntimeError: The NVIDIA driver on your system is too old (found version 12020)", "older than"),
        ("undefined symbol: _ZN3c105ErrorC2E", "built for another torch"),
        ("libcudnn.so.9: cannot open shared object file", "is not installed in this environment"),
        ("OutOfMemoryError: CUDA out of memory. Tried to allocate 20.00 GiB", "memory is taken"),
        ("ptxas fatal   : Value 'sm_121a' is not defined for option 'gpu-name'", "assembler is older"),
        ("RuntimeError: something new", "RuntimeError: something new"),
        ("", "unknown"),
    ],
)
def test_other_programs_words_point_to_a_cause(words: str, cause: str) -> None:
    found = causes.of_message(words)
    assert cause in found.text
    assert found.hint


def test_the_markov_language_is_the_one_of_the_reference() -> None:
    batches = language.markov_batches(steps=60, batch=32, length=64, seed=1)
    there = expected.reference()
    assert language.fingerprint(batches) == there.language
    assert pytest.approx(there.entropy) == language.ENTROPY == pytest.approx(1.75 * math.log(2))
    followers: dict[int, set[int]] = {}
    for batch in batches:
        for row in batch:
            for one, other in itertools.pairwise(row):
                followers.setdefault(one, set()).add(other)
    assert max(map(len, followers.values())) == 4


def test_the_reference_starts_at_the_logarithm_and_ends_above_the_floor() -> None:
    there = expected.reference()
    assert len(there.losses) == 60
    assert there.losses[0] == pytest.approx(math.log(256), abs=1e-12)
    assert there.entropy < there.losses[-1] < there.entropy + expected.ABOVE_FLOOR


def test_arithmetic_samples_are_right_sums_of_the_length_asked_for() -> None:
    samples = language.arithmetic_samples(count=20, length=256, seed=1)
    assert {len(sample) for sample in samples} == {257}
    assert samples == language.arithmetic_samples(count=20, length=256, seed=1)
    assert samples != language.arithmetic_samples(count=20, length=256, seed=2)
    for line in samples[0].decode().splitlines()[:-1]:
        assert re.fullmatch(r"\d+ [-+*] \d+ = -?\d+", line)
        left, _, right = line.partition(" = ")
        assert eval(left) == int(right)


def test_drawn_weights_are_standard_normal() -> None:
    numbers = language.normal_numbers(count=20_001, seed=1)
    assert len(numbers) == 20_001
    mean = sum(numbers) / len(numbers)
    assert abs(mean) < 0.03
    assert sum((x - mean) ** 2 for x in numbers) / len(numbers) == pytest.approx(1.0, abs=0.03)


def test_triton_is_imported_by_its_name_whatever_its_project_is_called() -> None:
    assert expected.ExpectedPackage(project="pytorch-triton").module == "triton"
    assert expected.ExpectedPackage(project="torchvision").module == "torchvision"


def test_a_chart_has_a_gap_where_a_value_is_no_number() -> None:
    line = Series(name="loss", values=(3.0, math.nan, 2.0, 1.0), style="one")
    drawn = line_chart("Loss", [line], unit="nats")
    assert drawn.count("<polyline") == 2
    assert "nan" not in drawn
    assert "no values" in line_chart("Loss", [Series(name="x", values=(math.nan,), style="one")], unit="")


def test_a_chart_of_equal_values_is_drawn() -> None:
    assert "<polyline" in line_chart("x", [Series(name="x", values=(0.0, 0.0), style="one")], unit="")


ABOUT = evidence.About(
    created="2026-11-22T12:00:00Z", gpuenv="0.1.0", command="gpuenv verify", environment=".venv-gpu", profile="hopper"
)


def _json(edit=None) -> dict[str, object]:
    return evidence.to_json(report=report_of(observed(edit=edit)), machine=MACHINE, about=ABOUT)


def test_a_run_equals_itself() -> None:
    assert baseline.compare(_json(), _json()) == ()


def test_slower_and_other_wheels_are_found() -> None:
    def slower(message: Message) -> Message:
        if message.values.get("run") == "graph" and message.event == "step":
            return altered(message, seconds=(message.number("seconds") or 0) * 2)
        return altered(message, tflops=400.0) if message.values.get("kind") == "matmul" else message

    old, new = _json(), _json(slower)
    facts = dict(new["facts"])  # type: ignore[call-overload]  # JSON
    facts["package torch"] = "9.9.9"
    machine = json.loads(json.dumps(new["machine"])) | {"driver": {"version": "999.1"}}
    found = {row.what: row for row in baseline.compare(old, {**new, "facts": facts, "machine": machine})}
    assert found["package torch"].change == "changed"
    assert (found["driver"].before, found["driver"].after) == ("580.159.04", "999.1")
    assert found["training gpt2 graph bf16 autocast on cuda:0"].change == "worse"
    assert found["matrix product 8192³ bfloat16 on cuda:0"].change == "worse"
    assert next(iter(found)) == "matrix product 8192³ bfloat16 on cuda:0"


def _steps(mode: str, *factors: float):
    """Each step of a run takes so many times as long; the factors repeat."""

    def edit(message: Message) -> Message:
        if message.values.get("run") == mode and message.event == "step":
            factor = factors[(message.whole("step") or 0) % len(factors)]
            return altered(message, seconds=(message.number("seconds") or 0) * factor)
        return message

    return edit


def test_a_host_that_launches_slower_is_not_a_slower_card() -> None:
    """Eager at half the rate while the graph takes as long: that is said, and is no warning."""
    [found] = baseline.compare(_json(), _json(_steps("eager", 2.0)))
    assert (found.what, found.change) == ("training gpt2 eager bf16 autocast on cuda:0", "changed")
    assert "the host" in found.after


def test_what_lies_within_the_spread_of_the_steps_is_not_said() -> None:
    """A median at half the rate whose steps took from a third of the time to three times is as it was."""
    assert baseline.compare(_json(_steps("graph", 0.3, 1.0, 3.0)), _json(_steps("graph", 0.3, 2.2, 3.0))) == ()


def test_a_check_that_fails_now_is_worse() -> None:
    def edit(message: Message) -> Message:
        return altered(message, loss="nan") if message.event == "step" else message

    changes = {row.what: row.change for row in baseline.compare(_json(), _json(edit))}
    assert changes["verdict"] == "worse"
    assert changes["check training"] == "worse"
    assert {row.what: row.change for row in baseline.compare(_json(edit), _json())}["verdict"] == "better"


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"schema": {"name": "gpuenv-evidence", "version": "7"}}'])
def test_what_is_not_evidence_is_refused(tmp_path: Path, content: str) -> None:
    path = tmp_path / "evidence.json"
    path.write_text(content)
    with pytest.raises(ConfigurationError, match=re.escape(str(path))):
        baseline.read(path)


def test_what_the_compiler_left_in_the_cache_does_not_count() -> None:
    """On an H200 a module of PTX that another process had compiled loaded under the switch, without an error."""
    assert WITHOUT_COMPILER == {"CUDA_DISABLE_PTX_JIT": "1", "CUDA_CACHE_DISABLE": "1"}
