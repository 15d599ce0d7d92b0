"""Read the command line: common options from their table, a verb's own from its module, typos with a suggestion."""

from __future__ import annotations

import argparse
from collections.abc import Collection, Iterable, Mapping, Sequence
from types import ModuleType
from typing import NoReturn

from gpuenv import __version__
from gpuenv.cli import pages
from gpuenv.cli.options import COMMON, COUNTED, Option
from gpuenv.errors import UsageError, nearest

_PAGES = ("-h", "--help", "-V", "--version")
_TAKING = frozenset(
    word for option in COMMON if option.kind != "flag" for word in (f"--{option.name}", option.short) if word
)
#: What other tools call what a verb does.
_ALIASES = {
    "install": "create", "sync": "create", "init": "create", "setup": "create", "build": "create", "venv": "create",
    "compile": "lock", "update": "lock", "upgrade": "lock", "explain": "resolve", "info": "detect", "status": "detect",
    "test": "verify", "train": "verify", "show": "inspect", "completion": "completions",
}  # fmt: skip


class PageAsked(SystemExit):
    """The command line asks for a page and nothing else: ``--help``, ``--version``."""

    def __init__(self, text: str) -> None:
        super().__init__(0)
        self.text = text


class Parser(argparse.ArgumentParser):
    """An argument parser that raises :class:`UsageError`, or :class:`PageAsked`, instead of printing and ending."""

    examples: tuple[tuple[str, str], ...] = ()
    verbs: Mapping[str, Parser] = {}
    takes_program = False
    """Whether another program's command line stands behind its own options."""

    def error(self, message: str) -> NoReturn:
        raise UsageError(message, hints=(f"Run `{self.prog} --help`",))

    def format_help(self) -> str:
        return pages.whole(self, self.verbs) if self.verbs else pages.of_verb(self, self.examples)

    def _print_message(self, message: str, file: object = None) -> None:
        raise PageAsked(message)

    def _check_value(self, action: argparse.Action, value: object) -> None:
        """Refuse what is none of the choices, with the nearest (the hook of argparse for it)."""
        if action.choices is None or value in action.choices:
            return
        choices = [str(each) for each in action.choices]
        name = "/".join(action.option_strings) or str(action.metavar or action.dest)
        near = nearest(str(value), choices)
        raise UsageError(
            f"{name} must be one of {', '.join(choices)}, not {value!r}",
            hints=(*(f"Did you mean {each}?" for each in near), f"Run `{self.prog} --help`"),
        )


def build(verbs: Mapping[str, ModuleType], version: str = __version__) -> Parser:
    """Make the parser for all verbs."""
    parser = Parser(
        prog="gpuenv",
        description="Decide which PyTorch wheels run natively on this machine, lock them, build the environment, "
        "and prove by training that the GPU does the work.",
        allow_abbrev=False,
    )
    parser.add_argument("-V", "--version", action="version", version=f"gpuenv {version}", help="show the version")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", parser_class=Parser)
    made: dict[str, Parser] = {}
    for name, module in verbs.items():
        summary = (module.__doc__ or "").strip().splitlines()[0]
        verb = commands.add_parser(name, help=summary, description=summary, allow_abbrev=False)
        module.configure(verb)
        _add_common(verb, without=getattr(module, "OWN", ()))
        verb.examples = module.EXAMPLES
        verb.takes_program = getattr(module, "TAKES_PROGRAM", False)
        made[name] = verb
    parser.verbs = made
    return parser


def read(parser: Parser, argv: Sequence[str]) -> argparse.Namespace:
    """Parse a command line. Options may stand before the verb; raises :class:`UsageError` with what is nearest."""
    words, program = divided(arranged(argv, parser.verbs), parser)
    if words and not words[0].startswith("-"):
        if words[0] not in parser.verbs:
            raise _unknown_verb(words[0], parser.verbs)
        _check_options(words[1:], words[0], parser.verbs)
    elif asked := [word for word in words if word in _PAGES]:
        words = asked[:1]
    elif words:
        name = words[0].partition("=")[0]
        if name.startswith("--") and name not in {f"--{option.name}" for option in COMMON} | set(COUNTED):
            raise _unknown_option(name, "", parser.verbs)
        return argparse.Namespace(command=None, quiet=0, verbose=0)
    arguments = parser.parse_args(words)
    if program:
        arguments.program = program
    return arguments


