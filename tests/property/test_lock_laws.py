"""Laws of the lock's text: one lock, one text, and back."""

from __future__ import annotations

import tomllib
from datetime import UTC, datetime

from hypothesis import given, settings
from hypothesis import strategies as st
from packaging.pylock import Pylock
from packaging.version import Version

from gpuenv.lock.codec import parse, render
from gpuenv.lock.diff import diff
from gpuenv.lock.model import Lock, LockedPackage
from gpuenv.model.decision import GpuSupport
from gpuenv.model.machine import ComputeCapability
from support.dependencies import linux
from support.locks import decided, inputs, lock_of

words = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
names = st.from_regex(r"[a-z0-9]+(-[a-z0-9]+){0,2}", fullmatch=True).filter(lambda name: len(name) < 20)
versions = st.builds(
    lambda numbers, local: ".".join(map(str, numbers)) + (f"+{local}" if local else ""),
    st.lists(st.integers(0, 99), min_size=1, max_size=3),
    st.sampled_from(["", "cu128", "git9844da95", "cpu"]),
)
sha256s = st.text("0123456789abcdef", min_size=64, max_size=64)
times = st.none() | st.datetimes(datetime(1990, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC)).map(
    lambda moment: moment.isoformat()
)
drivers = st.lists(st.integers(0, 999), min_size=1, max_size=4).map(lambda parts: ".".join(map(str, parts)))
capabilities = st.builds(ComputeCapability, st.integers(1, 20), st.integers(0, 9))


@st.composite
def packages(draw: st.DrawFn) -> LockedPackage:
    name, version = draw(names), draw(versions)
    filename = f"{name.replace('-', '_')}-{version}-py3-none-any.whl"
    local = draw(st.booleans())
    return LockedPackage(
        name=name,
        version=version,
        filename=filename,
        url=None if local else f"https://host.example/{filename.replace('+', '%2B')}",
        path=f"/srv/{filename}" if local else None,
        sha256=draw(sha256s),
        size=draw(st.none() | st.integers(1, 10**10)),
        upload_time=draw(times),
        hash_origin=draw(st.sampled_from(["index", "first-download", "computed", "resolver"])),
        source=draw(st.sampled_from(["pytorch", "mirror", "package-index", "find-links"])),
        family=draw(st.booleans()),
        requires=tuple(draw(st.lists(words, max_size=3))),
        git=draw(st.none() | sha256s),
    )


@st.composite
def locks(draw: st.DrawFn) -> Lock:
    supports = st.builds(
        GpuSupport,
        index=st.integers(0, 9),
        name=words,
        compute_capability=capabilities,
        support=st.sampled_from(["native", "ptx"]),
        by=words,
    )
    return lock_of(
        *draw(st.lists(packages(), max_size=4, unique_by=lambda package: package.name)),
        command=draw(words),
        inputs=inputs(
            profile=draw(words),
            sources=tuple(draw(st.lists(words, max_size=2))),
            cutoff=draw(times),
            target=linux(
                compute_capabilities=tuple(draw(st.lists(capabilities, max_size=3))), driver=draw(st.none() | drivers)
            ),
        ),
        decision=decided(
            because=tuple(draw(st.lists(words, max_size=3))),
            warnings=tuple(draw(st.lists(words, max_size=3))),
            least_driver=draw(st.none() | drivers),
            single_source=draw(st.booleans()),
            gpus=tuple(draw(st.lists(supports, max_size=2, unique_by=lambda gpu: gpu.index))),
        ),
    )


@settings(max_examples=60, deadline=None)
@given(locks())
def test_reading_what_was_written_gives_the_lock_back(lock: Lock) -> None:
    assert parse(render(lock), origin="x") == lock


@settings(max_examples=60, deadline=None)
@given(locks())
def test_every_lock_is_valid_pep_751(lock: Lock) -> None:
    pylock = Pylock.from_dict(tomllib.loads(render(lock)))
    assert [package.name for package in pylock.packages] == [package.name for package in lock.packages]


@settings(max_examples=60, deadline=None)
@given(locks(), st.randoms(use_true_random=False))
def test_same_values_in_any_order_give_the_same_bytes(lock: Lock, order: object) -> None:
    shuffled = list(lock.packages)
    order.shuffle(shuffled)  # type: ignore[attr-defined]  # hypothesis's Random has no public type
    again = lock_of(*shuffled, command=lock.command, inputs=lock.inputs, decision=lock.decision)
    assert render(again).encode() == render(lock).encode()


@settings(max_examples=60, deadline=None)
@given(locks())
def test_lines_are_written_for_a_diff(lock: Lock) -> None:
    text = render(lock)
    assert "\r" not in text
    assert text.endswith("\n")
    assert text.count("\nwheels = [{ name = ") == len(lock.packages)


def files(lock: Lock) -> set[tuple[str, Version, str]]:
    return {(each.name, Version(each.version), each.sha256) for each in lock.packages}


@settings(max_examples=60, deadline=None)
@given(locks(), locks())
def test_a_diff_is_empty_only_for_the_same_files(one: Lock, other: Lock) -> None:
    assert not diff(one, one)
    same = files(one) == files(other)
    assert bool(diff(one, other)) != same
    assert [change.name for change in diff(one, other).changes] == [change.name for change in diff(other, one).changes]
