"""Write the tables of docs/reference.md that follow from the code: commands, common options, exit codes.

python tools/make_reference.py            write them between their markers
python tools/make_reference.py --check    write nothing; exit 1 where the page is out of date
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from gpuenv import errors
from gpuenv.cli import pages, verbs
from gpuenv.cli.options import COMMON, Option

PAGE = Path(__file__).resolve().parents[1] / "docs" / "reference.md"


@dataclass
class Recorder:
    """Takes what a verb tells its parser, and keeps it as rows."""

    rows: list[tuple[str, str]] = field(default_factory=list)

    def add_argument(self, *names: str, **told: object) -> None:
        choices = told.get("choices")
        value = told.get("metavar") or ("|".join(map(str, choices)) if isinstance(choices, tuple) else "")
        if names[0].startswith("-"):
            shown = ", ".join(names) + (f" {value}" if value else "")
        else:
            shown = str(value or names[0])
        self.rows.append((shown, str(told.get("help") or "")))

    def add_mutually_exclusive_group(self) -> Recorder:
        return self

    def add_argument_group(self, title: str) -> Recorder:
        return self


def table(head: tuple[str, ...], rows: Iterator[tuple[str, ...]]) -> str:
    """A Markdown table; cells are text as a person reads it."""
    lines = [head, tuple("---" for _ in head), *(tuple(cell.replace("|", "\\|") for cell in row) for row in rows)]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def commands() -> str:
    """One section a verb: what it does, and what it takes beyond the common options."""
    parts = []
    for name, module in verbs.load().items():
        recorder = Recorder()
        module.configure(recorder)
        summary = (module.__doc__ or "").strip().splitlines()[0]
        examples = "\n".join(f"$ {command}  # {meaning}" for command, meaning in module.EXAMPLES)
        part = f"### gpuenv {name}\n\n{summary}\n\n```console\n{examples}\n```"
        if recorder.rows:
            part += "\n\n" + table(("argument", "meaning"), ((f"`{shown}`", told) for shown, told in recorder.rows))
        parts.append(part)
    return "\n\n".join(parts)


def options() -> str:
    """Each common option with its variable and configuration key."""
    rows = (
        (f"`{pages.shown(each)}`", f"`{each.variable}`", f"`{each.name}`", _kind(each), each.help) for each in COMMON
    )
    return table(("option", "variable", "key", "value of the key", "meaning"), rows)


def _kind(option: Option) -> str:
    lists = {"list": "list of texts", "paths": "list of paths", "numbers": "list of whole numbers"}
    return {"flag": "true or false", **lists}.get(option.kind, "text")


def exit_codes() -> str:
    """Every error that reaches a person, by exit code and stable name."""
    found = [each for each in vars(errors).values() if isinstance(each, type) and issubclass(each, errors.GpuenvError)]
    rows = sorted((each.exit_code, each.code, (each.__doc__ or "").splitlines()[0]) for each in found)
    told = [row for row in rows if row[1] != errors.GpuenvError.code]
    return table(
        ("exit code", "`code`", "meaning"), ((str(number), f"`{code}`", words) for number, code, words in told)
    )


SECTIONS = {"commands": commands, "options": options, "exit codes": exit_codes}


def renewed(page: str) -> str:
    """The page with every section between ``<!-- NAME: begin -->`` and ``<!-- NAME: end -->`` made anew."""
    for name, make in SECTIONS.items():
        pattern = re.compile(rf"(<!-- {name}: begin -->\n).*?(<!-- {name}: end -->)", re.DOTALL)
        made = f"\\g<1>\n{make().replace(chr(92), chr(92) * 2)}\n\n\\g<2>"
        page, count = pattern.subn(made, page)
        if count != 1:
            raise SystemExit(f"{PAGE.name} has {count} places for {name}, not one")
    return page


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true")
    arguments = parser.parse_args()
    before = PAGE.read_text("utf-8")
    after = renewed(before)
    if arguments.check:
        if before != after:
            print(f"{PAGE.name} is out of date: run python tools/make_reference.py", file=sys.stderr)
        return int(before != after)
    PAGE.write_text(after, "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
