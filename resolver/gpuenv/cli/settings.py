"""Merge settings: command line over environment over project over user configuration.

A project says ``[tool.gpuenv]`` in ``pyproject.toml`` or has a ``gpuenv.toml`` (which wins); a user has ``config.toml``
in the configuration folder. The keys are the options' names.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from pathlib import Path

from gpuenv.cli.options import BY_NAME, COMMON, Option
from gpuenv.dataclass import dataclass
from gpuenv.documents import DocumentError, not_toml, parse_toml
from gpuenv.errors import ConfigurationError, UsageError, nearest
from gpuenv.system.files import present, read_text

LARGEST = 1 << 20
"""Bytes of the largest file that is taken for settings."""

LONGEST = 4096
"""Characters of the longest value of an option: no path is longer, and Python reads no number of 4,300 digits."""

PROJECT_FILES = ("gpuenv.toml", "pyproject.toml [tool.gpuenv]")
"""The origins of what a folder says for everybody who works in it, cloned ones included."""

OTHER_TABLES = frozenset({"probes"})
"""Tables of a project's file that are no options: :mod:`gpuenv.steps.probes` reads them."""

_IN_FILES: dict[str, tuple[type, str]] = {
    "flag": (bool, "true or false"),
    "list": (str, "a list of texts"),
    "paths": (str, "a list of paths"),
    "numbers": (int, "a list of whole numbers"),
}
_TRUE = frozenset({"1", "true", "yes", "on"})
_FALSE = frozenset({"0", "false", "no", "off", ""})
Value = str | bool | tuple[str, ...] | tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """A value, and where it was said (``--python``, ``GPUENV_PYTHON``, ``gpuenv.toml``)."""

    value: Value
    origin: str


def merge(
    *, arguments: Mapping[str, object], environ: Mapping[str, str], project: Path, user: Path
) -> dict[str, Setting]:
    """Collect every common option that somebody set, by name, the strongest voice winning."""
    merged: dict[str, Setting] = {}
    for path, table in reversed(_files(project, user)):
        for key, raw in table.items():
            if key in OTHER_TABLES and path in PROJECT_FILES:
                continue
            if key not in BY_NAME:
                near = nearest(key, BY_NAME)
                hints = [f"Did you mean `{near[0]}`?"] if near else []
                hints.append("Valid keys: " + ", ".join(sorted(BY_NAME)))
                raise ConfigurationError(f"{path}: {key}: is not a setting", hints=hints)
            option = BY_NAME[key]
            if option.personal and path in PROJECT_FILES:
                raise ConfigurationError(
                    f"{path}: {key}: a project does not choose this, only you do",
                    hints=(f"Remove the line, and give --{key} or {option.variable} yourself if you mean it",),
                )
            _put(merged, option, _from_file(option, raw, path), path)
    for option in COMMON:
        if (text := environ.get(option.variable)) is not None:
            _put(merged, option, _from_text(option, text, option.variable), option.variable)
        raw = arguments.get(option.attribute)
        if raw is not None and raw is not False:
            flag = f"--{option.name}"
            # A variable of the shell that is not set; alone where several may stand it means "none".
            if raw == "" or (isinstance(raw, list) and "" in raw and len(raw) > 1):
                raise UsageError(f"{flag}: nothing stands behind it", hints=(f"Give a value, or leave {flag} out",))
            merged[option.name] = Setting(value=_checked(option, raw, flag), origin=flag)
    return merged


def refuse_undecodable(argv: Sequence[str], environ: Mapping[str, str]) -> None:
    """Refuse arguments, and variables that we read, whose bytes are not UTF-8; raises :class:`UsageError`."""
    variables = (
        (name, value)
        for name, value in sorted(environ.items())
        if name.startswith(("GPUENV_", "PIP_")) or name.lower().endswith("_proxy")
    )
    for place, text in (*((f"argument {number}", word) for number, word in enumerate(argv, start=1)), *variables):
        try:
            text.encode("utf-8")
        except UnicodeEncodeError:
            raise UsageError(f"{place} is not UTF-8 text") from None  # which may hold a password


def _put(merged: dict[str, Setting], option: Option, value: Value | None, origin: str) -> None:
    """Enter what a stronger voice says. A flag that it switches off is off, whatever a weaker one said."""
    if value is not None:
        merged[option.name] = Setting(value=value, origin=origin)
    elif option.kind == "flag":
        merged.pop(option.name, None)


def unknown_variables(environ: Mapping[str, str], *, also: frozenset[str]) -> tuple[str, ...]:
    """Name each ``GPUENV_*`` variable that means nothing, with the nearest that does."""
    known = {option.variable for option in COMMON} | also
    lines = []
    for name in sorted(environ):
        if name.startswith("GPUENV_") and name not in known:
            near = nearest(name, known, cutoff=0.8)
            lines.append(f"{name} means nothing to gpuenv" + (f"; did you mean {near[0]}?" if near else ""))
    return tuple(lines)


