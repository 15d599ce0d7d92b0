"""Words and progress on a terminal: stderr for what is said, stdout for what is asked.

Everything that is printed passes here: it is wrapped at a terminal's width and never in a pipe or a file, its control
characters are written out, and it is put into characters that the stream's code page has.
``rich`` is loaded for the first progress bar only. Colour follows ``NO_COLOR``, then the stream.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Literal, TextIO

from gpuenv.cli import layout
from gpuenv.net.location import redact
from gpuenv.report import Silent, Task, visible

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID


class _Bar:
    def __init__(self, progress: Progress, task: TaskID, shown: Callable[[str], str]) -> None:
        self._progress, self._task, self._shown = progress, task, shown

    def advance(self, amount: int, /) -> None:
        self._progress.advance(self._task, amount)

    def update(self, *, total: int | None = None, text: str | None = None) -> None:
        if total is not None:
            self._progress.update(self._task, total=total)
        if text is not None:
            self._progress.update(self._task, description=self._shown(text))


class Console:
    """A reporter for people. ``quiet`` 1 keeps results and errors, 2 keeps nothing but the exit code."""

    def __init__(
        self,
        *,
        environ: Mapping[str, str],
        quiet: int = 0,
        verbose: int = 0,
        progress: bool = True,
        out: TextIO | None = None,
        err: TextIO | None = None,
        secrets: Sequence[str] = (),
    ) -> None:
        self.secrets = tuple(secrets)
        self.out, self.err = out or sys.stdout, err or sys.stderr
        self.quiet, self.verbose = quiet, verbose
        terminal = self.err.isatty() and environ.get("TERM") != "dumb"
        self._bars = progress and terminal and not quiet and not verbose and "CI" not in environ
        self._colour = terminal and not environ.get("NO_COLOR")
        self._live: Progress | None = None
        self._height = _size(self.out, environ, "LINES")
        self._widths = {id(stream): _width(stream, environ) for stream in (self.out, self.err)}

    def result(self, *parts: layout.Line, paged: bool = False) -> None:
        """Write a result to stdout, whole lines; ``paged``: through ``PAGER`` where a terminal is too short for it."""
        width = self._widths[id(self.out)]
        lines = [line for part in parts for line in layout.lines_of(part, width)]
        if paged and self.quiet < 2 and len(lines) >= (self._height or len(lines) + 1):
            import pydoc

            pydoc.pager("\n".join(lines) + "\n")
        elif self.quiet < 2 and any(lines):
            text = redact("\n".join(lines).rstrip("\n") + "\n")
            self.out.write(layout.encodable(text, _encoding(self.out)))
            self.out.flush()

    def document(self, text: str) -> None:
        """Write a result that a program reads, as it is."""
        if self.quiet < 2:
            self.out.write(layout.encodable(redact(text), _encoding(self.out)))
            self.out.flush()

    def clean(self, text: str) -> str:
        """A foreign text without secrets: those of this run, and any address's. Ours hold none to begin with."""
        return redact(text, self.secrets)

    def say(self, line: str, /) -> None:
        if not self.quiet:
            self._line("", line)

    def notice(self, line: str, /) -> None:
        if self.quiet < 2:
            self._line("", line)

    def warn(self, line: str, /) -> None:
        if not self.quiet:
            self._line("warning: ", line, code="33")

    def detail(self, line: str, /) -> None:
        if self.verbose:
            self._line("", line, text_code="2")

    def error(self, message: str, *, causes: tuple[str, ...] = (), hints: tuple[str, ...] = ()) -> None:
        """Say a failure in uv's grammar: ``error:``, ``cause:`` lines, a blank line, ``hint:`` lines."""
        if self.quiet >= 2:
            return
        self._line("error: ", message, code="1;31")
        for cause in causes:
            head, *rest = cause.splitlines() or [""]
            self._line("  cause: ", head, code="31")
            for line in rest:
                self._line(" " * 9, line)
        if hints:
            self._line("", "")
        for hint in hints:
            self._line("hint: ", hint, code="1;36")

    @contextmanager
    def task(self, title: str, /, *, total: int | None = None, unit: str = "") -> Iterator[Task]:
        if not self._bars:
            with Silent().task(title) as silent:
                yield silent
            return
        with _progress(self.err, unit) as progress:
            self._live = progress
            try:
                yield _Bar(progress, progress.add_task(self._shown(title), total=total), self._shown)
            finally:
                self._live = None

    def _line(self, label: str, text: str, *, code: str = "", text_code: str = "") -> None:
        """Say one line. What follows a break hangs beside the label; only our own words are coloured."""
        width = self._widths[id(self.err)]
        lines = []
        for place, part in enumerate(self.clean(text).split("\n")):
            shown = visible((" " * len(label) if place else label) + part)
            lines += [shown] if width is None else layout.wrapped(shown, width, hang=len(label) or None)
        lines = [self._paint(layout.encodable(line, _encoding(self.err)), text_code) for line in lines]
        if name := label.strip(" :"):
            lines[0] = lines[0].replace(name, self._paint(name, code), 1)
        # A stderr that is closed or full is no reason to stop: what is said there is for whoever reads it.
        with contextlib.suppress(OSError):
            if self._live is not None:  # above the bar, which stands in the last line
                self._live.console.out("\n".join(lines), highlight=False)
                return
            self.err.write("\n".join(lines) + "\n")
            self.err.flush()

    def _shown(self, text: str) -> str:
        return layout.encodable(visible(self.clean(text)), _encoding(self.err))

    def _paint(self, text: str, code: str) -> str:
        return f"\x1b[{code}m{text}\x1b[0m" if self._colour and code else text


