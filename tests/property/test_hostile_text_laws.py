"""Whatever a name holds that comes from elsewhere, it acts on no terminal, no page and no other file."""

from __future__ import annotations

import ast
import dataclasses
import io
import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any, TypeVar, get_type_hints

import pytest
from hypothesis import given
from hypothesis import strategies as st

import gpuenv
from gpuenv.cli.console import Console
from gpuenv.cli.envelope import envelope
from gpuenv.cli.layout import Table, Verbatim
from gpuenv.lock import codec
from gpuenv.lock.codec import to_requirements
from gpuenv.model.machine import Machine
from gpuenv.model.verification import Report
from gpuenv.report import visible
from gpuenv.steps.context import Failure
from gpuenv.verify import evidence
from support.locks import lock_of, package
from support.verify_observed import MACHINE, observed, report_of

#: C0 but the line's end, DEL, C1, separators of lines and paragraphs, and what turns the reading direction (UAX #9).
CONTROLS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069]")
HOSTILE = (
    "\x1b]0;owned\x07", "\x1b[2J", "\r", "\n", "\x9b31m", "\x7f", "\u202e", "\u2028", "\x00", "\u2066",
    "<script>alert(1)</script>", "<img src=x onerror=y>", '" onload="x', "' x='", "</title>", "</td>", "-->", "&lt;",
    "![x](http://h/x.png)", "[x](javascript:y)", "|", "\\|", "`", "\n# heading", "\n- item", "]]>", "\ttab",
)  # fmt: skip
texts = st.lists(st.one_of(st.sampled_from(HOSTILE), st.text(max_size=20)), max_size=5).map("".join)
T = TypeVar("T")


def said(console: Console) -> str:
    assert isinstance(console.out, io.StringIO)
    assert isinstance(console.err, io.StringIO)
    return console.out.getvalue() + console.err.getvalue()


@given(first=texts, second=texts, third=texts)
def test_nothing_that_is_said_or_shown_moves_a_cursor(first: str, second: str, third: str) -> None:
    console = Console(environ={}, verbose=1, out=io.StringIO(), err=io.StringIO())
    for speak in (console.say, console.notice, console.warn, console.detail):
        speak(first)
    console.error(first, causes=(second, third), hints=(third,))
    console.result(first, Verbatim(second), Table(heading=(("a", "b"),), rows=((second, third),), title=first))
    with console.task(first) as task:
        task.update(text=second)
    assert CONTROLS.search(said(console)) is None


def unpaired(text: str) -> bool:
    return any("\ud800" <= each <= "\udfff" for each in text)


@given(name=texts, value=texts, message=texts)
def test_the_envelope_says_the_same_without_a_control_character(name: str, value: str, message: str) -> None:
    problem = Failure(code="x", message=message, causes=(value,), hints=(name,))
    text = envelope(command="x", exit_code=1, data={name: [value, {"a": value}]}, problems=(problem,))
    assert CONTROLS.search(text) is None
    document = json.loads(text)
    assert document["data"] == {name: [value, {"a": value}]}
    assert document["errors"][0]["message"] == message


def test_nothing_prints_but_the_console() -> None:
    """So that what holds for the console holds for every verb. The payload and the probes speak to their parents."""
    allowed = {"cli/console.py", "cli/main.py", "cli/app.py", "system/become.py"}  # the last one flushes, no more
    found = set()
    for path in Path(gpuenv.__file__).parent.rglob("*.py"):
        name = path.relative_to(Path(gpuenv.__file__).parent).as_posix()
        if name.startswith("verify/payload/") or name.endswith("probe.py"):
            continue
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            prints = isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "print"
            stream = isinstance(node, ast.Attribute) and node.attr in ("stdout", "stderr", "__stdout__", "__stderr__")
            if prints or (stream and isinstance(node.value, ast.Name) and node.value.id == "sys"):
                found.add(name)
    assert found <= allowed


