"""The evidence as text: six files, tables first."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING
from urllib.parse import quote

from gpuenv.dataclass import dataclass
from gpuenv.model.machine import Machine
from gpuenv.model.verification import Check, Report, Training

if TYPE_CHECKING:
    from gpuenv.verify.evidence import About

CUDA_CHECKS = ("driver", "devices", "native-code", "no-jit", "on-device", "speed", "several-gpus", "compile", "probe-")
VERDICTS = {
    "passed": "passed", "unusual": "unusual", "failed": "FAILED", "warned": "warning",
    "not-applicable": "not applicable",
}  # fmt: skip
MEANING = "A pass holds for these checks at that moment; it is no general statement that the machine is healthy."
HEADLINES = {"passed": "passed", "unusual": "passed, with something unusual", "failed": "FAILED"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Text:
    """One verification, ready to be written down."""

    report: Report
    machine: Machine
    about: About

    @property
    def headline(self) -> str:
        """The verdict in one line; on a CPU it says so first."""
        state = HEADLINES[self.report.verdict]
        where = "GPU" if self.report.accelerator == "cuda" else "CPU, no GPU was used"
        return f"Verification {state} ({where})"

    def _head(self, title: str) -> list[str]:
        return [f"{title}", f"{self.headline} · {self.about.created} · gpuenv {self.about.gpuenv}", ""]

    def fact(self, name: str) -> str:
        """Return one fact, empty where there is none."""
        return dict(self.report.facts).get(name, "")

    # --- rows, shared with the page ----------------------------------------------------------------------------------

    def hardware(self) -> list[tuple[str, str]]:
        """What the machine is."""
        machine = self.machine
        rows = [
            ("Operating system", " ".join([machine.os, *(["(WSL)"] if machine.wsl else [])])),
            ("Processor architecture", machine.arch),
            ("C library", machine.libc or "none"),
            ("Container", "yes" if machine.container else "no"),
        ]
        if processor := self.fact("processor"):
            rows.append(("Processor (CPU)", processor))
        if machine.driver is not None:
            rows.append(("NVIDIA driver", f"{machine.driver.version} ({machine.driver.source})"))
            rows.append(("Driver's CUDA", machine.driver.cuda or "not known"))
        else:
            rows.append(("NVIDIA driver", "none: CPU only" if self.report.accelerator == "cpu" else "none"))
        for gpu in machine.gpus:
            memory = f", {gpu.memory_bytes / 2**30:.1f} GiB" if gpu.memory_bytes else ""
            mig = ", MIG" if gpu.mig else ""
            known = f"{gpu.name}, compute capability {gpu.compute_capability}{memory}{mig}, {gpu.uuid}"
            rows.append((f"GPU {gpu.index}", known))
        if not machine.gpus:
            rows.append(("GPU", "none"))
        return rows

    def software(self) -> list[tuple[str, str]]:
        """What is installed."""
        about = self.about
        rows = [("Environment", about.environment), ("Python", self.fact("python"))]
        rows += [(name[8:], value) for name, value in self.report.facts if name.startswith("package ")]
        told = {"cuDNN": self.fact("cudnn"), "NCCL": self.fact("nccl"), "uv": about.uv, "gpuenv": about.gpuenv}
        lock = about.lock and about.lock + (f" (sha256 {about.lock_sha256})" if about.lock_sha256 else "")
        told |= {"Profile": about.profile, "Lock": lock}
        rows += [(name, value) for name, value in told.items() if value]
        return rows

    def results(self) -> list[tuple[str, str]]:
        """The figures of the training, one row a run and figure."""
        rows: list[tuple[str, str]] = []
        for run in self.report.runs:
            rows += run_rows(run)
        if len(self.report.final_losses) > 1:
            losses = ", ".join(f"seed {seed}: {number(loss, 3)}" for seed, loss in self.report.final_losses)
            rows.append(("Final loss by seed", losses))
        for curve in self.report.curves:
            figure = f"{curve.largest:.2g} of {curve.bound:.2g} allowed at step {curve.step} of {len(curve.losses)}"
            rows.append((f"Small model, {curve.precision} on {place(curve.device)}: largest difference", figure))
        for rate in self.report.rates:
            share = f", {rate.share:.0%} of {rate.limit:.0f} ({rate.source})" if rate.share is not None else ""
            rows.append((f"{rate.what} on {rate.device}", f"{rate.value:.3g} {rate.unit}{share}"))
        rows.append(("Whole verification", f"{self.report.seconds:.1f} s"))
        return rows

    # --- the six files -----------------------------------------------------------------------------------------------

    def readme(self) -> str:
        """The summary, as Markdown."""
        about = self.about
        lines = [f"# {self.headline}", ""]
        profile = f" with profile {_code(about.profile)}" if about.profile else ""
        place, again, created = _code(about.environment), _code(about.command), _plain(about.created.replace("`", "'"))
        lines += [f"Environment {place}{profile}, {created}. Repeat with {again}.", ""]
        lines += ["## Requirements", ""]
        lines += _table(("Requirement", "Verdict", "Seen", "Expected"), [_check_row(c) for c in self.report.checks])
        wrong = [check for check in self.report.checks if check.cause]
        if wrong:
            lines += ["", "## What to do", ""]
            lines += _table(("Check", "Likely cause", "Type"), [(c.title, c.cause, c.hint) for c in wrong], code=2)
        lines += ["", "## Hardware", "", *_table(("What", "Value"), self.hardware())]
        lines += ["", "## Software", "", *_table(("What", "Value"), self.software())]
        lines += ["", "## Results", "", *_table(("What", "Value"), self.results())]
        if about.because:
            lines += ["", "## Why these wheels", "", *(f"- {_plain(sentence)}" for sentence in about.because)]
        lines += ["", "## Files", ""]
        lines += [
            "- `report.html`: this page with curves, needs no network",
            "- `evidence.json`: all values; `gpuenv verify --baseline evidence.json` compares a later run with it",
            "- `training_log.txt`, `cuda_check.txt`, `torch_version.txt`, `env_info.txt`, `nvidia_smi.txt`",
        ]
        if about.lock:
            lines.append(f"- the lock: [{_code(about.lock)}]({quote(about.lock)})")
        return "\n".join([*lines, "", MEANING, ""])

    def env_info(self) -> str:
        """Machine, environment and every fact with its source."""
        lines = self._head("Machine and environment")
        lines += [*_columns(self.hardware()), "", *_columns(self.software()), ""]
        if self.machine.sources:
            lines += ["How the machine's facts were learned", *_columns(self.machine.sources), ""]
        lines += ["Facts of the verification", *_columns(self.report.facts)]
        return "\n".join(lines) + "\n"

    def torch_version(self) -> str:
        """torch, its CUDA and companions."""
        lines = self._head("torch")
        check = next((c for c in self.report.checks if c.name == "import"), None)
        if check is not None:
            lines += _columns([("Imported", check.seen), ("Expected", check.expected)])
            lines += _columns([("Verdict", VERDICTS[check.status]), *_cause_rows(check)])
        names = ("torch git", "torch import seconds", "torch threads", "cuda start seconds", "cudnn", "nccl")
        lines += _columns([(name, value) for name in names if (value := self.fact(name))])
        lines += ["", "Installed", *_columns([(n[8:], v) for n, v in self.report.facts if n.startswith("package ")])]
        return "\n".join(lines) + "\n"

    def cuda_check(self) -> str:
        """Every check that concerns the GPU."""
        lines = self._head("CUDA")
        for check in self.report.checks:
            if check.name.startswith(CUDA_CHECKS):
                lines += [f"[{VERDICTS[check.status]}] {check.title} ({check.name})"]
                rows = [("  seen", check.seen), ("  expected", check.expected), *_cause_rows(check, indent="  ")]
                lines += [*_columns(rows), ""]
        code = [(name[12:], value) for name, value in self.report.facts if name.startswith("device code ")]
        if code:
            lines += ["Device code in the libraries (images by architecture)", *_columns(code)]
        elif self.report.accelerator == "cpu":
            lines += ["CPU: no GPU code is installed or used."]
        return "\n".join(lines).rstrip() + "\n"

    def nvidia_smi(self, smi_text: str) -> str:
        """The tool's own words, or why there are none."""
        lines = self._head("nvidia-smi")
        return "\n".join([*lines, smi_text.rstrip() or "nvidia-smi said nothing"]) + "\n"

    def training_log(self) -> str:
        """Each step of each run, the small model beside its reference, and the whole log."""
        lines = self._head("Training")
        if not self.report.runs:
            lines += ["No training took place.", ""]
        for run in self.report.runs:
            lines += [*_columns(run_rows(run)), "", *_step_lines(run), ""]
        for curve in self.report.curves:
            lines += [f"Small model on the Markov language, {curve.precision} on {place(curve.device)}: in nats"]
            lines.append("step        loss   reference   difference")
            for step, (loss, reference) in enumerate(zip(curve.losses, curve.reference, strict=False), start=1):
                lines.append(f"{step:4d}  {number(loss, 7):>10}  {reference:10.7f}  {number(loss - reference, 7):>11}")
            lines.append("")
        if self.report.families:
            lines += ["Kernel families: exact, or within a bound in unit roundoffs u of the type"]
            for row in self.report.families:
                lines.append(f"  {place(row.device):<8}{row.family:<30}{row.type:<10}{row.summary}")
            lines.append("")
        lines += ["Log: seconds in the process, process, event", *self.report.log]
        return "\n".join(lines) + "\n"


