"""What reaches a terminal: as wide as it is, in characters it has, and nothing that moves its cursor."""

from __future__ import annotations

import json
import os
import pty
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from gpuenv.cli.app import VERBS
from support.cli import Person, command, machine_json
from support.index_server import IndexServer
from support.wheels import build_wheel, torch_wheel

PYTHON = f"{sys.version_info.major}{sys.version_info.minor}"
TAG = f"cp{PYTHON}-cp{PYTHON}-manylinux_2_28_x86_64"
ESCAPE = "\x1b]0;owned\x07\x1b[31m\u202e"


@pytest.fixture(scope="module")
def index() -> Iterator[IndexServer]:
    with IndexServer() as server:
        server.add(torch_wheel("2.10.0", "cpu", tag=TAG, requires=["filelock"]), folder="cpu")
        server.add_package(build_wheel("filelock", "3.0"))
        yield server


@pytest.fixture(scope="module")
def person(tmp_path_factory: pytest.TempPathFactory, index: IndexServer) -> Person:
    """A project with a lock and an environment, a machine file, and a profile with a description of any character."""
    person = Person.at(tmp_path_factory.mktemp("terminal"))
    person.write("machine.json", machine_json("12.0"))
    person.write("profiles/mine.toml", 'description = "Größe → 3 × 名前 …"\npackages = ["torch"]\n')
    where = ("--profile", "cpu", "--torch-index", index.torch_index, "--index", index.default_index)
    assert person.run("create", "--no-verify", *where).code == 0
    return person


def runs(index: IndexServer) -> list[tuple[str, ...]]:
    """Every verb as a person runs it here, and what it says when it fails."""
    where = ("--profile", "cpu", "--torch-index", index.torch_index, "--index", index.default_index)
    explained = ("resolve", "--explain", "--profile", "blackwell", "--machine", "machine.json", *where[2:])
    return [
        ("detect",),
        ("resolve", *where),
        explained,
        ("lock", "--dry-run", "-U", *where),
        ("verify", ".venv-gpu"),
        ("doctor", ".venv-gpu"),
        ("run",),
        ("list",),
        ("remove", "--env", ".venv-gpu", "--dry-run"),
        ("kernel",),
        ("add", "=1"),
        ("check", "lockfiles/pylock.cpu.toml"),
        ("export", "--format", "dockerfile", "--profile", "cpu"),
        ("inspect", f"{index.torch_index}/cpu/torch-2.10.0%2Bcpu-{TAG}.whl"),
        ("matrix",),
        ("matrix", "9.0", "--platform", "all"),
        ("matrix", "--here", "--machine", "machine.json"),
        ("profiles",),
        ("diff", "lockfiles/pylock.cpu.toml", ".venv-gpu"),
        ("evidence", "verify", "gone"),
        ("fleet", "report"),
        ("store",),
        ("cache", "size"),
        ("completions", "zsh"),
        *((verb, "--help") for verb in VERBS),
        ("help",),
        ("help", "options"),
        ("creat",),
        ("matrix", "no such → card"),
    ]


@pytest.mark.parametrize("encoding", ["ascii", "cp1252"])
def test_every_code_page_takes_every_output(encoding: str, person: Person, index: IndexServer) -> None:
    for words in runs(index):
        for form in ((), ("--json",)):
            done = subprocess.run(
                command(*words, *form),
                cwd=person.project,
                env=person.world(PYTHONIOENCODING=encoding),
                capture_output=True,
                check=False,
                timeout=300,
            )
            said = (done.stdout + done.stderr).decode(encoding)
            assert done.returncode != 70, said
            assert "UnicodeEncodeError" not in said
            if form and "--help" not in words:
                json.loads(done.stdout.decode(encoding))


def on_a_terminal(person: Person, *words: str, columns: int, **environ: str) -> str:
    """What a command shows on a terminal of so many columns, both streams."""
    ours, theirs = pty.openpty()
    told = {"TERM": "dumb", "PYTHONIOENCODING": "utf-8", "PAGER": "cat"} | environ
    world = person.world(COLUMNS=str(columns), **told)
    process = subprocess.Popen(
        command(*words), cwd=person.project, env=world, stdin=theirs, stdout=theirs, stderr=theirs
    )
    os.close(theirs)
    seen = b""
    try:
        while part := os.read(ours, 65536):
            seen += part
    except OSError:  # Linux: the other end is closed
        pass
    finally:
        os.close(ours)
        process.wait(timeout=300)
    return seen.decode("utf-8").replace("\r\n", "\n")


