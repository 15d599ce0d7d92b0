"""What the decision says on every machine of the tables: each GPU, system, driver and Python that makes a difference.

The catalog is what the tables know of PyTorch's index, so that it needs no network; the answers are the decision's own.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import field
from functools import lru_cache

from gpuenv.dataclass import dataclass
from gpuenv.knowledge import Knowledge
from gpuenv.knowledge.facts import Release
from gpuenv.model.decision import Decision, NoDecision
from gpuenv.model.machine import Arch, ComputeCapability, Driver, Gpu, Machine, Os
from gpuenv.model.profile import Profile
from gpuenv.model.wheel import Catalog, Wheel
from gpuenv.select.decide import decide
from gpuenv.select.request import Request

DRIVER, CUDA = "{driver}", "{cuda}"
"""Stand in the sentences for the driver's number and the CUDA it knows: every driver of a step gets the same answer."""
_MARK = ".77777"
"""What tells the number of an asked driver from one of the tables, and keeps its place among them."""
_RECENT = 12
"""So many of the newest releases say which Pythons are asked about."""
_ASKED = (4, None)
"""So many of the newest are asked, then all where those have no native code: that comes before all else (`Rank`)."""
_PROFILE = Profile(name="auto", description="", origin="", accelerator="cuda", packages=("torch",))


@dataclass(frozen=True, slots=True, kw_only=True)
class System:
    """One kind of machine that torch is built for. ``tag`` is the end of its wheels' names."""

    name: str
    os: Os
    arch: Arch
    platform: str
    tag: str
    wsl: bool = False

    @property
    def driver_os(self) -> Os:
        """The system whose driver numbers count there."""
        return "windows" if self.wsl else self.os


