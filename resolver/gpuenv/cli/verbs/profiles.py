"""List the profiles and where each comes from; `profiles show NAME` prints one."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import asdict
from typing import TYPE_CHECKING

from gpuenv.cli.layout import Line, Verbatim
from gpuenv.documents import parts
from gpuenv.errors import UsageError
from gpuenv.steps.context import Context

if TYPE_CHECKING:
    from gpuenv.commands.profiles import Listed, ProfilesOutcome

EXAMPLES = (
    ("gpuenv profiles", "their names, what for, and where they stand"),
    ("gpuenv profiles show blackwell", "the text of one, to start an own from"),
)


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("action", nargs="?", choices=("list", "show"), default="list", help="default: list")
    parser.add_argument("name", nargs="?", metavar="NAME", help="the profile that `show` prints")


def run(arguments: argparse.Namespace, context: Context) -> ProfilesOutcome:
    from gpuenv.commands import profiles

    if (arguments.action == "show") != (arguments.name is not None):
        raise UsageError("`profiles show` takes one name", hints=("Run `gpuenv profiles show blackwell`",))
    return profiles.run(context, name=arguments.name)


def data(outcome: ProfilesOutcome) -> dict[str, object]:
    return {"profiles": [_entry(row) for row in outcome.profiles]}


def text(outcome: ProfilesOutcome) -> Iterator[Line]:
    if outcome.single:
        (row,) = outcome.profiles
        yield f"# {row.path}"
        yield Verbatim(row.text.rstrip("\n"))
        return
    width = max((len(row.profile.name) for row in outcome.profiles), default=0)
    for row in outcome.profiles:
        yield f"{row.profile.name:<{width}}  {row.profile.description}  ({row.path})"
        for path in row.hides:
            yield f"{'':<{width}}  hides {path}"


def _entry(row: Listed) -> dict[str, object]:
    profile = row.profile
    return {
        **parts(profile, "name", "description"),
        **parts(row, "kind", "path", "hides"),
        **parts(profile, "accelerator", "packages", "optional_packages", "channel", "variant", "python"),
        "compute_capabilities": [str(item) for item in profile.compute_capabilities],
        **parts(profile, "least_driver", "environment", "keep"),
        "verification": asdict(profile.verification),
    }
