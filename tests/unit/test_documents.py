"""Every text that is no document is one error with a reason."""

from __future__ import annotations

import pytest

from gpuenv.documents import DocumentError, parse_json, parse_toml

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