@pytest.mark.parametrize("columns", [40, 80, 120])
def test_nothing_is_wider_than_the_terminal_but_words_that_are(
    columns: int, person: Person, index: IndexServer
) -> None:
    for words in runs(index):
        if words[0] in ("completions", "export"):
            continue  # the text of a file
        shown = on_a_terminal(person, *words, columns=columns)
        for line in shown.splitlines():
            one_word = len(re.sub(r"`[^`]*`", "`x`", line).split()) == 1
            assert len(line) <= columns or one_word, (words, line)


def test_words_are_whole_at_every_width(person: Person) -> None:
    for words in (("help",), ("help", "options"), *((verb, "--help") for verb in VERBS)):
        shown = {columns: on_a_terminal(person, *words, columns=columns).split() for columns in (400, 40)}
        assert shown[40] == shown[400] != [], words


def test_a_pipe_gets_each_line_whole(person: Person) -> None:
    piped = person.run("matrix", COLUMNS="40").out
    assert max(map(len, piped.splitlines())) > 120
    assert person.run("matrix", COLUMNS="200").out == piped


def test_a_name_cannot_move_the_cursor(person: Person) -> None:
    described = ESCAPE.replace("\x1b", "\\u001b").replace("\x07", "\\u0007")
    path = person.write("profiles/hostile.toml", f'description = "{described}"\npackages = ["torch"]\n')
    try:
        for words in (("profiles",), ("matrix", f"{ESCAPE}")):
            shown = on_a_terminal(person, *words, columns=80)
            assert r"\x1b]0;owned\x07\x1b[31m\u202e" in "".join(shown.split("\n")).replace("  ", ""), words
            assert shown.replace("\n", "").isprintable(), words
    finally:
        path.unlink()


def test_a_long_explanation_is_paged_on_a_terminal_and_nowhere_else(person: Person, index: IndexServer) -> None:
    pager = person.write("pager.sh", "#!/bin/sh\necho PAGED\ncat\n")
    pager.chmod(0o755)
    explain = next(words for words in runs(index) if "--explain" in words)

    def shown(*words: str, lines: int = 5) -> str:
        return on_a_terminal(person, *words, columns=80, TERM="xterm", LINES=str(lines), PAGER=str(pager))

    paged = shown(*explain)
    assert paged.count("PAGED") == 1
    assert "rejected" in paged or "variant:" in paged
    assert "PAGED" not in shown(*explain, lines=500)
    assert "PAGED" not in shown(*explain, "--json")
    assert "PAGED" not in shown("matrix")
    piped = person.run(*explain, LINES="5", PAGER=str(pager))
    assert "PAGED" not in piped.out
    assert piped.out


def test_an_explanation_about_one_package_holds_nothing_of_others(person: Person, index: IndexServer) -> None:
    explain = [each for each in next(words for words in runs(index) if "--explain" in words) if each != "--explain"]
    whole, part = (person.run(*explain, *more) for more in (["--explain"], ["--about", "torch==2.10"]))
    assert "torch 2.10.0+cpu" in part.out
    assert part.code == whole.code
    none = person.run(*explain, "--about", "torch==1")
    assert none.code == 2
    assert "2.10.0+cpu" in none.err


def test_every_verb_is_tried_here(index: IndexServer) -> None:
    assert {words[0] for words in runs(index) if "--help" not in words} >= set(VERBS) - {"create"}, (
        "a new verb: add a run of it above"
    )


def test_hostile_folder_names_are_shown(tmp_path: Path) -> None:
    """A file's name that is no UTF-8 reaches both forms of output."""
    person = Person.at(tmp_path)
    name = os.fsdecode(b"bad-\xff\x1b[31m.whl")
    for form in ((), ("--json",)):
        run = person.run("inspect", name, *form)
        assert run.code in (2, 4), run.err
        assert "\x1b" not in run.out + run.err
