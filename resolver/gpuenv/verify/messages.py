"""What the payload says: its events, with the keys that each may hold and those that it always holds."""

from __future__ import annotations

from collections.abc import Mapping

from gpuenv.dataclass import dataclass


def _event(always: str = "", sometimes: str = "") -> tuple[frozenset[str], frozenset[str]]:
    return frozenset(always.split()), frozenset(sometimes.split())


EVENTS = {
    "started": _event("task python executable"),
    "importing": _event("module"),
    "torch": _event("version cuda hip git seconds file threads python"),
    "package": _event("project module version message", "seconds"),
    "threads": _event("chosen seconds"),
    "starting-cuda": _event("", "jit_disabled"),
    "driver": _event("loaded message path status devices", "cuda"),
    "ptx": _event("device attempts"),
    "devices": _event("available devices visible", "count message architectures cudnn nccl bf16 seconds processor"),
    "no-device": _event("found", "rank"),
    "kernel": _event("device uuid name message"),
    "sized": _event("model steps wished step_seconds threads left"),
    "left-out": _event("what step_seconds steps left"),
    "training": _event("model parameters device precision wanted batch_size tokens samples steps seed vocabulary"),
    "step": _event("run step loss seconds memory"),
    "trained": _event("run seconds memory", "moved bytes elsewhere tensors skipped scale capture"),
    "seed": _event("seed loss"),
    "graph-failed": _event("message"),
    "profiling": _event(),
    "profile": _event("message kernels", "device_seconds operators groups longest"),
    "compiling": _event("device"),
    "compiled": _event("device message error", "bound seconds"),
    "probing": _event("project device"),
    "probe": _event("project device message stage seconds", "part wrong elements error parts"),
    "language": _event("entropy fingerprint steps"),
    "curve": _event("device precision losses"),
    "family": _event("device family type rule error bound message", "part beyond wrong elements rms rms_bound"),
    "progress": _event("of done total"),
    "speed": _event("kind type size device", "tflops gigabytes"),
    "joined": _event("rank world device", "node name nccl"),
    "sum": _event("rank elements type wrong"),
    "parallel-step": _event("rank error tensors gradients"),
    "pair": _event("source target peer wrong"),
    "meeting": _event("endpoint nodes wait"),
    "came": _event("nodes of"),
    "missing": _event("came lost"),
    "met": _event("node nodes"),
    "alone": _event("rank elements wrong"),
    "total": _event("rank elements wrong blamed"),
    "bus": _event("rank bytes seconds"),
    "link": _event("rank source target bytes seconds wrong"),
    "done": _event("rank"),
    "rank-failed": _event("rank kind message"),
    "found": _event("rank events"),
    "silent": _event("rank"),
    "unheard": _event("rank message"),
    "waiting": _event(),
    "resumed": _event(),
    "warning": _event("kind message"),
    "failed": _event("kind message where"),
    "finished": _event(),
}
"""The names of the values of each kind of event: those that it always has, and those that it may have."""


def problem_of(name: str, values: Mapping[str, object]) -> str:
    """Say what keeps an event from being one of the above; empty where nothing does.

    >>> problem_of("seed", {"sead": 1, "loss": 2.0})
    'the event seed holds an unknown value sead'
    >>> problem_of("seed", {"loss": 2.0})
    'the event seed holds no value seed'
    """
    if name not in EVENTS:
        return f"there is no event {name}"
    always, sometimes = EVENTS[name]
    for key in sorted(values.keys() - always - sometimes):
        return f"the event {name} holds an unknown value {key}"
    for key in sorted(always - values.keys()):
        return f"the event {name} holds no value {key}"
    return ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """One event of one process. ``values`` is JSON from another process: read it through the typed methods."""

    job: str
    event: str
    at: float
    values: Mapping[str, object]

    def value(self, key: str) -> object:
        """Return a value, ``None`` where the event came without it; raises ``KeyError`` where it never holds it."""
        if not any(key in names for names in EVENTS[self.event]):
            raise KeyError(f"the event {self.event} never holds {key}")
        return self.values.get(key)

    def text(self, key: str) -> str:
        """Return a text, empty where there is none."""
        value = self.value(key)
        return value if isinstance(value, str) else ""

    def number(self, key: str) -> float | None:
        """Return a number; ``nan`` and ``inf`` travel as words and come back as such."""
        return _number(self.value(key))

    def amount(self, key: str) -> float:
        """Return a number, 0 where there is none."""
        return self.number(key) or 0.0

    def whole(self, key: str) -> int:
        """Return a whole number, 0 where there is none."""
        value = self.value(key)
        return value if isinstance(value, int) and not isinstance(value, bool) else 0

    def flag(self, key: str) -> bool:
        """Return a yes or no; anything else is no."""
        return self.value(key) is True

    def rows(self, key: str) -> tuple[Mapping[str, object], ...]:
        """Return the objects of a list."""
        value = self.value(key)
        return tuple(item for item in value if isinstance(item, dict)) if isinstance(value, list) else ()

    def texts(self, key: str) -> tuple[str, ...]:
        """Return the texts of a list."""
        value = self.value(key)
        return tuple(item for item in value if isinstance(item, str)) if isinstance(value, list) else ()

    def numbers(self, key: str) -> tuple[float, ...]:
        """Return the numbers of a list."""
        value = self.value(key)
        found = map(_number, value) if isinstance(value, list) else ()
        return tuple(item for item in found if item is not None)

    def table(self, key: str) -> Mapping[str, object]:
        """Return an object, empty where there is none."""
        value = self.value(key)
        return value if isinstance(value, dict) else {}


def _number(value: object) -> float | None:
    if isinstance(value, bool):
        return None
    return float(value) if isinstance(value, (int, float)) or value in ("nan", "inf", "-inf") else None
