"""What lies in an environment, read from its files: nothing of it is run, so nothing of it can lie."""

from __future__ import annotations

import base64
import csv
import hashlib
import io
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from packaging.utils import canonicalize_name

from gpuenv.errors import TargetError

FAMILY = ("torch", "torchvision", "torchaudio", "triton", "pytorch-triton", "triton-windows")
LARGEST_HASHED = 4 << 20
"""Above this, sizes are compared only: hashing gigabytes of libraries would take longer than the verification."""
KNOWN_STARTUP = ("_virtualenv.pth", "distutils-precedence.pth")
"""Start-up code that environment makers and setuptools put there themselves."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Distribution:
    """One installed project, as its metadata folder names it."""

    project: str
    version: str
    folder: Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Installed:
    """An environment at rest."""

    environment: Path
    python: Path
    python_version: str
    site_packages: Path
    paths: tuple[Path, ...]
    """Every folder that the interpreter would search, without running any start-up code."""
    system_site_packages: bool
    distributions: tuple[Distribution, ...]
    torch_version: str | None
    """Out of ``torch/version.py``: what torch says of itself."""
    torch_cuda: str | None
    """``""``: a build without CUDA. ``None``: there is no torch."""
    startup: tuple[str, ...]
    """Files that run code at every start of the interpreter, beyond the usual ones."""
    altered: tuple[str, ...]
    """Files of the family that are not what their RECORD says, at most twenty."""
    compared: int

    def version_of(self, project: str) -> str | None:
        """Return a project's installed version; of several, the one written last wins, as at import."""
        return next((item.version for item in self.distributions if item.project == project), None)


def look(environment: Path) -> Installed:
    """Read an environment. Raises :class:`TargetError` where there is none."""
    python = find_python(environment)
    if python is None:
        raise TargetError(
            f"{environment} is not a Python environment: it has no interpreter",
            hints=(f"gpuenv create {environment}",),
        )
    site_packages, version = _site_packages(environment)
    configuration = _configuration(environment)
    distributions = tuple(_distributions(site_packages))
    torch_version, torch_cuda = _torch_words(site_packages)
    altered, compared = _compare(site_packages, distributions)
    return Installed(
        environment=environment,
        python=python,
        python_version=version,
        site_packages=site_packages,
        paths=(site_packages, *_path_lines(site_packages)),
        system_site_packages=configuration.get("include-system-site-packages", "false").lower() == "true",
        distributions=distributions,
        torch_version=torch_version,
        torch_cuda=torch_cuda,
        startup=tuple(_startup(site_packages)),
        altered=altered,
        compared=compared,
    )


def find_python(environment: Path) -> Path | None:
    """Return the environment's interpreter; never resolved, since a link's place makes the environment."""
    for place in ("bin/python", "bin/python3", "Scripts/python.exe", "python.exe"):
        if (candidate := environment / place).exists():
            return candidate
    return None


def _site_packages(environment: Path) -> tuple[Path, str]:
    candidates = [*sorted(environment.glob("lib/python3*/site-packages")), environment / "Lib" / "site-packages"]
    found = [path for path in candidates if path.is_dir()]
    if not found:
        raise TargetError(f"{environment} is not a Python environment: it has no site-packages folder")
    # A folder with torch in it is the one in use; leftovers of an older Python have none.
    best = next((path for path in found if (path / "torch").is_dir()), found[-1])
    return best, best.parent.name.removeprefix("python")


def _configuration(environment: Path) -> dict[str, str]:
    try:
        lines = (environment / "pyvenv.cfg").read_text("utf-8", errors="replace").splitlines()
    except OSError:
        return {}
    pairs = (line.partition("=") for line in lines if "=" in line)
    return {key.strip().lower(): value.strip() for key, _, value in pairs}


def _distributions(site_packages: Path) -> Iterator[Distribution]:
    for folder in sorted(site_packages.glob("*.dist-info")):
        name, _, version = folder.name.removesuffix(".dist-info").rpartition("-")
        if name:
            yield Distribution(project=canonicalize_name(name), version=version.replace("_", "-"), folder=folder)


def _torch_words(site_packages: Path) -> tuple[str | None, str | None]:
    try:
        text = (site_packages / "torch" / "version.py").read_text("utf-8", errors="replace")
    except OSError:
        return None, None
    version = re.search(r"""^__version__\s*(?::[^=]*)?=\s*['"]([^'"]+)['"]""", text, re.MULTILINE)
    cuda = re.search(r"""^cuda\s*(?::[^=]*)?=\s*['"]([^'"]+)['"]""", text, re.MULTILINE)
    return (version[1] if version else None), (cuda[1] if cuda else "")


def _path_files(site_packages: Path) -> Iterator[tuple[str, str]]:
    for file in sorted(site_packages.glob("*.pth")):
        try:
            text = file.read_text("utf-8-sig", errors="replace")
        except OSError:
            continue
        for line in text.splitlines():
            yield file.name, line.strip()


def _path_lines(site_packages: Path) -> Iterator[Path]:
    """Yield folders that ``.pth`` files add (site documentation: lines that begin with ``import`` are run instead)."""
    for _, line in _path_files(site_packages):
        if line and not line.startswith(("#", "import ", "import\t")) and (path := site_packages / line).is_dir():
            yield path


def _startup(site_packages: Path) -> Iterator[str]:
    for name in ("sitecustomize", "usercustomize"):
        for form in (f"{name}.py", name, f"{name}.pyc"):
            if (site_packages / form).exists():
                yield form
    files = {name for name, line in _path_files(site_packages) if line.startswith(("import ", "import\t"))}
    yield from sorted(files - set(KNOWN_STARTUP))


def _compare(site_packages: Path, distributions: tuple[Distribution, ...]) -> tuple[tuple[str, ...], int]:
    """Compare the family's files with their RECORD (PyPA, "Recording installed projects")."""
    altered: list[str] = []
    compared = 0
    for item in distributions:
        if item.project not in FAMILY:
            continue
        try:
            text = (item.folder / "RECORD").read_text("utf-8")
        except OSError:
            altered.append(f"{item.folder.name}/RECORD (missing)")
            continue
        for row in csv.reader(io.StringIO(text)):
            if len(row) == 3 and row[1] and not row[0].startswith(("..", "/")):
                compared += 1
                if why := _difference(site_packages / row[0], row[1], row[2]):
                    altered.append(f"{row[0]} ({why})")
    return tuple(altered[:20]), compared


def _difference(path: Path, digest: str, size: str) -> str:
    try:
        there = path.stat().st_size
    except OSError:
        return "missing"
    if size.isdecimal() and there != int(size):
        return "size"
    algorithm, _, wanted = digest.partition("=")
    if path.suffix != ".py" or there > LARGEST_HASHED or algorithm != "sha256":
        return ""
    found = base64.urlsafe_b64encode(hashlib.sha256(path.read_bytes()).digest()).rstrip(b"=").decode()
    return "" if found == wanted else "content"
