"""Write docs/gpuenv.1, the man page, from the parser that reads the command line.

python tools/make_man.py            write it
python tools/make_man.py --check    write nothing; exit 1 where the page is out of date
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path

from gpuenv.cli import pages, parser, verbs
from gpuenv.cli.options import COMMON, COUNTED

PAGE = Path(__file__).resolve().parents[1] / "docs" / "gpuenv.1"


def roff(text: str) -> str:
    """Text as man(7) takes it: hyphens that can be copied, no request at the beginning of a line."""
    shown = text.replace("\\", "\\e").replace("-", "\\-").replace("`", "")
    return f"\\&{shown}" if shown.startswith((".", "'")) else shown


def item(name: str, meaning: str) -> Iterator[str]:
    yield ".TP"
    yield f".B {roff(name)}"
    yield roff(meaning)


def command(name: str, verb: parser.Parser) -> Iterator[str]:
    """One verb: what it does and takes, with examples."""
    yield f".SS {roff(pages.usage(verb))}"
    yield roff(verb.description or "")
    for shown, meaning in (*pages.arguments_of(verb), *pages.options_of(verb)[1:]):
        yield from item(shown, meaning)
    for typed, meaning in verb.examples:
        yield ".PP"
        yield f"{roff(meaning)}:"
        yield ".RS"
        yield f".B {roff(typed)}"
        yield ".RE"


def page() -> str:
    """The whole page; the same text for the same parser."""
    made = parser.build(verbs.load())
    lines = ['.TH GPUENV 1 "" gpuenv "User Commands"', ".SH NAME", roff("gpuenv - PyTorch wheels that run on this GPU")]
    lines += [".SH SYNOPSIS", ".B gpuenv", "[OPTIONS] COMMAND", ".SH DESCRIPTION", roff(made.description or "")]
    lines.append(".SH COMMANDS")
    for name, verb in made.verbs.items():
        lines += command(name, verb)
    lines.append(".SH COMMON OPTIONS")
    for option in COMMON:
        lines += item(pages.shown(option), f"{option.help} [{option.variable}]")
    for name, (short, meaning) in COUNTED.items():
        lines += item(f"{short}, {name}", meaning)
    lines += [".SH EXIT STATUS", roff(pages.EXIT_CODES.removeprefix("Exit codes: "))]
    return "\n".join(lines) + "\n"


def main() -> int:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--check", action="store_true")
    made = page()
    if options.parse_args().check:
        same = PAGE.is_file() and PAGE.read_text("utf-8") == made
        if not same:
            print(f"{PAGE.name} is out of date: run python tools/make_man.py", file=sys.stderr)
        return int(not same)
    PAGE.write_text(made, "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