def poisoned(value: T, poison: str) -> T:
    """The value with ``poison`` behind every free text in it: every field that is a ``str``, not one of few words."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        hints = get_type_hints(type(value))
        changes: dict[str, Any] = {}
        for field in dataclasses.fields(value):
            old = getattr(value, field.name)
            if isinstance(old, str):
                if hints[field.name] in (str, str | None) and field.name not in ("status", "type", "device"):
                    changes[field.name] = old + poison
            elif field.init:
                changes[field.name] = poisoned(old, poison)
        return dataclasses.replace(value, **changes)  # type: ignore[type-var, no-any-return]  # T is a dataclass here
    if isinstance(value, tuple):
        return tuple(each + poison if isinstance(each, str) else poisoned(each, poison) for each in value)  # type: ignore[return-value]
    return value


class Skeleton(HTMLParser):
    """The tags of a page with the names of their attributes, and no text."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, ...]] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, *(name for name, _ in attrs)))

    def handle_endtag(self, tag: str) -> None:
        self.tags.append(("/" + tag,))

    def handle_comment(self, data: str) -> None:
        self.tags.append(("comment",))


ABOUT = evidence.About(
    created="2026-11-22T12:00:00Z", gpuenv="0.1.0", command="gpuenv verify", environment=".venv-gpu", profile="hopper",
    lock="lockfiles/pylock.hopper.toml", lock_sha256="ab" * 32, because=("driver 580 (NVML)", "another"),
)  # fmt: skip


@pytest.fixture(scope="module")
def report() -> Report:
    return report_of(observed())


def written(folder: Path, report: Report, machine: Machine, poison: str) -> dict[str, str]:
    paths = evidence.write(
        folder,
        report=poisoned(report, poison),
        machine=poisoned(machine, poison),
        about=poisoned(ABOUT, poison),
        smi_text="| NVIDIA-SMI |" + poison,
    )
    return {path.name: path.read_text("utf-8") for path in paths}


@pytest.mark.parametrize("poison", [*HOSTILE, "".join(HOSTILE)])
def test_the_evidence_has_the_same_shape_whatever_names_hold(poison: str, report: Report, tmp_path: Path) -> None:
    """Every text in report, machine and surroundings is poisoned: the fields are taken from the values themselves."""
    plain = written(tmp_path / "plain", report, MACHINE, "x")
    found = written(tmp_path / "found", report, MACHINE, poison)
    for name, text in found.items():
        assert CONTROLS.search(text) is None, name
    assert Skeleton(found["report.html"]).tags == Skeleton(plain["report.html"]).tags
    assert [shape(line) for line in found["README.md"].splitlines()] == [
        shape(line) for line in plain["README.md"].splitlines()
    ]
    assert json.loads(found["evidence.json"])["machine"]["gpus"][0]["name"] == MACHINE.gpus[0].name + poison


def shape(line: str) -> tuple[int, int, int, str]:
    """What Markdown makes of a line: cells, links, tags and its kind. Cells are told apart before all else (GFM, 4.10);
    what stands between backticks in one of them is no markup."""
    cells = re.sub(r"\\.", "", line).split("|")
    bare = " ".join(re.sub(r"`[^`]*`", "code", cell) for cell in cells)
    links = len(re.findall(r"\[[^\[\]]*\]\(", bare))
    kind = "table" if line.startswith("|") else re.match(r"#*|- ", line)[0]  # type: ignore[index]  # matches always
    return len(cells), links, bare.count("<"), kind


@given(words=texts, name=texts)
def test_a_lock_and_its_requirements_hold_no_line_of_a_name(words: str, name: str) -> None:
    if unpaired(words + name):
        return
    lock = lock_of(package("torch", "2.10.0+cu128", family=True))
    decision = dataclasses.replace(lock.decision, because=(words, name), warnings=(name,), kernels_from=words or "x")
    lock = dataclasses.replace(lock, command=words, decision=decision)
    text = codec.render(lock)
    assert CONTROLS.search(text) is None
    assert codec.parse(text, origin="lock") == lock
    assert text.count("[[packages]]") == len(lock.packages)
    plain = to_requirements(dataclasses.replace(lock, command="x")).splitlines()
    assert [line[:1] for line in to_requirements(lock).splitlines()] == [line[:1] for line in plain]


@pytest.mark.parametrize("end", [" --index-url=http://h/", "\n-r /etc/passwd", "\t-e .", "\x0b-i x"])
def test_an_address_is_one_word_of_a_requirements_file(end: str) -> None:
    wheel = package("torch", "2.10.0", url=f"https://h/{end}/torch-2.10.0-py3-none-any.whl")
    *comments, line = to_requirements(lock_of(wheel)).splitlines()
    assert [each[0] for each in comments] == ["#"] * 3
    assert len(line.split()) == 4


@given(texts)
def test_what_is_visible_is_one_line(text: str) -> None:
    assert len(visible(text).splitlines()) <= 1
    assert visible(visible(text)) == visible(text)
