"""The command line as people type it: options anywhere, typos answered, help that fits and can be typed back."""

from __future__ import annotations

import re
import shlex

import pytest

from gpuenv.cli import pages, parser, verbs
from gpuenv.cli.options import COMMON, COUNTED, GROUPED
from gpuenv.errors import UsageError

MADE = parser.build(verbs.load())
EXAMPLES = [(name, command) for name, module in verbs.load().items() for command, _ in module.EXAMPLES]


def hints(*words: str) -> tuple[str, tuple[str, ...]]:
    with pytest.raises(UsageError) as caught:
        parser.read(MADE, words)
    assert caught.value.exit_code == 2
    return caught.value.message, caught.value.hints


@pytest.mark.parametrize(
    ("words", "command"),
    [
        (["-v", "detect"], "detect"),
        (["--json", "detect"], "detect"),
        (["--profile", "cpu", "create"], "create"),
        (["--profile=cpu", "-q", "create", "there"], "create"),
        (["--evidence", "out", "create"], "create"),
        (["--no-verify", "create", "lock"], "create"),
        (["matrix", "--torch", "2.9", "5090"], "matrix"),
        (["--machine", "detect", "matrix"], "matrix"),
    ],
)
def test_options_stand_before_or_behind_the_verb(words: list[str], command: str) -> None:
    assert parser.read(MADE, words).command == command


@pytest.mark.parametrize(
    ("words", "own", "program"),
    [
        (["run", "python", "-c", "x", "--json"], None, ["python", "-c", "x", "--json"]),
        (["-v", "run", "--env", "there", "--", "--odd", "lock"], "there", ["--odd", "lock"]),
        (["run", "--env=there", "lock", "--env", "x"], "there", ["lock", "--env", "x"]),
        (["run", "--profile", "cpu", "train.py", "--", "-h"], None, ["train.py", "--", "-h"]),
        (["run"], None, []),
    ],
)
def test_what_stands_behind_run_is_another_program_s(words: list[str], own: str | None, program: list[str]) -> None:
    read = parser.read(MADE, words)
    assert (read.env and str(read.env), read.program) == (own, program)


def test_an_option_before_the_verb_means_what_it_means_behind() -> None:
    before = parser.read(MADE, ["-vv", "--gpu", "0", "--gpu", "1", "--find-links", "a", "create", "--find-links", "b"])
    assert (before.verbose, before.gpu, before.find_links) == (2, [0, 1], ["a", "b"])


@pytest.mark.parametrize(
    ("words", "message", "near"),
    [
        (["creat"], "unknown command creat", "Did you mean `gpuenv create`?"),
        (["-v", "detct"], "unknown command detct", "Did you mean `gpuenv detect`?"),
        (["install"], "unknown command install", "Did you mean `gpuenv create`?"),
        (["help", "creat"], None, "Did you mean `gpuenv create`?"),
        (["create", "--profle", "x"], "unknown option --profle", "Did you mean `--profile`?"),
        (["--profle", "x", "create"], "unknown option --profle", "Did you mean `--profile`?"),
        (["inspect", "--ofline"], "unknown option --ofline", "Did you mean `--offline`?"),
        (["lock", "--upgrde=torch"], "unknown option --upgrde", "Did you mean `--upgrade`?"),
        (["create", "--check"], "unknown option --check", "It is an option of `gpuenv lock`"),
        (["--chanel"], "unknown option --chanel", "Did you mean `--channel`?"),
        (["resolve", "--channel", "nightl"], "--channel must be one of", "Did you mean nightly?"),
        (["completions", "bsh"], "must be one of bash, zsh, fish", "Did you mean bash?"),
    ],
)
def test_a_typo_is_answered_with_what_was_meant(words: list[str], message: str | None, near: str) -> None:
    if message is None:
        with pytest.raises(UsageError) as caught:
            parser.page(MADE, words[1])
        said, hinted = caught.value.message, caught.value.hints
    else:
        said, hinted = hints(*words)
        assert message in said
    assert near in hinted, (said, hinted)


@pytest.mark.parametrize("words", [["-h"], ["--json", "--help"], ["-v", "--version"], ["--version", "-v"], ["-V"]])
def test_pages_are_shown_whatever_stands_beside(words: list[str]) -> None:
    with pytest.raises(parser.PageAsked) as asked:
        parser.read(MADE, words)
    assert "gpuenv" in asked.value.text


def test_what_is_like_nothing_gets_no_guess() -> None:
    assert hints("xyzzy") == ("unknown command xyzzy", ("Run `gpuenv help` for all commands",))
    assert hints("detect", "--xyzzy") == ("unknown option --xyzzy", ("Run `gpuenv detect --help`",))


@pytest.mark.parametrize(("name", "command"), EXAMPLES)
def test_every_example_of_help_can_be_typed(name: str, command: str) -> None:
    words = shlex.split(command.partition(" > ")[0])
    assert words[0] == "gpuenv"
    assert parser.read(MADE, words[1:]).command == name


@pytest.mark.parametrize("name", verbs.NAMES)
def test_the_help_of_a_verb_has_its_own_options_first_and_an_example(name: str) -> None:
    page = parser.page(MADE, name)
    own, _, common = page.partition("Common options")
    assert f"Usage: gpuenv {name}" in own
    for option in COMMON:
        own_form = option.name in getattr(verbs.load()[name], "OWN", ())
        assert bool(re.search(rf"^  --{option.name}\b", own, re.MULTILINE)) is own_form
        assert re.search(rf"--{option.name}\b", common)
    for spelled in pages.option_names(MADE.verbs[name]):
        assert spelled in page or spelled in COUNTED
    assert page.index("Examples:") > page.index("Common options")
    assert len(page.splitlines()) < 45
    with pytest.raises(parser.PageAsked) as asked:
        parser.read(MADE, [name, "--help"])
    assert asked.value.text == page
    assert asked.value.code == 0


def test_the_page_of_the_common_options_has_each_with_its_variable() -> None:
    page = parser.page(MADE, "options")
    assert all(f"--{option.name}" in page and f"[{option.variable}]" in page for option in COMMON)
    assert [line.rstrip(":").lower() for line in page.splitlines() if line.rstrip(":").lower() in GROUPED] == list(
        GROUPED
    )


def test_defaults_are_shown() -> None:
    assert "default: pylock" in parser.page(MADE, "lock")
    assert "default: text" in parser.page(MADE, "matrix")
    assert "default: auto" in parser.page(MADE, "options")


def test_the_whole_help_names_every_verb() -> None:
    page = parser.page(MADE, None)
    assert all(re.search(rf"^  {name} ", page, re.MULTILINE) for name in verbs.NAMES)
