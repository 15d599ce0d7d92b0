"""Reads requirements files as pip does: every line a value that knows its file and line.

read_requirements(Path("requirements.txt"), environ=environ).requirements[0].place    # requirements.txt:3

The libraries that read these files do not serve: pip-requirements-parser stands still since 2022 and refuses
``--config-settings``, pip-api drops constraints, indexes and markers of addresses. packaging reads the requirement;
lines, options and nested files follow pip's reference, "Requirements File Format", and a test compares with pip itself.
"""

from __future__ import annotations

import argparse
import re
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import field, replace
from functools import cache, partial
from pathlib import Path
from typing import NoReturn

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import (  # fmt: skip
    InvalidSdistFilename,
    InvalidWheelFilename,
    canonicalize_name,
    parse_sdist_filename,
    parse_wheel_filename,
)

from gpuenv.dataclass import dataclass
from gpuenv.documents import conflict_line, conflicted
from gpuenv.errors import ConfigurationError
from gpuenv.net.location import redact
from gpuenv.system.files import decoded as text_of
from gpuenv.system.files import read_bytes

LARGEST = 8 << 20
"""Bytes of the largest requirements file; one of 300 packages with hashes has 0.4 MB."""
DEEPEST, MOST_FILES = 16, 100
"""Files inside files, one below the other and in all."""

_COMMENT = re.compile(r"(^|\s+)#.*$")
_VARIABLE = re.compile(r"\$\{([A-Z0-9_]+)\}")
_ADDRESS = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:(?=//|[^\\/])|(?:git|hg|bzr|svn)\+")
_REMOTE = re.compile(r"(?:https?|ftp)://", re.IGNORECASE)
_NAME = r"[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?"
_NAMED = re.compile(rf"{_NAME}\s*(?:\[[^\]]*\])?\s*@")
_EGG = re.compile(rf"[#&](?:egg|name)=({_NAME})")
_EXTRAS = re.compile(r"^(.+?)\s*\[([^\[\]]*)\]$")
_ARCHIVE = (".whl", ".zip", ".tar.gz", ".tgz", ".tar", ".tar.bz2", ".tbz", ".tar.xz", ".txz", ".tlz", ".tar.lz")

#: What may stand on a line of its own: spellings, then whether a value follows.
_GLOBAL: tuple[tuple[tuple[str, ...], bool], ...] = (
    (("--index-url", "-i", "--pypi-url"), True),
    (("--extra-index-url",), True),
    (("--no-index",), False),
    (("--find-links", "-f"), True),
    (("--constraint", "-c"), True),
    (("--requirement", "-r"), True),
    (("--editable", "-e"), True),
    (("--no-binary",), True),
    (("--only-binary",), True),
    (("--prefer-binary",), False),
    (("--require-hashes",), False),
    (("--no-require-hashes",), False),
    (("--pre",), False),
    (("--all-releases",), True),
    (("--only-final",), True),
    (("--trusted-host",), True),
    (("--use-feature",), True),
)
#: What may stand behind a requirement.
_OWN: tuple[tuple[tuple[str, ...], bool], ...] = ((("--hash",), True), (("--config-settings", "-C"), True))
_OWN_NAMES = frozenset(spellings[0] for spellings, _ in _OWN)


@dataclass(frozen=True, slots=True, kw_only=True)
class FilePlace:
    """Where something is stated: a file as a person names it, and the first of its lines (from 1)."""

    file: str
    line: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line}"


@dataclass(frozen=True, slots=True, kw_only=True)
class StatedRequirement:
    """One requirement of a file. Everything is as it stands there, its variables replaced."""

    text: str
    """The requirement without options: ``torch==2.0.1+cu118; sys_platform == "linux"``. May hold credentials."""
    name: str | None
    """Normalized; ``None`` for a folder or an address that does not say what it holds."""
    place: FilePlace
    specifier: str = ""
    extras: tuple[str, ...] = ()
    marker: str | None = None
    url: str | None = None
    """An address or a path, for one that is not taken from an index. A path is as written: pip takes it from the
    current folder. May hold credentials."""
    editable: bool = False
    hashes: tuple[str, ...] = ()
    """``sha256:…``, those in the fragment of the address too."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StatedOption:
    """An option on a line of its own, by its long name (``--extra-index-url``). ``value`` is empty for one that takes
    none; it may hold credentials. A ``--find-links`` folder beside the file is given by its path from there, as pip
    takes it."""

    name: str
    value: str
    place: FilePlace


@dataclass(frozen=True, slots=True, kw_only=True)
class RequirementsFile:
    """What a requirements file says, with those it names by ``-r`` and ``-c``, in pip's order."""

    requirements: tuple[StatedRequirement, ...]
    constraints: tuple[StatedRequirement, ...]
    options: tuple[StatedOption, ...]
    ignored: tuple[StatedOption, ...]
    """Options of the whole file that stand behind a requirement, where pip lets them count for nothing."""
    files: tuple[Path, ...]
    """Every file that was read, the first one first."""

    def values(self, option: str) -> tuple[str, ...]:
        """The values of an option, by its long name, in the order of the lines."""
        return tuple(each.value for each in self.options if each.name == option)


