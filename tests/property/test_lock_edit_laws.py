"""Every lock that is written passes its own audit, and no edit of one place of it installs something else unseen."""

from __future__ import annotations

import copy
import tomllib
from collections.abc import Iterator
from typing import Any

import tomlkit
from hypothesis import given, settings
from hypothesis import strategies as st

from gpuenv import knowledge as tables
from gpuenv.errors import ConfigurationError, IntegrityError
from gpuenv.lock.codec import parse, render
from gpuenv.lock.making import profile_digest
from gpuenv.lock.model import Lock
from gpuenv.lock.soundness import faults_of
from gpuenv.model.profile import Profile
from support.locks import decided, inputs, lock_of, package

KNOWLEDGE = tables.load()
FILES = "https://files.example/packages"
Path = tuple[str | int, ...]
Document = dict[str, Any]  # Any: what TOML holds


@st.composite
def closures(draw: st.DrawFn) -> tuple[Lock, Profile]:
    """A lock as the writer makes it of a family and a tree of packages, each needed by one before it or asked for."""
    count = draw(st.integers(0, 4))
    needed_by = [draw(st.integers(-1, number - 1)) for number in range(count)]  # -1: by torch
    asked = draw(st.sets(st.sampled_from(range(count)))) if count else set()
    needs: dict[int, list[str]] = {number: [] for number in range(-1, count)}
    for number, who in enumerate(needed_by):
        if number not in asked:
            needs[who].append(f"p{number}")
    triton = draw(st.booleans())
    requires = tuple(f"{name}>=0.5" for name in needs[-1]) + (("triton==3.6.0",) if triton else ())
    torch = package(
        "torch", "2.10.0+cu128", family=True, requires=requires, tag="cp312-cp312-manylinux_2_28_x86_64",
        dependencies=tuple(sorted([*needs[-1], *(["triton"] if triton else [])])), sha256="a" * 64,
    )  # fmt: skip
    rows = [torch] + ([package("triton", "3.6.0", family=True, dependencies=(), sha256="b" * 64)] if triton else [])
    for number in range(count):
        version = f"{draw(st.integers(1, 9))}.{draw(st.integers(0, 9))}"
        url = f"{FILES}/p{number}-{version}-py3-none-any.whl"
        row = package(
            f"p{number}", version, url=url, source="package-index", dependencies=tuple(needs[number]),
            sha256=f"{number}" * 64,
        )  # fmt: skip
        rows.append(row)
    names = ("torch", *(f"p{number}>=1" for number in sorted(asked)))
    profile = Profile(name="blackwell", origin="test", description="", accelerator="cuda", packages=names)
    hosts = ("files.example",) if count else ()
    made = lock_of(
        *sorted(rows, key=lambda row: row.name),
        inputs=inputs(
            profile_digest=profile_digest(profile), family_hosts=("download.pytorch.org",), package_hosts=hosts
        ),
        decision=decided(family=("torch==2.10.0+cu128",)),
    )
    return made, profile


def places(value: object, path: Path = ()) -> Iterator[Path]:
    """Every table, list and leaf of a document."""
    if path:
        yield path
    if isinstance(value, dict):
        for key, each in value.items():
            yield from places(each, (*path, key))
    elif isinstance(value, list):
        for number, each in enumerate(value):
            yield from places(each, (*path, number))


def edits(document: Document, path: Path) -> Iterator[Document]:
    """The document with one place removed, doubled, or given another value of its own kind."""
    *above, last = path

    def edited(value: object, *, remove: bool = False) -> Document:
        made = copy.deepcopy(document)
        holder: Any = made
        for step in above:
            holder = holder[step]
        if remove:
            del holder[last]
        else:
            holder[last] = value
        return made

    old: Any = document
    for step in path:
        old = old[step]
    yield edited(None, remove=True)
    match old:
        case bool():
            yield edited(not old)
        case int():
            yield from (edited(old + 1), edited(0))
        case str():
            others = ("9.9", "evil", "https://evil.example/evil-9.9-py3-none-any.whl", "f" * 64, "3.9", "cpu")
            yield from (edited(each) for each in (*others, f"{old}x", old[:-1], old.upper()) if each != old)
        case list():
            yield edited([])
            yield edited([*old, *old[:1]])
            if old and isinstance(old[0], str):
                yield edited([*old, "evil>=1"])


def installed(lock: Lock) -> object:
    """What a build makes of a lock: names, versions, where each file comes from, and the interpreter.

    The address of a file may change on its own host: what arrives is compared with the hash, and another hash with
    what arrives (exit code 5, ``test_a_wheel_whose_hash_differs``).
    """
    rows = [(each.name, each.version, each.filename, each.path, each.family) for each in lock.packages]
    return sorted(rows, key=str), lock.inputs.target.python


def verdict(text: str, profile: Profile) -> Lock | None:
    """The lock as it would be used; ``None`` where it is refused."""
    try:
        lock = parse(text, origin="lock")
    except (ConfigurationError, IntegrityError):
        return None
    return None if faults_of(lock, profile=profile, knowledge=KNOWLEDGE) else lock


@settings(max_examples=40, deadline=None)
@given(closures())
def test_every_lock_that_is_written_passes_its_own_audit(made: tuple[Lock, Profile]) -> None:
    lock, profile = made
    read = parse(render(lock), origin="lock")
    assert faults_of(read, profile=profile, knowledge=KNOWLEDGE) == ()
    assert faults_of(read, profile=None, knowledge=KNOWLEDGE) == ()


@settings(max_examples=4, deadline=None)
@given(closures())
def test_an_edit_of_one_place_is_refused_or_installs_the_same(made: tuple[Lock, Profile]) -> None:
    """The edits come from the document itself: every key, row and value it holds."""
    lock, profile = made
    document = tomllib.loads(render(lock))
    wanted, slipped, refused = installed(lock), [], 0
    for path in places(document):
        for edit in edits(document, path):
            used = verdict(tomlkit.dumps(edit), profile)
            refused += used is None
            if used is not None and installed(used) != wanted:
                slipped.append(path)
    assert slipped == []
    assert refused > 100
