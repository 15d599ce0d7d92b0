"""What DCGM, nvbandwidth and nccl-tests said of a host: verdicts and figures out of their own output.

They are run where they are installed (``fleet/ansible``, role ``health``) and never installed by gpuenv.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping

from gpuenv.dataclass import dataclass
from gpuenv.documents import DocumentError, parse_json

_MILD = (1, 5)
"""``DCGM_ERROR_MONITOR`` and ``DCGM_ERROR_CONFIG``."""
DCGM, NVBANDWIDTH, NCCL = "dcgm", "nvbandwidth", "nccl-tests"


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """What a host reached. Of several cards it is the one that reached least."""

    what: str
    unit: str
    value: float
    device: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Diagnosis:
    """One test of ``dcgmi diag -r 1`` and how it ended, in DCGM's words (``Pass``, ``Fail``, ``Skip``, ``Warn``)."""

    test: str
    result: str
    detail: str
    severities: tuple[int, ...] = ()
    """DCGM's own, of each error (version 4; `dcgm_errors.h`)."""

    @property
    def failed(self) -> bool:
        """Whether the card may be at fault, as far as DCGM tells."""
        return self._negative and not self.mild

    @property
    def mild(self) -> bool:
        """A failure that DCGM calls a setting, or something to be watched: persistence mode off fails every card."""
        return self._negative and bool(self.severities) and all(each in _MILD for each in self.severities)

    @property
    def _negative(self) -> bool:
        return self.result.lower().startswith("fail")


def diagnoses(said: Mapping[str, object]) -> tuple[Diagnosis, ...]:
    """The tests of DCGM's JSON, of version 3 (``DCGM GPU Diagnostic``) and of version 4 (``DCGM Diagnostic``)."""
    value = _document(said, DCGM)
    body = next((value[key] for key in ("DCGM Diagnostic", "DCGM GPU Diagnostic") if key in value), None)
    found = []
    for category in _list(body, "test_categories"):
        for test in _list(category, "tests"):
            # The summary repeats the worst of the results, without their reasons.
            for row in _list(test, "results") or [_of(test, "test_summary")]:
                warnings, status = _list(row, "warnings"), _of(row, "status")
                told = [str(_of(each, "warning") or _of(each, "error") or each) for each in warnings]
                if isinstance(_of(row, "warnings"), str):
                    told = [str(_of(row, "warnings"))]
                severities = tuple(each for one in warnings if isinstance(each := _of(one, "error_severity"), int))
                if isinstance(status, str):
                    name, detail = str(_of(test, "name")), "; ".join(told)
                    found.append(Diagnosis(test=name, result=status, detail=detail, severities=severities))
    return tuple(found)


def figures(said: Mapping[str, object]) -> Iterator[Figure]:
    """The figures that can be compared: nvbandwidth's sum of each test, the average bus bandwidth of nccl-tests."""
    root = _document(said, NVBANDWIDTH)
    body = root.get("nvbandwidth")
    for row in _list(body, "testcases"):
        total = _of(row, "sum")
        if isinstance(total, int | float) and math.isfinite(total) and str(_of(row, "status")).lower() == "passed":
            yield Figure(what=f"nvbandwidth {_of(row, 'name')}, sum", unit="GB/s", value=float(total))
    text = said.get(NCCL)
    found = re.search(r"Avg bus bandwidth\s*:\s*([0-9.]+)", text) if isinstance(text, str) else None
    if found is not None:
        yield Figure(what="nccl-tests all-reduce, average bus bandwidth", unit="GB/s", value=float(found[1]))


def _document(said: Mapping[str, object], name: str) -> Mapping[str, object]:
    """A program's output as JSON; some print lines before it. Empty where there is none."""
    text = said.get(name)
    if not isinstance(text, str) or "{" not in text:
        return {}
    try:
        value = parse_json(text[text.index("{") : text.rindex("}") + 1])
    except (DocumentError, ValueError):
        return {}
    return value if isinstance(value, dict) else {}


def _of(value: object, key: str) -> object:
    return value.get(key) if isinstance(value, dict) else None


def _list(value: object, key: str) -> list[object]:
    found = _of(value, key)
    return found if isinstance(found, list) else []