def read_requirements(
    path: Path, *, shown: str | None = None, environ: Mapping[str, str], text: str | None = None
) -> RequirementsFile:
    """Read a requirements file and those it names.

    ``shown`` is the file's name in places and errors; nested ones are shown beside it. ``environ`` fills in
    ``${NAME}``; ``text`` is read in place of what ``path`` holds. Nothing is fetched: a nested file at an address is an
    error. Raises :class:`~gpuenv.errors.ConfigurationError` with file and line.
    """
    reading = _Reading(environ=environ)
    reading.file(path, shown or path.as_posix(), constraint=False, above=(), text=text)
    return RequirementsFile(
        requirements=tuple(reading.requirements),
        constraints=tuple(reading.constraints),
        options=tuple(reading.options),
        ignored=tuple(reading.ignored),
        files=tuple(reading.files),
    )


@dataclass(slots=True, kw_only=True)
class _Reading:
    """One reading: what was found so far."""

    environ: Mapping[str, str]
    requirements: list[StatedRequirement] = field(default_factory=list)
    constraints: list[StatedRequirement] = field(default_factory=list)
    options: list[StatedOption] = field(default_factory=list)
    ignored: list[StatedOption] = field(default_factory=list)
    files: list[Path] = field(default_factory=list)

    def file(
        self, path: Path, shown: str, *, constraint: bool, above: tuple[Path, ...], text: str | None = None
    ) -> None:
        if text is None:
            text = decoded(read_bytes(path, what="the requirements file", shown=shown, most=LARGEST), shown)
        self.files.append(path)
        for number, line in _lines(text):
            place = FilePlace(file=shown, line=number)
            line = _VARIABLE.sub(lambda found: self.environ.get(found[1]) or found[0], line)
            stated, options = _split(line, place)
            if stated:
                requirement = parse_stated(stated, place)
                hashes = tuple(value for name, value in options if name == "--hash")
                requirement = replace(requirement, hashes=(*requirement.hashes, *hashes))
                (self.constraints if constraint else self.requirements).append(requirement)
                others = (each for each in options if each[0] not in _OWN_NAMES)
                self.ignored += (StatedOption(name=name, value=value, place=place) for name, value in others)
                continue
            for name, value in options:
                self._option(name, value, place, path, constraint=constraint, above=(*above, path))

    def _option(
        self, name: str, value: str, place: FilePlace, path: Path, *, constraint: bool, above: tuple[Path, ...]
    ) -> None:
        match name:
            case "--requirement" | "--constraint":
                self._nested(name, value, place, path, above=above)
            case "--editable":
                requirement = replace(parse_stated(value, place, local=True), editable=True)
                (self.constraints if constraint else self.requirements).append(requirement)
            case "--hash" | "--config-settings":
                pass  # on a line without a requirement they count for nothing, or for an editable one as for pip
            case "--find-links" if not _ADDRESS.match(value) and (path.parent / value).exists():
                self.options.append(StatedOption(name=name, value=str(path.parent / value), place=place))
            case _:
                self.options.append(StatedOption(name=name, value=value, place=place))

    def _nested(self, name: str, value: str, place: FilePlace, path: Path, *, above: tuple[Path, ...]) -> None:
        if _REMOTE.match(value):
            raise ConfigurationError(
                f"{place}: {name} names an address, and no requirements are fetched: {redact(value)}",
                hints=("Download that file, read it, and name the copy instead",),
            )
        nested = Path(re.sub(r"^file:(//(localhost)?)?(?=/)", "", value, flags=re.IGNORECASE))
        shown = nested.as_posix() if nested.is_absolute() else (Path(place.file).parent / nested).as_posix()
        nested = path.parent / nested
        if nested.resolve() in {each.resolve() for each in above}:
            raise ConfigurationError(f"{place}: {shown} is read already: these files name each other in a circle")
        if len(above) >= DEEPEST or len(self.files) >= MOST_FILES:
            raise ConfigurationError(
                f"{place}: {shown} is one file too many: at most {MOST_FILES} are read, {DEEPEST} below each other"
            )
        if not nested.exists():
            raise ConfigurationError(f"{place}: {name} names {shown}, and there is no such file")
        self.file(nested, shown, constraint=name == "--constraint", above=above)


def decoded(body: bytes, shown: str) -> str:
    """The text of a file that holds no NUL; ``pip freeze >`` of Windows PowerShell writes UTF-16."""
    try:
        text = text_of(body)
    except UnicodeDecodeError as error:
        raise ConfigurationError(f"{shown}: it is no text in {error.encoding.upper()} (byte {error.start})") from None
    if "\0" in text:
        raise ConfigurationError(
            f"{shown}: it is no text: line {text[: text.index(chr(0))].count(chr(10)) + 1} holds NUL"
        )
    return text


