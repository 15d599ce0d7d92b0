"""The whole tree of gpuenv's errors, one exit code per class.

    GpuenvError
    ├── CheckFailedError        1   a check found differences
    │   └── VerificationError   1   the environment did not prove itself
    ├── UsageError              2   the command line
    │   ├── ConfigurationError  2   a profile, machine file or lock that cannot be used: file, line, key
    │   │   └── FileError       2   a file or folder that cannot be read or written
    │   └── TargetError         2   the target of a build is not ours to replace
    ├── MachineError            3   this machine cannot do it
    │   ├── DriverError         3   an NVIDIA GPU is there, its driver does not answer
    │   ├── MachineMismatchError 3  the profile or the lock is for another machine
    │   ├── NoFittingWheelError 3   no wheel passes every rule
    │   ├── InterpreterError    3   no interpreter of the Python version decided on
    │   ├── BuildToolError      3   what a build from source needs is not there
    │   └── NoSpaceError        3   the disk is full
    ├── PackageIndexError             4   an index cannot be used
    │   ├── IndexUnreachableError 4
    │   ├── OfflineError        4   offline, and not cached
    │   └── PageFormatError     4   what answered is not an index page
    ├── IntegrityError          5   a hash, a size or an origin is not what was locked
    └── UvError                 6   uv is missing or failed
        ├── SourceBuildError    6   a package's own build from its source failed
        └── NoSolutionError     6   no set of versions meets what was asked for

Imports nothing of gpuenv. An error owns its hints; the command line renders them (see ``cli/console.py``).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import ClassVar


class GpuenvError(Exception):
    """A failure that a person can act on.

    ``message`` is one sentence without a final period, whose line breaks become spaces; ``causes`` say why, nearest
    first; ``hints`` are things to type or do next. ``code`` is the stable kebab-case name that scripts key on.
    """

    code: ClassVar[str] = "error"
    exit_code: ClassVar[int] = 70

    def __init__(self, message: str, *, causes: Sequence[str] = (), hints: Sequence[str] = ()) -> None:
        message = " ".join(message.splitlines())
        super().__init__(message)
        self.message = message
        self.causes = tuple(causes)
        self.hints = tuple(hints)


class CheckFailedError(GpuenvError):
    """A check ran and found differences."""

    code = "check-failed"
    exit_code = 1


class VerificationError(CheckFailedError):
    """The environment was built, and could not prove that it does what it was built for."""

    code = "verification-failed"


class UsageError(GpuenvError):
    """The command line asks for something that does not exist or does not fit together."""

    code = "usage"
    exit_code = 2


class ConfigurationError(UsageError):
    """A file a person wrote cannot be used; the message names file, line where known, and key."""

    code = "configuration"


class FileError(ConfigurationError):
    """A file or folder cannot be read or written; the message names it, the cause says why."""

    code = "file"


class TargetError(UsageError):
    """The target folder is not an environment that gpuenv may replace. It is never touched."""

    code = "target-not-replaceable"


class MachineError(GpuenvError):
    """This machine cannot do what was asked."""

    code = "machine"
    exit_code = 3


class DriverError(MachineError):
    """An NVIDIA GPU or driver is present and does not work. Never read as "no GPU"."""

    code = "driver-broken"


class MachineMismatchError(MachineError):
    """A profile or a lock was made for another machine than the one in hand."""

    code = "machine-mismatch"


class NoFittingWheelError(MachineError):
    """Every candidate was rejected; the message says by which rule, the hints what to change."""

    code = "no-fitting-wheel"


class InterpreterError(MachineError):
    """No interpreter of the decided Python version is installed, and none can be had."""

    code = "no-interpreter"


class NoSpaceError(MachineError):
    """The disk that holds the cache or the target is full."""

    code = "no-space"


class BuildToolError(MachineError):
    """A compiler or headers that a build from source needs are not on this machine, or are of another CUDA."""

    code = "build-tools"


class PackageIndexError(GpuenvError):
    """An index cannot be used."""

    code = "index"
    exit_code = 4


class IndexUnreachableError(PackageIndexError):
    """An index did not answer, or answered with a refusal."""

    code = "index-unreachable"

    def __init__(
        self, message: str, *, causes: Sequence[str] = (), hints: Sequence[str] = (), status: int | None = None
    ) -> None:
        super().__init__(message, causes=causes, hints=hints)
        self.status = status
        """Of the index's answer; ``None`` where there was none."""


class OfflineError(PackageIndexError):
    """Network use is switched off, and the answer is not in the cache."""

    code = "offline-not-cached"


class PageFormatError(PackageIndexError):
    """Something answered that is not an index page (a login page, an error page, a cut-off file)."""

    code = "page-format"


class IntegrityError(GpuenvError):
    """Bytes or origins differ from what was recorded. Nothing is installed."""

    code = "integrity"
    exit_code = 5

    def __init__(
        self, message: str, *, causes: Sequence[str] = (), hints: Sequence[str] = (), package: str = ""
    ) -> None:
        super().__init__(message, causes=causes, hints=hints)
        self.package = package
        """``NAME==VERSION`` where uv named the one package whose file it is; else empty."""


class UvError(GpuenvError):
    """uv is missing, too old, or failed; its own words are among the causes."""

    code = "uv-failed"
    exit_code = 6


class SourceBuildError(UvError):
    """A package could not be built from its source: its own build failed."""

    code = "source-build-failed"


class UvMissingError(UvError):
    """No usable uv was found."""

    code = "uv-missing"


class NoSolutionError(UvError):
    """No set of versions meets what was asked for. ``blamed`` are the packages that stand in the way, as named.

    ``absent`` are those of them that are on no index that was asked, ``wheelless`` those that no index has a wheel of
    for this machine.
    """

    code = "no-solution"

    def __init__(
        self,
        message: str,
        *,
        causes: Sequence[str] = (),
        hints: Sequence[str] = (),
        blamed: Sequence[str] = (),
        absent: Sequence[str] = (),
        wheelless: Sequence[str] = (),
    ) -> None:
        super().__init__(message, causes=causes, hints=hints)
        self.blamed, self.absent, self.wheelless = tuple(blamed), tuple(absent), tuple(wheelless)


def nearest(word: str, known: Iterable[str], *, cutoff: float = 0.6) -> list[str]:
    """The one of ``known`` that somebody may have meant by ``word``, for a hint; empty where none is near."""
    from difflib import get_close_matches

    return get_close_matches(word, list(known), n=1, cutoff=cutoff)
