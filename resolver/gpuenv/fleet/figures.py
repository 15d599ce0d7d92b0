"""Compares hosts with the others of their class: figures against the median, facts against what most of them say."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from statistics import median

from gpuenv.dataclass import dataclass
from gpuenv.fleet import health
from gpuenv.fleet.desk import FleetHost
from gpuenv.fleet.health import Figure

LEAST_HOSTS = 4
"""Hosts that a median is made of: of three, one slow one moves it (SuperBench's rule asks for a baseline of many)."""

LARGEST_DEVIATION = 0.05
"""Of the median; SuperBench 0.12 calls a node defective beyond it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Median:
    """The middle of a class, of ``hosts`` hosts."""

    what: str
    unit: str
    value: float
    hosts: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Deviation:
    """A host's figure away from the median of its class by more than :data:`LARGEST_DEVIATION`."""

    host: str
    figure: Figure
    median: float
    share: float
    """Of the median, signed: -0.2 is a fifth below it."""

    @property
    def sentence(self) -> str:
        side, at = "below" if self.share < 0 else "above", f" on {self.figure.device}" if self.figure.device else ""
        unit = self.figure.unit
        return (
            f"{self.figure.what}{at}: {self.figure.value:.4g} {unit}, {abs(self.share):.0%} {side} the class's median "
            f"of {self.median:.4g} {unit}"
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class FigureDifference:
    """A fact that is not the same on every host of a class: each value with its hosts, the commonest first."""

    what: str
    values: tuple[tuple[str, tuple[str, ...]], ...]


def figures_of(host: FleetHost) -> tuple[Figure, ...]:
    """The figures of a host's last proof and of the programs that measured it, sorted by name."""
    found: dict[tuple[str, str], Figure] = {}
    for figure in (*_proved(host.evidence or {}), *health.figures(host.health)):
        key = (figure.what, figure.unit)
        if key not in found or figure.value < found[key].value:
            found[key] = figure
    return tuple(found[key] for key in sorted(found))


def _proved(evidence: Mapping[str, object]) -> Iterator[Figure]:
    for row in _rows(evidence, "rates"):
        yield from _figure(row.get("what"), row.get("unit"), row.get("value"), row.get("device"))
    for row in _rows(evidence, "runs"):
        what = f"training of {row.get('model')} in {row.get('precision')}, {row.get('mode')}"
        yield from _figure(what, "samples/s", row.get("samples_per_second"), row.get("device"))
        yield from _figure(f"final loss of {row.get('model')}", "nats a token", row.get("final_loss"), "")


def _figure(what: object, unit: object, value: object, device: object) -> Iterator[Figure]:
    if isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value):
        yield Figure(what=str(what), unit=str(unit), value=float(value), device=str(device or ""))


def medians(hosts: Mapping[str, Sequence[Figure]]) -> tuple[Median, ...]:
    """The middle of each figure that enough hosts of one class have."""
    found: dict[tuple[str, str], list[float]] = {}
    for figures in hosts.values():
        for each in figures:
            found.setdefault((each.what, each.unit), []).append(each.value)
    return tuple(
        Median(what=what, unit=unit, value=median(values), hosts=len(values))
        for (what, unit), values in sorted(found.items())
        if len(values) >= LEAST_HOSTS
    )


def deviations(hosts: Mapping[str, Sequence[Figure]], middles: Iterable[Median]) -> tuple[Deviation, ...]:
    """Every figure too far from its median, the farthest first."""
    known = {(each.what, each.unit): each.value for each in middles}
    found = []
    for host, figures in hosts.items():
        for each in figures:
            middle = known.get((each.what, each.unit))
            if not middle:
                continue
            if abs(each.value - middle) > LARGEST_DEVIATION * middle:
                share = each.value / middle - 1
                found.append(Deviation(host=host, figure=each, median=middle, share=share))
    return tuple(sorted(found, key=lambda each: (-abs(each.share), each.host, each.figure.what)))


def differences(hosts: Sequence[FleetHost]) -> tuple[FigureDifference, ...]:
    """The facts that hosts of one class do not have in common, by name; a host that does not say one counts as such."""
    facts = {host.name: dict(_facts(host)) for host in hosts}
    names = {name for each in facts.values() for name in each}
    found = []
    for name in sorted(names):
        said = {host: each[name] for host, each in facts.items() if name in each}
        counts = Counter(said.values())
        if len(counts) > 1:
            order = sorted(counts, key=lambda value: (-counts[value], value))
            by_value = [(value, tuple(sorted(host for host, one in said.items() if one == value))) for value in order]
            found.append(FigureDifference(what=name, values=tuple(by_value)))
    return tuple(found)


def _facts(host: FleetHost) -> Iterator[tuple[str, str]]:
    """What should be the same on every host of a class."""
    machine = host.machine
    if machine is not None:
        yield "container", "yes" if machine.container else "no"
        yield "GPUs", ", ".join(f"{count} × {name}" for name, count in Counter(g.name for g in machine.gpus).items())
        memory = Counter(gpu.memory_bytes for gpu in machine.gpus)
        yield (
            "GPU memory",
            ", ".join(f"{count} × {size or 0:,} bytes" for size, count in sorted(memory.items(), key=str)),
        )
        yield "MIG", ", ".join("on" if gpu.mig else "off" for gpu in machine.gpus)
    evidence = host.evidence or {}
    about, facts = evidence.get("about"), evidence.get("facts")
    if isinstance(about, dict):
        yield from ((name, str(about[name])) for name in ("gpuenv", "uv", "lock_sha256") if about.get(name))
    if isinstance(facts, dict):
        for name, value in facts.items():
            if name == "python" or name.startswith("package "):
                yield name, str(value)
    for check in _rows(evidence, "checks"):
        yield f"check {check.get('name')}", str(check.get("status"))


def _rows(value: Mapping[str, object], name: str) -> list[Mapping[str, object]]:
    rows = value.get(name)
    return [row for row in rows if isinstance(row, dict)] if isinstance(rows, list) else []
