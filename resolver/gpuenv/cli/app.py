"""Run one command: parse, merge settings, call the verb, render its outcome, choose the exit code."""

from __future__ import annotations

import argparse
import contextlib
import errno
import os
import signal
import sys
import traceback
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from types import FrameType, ModuleType
from typing import Any, NoReturn

from gpuenv.cli import pages, verbs
from gpuenv.cli import parser as parsing
from gpuenv.cli import project as projects
from gpuenv.cli.console import Console
from gpuenv.cli.envelope import envelope
from gpuenv.cli.options import BY_NAME
from gpuenv.cli.settings import PROJECT_FILES, Setting, Value, merge, refuse_undecodable, unknown_variables
from gpuenv.errors import GpuenvError, MachineError, UsageError
from gpuenv.net.location import secrets_of
from gpuenv.steps.context import Context, Failure, Options, Outcome
from gpuenv.system.files import system_error
from gpuenv.system.home import home_of

VERBS = verbs.NAMES
_BUG, _INTERRUPTED = 70, 130
_FIELDS = {
    "gpu": "gpus", "allow-host": "allow_hosts", "with": "with_requirements", "extra": "extras", "group": "groups",
}  # fmt: skip
"""Options that are of one and may be repeated, by the field that holds all."""


def main(argv: Sequence[str], *, environ: Mapping[str, str] | None = None) -> int:
    """Run gpuenv with ``argv`` and return the exit code. The only place that reads the process's environment."""
    world = dict(os.environ) if environ is None else dict(environ)
    # `kill` and a container's stop end a build as Ctrl-C does: what is half-built is removed.
    with contextlib.suppress(ValueError):  # in a thread other than the main one
        signal.signal(signal.SIGTERM, _interrupt)
    run = _Invocation(
        command=next((word for word in parsing.arranged(argv, VERBS)[:1] if word in VERBS), ""),
        console=Console(environ=world, secrets=_secrets([*argv, *world.values()])),
        as_json="--json" in _before_program(argv) or world.get("GPUENV_JSON", "").lower() in ("1", "true", "yes", "on"),
    )
    try:
        refuse_undecodable(argv, world)
        try:
            return run.work(argv, world)
        except parsing.PageAsked as asked:
            run.console.result(asked.text)
            return 0
    except GpuenvError as error:
        return run.fail(Failure.of(error), error.exit_code)
    except KeyboardInterrupt:
        problem = Failure(code="interrupted", message="interrupted; what was half-built has been removed")
        return run.fail(problem, _INTERRUPTED)
    except BrokenPipeError:
        _close_stdout()
        return 0
    except OSError as error:
        if error.errno == errno.ENOSPC and not error.filename:
            _close_stdout()
        failure = system_error(error)
        return run.fail(Failure.of(failure), failure.exit_code)
    except MemoryError:
        return run.fail(Failure(code="memory", message="there is not enough memory"), MachineError.exit_code)
    except Exception as error:
        return run.bug(error)


