"""Training: GPT-2 from scratch on arithmetic text, step by step, then the same steps as one CUDA graph."""

from __future__ import annotations

import contextlib
import gc
import os
import platform
import sys
import time
from pathlib import Path
from typing import Any

import torch

from . import devices, precision, profiling, sizing, speed, threads
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
    # Optimizers load a third of torch when the first one is made: not in the part that is timed.
    torch.optim.AdamW([torch.zeros(1, requires_grad=True)])
    if settings.get("wait"):
        channel.wait_for_parent()
    left = sizing.left_seconds(float(settings.get("budget", "inf")), elapsed=channel.elapsed())
    settings = settings | {"until": channel.elapsed() + left}
    # A collection in the middle of a step would be measured as the card's.
    gc.collect()
    gc.disable()
    seeds = settings["seeds"]
    if device == "cpu":
        settings = settings | {"model": _model_for_this_cpu(settings, channel)}
    trained = Trainer(settings, device=device, seed=seeds[0])
    trained.start(channel)
    step = trained.steps(channel)
    if device != "cpu":
        settings = settings | {"steps": trained.done}
        if _in_time("graph", step, settings, channel):
            _graph(settings, device, seeds[0], channel)
        for seed in seeds[1:]:
            if _in_time(f"seed {seed}", step, settings, channel):
                other = Trainer(settings, device=device, seed=seed)
                channel.emit("seed", seed=seed, loss=other.silent())
                del other
    profiling.profile(trained, channel)
    del trained
    speed.measure(device, channel)


def _model_for_this_cpu(settings: dict[str, Any], channel: Channel) -> str:
    """Measure a step of the smallest model and return the largest one that this CPU trains in the time there is."""
    smallest = sizing.SMALLER[-1]
    seconds = settings.get("step_seconds") or threads.fastest(channel)
    return sizing.model_that_fits(
        settings["model"],
        probe_seconds=seconds,
        probe_parameters=SHAPES[smallest].parameters(),
        parameters={name: shape.parameters() for name, shape in SHAPES.items()},
        steps=settings["steps"],
        left=settings["until"] - channel.elapsed(),
    )


def _in_time(what: str, step_seconds: float, settings: dict[str, Any], channel: Channel) -> bool:
    """Say whether another run fits into the time; one that does not is said, not forgotten."""
    left, steps = settings["until"] - channel.elapsed(), settings["steps"]
    if sizing.fits(step_seconds, steps=steps, left=left):
        return True
    channel.emit("left-out", what=what, step_seconds=step_seconds, steps=steps, left=left)
    return False


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
    if sys.platform == "win32":  # where platform.processor() is "Intel64 Family 6 Model 143 Stepping 8, GenuineIntel"
        import winreg

        with contextlib.suppress(OSError):
            key = r"HARDWARE\DESCRIPTION\System\CentralProcessor\0"
            with winreg.OpenKey(winreg.HKEY_LOCAL_MACHINE, key) as first:
                return str(winreg.QueryValueEx(first, "ProcessorNameString")[0]).strip()
    return platform.processor() or platform.machine()


class Trainer:
    """One model with its optimizer and its batches, made from a seed."""

    def __init__(self, settings: dict[str, Any], *, device: str, seed: int) -> None:
        self.settings, self.device, self.seed = settings, device, seed
        self.gpu = device != "cpu"
        self.shape: Shape = SHAPES[settings["model"]]
        self.precision = precision.choose(settings["precision"], gpu=self.gpu)
        self.low = precision.TYPES.get(self.precision)
        self.done = 0
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
        scaled = self.precision == "fp16"
        self.scaler = precision.Scaler(device, scale=settings.get("scale")) if scaled else None
        samples = arithmetic_samples(count=settings["samples"], length=LENGTH, seed=seed)
        table = torch.tensor([list(sample) for sample in samples], dtype=torch.long).to(device)
        batch = settings["batch_size"]
        starts = [step * batch % max(len(samples) - batch + 1, 1) for step in range(settings["steps"])]
        self.batches = [table[start : start + batch] for start in starts]

    def forward(self, rows: Any) -> Any:
        """Return the loss of one batch, under autocast where bf16 or fp16 is used."""
        kind = "cuda" if self.gpu else "cpu"
        with torch.autocast(kind, dtype=self.low or torch.bfloat16, enabled=self.low is not None):
            weights = low_precision(self.shape, self.parameters, self.low) if self.low else self.parameters
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
        if self.scaler is not None:
            self.scaler.step(value, self.optimizer, self.parameters, largest_norm=LARGEST_NORM)
            return value.detach()
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
            precision=precision.described(self.precision),
            wanted=self.settings["precision"],
            batch_size=self.settings["batch_size"],
            tokens=LENGTH,
            samples=self.settings["samples"],
            steps=self.settings["steps"],
            seed=self.seed,
            vocabulary=self.shape.vocabulary,
        )

    def steps(self, channel: Channel) -> float:
        """Train step by step, each timed to the end of its device work, as many as the time allows.

        Returns the seconds of a step. What one step took decides after each how many there will be.
        """
        before = self.parameters[0].detach().clone()
        begin = time.perf_counter()
        took: list[float] = []
        for number, rows in enumerate(self.batches):
            start = time.perf_counter()
            value = float(self.step(number, rows))
            devices.synchronize(torch, self.device)
            took.append(time.perf_counter() - start)
            if self.scaler is not None:
                self.scaler.count()
            channel.emit(
                "step", run="eager", step=number + 1, loss=value, seconds=took[-1], memory=self.memory(),
            )  # fmt: skip
            left = self.settings["until"] - channel.elapsed()
            measured = [self.settings["step_seconds"]] * len(took) if "step_seconds" in self.settings else took
            if number + 1 >= sizing.steps_that_fit(measured, planned=len(self.batches), left=left):
                break
        self.done = len(took)
        step = sorted(took[1:] or took)[len(took[1:] or took) // 2]
        channel.emit(
            "sized", model=self.settings["model"], steps=self.done, wished=len(self.batches), step_seconds=step,
            threads=torch.get_num_threads(), left=self.settings["until"] - channel.elapsed(),
        )  # fmt: skip
        channel.emit(
            "trained",
            run="eager",
            seconds=time.perf_counter() - begin,
            moved=float((self.parameters[0].detach() - before).abs().max().item()),
            **self.whereabouts(),
            **self.scaling(),
        )
        return step

    def scaling(self) -> dict[str, object]:
        """Say how often gradients overflowed and what they are scaled by, where they are."""
        return {} if self.scaler is None else {"skipped": self.scaler.skipped, "scale": self.scaler.scale}

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
        held = [*self.parameters, *(self.scaler.state() if self.scaler is not None else ())]
        saved = [tensor.detach().clone() for tensor in held]
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
        self._restart(held, saved)
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

    def _restart(self, held: list[Any], saved: list[Any]) -> None:
        """Undo the steps of the warm-up in place: the graph holds the tensors' addresses."""
        with torch.no_grad():
            for tensor, start in zip(held, saved, strict=True):
                tensor.copy_(start)
            for entry in self.optimizer.state.values():
                for value in entry.values():
                    value.zero_()
        torch.cuda.synchronize(self.device)