def _files(project: Path, user: Path) -> list[tuple[str, dict[str, object]]]:
    """The configuration tables that exist, strongest first."""
    found = []
    own, shared = project / "gpuenv.toml", project / "pyproject.toml"
    if present(own):
        found.append((PROJECT_FILES[0], _toml(own)))
    elif present(shared):
        tool = _toml(shared).get("tool")
        table = tool.get("gpuenv") if isinstance(tool, dict) else None
        if isinstance(table, dict):
            found.append((PROJECT_FILES[1], table))
    if (user / "config.toml").is_file():
        found.append((str(user / "config.toml"), _toml(user / "config.toml")))
    return found


def _toml(path: Path) -> dict[str, object]:
    text = read_text(path, what="the settings", most=LARGEST)
    try:
        return parse_toml(text)
    except DocumentError as error:
        raise not_toml(str(path), text, error) from error


def _from_file(option: Option, raw: object, path: str) -> Value | None:
    place, many = f"{path}: {option.name}", option.kind in ("list", "paths", "numbers")
    kind, expected = _IN_FILES.get(option.kind, (str, "a text"))
    values = raw if many and isinstance(raw, list) else [raw]
    if not all(isinstance(each, kind) for each in values) or many != isinstance(raw, list):
        raise _failure(option, raw, place)(expected)
    if option.kind == "flag":
        return True if raw else None
    return tuple(values) if option.kind == "numbers" else _checked(option, tuple(values) if many else raw, place)


def _from_text(option: Option, text: str, variable: str) -> Value | None:
    fail = _failure(option, text, variable)
    match option.kind:
        case "flag":
            if text.lower() in _TRUE:
                return True
            if text.lower() in _FALSE:
                return None
            raise fail("1 or 0")
        case "list" | "paths":
            # A folder of somebody with a blank in the name (C:\Users\Jane Doe\wheels) is one, where it is there.
            whole = " " in text.strip() and os.path.lexists(text)
            return _checked(option, (text,) if whole else tuple(text.split()), variable) or None
        case "numbers":
            parts = text.replace(",", " ").split()
            if not all(re.fullmatch("[0-9]{1,9}", part) for part in parts):
                raise fail("whole numbers, such as 0,1")
            return tuple(int(part) for part in parts) or None
        case _:
            return _checked(option, text, variable) if text else None


def _checked(option: Option, value: object, place: str) -> Value:
    for text in value if isinstance(value, list | tuple) else [value]:
        if isinstance(text, str):
            _check_text(text, place)
    if isinstance(value, str) and option.kind == "path":
        value = expanded(value, place)
    if isinstance(value, list | tuple) and option.kind == "paths":
        value = tuple(expanded(str(each), place) for each in value)
    if option.choices and value not in option.choices:
        raise UsageError(f"{place} must be one of {', '.join(option.choices)}, not {value!r}")
    if option.pattern and not (isinstance(value, str) and re.fullmatch(option.pattern, value)):
        raise UsageError(
            f"{place}: {value} is not understood", hints=(f"Write it as {option.metavar}, such as {option.example}",)
        )
    if option.name == "exclude-newer":
        _moment(str(value), place)
    if isinstance(value, list):
        return tuple(value)
    assert isinstance(value, str | bool | tuple)
    return value


def _check_text(text: str, place: str) -> None:
    if "\0" in text:
        raise UsageError(f"{place} must not hold a NUL byte")
    if len(text) > LONGEST:
        raise UsageError(f"{place} must not be longer than {LONGEST:,} characters")


def expanded(text: str, place: str) -> str:
    """``~`` in front, which a shell would have replaced on its command line only."""
    path = os.path.expanduser(text)  # noqa: PTH111 (Path raises RuntimeError)
    if path.startswith("~"):
        user = text.partition("/")[0][1:]
        raise UsageError(f"{place}: {text}: there is no user {user!r} with a home folder")
    return path


def _moment(text: str, place: str) -> None:
    """Refuse what is neither a date nor an RFC 3339 time, before anything is asked with it."""
    try:
        datetime.fromisoformat(text.replace("Z", "+00:00"))
    except ValueError as error:
        raise UsageError(
            f"{place}: {text} is neither a date nor a time",
            hints=("Write one such as 2026-01-31 or 2026-01-31T12:00:00Z",),
        ) from error


def _failure(option: Option, raw: object, place: str) -> Callable[[str], ConfigurationError]:
    def make(expected: str) -> ConfigurationError:
        return ConfigurationError(f"{place}: must be {expected}, not {raw!r}", hints=(f"Meaning: {option.help}",))

    return make
