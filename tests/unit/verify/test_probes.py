"""Which companions are probed, and what is said of what their probes found."""

from __future__ import annotations

import dataclasses
import math
import struct
import sys
import types
from collections.abc import Sequence

import pytest

from gpuenv.documents import shipped
from gpuenv.installed.fatbin import DeviceCode
from gpuenv.model.machine import ComputeCapability
from gpuenv.model.verification import Check
from gpuenv.verify import check_probes, probes
from gpuenv.verify.messages import Message
from gpuenv.verify.payload import probe
from gpuenv.verify.payload.probe import compared
from gpuenv.verify.probes import OwnProbe, Probe, own_probe, planned
from gpuenv.verify.runner import PAYLOAD
from support.verify_observed import MACHINE, check_of, code, ended, observed, report_of

PROBE = Probe(project="xformers", version="0.0.35", function=".attention:xformers", proves="its kernels")
ADA = dataclasses.replace(MACHINE.gpus[0], compute_capability=ComputeCapability(8, 9))
MISSING = "No such file or directory"


def _check(
    message: str = "",
    *,
    again: str | None = None,
    probe: Probe = PROBE,
    code: Sequence[tuple[str, DeviceCode]] = (),
    **values: object,
) -> Check:
    """What is said of a probe that raised ``message``; ``again``: what it raised with the driver's compiler."""

    def heard(job: str, message: str) -> Message:
        made = {"stage": "run", "wrong": 0, "elements": 64, "parts": ["nms"], "seconds": 1.5, **values}
        if message:
            made |= {"elements": 0}
        return Message(
            job=job, event="probe", at=1.0,
            values={"project": probe.project, "device": "cuda:0", "message": message, **made},
        )  # fmt: skip

    jobs = {probe.job: message} | ({} if again is None else {probe.compiling_job: again})
    made = observed(probes=(probe,))
    made = dataclasses.replace(made, code=(*made.code, *code))
    more = [
        each
        for job, text in jobs.items()
        for each in (heard(job, text), Message(job=job, event="finished", at=2.0, values={}))
    ]
    made = dataclasses.replace(made, messages=(*made.messages, *more), ended=(*made.ended, *map(ended, jobs)))
    return check_of(made, probe.job)


def test_every_probe_of_the_table_is_a_function_of_the_payload() -> None:
    rows = shipped(probes.__file__, "probes")["probes"]
    for row in rows:
        file, _, function = row["probe"].removeprefix(".").partition(":")
        text = (PAYLOAD.parent / "probes" / f"{file}.py").read_text("utf-8")
        assert f"\ndef {function}(device: str)" in text, row["probe"]
        assert row["source"]
        assert row["proves"]
    names = [name for row in rows for name in row["projects"]]
    assert len(names) == len(set(names))


def test_a_probe_for_each_companion_that_is_there() -> None:
    versions = {"torch": "2.11.0", "torchvision": "0.26.0", "cupy-cuda13x": "14.2.0", "torchao": "0.18.0"}
    found = planned(versions, gpus=MACHINE.gpus, gpu=True)
    assert [(each.project, each.skip, each.torch) for each in found] == [
        ("cupy-cuda13x", "", False),
        ("torchao", "", True),
        ("torchvision", "", True),
    ]


@pytest.mark.parametrize(
    ("project", "version", "gpu", "cards", "why"),
    [
        ("xformers", "0.0.35", False, (), "CPU: its kernels are for GPUs, and none is used"),
        ("torchcodec", "0.7.0", True, MACHINE.gpus, "the probe is for torchcodec >=0.16, and 0.7.0 is installed"),
        ("torchao", "0.18.0", True, (ADA,), "the kernels that are probed are for 9.0, and there is a GPU of 8.9"),
        ("torchvision", "0.26.0", False, (), ""),
    ],
)
def test_what_is_not_probed_says_why(
    project: str, version: str, gpu: bool, cards: tuple[probes.Gpu, ...], why: str
) -> None:
    (found,) = planned({project: version}, gpus=cards, gpu=gpu)
    assert found.skip == why
    if why:
        made = report_of(observed(gpu=gpu, probes=(found,)))
        check = next(each for each in made.checks if each.name == found.job)
        assert (check.status, check.seen) == ("not-applicable", f"not run: {why}")


def test_the_projects_own_probe_comes_before_the_tables() -> None:
    own = OwnProbe(project="torchvision", function="/p.py:probe", said="p.py:probe")
    (found,) = planned({"torchvision": "0.1"}, gpus=(), gpu=False, own=(own,))
    assert (found.function, found.skip) == ("/p.py:probe", "")
    assert own_probe("A.b", "mod.ule:fun", folder="/x") == OwnProbe(
        project="a-b", function="mod.ule:fun", said="mod.ule:fun"
    )


