"""Training: GPT-2 from scratch on arithmetic text, step by step, then the same steps as one CUDA graph."""

from __future__ import annotations

import contextlib
import gc
import os
import platform
import time
from pathlib import Path
from typing import Any

import torch

from . import devices, speed
from .channel import Channel
from .gpt import SHAPES, Shape, initial, loss, low_precision
from .language import arithmetic_samples

LENGTH = 256
RATE = 6e-4
BETAS = (0.9, 0.95)
RAMP = 6
LARGEST_NORM = 1.0
"""The rate rises over six steps and gradients are clipped: from random weights the full rate at once makes the loss
jump to 5 or 9 now and then, on correct kernels, and a check must not fail by luck of the seed."""
WARM = 3
"""Steps not counted in the rate: the first ones load kernels and fill the allocator."""


def run(settings: dict[str, Any], channel: Channel) -> None:
    """Import, find the devices, train on one of them, measure it; every other GPU has a process of its own."""
    _packages(settings, channel)
    device = _device(settings, channel)
    if device is None:
        return
    if settings.get("wait"):
        channel.wait_for_parent()
    # A collection in the middle of a step would be measured as the card's.
    gc.collect()
    gc.disable()
    seeds = settings["seeds"]
    trained = Trainer(settings, device=device, seed=seeds[0])
    trained.start(channel)
    trained.steps(channel)
    if device != "cpu":
        _graph(settings, device, seeds[0], channel)
        for seed in seeds[1:]:
            other = Trainer(settings, device=device, seed=seed)
            channel.emit("seed", seed=seed, loss=other.silent())
            del other
    trained.profile(channel)
    del trained
    speed.measure(device, channel)


def _graph(settings: dict[str, Any], device: str, seed: int, channel: Channel) -> None:
    """Train as a graph; what cannot be captured is a finding, and the eager run stands."""
    try:
        Trainer(settings, device=device, seed=seed).as_graph(channel)
    except Exception as error:  # capture fails with CUDA's, torch's and the allocator's own classes
        channel.emit("graph-failed", message=f"{type(error).__name__}: {error}"[:1500])


def _packages(settings: dict[str, Any], channel: Channel) -> None:
    import importlib

    for project, module in settings.get("packages", ()):
        start = time.perf_counter()
        channel.emit("importing", module=module)
        try:
            loaded = importlib.import_module(module)
        except Exception as error:  # whatever a broken package raises is the finding
            channel.emit(
                "package", project=project, module=module, version=None, message=f"{type(error).__name__}: {error}"
            )
            continue
        message = _torchvision_operator(loaded) if module == "torchvision" else ""
        channel.emit(
            "package",
            project=project,
            module=module,
            version=str(getattr(loaded, "__version__", "")),
            seconds=time.perf_counter() - start,
            message=message,
        )


def _torchvision_operator(torchvision: Any) -> str:
    """Call one compiled operator: with a build for another torch the import works and the operators are missing."""
    try:
        boxes = torch.tensor([[0.0, 0.0, 1.0, 1.0], [0.0, 0.0, 1.0, 0.9]])
        torchvision.ops.nms(boxes, torch.tensor([0.9, 0.8]), 0.5)
    except Exception as error:  # whatever a broken package raises is the finding
        return f"{type(error).__name__}: {error}"
    return ""


def _device(settings: dict[str, Any], channel: Channel) -> str | None:
    if settings["device"] == "cpu":
        channel.emit(
            "devices",
            available=False,
            devices=[],
            visible=os.environ.get("CUDA_VISIBLE_DEVICES"),
            processor=_processor(),
        )
        return "cpu"
    start = time.perf_counter()
    channel.emit("starting-cuda")
    available = bool(torch.cuda.is_available())
    message = ""
    seen: list[dict[str, object]] = []
    try:
        torch.cuda.init()
        seen = [devices.describe(torch, index) for index in range(int(torch.cuda.device_count()))]
        scope = devices.in_scope(torch, settings)
        if scope:
            torch.cuda.set_device(scope[0])
            torch.zeros(1, device="cuda").item()
    except Exception as error:  # the driver's words, whatever class torch gives them
        message, scope = f"{type(error).__name__}: {error}", []
    channel.emit(
        "devices",
        available=available,
        count=int(torch.cuda.device_count()),
        devices=seen,
        visible=os.environ.get("CUDA_VISIBLE_DEVICES"),
        message=message,
        architectures=list(torch.cuda.get_arch_list()) if torch.version.cuda else [],
        cudnn=torch.backends.cudnn.version() if torch.version.cuda else None,
        nccl=_nccl(),
        bf16=bool(scope) and devices.has_bf16(torch),
        seconds=time.perf_counter() - start,
    )
    return f"cuda:{scope[0]}" if scope else None