def agreed(question: str) -> bool | None:
    """Ask a person on the terminal; anything but yes is no. ``None``: nobody answered (Windows calls its null device a
    terminal)."""
    sys.stderr.write(f"{question} [y/N] ")
    sys.stderr.flush()
    answer = sys.stdin.readline()
    return answer.strip().lower() in ("y", "yes") if answer else None


def _width(stream: TextIO, environ: Mapping[str, str]) -> int | None:
    found = _size(stream, environ, "COLUMNS")
    return None if found is None else max(found, layout.NARROWEST)


def _size(stream: TextIO, environ: Mapping[str, str], variable: Literal["COLUMNS", "LINES"]) -> int | None:
    """The size of a terminal: the variable where it is a number, else what the terminal says; ``None`` for a pipe."""
    if not stream.isatty():
        return None
    told = environ.get(variable, "")
    if told.isdecimal() and int(told):
        return int(told)
    with contextlib.suppress(OSError, ValueError):  # a stream without a descriptor
        size = os.get_terminal_size(stream.fileno())
        return (size.columns if variable == "COLUMNS" else size.lines) or None
    return None


def _encoding(stream: TextIO) -> str:
    """The stream's code page; a stream in memory takes everything."""
    return stream.encoding or "utf-8"


def _progress(stream: TextIO, unit: str) -> Progress:
    from rich import progress as bars
    from rich.console import Console as RichConsole
    from rich.table import Column

    # The spinner and the elapsed time move by themselves, whatever the work that is waited for says.
    words = bars.TextColumn("{task.description}", markup=False, table_column=Column(no_wrap=True, ratio=1))
    columns: list[bars.ProgressColumn] = [bars.SpinnerColumn("line"), words]
    if unit:
        columns.append(bars.BarColumn(bar_width=16))
        counted = [bars.MofNCompleteColumn(), bars.TextColumn(unit)]
        columns += [bars.DownloadColumn(), bars.TransferSpeedColumn()] if unit == "B" else counted
    return bars.Progress(*columns, bars.TimeElapsedColumn(), console=RichConsole(file=stream), transient=True)
