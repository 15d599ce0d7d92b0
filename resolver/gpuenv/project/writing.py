"""Requirements written into a person's own files, as text to text: comments, order and quotes of all else are kept."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterator, Mapping, MutableMapping, MutableSequence, Sequence
from typing import TYPE_CHECKING, Any

from packaging.utils import canonicalize_name

from gpuenv.documents import not_toml
from gpuenv.errors import ConfigurationError
from gpuenv.metadata import parse_requirement

if TYPE_CHECKING:
    from tomlkit import TOMLDocument

Lists = MutableSequence[object]

ONE_LINE = 72
"""Characters up to which a list that stands on one line stays there when it grows."""

_LAST_COMMA = re.compile(r",((?:[ \t]*(?:#[^\n]*)?\n)*[ \t]*)\]\Z")
"""The comma behind the last entry of a list, with the comments up to its end."""


def with_requirement(text: str, requirement: str, *, extra: str | None = None, group: str | None = None) -> str:
    """A ``pyproject.toml`` that asks for one requirement more, in its dependencies, an extra or a dependency group.

    One on the same package under the same marker is replaced. Raises :class:`~gpuenv.errors.ConfigurationError` where
    there is no ``[project]`` to write into, or where a table is not what it should be.
    """
    return _with(text, requirement, _place(text, extra=extra, group=group))


def with_package(text: str, requirement: str) -> str:
    """A profile that asks for one package more, or for another version of one."""
    return _with(text, requirement, ["packages"])


def _with(text: str, requirement: str, path: Sequence[str]) -> str:
    document = _parsed(text)
    entries = _list(document, path, make=True)
    assert entries is not None
    same = [place for place, each in enumerate(entries) if _key(str(each)) == _key(requirement)]
    if same:
        entries[same[0]] = requirement
        for place in reversed(same[1:]):
            del entries[place]
    else:
        entries.append(requirement)
        _on_lines_of_their_own(entries)
    return _rendered(document)


def without_requirement(text: str, name: str, *, extra: str | None = None, group: str | None = None) -> str:
    """A ``pyproject.toml`` that asks for none of a package in its dependencies, an extra or a group; the same text
    where it asked for none."""
    return _without(text, name, _place(text, extra=extra, group=group))


def without_package(text: str, name: str) -> str:
    """A profile that asks for none of a package, needed or optional; the same text where it asked for none."""
    return _without(_without(text, name, ["packages"]), name, ["optional-packages"])


def _without(text: str, name: str, path: Sequence[str]) -> str:
    import tomlkit
    from tomlkit.items import Array

    document = _parsed(text)
    entries = _list(document, path, make=False)
    wanted = canonicalize_name(name)
    gone = [place for place, each in enumerate(entries or ()) if _key(str(each))[0] == wanted]
    if not gone or entries is None:
        return text
    bare = isinstance(entries, Array) and _LAST_COMMA.search(entries.as_string()) is None
    for place in reversed(gone):
        del entries[place]
    if bare and isinstance(entries, Array) and (ended := _LAST_COMMA.sub(r"\1]", was := entries.as_string())) != was:
        above: Any = document  # Any: a table of the file
        for key in path[:-1]:
            above = above[key]
        above[path[-1]] = tomlkit.parse(f"list = {ended}")["list"]
    return _rendered(document)


def with_strings(text: str, change: Callable[[str], str]) -> str:
    """A ``pyproject.toml`` with each of its strings as ``change`` gives it, wherever it stands: a requirement in
    whatever list, the address of an index. An empty one is taken out of its list."""
    document = _parsed(text)
    for container, key, value in reversed(list(_strings(document))):
        changed = change(value)
        if changed == value:
            continue
        if changed:
            container[key] = changed
        else:
            del container[key]
    return _rendered(document)


def with_lines(text: str, replaced: Mapping[int, Callable[[str], str]]) -> str:
    """A requirements file with some of its logical lines changed, by the number of their first line (from 1). What
    changes one is given it without comment and continuation; the comment stays. An empty one is taken out."""
    lines = text.splitlines(keepends=True)
    for number in sorted(replaced, reverse=True):
        last = number
        while last < len(lines) and lines[last - 1].rstrip("\r\n").endswith("\\"):
            last += 1
        whole = "".join(each.rstrip("\r\n").removesuffix("\\") for each in lines[number - 1 : last])
        end = re.search(r"(\r?\n)?\Z", lines[last - 1])
        body, comment = _without_comment(whole)
        indent = body[: len(body) - len(body.lstrip())]
        changed = replaced[number](body.strip())
        ended = f"{indent}{changed}{comment}{end[0] if end else ''}"
        lines[number - 1 : last] = [ended] if changed or comment else []
    return "".join(lines)


def with_line(text: str, requirement: str) -> str:
    """A requirements file with one requirement more, or in place of the one on the same package."""
    for number, line in enumerate(text.splitlines(), start=1):
        body = _without_comment(line)[0].strip()
        if _key(body.partition(" --")[0]) == _key(requirement) and not body.startswith("-"):
            return with_lines(text, {number: lambda _: requirement})
    if text and not text.endswith("\n"):
        return f"{text}\n{requirement}"
    return f"{text}{requirement}\n"


def without_line(text: str, name: str) -> str:
    """A requirements file without the lines on one package; the same text where there are none."""
    wanted = canonicalize_name(name)
    numbered = ((number, _without_comment(line)[0].strip()) for number, line in enumerate(text.splitlines(), start=1))
    gone = [number for number, body in numbered if _key(body.partition(" --")[0].rstrip("\\ "))[0] == wanted]
    left = with_lines(text, {number: lambda _: "" for number in gone})
    return left if text.endswith("\n") else left.removesuffix("\n")


def difference(before: str, after: str, *, shown: str) -> str:
    """How a file changes, as a unified diff; empty where it does not."""
    lines = difflib.unified_diff(before.splitlines(), after.splitlines(), shown, shown, lineterm="", n=1)
    return "\n".join(lines)


def _parsed(text: str) -> TOMLDocument:
    import tomlkit
    from tomlkit.exceptions import TOMLKitError

    try:
        return tomlkit.parse(text)
    except (TOMLKitError, RecursionError, ValueError) as error:
        raise not_toml("pyproject.toml", text, error) from None


def _rendered(document: TOMLDocument) -> str:
    import tomlkit

    return tomlkit.dumps(document)


def _place(text: str, *, extra: str | None, group: str | None) -> list[str]:
    """The keys of the list that a requirement of a project stands in."""
    if group is None and "project" not in _parsed(text):
        raise ConfigurationError(
            "pyproject.toml: there is no [project] to write a requirement into",
            hints=("Name a group for it: `--group NAME`",),
        )
    path = ["dependency-groups", group] if group else ["project", "dependencies"]
    return ["project", "optional-dependencies", extra] if extra else path


def _list(document: TOMLDocument, path: Sequence[str], *, make: bool) -> Lists | None:
    """The list at some keys, made where it is missing and ``make`` says so."""
    import tomlkit

    table: object = document
    for place, name in enumerate(path):
        if not isinstance(table, MutableMapping):
            raise ConfigurationError(f"pyproject.toml: {'.'.join(map(str, path[:place]))} is not a table")
        key = next((each for each in table if canonicalize_name(str(each)) == canonicalize_name(str(name))), name)
        if key not in table:
            if not make:
                return None
            table[key] = tomlkit.array() if place == len(path) - 1 else tomlkit.table()
        table = table[key]
    if not isinstance(table, MutableSequence):
        raise ConfigurationError(f"pyproject.toml: {'.'.join(map(str, path))} is not a list")
    return table


def _on_lines_of_their_own(entries: Lists) -> None:
    """Give a list that grew past what fits on its line a line per entry, as formatters do."""
    from tomlkit.items import Array

    text = entries.as_string() if isinstance(entries, Array) else ""
    if isinstance(entries, Array) and "\n" not in text and len(text) > ONE_LINE:
        entries.multiline(multiline=True)


def _strings(node: object) -> Iterator[tuple[MutableMapping[object, object], object, str]]:
    """Every string of a document with its container and key."""
    rows = node.items() if isinstance(node, Mapping) else enumerate(node) if isinstance(node, MutableSequence) else ()
    for key, value in rows:
        if isinstance(value, str):
            yield node, key, str(value)  # type: ignore[misc] # a container of either kind takes its own keys
        else:
            yield from _strings(value)


def _key(text: str) -> tuple[str, str]:
    """What makes two requirements one: the package, and when it counts."""
    requirement = parse_requirement(text)
    if requirement is None:
        return "", text
    return canonicalize_name(requirement.name), str(requirement.marker or "")


def _without_comment(line: str) -> tuple[str, str]:
    found = re.search(r"(?:^|\s+)#.*\Z", line)
    return (line, "") if found is None else (line[: found.start()], line[found.start() :])
