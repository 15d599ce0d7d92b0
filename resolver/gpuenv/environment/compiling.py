"""One call of ``uv pip compile``: what it is given, and its answer as values."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import field
from pathlib import Path

from packaging.pylock import Package, Pylock, PylockValidationError
from packaging.utils import canonicalize_name

from gpuenv.dataclass import dataclass
from gpuenv.documents import DocumentError, parse_toml
from gpuenv.environment.translate import translate
from gpuenv.environment.uv import Uv
from gpuenv.errors import IntegrityError, MachineError, UvError
from gpuenv.lock.codec import render
from gpuenv.lock.model import Lock, MachineTarget, filename_of, is_sha256
from gpuenv.lock.target import best_wheel, fits
from gpuenv.model.machine import Libc
from gpuenv.model.wheel import Wheel
from gpuenv.net.location import Location, public
from gpuenv.report import Reporter
from gpuenv.system.files import read_text, scratch, write_atomic
from gpuenv.system.process import Ended

DEADLINE = 900.0
"""Seconds for one resolution: minutes where an index has no metadata files and wheels are read by range."""

_BOUND = "pyproject.toml"
"""What uv is given instead of a list where an index is bound to names."""

_MANYLINUX = (17, 28, 31, 32, 33, 34, 35, 36, 37, 38, 39, 40)
"""The glibc 2.x that uv can resolve for (``--python-platform``)."""

_PLATFORMS = {
    ("windows", "x86_64"): "x86_64-pc-windows-msvc",
    ("windows", "aarch64"): "aarch64-pc-windows-msvc",
    ("windows", "arm64"): "aarch64-pc-windows-msvc",
    ("macos", "arm64"): "aarch64-apple-darwin",
    ("macos", "aarch64"): "aarch64-apple-darwin",
    ("macos", "x86_64"): "x86_64-apple-darwin",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Indexes:
    """Where packages outside the family come from. ``default`` ``None`` is uv's own default index.

    All of them together, as pip means them: the best version of any is taken, of equal versions that of the index named
    first, ``default`` before ``extra``. uv gets them by its environment: everybody on a machine may read a command
    line.
    """

    default: Location | None = None
    extra: tuple[Location, ...] = ()
    find_links: tuple[Location, ...] = ()

    @property
    def have_queries(self) -> bool:
        """Whether an address carries a query, which may be a secret."""
        places = (*([self.default] if self.default else []), *self.extra, *self.find_links)
        return any(place.query for place in places)

    def variables(self) -> dict[str, str]:
        """What uv reads them from. A blank or a comma would end an address, and none is left in one."""
        places = [each.with_secrets() for each in (self.default, *self.extra) if each is not None]
        # uv asks its default index last, pip its own first: of equal versions the first that is asked counts.
        found = {"UV_DEFAULT_INDEX": places.pop()} if self.default is not None else {}
        links = [each.with_secrets() for each in self.find_links]
        found |= {"UV_INDEX": " ".join(places)} if places else {}
        found |= {"UV_INDEX_STRATEGY": "unsafe-best-match"} if self.extra else {}
        return found | ({"UV_FIND_LINKS": ",".join(each.replace(",", "%2C") for each in links)} if links else {})


@dataclass(frozen=True, slots=True, kw_only=True)
class NamedIndex:
    """An index that serves the packages named here and no other; they come from nowhere else."""

    url: str
    names: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Resolver:
    """uv, and how it is to be run."""

    uv: Uv
    reporter: Reporter
    interpreter: Path
    """Any Python that runs: uv asks one about itself even when it resolves for another machine."""
    cache: Path | None = None
    offline: bool = False
    refresh: bool = False
    """Ask again, with validators, for what uv has kept."""
    deadline: float = DEADLINE
    extra_env: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Picked:
    """One package of uv's answer. ``url`` is ``None`` for a file that was handed in; ``sha256`` is empty where an
    address was given that says none."""

    name: str
    version: str
    url: str | None
    filename: str
    sha256: str
    size: int | None
    upload_time: str | None
    signed: bool = False
    """Whether the address carried a query."""
    path: str | None = None
    """Of a file that was handed in: a stub of ours, or a person's own wheel."""


def as_wheel(picked: Picked) -> Wheel:
    """A package of uv's answer as a row of its index, to be read."""
    return Wheel(
        project=picked.name,
        version=picked.version,
        filename=picked.filename,
        url=picked.url or "",
        source="package-index",
        channel="stable",
        variant=None,
        sha256=picked.sha256 or None,
        metadata_sha256="",
    )


