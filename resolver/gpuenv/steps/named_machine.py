"""A machine by the name of its card: ``rtx5090``, ``rtx5090@576.88``, for questions that need no machine file."""

from __future__ import annotations

import re
from dataclasses import replace

from gpuenv import knowledge
from gpuenv.errors import UsageError
from gpuenv.knowledge.called import capabilities_of, gpus_called, only_on_arm
from gpuenv.knowledge.rules import compare_versions, is_dotted
from gpuenv.model.machine import Driver, Machine
from gpuenv.select.answers import SYSTEMS, machine_of

ASSUMED = "assumed: the newest of the tables that serves it"
_LIKE_A_FILE = re.compile(r"[\\/]|\.(?:json|toml|txt)\Z")


def is_named(text: str) -> bool:
    """Whether a text can only be the name of a card: it looks like no file."""
    return _LIKE_A_FILE.search(text) is None


def named_machine(text: str) -> Machine:
    """The machine with one card of a name, on Linux; ``NAME@DRIVER`` says its driver, else the newest is assumed.

    Raises :class:`~gpuenv.errors.UsageError` for a name that stands for no card, or for several that differ.
    """
    name, at, version = text.partition("@")
    known = knowledge.load()
    if at and not is_dotted(version):
        raise UsageError(
            f"--machine {text}: {version!r} is no driver version",
            hints=(f"Write it behind the name, such as {name}@580.65.06",),
        )
    capabilities = sorted(set(capabilities_of(known, name, typed="--machine")))
    if len(capabilities) > 1:
        hints = (f"Say which: `--machine {capabilities[-1]}`",)
        said = " and ".join(map(str, capabilities))
        raise UsageError(f"--machine {name} stands for cards of compute capability {said}", hints=hints)
    capability = capabilities[0]
    architecture = known.architectures.get(capability)
    platforms = architecture.platforms if architecture is not None else ()
    gpus = gpus_called(known.gpus, name)
    if any(map(only_on_arm, (name, *(each.name for each in gpus[:1])))):
        platforms = ("linux_aarch64",)
    system = next((each for each in SYSTEMS if each.platform in platforms), SYSTEMS[0])
    steps = known.driver_steps(system.driver_os)
    last = known.last_branch_for(capability)
    served = [each for each in steps if last is None or compare_versions(each.partition(".")[0], last) <= 0]
    newest = (each for each in served if compare_versions(each, served[-1]) == 0)  # one may be written in two ways
    driver = version or max(newest, key=len)
    cuda = known.driver_cuda(driver, system.driver_os)
    source = "--machine" if version else ASSUMED
    made = machine_of(system, capability, Driver(version=driver, cuda=cuda, source=source))
    label = f"NVIDIA {gpus[0].name}" if gpus else f"a GPU of compute capability {capability}"
    return replace(made, gpus=tuple(replace(gpu, name=label) for gpu in made.gpus))
