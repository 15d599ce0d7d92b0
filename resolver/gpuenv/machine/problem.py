"""What can be wrong with a driver, and the evidence that it rests on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal, Self

from gpuenv.dataclass import dataclass
from gpuenv.documents import shipped
from gpuenv.knowledge.scheduler import Scheduler

if TYPE_CHECKING:
    from gpuenv.machine.linux import Host, Remains
    from gpuenv.machine.nvml import NvmlAnswer
    from gpuenv.machine.smi import SmiAnswer

Kind = Literal[
    "library-missing", "library-broken", "library-outdated", "compute-library-missing", "driver-not-installed",
    "driver-not-loaded", "version-mismatch", "no-permission", "blocked", "container-without-gpu", "devices-lost",
    "no-device", "gpu-lost", "reset-required", "insufficient-power", "interrupt", "gpu-unreadable", "mig-empty",
    "busy", "hang", "crash", "jetson", "unseen", "not-given", "driver-version", "unknown",
]  # fmt: skip
"""Stable names of what can be wrong, one for each thing to do about it."""


By = Literal["you", "the host's owner", "the site's administrator"]
"""Who can do it. ``you``: whoever owns this machine or session; a command with ``sudo`` needs root."""


class CommandHint(str):
    """A hint that a command follows: "act: `command`", then ``after``."""

    command: str

    def __new__(cls, act: str, command: str, after: str = "") -> Self:
        hint = super().__new__(cls, f"{act}: `{command}`{after}")
        hint.command = command
        return hint

    @classmethod
    def parse(cls, text: str) -> Self | str:
        """Read a hint that was written to a file, where it is a sentence; one of another form stays what it is.

        >>> CommandHint.parse("Reboot: `sudo reboot`").command
        'sudo reboot'
        """
        act, _, rest = text.partition(": `")
        command, end, after = rest.partition("`")
        return cls(act, command, after) if end else text


@dataclass(frozen=True, slots=True, kw_only=True)
class DriverProblem:
    """Why a GPU that is there cannot be used. ``summary`` is one sentence without a final period; ``causes`` are the
    facts it rests on, with where they were read; ``hints`` are things for ``by`` to do, the likeliest first;
    ``options`` is what the person can do here instead."""

    kind: Kind
    summary: str
    causes: tuple[str, ...] = ()
    hints: tuple[str, ...] = ()
    options: tuple[str, ...] = ()
    by: By = "you"

    @property
    def advice(self) -> tuple[str, ...]:
        """Everything to do, each sentence with who does it where that is another."""
        return (*(for_whom(hint, self.by) for hint in self.hints), *self.options)


def for_whom(hint: str, by: By) -> str:
    """The hint, with who has to follow it where that is not the person who reads it."""
    match by:
        case "you":
            return hint
        case "the host's owner":
            return f"By hand, on the host, by its owner: {hint}"
        case "the site's administrator":
            return f"By hand, by the site's administrator: {hint}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """All that was learned of one machine. ``host`` is ``None`` on Windows, where ``adapters`` stand instead."""

    host: Host | None
    answer: NvmlAnswer
    smi: SmiAnswer | None
    remains: Remains
    adapters: tuple[str, ...] = ()
    """Hardware keys of NVIDIA display adapters in the Windows registry."""
    others: tuple[str, ...] = ()
    """Hardware keys of display adapters of other makers in the Windows registry."""
    registry: str | None = None
    """NVIDIA's driver version by the Windows registry, asked where NVML is silent."""
    jobs: tuple[Scheduler, ...] = ()
    """The schedulers in whose job this process runs, innermost first."""
    visible: str | None = None
    """NVIDIA_VISIBLE_DEVICES, by which a container runtime is asked for GPUs; ``None`` where it is not set."""
    shadow: str | None = None
    """A file that programs import in place of NVIDIA's pynvml; gpuenv does not."""


DMESG = "sudo dmesg | grep -i -e nvrm -e xid"
"""Shows what the driver complains of."""

EVENTS = "Get-WinEvent -FilterHashtable @{LogName='System'; ProviderName='nvlddmkm'} -MaxEvents 20"
"""Shows it on Windows, in PowerShell."""

