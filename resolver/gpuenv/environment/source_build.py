"""Builds a wheel from a source tree in an environment that stands, without a network where the system can cut it off.

uv does the building (``uv build``, PEP 517). What the source's own code does then is nobody's to foresee: it gets the
environment, the tree and the variables that are named, and no network, so that what it would fetch without a hash is
not fetched.
"""

from __future__ import annotations

import re
import shutil
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from gpuenv.dataclass import dataclass
from gpuenv.environment.source_tree import SourceTree
from gpuenv.environment.translate import tail
from gpuenv.environment.uv import Uv, failure
from gpuenv.errors import SourceBuildError
from gpuenv.report import Reporter
from gpuenv.system.files import write_atomic
from gpuenv.system.process import Ended, Limits, run

DEADLINE = 6 * 3600.0
"""Seconds for one build: hours for the largest on few cores."""
_PROBE = 10.0
_NETWORK = re.compile(
    r"name resolution|name or service not known|network is unreachable|urlopen error|dns error|"
    r"failed to establish a new connection|cannot assign requested address|could not resolve host",
    re.IGNORECASE,
)
_CUT = ("--user", "--map-current-user", "--net")
_FORMS = (
    (*_CUT, "--pid", "--fork", "--kill-child", "--mount-proc"),
    _CUT,
    ("--map-root-user", "--net"),
)
"""How util-linux cuts a program off, the best first: all that it starts ends with it, when gpuenv is killed, too; under
one's own number, which needs a newer one; else as root of nothing else."""
_EPOCH = "315532800"
"""1980-01-01, the first time that a zip archive can hold: as far as it is up to us, one source gives the same bytes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Isolation:
    """How a build is kept from the network. ``prefix`` stands before its command; empty where it cannot be, and
    ``why_not`` says why."""

    prefix: tuple[str, ...]
    why_not: str = ""


def find_isolation(path: str) -> Isolation:
    """How this system cuts a program off from the network: a namespace of its own (Linux), which is tried."""
    if sys.platform != "linux":
        return Isolation(prefix=(), why_not="this system has no namespaces")
    program = shutil.which("unshare", path=path)
    if program is None:
        return Isolation(prefix=(), why_not="there is no program `unshare` (util-linux) on PATH")
    why = ""
    for form in _FORMS:
        command = [program, *form, "--", "true"]
        done = run(command, environ={"PATH": path}, limits=Limits(deadline=_PROBE))
        if isinstance(done, Ended) and done.returncode == 0:
            return Isolation(prefix=(program, *form, "--"))
        why = done.stderr.strip() if isinstance(done, Ended) else "it does not answer"
    return Isolation(prefix=(), why_not=f"the system allows no namespace: {why}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Building:
    """What a build is run with. ``variables`` are added to those that uv gets; PATH leads to the compilers."""

    uv: Uv
    python: Path
    variables: Mapping[str, str]
    isolation: Isolation
    reporter: Reporter

    def wheel(self, tree: SourceTree, out: Path, *, what: str) -> Path:
        """Build and return the one wheel, in ``out``.

        Raises :class:`~gpuenv.errors.SourceBuildError` with the build's own last words.
        """
        args = ["build", "--wheel", "--no-build-isolation", "--offline", "--python", str(self.python)]
        environ = {"SOURCE_DATE_EPOCH": _EPOCH, **dict.fromkeys(_PROXIES, ""), **self.variables}
        done = self.uv.run(
            [*args, "--out-dir", str(out), str(tree.folder)],
            cwd=tree.folder.parent,
            deadline=DEADLINE,
            reporter=self.reporter,
            extra_env=environ,
            stall=None,
            prefix=self.isolation.prefix,
        )
        if done.returncode != 0:
            raise self._failed(done, what)
        found = sorted(out.glob("*.whl"))
        if len(found) != 1:
            raise SourceBuildError(
                f"the build of {what} left {len(found)} wheels", causes=[each.name for each in found]
            )
        return found[0]

    def _failed(self, done: Ended, what: str) -> SourceBuildError:
        """The error of a build that ended badly. What looks like a download that failed is called one."""
        causes = failure(done, doing=f"the build of {what}").causes if done.returncode < 0 else tail(done.stderr)
        if self.isolation.prefix and _NETWORK.search(done.stderr):
            return SourceBuildError(
                f"the build of {what} wanted to download something",
                causes=(
                    *causes,
                    "it is cut off from the network: what it fetched there would be in no lock",
                ),
            )
        return SourceBuildError(f"the build of {what} failed", causes=causes)


_PROXIES = ("ALL_PROXY", "HTTPS_PROXY", "HTTP_PROXY", "all_proxy", "https_proxy", "http_proxy")


def install_requirements(
    uv: Uv,
    python: Path,
    requirements: Sequence[str],
    *,
    pinned: Sequence[str],
    variables: Mapping[str, str],
    folder: Path,
    offline: bool,
    reporter: Reporter,
) -> None:
    """Install what a build asks for beside torch, wheels only; what is there already (``pinned``) keeps its version.

    Raises what uv's failures translate to.
    """
    constraints = folder / "constraints.txt"
    write_atomic(constraints, "".join(f"{each}\n" for each in pinned), what="uv's input")
    args = ["pip", "install", "--python", str(python), "--only-binary", ":all:", "--constraints", str(constraints)]
    done = uv.run(
        [*args, *(["--offline"] if offline else []), *requirements],
        cwd=folder,
        deadline=DEADLINE,
        reporter=reporter,
        extra_env=variables,
    )
    if done.returncode != 0:
        raise failure(done, doing="installing what the build requires")
