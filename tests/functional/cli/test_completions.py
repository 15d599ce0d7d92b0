"""Completion scripts: whole, and what a real bash makes of them."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from gpuenv.cli import pages, parser, verbs
from support.cli import Person

MADE = parser.build(verbs.load())


@pytest.fixture
def person(tmp_path: Path) -> Person:
    return Person.at(tmp_path)


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_script_names_every_verb_and_option(shell: str, person: Person) -> None:
    run = person.run("completions", shell)
    assert run.code == 0, run.err
    assert run.err == ""
    names = {name for verb in MADE.verbs.values() for name in pages.option_names(verb)}
    missing = [name for name in (*verbs.NAMES, *names) if name.lstrip("-") not in run.out]
    assert missing == []


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_shell_itself_reads_the_script(shell: str, person: Person) -> None:
    program = shutil.which(shell)
    if program is None:
        pytest.skip(f"{shell} is not here")
    script = person.write("completion", person.run("completions", shell).out)
    read = subprocess.run([program, "-n", script], capture_output=True, text=True, check=False, env=person.world())
    assert (read.returncode, read.stderr) == (0, "")


COMPLETE = """
source "$1"; shift
rule=$(complete -p gpuenv); rule=${rule##*-F }; rule=${rule%% *}
COMP_WORDS=("$@"); COMP_CWORD=$(( $# - 1 )); COMP_LINE="$*"; COMP_POINT=${#COMP_LINE}
"$rule" gpuenv "${COMP_WORDS[COMP_CWORD]}" "${COMP_WORDS[COMP_CWORD-1]}"
printf '%s\\n' "${COMPREPLY[@]}"
"""


@pytest.mark.parametrize(
    ("typed", "expected"),
    [
        (("gpuenv", "cre"), {"create"}),
        (("gpuenv", "d"), {"detect", "doctor", "diff"}),
        (("gpuenv", "create", "--no-v"), {"--no-verify"}),
        (("gpuenv", "lock", "--upg"), {"--upgrade", "--upgrade-package"}),
        (("gpuenv", "resolve", "--channel", "n"), {"nightly"}),
        (("gpuenv", "matrix", "--here", "--form"), {"--format"}),
    ],
)
def test_bash_completes(typed: tuple[str, ...], expected: set[str], person: Person) -> None:
    bash = shutil.which("bash")
    if bash is None:
        pytest.skip("bash is not here")
    script = person.write("completion", person.run("completions", "bash").out)
    done = subprocess.run(
        [bash, "--norc", "-c", COMPLETE, "bash", script, *typed],
        capture_output=True, text=True, check=False, env=person.world(),
    )  # fmt: skip
    assert set(done.stdout.split()) == expected, done.stderr
