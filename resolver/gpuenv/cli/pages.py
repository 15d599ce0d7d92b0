"""The pages of help: a verb's own options first, then the common ones in short."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from gpuenv.cli.layout import pairs
from gpuenv.cli.options import COUNTED, GROUPED, Option

if TYPE_CHECKING:
    from gpuenv.cli.parser import Parser

COMMON_TITLE = "common options"
EXIT_CODES = (
    "Exit codes: 0 done, 1 a check found differences, 2 usage or configuration, 3 this machine cannot do it, 4 index "
    "unreachable or offline, 5 integrity, 6 uv, 70 a bug, 130 interrupted."
)
_SETTINGS = "Each has a variable GPUENV_NAME and a key `name` in gpuenv.toml, pyproject.toml or your own configuration."


def of_verb(parser: Parser, examples: Sequence[tuple[str, str]]) -> str:
    """The help of one verb."""
    lines = [parser.description or "", "", f"Usage: {usage(parser)}"]
    if placed := arguments_of(parser):
        lines += ["", "Arguments:", *pairs(placed)]
    short = {group.title or "": group._group_actions for group in _titled(parser)}
    apart = {id(action) for actions in short.values() for action in actions}
    rows = [(_named(each), _meaning(each)) for each in _own(parser) if each.option_strings and id(each) not in apart]
    lines += ["", "Options:", *pairs(rows)]
    if short:
        named = [(title, ", ".join(map(_named, actions))) for title, actions in short.items()]
        lines += ["", "More (docs/reference.md explains them):", *pairs(named)]
    lines += ["", "Common options (`gpuenv help options` explains them):", *_short()]
    if examples:
        lines += ["", "Examples:"]
        for command, meaning in examples:
            lines += [f"  {command}", f"      {meaning}"]
    return "\n".join(lines)


def usage(parser: Parser) -> str:
    """How a verb is called."""
    placed = [each for each in _own(parser) if not each.option_strings]
    values = [f"[{_value(each)}]" if each.nargs in ("?", "*") else _value(each) for each in placed]
    return " ".join((parser.prog, "[OPTIONS]", *(["--"] if parser.takes_program else []), *values))


def arguments_of(parser: argparse.ArgumentParser) -> list[tuple[str, str]]:
    """What stands behind a verb without a name, with its meaning."""
    return [(_value(each), each.help or "") for each in _own(parser) if not each.option_strings]


def options_of(parser: argparse.ArgumentParser) -> list[tuple[str, str]]:
    """The options of a verb alone, ``--help`` first, with their meaning and default."""
    return [(_named(each), _meaning(each)) for each in _own(parser) if each.option_strings]


def whole(parser: argparse.ArgumentParser, verbs: Mapping[str, Parser]) -> str:
    """The help of gpuenv itself."""
    lines = [
        parser.description or "",
        "",
        *commands(verbs),
        "",
        "Common options (`gpuenv help options` explains them):",
    ]
    lines += [*_short(), "  -h, --help, -V, --version", "", EXIT_CODES]
    return "\n".join(lines)


def commands(verbs: Mapping[str, Parser]) -> Iterator[str]:
    """How to call gpuenv, and its verbs: what is shown to somebody who typed nothing more."""
    yield "Usage: gpuenv [OPTIONS] COMMAND"
    yield ""
    yield "Commands:"
    yield from pairs([(name, verb.description or "") for name, verb in verbs.items()])
    yield ""
    yield "Start with `gpuenv create`; `gpuenv help COMMAND` shows what a command takes, with examples."


def options() -> str:
    """The help of the common options, each with its default and its variable."""
    lines = ["Options that every command takes, before it or behind it.", _SETTINGS]
    for group, common in GROUPED.items():
        rows = [(shown(each), f"{each.help} [{each.variable}]") for each in common]
        if group == "output":
            rows += [(f"{short}, {name}", meaning) for name, (short, meaning) in COUNTED.items()]
        lines += ["", f"{group.capitalize()}:", *pairs(rows)]
    return "\n".join([*lines, "", EXIT_CODES])


def option_names(parser: argparse.ArgumentParser) -> list[str]:
    """Every spelling of an option that a verb takes."""
    return [name for action in parser._actions for name in action.option_strings]


def _own(parser: argparse.ArgumentParser) -> list[argparse.Action]:
    groups = [group for group in parser._action_groups if group.title != COMMON_TITLE]
    actions = {id(action) for group in groups for action in group._group_actions}
    return [action for action in parser._actions if id(action) in actions]


def _titled(parser: argparse.ArgumentParser) -> list[argparse._ArgumentGroup]:
    """Groups of options that a verb gave a title: they are shown in short, so that the page stays one."""
    known = {COMMON_TITLE, parser._positionals.title, parser._optionals.title}
    return [group for group in parser._action_groups if group.title not in known]


def _short() -> Iterator[str]:
    """The common options by group, a line each."""
    rows = []
    for group, common in GROUPED.items():
        names = [shown(each) for each in common]
        names += [short for short, _ in COUNTED.values()] if group == "output" else []
        rows.append((group, ", ".join(names)))
    yield from pairs(rows)


def shown(option: Option) -> str:
    """A common option with its value, as a person types it."""
    value = option.metavar or "|".join(option.choices)
    return f"{option.short}, --{option.name} {value}".removeprefix(", ").rstrip()


def _named(action: argparse.Action) -> str:
    return f"{', '.join(action.option_strings)} {_value(action) if action.nargs != 0 else ''}".rstrip()


def _value(action: argparse.Action) -> str:
    if action.metavar is None and action.choices is not None:
        return "|".join(map(str, action.choices))
    dots = "..." if action.nargs in ("*", "+") else ""
    return f"{action.metavar or action.dest.upper()}{dots}"


def _meaning(action: argparse.Action) -> str:
    meaning = "show this page" if isinstance(action, argparse._HelpAction) else action.help or ""
    told = action.default in (None, False, argparse.SUPPRESS, []) or "default" in meaning
    return meaning if told else f"{meaning} (default: {action.default})"
