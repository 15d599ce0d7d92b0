"""uv: found, proven, run in an environment built from nothing, and its failures in our words.

What of the caller's environment reaches uv is a list of names (:data:`PASSED`), not a list of exceptions: uv reads 165
variables, and ``UV_INDEX`` or ``UV_OVERRIDE`` in a shell profile would otherwise decide where torch comes from
(research: reliability, finding 6).
"""

from __future__ import annotations

import os
import re
import shutil
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import field
from pathlib import Path
from typing import Protocol

from packaging.version import InvalidVersion, Version

from gpuenv.dataclass import dataclass
from gpuenv.environment.translate import tail, translate
from gpuenv.errors import GpuenvError, IndexUnreachableError, UvError, UvMissingError
from gpuenv.net.location import redact
from gpuenv.report import Reporter
from gpuenv.system.process import Child, Ended, Limits, NotStarted, TimedOut, absolute_path, bytes_written, run

__all__ = ["PASSED", "Uv", "base_environment", "failure", "find_uv", "translate"]

PASSED = (
    "HOME", "LANG", "LC_ALL", "LC_CTYPE", "LOGNAME", "TMPDIR", "TMP", "TEMP", "TZ", "USER",
    # Windows finds neither its libraries nor its network nor the user's folders without these, Python there not its
    # machine, a build no compiler. In capitals, as os.environ has them there.
    "APPDATA", "COMSPEC", "LOCALAPPDATA", "PATHEXT", "PROCESSOR_ARCHITECTURE", "PROCESSOR_ARCHITEW6432", "PROGRAMDATA",
    "PROGRAMFILES", "PROGRAMFILES(X86)", "SYSTEMDRIVE", "SYSTEMROOT", "USERPROFILE", "WINDIR",
    # The way out, and whom to believe there.
    "ALL_PROXY", "HTTPS_PROXY", "HTTP_PROXY", "NO_PROXY", "all_proxy", "https_proxy", "http_proxy", "no_proxy",
    "SSL_CERT_DIR", "SSL_CERT_FILE", "SSL_CLIENT_CERT", "NETRC",
    # Places only: where caches and interpreters that the user has already lie.
    "UV_CACHE_DIR", "UV_PYTHON_INSTALL_DIR", "XDG_CACHE_HOME", "XDG_DATA_HOME",
)  # fmt: skip
"""Variables that reach uv with the caller's value. Everything else is dropped."""

LEAST_VERSION = "0.12"
"""Older ones let wheels write outside the environment (advisories up to 0.11.15)."""

STALL_SECONDS = 180.0
"""How long uv may get nowhere before it is ended: longer than its own retries of a dead server take."""

LEAST_BYTES = 64 * 1024
"""What must be written within that time: far below any usable line, far above a slow loris."""

GRACE_SECONDS = 1.5
"""How long uv may take to end after the polite signal."""

_PROBE_SECONDS = 20.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Uv:
    """A uv that answered. ``environ`` is the caller's environment reduced to :data:`PASSED`."""

    path: Path
    version: str
    origin: str
    """How it was found: ``given``, ``beside gpuenv``, ``PATH``."""
    environ: Mapping[str, str] = field(repr=False)

    def run(
        self,
        args: Sequence[str],
        *,
        cwd: Path,
        deadline: float,
        reporter: Reporter,
        cache: Path | None = None,
        extra_env: Mapping[str, str] | None = None,
        on_stderr: Callable[[str], None] | None = None,
        on_progress: Callable[[int], None] | None = None,
        stall: float | None = STALL_SECONDS,
        prefix: Sequence[str] = (),
        meanwhile: Callable[[], None] | None = None,
    ) -> Ended:
        """Run ``uv ARGS`` to its end, whatever its exit status: :func:`failure` makes the error to raise.

        ``deadline`` and ``stall`` are seconds from now; ``cache`` replaces uv's own place for it. ``extra_env`` adds
        variables (``UV_PYTHON_DOWNLOADS=automatic``, a certificate, credentials of an index). ``on_stderr`` gets uv's
        lines, ``on_progress`` the bytes uv has written so far, a few times a second. ``prefix`` are the words of a
        program that starts uv in its turn. ``meanwhile`` is done while uv runs.

        Nothing that uv started is left running when this returns or raises, Ctrl-C included. Raises
        :class:`~gpuenv.errors.IndexUnreachableError` when uv got nowhere for ``stall`` seconds, and
        :class:`~gpuenv.errors.UvError` past the deadline or where uv cannot be started.
        """
        environ = {**self.environ, "UV_NO_CONFIG": "1", "UV_PYTHON_DOWNLOADS": "never", "UV_NO_PROGRESS": "1"}
        environ |= {"NO_COLOR": "1", "UV_NO_ENV_FILE": "1", **(extra_env or {})}
        if cache is not None:
            environ["UV_CACHE_DIR"] = str(cache)
        command = [*prefix, str(self.path), *args]
        reporter.detail(redact("$ uv " + " ".join(args)))

        lines = 0

        def hear(line: str) -> None:
            nonlocal lines
            lines += 1
            reporter.detail(redact(f"uv: {line}"))
            if on_stderr is not None:
                on_stderr(line)

        def progress(child: Child) -> int | None:
            written = bytes_written(child.pid)
            if written is None:
                return None
            if on_progress is not None:
                on_progress(written)
            return written + lines * LEAST_BYTES  # a line is progress however short it is

        limits = Limits(deadline=deadline, stall=stall, least=LEAST_BYTES, grace=GRACE_SECONDS)
        match run(
            command, cwd=cwd, environ=environ, limits=limits, on_stderr=hear, progress=progress, meanwhile=meanwhile
        ):
            case Ended() as done:
                return done
            case NotStarted(reason=reason):
                raise UvError(f"uv cannot be started: {self.path}", causes=(reason,))
            case TimedOut() as over:
                raise _given_up(over, doing="uv " + " ".join(args[:2]))


