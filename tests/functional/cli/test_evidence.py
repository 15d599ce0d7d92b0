"""Evidence that is signed with one's own SSH key: what was changed afterwards, or signed by a stranger, is told."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from functools import reduce
from pathlib import Path
from typing import Any

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


def test_line_ends_of_windows_are_no_change_and_no_shell_is_asked(person: Person, tmp_path: Path) -> None:
    """git checks out so where core.autocrlf is on; Windows has no ``sh``."""
    person.write("evidence/hopper/README.md", "proved\non a card\n")
    assert person.run("evidence", "sign", "evidence/hopper", "--key", "mine").code == 0
    for name in ("README.md", "statement.json"):
        path = person.project / "evidence/hopper" / name
        path.write_bytes(path.read_bytes().replace(b"\n", b"\r\n"))
    (tmp_path / "alone").mkdir()
    (tmp_path / "alone/ssh-keygen").symlink_to(str(shutil.which("ssh-keygen")))
    alone = replace(person, environ={**person.environ, "PATH": str(tmp_path / "alone")})
    code, said = verify(alone, "--allowed-signers", "signers")
    assert (code, "2 files are what mine@example.org signed with SHA256:" in said) == (0, True), said
    (tmp_path / "alone/ssh-keygen").unlink()
    code, said = verify(alone)
    assert (code, "there is no ssh-keygen on PATH" in said) == (2, True), said


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


def leaves(value: object, path: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    """Where each value of a JSON document lies that holds no other."""
    rows = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    yield from (each for key, one in rows for each in leaves(one, (*path, key)))
    if not isinstance(value, dict | list):
        yield path


def altered(value: Any, path: tuple[str | int, ...]) -> Any:
    """The same document with another value in one place."""
    copy = json.loads(json.dumps(value))
    reduce(lambda at, key: at[key], path[:-1], copy)[path[-1]] = "another"
    return copy


@pytest.mark.parametrize("name", ["statement.json", "evidence.json"])
def test_each_field_that_was_changed_is_refused(person: Person, name: str) -> None:
    path = person.project / "evidence/hopper" / name
    text = path.read_text("utf-8")
    places = list(leaves(json.loads(text)))
    assert len(places) >= 4
    for place in places:
        path.write_text(json.dumps(altered(json.loads(text), place)), "utf-8")
        code, said = verify(person, "--allowed-signers", "signers")
        assert code == 5, (place, said)
    path.write_text(text, "utf-8")
    assert verify(person, "--allowed-signers", "signers")[0] == 0


def test_another_s_signature_over_what_was_changed_is_a_stranger_s(person: Person) -> None:
    person.write("evidence/hopper/README.md", "proved, really")
    assert person.run("evidence", "sign", "evidence/hopper", "--key", "other").code == 0
    code, said = verify(person, "--allowed-signers", "signers")
    assert (code, "does not name the signer" in said) == (1, True), said


def test_a_signer_s_statement_says_no_more_than_the_evidence(person: Person) -> None:
    """Signed by a key that may sign, about a proof that failed."""
    folder = person.project / "evidence/hopper"
    person.write("evidence/hopper/evidence.json", json.dumps({**EVIDENCE, "verdict": "failed"}))
    assert person.run("evidence", "sign", "evidence/hopper", "--key", "mine").code == 0
    statement = folder / "statement.json"
    statement.write_text(statement.read_text("utf-8").replace('"failed"', '"passed"'))
    (folder / "statement.json.sig").unlink()
    words = ["-Y", "sign", "-q", "-f", str(person.project / "mine"), "-n", "gpuenv-evidence", str(statement)]
    subprocess.run(["ssh-keygen", *words], check=True)
    code, said = verify(person, "--allowed-signers", "signers")
    assert (code, "says verdict passed, and its evidence failed" in said) == (5, True), said


def test_what_is_not_signed_says_how(person: Person) -> None:
    (person.project / "evidence/hopper/statement.json.sig").unlink()
    code, said = verify(person)
    assert (code, "gpuenv evidence sign evidence/hopper --key" in said) == (2, True), said
