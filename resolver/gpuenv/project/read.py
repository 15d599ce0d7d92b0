"""Reads whatever fixes a project's packages: tells the kind of a file by what stands in it, and of a folder by what
lies in it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from gpuenv.documents import DocumentError, not_toml, parse_toml
from gpuenv.errors import ConfigurationError, UsageError
from gpuenv.installed.environment import EnvironmentFacts, read_environment
from gpuenv.project.pins import FlatProject, Kind, MarkedPin, Pin, PinnedFile, Project, Relevant
from gpuenv.project.requirements_file import FilePlace, decoded
from gpuenv.system.files import read_bytes, read_text

LARGEST = 64 << 20
"""Bytes of the largest lock that is read; one of 300 packages has 1.5 MB."""

LOCKS = ("uv.lock", "pylock.toml", "poetry.lock", "pdm.lock", "pixi.lock", "requirements.txt", "environment.yml")
"""What a folder is looked through for, in this order."""

_TOML = re.compile(r"\A(?:\s*(?:#.*)?\n)*\s*(?:\[|[\w.\"'-]+\s*=\s*(?!=))")
_YAML = re.compile(r"\A(?:\s*(?:#.*|---|%YAML.*)?\n)*[\w-]+\s*:(?:\s|\Z)")
#: What only one of the formats holds at the beginning of a line: parsing a large lock twice costs as much as the check.
_KINDS: tuple[tuple[Kind, tuple[tuple[str, ...], ...]], ...] = (
    ("pdm", (("lock_version",), ("[metadata]",))),
    ("pylock", (("lock-version",), ("[[packages]]", "packages"))),
    ("poetry", (("lock-version",), ("[metadata]",))),
    ("uv", (("version",), ("requires-python",))),
    ("pixi", (("version:",), ("environments:",), ("packages:",))),
    ("conda", (("dependencies:",),)),
)
_PROJECT = ("[project]", "[build-system]", "[dependency-groups]", "[tool.poetry]", "[tool.uv]", "[tool.pixi")
_READ = "uv.lock, pylock.toml, poetry.lock, pdm.lock, pixi.lock, a requirements file, environment.yml, an environment"


def read_project(path: Path, *, shown: str, environ: Mapping[str, str], relevant: Relevant) -> Project:
    """Read a lock, a requirements file, an environment, or the project in a folder.

    Raises :class:`~gpuenv.errors.UsageError` for what is none of these, and
    :class:`~gpuenv.errors.ConfigurationError` with the place of what cannot be used.
    """
    if path.is_dir():
        return _folder(path, shown=shown, environ=environ, relevant=relevant)
    body = read_bytes(path, what="the file", shown=shown, most=LARGEST)
    if body.startswith((b"PK\3\4", b"\x1f\x8b", b"BZh", b"\x7fELF")):
        hints = (f"To see what is in a wheel: `gpuenv inspect {shown}`",) if shown.endswith(".whl") else ()
        raise UsageError(f"{shown} is an archive or a program, not a file that locks packages", hints=hints)
    text = decoded(body, shown).replace("\r\n", "\n")
    kind = kind_of(text)
    if kind is None and _is_project(text):
        return _beside(path, shown=shown, environ=environ, relevant=relevant)
    if kind is None:
        raise _unknown(text, shown)
    return _of_kind(kind, text, path, shown=shown, environ=environ, relevant=relevant)


def kind_of(text: str) -> Kind | None:
    """Tell the kind of a file by its text; ``None`` for TOML, YAML or JSON that is none of them.

    >>> kind_of("version = 1\\nrevision = 3\\nrequires-python = '>=3.10'\\n"), kind_of("torch==2.9.1\\n")
    ('uv', 'requirements')
    """
    if _is_project(text):
        return None
    if _TOML.match(text) or _YAML.match(text):
        lines = f"\n{text}"
        found = (kind for kind, signs in _KINDS if all(any(f"\n{one}" in lines for one in each) for each in signs))
        return next(found, None)
    return None if text.lstrip()[:1] in ("{", "<") else "requirements"


def _is_project(text: str) -> bool:
    """Whether a text is a ``pyproject.toml``."""
    return _TOML.match(text) is not None and any(f"\n{each}" in f"\n{text}" for each in _PROJECT)


def _of_kind(
    kind: Kind, text: str, path: Path, *, shown: str, environ: Mapping[str, str], relevant: Relevant
) -> Project:
    match kind:
        case "uv":
            from gpuenv.project.uv_lock import read_uv_lock

            return read_uv_lock(text, shown=shown, relevant=relevant, default_groups=_default_groups(path.parent))
        case "pylock" | "gpuenv":
            from gpuenv.project.toml_locks import read_pylock

            return read_pylock(text, shown=shown, relevant=relevant)
        case "poetry":
            from gpuenv.project.toml_locks import read_poetry_lock

            return read_poetry_lock(text, shown=shown, relevant=relevant)
        case "pdm":
            from gpuenv.project.toml_locks import read_pdm_lock

            return read_pdm_lock(text, shown=shown, relevant=relevant)
        case "pixi":
            from gpuenv.project.conda_lock import read_pixi_lock

            return read_pixi_lock(text, shown=shown, relevant=relevant)
        case "conda":
            from gpuenv.project.conda_lock import read_environment_file

            return read_environment_file(text, shown=shown, relevant=relevant)
        case _:
            from gpuenv.project.pinned_requirements import read_pinned_requirements

            return read_pinned_requirements(path, shown=shown, environ=environ, relevant=relevant, text=text)


def _unknown(text: str, shown: str) -> UsageError:
    """What is wrong with a file of no known kind: it is damaged, or it is something else."""
    if _TOML.match(text):
        try:
            parse_toml(text)
        except DocumentError as error:
            return not_toml(shown, text, error)
    machine = '"compute_capability"' in text[: 1 << 20]
    return UsageError(
        f"{shown} locks no packages in a way that gpuenv reads",
        hints=(
            f"A machine file is for `--machine {shown}`; name a lock before it" if machine else f"Name one of {_READ}",
        ),
    )


def _folder(path: Path, *, shown: str, environ: Mapping[str, str], relevant: Relevant) -> Project:
    inside = any((path / each).exists() for each in ("pyvenv.cfg", "conda-meta", "lib/site-packages"))
    found = next((path / each for each in LOCKS if (path / each).is_file()), None)
    if not inside and found is not None:
        below = f"{shown}/{found.name}" if shown != "." else found.name
        return read_project(found, shown=below, environ=environ, relevant=relevant)
    if not inside and (path / "pyproject.toml").is_file():
        raise _unlocked(f"{shown}/pyproject.toml" if shown != "." else "pyproject.toml")
    return environment_project(read_environment(path, shown=shown), shown=shown, relevant=relevant)


def _beside(path: Path, *, shown: str, environ: Mapping[str, str], relevant: Relevant) -> Project:
    """The lock that stands beside a ``pyproject.toml``."""
    found = next((path.with_name(each) for each in LOCKS[:5] if path.with_name(each).is_file()), None)
    if found is None:
        raise _unlocked(shown)
    beside = shown.rpartition("/")[0]
    return read_project(
        found, shown=f"{beside}/{found.name}" if beside else found.name, environ=environ, relevant=relevant
    )


def _unlocked(shown: str) -> UsageError:
    return UsageError(
        f"{shown} locks nothing, and there is no lock beside it",
        hints=("Lock it first: `uv lock`, or `gpuenv lock` for a lock that fits this machine",),
    )


def _default_groups(folder: Path) -> frozenset[str] | None:
    """``tool.uv.default-groups`` of the project that a lock belongs to; ``None`` where it names none."""
    try:
        top = parse_toml(read_text(folder / "pyproject.toml", what="the project"))
    except (ConfigurationError, DocumentError):
        return None
    tool = top.get("tool")
    uv = tool.get("uv") if isinstance(tool, dict) else None
    groups = uv.get("default-groups") if isinstance(uv, dict) else None
    if groups == "all":
        known = top.get("dependency-groups")
        return frozenset(known) if isinstance(known, dict) else None
    return frozenset(map(str, groups)) if isinstance(groups, list) else None


def environment_project(facts: EnvironmentFacts, *, shown: str, relevant: Relevant) -> FlatProject:
    """An environment as what it has fixed: each distribution, by the tags of the wheel it came from."""
    pins = []
    for each in (*facts.inherited, *facts.distributions):
        if relevant(each.name):
            tag = each.tags[0] if each.tags else "py3-none-any"  # conda's metadata names none
            wheel = f"{each.name.replace('-', '_')}-{each.version}-{tag}.whl"
            pin = Pin(
                name=each.name,
                version=_installed_version(each.name, each.version, facts),
                place=FilePlace(file=f"{shown}/{each.info}/METADATA", line=1),
                wheels=(PinnedFile(url=wheel),),
            )
            pins.append(MarkedPin(pin=pin))
    version = ".".join(facts.python_version.split(".")[:2])
    return FlatProject(
        kind="environment",
        shown=shown,
        count=len(facts.distributions) + len(facts.inherited),
        pins=tuple(pins),
        requires_python=f"=={version}.*" if version else "",
    )


def _installed_version(name: str, version: str, facts: EnvironmentFacts) -> str:
    """torch's build, which its own files tell where its version does not: that of PyPI has no local part."""
    torch = facts.torch
    if name != "torch" or torch is None or "+" in version or "+" not in torch.version:
        return version
    return f"{version}+{torch.version.partition('+')[2]}" if torch.version.partition("+")[0] == version else version