def _given_up(over: TimedOut, *, doing: str) -> GpuenvError:
    stuck = () if over.gone else ("it could not be ended: it sleeps in the kernel, and goes on when that lets it",)
    if over.limit == "stall":
        return IndexUnreachableError(
            f"{doing} got nowhere for {over.seconds:.0f} s and was ended",
            causes=(*tail(over.stderr), *stuck),
            hints=("Check the connection, then run the same command again: what has arrived is kept",),
        )
    return UvError(
        f"{doing} did not finish within {over.seconds:.0f} s and was ended",
        causes=(*tail(over.stderr), *stuck),
        hints=("Run the same command again: what has arrived is kept",),
    )


def failure(done: Ended, *, doing: str) -> GpuenvError:
    """Make the error to raise for a run of uv that did not end well, by itself or killed."""
    from gpuenv.system.ending import how_ended, is_system_status

    if done.returncode >= 0 and not is_system_status(done.returncode):
        return translate(done.stderr, doing=doing)
    how = how_ended(done.returncode)
    return UvError(
        f"{doing} failed: uv {how}",
        causes=tail(done.stderr),
        hints=("The system may be out of memory: see dmesg",) if how.endswith("SIGKILL") else (),
    )


class Versions(Protocol):
    """Remembers what a program said of its version, for as long as its file stays the same."""

    def get(self, program: Path) -> str | None: ...

    def put(self, program: Path, version: str) -> None: ...


def find_uv(
    environ: Mapping[str, str],
    *,
    explicit: Path | None = None,
    least: str = LEAST_VERSION,
    versions: Versions | None = None,
) -> Uv:
    """Find a uv that runs and is new enough: the one given, else the one installed with gpuenv, else the one on PATH.

    Each candidate's version is learned by running it, or remembered in ``versions``. A uv that was given and does not
    do is an error, never skipped.

    Raises :class:`~gpuenv.errors.UvMissingError` naming what was tried and why each was refused.
    """
    refused: list[str] = []
    base = base_environment(environ)
    for path, origin in _candidates(environ, explicit):
        known = versions.get(path) if versions is not None else None
        version, why = _prove(path, base, least, known=known)
        if version is not None:
            if versions is not None and known is None:
                versions.put(path, version)
            return Uv(path=path, version=version, origin=origin, environ=base)
        refused.append(f"{path} ({origin}): {why}")
    hints = [f'Install uv {least} or newer beside gpuenv: `pip install "uv>={least}"`']
    if explicit is not None:
        hints.append("or leave GPUENV_UV unset to use the uv installed with gpuenv")
    if not refused:
        refused.append("neither beside gpuenv nor on PATH")
    raise UvMissingError(f"no usable uv ({least} or newer) was found", causes=refused, hints=hints)


def first_program(environ: Mapping[str, str], *, explicit: Path | None = None) -> Path | None:
    """The program that :func:`find_uv` tries first, without starting it; ``None`` where there is none."""
    return next((path for path, _ in _candidates(environ, explicit)), None)


def base_environment(environ: Mapping[str, str]) -> dict[str, str]:
    """Reduce the caller's environment to what uv, and a Python started by us, may see.

    ``PATH`` loses its relative entries: what lies in the working directory is not a program.
    """
    base = {name: environ[name] for name in PASSED if environ.get(name)}
    base["PATH"] = absolute_path(environ)
    return base


def _candidates(environ: Mapping[str, str], explicit: Path | None) -> list[tuple[Path, str]]:
    if explicit is not None:
        return [(explicit.absolute(), "given")]
    found: list[tuple[Path, str]] = []
    beside = _beside()
    if beside is not None:
        found.append((beside, "beside gpuenv"))
    on_path = shutil.which("uv", path=base_environment(environ)["PATH"])
    if on_path is not None:
        found.append((Path(on_path), "PATH"))
    return found


def _beside() -> Path | None:
    """The uv that is installed with gpuenv. In an environment it lies with the other scripts, where `uv.find_uv_bin`
    looks first too; asking that loads all that the interpreter knows of its build (6 ms)."""
    if sys.prefix != sys.base_prefix:
        own = Path(sys.prefix, *(("Scripts", "uv.exe") if os.name == "nt" else ("bin", "uv")))
        if own.is_file():
            return own
    try:
        import uv

        return Path(uv.find_uv_bin())
    except (ImportError, FileNotFoundError):
        return None


def _prove(path: Path, environ: Mapping[str, str], least: str, *, known: str | None) -> tuple[str | None, str]:
    """Run ``uv --version`` where it is not ``known``; the version, or ``None`` with the reason for refusing it."""
    if known is not None and Version(known) >= Version(least):
        return known, ""
    environ = {**environ, "UV_NO_CONFIG": "1"}
    done = run([str(path), "--version"], environ=environ, limits=Limits(deadline=_PROBE_SECONDS))
    if isinstance(done, TimedOut):
        return None, f"did not tell its version within {_PROBE_SECONDS:.0f} s"
    if isinstance(done, NotStarted):
        return None, f"cannot be run: {done.reason}"
    said = done.stdout.strip()
    match = re.match(r"uv (\S+)", said)
    if done.returncode != 0 or match is None:
        return None, f"is not uv: `--version` ended {done.returncode} and said {said[:80]!r}"
    try:
        if Version(match[1]) >= Version(least):
            return match[1], ""
    except InvalidVersion:
        return None, f"is not uv: `--version` said {said[:80]!r}"
    return None, f"is uv {match[1]}, older than {least}"
