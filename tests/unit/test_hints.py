"""Every command that a message or a page tells a person to type exists: it is given to the real parser.

Read from the sources: string literals (f-strings with a word for each placeholder) and Markdown pages.
"""

from __future__ import annotations

import ast
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest

from gpuenv.cli import parser, verbs
from gpuenv.cli.options import COMMON

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "resolver" / "gpuenv"
PAGES = [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("lockfiles/*.md"), *ROOT.glob("tests/gpu/*.md")]

COMMAND = re.compile(r"\bgpuenv (?:" + "|".join(verbs.NAMES) + r"|-)")
IN_BACKTICKS = re.compile(r"`([^`\n]+)`")
OPTION = re.compile(r"(?<![\w-])--[a-z][a-z-]+")
OTHERS = (
    "uv",
    "pip",
    "wsl",
    "srun",
    "podman",
    "apptainer",
    "nvidia-smi",
    "nvidia-ctk",
    "docker",
    "container",
    "modprobe",
    "apt-get",
    "systemctl",
    "df",
)
OTHER_PROGRAMS = re.compile(rf"\b({'|'.join(OTHERS)})\b")
ADVICE = {"hints", "hint", "fix", "options"}


def literals(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Every text of a module that is not a docstring's own line of prose, with its line."""
    inside = {id(part) for node in ast.walk(tree) if isinstance(node, ast.JoinedStr) for part in ast.walk(node)}
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            yield node.lineno, "".join(part.value if isinstance(part, ast.Constant) else "x" for part in node.values)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in inside:
            yield node.lineno, node.value


def typed(text: str) -> Iterator[str]:
    """The commands in a text: whatever stands in backticks, in a console block, or is the whole text."""
    for line in text.splitlines():
        plain = line.strip().removeprefix("$ ")
        whole = [plain] if COMMAND.match(re.sub(r"^([A-Z_]+=\S+ )+", "", plain)) else []
        for found in [*IN_BACKTICKS.findall(line), *whole]:
            match = COMMAND.search(found)
            if match and (match.start() == 0 or "=" in found[: match.start()]):
                yield found[match.start() :]


def arguments(command: str) -> list[str]:
    """The words after the program's name; redirections, comments, brackets of a synopsis and dots are no words."""
    command = re.split(r" [>|#&;] ?|  +#", command)[0]
    command = re.sub(r"<[^>]+>", "x", command).replace("…", "").replace("...", "")
    return shlex.split(re.sub(r"\[([^\]]*)\]", r"\1", command).rstrip("`,.;:"))[1:]


def told() -> list[tuple[str, str]]:
    found = []
    for path in sorted(PACKAGE.rglob("*.py")):
        for line, text in literals(ast.parse(path.read_text("utf-8"))):
            found += [(f"{path.relative_to(ROOT)}:{line}", each) for each in typed(text)]
    for path in sorted(PAGES):
        for line, text in enumerate(path.read_text("utf-8").splitlines(), start=1):
            found += [(f"{path.relative_to(ROOT)}:{line}", each) for each in typed(text)]
    return found


def test_every_command_that_is_told_can_be_parsed() -> None:
    made = parser.build(verbs.load())
    wrong = []
    commands = told()
    for place, command in commands:
        try:
            parser.read(made, arguments(command))
        except Exception as error:
            wrong.append(f"{place}: {command}: {error}")
        except SystemExit:  # --help and --version end the process
            continue
    assert not wrong, "\n".join(wrong)
    assert len(commands) > 80, "the search finds too little to be a test"


def test_every_option_in_a_hint_is_one_of_ours() -> None:
    known = {f"--{option.name}" for option in COMMON} | {"--help", "--version", "--quiet", "--verbose"}
    for path in (PACKAGE / "cli" / "verbs").glob("*.py"):
        known |= set(re.findall(r'"(--[a-z-]+)"', path.read_text("utf-8")))
    wrong = []
    for path in sorted(PACKAGE.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if not isinstance(node, ast.keyword) or node.arg not in ADVICE:
                continue
            for line, text in literals(node.value):
                strange = set(OPTION.findall(text)) - known
                if strange and not OTHER_PROGRAMS.search(text):
                    wrong.append(f"{path.relative_to(ROOT)}:{line}: {', '.join(sorted(strange))}: {text}")
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize(
    ("text", "commands"),
    [
        ("Run `gpuenv lock --check`, or `uv pip list`", ["gpuenv lock --check"]),
        ("NCCL_DEBUG=INFO gpuenv verify", ["gpuenv verify"]),
        ("$ gpuenv create --profile blackwell", ["gpuenv create --profile blackwell"]),
        ("what gpuenv create does, in prose", []),
    ],
)
def test_what_counts_as_a_command(text: str, commands: list[str]) -> None:
    assert list(typed(text)) == commands
