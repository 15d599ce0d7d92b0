"""One probe: import a companion of torch, load its compiled code, let it compute, compare with what is right.

A probe is a function of a device's name. It yields ``(what, got, right)`` or ``(what, got, right, room)``: numbers, in
tensors, arrays or lists of any depth. ``room`` is how far an element may be from the right one, 0 where it is left out.
What it raises is the finding, in the words of the loader, of CUDA or of the companion.
"""

from __future__ import annotations

import ctypes
import importlib
import importlib.util
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from .channel import Channel

Function = Callable[[str], Iterable[tuple[Any, ...]]]  # Any: arrays of whatever library is probed
COMPILED = (".so", ".pyd", ".dll")
LONGEST = 1500


class EmptyPackageError(Exception):
    """A package imports, and holds no compiled code where its wheels have it."""


def run(settings: dict[str, Any], channel: Channel) -> None:
    """Probe on every device in scope, one ``probe`` event each; what can be imported is said once for all of them."""
    project = settings["project"]
    devices = _devices(settings, channel)
    if not devices:
        channel.emit("no-device", found=0)
        return
    problem, stage, function = "", "", None
    try:
        stage = "import"
        _import(settings["imports"], channel, settings)
        stage = "probe"
        function = _function(settings["function"])
    except Exception as error:  # its words are the finding
        problem = _words(error)
    for device in devices:
        channel.emit("probing", project=project, device=device)
        start = time.perf_counter()
        values: dict[str, Any] = {"message": problem, "stage": stage}
        if function is not None:
            values = _measured(function, device)
        channel.emit("probe", project=project, device=device, seconds=time.perf_counter() - start, **values)


def _devices(settings: dict[str, Any], channel: Channel) -> list[str]:
    """Name the devices in scope among those that are visible."""
    if settings["device"] == "cpu":
        return ["cpu"]
    if not settings["torch"]:
        from .driver import visible

        found = visible()
        scope = [index for index, uuid in enumerate(found) if uuid in settings["uuids"]]
        return [f"cuda:{index}" for index in scope or range(len(found))]  # a MIG slice's UUID differs by library
    import torch

    from . import devices

    channel.emit("starting-cuda")
    return [f"cuda:{index}" for index in devices.in_scope(torch, settings)] if torch.cuda.is_available() else []


def _import(modules: list[str], channel: Channel, settings: dict[str, Any]) -> None:
    """Import as a person does, then load the compiled code by itself: some packages swallow why it did not load."""
    failure: Exception | None = None
    for module in modules:
        channel.emit("importing", module=module)
        try:
            importlib.import_module(module)
        except Exception as error:
            failure = error
            break
    patterns = settings["libraries"]
    found = [path for pattern in patterns for path in _libraries(pattern, settings["paths"])]
    if patterns and not found and failure is None:
        raise EmptyPackageError(f"no file {' or '.join(patterns)} with a compiled library in it")
    for path in found:
        ctypes.CDLL(str(path))  # raises OSError with the loader's words
    if failure is not None:
        raise failure


def _libraries(pattern: str, folders: list[str]) -> Iterator[Path]:
    for folder in folders:
        yield from sorted(path for path in Path(folder).glob(pattern) if path.suffix in COMPILED)


def _function(name: str) -> Function:
    """Load a probe: ``module:function`` of the environment, of a file, or (``.module:function``) of this payload."""
    module, _, function = name.rpartition(":")
    if not module.endswith(".py"):
        made = importlib.import_module(module, f"{__package__}.probes" if module.startswith(".") else None)
    else:
        path = Path(module)
        sys.path.append(str(path.parent))  # behind the environment's packages: it shadows none of them
        spec = importlib.util.spec_from_file_location(f"gpuenv_probe_{path.stem}", path)
        if spec is None or spec.loader is None:
            raise ImportError(f"{path.name} is no Python file")
        made = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(made)
    found: Function = getattr(made, function)
    return found


def _measured(function: Function, device: str) -> dict[str, Any]:
    """Let it compute and compare: counts over all its parts, and the first part that differs."""
    values: dict[str, Any] = {"message": "", "stage": "run", "wrong": 0, "elements": 0, "parts": []}
    try:
        if device != "cpu" and "torch" in sys.modules:
            sys.modules["torch"].cuda.set_device(device)
        for what, got, right, *room in function(device):
            if elsewhere := _elsewhere(got, device):
                raise RuntimeError(f"{what} was computed on {elsewhere}, not on {device}")
            _raise_pending(device)
            wrong, elements, error = compared(got, right, room[0] if room else 0.0)
            if wrong and not values["wrong"]:
                values |= {"part": what, "error": error}
            values["parts"].append(what)
            values["wrong"] += wrong
            values["elements"] += elements
    except Exception as error:  # as above
        values["message"] = _words(error)
    return values


def _raise_pending(device: str) -> None:
    """Raise what CUDA has against a kernel whose package did not ask whether it started: torch asks after its own."""
    if device != "cpu" and "torch" in sys.modules:
        sys.modules["torch"].zeros(1, device=device).add_(1)


def _elsewhere(got: Any, device: str) -> str:
    """Return where a tensor of torch's lies if that is another kind of device than was asked for."""
    place = got.device.type if isinstance(getattr(got, "is_cuda", None), bool) else ""
    return place if place not in ("", device.partition(":")[0]) else ""


def compared(got: Any, right: Any, room: float = 0.0) -> tuple[int, int, float]:
    """Count the elements that differ by more than ``room``, and all; with the largest difference (``nan`` is one)."""
    left, want = _flat(got), _flat(right)
    if len(left) != len(want):
        return max(len(left), len(want), 1), len(want), float("inf")
    apart = [0.0 if a == b else abs(a - b) for a, b in zip(left, want, strict=True)]
    wrong = [each for each in apart if not each <= room]
    return len(wrong), len(want), max(wrong, key=lambda each: (each != each, each), default=0.0)


def _flat(value: Any) -> list[float]:
    plain = value.tolist() if hasattr(value, "tolist") else value
    if isinstance(plain, (list, tuple)):
        return [number for each in plain for number in _flat(each)]
    return [float(plain)]


def _words(error: BaseException) -> str:
    """Name an error with what it came from: what a package says in its place often hides the loader's words."""
    words, seen = [], set()
    link: BaseException | None = error
    while link is not None and id(link) not in seen:
        seen.add(id(link))
        words.append(f"{type(link).__name__}: {link}".strip()[:LONGEST])
        link = link.__cause__ or (None if link.__suppress_context__ else link.__context__)
    return "\nfrom ".join(words)[: 2 * LONGEST]
