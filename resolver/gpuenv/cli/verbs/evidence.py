"""Sign a folder of evidence with your own SSH key, or tell whether one is what its signer stated."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from gpuenv.documents import parts
from gpuenv.errors import UsageError
from gpuenv.shell import quote
from gpuenv.steps.context import Context

if TYPE_CHECKING:
    from gpuenv.commands.evidence import EvidenceOutcome

EXAMPLES = (
    ("gpuenv evidence sign evidence/hopper --key ~/.ssh/id_ed25519", "state what lies there, and sign it"),
    ("gpuenv evidence verify evidence/hopper --allowed-signers signers", "is it what somebody of these signed?"),
    ("gpuenv evidence sign fleet --key ~/.ssh/id_ed25519.pub", "a whole fleet's, with the key of the agent"),
)


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("action", choices=("sign", "verify"), help="sign, or verify what was signed")
    parser.add_argument(
        "evidence_folder", metavar="FOLDER", type=Path, help="of an environment's evidence, or a fleet's"
    )
    parser.add_argument(
        "--key", type=Path, metavar="FILE", help="with `sign`: your key, or its public half with an agent"
    )
    parser.add_argument(
        "--allowed-signers",
        type=Path,
        metavar="FILE",
        help="with `verify`: who may sign, as ssh-keygen's man page has it",
    )


def run(arguments: argparse.Namespace, context: Context) -> EvidenceOutcome:
    from gpuenv.commands import evidence

    if arguments.action == "verify":
        if arguments.key is not None:
            raise UsageError("--key is for `sign`", hints=("Say who may sign: --allowed-signers FILE",))
        return evidence.verify(context, arguments.evidence_folder, signers=arguments.allowed_signers)
    if arguments.key is None:
        folder = quote(str(arguments.evidence_folder))
        raise UsageError(
            "no key was named to sign with",
            hints=(f"Name one: `gpuenv evidence sign {folder} --key ~/.ssh/id_ed25519`",),
        )
    return evidence.sign(context, arguments.evidence_folder, key=arguments.key.expanduser())


def data(outcome: EvidenceOutcome) -> dict[str, object]:
    found = outcome.compared
    compared = None if found is None else parts(found, "same", "changed", "missing", "added")
    return {**parts(outcome, "action", "folder"), "signer": outcome.signer or None, "key": outcome.key,
            "compared": compared}  # fmt: skip


def text(outcome: EvidenceOutcome) -> Iterator[str]:
    if outcome.action == "sign":
        yield f"Signed {outcome.folder} with {outcome.key}: statement.json, statement.json.sig"
    elif outcome.compared is not None and not outcome.problems:
        count = len(outcome.compared.same)
        yield f"{outcome.folder}: {count} files are what {outcome.signer} signed with {outcome.key}"