RESTART = "shutdown /r /t 0"
"""Restarts Windows."""

OF_LINUX = ("sudo ", "dmesg", "/etc/", "module", "nvidia-persistenced")
"""Words of advice that cannot be followed on Windows."""

CPU = "If the CPU is what you want: `gpuenv create --profile cpu`"


USERS_OWN = frozenset({"busy", "library-outdated", "jetson"})
"""Problems that are in the session, the image or nobody's hands, wherever they are met."""


def problem(
    kind: Kind, evidence: Evidence, causes: Sequence[str], *, case: str = "", by: By | None = None, **words: str
) -> DriverProblem:
    """A problem of the table (``problems.toml``), in the ``case`` of it that is at hand, with ``words`` filled in.

    A case says what is other than in its kind. ``by`` is whoever keeps the machine, where nobody else is named.
    """
    table = shipped(__file__, "problems")[kind]
    row = table | table.get(case, {})
    words |= {"cpu": CPU, "dmesg": DMESG}
    return DriverProblem(
        kind=kind,
        summary=row["summary"].format(**words),
        causes=tuple(causes),
        hints=tuple(
            _hint(each, words) for each in (_on_windows(row["hints"]) if evidence.host is None else row["hints"])
        ),
        options=tuple(_hint(each, words) for each in row.get("options", ())),
        by=by or ("you" if kind in USERS_OWN else keeper(evidence)),
    )


def _on_windows(hints: Sequence[str | list[str]]) -> Sequence[str | list[str]]:
    """Those hints of a row that can be followed on Windows; where none can, what helps against most of it there."""
    left = [each for each in hints if not any(word in str(each) for word in OF_LINUX)]
    return left or [["Restart Windows", RESTART], "If it stays, install NVIDIA's driver for the card again"]


def hints_of(kind: Kind, case: str, **words: str) -> tuple[str, ...]:
    """What a case of the table alone says is to do."""
    return tuple(_hint(each, words) for each in shipped(__file__, "problems")[kind][case]["hints"])


def _hint(written: str | list[str], words: dict[str, str]) -> str:
    if isinstance(written, str):
        return written.format(**words)
    return CommandHint(*(text.format(**words) for text in written))


def keeper(evidence: Evidence) -> By:
    """Who can change the driver, its devices and the firmware of this machine."""
    if any(job.name != "Ray" for job in evidence.jobs):
        return "the site's administrator"
    if evidence.host is not None and evidence.host.container:
        return "the host's owner"
    return "you"


def traces(evidence: Evidence) -> tuple[str, ...]:
    """Everything that shows an NVIDIA GPU or its loaded driver on this machine, with where it was seen."""
    host = evidence.host
    if host is None:
        return tuple(f"Windows lists a display adapter {key}" for key in evidence.adapters)
    seen = [
        f"PCI device {gpu.address} is an NVIDIA GPU (10de:{gpu.device.removeprefix('0x')}), "
        + (f"bound to the kernel driver {gpu.bound_to}" if gpu.bound_to else "bound to no kernel driver")
        for gpu in host.pci or ()
        if gpu.bound_to != "vfio-pci"  # handed to a virtual machine on purpose
    ]
    if host.tegra:
        seen.append(f"the system-on-chip is an NVIDIA {host.tegra} (device tree)")
    if host.wsl_driver:
        seen.append("Windows passes an NVIDIA GPU through (/dev/dxg, /usr/lib/wsl/lib)")
    if not seen and (host.pci is None or host.container):
        if host.module:
            seen.append(f"the NVIDIA kernel module {host.module.version} is loaded ({host.module.source})")
        seen += [f"device node {node}" for node in host.nodes[:3]]
        if evidence.answer.driver:
            seen.append(f"driver {evidence.answer.driver} answers (NVML)")
    elif not seen and host.nodes and host.module and not host.pci:
        seen.append(f"the NVIDIA kernel module {host.module.version} has made {len(host.nodes)} device nodes in /dev")
    return tuple(seen)
