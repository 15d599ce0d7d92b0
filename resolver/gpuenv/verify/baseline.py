"""Compares a verification with an earlier one: slower, other driver, other wheels, other verdicts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Literal

from gpuenv.dataclass import dataclass
from gpuenv.documents import DocumentError, parse_json
from gpuenv.errors import ConfigurationError
from gpuenv.system.files import read_text

SLOWER = 0.85
"""A rate below this share of the earlier one is worse; less varies from run to run on an idle machine."""
HIGHER_LOSS = 0.15
OF_THE_HOST = "; the same steps as one CUDA graph took as long as before, so it is the host that launches them"
"""Why a slower eager run is no fault of the card or its software: a graph is launched once a step, an eager step some
thousand times. Eager rates of one card were from 200 to 270 samples a second, by the processor of the host."""


Change = Literal["better", "worse", "changed"]


@dataclass(frozen=True, slots=True, kw_only=True)
class RunDifference:
    """One thing that is not as it was. ``what`` is stable enough to group by (``driver``, ``package torch``)."""

    what: str
    before: str
    after: str
    change: Change


def read(path: Path) -> dict[str, object]:
    """Read an ``evidence.json``. Raises :class:`ConfigurationError` for anything else."""
    try:
        value = parse_json(read_text(path, what="the evidence"))
    except DocumentError as error:
        raise ConfigurationError(f"{path} is not JSON", causes=(str(error),)) from error
    schema = value.get("schema") if isinstance(value, dict) else None
    if not isinstance(schema, dict) or schema.get("name") != "gpuenv-evidence":
        raise ConfigurationError(
            f"{path} is not evidence of gpuenv", hints=("gpuenv verify --baseline EVIDENCE/evidence.json",)
        )
    if schema.get("version") != "1":
        raise ConfigurationError(f"{path} is evidence of version {schema.get('version')}, this gpuenv reads version 1")
    assert isinstance(value, dict)
    return value


def compare(old: Mapping[str, object], new: Mapping[str, object]) -> tuple[RunDifference, ...]:
    """Return every difference that matters, the worse ones first, each group by name."""
    found = [
        *_plain(old, new),
        *_packages(old, new),
        *_checks(old, new),
        *_rates(old, new),
        *_runs(old, new),
    ]
    order = {"worse": 0, "changed": 1, "better": 2}
    return tuple(sorted(found, key=lambda item: (order[item.change], item.what)))


def _plain(old: Mapping[str, object], new: Mapping[str, object]) -> Iterator[RunDifference]:
    if old.get("verdict") != new.get("verdict"):
        order = {"passed": 0, "unusual": 1, "failed": 2}
        worse = order.get(str(new.get("verdict")), 2) > order.get(str(old.get("verdict")), 2)
        change: Change = "worse" if worse else "better"
        yield _difference("verdict", old.get("verdict"), new.get("verdict"), change)
    if old.get("accelerator") != new.get("accelerator"):
        change = "worse" if new.get("accelerator") == "cpu" else "better"
        yield _difference("accelerator", old.get("accelerator"), new.get("accelerator"), change)
    before, after = _table(old, "machine"), _table(new, "machine")
    if (one := _driver(before)) != (other := _driver(after)):
        yield _difference("driver", one, other, "changed")
    if (one := _gpus(before)) != (other := _gpus(after)):
        yield _difference("gpus", one, other, "changed")


def _packages(old: Mapping[str, object], new: Mapping[str, object]) -> Iterator[RunDifference]:
    before, after = _table(old, "facts"), _table(new, "facts")
    names = {name for name in (*before, *after) if name.startswith("package ") or name == "python"}
    for name in sorted(names):
        if before.get(name) != after.get(name):
            yield _difference(name, before.get(name), after.get(name), "changed")


def _checks(old: Mapping[str, object], new: Mapping[str, object]) -> Iterator[RunDifference]:
    rank = {"passed": 0, "not-applicable": 1, "warned": 2, "unusual": 3, "failed": 4}
    before = {str(row.get("name")): str(row.get("status")) for row in _rows(old, "checks")}
    after = {str(row.get("name")): str(row.get("status")) for row in _rows(new, "checks")}
    for name in sorted(before.keys() | after.keys()):
        one, other = before.get(name), after.get(name)
        if one != other:
            change: Change = "changed"
            if one is not None and other is not None:
                change = "worse" if rank.get(other, 4) > rank.get(one, 4) else "better"
            yield _difference(f"check {name}", one, other, change)


def _rates(old: Mapping[str, object], new: Mapping[str, object]) -> Iterator[RunDifference]:
    def by_name(value: Mapping[str, object]) -> dict[str, tuple[float, str]]:
        return {
            f"{row.get('what')} on {row.get('device')}": (number, str(row.get("unit")))
            for row in _rows(value, "rates")
            if (number := _number(row.get("value"))) is not None
        }

    before, after = by_name(old), by_name(new)
    for name in sorted(before.keys() & after.keys()):
        yield from _rate(name, before[name][0], after[name][0], after[name][1])


def _runs(old: Mapping[str, object], new: Mapping[str, object]) -> Iterator[RunDifference]:
    def key(row: Mapping[str, object]) -> tuple[str, str]:
        device = str(row.get("device")).split(" ", maxsplit=1)[0]
        return f"{row.get('model')} {row.get('mode')} {row.get('precision')} on {device}", str(row.get("mode"))

    before = {key(row): row for row in _rows(old, "runs")}
    after = {key(row): row for row in _rows(new, "runs")}
    for name, mode in sorted(before.keys() & after.keys()):
        one, other = before[name, mode], after[name, mode]
        found = tuple(_training(f"training {name}", one, other))
        graph = (name.replace(" eager ", " graph "), "graph")
        graphs = [runs[graph] for runs in (before, after) if graph in runs]
        if mode == "eager" and len(graphs) == 2 and not tuple(_training(name, *graphs)):
            found = tuple(replace(each, change="changed", after=f"{each.after}{OF_THE_HOST}") for each in found)
        yield from found
        losses = [_number(run.get("final_loss")) for run in (one, other)]
        if losses[0] is not None and losses[1] is not None and not losses[1] - losses[0] <= HIGHER_LOSS:
            yield _difference(f"final loss {name}", f"{losses[0]:.3f}", f"{losses[1]:.3f}", "worse")


def _training(name: str, old: Mapping[str, object], new: Mapping[str, object]) -> Iterator[RunDifference]:
    """The rate of one run, where the middle halves of what its steps took in the two lie apart."""
    rates = [_number(run.get("samples_per_second")) for run in (old, new)]
    from statistics import quantiles  # not where evidence is read only to see that it still holds

    from gpuenv.verify.check_training import WARM

    steps = [[_number(row.get("seconds")) or 0.0 for row in _rows(run, "steps")[WARM:]] for run in (old, new)]
    if rates[0] is None or rates[1] is None:
        return
    if all(len(each) > 1 for each in steps):
        (low, _, high), (least, _, most) = (quantiles(each, n=4) for each in steps)
        if least <= high and low <= most:
            return
    yield from _rate(name, rates[0], rates[1], "samples/s")


def _rate(name: str, before: float, after: float, unit: str) -> Iterator[RunDifference]:
    if before <= 0:
        return
    share = after / before
    if share < SLOWER or share > 1 / SLOWER:
        change: Change = "worse" if share < SLOWER else "better"
        figure = f"{after:.4g} {unit} ({share:.0%})"
        yield RunDifference(what=name, before=f"{before:.4g} {unit}", after=figure, change=change)


def _difference(what: str, before: object, after: object, change: Change) -> RunDifference:
    return RunDifference(what=what, before=_text(before), after=_text(after), change=change)


def _text(value: object) -> str:
    return "none" if value is None else str(value)


def _driver(machine: Mapping[str, object]) -> str:
    driver = machine.get("driver")
    return str(driver.get("version")) if isinstance(driver, dict) else "none"


def _gpus(machine: Mapping[str, object]) -> str:
    names = sorted(f"{row.get('name')} {row.get('uuid')}" for row in _rows(machine, "gpus"))
    return ", ".join(names) or "none"


def _table(value: Mapping[str, object], key: str) -> Mapping[str, object]:
    found = value.get(key)
    return found if isinstance(found, dict) else {}


def _rows(value: Mapping[str, object], key: str) -> list[Mapping[str, object]]:
    found = value.get(key)
    return [row for row in found if isinstance(row, dict)] if isinstance(found, list) else []


def _number(value: object) -> float | None:
    return float(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else None