def _lines(text: str) -> Iterator[tuple[int, str]]:
    r"""Logical lines with the number of their first: continued ones joined, without comments and empty ones.

    >>> list(_lines("a \\\n  b # why\n\n# c \\\nd"))
    [(1, 'a   b'), (5, 'd')]
    """
    parts: list[str] = []
    first = 0
    lines = text.splitlines()
    for number, line in enumerate(lines, start=1):
        comment = _COMMENT.match(line) is not None
        first = first or number
        if line.endswith("\\") and not comment and number < len(lines):
            parts.append(line.rstrip("\\"))
            continue
        parts.append(f" {line}" if comment else line.rstrip("\\"))  # a comment ends what was continued before it
        if joined := _COMMENT.sub("", "".join(parts)).strip():
            yield first, joined
        parts, first = [], 0


class _LineParser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise ValueError(message)


@cache
def _parser() -> _LineParser:
    parser = _LineParser(add_help=False)
    for spellings, valued in (*_GLOBAL, *_OWN):
        name = spellings[0]
        if valued:
            parser.add_argument(*spellings, action="append", dest="found", type=partial(_named_value, name))
        else:
            parser.add_argument(*spellings, action="append_const", dest="found", const=(name, ""))
    return parser


def _named_value(name: str, value: str) -> tuple[str, str]:
    return name, value.lstrip("=")  # `-i=ADDRESS`, which pip takes too


def _split(line: str, place: FilePlace) -> tuple[str, list[tuple[str, str]]]:
    """A line's requirement (empty on a line of options) and its options, by their long names.

    What stands before the first word with a hyphen is the requirement, never split by quotes: a marker holds some.
    """
    words = line.split(" ")
    count = next((number for number, word in enumerate(words) if word.startswith("-")), len(words))
    stated, rest = " ".join(words[:count]).strip(), " ".join(words[count:])
    if not rest:
        return stated, []
    try:
        arguments = shlex.split(rest)
        found, others = _parser().parse_known_args(arguments)
    except ValueError as error:
        raise ConfigurationError(f"{place}: {error}: {redact(line)}") from None
    if others:
        raise ConfigurationError(f"{place}: {redact(others[0])!r} is no option that a requirements file can hold")
    return stated, list(found.found or ())


def parse_stated(text: str, place: FilePlace, *, local: bool = False) -> StatedRequirement:
    """Read one requirement, an address or a path; ``local``: a word without more is a path (``-e word``).

    Raises :class:`~gpuenv.errors.ConfigurationError` with the place.
    """
    if not local and (_NAMED.match(text) or not _is_address_or_path(text)):
        try:
            if re.search(r"\d{1000}", text):
                raise InvalidRequirement("a number has 1,000 digits or more")
            found = Requirement(text)
        except InvalidRequirement as error:
            if conflict_line(text) is not None:
                raise conflicted(place.file, place.line) from None
            reason = str(error).splitlines()[0].strip(" :")
            raise ConfigurationError(f"{place}: {redact(text[:200])!r} is no requirement: {reason}") from None
        return StatedRequirement(
            text=text,
            name=canonicalize_name(found.name),
            place=place,
            specifier=str(found.specifier),
            extras=tuple(sorted(found.extras)),
            marker=str(found.marker) if found.marker else None,
            url=found.url,
            hashes=_fragment_hashes(found.url or ""),
        )
    url, marker = _without_marker(text)
    bare = url if "#" in url else (cut[1] if (cut := _EXTRAS.match(url)) else url)
    extras = cut[2].split(",") if bare != url and (cut := _EXTRAS.match(url)) else []
    name, version = _named_by(bare)
    return StatedRequirement(
        text=text,
        name=name,
        place=place,
        specifier=f"=={version}" if version else "",
        extras=tuple(sorted(each.strip() for each in extras)),
        marker=marker,
        url=bare,
        hashes=_fragment_hashes(bare),
    )


def _is_address_or_path(text: str) -> bool:
    first = text.partition(";")[0].strip()
    path = _EXTRAS.sub(r"\1", first)
    return bool(_ADDRESS.match(first)) or path.startswith(".") or "/" in path or "\\" in path or path.endswith(_ARCHIVE)


def _without_marker(text: str) -> tuple[str, str | None]:
    """An address may hold ``;``: its marker stands behind ``; `` with a blank, that of a path behind any."""
    url, found, marker = text.partition("; " if _ADDRESS.match(text) else ";")
    return url.strip(), marker.strip() or None if found else None


def _named_by(url: str) -> tuple[str | None, str | None]:
    """Name and version that an address or path says: its fragment, the name of a wheel or of a source archive."""
    if egg := _EGG.search(url):
        return canonicalize_name(egg[1]), None
    from urllib.parse import unquote

    filename = unquote(re.split(r"[?#]", url)[0]).replace("\\", "/").rpartition("/")[2]
    try:
        if filename.endswith(".whl"):
            name, version, *_ = parse_wheel_filename(filename)
        else:
            name, version = parse_sdist_filename(filename)
    except (InvalidWheelFilename, InvalidSdistFilename, ValueError):
        return None, None
    return name, str(version)


def _fragment_hashes(url: str) -> tuple[str, ...]:
    parts = url.partition("#")[2].split("&")
    pairs = (part.split("=", 1) for part in parts if "=" in part)
    return tuple(f"{name}:{value}" for name, value in pairs if name in ("sha256", "sha384", "sha512"))