def run_rows(run: Training) -> list[tuple[str, str]]:
    """Describe one run; samples there, samples seen, tokens and steps stand apart."""
    kind = "as a CUDA graph" if run.mode == "graph" else "step by step"
    name = f"{run.model} {kind}"
    median = run.batch_size / run.samples_per_second if run.samples_per_second else math.nan
    rows = [
        (f"{name}: device", f"{run.device}, {run.precision}"),
        (f"{name}: parameters", f"{run.parameters:,}"),
        (
            f"{name}: data",
            f"{run.samples_available} samples there, {run.samples_seen} seen: {len(run.steps)} steps of "
            f"{run.batch_size} samples of {run.tokens_per_sample} byte tokens",
        ),
        (f"{name}: loss", f"{number(run.steps[0].loss, 3)} → {number(run.final_loss, 3)}" if run.steps else "none"),
        (f"{name}: rate after warm-up", f"{run.samples_per_second:.1f} samples/s, {median * 1e3:.1f} ms a step"),
        (f"{name}: time", f"{run.seconds:.2f} s"),
    ]
    if run.steps:
        first = run.steps[0].seconds
        rows.append((f"{name}: first step", f"{first * 1e3:.0f} ms, with loading of kernels"))
    if run.peak_memory_bytes:
        rows.append((f"{name}: peak memory", f"{run.peak_memory_bytes / 1e9:.2f} GB"))
    if run.shortest_step_seconds and run.samples_per_second:
        share = run.shortest_step_seconds / median
        limit = f"{share:.0%}: at its limits a step takes {run.shortest_step_seconds * 1e3:.2f} ms"
        rows.append((f"{name}: share of the card's limit", limit))
    return rows