@dataclass(slots=True, kw_only=True)
class _Invocation:
    """One run: where it speaks, and in which form. Both are guesses until the command line and settings are read."""

    command: str
    console: Console
    as_json: bool
    profile: str | None = None
    """What ``--profile`` said: the commands in hints say it too."""

    def work(self, argv: Sequence[str], world: Mapping[str, str]) -> int:
        """Parse, merge settings, call the verb, show its outcome; returns its exit code."""
        try:  # most runs need the one verb they name
            modules = verbs.load([self.command] if self.command else VERBS)
            arguments = parsing.read(parsing.build(modules), argv)
        except UsageError:  # what is wrong is said with all of them in view
            modules = verbs.load()
            arguments = parsing.read(parsing.build(modules), argv)
        if not arguments.command:
            return self._without_command(parsing.build(modules))
        secrets = self.console.secrets
        self.console = _console(arguments, world, secrets)
        verb = modules[arguments.command]
        if not getattr(verb, "NEEDS_CONTEXT", True):
            return self._show(verb, verb.run(arguments, None))
        current = _current()
        home = home_of(world)
        project = projects.find(current, home=Path(os.path.realpath(home)) if home else None)
        settings = merge(arguments=vars(arguments), environ=world, project=project, user=_folders(world)[2])
        settings = projects.anchor_settings(settings, current=current, project=project)
        projects.anchor_arguments(arguments, current=current, project=project)
        self.as_json = "json" in settings
        secrets += _secrets([str(each) for setting in settings.values() for each in _each(setting.value)])
        self.console = _console(arguments, world, secrets, progress="no-progress" not in settings)
        if project != current:
            self.console.say(f"Project: {project}, above the current folder")
        context = replace(_context(settings, world, self.console, project), words=tuple(parsing.arranged(argv, VERBS)))
        if context.options.origins.get("profile") == "--profile":
            self.profile = context.options.profile
        with context.run:
            outcome = verb.run(arguments, context)
        return self._show(verb, outcome)

    def _show(self, verb: ModuleType, outcome: Outcome) -> int:
        problems = tuple(replace(each, hints=self._hints(each.hints)) for each in outcome.problems)
        if self.as_json:
            self._print(outcome.exit_code, data=verb.data(outcome), problems=problems)
        else:
            paged = hasattr(verb, "paged") and verb.paged(outcome)
            self.console.result(*verb.text(outcome), paged=paged)
        for row in problems:
            self.console.error(row.message, causes=row.causes, hints=row.hints)
        return int(outcome.exit_code)

    def _without_command(self, parser: parsing.Parser) -> int:
        """Nothing was asked: a program gets an error, a person the commands to choose from."""
        error = UsageError("no command given", hints=("Run `gpuenv help`, or start with `gpuenv create`",))
        if self.as_json:
            raise error
        for line in pages.commands(parser.verbs):
            self.console.say(line)
        return error.exit_code

    def fail(self, problem: Failure, exit_code: int) -> int:
        """Show a failure that ended the run."""
        clean = self.console.clean
        problem = replace(
            problem,
            message=clean(problem.message),
            causes=tuple(map(clean, problem.causes)),
            hints=tuple(map(clean, self._hints(problem.hints))),
        )
        if self.as_json:
            with contextlib.suppress(OSError):  # a stdout that is full or gone
                self._print(exit_code, data={}, problems=(problem,))
        self.console.error(problem.message, causes=problem.causes, hints=problem.hints)
        return exit_code

    def _hints(self, hints: Sequence[str]) -> tuple[str, ...]:
        if self.profile is None or not hints:
            return tuple(hints)
        from gpuenv.steps.advice import of_profile

        return tuple(of_profile(hint, self.profile) for hint in hints)

    def bug(self, error: Exception) -> int:
        """Show what should not have happened, with ``-v`` where."""
        if self.console.verbose:
            self.console.detail("".join(traceback.format_exception(error)))
        problem = Failure(
            code="bug",
            message=f"gpuenv has a bug: {type(error).__name__}: {error}",
            hints=("Run the same command with -v and report what it prints",),
        )
        return self.fail(problem, _BUG)

    def _print(self, exit_code: int, *, data: Mapping[str, object], problems: Sequence[Failure]) -> None:
        encoding = self.console.out.encoding or "utf-8"
        text = envelope(command=self.command, exit_code=exit_code, data=data, problems=problems, encoding=encoding)
        self.console.document(text)


def _before_program(argv: Sequence[str]) -> Sequence[str]:
    return argv[: argv.index("--")] if "--" in argv else argv


def _interrupt(number: int, frame: FrameType | None) -> NoReturn:
    raise KeyboardInterrupt


