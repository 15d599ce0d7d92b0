"""Text in forty columns and in old code pages: nothing broken, nothing lost, no cursor moved."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpuenv.cli.layout import NARROWEST, Table, Verbatim, columns_of, encodable, lines_of, wrapped
from gpuenv.report import visible

WORDS = st.lists(st.text("abcdefgh-/.:=", min_size=1, max_size=NARROWEST - 14), min_size=1, max_size=30)
COMMAND = "`gpuenv create --profile cpu`"


@given(words=WORDS, width=st.integers(NARROWEST, 120), indent=st.integers(0, 12))
def test_wrapped_lines_fit_and_hold_the_same_words(words: list[str], width: int, indent: int) -> None:
    line = " " * indent + " ".join(words)
    lines = wrapped(line, width)
    assert " ".join(lines).split() == words
    assert all(columns_of(each) <= width for each in lines)


@pytest.mark.parametrize("width", [40, 60, 80, 120])
def test_commands_and_addresses_are_never_broken(width: int) -> None:
    address = "https://example.org/whl/cu128/" + "x" * 60
    lines = wrapped(f"hint: To see it all, run {COMMAND} or {COMMAND}, then look at {address} and wait", width)
    assert sum(each.count(COMMAND) for each in lines) == 2
    assert any(address in each for each in lines)
    assert all(columns_of(each) <= width or address in each for each in lines)


def test_what_follows_hangs_below_its_column() -> None:
    lines = wrapped("passed   gpus  one NVIDIA H200 with code for sm_90 in the installed libraries", 44)
    assert lines[0].startswith("passed   gpus  one")
    assert all(re.match(r" {15}\S", each) for each in lines[1:])


def test_a_file_is_never_wrapped_and_prose_in_a_pipe_is_not() -> None:
    text = "word " * 40
    assert list(lines_of(Verbatim(text), 40)) == [text]
    assert list(lines_of(text, None)) == [text]
    assert len(list(lines_of(text, 40))) > 1


TABLE = Table(heading=(("torch", "variant"),), rows=(("2.10.0", "cu128" * 10), ("2.9.0", "cu126")), title="GPU")


def test_a_table_that_does_not_fit_becomes_blocks_with_every_cell() -> None:
    assert list(TABLE.lines(None))[1] == "torch   variant"
    assert "".join(TABLE.lines(80)).count("─") > 6
    narrow = list(TABLE.lines(40))
    assert narrow[:2] == ["GPU", "2.10.0"]
    assert "─" not in "".join(narrow)
    assert all(cell in " ".join(narrow) for row in TABLE.rows for cell in row)


def test_control_characters_are_written_out() -> None:
    hostile = "RTX\x1b]0;owned\x07 \x9b31m \x7f \r \u202e \u2028 5090"
    shown = visible(hostile)
    assert shown == r"RTX\x1b]0;owned\x07 \x9b31m \x7f \r \u202e \u2028 5090"
    assert shown.isprintable()


@pytest.mark.parametrize("encoding", ["ascii", "cp1252", "cp437", "latin-1", "utf-8"])
def test_every_code_page_takes_what_is_written(encoding: str) -> None:
    text = "2.7.0 – 2.11.0 → sm_90 … ≥ 3 × “q” ─ 名前 \udc80 é"
    encodable(text, encoding).encode(encoding)
    assert encodable("plain", encoding) == "plain"


def test_equivalents_say_the_same() -> None:
    assert encodable("a → b … 3 × c ≥ d – e ─ f", "ascii") == "a -> b ... 3 x c >= d - e - f"
