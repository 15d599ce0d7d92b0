"""Reads ``pixi.lock``, and what an ``environment.yml`` of conda pins: packages of conda beside wheels."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Literal

from packaging.utils import canonicalize_name

from gpuenv.dataclass import dataclass
from gpuenv.documents import conflict_line, conflicted
from gpuenv.errors import ConfigurationError
from gpuenv.lock.model import filename_of
from gpuenv.metadata import parse_version
from gpuenv.project.pinned_requirements import pin_of
from gpuenv.project.pins import FlatProject, MarkedPin, MarkerTarget, Pin, PinnedFile, PinSet, Relevant
from gpuenv.project.requirements_file import FilePlace, parse_stated

_TORCH = {"pytorch": "torch", "pytorch-gpu": "torch", "pytorch-cpu": "torch"}
"""Names that conda gives to what PyPI calls otherwise."""
_CUDA = ("pytorch-cuda", "cudatoolkit", "cuda-version")
"""Packages of conda whose version is that of pytorch's CUDA."""
NOT_NAMED = "none is named"
_READS = range(4, 8)
"""Versions of pixi.lock; before the fourth it had another shape."""
_FILE = re.compile(r"(?P<name>.+)-(?P<version>[^-]+)-(?P<build>[^-]+)\.(?:conda|tar\.bz2)")
_SPEC = re.compile(
    r"(?:[\w./:-]+::)?(?P<name>[\w.-]+)\s*(?:==?\s*(?P<version>\d[\w.!+]*))?\s*(?:[=\s]\s*(?P<build>[\w.*]+))?"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class PixiLock:
    """A ``pixi.lock``: environments, each with packages by platform."""

    shown: str
    count: int
    packages: Mapping[str, Mapping[str, tuple[Pin, ...]]]
    """By environment and platform."""
    requires_python: str = ""
    usual_index: str = ""
    kind: Literal["pixi"] = "pixi"

    def refuses(self, target: MarkerTarget) -> str:
        """Its platforms, where the machine's is none of them."""
        platforms = sorted({name for environment in self.packages.values() for name in environment})
        fits = any(name == target.conda or name.startswith(f"{target.conda}-") for name in platforms)
        return "" if fits or not platforms else " or ".join(platforms)

    def sets(self, target: MarkerTarget) -> tuple[PinSet, ...]:
        """The default environment first; one without this platform installs nothing there."""
        names = sorted(self.packages, key=lambda name: (name != "default", name))
        found = (
            PinSet(
                name="" if name == "default" else f"environment {name}",
                pins=self._pins(self.packages[name], target),
            )
            for name in names
        )
        return tuple(found) or (PinSet(name="", pins=()),)

    @staticmethod
    def _pins(environment: Mapping[str, tuple[Pin, ...]], target: MarkerTarget) -> tuple[Pin, ...]:
        # since 0.71 a platform may carry a name of the person's: `linux-64-cuda`
        exact = environment.get(target.conda)
        return (
            exact
            if exact is not None
            else next((pins for name, pins in sorted(environment.items()) if name.startswith(f"{target.conda}-")), ())
        )


def read_pixi_lock(text: str, *, shown: str, relevant: Relevant) -> PixiLock:
    """Read a ``pixi.lock``. Raises :class:`~gpuenv.errors.ConfigurationError` with the place."""
    top = _mapping(_yaml(text, shown), shown, "")
    version = top.get("version")
    if not isinstance(version, int) or version not in _READS:
        raise ConfigurationError(
            f"{shown}: its format is version {version!r}; this gpuenv reads {_READS.start} to {_READS.stop - 1}",
            hints=("Let pixi write it again: `pixi lock`",),
        )
    lines = _lines(text)
    entries: dict[str, Mapping[str, object]] = {}
    for number, row in enumerate(_list(top.get("packages"), shown, "packages")):
        entry = _mapping(row, shown, f"packages[{number}]")
        where = entry.get("conda") or entry.get("pypi") or entry.get("url") or entry.get("path")
        if not isinstance(where, str):
            raise ConfigurationError(f"{shown}: packages[{number}] names neither a conda package nor a wheel")
        entries.setdefault(where, entry)
    made = {where: _pin(where, entry, shown, lines.get(where, 1), relevant) for where, entry in entries.items()}
    environments: dict[str, dict[str, tuple[Pin, ...]]] = {}
    for name, value in _mapping(top.get("environments"), shown, "environments").items():
        environment = _mapping(value, shown, f"environments.{name}")
        platforms = _mapping(environment.get("packages"), shown, f"environments.{name}.packages")
        index = next((str(each) for each in _list(environment.get("indexes") or [], shown, "indexes")), "")
        environments[str(name)] = {
            str(platform): _chosen(_list(rows, shown, f"environments.{name}.packages.{platform}"), made, index, shown)
            for platform, rows in platforms.items()
        }
    return PixiLock(shown=shown, count=len(entries), packages=environments)


def _chosen(rows: Sequence[object], made: Mapping[str, Pin | None], index: str, shown: str) -> tuple[Pin, ...]:
    pins = []
    for row in rows:
        entry = _mapping(row, shown, "a package of an environment")
        where = entry.get("conda") or entry.get("pypi")
        if not isinstance(where, str) or where not in made:
            raise ConfigurationError(
                f"{shown}: an environment names {str(where)[:120]}, which is not among its packages"
            )
        pin = made[where]
        if pin is not None:
            pins.append(pin if pin.conda else replace(pin, index=index))
    return tuple(pins)


def _pin(where: str, entry: Mapping[str, object], shown: str, line: int, relevant: Relevant) -> Pin | None:
    place = FilePlace(file=shown, line=line)
    filename = filename_of(where)
    if "conda" in entry or filename.endswith((".conda", ".tar.bz2")):
        found = _FILE.fullmatch(filename)
        name = str(entry.get("name") or (found["name"] if found else ""))
        version = str(entry.get("version") or (found["version"] if found else ""))
        name = _TORCH.get(name, name)
        if not name or not relevant(name):
            return None
        build = str(entry.get("build") or (found["build"] if found else "unknown"))
        return Pin(name=name, version=version, place=place, conda=build)
    name, version = str(entry.get("name") or ""), str(entry.get("version") or "")
    if not name:
        stated = parse_stated(where, place, local=True)
        name, version = stated.name or "", stated.specifier.removeprefix("==")
    name = canonicalize_name(name)
    if not relevant(name):
        return None
    wheel = filename.endswith(".whl")
    if version and parse_version(version) is None:
        raise ConfigurationError(f"{place}: {name} has the version {version[:80]!r}, which is none")
    file = PinnedFile(url=where, sha256=str(entry.get("sha256") or ""))
    return Pin(name=name, version=version, place=place, wheels=(file,) if wheel else (), source=not wheel)


def read_environment_file(text: str, *, shown: str, relevant: Relevant) -> FlatProject:
    """Read an ``environment.yml``: its conda part as far as it pins, and its pip part.

    Raises :class:`~gpuenv.errors.ConfigurationError` with the place.
    """
    top = _mapping(_yaml(text, shown), shown, "")
    lines = text.split("\n")
    pins: list[MarkedPin] = []
    count = 0
    indexes: list[str] = []
    for entry in _list(top.get("dependencies"), shown, "dependencies"):
        if isinstance(entry, str):
            count += 1
            if (pin := _conda_pin(entry, shown, lines)) is not None and relevant(pin.name):
                pins.append(MarkedPin(pin=pin))
            continue
        for stated in _list(_mapping(entry, shown, "dependencies").get("pip"), shown, "dependencies: pip"):
            line = str(stated).strip()
            place = FilePlace(file=shown, line=_line_of(lines, line))
            option = re.match(r"(?:-i|--index-url|--extra-index-url)[ =]\s*(\S+)", line)
            if option:
                indexes.append(option[1])
            elif not line.startswith("-"):
                count += 1
                made = parse_stated(line, place)
                if made.name and relevant(made.name):
                    pins.append(MarkedPin(pin=pin_of(made, index="", extra=tuple(indexes)), marker=made.marker or ""))
    build = _build_beside(top.get("dependencies"))
    named = (
        replace(each, pin=replace(each.pin, conda=build)) if _unnamed(each.pin) and build else each for each in pins
    )
    return FlatProject(kind="conda", shown=shown, count=count, pins=tuple(named))


def _unnamed(pin: Pin) -> bool:
    return pin.name == "torch" and pin.conda == NOT_NAMED


def _build_beside(entries: object) -> str:
    """The build of pytorch that other packages of conda choose: ``pytorch-cuda=12.1``, ``cpuonly``; empty for none."""
    found = ""
    for entry in entries if isinstance(entries, list) else ():
        match = _SPEC.match(entry.strip()) if isinstance(entry, str) else None
        if match and match["name"].lower() == "cpuonly":
            return "cpu"
        if match and match["name"].lower() in _CUDA and match["version"]:
            found = f"cuda{match['version']}"
    return found


def _conda_pin(entry: str, shown: str, lines: list[str]) -> Pin | None:
    found = _SPEC.match(entry.strip())
    if found is None:
        raise ConfigurationError(f"{shown}:{_line_of(lines, entry)}: {entry[:120]!r} is no package of conda")
    name = found["name"].lower()
    place = FilePlace(file=shown, line=_line_of(lines, entry))
    return Pin(
        name=_TORCH.get(name, name),
        version=found["version"] or "",
        place=place,
        stated="" if found["version"] else entry,
        conda=found["build"] or NOT_NAMED,
    )


def _line_of(lines: list[str], text: str) -> int:
    return next((number for number, line in enumerate(lines, 1) if text and text in line), 1)


def _lines(text: str) -> dict[str, int]:
    """The line on which each package stands last: its own entry, behind those of the environments."""
    found: dict[str, int] = {}
    for number, line in enumerate(text.split("\n"), 1):
        key, colon, where = line.strip().removeprefix("- ").partition(": ")
        if colon and key in ("conda", "pypi"):
            found[where.strip()] = number
    return found


def _yaml(text: str, shown: str) -> object:
    import yaml

    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # libyaml's reads twenty times as fast
    try:
        return yaml.load(text, Loader=loader)
    except yaml.MarkedYAMLError as error:
        if (marked := conflict_line(text)) is not None:
            raise conflicted(shown, marked) from None
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise ConfigurationError(
            f"{shown}:{line}: is not valid YAML", causes=(" ".join(str(error.problem or error).split()),)
        ) from None
    except (yaml.YAMLError, ValueError, OverflowError) as error:
        raise ConfigurationError(f"{shown}: is not valid YAML", causes=(" ".join(str(error).split())[:200],)) from None
    except RecursionError:
        raise ConfigurationError(f"{shown}: is not valid YAML", causes=("it is nested too deeply",)) from None


def _mapping(value: object, shown: str, where: str) -> Mapping[str, object]:
    if not isinstance(value, Mapping):
        raise ConfigurationError(f"{shown}: {where or 'the document'} is not a mapping of keys to values")
    return value


def _list(value: object, shown: str, where: str) -> list[object]:
    if not isinstance(value, list):
        raise ConfigurationError(f"{shown}: {where} is not a list")
    return value
