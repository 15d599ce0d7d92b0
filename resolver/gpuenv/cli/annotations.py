"""The answers of ``check`` for machines of others: annotations of a GitHub workflow, and SARIF 2.1.0."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Literal

from gpuenv import __version__

if TYPE_CHECKING:
    from gpuenv.commands.check import CheckedPackage, CheckOutcome

SCHEMA = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"
Level = Literal["error", "warning", "note"]

RULES = {
    "no-code": "The wheel has no code for a GPU of the machine",
    "driver": "The NVIDIA driver is too old for the wheel's CUDA",
    "cuda-major": "The package needs the libraries of another CUDA major version than torch",
    "will-not-load": "The package does not load beside this torch",
    "no-wheel": "No wheel is locked for the system or its Python",
    "cpu-build": "A build without CUDA leaves the GPU idle",
    "no-gpu": "A CUDA build where there is no NVIDIA GPU",
    "no-compile": "torch.compile does not work on a GPU of the machine",
    "unknown": "Whether it runs is not known",
}
"""What is reported, by its verdict."""


def level(row: CheckedPackage) -> Level:
    """How much it matters: what does not run is an error."""
    if row.runs is None:
        return "note"
    return "warning" if row.runs else "error"


def reported(outcome: CheckOutcome) -> Iterator[CheckedPackage]:
    """The rows that say something: all but those that run."""
    return (row for row in outcome.rows if row.package.verdict.word in RULES)


def sentence(row: CheckedPackage) -> str:
    """What is wrong, where, and what to do."""
    package = row.package
    named = f"{package.name} {package.version}" + (f" (with {row.set})" if row.set else "")
    hint = (
        f". Next: {row.next}" if row.next else f". What would tell: {tells}" if (tells := package.verdict.tells) else ""
    )
    return f"{named} on {row.machine}: {package.verdict.detail}{hint}"


def github(outcome: CheckOutcome) -> Iterator[str]:
    """Workflow commands: one line each, shown at the line of the lock.

    The format and its escapes: GitHub Docs, "Workflow commands for GitHub Actions".
    """
    names = {"error": "error", "warning": "warning", "note": "notice"}
    for row in reported(outcome):
        title = _property(f"gpuenv: {RULES[row.package.verdict.word]}")
        place = f"file={_property(row.package.place.file)},line={row.package.place.line}"
        yield f"::{names[level(row)]} {place},title={title}::{_data(sentence(row))}"


def sarif(outcome: CheckOutcome) -> str:
    """One run of SARIF 2.1.0 (OASIS), a result a row; paths are relative to the folder that was worked in."""
    rows = list(reported(outcome))
    rules = sorted({row.package.verdict.word for row in rows})
    document = {
        "$schema": SCHEMA,
        "version": "2.1.0",
        "runs": [
            {
                "tool": {
                    "driver": {
                        "name": "gpuenv",
                        "version": __version__,
                        "rules": [{"id": each, "shortDescription": {"text": RULES[each]}} for each in rules],
                    }
                },
                "results": [
                    {
                        "ruleId": row.package.verdict.word,
                        "ruleIndex": rules.index(row.package.verdict.word),
                        "level": level(row),
                        "message": {"text": sentence(row)},
                        "locations": [
                            {
                                "physicalLocation": {
                                    "artifactLocation": {"uri": _uri(row.package.place.file)},
                                    "region": {"startLine": row.package.place.line},
                                }
                            }
                        ],
                        "partialFingerprints": {"package/v1": f"{row.file}|{row.set}|{row.machine}|{row.package.name}"},
                    }
                    for row in rows
                ],
            }
        ],
    }
    return json.dumps(document, indent=2, ensure_ascii=True)


def _uri(path: str) -> str:
    from pathlib import PurePath
    from urllib.parse import quote

    return PurePath(path).as_uri() if PurePath(path).is_absolute() else quote(path.replace("\\", "/"))


def _data(text: str) -> str:
    return re.sub("[%\r\n]", lambda found: f"%{ord(found[0]):02X}", text)


def _property(text: str) -> str:
    return re.sub("[%\r\n:,]", lambda found: f"%{ord(found[0]):02X}", text)
