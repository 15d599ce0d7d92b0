"""Evidence that is signed with one's own SSH key: what was changed afterwards, or signed by a stranger, is told."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from support.cli import Person

EVIDENCE = {"schema": {"name": "gpuenv-evidence", "version": "1"}, "verdict": "passed", "about": {"profile": "hopper"}}


@pytest.fixture
def person(tmp_path: Path) -> Person:
    person = Person.at(tmp_path)
    person.write("evidence/hopper/evidence.json", json.dumps(EVIDENCE))
    person.write("evidence/hopper/README.md", "proved")
    lines = []
    for name in ("mine", "other"):
        path = person.project / name
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", name, "-f", str(path)], check=True)
        kind, key, _ = path.with_suffix(".pub").read_text().split()
        lines.append(f"{name}@example.org {kind} {key}\n")
    person.write("signers", lines[0])
    person.write("strangers", lines[1])
    run = person.run("evidence", "sign", "evidence/hopper", "--key", "mine")
    assert run.code == 0, run.err
    return person


def verify(person: Person, *more: str) -> tuple[int, str]:
    run = person.run("evidence", "verify", "evidence/hopper", *more)
    return run.code, run.out + run.err


def test_what_was_signed_is_told_from_what_was_not(person: Person) -> None:
    code, said = verify(person, "--allowed-signers", "signers")
    assert (code, "2 files are what mine@example.org signed with SHA256:" in said) == (0, True), said
    code, said = verify(person, "--allowed-signers", "strangers")
    assert (code, "does not name the signer" in said) == (1, True), said
    code, said = verify(person)
    assert (code, "nobody was named who may sign" in said) == (1, True), said


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("README.md", "proved, really", "changed: README.md"),
        ("README.md", None, "gone: README.md"),
        ("extra.txt", "x", "not stated: extra.txt"),
    ],
)
def test_what_was_changed_afterwards_is_told(person: Person, name: str, text: str | None, said: str) -> None:
    path = person.project / "evidence/hopper" / name
    path.unlink(missing_ok=True)
    if text is not None:
        path.write_text(text)
    code, told = verify(person, "--allowed-signers", "signers")
    assert (code, said in told) == (5, True), told


def test_a_statement_that_was_changed_is_not_the_signed_one(person: Person) -> None:
    path = person.project / "evidence/hopper/statement.json"
    statement = json.loads(path.read_text())
    assert statement["_type"] == "https://in-toto.io/Statement/v1"
    assert statement["predicate"] == {"verdict": "passed", "profile": "hopper"}
    assert {row["name"] for row in statement["subject"]} == {"evidence.json", "README.md"}
    path.write_text(path.read_text().replace("passed", "failed"))
    code, said = verify(person, "--allowed-signers", "signers")
    assert (code, "is not one of what stands there" in said) == (5, True), said


def test_what_is_not_signed_says_how(person: Person) -> None:
    (person.project / "evidence/hopper/statement.json.sig").unlink()
    code, said = verify(person)
    assert (code, "gpuenv evidence sign evidence/hopper --key" in said) == (2, True), said
