"""The common options, declared once: spelling, environment variable, configuration key, help.

The parser, the merge of settings and the reference page all read this table.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Kind = Literal["text", "path", "list", "numbers", "flag"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Option:
    """One option. The configuration key is ``name``; the variable is ``GPUENV_`` and the name in capitals."""

    name: str
    kind: Kind
    help: str
    metavar: str = ""
    choices: tuple[str, ...] = ()
    pattern: str = ""
    """What the whole text has to match; ``example`` shows one that does."""
    example: str = ""

    @property
    def variable(self) -> str:
        return "GPUENV_" + self.name.upper().replace("-", "_")

    @property
    def attribute(self) -> str:
        return self.name.replace("-", "_")


COMMON = (
    Option(name="profile", kind="text", metavar="NAME", help="the profile, by name or as a path ending in .toml"),
    Option(
        name="machine",
        kind="path",
        metavar="FILE",
        help="decide for the machine in FILE (as `gpuenv detect --json` prints it) instead of this one",
    ),
    Option(
        name="torch-index",
        kind="text",
        metavar="BASE",
        help="where torch comes from: a folder laid out like PyTorch's /whl (default: PyTorch's own)",
    ),
    Option(name="index", kind="text", metavar="URL", help="the package index for everything but the torch family"),
    Option(
        name="find-links",
        kind="list",
        metavar="DIR",
        help="a folder or page of wheels, asked before any index; an empty one: none, not even pip's",
    ),
    Option(
        name="python",
        kind="text",
        metavar="X.Y",
        pattern=r"3\.\d+t?",
        example="3.12",
        help="the Python version of the environment",
    ),
    Option(name="torch", kind="text", metavar="SPEC", help='a range for torch, such as "==2.9.1" or ">=2.8"'),
    Option(
        name="channel",
        kind="text",
        choices=("stable", "nightly", "auto"),
        help="auto: nightlies only where no stable release has the kernels",
    ),
    Option(name="variant", kind="text", metavar="cuXXX", help="insist on one variant, such as cu128 or cpu"),
    Option(name="gpu", kind="numbers", metavar="N", help="decide for this GPU only (index of NVML); may be repeated"),
    Option(name="exclude-newer", kind="text", metavar="DATE", help="look at nothing uploaded after this date"),
    Option(name="allow-unknown-kernels", kind="flag", help="accept a wheel although its kernels cannot be read"),
    Option(name="allow-download", kind="flag", help="download a whole wheel where a server has no ranges"),
    Option(name="offline", kind="flag", help="use no network: what is cached has to do"),
    Option(name="refresh", kind="flag", help="ask again for pages that are cached"),
    Option(name="cache-dir", kind="path", metavar="DIR", help="where pages and facts are kept"),
    Option(name="store", kind="path", metavar="DIR", help="the content-addressed folder of kept wheels"),
    Option(name="uv", kind="path", metavar="FILE", help="the uv to use"),
    Option(name="json", kind="flag", help="print one JSON object on stdout"),
    Option(name="no-progress", kind="flag", help="draw no progress bars"),
)
"""Everything a command, a ``GPUENV_*`` variable and a configuration file may set, in the order of the help."""

BY_NAME = {option.name: option for option in COMMON}
