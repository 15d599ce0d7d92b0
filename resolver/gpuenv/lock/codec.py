"""A lock as text and back: PEP 751, byte for byte reproducible.

Everything an installer needs stands in the standard's own keys, so uv and pip read a lock without gpuenv; what only
gpuenv needs stands under ``[tool.gpuenv]`` and ``[packages.tool.gpuenv]``.
"""

from __future__ import annotations

import re
from typing import get_args

from packaging.pylock import Pylock, PylockUnsupportedVersionError, PylockValidationError
from packaging.utils import canonicalize_name

from gpuenv.documents import DocumentError, parse_toml
from gpuenv.errors import ConfigurationError, IntegrityError, UsageError
from gpuenv.lock import text as toml
from gpuenv.lock.model import (
    HashOrigin,
    Lock,
    LockedDecision,
    LockedPackage,
    LockInputs,
    MachineTarget,
    filename_of,
    is_sha256,
)
from gpuenv.lock.reading import LockTable
from gpuenv.lock.target import environment_marker
from gpuenv.model.decision import GpuSupport
from gpuenv.model.machine import Arch, ComputeCapability, Os
from gpuenv.model.profile import Accelerator
from gpuenv.model.wheel import Channel, SourceKind

FORMAT = 1
"""Of what stands under ``[tool.gpuenv]``; a lock of a later format is refused."""

_WHEEL = re.compile(r"\.wheels\[\d+\]\Z")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*")

_TOP_KEYS = frozenset({"lock-version", "environments", "requires-python", "created-by", "packages", "tool"})
_PACKAGE_KEYS = frozenset({"name", "version", "dependencies", "wheels", "tool"})
"""What :func:`render` writes of the standard's keys. Another, such as a marker that leaves torch out, was added
later."""


def lock_filename(name: str) -> str:
    """The file name of a lock: ``pylock.<name>.toml``, where the name has no dot (PEP 751, "File Name").

    >>> lock_filename("blackwell")
    'pylock.blackwell.toml'

    Raises :class:`~gpuenv.errors.UsageError` for a name no installer would accept.
    """
    if _NAME.fullmatch(name) is None:
        raise UsageError(
            f"a lock cannot be named {name!r}: letters, digits, - and _ only (PEP 751 allows no dot)",
            hints=("Give the profile another name",),
        )
    return f"pylock.{name}.toml"


def render(lock: Lock) -> str:
    """Write a lock. The same lock gives the same text; :func:`parse` gives the lock back."""
    head: dict[str, toml.Value | None] = {
        "lock-version": "1.0",
        "environments": [environment_marker(lock.inputs.target)],
        "requires-python": f"=={lock.inputs.target.python}.*",
        "created-by": "gpuenv",
        "packages": None if lock.packages else [],
    }
    lines = [f"# {_one_line(lock.command)}", *toml.table(head), ""]
    lines += ["[tool.gpuenv]", *toml.table({"format": FORMAT, "command": lock.command}), ""]
    lines += _inputs(lock.inputs)
    lines += _decision(lock.decision)
    for package in lock.packages:
        lines += _package(package)
    return "\n".join(lines).rstrip("\n") + "\n"


def _one_line(command: str) -> str:
    return "".join(character if character.isprintable() else " " for character in command)


def _inputs(inputs: LockInputs) -> list[str]:
    target = inputs.target
    first: dict[str, toml.Value | None] = {
        "profile": inputs.profile,
        "profile-digest": inputs.profile_digest,
        "index-snapshot": inputs.snapshot,
        "sources": inputs.sources,
        "family-hosts": inputs.family_hosts,
        "package-hosts": inputs.package_hosts,
        "cutoff": None if inputs.cutoff is None else toml.Moment(inputs.cutoff),
        "knowledge": inputs.knowledge,
    }
    second: dict[str, toml.Value | None] = {
        "os": target.os,
        "arch": target.arch,
        "libc": target.libc,
        "python": target.python,
        "compute-capabilities": [str(capability) for capability in target.compute_capabilities],
        "driver": target.driver,
    }
    return [
        *("[tool.gpuenv.inputs]", *toml.table(first), ""),
        *("[tool.gpuenv.inputs.machine]", *toml.table(second), ""),
    ]