def _nccl() -> str | None:
    with contextlib.suppress(Exception):  # absent from Windows builds
        return ".".join(str(part) for part in torch.cuda.nccl.version())
    return None


def _processor() -> str:
    with contextlib.suppress(OSError), Path("/proc/cpuinfo").open(encoding="utf-8", errors="replace") as lines:
        for line in lines:
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


class Trainer:
    """One model with its optimizer and its batches, made from a seed."""

    def __init__(self, settings: dict[str, Any], *, device: str, seed: int) -> None:
        self.settings, self.device, self.seed = settings, device, seed
        self.gpu = device != "cpu"
        self.shape: Shape = SHAPES[settings["model"]]
        wanted = settings["precision"]
        self.bf16 = wanted == "bf16" and self.gpu and devices.has_bf16(torch)
        if self.gpu:
            torch.cuda.synchronize(device)
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats(device)
            self.before = torch.cuda.memory_allocated(device)
        generator = torch.Generator(device=device).manual_seed(seed)
        like = torch.zeros(1, device=device)
        self.parameters = initial(
            self.shape,
            lambda size, deviation: torch.randn(size, generator=generator, device=device).mul_(deviation),
            like=like,
        )
        # On the device, so that a captured graph reads the rate of the step and not the one it was captured with.
        self.rate = torch.tensor(RATE, device=device) if self.gpu else None
        self.optimizer = torch.optim.AdamW(
            self.parameters,
            lr=RATE if self.rate is None else self.rate,
            betas=BETAS,
            weight_decay=0.1,
            fused=True,
            capturable=self.gpu,
        )
        samples = arithmetic_samples(count=settings["samples"], length=LENGTH, seed=seed)
        table = torch.tensor([list(sample) for sample in samples], dtype=torch.long).to(device)
        batch = settings["batch_size"]
        starts = [step * batch % max(len(samples) - batch + 1, 1) for step in range(settings["steps"])]
        self.batches = [table[start : start + batch] for start in starts]

    def forward(self, rows: Any) -> Any:
        """Return the loss of one batch, under autocast where bf16 is used."""
        kind = "cuda" if self.gpu else "cpu"
        with torch.autocast(kind, dtype=torch.bfloat16, enabled=self.bf16):
            weights = low_precision(self.shape, self.parameters) if self.bf16 else self.parameters
            return loss(self.shape, weights, rows[:, :-1], rows[:, 1:])

    def step(self, number: int, rows: Any) -> Any:
        """Do optimizer step ``number`` (from 0); the loss stays on the device."""
        self.set_rate(number)
        self.optimizer.zero_grad(set_to_none=True)
        return self.work(rows)

    def set_rate(self, number: int) -> None:
        """Set the learning rate of step ``number``."""
        rate = RATE * min(1.0, (number + 1) / RAMP)
        if self.rate is not None:
            self.rate.fill_(rate)
        else:
            self.optimizer.param_groups[0]["lr"] = rate

    def work(self, rows: Any) -> Any:
        """Forward, backward, clipping, update: what a graph captures."""
        value = self.forward(rows)
        value.backward()
        torch.nn.utils.clip_grad_norm_(self.parameters, LARGEST_NORM, foreach=True)
        self.optimizer.step()
        return value.detach()

    def start(self, channel: Channel) -> None:
        """Say what is going to be trained."""
        channel.emit(
            "training",
            model=self.settings["model"],
            parameters=sum(int(tensor.numel()) for tensor in self.parameters),
            device=self.device,
            precision="bf16 autocast" if self.bf16 else "fp32",
            wanted=self.settings["precision"],
            batch_size=self.settings["batch_size"],
            tokens=LENGTH,
            samples=self.settings["samples"],
            steps=self.settings["steps"],
            seed=self.seed,
            vocabulary=self.shape.vocabulary,
        )

    def steps(self, channel: Channel) -> None:
        """Train step by step, each timed to the end of its device work."""
        before = self.parameters[0].detach().clone()
        begin = time.perf_counter()
        for number, rows in enumerate(self.batches):
            start = time.perf_counter()
            value = float(self.step(number, rows))
            devices.synchronize(torch, self.device)
            channel.emit(
                "step",
                run="eager",
                step=number + 1,
                loss=value,
                seconds=time.perf_counter() - start,
                memory=self.memory(),
            )
        channel.emit(
            "trained",
            run="eager",
            seconds=time.perf_counter() - begin,
            moved=float((self.parameters[0].detach() - before).abs().max().item()),
            **self.whereabouts(),
        )

    def silent(self) -> float:
        """Train to the end without a word and return the last loss."""
        value = None
        for number, rows in enumerate(self.batches):
            value = self.step(number, rows)
        return float(value.item()) if value is not None else float("nan")

    def memory(self) -> int | None:
        """Return the peak of allocated device memory since the model was made."""
        return int(torch.cuda.max_memory_allocated(self.device)) - self.before if self.gpu else None

    def whereabouts(self) -> dict[str, object]:
        """Say where parameters, gradients and optimizer state lie, and how many bytes they must take."""
        kind = "cuda" if self.gpu else "cpu"
        state = [value for entry in self.optimizer.state.values() for value in entry.values() if value.dim() > 0]
        gradients = [tensor.grad for tensor in self.parameters if tensor.grad is not None]
        groups = {"parameters": self.parameters, "gradients": gradients, "state": state}
        return {
            "memory": self.memory(),
            "bytes": {name: sum(t.numel() * t.element_size() for t in group) for name, group in groups.items()},
            "elsewhere": {name: sum(t.device.type != kind for t in group) for name, group in groups.items()},
            "tensors": {name: len(group) for name, group in groups.items()},
        }

    def as_graph(self, channel: Channel) -> None:
        """Repeat the same steps as one CUDA graph: one launch a step, from the same start."""
        rows = self.batches[0].clone()
        saved = [tensor.detach().clone() for tensor in self.parameters]
        side = torch.cuda.Stream(self.device)
        side.wait_stream(torch.cuda.current_stream(self.device))
        with torch.cuda.stream(side):
            for number in range(WARM):
                self.step(number, rows)
        torch.cuda.current_stream(self.device).wait_stream(side)
        self.optimizer.zero_grad(set_to_none=True)
        graph = torch.cuda.CUDAGraph()
        begin = time.perf_counter()
        with torch.cuda.graph(graph):
            value = self.work(rows)
        captured = time.perf_counter() - begin
        self._restart(saved)
        begin = time.perf_counter()
        for number, batch in enumerate(self.batches):
            start = time.perf_counter()
            rows.copy_(batch)
            self.set_rate(number)
            graph.replay()
            found = float(value.item())
            seconds = time.perf_counter() - start
            channel.emit("step", run="graph", step=number + 1, loss=found, seconds=seconds, memory=self.memory())
        channel.emit(
            "trained", run="graph", seconds=time.perf_counter() - begin, capture=captured, memory=self.memory()
        )

    def _restart(self, saved: list[Any]) -> None:
        """Undo the steps of the warm-up in place: the graph holds the tensors' addresses."""
        with torch.no_grad():
            for tensor, start in zip(self.parameters, saved, strict=True):
                tensor.copy_(start)
            for entry in self.optimizer.state.values():
                for value in entry.values():
                    value.zero_()
        torch.cuda.synchronize(self.device)

    def profile(self, channel: Channel) -> None:
        """Count what one more step ran on the device, by the profiler's own records."""
        activities = [torch.profiler.ProfilerActivity.CPU]
        if self.gpu:
            activities.append(torch.profiler.ProfilerActivity.CUDA)
        channel.emit("profiling")
        try:
            with torch.profiler.profile(activities=activities) as profiler:
                self.step(len(self.batches), self.batches[-1])
                devices.synchronize(torch, self.device)
            found = [
                (str(event.name), float(event.time_range.elapsed_us()), "CPU" in str(event.device_type))
                for event in profiler.events()
            ]
        except Exception as error:  # CUPTI fails in many ways; the parent says what it means
            channel.emit("profile", message=f"{type(error).__name__}: {error}", kernels=0)
            return
        # Beside kernels the device's records hold copies and the marks of Python ranges ("Optimizer.step#AdamW.step").
        marks = ("Mem", "aten::")
        kernels = [(name, us) for name, us, cpu in found if not cpu and not name.startswith(marks) and "#" not in name]
        operators = [name for name, _, cpu in found if cpu and name.startswith("aten::")]
        channel.emit(
            "profile",
            kernels=len(kernels),
            device_seconds=sum(micros for _, micros in kernels) / 1e6,
            operators=len(operators),
            groups=_groups(kernels),
            longest=[[name[:120], micros] for name, micros in sorted(kernels, key=lambda item: -item[1])[:8]],
            message="",
        )


GROUPS = {
    "matmul": ("gemm", "nvjet", "cutlass", "xmma", "matmul", "splitkreduce", "cublas"),
    "attention": ("flash", "fmha", "attention", "sdpa"),
    "normalization": ("layer_norm", "layernorm", "gammabeta"),
    "loss": ("softmax", "nll"),
    "optimizer": ("adam", "multi_tensor"),
}


def _groups(kernels: list[tuple[str, float]]) -> dict[str, int]:
    """Sort kernels by the work their names tell; ``attention`` first, since its names hold ``cutlass`` as well."""
    counts = dict.fromkeys((*GROUPS, "other"), 0)
    for name, _ in kernels:
        low = name.lower()
        order = ("attention", "optimizer", "normalization", "loss", "matmul")
        counts[next((group for group in order if any(word in low for word in GROUPS[group])), "other")] += 1
    return counts