def place(device: str) -> str:
    """Name a device of torch's in evidence."""
    return "CPU" if device == "cpu" else device


def number(value: float, digits: int) -> str:
    """Write a number that may be none."""
    return f"{value:.{digits}f}" if math.isfinite(value) else str(value)


def _step_lines(run: Training) -> list[str]:
    lines = ["step     loss       ms   samples/s   peak memory"]
    for step in run.steps:
        memory = f"{step.memory_bytes / 1e9:.2f} GB" if step.memory_bytes else "-"
        rate = run.batch_size / step.seconds if step.seconds else math.nan
        lines.append(
            f"{step.step:4d}  {number(step.loss, 4):>7}  {step.seconds * 1e3:7.1f}  {rate:10.1f}   {memory:>11}"
        )
    return lines


def _check_row(check: Check) -> tuple[str, str, str, str]:
    verdict = VERDICTS[check.status]
    return check.title, f"**{verdict}**" if check.status == "failed" else verdict, check.seen, check.expected


def _cause_rows(check: Check, *, indent: str = "") -> list[tuple[str, str]]:
    return [(f"{indent}cause", check.cause), (f"{indent}hint", check.hint)] if check.cause else []


def _columns(rows: Iterable[tuple[str, str]]) -> list[str]:
    rows = list(rows)
    width = max((len(name) for name, _ in rows), default=0)
    return [f"{name:<{width}}  {value}".rstrip() for name, value in rows]


def _table(head: Sequence[str], rows: Iterable[Sequence[str]], *, code: int = -1) -> list[str]:
    """A table of foreign texts; column ``code`` is what a person types."""
    lines = ["| " + " | ".join(head) + " |", "|" + " --- |" * len(head)]
    for row in rows:
        cells = (_code(value) if place == code else _plain(value) for place, value in enumerate(row))
        lines.append("| " + " | ".join(cells) + " |")
    return lines


def _plain(value: str) -> str:
    """A foreign text in Markdown: no markup, link or picture comes of it, and no other cell or line begins in it."""
    return re.sub(r"([\\|<\[])", r"\\\1", " ".join(value.splitlines()))


def _code(value: str) -> str:
    """A foreign text between backticks."""
    return "`" + " ".join(value.splitlines()).replace("`", "'").replace("\\|", "|").replace("|", "\\|") + "`"
