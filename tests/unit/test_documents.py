"""Every text that is no document is one error with a reason."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from gpuenv import profile as profiles
from gpuenv.documents import DocumentError, parse_json, parse_toml
from gpuenv.errors import ConfigurationError
from gpuenv.lock.codec import parse as parse_lock
from gpuenv.project.conda import _entries as environment_entries
from gpuenv.project.conda_lock import _yaml as conda_lock_yaml
from gpuenv.project.requirements_file import FilePlace, parse_stated
from gpuenv.project.tables import document

DIGITS = "9" * 4400


@pytest.mark.parametrize(
    ("text", "reason", "place"),
    [
        ("{", "Expecting property name enclosed in double quotes", "line 1, column 2"),
        ("[" * 100_000, "it is nested too deeply", ""),
        (f'{{"a":\n{DIGITS}}}', "it holds a number of 1,000 digits or more on line 2", ""),
        (f'{{"a": "1.{DIGITS}"}}', "it holds a number of 1,000 digits or more on line 1", ""),
        ("[NaN]", "NaN is not a number in JSON", ""),
        ("[-Infinity]", "-Infinity is not a number in JSON", ""),
    ],
)
def test_what_is_no_json(text: str, reason: str, place: str) -> None:
    with pytest.raises(DocumentError) as caught:
        parse_json(text)
    assert (str(caught.value), caught.value.place) == (reason, place)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("a = ", "Invalid value (at end of document)"),
        ("a = " + "[" * 100_000, "it is nested too deeply"),
        (f"a = 1\nb = {DIGITS}", "it holds a number of 1,000 digits or more on line 2"),
        (f'torch = "=={DIGITS}"', "it holds a number of 1,000 digits or more on line 1"),
    ],
)
def test_what_is_no_toml(text: str, reason: str) -> None:
    with pytest.raises(DocumentError) as caught:
        parse_toml(text)
    assert str(caught.value) == reason


def test_objects_are_made_by_whoever_asks() -> None:
    assert parse_json('{"a": 1, "a": 2}', pairs=list) == [("a", 1), ("a", 2)]


MERGED = "name: x\n<<<<<<< HEAD\na = 1\n=======\na = 2\n>>>>>>> theirs\n"


@pytest.mark.parametrize(
    "read",
    [
        lambda text: profiles.parse_profile(text, name="p", origin="file"),
        lambda text: parse_lock(text, origin="file"),
        lambda text: document(text, "file"),
        lambda text: conda_lock_yaml(text, "file"),
        lambda text: environment_entries(text, "file"),
    ],
)
def test_a_merge_conflict_is_named_with_its_line(read: Callable[[str], object]) -> None:
    with pytest.raises(ConfigurationError) as caught:
        read(MERGED)
    assert caught.value.message == "file:2: a merge conflict stands here unresolved (<<<<<<<)"
    assert "remove the lines of marks" in caught.value.hints[0]


def test_a_merge_conflict_among_requirements() -> None:
    with pytest.raises(ConfigurationError, match=r"requirements.txt:7: a merge conflict"):
        parse_stated("<<<<<<< HEAD", FilePlace(file="requirements.txt", line=7))
