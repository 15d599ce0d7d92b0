"""The console: the grammar of an error, what each level of quiet keeps, and when there is colour."""

from __future__ import annotations

import io
import re
import time

import pytest

from gpuenv.cli.console import Console, agreed

FRAME = re.compile(r"\r|\x1b\[2K")
"""What a terminal is told before it draws the same line anew."""


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def console(*, terminal: bool = False, environ: dict[str, str] | None = None, quiet: int = 0, verbose: int = 0):
    out, err = io.StringIO(), Terminal() if terminal else io.StringIO()
    made = Console(environ=environ or {}, out=out, err=err, quiet=quiet, verbose=verbose)
    return made, out, err


def speak(made: Console) -> None:
    made.say("a phase")
    made.warn("a surprise")
    made.detail("a detail")
    made.error("it failed", causes=("first",), hints=("type this",))
    made.result("the result")


def test_the_grammar_of_an_error() -> None:
    made, out, err = console()
    made.error("no index answered", causes=("status 503\nat noon", "nobody else"), hints=("Run `a`", "Run `b`"))
    assert err.getvalue() == (
        "error: no index answered\n"
        "  cause: status 503\n"
        "         at noon\n"
        "  cause: nobody else\n"
        "\n"
        "hint: Run `a`\n"
        "hint: Run `b`\n"
    )
    assert out.getvalue() == ""


def test_an_error_without_hints_ends_without_a_blank_line() -> None:
    made, _, err = console()
    made.error("it failed")
    assert err.getvalue() == "error: it failed\n"


@pytest.mark.parametrize(
    ("quiet", "verbose", "said", "result"),
    [
        (0, 0, ["a phase", "warning: a surprise", "error: it failed"], "the result\n"),
        (0, 1, ["a phase", "warning: a surprise", "a detail", "error: it failed"], "the result\n"),
        (1, 0, ["error: it failed"], "the result\n"),
        (2, 0, [], ""),
    ],
)
def test_what_each_level_keeps(quiet: int, verbose: int, said: list[str], result: str) -> None:
    made, out, err = console(quiet=quiet, verbose=verbose)
    speak(made)
    assert [line for line in err.getvalue().splitlines() if line and not line.startswith(("  cause", "hint"))] == said
    assert out.getvalue() == result


@pytest.mark.parametrize(
    ("terminal", "environ", "coloured"),
    [
        (True, {"TERM": "xterm"}, True),
        (True, {"TERM": "xterm", "NO_COLOR": "1"}, False),
        (True, {"TERM": "xterm", "NO_COLOR": ""}, True),
        (True, {"TERM": "dumb"}, False),
        (False, {"TERM": "xterm"}, False),
    ],
)
def test_colour_follows_the_stream_and_no_color(terminal: bool, environ: dict[str, str], coloured: bool) -> None:
    made, out, err = console(terminal=terminal, environ=environ)
    speak(made)
    assert ("\x1b[" in err.getvalue()) is coloured
    assert "\x1b[" not in out.getvalue()


def test_a_result_is_whole_lines_and_nothing_where_there_is_none() -> None:
    made, out, _ = console()
    made.result("")
    made.result("one")
    made.result("two\n")
    assert out.getvalue() == "one\ntwo\n"


def test_a_task_without_a_terminal_draws_nothing() -> None:
    made, out, err = console()
    with made.task("downloading", total=3, unit="B") as task:
        task.advance(1)
        task.update(total=5, text="more")
    assert (out.getvalue(), err.getvalue()) == ("", "")


def test_what_is_said_beside_a_task_stands_on_a_line_of_its_own() -> None:
    made, _, err = console(terminal=True, environ={"TERM": "xterm", "COLUMNS": "80"})
    with made.task("Installing 80 packages"):
        made.say("The locked torch is of 2026-01-21")
        made.warn("so it is")
    shown = re.sub(r"\r\x1b\[2K", "\n", err.getvalue())
    lines = [re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", line).strip() for line in shown.split("\n")]
    assert "The locked torch is of 2026-01-21" in lines
    assert "warning: so it is" in lines


@pytest.mark.parametrize(("total", "unit"), [(None, ""), (14, "steps"), (10_000_000, "B")])
def test_a_task_moves_by_itself_on_a_terminal(total: int | None, unit: str) -> None:
    """Whoever waits sees that something is alive, although the work says nothing."""
    made, _, err = console(terminal=True, environ={"TERM": "xterm", "COLUMNS": "60"})
    with made.task("Installing 80 packages", total=total, unit=unit):
        begin = time.monotonic()
        while len(set(FRAME.split(err.getvalue()))) < 5:
            assert time.monotonic() - begin < 60, repr(err.getvalue())
            time.sleep(0.05)


@pytest.mark.parametrize(
    ("typed", "answer"), [("y\n", True), ("Yes\n", True), ("\n", False), ("no\n", False), ("", None)]
)
def test_a_question_without_an_answer_is_not_a_no(
    monkeypatch: pytest.MonkeyPatch, typed: str, answer: bool | None
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(typed))
    assert agreed("Remove it?") is answer
