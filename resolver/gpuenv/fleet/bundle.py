"""Packs what a host needs before anything else into one file that installs itself: gpuenv, uv, perhaps a Python.

gpuenv's wheels are made of what is installed here, without machine code: they serve every system and Python. uv is this
machine's own; for hosts of another kind its wheels, and builds of Python, lie in a folder that the person names.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import tarfile
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from gpuenv.environment.own_wheels import own_wheels, state
from gpuenv.errors import UsageError
from gpuenv.system.files import scratch, write_atomic

_SCRIPT = Path(__file__).with_name("bootstrap.sh")
_PROGRAM = 0o755
_KEPT = 6
"""Files of earlier bundles that stay in the cache: another run may be using them."""


def kept_bundle(folder: Path, *, uv: Path, carried: Path | None) -> Path:
    """The bundle in a folder of the cache, made again where anything that goes into it changed."""
    inputs = [uv, *(sorted(each for each in carried.iterdir() if each.is_file()) if carried is not None else ())]
    facts = [f"{path.name} {(found := path.stat()).st_size} {found.st_mtime_ns}" for path in inputs]
    key = hashlib.sha256("\n".join((state(), *facts)).encode()).hexdigest()
    path = folder / f"{key}.run"
    if not path.with_name(f"{path.name}.sha256").is_file():
        folder.mkdir(parents=True, exist_ok=True)
        for old in sorted(folder.glob("*.run*"), key=lambda each: each.stat().st_mtime)[:-_KEPT]:
            old.unlink(missing_ok=True)
        make_bundle(path, uv=uv, carried=carried)
    return path


def make_bundle(target: Path, *, uv: Path, carried: Path | None) -> str:
    """Write the bundle, its digest beside it, and return that. What is the same gives the same bytes.

    ``carried`` holds wheels of uv (``uv-*.whl``) and archives of Python (``*python*.tar.gz``, with a folder ``python``
    inside, as python-build-standalone's ``install_only`` ones). Raises :class:`UsageError` where it holds neither.
    """
    body = io.BytesIO()
    with (
        gzip.GzipFile(fileobj=body, mode="wb", compresslevel=1, mtime=0) as packed,
        tarfile.open(fileobj=packed, mode="w", format=tarfile.GNU_FORMAT) as archive,
    ):
        for name, data, mode in sorted(_members(uv, carried)):
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode = len(data), mode
            archive.addfile(entry, io.BytesIO(data))
    payload = body.getvalue()
    script = _SCRIPT.read_bytes()
    digest = hashlib.sha256(script + payload).hexdigest()
    write_atomic(target, script.replace(b"@DIGEST@", digest.encode()) + payload, what="the bundle", mode=_PROGRAM)
    write_atomic(target.with_name(f"{target.name}.sha256"), digest, what="the bundle's digest")
    return digest


def _members(uv: Path, carried: Path | None) -> Iterator[tuple[str, bytes, int]]:
    with scratch("wheels") as folder:
        for wheel in own_wheels(folder, pure=True):
            yield f"wheels/{wheel.name}", wheel.read_bytes(), 0o644
    yield "uv-0", uv.read_bytes(), _PROGRAM
    if carried is None:
        return
    found = [*_uvs(sorted(carried.glob("uv-*.whl"))), *_pythons(sorted(carried.glob("*python*.tar.gz")))]
    if not found:
        raise UsageError(
            f"{carried} holds neither a wheel of uv nor an archive of Python to carry",
            hints=("Put there what `pip download uv --no-deps --platform manylinux2014_aarch64` fetches",),
        )
    yield from found


def _uvs(wheels: Sequence[Path]) -> Iterator[tuple[str, bytes, int]]:
    for number, path in enumerate(wheels, start=1):
        with zipfile.ZipFile(path) as wheel:
            program = next((name for name in wheel.namelist() if name.endswith(".data/scripts/uv")), None)
            if program is not None:
                yield f"uv-{number}", wheel.read(program), _PROGRAM


def _pythons(archives: Sequence[Path]) -> Iterator[tuple[str, bytes, int]]:
    for path in archives:
        yield f"python-{path.name}", path.read_bytes(), 0o644