def _close_stdout() -> None:
    """Let what is still buffered for stdout go nowhere: Python writes it at its end, and would complain."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _current() -> Path:
    try:
        return Path.cwd()
    except FileNotFoundError as error:
        raise UsageError("the current folder does not exist any more", hints=("Run `cd` to one that does",)) from error


def _console(
    arguments: argparse.Namespace, world: Mapping[str, str], secrets: Sequence[str], *, progress: bool = True
) -> Console:
    return Console(environ=world, quiet=arguments.quiet, verbose=arguments.verbose, progress=progress, secrets=secrets)


def _secrets(texts: Iterable[str]) -> tuple[str, ...]:
    """What the addresses in words, variables and settings hold that must never be said."""
    words = (word for text in texts if "://" in text for word in (text, *text.split()))
    return tuple(dict.fromkeys(secret for word in words for secret in secrets_of(word)))


def _each(value: Value) -> tuple[object, ...]:
    return value if isinstance(value, tuple) else (value,)


def _context(settings: Mapping[str, Setting], world: Mapping[str, str], console: Console, project: Path) -> Context:
    cache, state, config = _folders(world)
    for line in unknown_variables(world, also=frozenset({"GPUENV_CONFIG_DIR", "GPUENV_STATE_DIR"})):
        if not line.startswith("GPUENV_TEST_"):
            console.warn(line)
    for name, setting in settings.items():
        console.detail(f"{name} = {setting.value} ({setting.origin})")
    folder = _path(settings, "cache-dir")
    return Context(
        environ=world,
        project=project,
        cache=folder or cache,
        state=state,
        config=config,
        reporter=console,
        options=_options(settings),
        offline="offline" in settings,
        refresh="refresh" in settings,
        uv=_path(settings, "uv"),
        store=_path(settings, "store"),
    )


def _folders(world: Mapping[str, str]) -> tuple[Path, Path, Path]:
    """The cache, state and configuration folders: XDG variables on every system, then the system's own custom."""
    import platformdirs

    def folder(own: str, xdg: str, default: str) -> Path:
        if world.get(own):
            return Path(world[own]).absolute()  # programs are started elsewhere
        if Path(world.get(xdg, "")).is_absolute():  # others count for nothing, by the XDG specification
            return Path(world[xdg]) / "gpuenv"
        if not Path(default).is_absolute() or world.get("HOME") == "":
            raise UsageError(
                "there is no home folder to keep anything in: HOME is not set",
                hints=("Set HOME, or GPUENV_CACHE_DIR, GPUENV_STATE_DIR and GPUENV_CONFIG_DIR",),
            )
        return Path(default)

    return (
        folder("GPUENV_CACHE_DIR", "XDG_CACHE_HOME", platformdirs.user_cache_dir("gpuenv", appauthor=False)),
        folder("GPUENV_STATE_DIR", "XDG_STATE_HOME", platformdirs.user_state_dir("gpuenv", appauthor=False)),
        folder("GPUENV_CONFIG_DIR", "XDG_CONFIG_HOME", platformdirs.user_config_dir("gpuenv", appauthor=False)),
    )


def _options(settings: Mapping[str, Setting]) -> Options:
    """What a decision is made by; every value was checked by its option when the settings were merged."""
    known = {field.name for field in fields(Options)}
    found: dict[str, Any] = {}  # Any: the option's kind says which
    for name, setting in settings.items():
        field = _FIELDS.get(name, BY_NAME[name].attribute)
        if field in known:
            found[field] = _path(settings, name) if BY_NAME[name].kind == "path" else setting.value
    by_project = frozenset(name for name, setting in settings.items() if setting.origin in PROJECT_FILES)
    origins = {name: _origin(name, setting) for name, setting in settings.items()}
    return Options(**found, origins=origins, by_project=by_project)


def _origin(name: str, setting: Setting) -> str:
    """``--index`` and ``GPUENV_INDEX`` say what they are; of a file its key is named too."""
    return setting.origin if setting.origin.startswith(("--", "GPUENV_")) else f"{name} in {setting.origin}"


def _path(settings: Mapping[str, Setting], name: str) -> Path | None:
    return Path(str(settings[name].value)) if name in settings else None