def _decision(decision: LockedDecision) -> list[str]:
    entries: dict[str, toml.Value | None] = {
        "torch": decision.torch,
        "accelerator": decision.accelerator,
        "wish": decision.wish,
        "variant": decision.variant,
        "channel": decision.channel,
        "source": decision.source,
        "family": decision.family or None,
        "single-source": decision.single_source or None,
        "sass": decision.sass,
        "ptx": decision.ptx,
        "kernels-from": decision.kernels_from or None,
        "least-driver": decision.least_driver,
        "because": decision.because,
        "warnings": decision.warnings,
    }
    lines = ["[tool.gpuenv.decision]", *toml.table(entries), ""]
    for gpu in decision.gpus:
        row: dict[str, toml.Value | None] = {
            "index": gpu.index,
            "name": gpu.name,
            "compute-capability": str(gpu.compute_capability),
            "support": gpu.support,
            "by": gpu.by,
        }
        lines += ["[[tool.gpuenv.decision.gpus]]", *toml.table(row), ""]
    return lines


def _package(package: LockedPackage) -> list[str]:
    wheel: dict[str, toml.Value | None] = {
        "name": package.filename,
        "upload-time": None if package.upload_time is None else toml.Moment(package.upload_time),
        "url": package.url,
        "path": package.path,
        "size": package.size,
        "hashes": {"sha256": package.sha256},
    }
    needs = None if package.dependencies is None else [{"name": name} for name in package.dependencies]
    first: dict[str, toml.Value | None] = {
        "name": package.name,
        "version": package.version,
        "dependencies": needs,
        "wheels": [wheel],
    }
    ours: dict[str, toml.Value | None] = {
        "source": package.source,
        "family": package.family or None,
        "hash-origin": package.hash_origin,
        "git": package.git,
        "signed": package.signed or None,
        "requires": package.requires or None,
    }
    return ["[[packages]]", *toml.table(first), "", "[packages.tool.gpuenv]", *toml.table(ours), ""]


def parse(text: str, *, origin: str) -> Lock:
    """Read a lock that gpuenv wrote. ``origin`` is its name in errors.

    Refuses what no installer should be handed: a wheel without sha256 (uv takes md5 alone even with
    ``--require-hashes``), an empty one, several files for one package, a source distribution.

    Raises :class:`~gpuenv.errors.ConfigurationError` naming file and key.
    """
    try:
        document = parse_toml(text)
    except DocumentError as error:
        raise ConfigurationError(f"{origin}: not TOML: {error}") from None
    try:
        Pylock.from_dict(document)
    except PylockUnsupportedVersionError as error:
        raise ConfigurationError(f"{origin}: lock-version: {error}") from None
    except PylockValidationError as error:
        key = error.context or "the file"
        # A wheel that is not its package's is an edit like those that lock.soundness finds, and ends like them.
        kind = IntegrityError if _WHEEL.search(key) else ConfigurationError
        raise kind(f"{origin}: {key}: {error.message}") from None
    top = LockTable(origin, "", document)
    tool = document.get("tool")
    if not isinstance(tool, dict) or "gpuenv" not in tool:
        raise ConfigurationError(
            f"{origin}: [tool.gpuenv] is missing: this lock was not made by gpuenv",
            hints=("Make one here: `gpuenv lock`",),
        )
    ours = top.table("tool").table("gpuenv")
    _check_format(ours)
    try:
        lock = Lock(
            command=ours.text("command"),
            inputs=_read_inputs(ours.table("inputs")),
            decision=_read_decision(ours.table("decision")),
            packages=tuple(_read_package(row, table) for row, table in enumerate(top.tables("packages"))),
        )
    except ValueError as error:
        raise ConfigurationError(f"{origin}: {error}") from None
    ours.end()
    _refuse_edits(top, lock)
    return lock


def _refuse_edits(top: LockTable, lock: Lock) -> None:
    """Raise where an installer would read something else than what this lock was made for."""
    target = lock.inputs.target
    right = {"environments": [environment_marker(target)], "requires-python": f"=={target.python}.*"}
    for key, ours in right.items():
        if key in top.entries and top.entries[key] != ours:
            raise IntegrityError(f"{top.origin}: {key} is not that of the machine this lock was made for: {ours}")
    packages = ((table, _PACKAGE_KEYS) for table in top.tables("packages"))
    for table, known in ((top, _TOP_KEYS), *packages):
        for key in sorted(set(table.entries) - known):
            place = f"{table.path}.{key}" if table.path else key
            raise IntegrityError(f"{top.origin}: {place} was added later: a lock of gpuenv has none")


