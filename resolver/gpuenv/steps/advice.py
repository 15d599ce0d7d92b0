"""Advice for a refusal: the command as it was typed, with the few words changed that give an answer."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from gpuenv.model.decision import Alternative, Change
from gpuenv.shell import quote
from gpuenv.steps.context import Context

_PLAIN = re.compile(r"[\w@%+:,./-]+")


def advice(alternative: Alternative, *, words: Sequence[str], profile: str, origin: str) -> str:
    """One hint: what to change, what it gives, and the command. ``words`` were typed behind ``gpuenv``; ``origin`` is
    the profile's file."""
    gives = alternative.gives + (f" without {' and '.join(alternative.lacks)}" if alternative.lacks else "")
    said = " and ".join(_instead(change, profile=profile, origin=origin) for change in alternative.changes)
    said = said[0].upper() + said[1:]
    if not all(change.option for change in alternative.changes):
        return f"{said}, {gives} would be chosen"
    values = {change.option: change.values for change in alternative.changes}
    return f"{said}, {gives} is chosen: `{retyped(words, values, profile=profile)}`"


def _instead(change: Change, *, profile: str, origin: str) -> str:
    named = " ".join(f"--{change.option} {value}" for value in change.values)
    match change.constraint:
        case "gpu":
            which = f"GPU {change.values[0]}" if len(change.values) == 1 else f"GPUs {', '.join(change.values)}"
            return f"for {which} alone"
        case "certainty":
            return "taking what cannot be established on trust"
        case "accelerator":
            return "on the CPU"
        case "required":
            return f"with {change.said} in `optional-packages` of profile {profile} ({origin})"
        case "profile-python" | "profile-torch" | "profile-companions":
            return f"without {change.said} ({origin})"
        case "python" if not change.said:
            return f"with {named}"
        case _ if change.values:
            return f"with {named} instead of {change.said}"
        case _:
            return f"without {change.said}"


def retyped(line: Sequence[str], values: Mapping[str, tuple[str, ...]], *, profile: str) -> str:
    """The command line with some options changed; no value takes an option out, or sets a flag that was not there.

    >>> retyped(["resolve", "--variant=cu128", "-v"], {"variant": ("cu126",)}, profile="auto")
    'gpuenv resolve -v --variant cu126'
    >>> retyped(["lock", "--all"], {"torch": ("==2.9.1",)}, profile="hopper")
    'gpuenv lock --profile hopper --torch "==2.9.1"'
    """
    kept: list[str] = []
    typed = [*(word for word in line if word != "--all")]
    dropped = {f"--{name}" for name in values}
    named = "--all" in line and "profile" not in values
    place, seen = 0, set()
    while place < len(typed):
        name, equals, _ = typed[place].partition("=")
        if name in dropped:
            seen.add(name)
            place += 1 if equals or name in _FLAGS else 2
            continue
        kept.append(typed[place])
        place += 1
    added = ["--profile", profile] if named else []
    for name, each in values.items():
        added += [word for value in each for word in (f"--{name}", value)]
        if not each and f"--{name}" in _FLAGS and f"--{name}" not in seen:
            added.append(f"--{name}")
    return " ".join(["gpuenv", *map(shown, [*(kept or ["resolve"]), *added])])


def of_profile(hint: str, profile: str) -> str:
    """A hint whose commands are about the profile that was typed; those that name one already stay as they are.

    >>> of_profile("Make room, or see `gpuenv lock --check`", "hopper")
    'Make room, or see `gpuenv lock --check --profile hopper`'
    >>> of_profile("Run `gpuenv detect`, or `gpuenv create --profile cpu`", "hopper")
    'Run `gpuenv detect`, or `gpuenv create --profile cpu`'
    """

    def named(found: re.Match[str]) -> str:
        told = "--profile" in found[0] or any(word in _OF_NO_PROFILE for word in found[0].split())
        return found[0] if told else f"{found[0]} --profile {quote(profile)}"

    return _OF_A_PROFILE.sub(named, hint)


def aimed(context: Context, target: Path, *words: str, profile: str) -> str:
    """The ``create`` that was typed, with ``words`` in place of ``target``; after another verb the profile's alone."""
    if context.words[:1] != ("create",):
        return retyped(["create", "--profile", profile, *words], {}, profile=profile)
    place = os.path.realpath(target)
    kept = [
        word for word in context.words[1:] if word.startswith("-") or os.path.realpath(context.project / word) != place
    ]
    return retyped(["create", *kept, *words], {}, profile=profile)


_OF_A_PROFILE = re.compile(r"(?<=`)gpuenv (?:create|lock|resolve|add|remove|export)\b[^`>|&]*(?=`)")
"""A command in a hint whose answer depends on the profile."""

_OF_NO_PROFILE = frozenset({"--help", "--all", "--env"})

_FLAGS = frozenset({"--allow-unknown-kernels"})


def shown(word: str) -> str:
    """A word as any shell takes it: Windows' own knows double quotes only, zsh expands a leading ``=``."""
    if _PLAIN.fullmatch(word):
        return word
    return quote(word) if any(mark in word for mark in '"$`\\!') else f'"{word}"'
