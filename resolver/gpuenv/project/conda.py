"""``environment.yml``: its pip part, and what its conda part says of Python, torch and CUDA."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, NoReturn

from gpuenv.dataclass import dataclass
from gpuenv.documents import conflict_line, conflicted
from gpuenv.errors import ConfigurationError
from gpuenv.metadata import parse_range
from gpuenv.model.asked import Asked, NamedBuild, Stated, together

if TYPE_CHECKING:
    import yaml

_SPEC = re.compile(r"(?:[\w.-]+::)?([\w.-]+)\s*(?:\[[^\]]*\])?\s*(.*)")
_TORCH = {"pytorch": "torch", "pytorch-gpu": "torch", "torchvision": "torchvision", "torchaudio": "torchaudio"}
"""Packages of conda that hold a member of the family, by the name that its wheels have."""
_CUDA = ("pytorch-cuda", "cudatoolkit", "cuda-version", "cuda-toolkit", "cuda")

Pip = Callable[[Sequence[tuple[str, int]]], Asked]
"""Reads the lines of the pip part, each with its number in the file."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Line:
    """One entry of the conda part."""

    name: str
    range: str
    place: str


def read_environment(text: str, *, shown: str, pip: Pip) -> Asked:
    """Read a conda environment file. Conda's other packages are named in a note: no wheel of theirs is known.

    Raises :class:`~gpuenv.errors.ConfigurationError` for what is no such file.
    """
    entries, lines = _entries(text, shown)
    stated: list[Stated] = []
    pythons: list[Stated] = []
    builds: list[NamedBuild] = []
    left: list[str] = []
    for entry in entries:
        if entry.name in _TORCH:
            stated.append(Stated(text=f"{_TORCH[entry.name]}{entry.range}", place=entry.place))
        elif entry.name == "python":
            pythons += [Stated(text=entry.range, place=entry.place)] if entry.range else []
        elif entry.name == "cpuonly":
            builds.append(NamedBuild(variant="cpu", place=entry.place, text="cpuonly"))
        elif entry.name in _CUDA and (number := re.search(r"(\d+)\.(\d+)", entry.range)):
            text = f"{entry.name} {number[0]}"
            builds.append(NamedBuild(variant=f"cu{number[1]}{number[2]}", place=entry.place, text=text))
        elif entry.name != "pip":
            left.append(entry.name)
    notes = [f"{shown}: packages of conda are not taken: {', '.join(sorted(set(left)))}"] if left else []
    own = Asked(stated=tuple(stated), pythons=tuple(pythons), builds=tuple(dict.fromkeys(builds)), notes=tuple(notes))
    found = together([own, pip(lines)])
    count = len([row for row in found.stated if row.role == "requirement"])
    files = (f"{shown}: {count} requirement{'' if count == 1 else 's'}",)
    return together([Asked(files=files), found])


def _entries(text: str, shown: str) -> tuple[list[_Line], list[tuple[str, int]]]:
    """The conda part, and the lines of the pip part with their numbers."""
    import yaml

    try:
        root = yaml.compose(text, Loader=yaml.SafeLoader)
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        if (marked := conflict_line(text)) is not None:
            raise conflicted(shown, marked) from None
        reason = " ".join(str(error).split()) or "it is nested too deeply"
        raise ConfigurationError(f"{shown}: is not valid YAML", causes=(reason,)) from None
    entries: list[_Line] = []
    lines: list[tuple[str, int]] = []
    for item in _sequence(root, "dependencies", shown):
        line = item.start_mark.line + 1
        if isinstance(item, yaml.ScalarNode):
            entries.append(_line(str(item.value), f"{shown}:{line}"))
            continue
        for each in _sequence(item, "pip", shown):
            if not isinstance(each, yaml.ScalarNode):
                _fail(shown, each.start_mark.line + 1)
            lines.append((str(each.value), each.start_mark.line + 1))
    return entries, lines


def _sequence(node: object, key: str, shown: str) -> list[yaml.Node]:
    """The items of the list under ``key``; none where the mapping has no such key."""
    import yaml

    if not isinstance(node, yaml.MappingNode):
        mark = getattr(node, "start_mark", None)
        _fail(shown, mark.line + 1 if mark is not None else 1)
    for name, value in node.value:
        if getattr(name, "value", None) != key:
            continue
        if not isinstance(value, yaml.SequenceNode):
            _fail(shown, value.start_mark.line + 1)
        return list(value.value)
    return []


def _fail(shown: str, line: int) -> NoReturn:
    raise ConfigurationError(
        f"{shown}:{line}: is not what an environment file holds",
        hints=("It is a list `dependencies:` of names with versions, with one `pip:` list in it",),
    )


def _line(text: str, place: str) -> _Line:
    """One package of conda: ``pytorch=2.1`` is ``torch==2.1.*``, ``pytorch=2.1.0=py3.10_cuda`` ``torch==2.1.0``.

    >>> _line("conda-forge::pytorch=2.1", "e.yml:3").range, _line("python >=3.10,<3.12", "e.yml:1").range
    ('==2.1.*', '>=3.10,<3.12')
    """
    match = _SPEC.match(text.strip())
    if match is None:
        raise ConfigurationError(f"{place}: {text} is not a package of conda")
    name, rest = match[1].lower(), match[2].strip()
    version = rest.split()[0] if rest and rest[0] not in "<>!~" else rest
    fuzzy = re.fullmatch(r"=([\w.]+?)(?:\.?\*)?(=[^=]*)?", version) or re.fullmatch(r"([\d.]+)\.\*()", version)
    if not version or version == "*":
        found = ""
    elif fuzzy:
        exact = fuzzy[2] or fuzzy[1].count(".") > 1
        found = f"=={fuzzy[1]}" if exact else f"=={fuzzy[1]}.*"
    elif re.fullmatch(r"[\d.]+(=.*)?", version):
        found = f"=={version.partition('=')[0]}"
    else:
        found = version.replace(" ", "").rstrip("*").rstrip(".") if version[:1] != "=" else version.partition(" ")[0]
    if parse_range(found) is None:
        raise ConfigurationError(f"{place}: {text}: {rest} is not a range of versions")
    return _Line(name=name, range=found, place=place)
