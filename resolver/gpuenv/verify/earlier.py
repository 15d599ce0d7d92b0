"""What an earlier verification of an environment proved, and under which circumstances, read from its evidence."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path

from gpuenv.dataclass import dataclass
from gpuenv.errors import ConfigurationError
from gpuenv.model.profile import VerificationPlan
from gpuenv.system.files import present
from gpuenv.verify import baseline


@dataclass(frozen=True, slots=True, kw_only=True)
class EarlierProof:
    """The circumstances that a proof holds under; texts as the evidence has them, empty where it says nothing."""

    folder: Path
    verdict: str
    created: str
    gpuenv: str
    environment: str
    lock_sha256: str
    plan: VerificationPlan | None
    """What was asked of it; ``None`` where it cannot be told."""
    system: str
    """``linux x86_64, glibc 2.39``."""
    driver: str
    gpus: tuple[tuple[str, str, str], ...]
    """UUID, name and compute capability of each GPU that it was proved on."""
    asked: frozenset[tuple[str, str]] = frozenset()
    """Name and expectation of each check."""


def read_proof(folder: Path) -> EarlierProof | None:
    """Read the evidence in a folder; ``None`` where there is none.

    Raises :class:`~gpuenv.errors.ConfigurationError` or :class:`~gpuenv.errors.FileError` for what is no evidence.
    """
    path = folder / "evidence.json"
    if not present(path):
        return None
    value = baseline.read(path)
    try:
        about, machine = _table(value["about"]), _table(value["machine"])
        driver = machine["driver"] and _table(machine["driver"])["version"]
        proved = set(map(str, _list(about.get("gpus") or [])))
        checks = [_table(each) for each in _list(value["checks"])]
        gpus = [_table(each) for each in _list(machine["gpus"])]
        return EarlierProof(
            folder=folder,
            verdict=str(value["verdict"]),
            created=str(about["created"]),
            gpuenv=str(about["gpuenv"]),
            environment=str(about["environment"]),
            lock_sha256=str(about["lock_sha256"] or ""),
            plan=_plan(about.get("plan")),
            system=f"{machine['os']} {machine['arch']}, {machine['libc'] or 'no libc'}",
            driver=str(driver or "none"),
            gpus=tuple(
                (str(each["uuid"]), str(each["name"]), str(each["compute_capability"]))
                for each in gpus
                if str(each["uuid"]) in proved
            ),
            asked=frozenset((str(each["name"]), str(each["expected"])) for each in checks),
        )
    except (LookupError, TypeError) as error:
        raise ConfigurationError(f"{path} lacks a fact", causes=(f"{type(error).__name__}: {error}",)) from None


def _plan(value: object) -> VerificationPlan | None:
    names = {each.name for each in fields(VerificationPlan)}
    if not isinstance(value, dict) or set(value) != names:
        return None
    return VerificationPlan(**value)


def _table(value: object) -> Mapping[str, object]:
    if not isinstance(value, Mapping):
        raise TypeError(f"a {type(value).__name__} where a table belongs")
    return value


def _list(value: object) -> list[object]:
    if not isinstance(value, list):
        raise TypeError(f"a {type(value).__name__} where a list belongs")
    return value
