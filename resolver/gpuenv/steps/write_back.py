"""What ``--relax`` gave up, written into the files that said it: the versions that were locked in their place."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

from gpuenv.errors import UsageError
from gpuenv.lock.model import Lock
from gpuenv.metadata import parse_requirement
from gpuenv.model.asked import Asked, Stated
from gpuenv.project import lines, writing
from gpuenv.steps.context import Context
from gpuenv.steps.project import asked_of, given_up
from gpuenv.system.files import read_text, write_atomic

_INDEX = re.compile(r"(/whl/(?:nightly/|test/)?)(cu\d{2,4}|cpu)(?=/?$)")


def require_relax(context: Context, *, write: bool) -> None:
    """Refuse ``--write`` where nothing is given up that could be written."""
    if write and not context.options.relax:
        raise UsageError("--write writes what --relax gave up, and nothing is", hints=("Add --relax NAME",))


def write_back(context: Context, lock: Lock, *, dry_run: bool) -> None:
    """Write the locked versions into the files whose bounds were given up, and show how each file changes.

    Comments, order and everything else stay. What stands in no file that is ours to write is named.
    """
    before = asked_of(replace(context, options=replace(context.options, relax=())))
    names = given_up(before, context.options.relax)
    changes = _changes(before, names, lock)
    for shown, by_line in sorted(changes.items()):
        path = context.project / shown
        if not path.is_file():
            context.reporter.warn(f"{shown} is no file: what it asks for is not written")
            continue
        text = read_text(path, what="the file to write", shown=shown)
        after = _written(path, text, by_line)
        change = writing.difference(text, after, shown=shown)
        for line in change.splitlines():
            context.reporter.say(line)
        if after != text and not dry_run:
            write_atomic(path, after, what="the file to write")


Change = Callable[[str], str]


def _changes(before: Asked, names: frozenset[str], lock: Lock) -> dict[str, dict[int, Change]]:
    """What each file's lines become, by file and line."""
    found: dict[str, dict[int, Change]] = {}
    for row in before.stated:
        name = canonicalize_name(Requirement(row.text).name)
        dropped = "torch" in names and lines.is_library(name)
        if name in names or dropped:
            new = "" if dropped else _requirement(row, lock)
            if new != row.text:
                _put(found, row.place, partial(_replaced, old=row.text, new=new, lock=lock))
    if "torch" in names:
        for build in before.builds:
            _put(found, build.place, partial(_INDEX.sub, rf"\g<1>{lock.decision.variant}"))
    return found


def _put(found: dict[str, dict[int, Change]], place: str, change: Change) -> None:
    file, _, line = place.rpartition(":")
    file, number = (file, int(line)) if file and line.isdecimal() else (place, 0)
    found.setdefault(file, {})[number] = change


def _requirement(row: Stated, lock: Lock) -> str:
    """The line with the version that was locked: an exact one where it was exact, else from that version on; the same
    where what was locked is within it, or where the package is not locked here."""
    requirement = Requirement(row.text)
    package = lock.by_name.get(canonicalize_name(requirement.name))
    if package is None:
        return row.text
    if requirement.url is not None:
        return f"{requirement.name} @ {package.url}" if package.url else row.text
    if not str(requirement.specifier) or requirement.specifier.contains(package.version, prereleases=True):
        return row.text
    exact = any(each.operator in ("==", "===") for each in requirement.specifier)
    local = any("+" in each.version for each in requirement.specifier)
    version = package.version if local else str(Version(package.version).public)
    extras = f"[{','.join(sorted(requirement.extras))}]" if requirement.extras else ""
    marker = f"; {requirement.marker}" if requirement.marker is not None else ""
    return f"{requirement.name}{extras}{'==' if exact else '>='}{version}{marker}"


def _replaced(text: str, *, old: str, new: str, lock: Lock) -> str:
    """A text that says ``old`` in whatever spelling, saying ``new``; any other text as it is. A line's own hashes are
    those of the locked file."""
    stated, dashes, options = text.partition(" --")
    listed = re.match(r"(-\s+)?([\"']?)(.*?)\2\s*\Z", stated)
    head, quote, bare = (listed[1] or "", listed[2], listed[3]) if listed else ("", "", stated)
    requirement = parse_requirement(bare)
    if requirement is None or str(requirement) != old:
        return text
    package = lock.by_name.get(canonicalize_name(requirement.name))
    if "hash=" in options and package is not None:
        options = f"hash=sha256:{package.sha256}"
    return f"{head}{quote}{new}{quote}{dashes}{options}" if new else ""


def _written(path: Path, text: str, by_line: Mapping[int, Change]) -> str:
    if path.suffix != ".toml":
        return writing.with_lines(text, by_line)

    def each(value: str) -> str:
        for change in by_line.values():
            value = change(value) if value else value
        return value

    return writing.with_strings(text, each)
