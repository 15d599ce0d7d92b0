"""Words and progress on a terminal: stderr for what is said, stdout for what is asked.

``rich`` is loaded for the first progress bar only. Colour follows ``NO_COLOR``, then the stream.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, TextIO

from gpuenv.report import Silent, Task

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID


class _Bar:
    def __init__(self, progress: Progress, task: TaskID) -> None:
        self._progress, self._task = progress, task

    def advance(self, amount: int, /) -> None:
        self._progress.advance(self._task, amount)

    def update(self, *, total: int | None = None, text: str | None = None) -> None:
        if total is not None:
            self._progress.update(self._task, total=total)
        if text is not None:
            self._progress.update(self._task, description=text)


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
    ) -> None:
        self.out, self.err = out or sys.stdout, err or sys.stderr
        self.quiet, self.verbose = quiet, verbose
        terminal = self.err.isatty() and environ.get("TERM") != "dumb"
        self._bars = progress and terminal and not quiet and not verbose and "CI" not in environ
        self._colour = terminal and not environ.get("NO_COLOR")

    def result(self, text: str) -> None:
        """Write a result to stdout, whole lines."""
        if self.quiet < 2 and text:
            self.out.write(text if text.endswith("\n") else text + "\n")
            self.out.flush()

    def say(self, line: str, /) -> None:
        if not self.quiet:
            self._line(line)

    def warn(self, line: str, /) -> None:
        if not self.quiet:
            self._line(self._paint("warning", "33") + f": {line}")

    def detail(self, line: str, /) -> None:
        if self.verbose:
            self._line(self._paint(line, "2"))

    def error(self, message: str, *, causes: tuple[str, ...] = (), hints: tuple[str, ...] = ()) -> None:
        """Say a failure in uv's grammar: ``error:``, ``cause:`` lines, a blank line, ``hint:`` lines."""
        if self.quiet >= 2:
            return
        self._line(self._paint("error", "1;31") + f": {message}")
        for cause in causes:
            head, *rest = cause.splitlines() or [""]
            self._line("  " + self._paint("cause", "31") + f": {head}")
            for line in rest:
                self._line(f"         {line}")
        if hints:
            self._line("")
        for hint in hints:
            self._line(self._paint("hint", "1;36") + f": {hint}")

    @contextmanager
    def task(self, title: str, /, *, total: int | None = None, unit: str = "") -> Iterator[Task]:
        if not self._bars:
            with Silent().task(title) as silent:
                yield silent
            return
        with _progress(self.err, unit) as progress:
            yield _Bar(progress, progress.add_task(title, total=total))

    def _line(self, text: str) -> None:
        with contextlib.suppress(BrokenPipeError):
            self.err.write(text + "\n")
            self.err.flush()

    def _paint(self, text: str, code: str) -> str:
        return f"\x1b[{code}m{text}\x1b[0m" if self._colour else text


def _progress(stream: TextIO, unit: str) -> Progress:
    from rich.console import Console as RichConsole
    from rich.progress import (
        BarColumn,
        DownloadColumn,
        MofNCompleteColumn,
        Progress,
        ProgressColumn,
        TextColumn,
        TimeElapsedColumn,
        TransferSpeedColumn,
    )

    columns: list[ProgressColumn] = [TextColumn("{task.description}"), BarColumn()]
    columns += [DownloadColumn(), TransferSpeedColumn()] if unit == "B" else [MofNCompleteColumn(), TextColumn(unit)]
    return Progress(*columns, TimeElapsedColumn(), console=RichConsole(file=stream), transient=True)
