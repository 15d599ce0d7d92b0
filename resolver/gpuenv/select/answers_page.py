"""The matrix page: every answer of the tables on one static page that asks nothing of the network."""

from __future__ import annotations

import json
from collections.abc import Sequence
from html import escape
from pathlib import Path

from gpuenv.documents import filled, parts
from gpuenv.knowledge import Knowledge
from gpuenv.knowledge.drivers import cuda_steps
from gpuenv.knowledge.matrix import matrix
from gpuenv.knowledge.matrix_text import LEGEND, grid, notes
from gpuenv.model.machine import ComputeCapability
from gpuenv.select.answers import CUDA, DRIVER, SYSTEMS, MachineAnswers


def page(knowledge: Knowledge, answers: MachineAnswers) -> str:
    """Return the page as HTML: the matrix of the tables, and the decision's answers to choose among."""
    table = matrix(knowledge)
    folded = grid(table)
    titles = [" ".join(filter(None, parts)) for parts in zip(*folded.heading, strict=True)]
    read = [row for row in knowledge.kernels.values() if row.read]
    rows = [
        (row.torch, row.variant, row.platform, "the wheel" if row.read else "the build's configuration", row.source)
        for row in sorted(knowledge.kernels.values(), key=lambda row: (row.platform, row.torch, row.variant))
    ]
    told = {
        "DATE": escape(knowledge.kernels_date),
        "VERSION": escape(knowledge.version),
        "LEGEND": escape(LEGEND),
        "GRID": _table(titles, folded.rows),
        "NOTES": "".join(f'<p class="soft">{escape(note)}</p>' for note in notes(table)),
        "READ": escape(
            f"{len(read)} of {len(rows)} builds were read from the wheel itself; the others follow from "
            f"the configuration of their build. The table is of {knowledge.kernels_date}."
        ),
        "ROWS": _table(("torch", "variant", "platform", "known from", "source"), rows),
        "DATA": _data(knowledge, answers),
    }
    text = filled(Path(__file__).with_suffix(".html"), **told)
    # ASCII alone, so that the page is the same in every code page that standard output may have.
    return text.encode("ascii", "xmlcharrefreplace").decode("ascii")


def _data(knowledge: Knowledge, answers: MachineAnswers) -> str:
    """What the page's script reads; ``<`` is written so that no text can end the element."""
    places = {capability: place for place, capability in enumerate(answers.capabilities)}
    value = {
        "date": knowledge.kernels_date,
        "driver": DRIVER,
        "cuda": CUDA,
        "index": knowledge.pytorch_index,
        "systems": [
            {"name": system.name, "steps": steps, "cudas": cuda_steps(system.driver_os)}
            for system, steps in zip(SYSTEMS, answers.steps, strict=True)
        ],
        "pythons": answers.pythons,
        "capabilities": [str(each) for each in answers.capabilities],
        "generations": [knowledge.architecture(each) or "" for each in answers.capabilities],
        "gpus": _gpus(knowledge, places),
        "answers": [
            parts(each, "torch", "variant", "by", "native", "read", "because", "warnings", "hints")
            for each in answers.answers
        ],
        "runs": answers.runs,
    }
    return json.dumps(value, separators=(",", ":")).replace("<", "\\u003c")


def _gpus(knowledge: Knowledge, places: dict[ComputeCapability, int]) -> list[tuple[str, int]]:
    """Every name with the place of its capability; -1 for a GPU that no build has code for."""
    named = {
        (name, places.get(gpu.compute_capability, -1)) for gpu in knowledge.gpus for name in (gpu.name, *gpu.aliases)
    }
    return sorted(named, key=lambda each: (-each[1], each[0]))


def _table(titles: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    head = "".join(f'<th scope="col">{escape(title)}</th>' for title in titles)
    body = "".join("<tr>" + "".join(_cell(cell) for cell in row) + "</tr>" for row in rows)
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def _cell(text: str) -> str:
    return f'<td class="long">{escape(text)}</td>' if len(text) > 60 else f"<td>{escape(text)}</td>"
