"""The common options, declared once: spelling, environment variable, configuration key, help.

The parser, the merge of settings and the reference page all read this table.
"""

from __future__ import annotations

from typing import Literal

from gpuenv.dataclass import dataclass

Kind = Literal["text", "path", "list", "paths", "numbers", "flag"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Option:
    """One option. The configuration key is ``name``; the variable is ``GPUENV_`` and the name in capitals."""

    name: str
    kind: Kind = "text"
    help: str
    short: str = ""
    metavar: str = ""
    choices: tuple[str, ...] = ()
    pattern: str = ""
    """What the whole text has to match; ``example`` shows one that does."""
    example: str = ""
    personal: bool = False
    """Never taken from a project's file: a cloned repository neither names a program to run, nor brings cached facts,
    nor says where wheels are kept and removed."""
    location: bool = False
    """Whether it takes an address or a folder."""

    @property
    def variable(self) -> str:
        return "GPUENV_" + self.name.upper().replace("-", "_")

    @property
    def attribute(self) -> str:
        return self.name.replace("-", "_")


COUNTED = {
    "--quiet": ("-q", "results and errors only; -qq nothing but the exit code"),
    "--verbose": ("-v", "say more; a bug shows its traceback"),
}
"""Options that count, with their short name and meaning; no setting."""

GROUPED: dict[str, tuple[Option, ...]] = {
    "decision": (
        Option(
            name="profile",
            metavar="NAME",
            help="the profile, by name or as a path ending in .toml (default: auto, what this machine needs)",
        ),
        Option(
            name="machine",
            kind="path",
            metavar="FILE",
            help="decide for the machine in FILE (as `gpuenv detect --json` prints it) instead of this one",
        ),
        Option(
            name="python",
            metavar="X.Y",
            pattern=r"3\.[0-9]{1,3}t?",
            example="3.12",
            help="the Python version of the environment (default: one that the wheels are for)",
        ),
        Option(
            name="torch",
            metavar="SPEC",
            help='a range for torch, such as "==2.9.1" or ">=2.8" (default: the newest that fits)',
        ),
        Option(
            name="channel",
            choices=("stable", "nightly", "auto"),
            help="auto: nightlies only where no stable release has the kernels (default: the profile's)",
        ),
        Option(
            name="variant",
            metavar="cuXXX",
            help="insist on one variant, such as cu128 or cpu (default: chosen for driver and GPUs)",
        ),
        Option(
            name="gpu",
            kind="numbers",
            metavar="N",
            help="decide for this GPU only (index of NVML); may be repeated (default: all)",
        ),
        Option(
            name="exclude-newer", metavar="DATE", help="look at nothing uploaded after this date (default: no limit)"
        ),
        Option(name="allow-unknown-kernels", kind="flag", help="accept a wheel although its kernels cannot be read"),
    ),
    "project": (
        Option(
            name="requirements",
            short="-r",
            kind="paths",
            metavar="FILE",
            help="take the requirements of FILE (requirements.txt, environment.yml, pyproject.toml); may be repeated",
        ),
        Option(
            name="with", kind="list", metavar="REQ", help='take one more requirement, such as "einops>=0.8"; repeatable'
        ),
        Option(name="extra", kind="list", metavar="NAME", help="take an extra of the project too; may be repeated"),
        Option(
            name="group", kind="list", metavar="NAME", help="take a dependency group of the project too; repeatable"
        ),
        Option(
            name="build",
            kind="list",
            personal=True,
            metavar="NAME",
            help="build NAME from its source for the torch chosen (runs the source's own code); may be repeated",
        ),
        Option(name="no-project", kind="flag", help="leave out what the pyproject.toml that you stand in asks for"),
        Option(
            name="install-project",
            kind="flag",
            personal=True,
            help="install the project itself too, editable (runs its build backend)",
        ),
        Option(
            name="own-probes",
            kind="flag",
            personal=True,
            help="verify with the probes that the project brings too (runs its code)",
        ),
        Option(
            name="relax",
            kind="list",
            metavar="NAME",
            help="put no bound on the version of NAME, whatever the project says (torch: on its whole family)",
        ),
    ),
    "sources": (
        Option(
            name="torch-index",
            location=True,
            metavar="BASE",
            help="where torch comes from: a folder laid out like PyTorch's /whl (default: PyTorch's own)",
        ),
        Option(
            name="index",
            location=True,
            metavar="URL",
            help="the package index for everything but the torch family (default: pip's)",
        ),
        Option(
            name="find-links",
            location=True,
            kind="list",
            metavar="DIR",
            help="a folder or page of wheels, asked before any index; an empty one: none, not even pip's",
        ),
        Option(
            name="allow-host",
            kind="list",
            metavar="HOST",
            help="a host that rows of the torch index may lead to beside its own; may be repeated",
        ),
        Option(name="allow-download", kind="flag", help="download a whole wheel where a server has no ranges"),
        Option(name="offline", kind="flag", help="use no network: what is cached has to do"),
        Option(name="refresh", kind="flag", help="ask again for pages that are cached"),
    ),
    "places": (
        Option(
            name="cache-dir",
            kind="path",
            personal=True,
            metavar="DIR",
            help="where pages and facts are kept (default: gpuenv in the user's cache folder)",
        ),
        Option(
            name="store",
            kind="path",
            personal=True,
            metavar="DIR",
            help="the content-addressed folder of kept wheels (default: in the user's state folder)",
        ),
        Option(
            name="uv",
            kind="path",
            personal=True,
            metavar="FILE",
            help="the uv to use (default: the one installed with gpuenv, else on PATH)",
        ),
    ),
    "output": (
        Option(name="json", kind="flag", help="print one JSON object on stdout"),
        Option(name="no-progress", kind="flag", help="draw no progress bars"),
    ),
}
"""Everything a command, a ``GPUENV_*`` variable and a configuration file may set, by what it is about, in the order of
the help."""

COMMON = tuple(option for options in GROUPED.values() for option in options)

BY_NAME = {option.name: option for option in COMMON}