def python_platform(target: MachineTarget) -> str:
    """uv's name of the machine a lock is for.

    Raises :class:`~gpuenv.errors.MachineError` where uv knows no such machine.
    """
    if target.os != "linux":
        return _PLATFORMS[(target.os, target.arch)]
    glibc = Libc.parse(target.libc)
    minors = [minor for minor in _MANYLINUX if glibc is not None and glibc.serves(Libc("glibc", 2, minor))]
    if not minors:
        raise MachineError(f"no wheels are built for {target.libc or 'a machine without glibc'}")
    arch = "aarch64" if target.arch == "arm64" else target.arch
    return f"{arch}-manylinux_2_{max(minors)}"


def compile_dependencies(
    resolver: Resolver,
    folder: Path,
    *,
    requirements: Sequence[str],
    constraints: Sequence[str],
    overrides: Sequence[str],
    target: MachineTarget,
    indexes: Indexes,
    exclude_newer: str | None,
    preferred: Lock | None,
    bound: Sequence[NamedIndex] = (),
    untimed: Sequence[str] = (),
    alone: bool = False,
    reach: MachineTarget | None = None,
) -> tuple[Picked, ...]:
    """Resolve for ``target``, wheels only. ``preferred`` is a lock whose versions are kept where they still fit.

    uv weighs ``requirements`` in their order. What an index of ``bound`` serves has to be among them: uv takes no
    account of such an index for a name that only another package requires. ``untimed`` are names that ``exclude_newer``
    does not count for: their rows were chosen by their own times.

    ``alone`` leaves out what the packages require. ``reach`` is the target with what its machine has beyond it: what
    that can use is taken where the target can use nothing.

    Raises what :func:`~gpuenv.environment.translate.translate` makes of uv's words when it fails.
    """
    answer = folder / "pylock.dependencies.toml"
    answer.unlink(missing_ok=True)
    if preferred is not None:
        write_atomic(answer, render(preferred), what="the lock to keep to")
    asked = _write(folder / "requirements.in", requirements)
    if bound:
        asked = folder / _BOUND
        write_atomic(asked, _project(requirements, bound), what="uv's input")
    args = ["pip", "compile", str(asked)]
    args += ["--constraints", str(_write(folder / "constraints.txt", constraints))]
    args += ["--overrides", str(_write(folder / "overrides.txt", overrides))]
    args += ["--format", "pylock.toml", "--output-file", str(answer), *_on_target(resolver, reach or target)]
    args += ["--no-deps"] if alone else []
    if exclude_newer is not None:
        args += ["--exclude-newer", exclude_newer]
        for name in untimed:
            args += ["--exclude-newer-package", f"{name}=false"]
    if resolver.offline:
        args.append("--offline")
    elif resolver.refresh:
        args.append("--refresh")
    done = _run(resolver, args, folder, indexes)
    if done.returncode != 0:
        raise translate(done.stderr, doing="uv pip compile")
    return read_answer(read_text(answer, what="the lock that uv wrote"), target, reach)


def default_index(uv: Uv, *, reporter: Reporter) -> str | None:
    """The address of uv's own default index, as uv writes it into a requirements file: gpuenv names no registry itself.

    ``None`` where uv does not say.
    """
    args = ["pip", "compile", "requirements.in", "--emit-index-url", "--no-config", "--offline", "--quiet"]
    with scratch("index") as folder:
        _write(folder / "requirements.in", ())
        args += ["--python", sys.executable]
        done = uv.run(args, cwd=folder, deadline=DEADLINE, reporter=reporter, cache=folder / "cache")
    found = re.search(r"(?m)^--index-url (\S+)$", done.stdout)
    return found[1] if found else None


def _run(resolver: Resolver, args: Sequence[str], folder: Path, indexes: Indexes) -> Ended:
    return resolver.uv.run(
        args,
        cwd=folder,
        deadline=resolver.deadline,
        reporter=resolver.reporter,
        # uv keeps an index's address with its pages, query and all: what is a secret goes with this run.
        cache=folder / "cache" if indexes.have_queries and not resolver.offline else resolver.cache,
        extra_env={**resolver.extra_env, **indexes.variables()},
    )


def _on_target(resolver: Resolver, target: MachineTarget) -> list[str]:
    platform = ["--python-platform", python_platform(target), "--python-version", target.python]
    return [
        "--no-config",
        "--only-binary",
        ":all:",
        "--quiet",
        "--no-header",
        "--python",
        str(resolver.interpreter),
        *platform,
    ]