def _check_format(ours: LockTable) -> None:
    found = ours.index("format")
    if found != FORMAT:
        ours.fail("format", f"is {found}; this gpuenv reads {FORMAT}")


def _read_inputs(table: LockTable) -> LockInputs:
    machine = table.table("machine")
    target = MachineTarget(
        os=machine.choice("os", get_args(Os)),
        arch=machine.choice("arch", get_args(Arch)),
        libc=machine.maybe_text("libc"),
        python=machine.text("python"),
        compute_capabilities=tuple(
            _capability(machine, f"compute-capabilities[{place}]", text)
            for place, text in enumerate(machine.texts("compute-capabilities"))
        ),
        driver=machine.maybe_text("driver"),
    )
    machine.end()
    inputs = LockInputs(
        profile=table.text("profile"),
        profile_digest=table.text("profile-digest"),
        target=target,
        snapshot=table.text("index-snapshot"),
        sources=table.texts("sources"),
        family_hosts=table.maybe_texts("family-hosts"),
        package_hosts=table.maybe_texts("package-hosts"),
        cutoff=table.maybe_time("cutoff"),
        knowledge=table.text("knowledge"),
    )
    table.end()
    return inputs


def _read_decision(table: LockTable) -> LockedDecision:
    decision = LockedDecision(
        accelerator=table.choice("accelerator", ("cuda", "cpu")),
        wish=table.choice("wish", get_args(Accelerator)),
        torch=table.text("torch"),
        variant=table.text("variant"),
        channel=table.choice("channel", get_args(Channel)),
        source=table.choice("source", get_args(SourceKind)),
        family=table.texts("family"),
        single_source=table.flag("single-source"),
        sass=table.texts("sass"),
        ptx=table.texts("ptx"),
        kernels_from=table.maybe_text("kernels-from") or "",
        least_driver=table.maybe_text("least-driver"),
        gpus=tuple(_read_gpu(row) for row in table.tables("gpus")),
        because=table.texts("because"),
        warnings=table.texts("warnings"),
    )
    table.end()
    return decision


def _read_gpu(table: LockTable) -> GpuSupport:
    support = GpuSupport(
        index=table.index("index"),
        name=table.text("name"),
        compute_capability=_capability(table, "compute-capability", table.text("compute-capability")),
        support=table.choice("support", ("native", "ptx")),
        by=table.text("by"),
    )
    table.end()
    return support


def _capability(table: LockTable, key: str, text: str) -> ComputeCapability:
    try:
        return ComputeCapability.parse(text)
    except ValueError as error:
        table.fail(key, f"is {error}")


def _read_package(row: int, table: LockTable) -> LockedPackage:
    wheels = table.tables("wheels")
    if len(wheels) != 1:
        table.fail("wheels", f"lists {len(wheels)} files; a lock of gpuenv names exactly one wheel a package")
    if "sdist" in table.entries:
        table.fail("sdist", "names a source distribution; a lock of gpuenv holds wheels only")
    wheel = wheels[0]
    url, path = wheel.maybe_text("url"), wheel.maybe_text("path")
    if url is not None and path is not None:
        wheel.fail("path", "stands beside url; a wheel has one place")
    hashes = wheel.table("hashes")
    sha256 = hashes.maybe_text("sha256")
    if sha256 is None:
        hashes.fail("sha256", f"is missing: {', '.join(sorted(hashes.entries))} alone does not identify a file")
    if not is_sha256(sha256):
        hashes.fail("sha256", f"is not a sha256: {sha256!r}")
    ours = table.table("tool").table("gpuenv")
    package = LockedPackage(
        name=table.text("name"),
        version=table.text("version"),
        filename=wheel.maybe_text("name") or filename_of(url or path or ""),
        url=url,
        path=path,
        sha256=sha256,
        size=wheel.maybe_size("size"),
        upload_time=wheel.maybe_time("upload-time"),
        hash_origin=ours.choice("hash-origin", get_args(HashOrigin)),
        source=ours.choice("source", get_args(SourceKind)),
        family=ours.flag("family"),
        requires=ours.texts("requires"),
        git=ours.maybe_text("git"),
        signed=ours.flag("signed"),
        dependencies=_read_dependencies(table),
        row=row,
    )
    ours.end()
    return package


def _read_dependencies(table: LockTable) -> tuple[str, ...] | None:
    if "dependencies" not in table.entries:
        return None
    return tuple(canonicalize_name(row.text("name")) for row in table.tables("dependencies"))