_MANYLINUX = "manylinux_2_28"
SYSTEMS = (
    System(name="Linux, x86_64", os="linux", arch="x86_64", platform="linux_x86_64", tag=f"{_MANYLINUX}_x86_64"),
    System(name="Windows", os="windows", arch="x86_64", platform="win_amd64", tag="win_amd64"),
    System(name="WSL 2", os="linux", arch="x86_64", platform="linux_x86_64", tag=f"{_MANYLINUX}_x86_64", wsl=True),
    System(name="Linux, aarch64", os="linux", arch="aarch64", platform="linux_aarch64", tag=f"{_MANYLINUX}_aarch64"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class MachineAnswer:
    """What a machine gets: ``torch`` and ``variant``, empty where nothing fits, and ``because``, which says why.

    ``by`` is the code that serves the GPU; ``read`` tells whether it was read from the wheel itself, or follows from
    the configuration of its build.
    """

    torch: str = ""
    variant: str = ""
    by: str = ""
    native: bool = False
    read: bool = False
    because: tuple[str, ...]
    warnings: tuple[str, ...] = ()
    hints: tuple[str, ...] = ()


Run = tuple[int, int]
"""From which step of the driver on, which answer holds, by their places."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MachineAnswers:
    """All answers. ``steps`` are each system's driver versions at which something changes, ascending. ``runs`` are
    those of each system, capability and Python, by their places; below the first step the first answer holds."""

    capabilities: tuple[ComputeCapability, ...]
    pythons: tuple[str, ...]
    steps: tuple[tuple[str, ...], ...]
    answers: tuple[MachineAnswer, ...]
    runs: tuple[tuple[tuple[tuple[Run, ...], ...], ...], ...]


def answer_all(knowledge: Knowledge, capabilities: tuple[ComputeCapability, ...]) -> MachineAnswers:
    """Decide for every machine of the tables."""
    asked, pythons = _CardQuery(knowledge=knowledge), recent_pythons(knowledge)
    steps = tuple(knowledge.driver_steps(system.driver_os) for system in SYSTEMS)
    places: dict[MachineAnswer, int] = {}

    def runs(system: System, drivers: tuple[str, ...], capability: ComputeCapability, python: str) -> Iterator[Run]:
        last = -1
        for step, driver in enumerate(drivers):
            place = places.setdefault(asked.answer(system, capability, driver, python), len(places))
            if place != last:
                yield step, place
            last = place

    found = tuple(
        tuple(tuple(tuple(runs(system, drivers, each, python)) for python in pythons) for each in capabilities)
        for system, drivers in zip(SYSTEMS, steps, strict=True)
    )
    return MachineAnswers(capabilities=capabilities, pythons=pythons, steps=steps, answers=tuple(places), runs=found)


def recent_pythons(knowledge: Knowledge) -> tuple[str, ...]:
    """The Pythons that the newest releases have wheels for, ascending; not the free-threaded ones."""
    found = {tag for release in _newest(knowledge)[:_RECENT] for _, tags in release.pythons for tag in tags}
    minors = sorted(int(tag.removeprefix("cp3")) for tag in found if not tag.endswith("t"))
    return tuple(f"3.{minor}" for minor in minors)


def _newest(knowledge: Knowledge) -> list[Release]:
    return sorted(knowledge.releases.values(), key=lambda release: release.uploaded, reverse=True)


Build = tuple[str, str, str]
"""A torch, its variant and the date of its upload."""


@dataclass(slots=True, kw_only=True)
class _CardQuery:
    """Decisions that were made. Pythons with the same builds share theirs: nothing else tells them apart."""

    knowledge: Knowledge
    made: dict[tuple[System, ComputeCapability, str, tuple[Build, ...]], MachineAnswer] = field(default_factory=dict)

    def answer(self, system: System, capability: ComputeCapability, driver: str, python: str) -> MachineAnswer:
        for count in _ASKED:
            builds = self._builds(system, python, count)
            key = (system, capability, driver, builds)
            if key not in self.made:
                self.made[key] = _decide(self.knowledge, system, capability, driver, python, builds)
            if self.made[key].native:
                break
        return self.made[key]

    def _builds(self, system: System, python: str, count: int | None) -> tuple[Build, ...]:
        tag = f"cp{python.replace('.', '')}"
        return tuple(
            (release.torch, variant, release.uploaded)
            for release in _newest(self.knowledge)[:count]
            if tag in dict(release.pythons).get(system.platform, ())
            for variant in dict(release.variants).get(system.platform, ())
        )


def _decide(
    knowledge: Knowledge,
    system: System,
    capability: ComputeCapability,
    driver: str,
    python: str,
    builds: tuple[Build, ...],
) -> MachineAnswer:
    asked = f"{driver}{'' if '.' in driver else '.0'}{_MARK}"
    known = f"{knowledge.driver_cuda(driver, system.driver_os)}{_MARK}"
    machine = machine_of(system, capability, Driver(version=asked, cuda=known, source="as given"))
    catalog = Catalog(wheels=tuple(_wheel(knowledge, system, python, build) for build in builds))
    request = Request(pythons=(python,), nightly_offered=True)
    found = decide(machine, _PROFILE, catalog, {}, request, knowledge)

    def put(texts: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(text.replace(asked, DRIVER).replace(known, CUDA) for text in texts)

    match found:
        case Decision(packages=(torch, *_), gpus=(served, *_)):
            row = knowledge.kernel_row(torch)
            return MachineAnswer(
                torch=torch.version.partition("+")[0],
                variant=found.variant,
                by=served.by,
                native=served.support == "native",
                read=row is not None and row.read,
                because=put(found.because),
                warnings=put(found.warnings),
            )
        case NoDecision():
            return MachineAnswer(because=put((found.summary, *found.causes)), hints=put(found.hints))
        case _:
            return MachineAnswer(
                because=("The tables do not know the code of these wheels: `gpuenv resolve` reads it.",)
            )


def machine_of(system: System, capability: ComputeCapability, driver: Driver) -> Machine:
    """A machine of a system with one GPU; its C library is new enough for every wheel."""
    return Machine(
        os=system.os,
        arch=system.arch,
        libc="glibc 2.39" if system.os == "linux" else None,
        wsl=system.wsl,
        container=False,
        driver=driver,
        gpus=(Gpu(index=0, uuid="", name="this GPU", compute_capability=capability, memory_bytes=None, mig=False),),
    )


@lru_cache(maxsize=20_000)  # the same wheels are asked about on every machine of a system
def _wheel(knowledge: Knowledge, system: System, python: str, build: Build) -> Wheel:
    torch, variant, uploaded = build
    tag = f"cp{python.replace('.', '')}"
    name = f"torch-{torch}+{variant}-{tag}-{tag}-{system.tag}.whl"
    return Wheel(
        project="torch",
        version=f"{torch}+{variant}",
        filename=name,
        url=f"{knowledge.pytorch_index}/{variant}/{name.replace('+', '%2B')}",
        source="pytorch",
        channel="stable",
        variant=variant,
        upload_time=uploaded,
    )
