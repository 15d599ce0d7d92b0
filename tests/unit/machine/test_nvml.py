"""The lines of the probing child, folded into a value."""

from __future__ import annotations

import json

import pytest

from gpuenv.machine.nvml import NvmlAnswer, fold
from gpuenv.model.machine import ComputeCapability

WHOLE: list[list[object]] = [
    ["call", "nvmlInit", None],
    ["fact", "library", None, "/usr/lib/libnvidia-ml.so.570.26"],
    ["fact", "driver", None, "570.26"],
    ["fact", "cuda", None, 12080],
    ["fact", "count", None, 1],
    ["fact", "uuid", 0, "GPU-a"],
    ["fact", "name", 0, "NVIDIA L4"],
    ["fact", "capability", 0, [8, 9]],
    ["fact", "memory", 0, 24152899584],
    ["fact", "mig", 0, [0, 0]],
    ["end"],
]


def said(*lines: list[object]) -> NvmlAnswer:
    return fold("\n".join(map(json.dumps, lines)), ending="crashed", ended_by="ended by SIGABRT")


def test_a_whole_answer() -> None:
    answer = said(*WHOLE)

    (gpu,) = answer.gpus
    assert (answer.ending, answer.driver, answer.cuda) == ("answered", "570.26", "12.8")
    assert (gpu.name, gpu.compute_capability, gpu.memory_bytes, gpu.mig) == (
        "NVIDIA L4",
        ComputeCapability(8, 9),
        24152899584,
        False,
    )
    assert gpu.failures == ()


def test_lines_that_are_not_the_childs_are_passed_over() -> None:
    noise = ["", "NVRM: hello", "[1, 2", "3", "{}", "[]", '["fact"]', '["fact", "driver", "x", 1]', '["end", 1]']
    noise.append("[" * 99_999)
    answer = fold("\n".join([*noise, *map(json.dumps, WHOLE)]), ending="crashed", ended_by="")

    assert answer == said(*WHOLE)


@pytest.mark.parametrize("value", [0, -1, 12, 10**9, True, "12080", None, [12, 8]])
def test_implausible_cuda_versions_are_no_fact(value: object) -> None:
    lines = [line if line[1:2] != ["cuda"] else ["fact", "cuda", None, value] for line in WHOLE]

    assert said(*lines).cuda is None


@pytest.mark.parametrize("value", [[0, 0], [-1, 3], [999, 0], [8, 11], [8], 89, "8.9", None])
def test_an_implausible_capability_is_a_failure_of_that_gpu(value: object) -> None:
    lines = [line if line[1:2] != ["capability"] else ["fact", "capability", 0, value] for line in WHOLE]

    (gpu,) = said(*lines).gpus
    assert gpu.compute_capability is None
    assert dict(gpu.failures)["values"].text == "gave implausible values"


@pytest.mark.parametrize("value", [0, 2**64 - 1, -5, "24 GB", None])
def test_implausible_memory_is_unknown(value: object) -> None:
    lines = [line if line[1:2] != ["memory"] else ["fact", "memory", 0, value] for line in WHOLE]

    (gpu,) = said(*lines).gpus
    assert (gpu.memory_bytes, gpu.failures) == (None, ())


def test_a_crash_names_the_call_and_keeps_what_was_known() -> None:
    answer = said(*WHOLE[:6], ["call", "nvmlDeviceGetName", 0])

    assert (answer.ending, answer.driver) == ("crashed", "570.26")
    assert str(answer.failure) == "nvmlDeviceGetName for GPU 0: ended by SIGABRT"
    assert answer.gpus[0].uuid == "GPU-a"
    assert answer.gpus[0].name is None


def test_a_crash_while_one_gpu_is_asked_says_that_the_next_was_not() -> None:
    lines = [line if line[1:2] != ["count"] else ["fact", "count", None, 2] for line in WHOLE[:-1]]
    answer = said(*lines, ["call", "nvmlDeviceGetHandleByIndex", 1])

    assert answer.gpus[0].failures == ()
    assert dict(answer.gpus[1].failures)["handle"].text == "ended by SIGABRT"


def test_refusals() -> None:
    refusal = ["fail", "init", None, "nvmlInit", 18, "RM has detected an NVML/RM version mismatch."]
    answer = said(["call", "nvmlInit", None], refusal, ["end"])

    assert answer.ending == "refused"
    assert answer.failure is not None
    assert answer.failure.code == 18


def test_a_missing_binding_is_not_a_broken_driver() -> None:
    answer = said(["fail", "binding", None, "import pynvml", None, "ModuleNotFoundError: no"], ["end"])

    assert answer.ending == "not-asked"


def test_cuda_known_without_libcuda() -> None:
    missing = ["fail", "cuda", None, "nvmlSystemGetCudaDriverVersion_v2", 12, "not found"]
    answer = said(missing, ["fact", "cuda-known", None, 13000], ["fact", "count", None, 0], ["end"])

    assert answer.cuda == "13.0"
    assert answer.cuda_failure is not None