def divided(words: Sequence[str], parser: Parser) -> tuple[list[str], list[str]]:
    """The words of gpuenv, and those of the program that ``gpuenv run`` is to start: all behind ``--``, or behind the
    first word that is no option of gpuenv's and no value of one."""
    verb = parser.verbs.get(words[0]) if words else None
    if verb is None or not verb.takes_program:
        return list(words), []
    taking = {name for each in verb._actions if each.nargs != 0 for name in each.option_strings}
    for place, word in enumerate(words):
        if word == "--":
            return list(words[:place]), list(words[place + 1 :])
        if place and not word.startswith("-") and words[place - 1] not in taking:
            return list(words[:place]), list(words[place:])
    return list(words), []


def page(parser: Parser, topic: str | None) -> str:
    """The page of help on a verb, on the common options (``options``), or the list of verbs."""
    if topic is None:
        return parser.format_help()
    if topic == "options":
        return pages.options()
    if topic not in parser.verbs:
        raise _unknown_verb(topic, parser.verbs)
    return parser.verbs[topic].format_help()


def arranged(argv: Sequence[str], verbs: Iterable[str]) -> list[str]:
    """The command line with its verb in front, so that options may stand before it.

    >>> arranged(["-v", "--profile", "cpu", "create", "here"], ["create"])
    ['create', '-v', '--profile', 'cpu', 'here']
    """
    known = frozenset(verbs)
    for place, word in enumerate(argv):
        before = argv[place - 1] if place else ""
        if word == "--":
            break
        if word.startswith("-") or before in _TAKING:
            continue
        # The word behind an option that only a verb has may be its value.
        unsure = before.startswith("--") and "=" not in before and before[2:] not in _flags() and word not in known
        if not unsure:
            return [word, *argv[:place], *argv[place + 1 :]]
    return list(argv)


def _flags() -> frozenset[str]:
    return frozenset({option.name for option in COMMON if option.kind == "flag"} | {name[2:] for name in COUNTED})


def _check_options(words: Sequence[str], verb: str, verbs: Mapping[str, Parser]) -> None:
    """Name the first option that the verb does not have, before anything else is said of the command line."""
    for word in words:
        if word == "--":
            return
        name = word.partition("=")[0]
        if name.startswith("--") and name not in pages.option_names(verbs[verb]):
            raise _unknown_option(name, verb, verbs)


def _unknown_option(name: str, verb: str, verbs: Mapping[str, Parser]) -> UsageError:
    known = pages.option_names(verbs[verb]) if verb else [f"--{option.name}" for option in COMMON]
    near = nearest(name, known)
    others = [other for other, parser in verbs.items() if name in pages.option_names(parser)]
    hints = [f"Did you mean `{each}`?" for each in near if not others]
    hints += [f"It is an option of {' and of '.join(f'`gpuenv {each}`' for each in others)}"] if others else []
    return UsageError(f"unknown option {name}", hints=(*hints, f"Run `gpuenv {f'{verb} ' if verb else ''}--help`"))


def _unknown_verb(word: str, verbs: Mapping[str, Parser]) -> UsageError:
    near = [_ALIASES[word]] if word in _ALIASES else nearest(word, verbs)
    hints = [f"Did you mean `gpuenv {each}`?" for each in near]
    return UsageError(f"unknown command {word}", hints=(*hints, "Run `gpuenv help` for all commands"))


def _add_common(parser: argparse.ArgumentParser, *, without: Collection[str]) -> None:
    """Add the common options but those that the verb has in a form of its own."""
    group = parser.add_argument_group(pages.COMMON_TITLE)
    for option in COMMON:
        if option.name not in without:
            _add(group, option)
    for name, (short, meaning) in COUNTED.items():
        group.add_argument(short, name, action="count", default=0, help=meaning)


def _add(group: argparse._ArgumentGroup, option: Option) -> None:
    names = [each for each in (option.short, f"--{option.name}") if each]
    match option.kind:
        case "flag":
            group.add_argument(*names, action="store_true", default=None, help=option.help)
        case "list" | "paths":
            group.add_argument(*names, action="append", metavar=option.metavar, help=option.help)
        case "numbers":
            group.add_argument(*names, action="append", type=int, metavar=option.metavar, help=option.help)
        case _:
            metavar = option.metavar or None
            group.add_argument(*names, metavar=metavar, choices=option.choices or None, help=option.help)
