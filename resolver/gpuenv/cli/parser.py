"""Build the argument parser: the common options from their table, each verb's own from its module."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from types import ModuleType
from typing import NoReturn

from gpuenv.cli.options import COMMON, Option
from gpuenv.errors import UsageError


class Parser(argparse.ArgumentParser):
    """An argument parser that raises :class:`UsageError` instead of ending the process."""

    def error(self, message: str) -> NoReturn:
        raise UsageError(message, hints=(f"Run `{self.prog} --help`",))


def build(verbs: Mapping[str, ModuleType], version: str) -> Parser:
    """Make the parser for all verbs."""
    parser = Parser(
        prog="gpuenv",
        description="Decide which PyTorch wheels run natively on this machine, lock them, build the environment, "
        "and prove by training that the GPU does the work.",
        epilog="Exit codes: 0 done · 1 a check found differences · 2 usage or configuration · 3 this machine cannot "
        "do it · 4 index unreachable · 5 integrity · 6 uv · 70 a bug · 130 interrupted. Every common option has a "
        "variable GPUENV_NAME and a key `name` in gpuenv.toml.",
        allow_abbrev=False,
    )
    parser.add_argument("-V", "--version", action="version", version=f"gpuenv {version}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", parser_class=Parser)
    for name, module in verbs.items():
        summary = (module.__doc__ or "").strip().splitlines()[0]
        verb = commands.add_parser(name, help=summary, description=summary, allow_abbrev=False)
        module.configure(verb)
        _add_common(verb)
    return parser


def _add_common(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("common options")
    for option in COMMON:
        _add(group, option)
    group.add_argument("-q", "--quiet", action="count", default=0, help="results and errors only; -qq nothing")
    group.add_argument("-v", "--verbose", action="count", default=0, help="say more; a bug shows its traceback")


def _add(group: argparse._ArgumentGroup, option: Option) -> None:
    flag, help_text = f"--{option.name}", f"{option.help} [{option.variable}]"
    match option.kind:
        case "flag":
            group.add_argument(flag, action="store_true", default=None, help=help_text)
        case "list":
            group.add_argument(flag, action="append", metavar=option.metavar, help=help_text)
        case "numbers":
            group.add_argument(flag, action="append", type=int, metavar=option.metavar, help=help_text)
        case _:
            metavar = option.metavar or None
            group.add_argument(flag, metavar=metavar, choices=option.choices or None, help=help_text)
