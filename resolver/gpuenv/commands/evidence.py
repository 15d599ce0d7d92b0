"""Sign a folder of evidence with one's own SSH key, and tell whether one is what its signer stated."""

from __future__ import annotations

import re
import shutil
import sys
from pathlib import Path

from gpuenv.dataclass import dataclass
from gpuenv.errors import IntegrityError, UsageError
from gpuenv.shell import quote
from gpuenv.steps.context import Context, Failure, Outcome
from gpuenv.system.files import present, write_atomic
from gpuenv.system.process import Ended, Limits, NotStarted, TimedOut, absolute_path
from gpuenv.system.process import run as run_child
from gpuenv.verify.statement import MAKE_SOME, NAMESPACE, SIGNATURE, STATEMENT, StatementCheck, compare, make_statement

_SECONDS = 120.0


@dataclass(frozen=True, slots=True, kw_only=True)
class EvidenceOutcome(Outcome):
    """What was signed or compared. ``signer`` is who, as the allowed signers name them; ``key`` a fingerprint."""

    action: str
    folder: str
    compared: StatementCheck | None = None
    signer: str = ""
    key: str = ""


def sign(context: Context, folder: Path, *, key: Path) -> EvidenceOutcome:
    """State what lies in the folder and sign that. The key stays with ``ssh-keygen``, or with the agent."""
    place = context.project / folder
    write_atomic(place / STATEMENT, make_statement(place), what="the statement")
    (place / SIGNATURE).unlink(missing_ok=True)
    words = ["-Y", "sign", "-q", "-f", str(context.project / key), "-n", NAMESPACE, str(place / STATEMENT)]
    done = _keygen(context, words)
    if done.returncode != 0:
        (place / STATEMENT).unlink()
        raise UsageError(
            f"the evidence was not signed with {key}",
            causes=done.stderr.splitlines()[-3:],
            hints=("With a passphrase, load the key first: `ssh-add KEY`, and name its public half by --key",),
        )
    return EvidenceOutcome(action="sign", folder=context.shown(place), key=_fingerprint(context, place))


def verify(context: Context, folder: Path, *, signers: Path | None) -> EvidenceOutcome:
    """Compare the folder with its statement, and the statement with its signature, by who may sign.

    Exit 5 where either does not agree; exit 1 where nobody was named who may sign, or somebody else did.
    """
    place = context.project / folder
    if not place.is_dir():
        raise UsageError(f"there is no folder {context.shown(place)}", hints=(MAKE_SOME,))
    for name in (STATEMENT, SIGNATURE):
        if not present(place / name):
            raise UsageError(
                f"{context.shown(place)} is not signed: it has no {name}",
                hints=(f"Sign it: `gpuenv evidence sign {quote(context.shown(place))} --key ~/.ssh/id_ed25519`",),
            )
    key = _fingerprint(context, place)
    if not key:
        raise IntegrityError(f"the signature of {context.shown(place / STATEMENT)} is not one of what stands there")
    found = compare(place)
    problems = [*_differences(context.shown(place), found)]
    signer = "" if signers is None else _signer(context, place, context.project / signers)
    if not problems and not signer:
        problems.append(_stranger(key, signers))
    code = 0 if not problems else 1 if found.agrees else 5
    return EvidenceOutcome(
        action="verify", folder=context.shown(place), compared=found, signer=signer, key=key,
        exit_code=code, problems=tuple(problems),  # type: ignore[arg-type]  # one of the three
    )  # fmt: skip


def _differences(shown: str, found: StatementCheck) -> tuple[Failure, ...]:
    if found.agrees:
        return ()
    named = (("changed", found.changed), ("gone", found.missing), ("not stated", found.added))
    causes = tuple(f"{what}: {', '.join(names[:8])}" for what, names in named if names)
    causes += tuple(f"the statement says {name} {there}, and its evidence {here}" for name, there, here in found.told)
    return (Failure(code="integrity", message=f"{shown} is not what was signed", causes=causes),)


def _stranger(key: str, signers: Path | None) -> Failure:
    if signers is None:
        message = f"nobody was named who may sign: it was signed with the key {key}"
        hint = "Name them in a file of `ssh-keygen`'s ALLOWED SIGNERS format, by --allowed-signers"
        return Failure(code="signer-unknown", message=message, hints=(hint,))
    return Failure(code="signer-unknown", message=f"{signers} does not name the signer: the key {key}")


def _signer(context: Context, place: Path, signers: Path) -> str:
    """Who signed, as the file of allowed signers has it; empty for nobody in it."""
    if not present(signers):
        raise UsageError(f"there is no file {signers} of allowed signers")
    found = _keygen(context, ["-Y", "find-principals", "-s", str(place / SIGNATURE), "-f", str(signers)])
    for name in found.stdout.splitlines() if found.returncode == 0 else ():
        words = ["-Y", "verify", "-f", str(signers), "-I", name, "-n", NAMESPACE, "-s", str(place / SIGNATURE)]
        if _keygen(context, words, stdin=place / STATEMENT).returncode == 0:
            return name
    return ""


def _fingerprint(context: Context, place: Path) -> str:
    """The fingerprint of the key that signed the statement; empty where the signature is not one of it."""
    words = ["-Y", "check-novalidate", "-n", NAMESPACE, "-s", str(place / SIGNATURE)]
    done = _keygen(context, words, stdin=place / STATEMENT)
    found = re.search(r"SHA256:[A-Za-z0-9+/]{43}", done.stdout)
    return found[0] if done.returncode == 0 and found is not None else ""


_WITH_INPUT = r"""
import subprocess, sys
text = open(sys.argv[1], "rb").read().replace(b"\r\n", b"\n")  # as it was signed, where git gave it other line ends
sys.exit(subprocess.run(sys.argv[2:], input=text).returncode)
"""
"""A program with a file as its standard input, without a shell: Windows has another."""


def _keygen(context: Context, words: list[str], *, stdin: Path | None = None) -> Ended:
    program = shutil.which("ssh-keygen", path=absolute_path(context.environ))
    if program is None:
        raise UsageError("there is no ssh-keygen on PATH", hints=("Install OpenSSH's client",))
    command = [program, *words]
    if stdin is not None:  # ssh-keygen takes the signed text from its standard input only
        command = [sys.executable, "-I", "-S", "-c", _WITH_INPUT, str(stdin), *command]
    match run_child(command, environ=context.environ, limits=Limits(deadline=_SECONDS)):
        case Ended() as done:
            return done
        case NotStarted(reason=reason):
            raise UsageError(f"ssh-keygen was not started: {reason}")
        case TimedOut():
            raise UsageError("ssh-keygen did not end: it may wait for a passphrase or a touch of a key")
