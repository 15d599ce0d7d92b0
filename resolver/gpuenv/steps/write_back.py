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
from gpuenv.lock.recorded import is_library
from gpuenv.metadata import parse_requirement
from gpuenv.model.asked import Asked, Stated
from gpuenv.project import writing
from gpuenv.steps.context import Context
from gpuenv.steps.lock_options import recorded_options
from gpuenv.steps.project import asked_of, given_up, read_again
from gpuenv.system.files import read_text, write_edited

_INDEX = re.compile(r"(/whl/(?:nightly/|test/)?)(cu\d{2,4}|cpu)(?=/?$)")


def require_relax(context: Context, *, write: bool) -> None:
    """Refuse ``--write`` where nothing is given up that could be written."""
    if write and not context.options.relax:
        raise UsageError("--write writes what --relax gave up, and nothing is", hints=("Add --relax NAME",))


def write_back(context: Context, lock: Lock, *, dry_run: bool) -> Lock:
    """Write the locked versions into the files whose bounds were given up, and show how each file changes.

    Comments, order and everything else stay. What stands in no file that is ours to write is named. Returns the lock as
    one of the files as they are now: what they ask for again is given up no longer.
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
            write_edited(path, after, what="the file to write")
    return lock if dry_run else _of_the_files(context, lock)


def _of_the_files(context: Context, lock: Lock) -> Lock:
    now = read_again(context)
    kept = tuple(name for name in context.options.relax if not _met(now, given_up(now, (name,)), lock))
    options = recorded_options(replace(context.options, relax=kept))
    command = re.sub(r" --relax (?:'[^']*'|\S+)", "", lock.command) + "".join(f" --relax {name}" for name in kept)
    return replace(lock, command=command, inputs=replace(lock.inputs, requirements=now.recorded, options=options))


def _met(now: Asked, names: frozenset[str], lock: Lock) -> bool:
    """Whether a lock has what the files ask of ``names``."""
    for row in now.stated:
        requirement = Requirement(row.text)
        package = lock.by_name.get(canonicalize_name(requirement.name))
        if canonicalize_name(requirement.name) not in names or package is None:
            continue
        if not requirement.specifier.contains(package.version, prereleases=True):
            return False
        if requirement.url is not None and package.url != requirement.url.partition("#")[0]:
            return False
    return "torch" not in names or all(build.variant == lock.decision.variant for build in now.builds)


Change = Callable[[str], str]


def _changes(before: Asked, names: frozenset[str], lock: Lock) -> dict[str, dict[int, Change]]:
    """What each file's lines become, by file and line."""
    found: dict[str, dict[int, Change]] = {}
    for row in before.stated:
        name = canonicalize_name(Requirement(row.text).name)
        dropped = "torch" in names and is_library(name)
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
