"""What every command is given: the world it may touch, and what the person who typed it asked for."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from contextlib import ExitStack
from dataclasses import field
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Literal, Self, TypeVar

from gpuenv.dataclass import dataclass
from gpuenv.errors import GpuenvError
from gpuenv.report import Reporter

if TYPE_CHECKING:
    from gpuenv.model.profile import ChannelChoice

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """The common options, merged from command line, environment and configuration. ``None``: not said."""

    profile: str | None = None
    machine: Path | None = None
    torch_index: str | None = None
    index: str | None = None
    find_links: tuple[str, ...] = ()
    allow_hosts: tuple[str, ...] = ()
    python: str | None = None
    torch: str | None = None
    channel: ChannelChoice | None = None
    variant: str | None = None
    gpus: tuple[int, ...] | None = None
    exclude_newer: str | None = None
    allow_unknown_kernels: bool = False
    allow_download: bool = False
    requirements: tuple[str, ...] = ()
    """Files, relative to the project or absolute."""
    with_requirements: tuple[str, ...] = ()
    extras: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()
    build: tuple[str, ...] = ()
    """Packages that are built from their source."""
    no_project: bool = False
    install_project: bool = False
    own_probes: bool = False
    relax: tuple[str, ...] = ()
    origins: Mapping[str, str] = field(default_factory=dict)
    """Where each option was said, by its name: ``--index``, ``GPUENV_INDEX``, ``index in gpuenv.toml``."""
    by_project: frozenset[str] = frozenset()
    """Names of those that a file of the project says: a cloned one, perhaps."""


class Run:
    """What one run finds out once, such as uv's version or a client with its connections. A context manager."""

    def __init__(self) -> None:
        self._kept: dict[tuple[Callable[..., object], Hashable], object] = {}
        self._open = ExitStack()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> None:
        self._kept.clear()
        self._open.close()

    def once(self, make: Callable[[], T], *, by: Callable[..., T], key: Hashable) -> T:
        """What ``by`` returns for ``key``: made the first time it is wanted, the same from then on."""
        if (by, key) not in self._kept:
            self._kept[by, key] = made = make()
            close = getattr(made, "close", None)
            if close is not None:
                self._open.callback(close)
        return self._kept[by, key]  # type: ignore[return-value]  # `by` made it, and is typed


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """The world as a command may see it; tests build one by hand."""

    environ: Mapping[str, str]
    project: Path
    """The folder the command works in: profiles, lockfiles and environments are relative to it."""
    cache: Path
    state: Path
    """Locks of running builds, and other things that outlive a cache."""
    config: Path
    reporter: Reporter
    options: Options = field(default_factory=Options)
    offline: bool = False
    refresh: bool = False
    uv: Path | None = None
    store: Path | None = None
    run: Run = field(default_factory=Run)
    words: tuple[str, ...] = ()
    """What was typed behind ``gpuenv``, the verb first: a hint is the same command with a word changed."""

    def shown(self, path: Path) -> str:
        """A path as a person wrote it: relative to the project where it is inside."""
        return path.relative_to(self.project).as_posix() if path.is_relative_to(self.project) else str(path)


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """A failure as a value: the same fields as an error."""

    code: str
    message: str
    causes: tuple[str, ...] = ()
    hints: tuple[str, ...] = ()

    @classmethod
    def of(cls, error: GpuenvError) -> Self:
        """Turn an error into the value that the envelope and the console show."""
        return cls(code=error.code, message=error.message, causes=error.causes, hints=error.hints)


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What a command found or did. Subclasses add the fields; nothing below ``cli`` prints them."""

    exit_code: Literal[0, 1, 2, 3, 4, 5, 6] = 0
    problems: tuple[Failure, ...] = ()