def read_needs(
    resolver: Resolver,
    folder: Path,
    picked: Sequence[Picked],
    *,
    target: MachineTarget,
    indexes: Indexes,
    exclude_newer: str | None,
    bound: bool = False,
) -> dict[str, tuple[str, ...]]:
    """What each package of the last answer in ``folder`` needs, by name.

    uv's pylock does not say it; its requirements format names for each package those that it was taken for. So uv is
    asked once more with its answer pinned, out of its cache, which holds all of it.
    """
    pins = [f"{each.name}=={each.version}" for each in picked if each.url is not None]
    asked = folder / (_BOUND if bound else "requirements.in")
    args = ["pip", "compile", str(asked), "--annotation-style", "line"]
    for name in ("constraints.txt", _write(folder / "pins.txt", pins).name):
        args += ["--constraints", str(folder / name)]
    args += ["--overrides", str(folder / "overrides.txt"), *_on_target(resolver, target)]
    args += ["--exclude-newer", exclude_newer] if exclude_newer is not None else []
    for offline in (True,) if resolver.offline else (True, False):
        done = _run(resolver, [*args, "--offline"] if offline else args, folder, indexes)
        if done.returncode == 0:
            return _needs(done.stdout, [each.name for each in picked])
    raise translate(done.stderr, doing="uv pip compile")


def _needs(text: str, names: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """Turn ``numpy==2.1.2  # via -r requirements.in, torchvision`` round: torchvision needs numpy."""
    found: dict[str, set[str]] = {name: set() for name in names}
    for line in text.splitlines():
        what, _, via = line.partition(" # via ")
        name = canonicalize_name(re.split(r"[\s=@\[]", what, maxsplit=1)[0])
        for who in via.split(", "):
            if who in found and name in found:
                found[who].add(name)
    return {name: tuple(sorted(needed)) for name, needed in found.items()}


def read_answer(text: str, target: MachineTarget, reach: MachineTarget | None = None) -> tuple[Picked, ...]:
    """Read the pylock that uv wrote: the wheels of each package, or a file we handed in.

    uv lists every wheel of a version that the target can use (one for manylinux2014 and one for manylinux_2_28, say);
    the best of them is taken.
    """
    try:
        packages = Pylock.from_dict(parse_toml(text)).packages
    except (DocumentError, PylockValidationError) as error:
        raise UvError("uv wrote a lock that PEP 751 does not know", causes=(str(error),)) from None
    return tuple(_picked(package, target, reach or target) for package in packages)


def _picked(package: Package, target: MachineTarget, reach: MachineTarget) -> Picked:
    if package.version is None:
        raise UvError(f"uv resolved {package.name} without a version", causes=("a folder or a repository was given",))
    version = str(package.version)
    if package.archive is not None:
        place = package.archive.path or package.archive.url or ""
        return Picked(
            name=package.name,
            version=version,
            url=public(package.archive.url) if package.archive.url else None,
            path=package.archive.path,
            filename=filename_of(place),
            sha256=package.archive.hashes.get("sha256", ""),
            size=None,
            upload_time=None,
        )
    wheels = {wheel.filename: wheel for wheel in package.wheels or ()}
    if not wheels:
        raise UvError(f"uv locked no wheel of {package.name} {version}")
    fitting = [name for name in sorted(wheels) if fits(name, target)]
    wheel = wheels[best_wheel(fitting, target) if fitting else best_wheel(sorted(wheels), reach)]
    sha256 = wheel.hashes.get("sha256", "")
    if not is_sha256(sha256):
        raise IntegrityError(
            f"the index gives no sha256 for {wheel.filename}",
            causes=(f"it gives {', '.join(sorted(wheel.hashes))}",),
            hints=("Take the package from an index that has sha256",),
        )
    place = wheel.url or Path(wheel.path or "").absolute().as_uri()
    return Picked(
        name=package.name,
        version=version,
        url=public(place),
        filename=wheel.filename,
        sha256=sha256,
        size=wheel.size,
        upload_time=None if wheel.upload_time is None else wheel.upload_time.isoformat(),
        signed="?" in place.partition("#")[0],
    )


def _project(requirements: Sequence[str], bound: Sequence[NamedIndex]) -> str:
    """A project for uv: the only place where an index can be bound to names."""
    lines = ["[project]", 'name = "gpuenv-joint-resolution"', 'version = "0"']
    lines += [f"dependencies = {json.dumps(list(requirements))}", "[tool.uv.sources]"]
    for number, index in enumerate(bound):
        lines += [f'{name} = {{ index = "bound-{number}" }}' for name in index.names]
    for number, index in enumerate(bound):
        lines += ["[[tool.uv.index]]", f'name = "bound-{number}"', f"url = {json.dumps(index.url)}", "explicit = true"]
    return "\n".join([*lines, ""])


def _write(path: Path, lines: Sequence[str]) -> Path:
    write_atomic(path, "".join(" ".join(line.split()) + "\n" for line in lines), what="uv's input")
    return path
