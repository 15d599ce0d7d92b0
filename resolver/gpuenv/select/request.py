"""What the person asks for on top of the profile, and whether the profile fits the machine at all."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from packaging.specifiers import SpecifierSet

from gpuenv.dataclass import dataclass
from gpuenv.knowledge import Knowledge
from gpuenv.model.asked import Stated
from gpuenv.model.machine import Gpu, Machine
from gpuenv.model.profile import ChannelChoice, Profile


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What one run asks for. It overrides the profile where both speak."""

    pythons: tuple[str, ...]
    """Interpreters that can be had, best first: ``("3.12", "3.11")``; ``"3.13t"`` asks for a free-threaded one."""
    torch: str | None = None
    """Version specifier for torch (``"==2.9.1"``), beside the profile's own."""
    variant: str | None = None
    channel: ChannelChoice | None = None
    gpus: tuple[int, ...] | None = None
    """Indices of the GPUs in scope; ``None``: all."""
    exclude_newer: str | None = None
    """Date or RFC 3339 time; wheels uploaded later do not exist."""
    pins: tuple[str, ...] = ()
    """Requirements on the family that packages outside it make (``"torch==2.8.0"``, ``"torchaudio"``), beside the
    profile's own."""
    stated: tuple[Stated, ...] = ()
    """Requirements of the person's project, those on the family without markers."""
    exclude: tuple[str, ...] = ()
    """Requirements (``"torch==2.10.0"``) that may not be chosen."""
    insist_unknown: bool = False
    """Accept what cannot be established: kernels that no source tells, a driver that was not seen, a missing time."""
    cpu: bool = False
    """A CPU build is asked for, whatever the profile says."""
    require_hash: bool = False
    """Only wheels whose sha256 the index gives."""
    nightly_offered: bool = False
    """The nightly pages were asked for already, whatever came of it: do not ask for them again."""
    unanswered: tuple[tuple[str, str], ...] = ()
    """Questions that were put and could not be answered: (URL of the wheel, reason)."""
    most_reads: int = 12
    """After so many wheels were read out of which none has the code, no further one is read."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Constraints:
    """The requirements of profile and request, taken apart. ``required`` and ``optional`` are companions of torch, by
    name; ``others`` are not of the family, as written."""

    versions: Mapping[str, tuple[SpecifierSet, ...]]
    """Version specifiers of the projects that are decided here, torch among them."""
    required: tuple[str, ...]
    optional: tuple[str, ...]
    others: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ProfileMismatch:
    """Why a profile and a machine do not go together: one sentence that says what was found."""

    message: str
    hints: tuple[str, ...] = ()


def wants_cpu(profile: Profile, machine: Machine, request: Request) -> bool:
    """Tell whether a CPU build is the answer.

    "CPU is chosen only when the profile asks for it or there is no GPU" (docs/architecture.md, never a silent CPU).
    ``--variant cpu`` counts as asking.
    """
    if request.cpu or profile.accelerator == "cpu" or (request.variant or profile.variant) == "cpu":
        return True
    return profile.accelerator == "auto" and not machine.gpus


def gpus_in_scope(machine: Machine, request: Request) -> tuple[Gpu, ...]:
    """Return the GPUs that count, in the machine's order."""
    if request.gpus is None:
        return machine.gpus
    return tuple(gpu for gpu in machine.gpus if gpu.index in request.gpus)


def fits(profile: Profile, machine: Machine, request: Request, knowledge: Knowledge) -> ProfileMismatch | None:
    """Check the machine against the profile before anything is downloaded.

    ``None`` where they go together. Whether any wheel fits is another question, for :func:`gpuenv.select.decide`.
    """
    for index in request.gpus or ():
        if index not in {gpu.index for gpu in machine.gpus}:
            return ProfileMismatch(
                message=f"there is no GPU {index}: this machine has {_list(machine.gpus) or 'no NVIDIA GPU'}",
                hints=("Run `gpuenv detect` to see the GPUs by index",),
            )
    if wants_cpu(profile, machine, request):
        return None
    if not machine.gpus:
        why = ": macOS has no NVIDIA driver" if machine.os == "macos" else ""
        return ProfileMismatch(
            message=f"profile {profile.name} needs an NVIDIA GPU, and this machine has none{why}",
            hints=("Use `--profile cpu` for a CPU build", "Run `gpuenv detect` to see what was found"),
        )
    gpus = gpus_in_scope(machine, request)
    named = profile.compute_capabilities
    if named and not any(gpu.compute_capability in named for gpu in gpus):
        *some, last = map(str, named)
        names = f"{', '.join(some)} or {last}" if some else last
        return ProfileMismatch(
            message=f"profile {profile.name} is for compute capability {names}, and this machine has {_list(gpus)}",
            hints=("Use `--profile auto` to let the GPU decide", "Run `gpuenv profiles` to see what each is for"),
        )
    return _driver_mismatch(profile, machine, knowledge)


def _driver_mismatch(profile: Profile, machine: Machine, knowledge: Knowledge) -> ProfileMismatch | None:
    least, driver = profile.least_driver, machine.driver
    if least is None or driver is None or knowledge.driver_reach(machine, least) is not None:
        return None
    return ProfileMismatch(
        message=f"profile {profile.name} needs driver {least}, found {driver.version} ({driver.place})",
        hints=knowledge.install_hints(machine, f"Install NVIDIA driver {least} or newer"),
    )


def _list(gpus: Sequence[Gpu]) -> str:
    return ", ".join(f"GPU {gpu.index} {gpu.name} ({gpu.compute_capability})" for gpu in gpus)
