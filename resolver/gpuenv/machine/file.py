"""The machine file: a machine as JSON, so that a decision can be made for another one.

What ``detect --json`` prints under ``data``, the whole of what it prints, and what ``doctor --report`` writes are read.
Strict on purpose: a misspelt key that is passed over would decide for another machine than the one meant.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, NoReturn, TypeVar

from gpuenv.documents import DocumentError, parse_json
from gpuenv.errors import ConfigurationError
from gpuenv.model.machine import Arch, ComputeCapability, Driver, Gpu, Machine, Os

if TYPE_CHECKING:
    from gpuenv.machine.problem import DriverProblem

Value = TypeVar("Value")

SYSTEMS: dict[str, Os] = {"linux": "linux", "windows": "windows", "macos": "macos"}
PROCESSORS: dict[Os, dict[str, Arch]] = {
    "linux": {"x86_64": "x86_64", "aarch64": "aarch64"},
    "windows": {"x86_64": "x86_64", "arm64": "arm64"},
    "macos": {"arm64": "arm64", "x86_64": "x86_64"},
}
MACHINE_KEYS = ("os", "arch", "libc", "wsl", "container", "driver", "gpus")
DRIVER_KEYS = ("version", "cuda", "source")
GPU_KEYS = ("index", "uuid", "name", "compute_capability", "memory_bytes", "mig")
REPORT = "gpuenv-report"
"""The name of the schema of what `gpuenv doctor --report` writes."""

WRITE_ONE = "Write one on the machine in question: `gpuenv detect --json > machine.json`"


def parse_machine(text: str, *, origin: str, failed: bool = False) -> Machine:
    """Read a machine file; ``origin`` names it in errors.

    ``failed`` takes what a detection printed that ended with an error, for a diagnosis: :func:`failure_in` says why it
    did. GPUs come back in the order of their index. Raises :class:`ConfigurationError` that names file, place
    (``gpus[0].compute_capability``) and what is valid there.
    """
    reader = _MachineReader(origin, failed=failed)
    try:
        value = parse_json(text, pairs=reader.unique)
    except DocumentError as error:
        where = f"{origin}, {error.place}" if error.place else origin
        raise ConfigurationError(f"{where}: not JSON ({error})", hints=(WRITE_ONE,)) from error
    path = ""
    if isinstance(value, dict) and "schema" in value and "data" in value:
        value, path = reader.envelope(value), "data"
    elif isinstance(value, dict) and value.get("schema") == {"name": REPORT, "version": "1"}:
        value, path = reader.report(value), "machine"
    return reader.machine(value, path)


def failure_in(text: str) -> DriverProblem | None:
    """What was wrong with the driver of the machine, in the words of the `gpuenv detect --json` that printed ``text``.

    ``None`` where nothing was, and for a file that holds the machine alone. The text was read by :func:`parse_machine`.
    """
    value = json.loads(text)
    errors = value.get("errors") if isinstance(value, dict) else None
    from gpuenv.machine.problem import CommandHint, DriverProblem

    first = errors[0] if isinstance(errors, list) and errors else None
    if not isinstance(first, dict) or not isinstance(first.get("message"), str):
        return None
    return DriverProblem(
        kind="unknown",
        summary=first["message"],
        causes=_texts(first.get("causes")),
        hints=tuple(CommandHint.parse(each) for each in _texts(first.get("hints"))),
    )


def _texts(value: object) -> tuple[str, ...]:
    return tuple(each for each in value if isinstance(each, str)) if isinstance(value, list) else ()


class _MachineReader:
    """Takes the values apart, knowing at each step where it is."""

    def __init__(self, origin: str, *, failed: bool) -> None:
        self.origin, self.failed = origin, failed

    def fail(self, path: str, says: str, *, hint: str = WRITE_ONE) -> NoReturn:
        raise ConfigurationError(f"{self.origin}: {path or 'the file'} {says}", hints=(hint,))

    def unique(self, pairs: list[tuple[str, object]]) -> dict[str, object]:
        """Refuse a key given twice, of which JSON readers silently keep the last."""
        value = dict(pairs)
        if len(value) != len(pairs):
            twice = Counter(key for key, _ in pairs).most_common(1)[0][0]
            self.fail("", f"holds the key {twice!r} twice in one object")
        return value

    def envelope(self, value: Mapping[str, object]) -> object:
        schema = value["schema"]
        if not isinstance(schema, dict) or schema.get("name") != "gpuenv":
            self.fail("schema", "is not that of `gpuenv detect --json`")
        if value.get("command") != "detect":
            self.fail("command", f'is {_show(value.get("command"))} (expected "detect")')
        if value.get("status") != "ok" and not self.failed:
            self.undetected("status", value.get("status"))
        return value["data"]

    def report(self, value: Mapping[str, object]) -> object:
        if value.get("errors") and not self.failed:
            self.undetected("errors", value["errors"])
        return value.get("machine")

    def undetected(self, path: str, value: object) -> NoReturn:
        hint = "See what is wrong there: `gpuenv doctor`, or here: `gpuenv doctor --machine FILE`"
        self.fail(path, f"is {_show(value)}: detection failed on that machine", hint=hint)

    def machine(self, value: object, path: str) -> Machine:
        table = self.table(value, path, MACHINE_KEYS, optional=("sources",))
        at = _under(path)
        system = self.choice(table["os"], at("os"), SYSTEMS)
        driver = None if table["driver"] is None else self.driver(table["driver"], at("driver"))
        gpus = self.gpus(table["gpus"], at("gpus"))
        if gpus and driver is None and not self.failed:
            self.fail(at("driver"), "is null although GPUs are listed (expected at least its version)")
        return Machine(
            os=system,
            arch=self.choice(table["arch"], at("arch"), PROCESSORS[system]),
            libc=self.libc(table["libc"], at("libc")),
            wsl=self.boolean(table["wsl"], at("wsl")),
            container=self.boolean(table["container"], at("container")),
            driver=driver,
            gpus=gpus,
            sources=self.sources(table.get("sources", {}), at("sources")),
        )

    def driver(self, value: object, path: str) -> Driver:
        table = self.table(value, path, DRIVER_KEYS)
        at = _under(path)
        return Driver(
            version=self.matching(table["version"], at("version"), r"\d+(\.\d+)*", "numbers with dots, such as 570.26"),
            cuda=self.cuda(table["cuda"], at("cuda")),
            source=self.text(table["source"], at("source")),
        )

    def gpus(self, value: object, path: str) -> tuple[Gpu, ...]:
        if not isinstance(value, list):
            self.fail(path, f"is {_show(value)} (expected a list of GPUs, empty where there is none)")
        gpus = [self.gpu(item, f"{path}[{position}]") for position, item in enumerate(value)]
        for key in ("index", "uuid"):
            seen: dict[object, int] = {}
            for position, gpu in enumerate(gpus):
                first = seen.setdefault(getattr(gpu, key), position)
                if first != position:
                    self.fail(f"{path}[{position}].{key}", f"is that of {path}[{first}] too (expected one of its own)")
        return tuple(sorted(gpus, key=lambda gpu: gpu.index))

    def gpu(self, value: object, path: str) -> Gpu:
        table = self.table(value, path, GPU_KEYS)
        at, memory = _under(path), table["memory_bytes"]
        return Gpu(
            index=self.number(table["index"], at("index"), least=0),
            uuid=self.text(table["uuid"], at("uuid")),
            name=self.text(table["name"], at("name")),
            compute_capability=self.capability(table["compute_capability"], at("compute_capability")),
            memory_bytes=None if memory is None else self.number(memory, at("memory_bytes"), least=1),
            mig=self.boolean(table["mig"], at("mig")),
        )

    def table(
        self, value: object, path: str, keys: tuple[str, ...], optional: tuple[str, ...] = ()
    ) -> Mapping[str, object]:
        if not isinstance(value, dict):
            self.fail(path, f"is {_show(value)} (expected an object with {', '.join(keys)})")
        at = _under(path)
        for key in value:
            if key not in keys and key not in optional:
                self.fail(at(_plain(key)), f"is not known here (valid: {', '.join((*keys, *optional))})")
        for key in keys:
            if key not in value:
                self.fail(at(key), "is missing")
        return value

    def choice(self, value: object, path: str, valid: Mapping[str, Value]) -> Value:
        if not isinstance(value, str) or value not in valid:
            self.fail(path, f"is {_show(value)} (valid: {', '.join(valid)})")
        return valid[value]

    def text(self, value: object, path: str) -> str:
        return self.matching(value, path, r"\S(.*\S)?", "text that is not empty")

    def cuda(self, value: object, path: str) -> str | None:
        return None if value is None else self.matching(value, path, r"\d+\.\d+", "MAJOR.MINOR, such as 12.8, or null")

    def libc(self, value: object, path: str) -> str | None:
        return (
            None
            if value is None
            else self.matching(value, path, r"(glibc|musl) \d+(\.\d+)+", '"glibc X.Y" or "musl X.Y", or null')
        )

    def matching(self, value: object, path: str, pattern: str, expected: str) -> str:
        if not isinstance(value, str) or not value.isprintable() or not re.fullmatch(pattern, value, re.ASCII):
            self.fail(path, f"is {_show(value)} (expected {expected})")
        return value

    def boolean(self, value: object, path: str) -> bool:
        if not isinstance(value, bool):
            self.fail(path, f"is {_show(value)} (expected true or false)")
        return value

    def number(self, value: object, path: str, *, least: int) -> int:
        if not isinstance(value, int) or isinstance(value, bool) or value < least:
            self.fail(path, f"is {_show(value)} (expected a whole number, {least} or more)")
        return value

    def capability(self, value: object, path: str) -> ComputeCapability:
        try:
            return ComputeCapability.parse(value if isinstance(value, str) else "")
        except ValueError:
            self.fail(path, f'is {_show(value)} (expected text "MAJOR.MINOR", such as "8.6")')

    def sources(self, value: object, path: str) -> tuple[tuple[str, str], ...]:
        if not isinstance(value, dict):
            self.fail(path, f"is {_show(value)} (expected an object of texts)")
        return tuple(sorted((_plain(key), self.text(said, f"{path}.{_plain(key)}")) for key, said in value.items()))


def _under(path: str) -> Callable[[str], str]:
    return lambda key: f"{path}.{key}" if path else key


def _plain(key: str) -> str:
    return key if key.isprintable() else ascii(key)


def _show(value: object) -> str:
    shown = json.dumps(value, ensure_ascii=False)
    shown = shown if shown.isprintable() else json.dumps(value)
    return shown if len(shown) <= 60 else f"{shown[:57]}..."
