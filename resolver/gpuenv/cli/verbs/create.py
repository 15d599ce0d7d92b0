"""Build a verified environment: detect, decide, lock, build, train in it, write the evidence."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from gpuenv.cli.verbs.report import report_data, report_text
from gpuenv.steps.context import Context

if TYPE_CHECKING:
    from gpuenv.commands.create import CreateOutcome

EXAMPLES = (
    ("gpuenv create", "what this machine needs, in .venv-gpu, proved by training"),
    ("gpuenv create --profile blackwell --channel nightly", "a profile, from the nightlies"),
    ("gpuenv create --machine gpu-host.json --no-verify", "for another machine, whose `gpuenv detect --json` is here"),
)


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("target", metavar="TARGET", type=Path, nargs="?", help="the folder (default: the profile's)")
    proof = parser.add_mutually_exclusive_group()
    proof.add_argument("--no-verify", action="store_true", help="build without proving it (for another machine)")
    proof.add_argument(
        "--keep-failed", action="store_true", help="keep an environment that does not prove itself at TARGET.failed"
    )
    parser.add_argument(
        "--evidence", type=Path, metavar="DIR", help="where the evidence goes (default: evidence/PROFILE)"
    )
    parser.add_argument("--replace", action="store_true", help="replace the environment of another profile")
    parser.add_argument(
        "--discard-added", action="store_true", help="give up packages that were added since the environment was built"
    )
    parser.add_argument(
        "--deep", action="store_true", help="hash every installed file, not only those that look touched"
    )


def run(arguments: argparse.Namespace, context: Context) -> CreateOutcome:
    from gpuenv.commands import create

    options = create.CreateOptions(
        target=arguments.target,
        evidence=arguments.evidence,
        verify=not arguments.no_verify,
        keep_failed=arguments.keep_failed,
        deep=arguments.deep,
        replace=arguments.replace,
        discard_added=arguments.discard_added,
    )
    return create.run(context, options)


def data(outcome: CreateOutcome) -> dict[str, object]:
    decision = outcome.locked.lock.decision
    return {
        "profile": outcome.profile.name,
        "environment": str(outcome.built.path),
        "replaced": outcome.built.replaced,
        "accelerator": decision.accelerator,
        "python": outcome.built.marker.python,
        "torch": decision.torch,
        "variant": decision.variant,
        "channel": decision.channel,
        "lock": outcome.locked.shown,
        "lock_written": outcome.locked.written,
        "packages": [
            {"name": each.name, "version": each.version, "sha256": each.sha256, "hash_origin": each.hash_origin}
            for each in outcome.locked.lock.packages
        ],
        "because": list(decision.because),
        "fetched": list(outcome.built.fetched),
        "seconds": {name: round(value, 3) for name, value in outcome.built.seconds.items()},
        "verification": None if outcome.built.report is None else report_data(outcome.built.report),
        "evidence": outcome.evidence,
    }


def text(outcome: CreateOutcome) -> Iterator[str]:
    decision = outcome.locked.lock.decision
    if outcome.built.report is not None:
        yield from report_text(outcome.built.report)
    else:
        yield "not verified: run `gpuenv verify` on the machine it is for"
    what = "CPU build" if decision.accelerator == "cpu" else decision.variant
    yield f"{outcome.built.path}: torch {decision.torch} ({what}), Python {outcome.built.marker.python}"
    if outcome.evidence is not None:
        yield f"evidence: {outcome.evidence}"
