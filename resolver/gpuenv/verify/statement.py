"""The statement of a folder of evidence: its files by digest and what they prove, as in-toto has it, for a signature.

in-toto Attestation Framework, Statement v1: ``subject`` names files and their digests, ``predicate`` says what of them.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path

from gpuenv.dataclass import dataclass
from gpuenv.documents import DocumentError, parse_json
from gpuenv.errors import ConfigurationError, FileError
from gpuenv.system.files import present, read_bytes, read_text, with_unix_ends

STATEMENT = "statement.json"
MAKE_SOME = "Make some: `gpuenv verify`, or of many hosts: `gpuenv fleet report`"
SIGNATURE = "statement.json.sig"
NAMESPACE = "gpuenv-evidence"
"""Of the signature (``ssh-keygen -Y sign -n``): one made for another purpose is none for evidence."""
TYPE = "https://in-toto.io/Statement/v1"
PREDICATE = "https://github.com/gpuenv/gpuenv/evidence/v1"
"""in-toto asks for a URI (TypeURI); nothing is fetched from it."""
_LARGEST = 64 << 20
_SAID = ("verdict", "ran_on", "created", "gpuenv", "profile", "counts")
"""What of the evidence, or of a fleet's report, the predicate repeats."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StatementCheck:
    """A folder beside its statement: names of files that are not what was stated, are gone, or were not stated.

    ``told`` are words of the statement that the evidence itself does not say: their name, there, and in the evidence.
    """

    same: tuple[str, ...]
    changed: tuple[str, ...]
    missing: tuple[str, ...]
    added: tuple[str, ...]
    told: tuple[tuple[str, str, str], ...] = ()

    @property
    def agrees(self) -> bool:
        return not (self.changed or self.missing or self.added or self.told)


def make_statement(folder: Path) -> str:
    """The statement of what lies in a folder now. Raises :class:`FileError` where that is neither evidence of an
    environment nor the report of a fleet."""
    return (
        json.dumps(
            {
                "_type": TYPE,
                "subject": [{"name": name, "digest": {"sha256": own}} for name, (own, _) in _digests(folder).items()],
                "predicateType": PREDICATE,
                "predicate": _predicate(folder),
            },
            indent=1,
        )
        + "\n"
    )


def compare(folder: Path) -> StatementCheck:
    """Compare a folder with its statement. Raises :class:`ConfigurationError` for a statement that is none."""
    path = folder / STATEMENT
    try:
        value = parse_json(read_text(path, what="the statement", most=_LARGEST))
        assert isinstance(value, dict)
        assert value["_type"] == TYPE
        assert value["predicateType"] == PREDICATE
        stated = {str(row["name"]): str(row["digest"]["sha256"]) for row in value["subject"]}
        predicate = dict(value["predicate"])
    except DocumentError as error:
        raise ConfigurationError(f"{path} is not JSON", causes=(str(error),)) from error
    except (AssertionError, KeyError, TypeError, ValueError):
        raise ConfigurationError(f"{path} is no statement of gpuenv") from None
    found = _digests(folder)
    same = tuple(name for name in stated if name in found and stated[name] in found[name])
    return StatementCheck(
        same=same,
        changed=tuple(name for name in stated if name in found and name not in same),
        missing=tuple(name for name in stated if name not in found),
        added=tuple(name for name in found if name not in stated),
        told=_told(predicate, _predicate(folder)) if len(same) == len(stated) == len(found) else (),
    )


def _told(stated: Mapping[str, object], said: Mapping[str, object]) -> tuple[tuple[str, str, str], ...]:
    names = [name for name in dict.fromkeys((*stated, *said)) if stated.get(name) != said.get(name)]
    return tuple((name, str(stated.get(name, "nothing")), str(said.get(name, "nothing"))) for name in names)


def _digests(folder: Path) -> Mapping[str, tuple[str, str]]:
    """sha256 of each file below a folder by its name there, as it lies and as it was where git gave it the line ends of
    Windows since; but of the statement and its signature. No link is read."""
    found = {}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if name in (STATEMENT, SIGNATURE) or path.is_dir():
            continue
        if path.is_symlink() or not path.is_file():
            raise FileError(f"{path} is no file: evidence is made of files")
        body = read_bytes(path, what="the evidence")
        own, unix = (hashlib.sha256(each).hexdigest() for each in (body, with_unix_ends(body)))
        found[name] = (own, unix)
    return found


def _predicate(folder: Path) -> dict[str, object]:
    for name in ("evidence.json", "report.json"):
        if present(folder / name):
            value = parse_json(read_text(folder / name, what="the evidence", most=_LARGEST))
            table = value if isinstance(value, dict) else {}
            about = table.get("about")
            both = {**(about if isinstance(about, dict) else {}), **table}
            return {key: both[key] for key in _SAID if both.get(key) is not None}
    raise FileError(
        f"{folder} holds no evidence" if folder.is_dir() else f"there is no folder {folder}", hints=(MAKE_SOME,)
    )
