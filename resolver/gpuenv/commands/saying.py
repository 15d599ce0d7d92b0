"""What a command says to a person of the machine and of the decision, before and after it is made."""

from __future__ import annotations

from gpuenv import select
from gpuenv.commands.context import Context
from gpuenv.commands.deciding import Decided
from gpuenv.commands.seeing import Seen, in_words
from gpuenv.commands.wanted import bare_request
from gpuenv.model.profile import Profile


def say_machine(context: Context, seen: Seen, profile: Profile) -> None:
    """Say first what this is. Without a GPU the first line says so, and that it is CPU."""
    machine = seen.machine
    if select.wants_cpu(profile, machine, bare_request(context)):
        found = "No NVIDIA GPU in this machine" if not machine.gpus else f"Found {in_words(machine)}"
        if seen.broken:
            found = f"No NVIDIA GPU can be used ({seen.broken})"
        why = (
            f"profile {profile.name} asks for it"
            if profile.accelerator == "cpu"
            else "gpuenv serves NVIDIA GPUs and the CPU"
        )
        if (machine.gpus or seen.broken) and profile.accelerator != "cpu":
            why = "--variant cpu asks for it"
        context.reporter.say(f"{found}: this is a CPU environment ({why})")
    else:
        where = "Detected" if seen.here else f"For the machine in {seen.origin}:"
        context.reporter.say(f"{where} {in_words(machine)}")
    for note in seen.notes:
        context.reporter.say(f"  {note}")


def say_decision(context: Context, decided: Decided) -> None:
    """Say what was chosen, the reasons, and what to expect."""
    decision = decided.decision
    names = " ".join(f"{wheel.project} {wheel.version}" for wheel in decision.packages)
    context.reporter.say(f"Selected {names} for Python {decision.python} from {decided.place.words}")
    for sentence in decision.because:
        context.reporter.say(f"  {sentence}")
    for warning in decision.warnings:
        context.reporter.warn(warning)
