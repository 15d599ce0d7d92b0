"""Each wrong environment has its own cause: a recorded run on an H200, changed in one place."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path
from typing import Literal

import pytest

from gpuenv.installed.compare import Compared, Difference
from gpuenv.installed.environment import StartupFile
from gpuenv.model.profile import VerificationPlan
from gpuenv.shell import unset
from gpuenv.verify.causes import Hints, of_ending
from gpuenv.verify.expected import Expected, ExpectedPackage, reference
from gpuenv.verify.messages import Message
from support.verify_observed import (
    MACHINE,
    UUID,
    altered,
    check_of,
    code,
    distribution,
    ended,
    installed,
    observed,
    report_of,
    torch,
)


def test_the_recorded_run_passes_every_check_that_applies() -> None:
    report = report_of(observed())
    assert report.verdict == "passed"
    assert {check.name: check.status for check in report.checks if check.status != "passed"} == {
        "several-gpus": "not-applicable"
    }
    assert report.training is not None
    assert report.training.parameters == 124_439_808
    assert report.training.samples_seen == 56
    assert [run.mode for run in report.runs] == ["eager", "graph"]
    assert report.training.samples_per_second > 200
    assert report.training.shortest_step_seconds == pytest.approx(0.00191, abs=1e-4)
    assert [rate.share and round(rate.share, 2) for rate in report.rates] == [0.8, 0.9]


def test_checks_keep_their_names_and_order() -> None:
    assert [check.name for check in report_of(observed()).checks] == [
        "installed", "startup", "driver", "import", "devices", "native-code", "no-jit", "training", "on-device",
        "graph", "numbers", "kernels", "speed", "several-gpus", "compile",
    ]  # fmt: skip


def _when(event: str, /, *, job: str | None = None, **values: object):
    def edit(message: Message) -> Message:
        hit = message.event == event and (job is None or message.job == job)
        return altered(message, **values) if hit else message

    return edit


def test_a_cpu_build_is_named() -> None:
    check = check_of(observed(edit=_when("torch", cuda=None, version="2.11.0+cpu")), "import")
    assert (check.status, check.cause) == ("failed", "a CPU build of torch is installed (2.11.0+cpu)")
    assert check.hint == "gpuenv create --profile hopper"


def test_a_torch_of_another_version_than_locked_was_replaced() -> None:
    wrong = installed(
        distributions=(distribution("torch", "2.12.0"),),
        torch=torch("2.12.0"),
    )
    check = check_of(observed(installed=wrong), "installed")
    assert check.status == "failed"
    assert check.cause == "torch was replaced after locking: the lock says 2.11.0+cu130, installed is 2.12.0"


def test_two_versions_of_one_package_are_told() -> None:
    twice = (
        *installed().distributions,
        distribution("torch", "2.9.1"),
    )
    check = check_of(observed(installed=installed(distributions=twice)), "installed")
    assert check.cause == "torch is installed 2 times: 2.11.0+cu130, 2.9.1"


def compared(*differences: Difference) -> Compared:
    return Compared(differences=differences, notes=(), files=12484, hashed=0)


def test_an_altered_file_is_told() -> None:
    changed = Difference(kind="hash", package="torch", path="torch/optim/adamw.py", detail="other contents")
    check = check_of(observed(compared=compared(changed)), "installed")
    assert check.cause == "a file is not as its wheel installed it: torch: torch/optim/adamw.py: other contents"
    assert check.status == "failed"


def test_data_that_a_site_replaced_is_a_warning_that_names_it() -> None:
    changed = Difference(kind="size", package="certifi", path="certifi/cacert.pem", detail="9 bytes", code=False)
    check = check_of(observed(compared=compared(changed)), "installed")
    assert check.status == "warned"
    assert "certifi/cacert.pem" in check.cause


def test_what_was_compared_is_said() -> None:
    check = check_of(observed(), "installed")
    assert check.seen.endswith("compared with RECORD: presence and size of 12,484 files")


def test_a_locked_companion_that_is_missing_is_told() -> None:
    expected = Expected(packages=(ExpectedPackage(project="torchvision", version="0.26.0+cu130"),))
    check = check_of(observed(expected=expected), "installed")
    assert check.cause == "torchvision is locked and not installed"


def test_a_torchvision_of_another_build_is_told_by_its_own_words() -> None:
    made = observed()
    words = "RuntimeError: operator torchvision::nms does not exist"
    failing = Message(
        job="training", event="package", at=1.0, values={"project": "torchvision", "version": None, "message": words}
    )
    check = check_of(dataclasses.replace(made, messages=(*made.messages, failing)), "import")
    assert check.cause == "torchvision does not work with this torch: its compiled part was built for another torch"


@pytest.mark.parametrize(
    ("visible", "cause"),
    [
        ("", "CUDA_VISIBLE_DEVICES is set and empty: it hides every GPU"),
        ("-1", "CUDA_VISIBLE_DEVICES is '-1': it hides every GPU"),
        ("3", "CUDA_VISIBLE_DEVICES=3 asks for GPU 3, and there are 1"),
        ("GPU-0000", "CUDA_VISIBLE_DEVICES=GPU-0000 names GPU-0000, which is no GPU of this machine"),
    ],
)
def test_a_hiding_variable_is_the_cause(visible: str, cause: str) -> None:
    edit = _when(
        "devices", job="training", devices=[], visible=visible, message="RuntimeError: No CUDA GPUs are available"
    )
    check = check_of(observed(edit=edit), "devices")
    assert (check.status, check.cause, check.hint) == ("failed", cause, unset("CUDA_VISIBLE_DEVICES"))


@pytest.mark.parametrize("visible", ["", "3"])
def test_in_a_job_the_hint_is_the_schedulers_option(visible: str) -> None:
    edit = _when("devices", job="training", devices=[], visible=visible, message="")
    check = check_of(observed(edit=edit, environ={"SLURM_JOB_ID": "4711"}), "devices")
    assert check.status == "failed"
    assert "--gres=gpu:1" in check.hint
    assert "unset" not in check.hint


def test_in_a_job_what_it_was_not_given_is_out_of_scope() -> None:
    made = observed()
    second = dataclasses.replace(made.machine.gpus[0], index=1, uuid="GPU-ffffffff-0000-4000-8000-000000000000")
    machine = dataclasses.replace(made.machine, gpus=(*made.machine.gpus, second))
    edit = _when("devices", job="training", visible="0")
    within = observed(edit=edit, machine=machine, environ={"SLURM_JOB_ID": "4711"})
    check = check_of(within, "devices")
    assert [gpu.index for gpu in within.gpus()] == [0]
    assert check.status == "passed"
    assert "Slurm job 4711 was given these (1 of 2 GPUs)" in check.seen
    assert check_of(observed(edit=edit, machine=machine), "devices").status == "failed"


def test_a_gpu_that_torch_does_not_see_is_named() -> None:
    expected = Expected(gpus=(dataclasses.replace(MACHINE.gpus[0], uuid="GPU-ffffffff"),))
    check = check_of(observed(expected=expected), "devices")
    assert check.status == "failed"
    assert "GPU-ffffffff" in check.cause


def test_the_order_of_cuda_and_nvml_may_differ() -> None:
    two = dataclasses.replace(MACHINE.gpus[0], index=1, uuid="GPU-second")
    first = {"index": 0, "name": "NVIDIA H200", "uuid": "second", "capability": "9.0"}
    second = {"index": 1, "name": "NVIDIA H200", "uuid": UUID[4:], "capability": "9.0"}
    machine = dataclasses.replace(MACHINE, gpus=(MACHINE.gpus[0], two))
    check = check_of(observed(edit=_when("devices", devices=[first, second]), machine=machine), "devices")
    assert check.status == "passed"
    assert "cuda:0 = NVML 1" in check.seen
    assert "cuda:1 = NVML 0" in check.seen


@pytest.mark.parametrize(
    ("names", "ptx", "status", "words"),
    [
        (("sm_75", "sm_80", "sm_86"), (), "failed", "no code for sm_90"),
        (("sm_75", "sm_80"), ("compute_80",), "warned", "PTX only (compute_80)"),
        (("sm_90",), (), "passed", ""),
        (("sm_100", "sm_120"), (), "failed", "no code for sm_90"),
        (("sm_90a", "sm_90", "sm_120a"), ("compute_120f",), "passed", ""),  # as in torch 2.11 for CUDA 13
        (("sm_100f", "sm_120a"), (), "failed", "no code for sm_90"),
    ],
)
def test_code_in_the_libraries(names: tuple[str, ...], ptx: tuple[str, ...], status: str, words: str) -> None:
    check = check_of(observed(code=code(*names, ptx=ptx)), "native-code")
    windows = tuple(("torch_cuda.dll", each) for _, each in code(*names, ptx=ptx))
    assert check_of(observed(code=windows), "native-code").status == check.status
    assert check.status == status
    assert words in check.cause


def test_a_kernel_that_needs_the_compiler_fails() -> None:
    def edit(message: Message) -> Message:
        if message.event == "kernel" and message.text("name") == "attention":
            return altered(message, message="AcceleratorError: CUDA error: no kernel image is available for execution")
        return message

    check = check_of(observed(edit=edit), "no-jit")
    assert check.status == "failed"
    assert check.cause == "attention on cuda:0: the installed wheels hold no machine code for this card"


def test_a_control_that_loads_in_spite_of_the_switch_proves_nothing() -> None:
    edit = _when("ptx", job="driver-nojit", attempts=[{"target": "sm_50", "status": 0}])
    check = check_of(observed(edit=edit), "no-jit")
    assert check.status == "warned"
    assert "no proof" in check.cause


@pytest.mark.parametrize(
    ("edit", "words"),
    [
        (_when("step", job="training", loss="nan"), "not a number from step 1"),
        (_when("trained", job="training", moved=0.0), "changed no weight"),
        (_when("step", job="training", loss=10.9), "the last loss is 10.900, the bound 4.15"),
        (_when("step", job="training", loss=3.0), "the first loss is 3.00 where random weights give 10.82"),
        (_when("seed", job="training", loss=9.0), "with another seed"),
    ],
)
def test_a_training_that_does_not_learn(edit, words: str) -> None:
    report = report_of(observed(edit=edit))
    check = next(check for check in report.checks if check.name == "training")
    assert check.status == "failed"
    assert words in check.cause
    assert report.verdict == "failed"


def test_tensors_that_are_elsewhere_are_named() -> None:
    edit = _when("trained", job="training", elsewhere={"parameters": 0, "gradients": 0, "state": 296})
    assert check_of(observed(edit=edit), "on-device").cause == "not on the GPU: state"


def test_less_memory_than_the_tensors_take_is_a_contradiction() -> None:
    check = check_of(observed(edit=_when("trained", job="training", memory=1_000_000)), "on-device")
    assert check.status == "failed"
    assert "the tensors alone take 1.99 GB" in check.cause


def test_a_profiler_without_kernels_is_a_warning() -> None:
    edit = _when("profile", kernels=0, groups={}, message="RuntimeError: CUPTI")
    assert check_of(observed(edit=edit), "on-device").status == "warned"


def test_a_graph_that_computes_something_else_fails() -> None:
    def edit(message: Message) -> Message:
        return altered(message, loss=5.0) if message.values.get("run") == "graph" else message

    assert check_of(observed(edit=edit), "graph").status == "failed"


def _away(by: float):
    """Move the twenty-first loss of the fp32 curve by a multiple of its bound."""

    def edit(message: Message) -> Message:
        if message.event == "curve" and message.text("precision") == "fp32":
            there = reference()
            losses = list(message.numbers("losses"))
            losses[20] = there.losses[20] + by * there.bounds["fp32"][20]
            return altered(message, losses=losses)
        return message

    return edit


def test_a_step_away_from_the_reference_is_named() -> None:
    check = check_of(observed(edit=_away(5)), "numbers")
    assert check.status == "failed"
    assert check.cause.startswith("fp32 on cuda:0: the loss leaves the reference at step 21, and is off by")
    assert "5 times what rounding allows" in check.cause


def test_a_step_a_little_beyond_its_bound_is_unusual_and_kept() -> None:
    report = report_of(observed(edit=_away(2)))
    check = next(check for check in report.checks if check.name == "numbers")
    assert (check.status, report.verdict) == ("unusual", "unusual")
    assert "2 times what rounding allows" in check.cause
    assert check_of(observed(edit=_away(0.9)), "numbers").status == "passed"


def test_a_loss_that_is_no_number_is_named_at_its_step() -> None:
    def edit(message: Message) -> Message:
        if message.event == "curve" and message.text("precision") == "bf16":
            losses: list[object] = [*message.numbers("losses")[:7], "nan"]
            return altered(message, losses=losses + list(message.numbers("losses")[8:]))
        return message

    check = check_of(observed(edit=edit), "numbers")
    assert check.status == "failed"
    assert check.cause.startswith("bf16 on cuda:0: the loss is not a number at step 8")


def test_the_beginning_of_a_curve_is_checked_without_its_floor() -> None:
    def edit(message: Message) -> Message:
        if message.event == "curve":
            return altered(message, losses=list(message.numbers("losses")[:16]))
        return altered(message, steps=16) if message.event == "language" else message

    assert check_of(observed(edit=edit), "numbers").status == "passed"
    # A curve that ends before the steps it was to run proves nothing of the rest.
    short = check_of(observed(edit=lambda m: edit(m) if m.event == "curve" else m), "numbers")
    assert (short.status, "16 steps of 60" in short.cause) == ("failed", True)


@pytest.mark.parametrize(("done", "status"), [(4, "passed"), (3, "failed")])
def test_a_curve_that_was_shortened_says_so_and_keeps_its_least_steps(done: int, status: str) -> None:
    late = {"step_seconds": 8.0, "steps": 60 - done, "left": 2.0}

    def edit(message: Message) -> Message:
        if message.event == "curve":
            return altered(message, losses=list(message.numbers("losses")[:done]))
        if message.event == "starting-cuda" and message.job == "numbers":
            return dataclasses.replace(message, event="left-out", values={**late, "what": "curve"})
        return message

    check = check_of(observed(edit=edit), "numbers")
    assert check.status == status
    assert f"shortened: {60 - done} steps of 8 s do not fit into the 2 s that are left" in check.seen


def test_types_without_time_are_named_beside_those_that_were_compared() -> None:
    late = {"step_seconds": 190.0, "steps": 1, "left": -30.0}

    def edit(message: Message) -> Message:
        if message.event == "starting-cuda" and message.job == "numbers":
            return dataclasses.replace(message, event="left-out", values={**late, "what": "bfloat16"})
        return message

    check = check_of(observed(edit=edit), "kernels")
    assert check.status == "passed"
    assert check.seen.endswith("; left out for want of time: bfloat16")


def test_a_wrong_first_loss_and_another_text_are_told_apart() -> None:
    curve = check_of(observed(edit=_when("curve", losses=[5.53125] * 60)), "numbers")
    assert "the first loss is 5.5312500" in curve.cause
    text = check_of(observed(edit=_when("language", fingerprint="0")), "numbers")
    assert "the text that was learned" in text.cause


def _family(name: str, kind: str, /, **values: object):
    def edit(message: Message) -> Message:
        hit = message.event == "family" and (message.text("family"), message.text("type")) == (name, kind)
        return altered(message, **values) if hit else message

    return edit


def test_one_wrong_element_of_an_exact_family_fails_with_the_figures() -> None:
    edit = _family("linear", "bfloat16", wrong=1, error=1.0, part="gradient of the weight")
    check = check_of(observed(edit=edit), "kernels")
    assert check.status == "failed"
    assert check.cause.startswith("linear in bfloat16 on cuda:0: 1 of ")
    assert "differ from the only right result, by up to 1 in the gradient of the weight: a wrong kernel" in check.cause


def test_a_convolution_that_transforms_may_round_and_is_unusual() -> None:
    inside = _family("convolution", "float16", wrong=9, error=0.1, bound=0.4, part="output")
    report = report_of(observed(edit=inside))
    check = next(check for check in report.checks if check.name == "kernels")
    assert (check.status, report.verdict) == ("unusual", "unusual")
    beyond = _family("convolution", "float16", wrong=9, error=0.5, bound=0.4, part="output")
    assert check_of(observed(edit=beyond), "kernels").status == "failed"


@pytest.mark.parametrize(
    ("times", "status"), [(0.99, "passed"), (1.01, "unusual"), (3.99, "unusual"), (4.0, "failed"), (1e9, "failed")]
)
def test_a_bound_has_three_outcomes(times: float, status: str) -> None:
    edit = _family("softmax", "float32", error=times * 60, bound=60.0, rms=0.0, rms_bound=1.0, part="output")
    check = check_of(observed(edit=edit), "kernels")
    assert check.status == status
    assert ("times what rounding allows" in check.cause) == (status != "passed")
    # The root mean square counts as the largest error does.
    edit = _family("softmax", "float32", error=0.0, bound=60.0, rms=times * 20, rms_bound=20.0, part="output")
    assert check_of(observed(edit=edit), "kernels").status == status


def test_a_family_that_compared_nothing_proves_nothing() -> None:
    assert check_of(observed(edit=_family("matmul", "float32", elements=0)), "kernels").status == "failed"


def test_nan_in_a_kernel_family_fails_and_a_missing_backend_does_not() -> None:
    def broken(message: Message) -> Message:
        return altered(message, error="nan", wrong=3) if message.values.get("family") == "convolution" else message

    def missing(message: Message) -> Message:
        if str(message.values.get("family")).startswith(("attention flash", "attention cudnn")):
            return altered(message, error=None, message="RuntimeError: No available kernel")
        return message

    assert check_of(observed(edit=broken), "kernels").cause.endswith("is not a number: a wrong kernel")
    softmax = _family("softmax", "float32", error="nan", rms="nan")
    assert check_of(observed(edit=softmax), "kernels").cause.endswith("is not a number: a wrong kernel")
    absent = check_of(observed(edit=missing), "kernels")
    assert absent.status == "passed"
    assert "not offered here: attention cudnn bfloat16" in absent.seen


def test_a_slow_card_is_unusual_with_the_figure_and_kept() -> None:
    def edit(message: Message) -> Message:
        return altered(message, tflops=150.0) if message.values.get("kind") == "matmul" else message

    report = report_of(observed(edit=edit))
    check = next(check for check in report.checks if check.name == "speed")
    assert (check.status, report.verdict) == ("unusual", "unusual")
    assert "reaches 15% of its limit" in check.cause


def test_an_unknown_card_is_measured_by_its_memory_clock() -> None:
    def edit(message: Message) -> Message:
        rows = (
            [{**row, "name": "NVIDIA Unheard Of"} for row in message.rows("devices")]
            if message.event == "devices"
            else ()
        )
        return altered(message, devices=rows) if rows else message

    report = report_of(observed(edit=edit))
    copy = next(rate for rate in report.rates if rate.unit == "GB/s")
    assert copy.limit == pytest.approx(4814.3, abs=0.1)
    assert next(rate for rate in report.rates if rate.unit == "TFLOP/s").limit is None


@pytest.mark.parametrize(
    ("ending", "words", "hint"),
    [
        (ended("training", ending="signal", status=9, last="step"), "the system killed the process", "free -h"),
        (ended("training", ending="deadline", status=-1, last="step"), "not finished at the deadline", "nvidia-smi"),
        (ended("training", ending="silence", status=-1, last="step", stuck=True), "even a kill did not", "nvidia-smi"),
        (ended("training", ending="signal", status=11, last="importing"), "crashed inside a compiled", "gpuenv doctor"),
    ],
)
def test_a_process_that_did_not_finish(ending, words: str, hint: str) -> None:
    def edit(message: Message) -> Message | None:
        # It stopped in the middle of the training.
        gone = message.event in ("finished", "trained", "seed", "profile", "speed")
        gone = gone or (message.event == "step" and (message.text("run") == "graph" or message.whole("step") > 5))
        return None if message.job == "training" and gone else message

    made = observed(edit=edit, endings={"training": ending})
    check = check_of(made, "training")
    assert check.status == "failed"
    assert words in check.cause
    assert check.hint.startswith(hint)
    assert report_of(made).verdict == "failed"


@pytest.mark.parametrize("ending", ["deadline", "silence"])
def test_a_slow_cpu_is_told_of_its_time_and_of_no_gpu(ending: Literal["deadline", "silence"]) -> None:
    cause = of_ending(ended("numbers", ending=ending, status=-1, last="family"), gpu=False)
    assert cause is not None
    assert ("deadline-seconds" in cause.text) == (ending == "deadline")
    assert "device" not in cause.text
    assert cause.hint == "gpuenv doctor"


def test_a_run_without_any_training_never_passes() -> None:
    made = observed(edit=lambda message: message if message.job.startswith("driver") else None, ended=())
    report = report_of(made)
    assert report.verdict == "failed"
    assert report.training is None


def test_a_driver_library_of_another_version_on_the_loader_path() -> None:
    def edit(message: Message) -> Message:
        if message.job == "driver-user" and message.event == "driver":
            return altered(message, status=803, path="/old/libcuda.so.535.54.03", message="SYSTEM_DRIVER_MISMATCH")
        return message

    check = check_of(observed(edit=edit, environ={"LD_LIBRARY_PATH": "/old"}), "driver")
    assert check.status == "failed"
    assert "535.54.03 at /old/libcuda.so.535.54.03" in check.cause
    assert check.hint == unset("LD_LIBRARY_PATH")


def test_a_driver_that_does_not_start_says_why() -> None:
    edit = _when("driver", job="driver", status=802, message="CUDA_ERROR_SYSTEM_NOT_READY", devices=[])
    check = check_of(observed(edit=edit), "driver")
    assert "NVLink fabric" in check.cause


def test_startup_code_is_a_warning_that_names_the_file() -> None:
    check = check_of(
        observed(installed=installed(startup=(StartupFile(path="sitecustomize.py", runs=True),))), "startup"
    )
    assert check.status == "warned"
    assert "sitecustomize.py would run at every start" in check.cause
    assert "did not run in this verification" in check.seen


def test_no_path_of_this_machine_is_shown() -> None:
    made = observed(installed=installed(startup=(StartupFile(path="sitecustomize.py", runs=True),)))
    words = " ".join(check.seen + check.cause + check.hint for check in report_of(made).checks)
    assert "/somewhere" not in words
    assert f"ls {Path('.venv-gpu/lib/python3.12/site-packages')}" in words


@pytest.mark.parametrize("doing", ["create", "verify"])
@pytest.mark.parametrize(
    ("error", "cause"),
    [
        ("InductorError: RuntimeError: Failed to find C compiler", "Triton builds a small launcher with a C compiler"),
        (
            "fatal error: Python.h: No such file or directory",
            "Triton builds a small launcher against Python's C headers",
        ),
    ],
)
def test_what_the_compiler_lacks_is_a_warning_that_doctor_explains(
    error: str, cause: str, doing: Literal["create", "verify"]
) -> None:
    """Which package brings it is doctor's to know: it looks at the distribution and the interpreter."""
    made = observed(edit=_when("compiled", message=error, error=None))
    hints = Hints(profile="hopper", environment=".venv-gpu", doing=doing)
    check = check_of(dataclasses.replace(made, expected=dataclasses.replace(made.expected, hints=hints)), "compile")
    assert (check.status, check.hint) == ("warned", "gpuenv doctor .venv-gpu")
    assert check.cause.startswith(cause)


def test_a_compiler_without_a_device_is_not_run() -> None:
    def edit(message: Message) -> Message:
        if message.event == "compiled":
            return Message(job="compile", event="no-device", at=1.0, values={"found": 0})
        return message

    check = check_of(observed(edit=edit), "compile")
    assert (check.status, check.seen) == ("not-applicable", "not run: torch found no device")


def test_the_bound_of_the_plan_is_the_one_that_counts() -> None:
    check = check_of(observed(plan=VerificationPlan(loss_below=2.5)), "training")
    assert check.status == "failed"
    assert not math.isnan(report_of(observed()).final_losses[1][1])


def test_a_process_that_compared_only_some_types_fails_the_kernels() -> None:
    made = observed()
    broken = ended("numbers-bfloat16", ending="signal", status=11)
    check = check_of(dataclasses.replace(made, ended=(*made.ended, broken)), "kernels")
    assert (check.status, check.cause[:9]) == ("failed", "signal 11")
