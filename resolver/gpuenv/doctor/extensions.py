"""Whether the compiled packages beside torch hold code for each card; pure over an examination."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from gpuenv.doctor.examination import Examination
from gpuenv.doctor.finding import UNNAMED, Finding
from gpuenv.installed.extensions import ExtensionCode
from gpuenv.knowledge.base import Knowledge
from gpuenv.knowledge.rules import NoCode, Support, code_of
from gpuenv.model.machine import Gpu
from gpuenv.shell import quote


def diagnose_extensions(examination: Examination, *, knowledge: Knowledge) -> Iterator[Finding]:
    """One finding for each distribution that lacks code for a card, or has PTX alone."""
    for extension in examination.extensions:
        answers = list(_answers(examination, extension, knowledge))
        lost = [(gpu, answer) for gpu, answer in answers if isinstance(answer, NoCode)]
        slow = [(gpu, answer) for gpu, answer in answers if isinstance(answer, Support) and answer.support == "ptx"]
        found = partial(_finding, examination, extension)
        if lost:
            yield found([gpu for gpu, _ in lost], answer=lost[0][1])
        elif slow:
            yield found([gpu for gpu, _ in slow], answer=slow[0][1])


def _answers(
    examination: Examination, extension: ExtensionCode, knowledge: Knowledge
) -> Iterator[tuple[Gpu, Support | NoCode]]:
    machine, torch = examination.machine, examination.facts.torch
    for gpu in machine.gpus if machine is not None else ():
        assert machine is not None
        yield (
            gpu,
            knowledge.serve_installed(
                gpu.compute_capability,
                machine=machine,
                sass=extension.sass,
                ptx=extension.ptx,
                cuda=torch.cuda if torch is not None else None,  # it was compiled to run beside this torch
            ),
        )


def _finding(
    examination: Examination, extension: ExtensionCode, gpus: list[Gpu], *, answer: Support | NoCode
) -> Finding:
    """The finding of one distribution; the code of the first card it names is what it is said to lack."""
    cards = ", ".join(dict.fromkeys(f"{gpu.name} ({gpu.compute_capability})" for gpu in gpus))
    pin = quote(f"{extension.name}=={extension.version}")
    wanted = ";".join(dict.fromkeys(str(gpu.compute_capability) for gpu in gpus))
    compiled = (
        f"TORCH_CUDA_ARCH_LIST={quote(wanted)} uv pip install --python {quote(examination.shown)} --no-deps "
        f"--no-build-isolation --reinstall --no-binary {extension.name} {pin}"
    )
    codes = " ".join((*extension.sass, *extension.ptx))
    made = partial(
        Finding,
        subject="extensions",
        fix=f"Take a release of {extension.name} that has it, or compile this one: `{compiled}`",
        by="yourself",
        check=UNNAMED,
    )
    name, files = f"{extension.name} {extension.version}", ", ".join(extension.files[:3])
    if isinstance(answer, NoCode):
        lacks = code_of(gpus[0].compute_capability)
        return made(
            severity="error",
            kind="extension-without-code",
            summary=f"{name} has no code for {lacks}, and this machine has {cards}: has {codes or 'none at all'}",
            detail=f"{answer.detail}; read from {files}",
        )
    return made(
        severity="warning",
        kind="extension-by-ptx",
        summary=f"{name} serves {cards} by PTX alone: {answer.warning}",
        detail=f"has {codes}; read from {files}",
    )