def test_a_probe_that_computes_what_is_right_passes() -> None:
    check = _check()
    assert (check.status, check.cause, check.seconds) == ("passed", "", 1.5)
    assert check.seen == "xformers 0.0.35 on cuda:0: nms, 0 of 64 elements differ"


@pytest.mark.parametrize(
    ("message", "cause"),
    [
        (
            f"OSError: libcudart.so.12: cannot open shared object file: {MISSING}",
            "xformers 0.0.35 is built for another CUDA: it asks for libcudart.so.12, and torch here is of CUDA 13.0",
        ),
        (
            f"OSError: libcudart.so.13: cannot open shared object file: {MISSING}",
            "xformers 0.0.35: a CUDA library that the wheel needs is not installed in this environment",
        ),
        (
            "OSError: /x/_C.so: undefined symbol: _ZN3c1013MessageLoggerC1EPKcii",
            "xformers 0.0.35 is built for another torch: no library here exports _ZN3c1013MessageLoggerC1EPKcii",
        ),
        (
            f"OSError: /x/onnxruntime/capi/libonnxruntime_providers_cuda.so: cannot open shared object file: {MISSING}",
            "xformers 0.0.35 imports, and holds no libonnxruntime_providers_cuda.so",
        ),
        (
            "EmptyPackageError: no file xformers/_C* with a compiled library in it",
            "xformers 0.0.35 imports, and holds no compiled kernel: no file xformers/_C* with a compiled library in it",
        ),
        (
            "AttributeError: '_OpNamespace' 'xformers' object has no attribute 'sparse24'",
            "xformers 0.0.35 imports, and has no kernel to run here: AttributeError: '_OpNamespace' 'xformers' object "
            "has no attribute 'sparse24'",
        ),
        (
            "AcceleratorError: CUDA error: no kernel image is available for execution on the device",
            "xformers 0.0.35: the installed wheels hold no machine code for this card",
        ),
        (
            "RuntimeError: the session runs on CPUExecutionProvider, not on CUDAExecutionProvider",
            "xformers 0.0.35: its kernel does not run: RuntimeError: the session runs on CPUExecutionProvider, not on "
            "CUDAExecutionProvider",
        ),
    ],
)
def test_what_keeps_a_kernel_from_running_is_named(message: str, cause: str) -> None:
    check = _check(message)
    assert (check.status, check.cause) == ("failed", cause)
    assert check.hint


def test_ptx_alone_is_a_warning_where_the_drivers_compiler_makes_it_right() -> None:
    message = "AcceleratorError: CUDA error: no kernel image is available for execution on the device"
    check = _check(message, again="")
    assert check.status == "warned"
    assert "runs through the driver's compiler alone" in check.cause
    assert _check(message, again=message).status == "failed"


def test_wrong_numbers_and_nothing_compared_fail() -> None:
    wrong = _check(wrong=3, part="nms")
    assert wrong.cause == "xformers 0.0.35 computes something else: 3 of 64 elements differ, in nms first"
    assert _check(elements=0).cause == "the probe of xformers 0.0.35 compared nothing"


def test_a_probe_that_was_never_tried_only_warns_unless_loader_or_cuda_speak() -> None:
    untried = dataclasses.replace(PROBE, tried=False)
    assert _check("TypeError: one argument is missing", probe=untried).status == "warned"
    assert _check("TypeError: one argument is missing", probe=PROBE).status == "failed"
    assert _check("OSError: /x/_C.so: undefined symbol: x", probe=untried).status == "failed"
    assert _check("ImportError: no", probe=untried, stage="import").status == "failed"


def test_what_the_machine_lacks_is_a_warning() -> None:
    lacking = dataclasses.replace(PROBE, lacking="C compiler")
    check = _check("RuntimeError: Failed to find C compiler", probe=lacking)
    assert check.status == "warned"
    assert check.cause == (
        "xformers 0.0.35 was not probed: Triton builds a small launcher with a C compiler, and there is none"
    )


def test_a_process_that_dies_is_named() -> None:
    made = observed(probes=(PROBE,))
    gone = ended(PROBE.job, ending="signal", status=11, last="probing")
    check = check_of(dataclasses.replace(made, ended=(*made.ended, gone)), PROBE.job)
    assert (check.status, check.cause) == (
        "failed",
        "xformers 0.0.35: signal 11: the process crashed inside a compiled library; it was at 'probing'",
    )


def test_comparison_counts_every_element_that_differs() -> None:
    nan = float("nan")
    assert compared([[1, 2], [3, 4]], [[1, 2], [3, 4]]) == (0, 4, 0.0)
    assert compared([1.0, nan, 5.0], [1, 2, 3])[:2] == (2, 3)
    assert compared([1.0, 2.5], [1, 2], 0.5) == (0, 2, 0.0)
    assert compared([float("inf")], [float("inf")]) == (0, 1, 0.0)
    assert compared([1, 2], [1]) == (2, 1, float("inf"))


def test_needs_compiler_by_cudas_words() -> None:
    assert check_probes.needs_compiler(["", "CUDA error: PTX JIT compilation was disabled"])
    assert not check_probes.needs_compiler(["OSError: libcudart.so.12: cannot open"])


BOILERPLATE = "\nCompile with `TORCH_USE_CUDA_DSA` to enable device-side assertions."


def test_code_for_other_cards_in_the_library_explains_what_a_package_makes_of_it() -> None:
    """CUTLASS says "Error Internal" where its kernel has no code for the card (torchao, tried on an H100)."""
    probe = dataclasses.replace(PROBE, libraries=("xformers/_C*",))
    (library,) = code("sm_37")
    check = _check(
        "RuntimeError: Got CUTLASS error: Error Internal", probe=probe, code=[("xformers/_C.so", library[1])]
    )
    assert check.cause.startswith("xformers 0.0.35 has no machine code for GPU 0 (9.0): ")
    (right,) = code("sm_90")
    check = _check("RuntimeError: Got CUTLASS error: Error Internal", probe=probe, code=[("xformers/_C.so", right[1])])
    assert check.cause == ("xformers 0.0.35: its kernel does not run: RuntimeError: Got CUTLASS error: Error Internal")
    # vLLM's and SGLang's kernels do not say that they did not start: what was in memory is the answer.
    check = _check(probe=probe, code=[("xformers/_C.so", library[1])], wrong=3, part="nms")
    assert (check.status, check.cause[:55]) == ("failed", "xformers 0.0.35 has no machine code for GPU 0 (9.0): no")
    check = _check(probe=probe, code=[("xformers/_C.so", right[1])], wrong=3, part="nms")
    assert check.cause == "xformers 0.0.35 computes something else: 3 of 64 elements differ, in nms first"


def test_a_message_that_begins_with_an_empty_line_is_told_by_the_next() -> None:
    check = _check("ImportError: \n[sgl_kernel] CRITICAL: Could not load any common_ops library!\n\nmore")
    assert check.seen.endswith("ImportError: [sgl_kernel] CRITICAL: Could not load any common_ops library!")


def test_a_kernel_that_did_not_start_is_told_though_its_package_does_not_ask(monkeypatch: pytest.MonkeyPatch) -> None:
    def zeros(_size: int, **_more: object) -> object:
        raise RuntimeError("CUDA error: no kernel image is available for execution on the device")

    torch = types.SimpleNamespace(cuda=types.SimpleNamespace(set_device=lambda _device: None), zeros=zeros)
    monkeypatch.setitem(sys.modules, "torch", torch)
    got = probe._measured(lambda _device: [("silu", [1.0], [2.0])], "cuda:0")
    assert "no kernel image" in got["message"]
    assert probe._measured(lambda _device: [("silu", [1.0], [1.0])], "cpu")["message"] == ""


def test_attentions_scale_makes_the_factor_of_its_exponent_one() -> None:
    """Kernels keep ``scale * log2(e)`` in float32; where it is not one, FlashAttention 2 rounds one of two products."""
    scale = struct.unpack("f", struct.pack("f", math.log(2)))[0]
    assert struct.unpack("f", struct.pack("f", scale * math.log2(math.e)))[0] == 1.0


@pytest.mark.parametrize(
    ("message", "cause"),
    [
        ("CUDA error: PTX JIT compilation was disabled", "a library holds only PTX for this card, which the driver"),
        (
            "CUDA error: a PTX JIT compilation failed",
            "the installed wheels hold no machine code for this card, and PTX",
        ),
        ("Error named symbol not found at line 432", "CUDA does not find the kernel: the installed wheels hold no"),
        ("CUDA error: device-side assert triggered", "a kernel crashed on the card"),
        ("CUDA error: an error of another day", "its kernel does not run: AcceleratorError: CUDA error: an error of"),
    ],
)
def test_what_torch_appends_to_every_error_of_cudas_names_no_cause(message: str, cause: str) -> None:
    assert _check(f"AcceleratorError: {message}{BOILERPLATE}").cause.startswith(f"xformers 0.0.35: {cause}")
