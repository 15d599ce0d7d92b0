"""Which GPUs a person means: a name as it is written in chats and shops, a generation, a compute capability."""

from __future__ import annotations

import re
from collections.abc import Sequence
from difflib import get_close_matches
from operator import eq

from gpuenv.errors import UsageError
from gpuenv.knowledge import files
from gpuenv.knowledge.base import Knowledge
from gpuenv.knowledge.facts import GpuName
from gpuenv.knowledge.names import all_keys, find_gpu, gpu_key, unbranded
from gpuenv.model.machine import ComputeCapability

#: Words that a person leaves out or adds without meaning another chip, after the brands of ``names``.
_SERIES = frozenset({"rtx", "gtx", "gt", "gts"})
_GLUED = re.compile(
    r"^(geforce|quadro|tesla|rtx|gtx|gt)(?=pro|[a-z]?\d)|(?<=pro)(?=\d)|(?<=\d)(?=(?:ti|super)(?:super)?$)|(?<=ti)(?=super$)"
)
_CODE = re.compile(r"(?:sm|compute)_?(\d+)(\d)[af]?", re.IGNORECASE)
#: Words behind a name that say its memory, its socket or a part of it, not its chip: "A100-SXM4-40GB MIG 1g.5gb".
_AFTER = re.compile(r"\d+gb|sxm\d?|pcie|hbm\w*|mig|\d+g\.\d+gb|\d+[qcab]|mobile|max|q|laptop|desktop|oem|gpu")


def capabilities_of(knowledge: Knowledge, text: str, *, typed: str = "gpuenv matrix") -> tuple[ComputeCapability, ...]:
    """Read what a person calls a GPU: ``8.6``, ``sm_86``, ``Ampere``, ``rtx3090``; all that an ambiguous name means.
    ``typed`` is what stands before the name where a person types it.

    Raises ``UsageError`` with the nearest names for what is none of these.
    """
    wanted = text.strip()
    code = _CODE.fullmatch(wanted)
    try:
        return (ComputeCapability.parse(f"{code[1]}.{code[2]}" if code else wanted),)
    except ValueError:
        pass
    found = _generation(knowledge, wanted) or [gpu.compute_capability for gpu in gpus_called(knowledge.gpus, wanted)]
    if not found:
        near = nearest_names(knowledge, wanted)
        raise UsageError(
            f"no GPU is known by the name {text!r}",
            hints=(
                *(f'Did you mean `{typed} "{name}"`?' for name in near),
                f"{'Or give' if near else 'Give'} a compute capability: `{typed} 8.6`",
                "Run `gpuenv matrix` for those there are, `gpuenv detect` for the GPUs of this machine",
            ),
        )
    return tuple(sorted(set(found)))


def gpus_called(gpus: Sequence[GpuName], text: str) -> tuple[GpuName, ...]:
    """All GPUs of a name, however it is written; the strictest reading that finds any.

    Readings: the name itself; as one word ("titanv"); without brand and series ("5090", "rtx5090"); its beginning
    ("A100-SXM", "H100"); with what follows a name left out ("A100-SXM4-40GB MIG 1g.5gb"); some words of it
    ("Jetson Thor", "DGX Spark").
    """
    if exact := find_gpu(gpus, text):
        return exact
    wanted = _words(text)
    if not wanted:
        return ()
    glued = gpu_key(text).replace(" ", "")
    if found := tuple(gpu for gpu in gpus if any(glued in _glued(key) for key in all_keys(gpu))):
        return found
    known = [(gpu, _words(key)) for gpu in gpus for key in all_keys(gpu)]
    for matches in (eq, _begins, _followed, _within):
        found = tuple(dict.fromkeys(gpu for gpu, words in known if matches(wanted, words)))
        if found:
            return found
    return ()


def only_on_arm(name: str) -> bool:
    """Whether the name of a GPU is that of a chip which is sold with an Arm CPU alone.

    >>> only_on_arm("GH200 480GB"), only_on_arm("H200")
    (True, False)
    """
    return not set(name.upper().split()).isdisjoint(files.read("systems")["aarch64"])


def _generation(knowledge: Knowledge, text: str) -> list[ComputeCapability]:
    """The capabilities of a generation, of its full name ("Ada Lovelace") too."""
    first = text.casefold().partition(" ")[0]
    if any(character.isdigit() for character in text):
        return []
    return [capability for capability, row in knowledge.architectures.items() if row.name.casefold() == first]


def _glued(key: str) -> tuple[str, str]:
    return key.replace(" ", ""), unbranded(key).replace(" ", "")


def nearest_names(knowledge: Knowledge, text: str) -> list[str]:
    """Up to three names or generations that look like ``text``, the most alike first."""
    spelled = {row.name.casefold(): row.name for row in knowledge.architectures.values()}
    for gpu in knowledge.gpus:
        spelled.setdefault(" ".join(_words(gpu.name)), gpu.name)
    return [spelled[key] for key in get_close_matches(" ".join(_words(text)), spelled, n=3, cutoff=0.7)]


def _words(text: str) -> tuple[str, ...]:
    """The words that tell the chip: no brand, no series, what is glued together taken apart.

    >>> _words("NVIDIA GeForce RTX3080Ti")
    ('3080', 'ti')
    """
    key = unbranded(" ".join(_GLUED.sub(lambda found: f"{found[0]} ", word) for word in gpu_key(text).split()))
    words = key.replace("_", " ").replace("/", " ").split()
    told = tuple(word for word in words if word not in _SERIES and word != "gpu")
    return told if _numbered(told) else tuple(words)


def _numbered(words: tuple[str, ...]) -> bool:
    return any(character.isdigit() for word in words for character in word)


def _begins(wanted: tuple[str, ...], words: tuple[str, ...]) -> bool:
    """The name begins so; the last word may be the beginning of one where a number follows it ("SXM" of "SXM4")."""
    if len(wanted) > len(words) or wanted[:-1] != words[: len(wanted) - 1] or not _numbered(wanted):
        return False
    last, rest = wanted[-1], words[len(wanted) - 1].removeprefix(wanted[-1])
    return words[len(wanted) - 1].startswith(last) and (not rest or (last[-1].isalpha() and rest.isdigit()))


def _within(wanted: tuple[str, ...], words: tuple[str, ...]) -> bool:
    """Two or more whole words of the name, wherever they stand: "Jetson Thor" of "Jetson AGX Thor"."""
    return len(wanted) > 1 and set(wanted) <= {word.strip("()") for word in words}


def _followed(wanted: tuple[str, ...], words: tuple[str, ...]) -> bool:
    after = wanted[len(words) :]
    return bool(words) and wanted[: len(words)] == words and all(map(_AFTER.fullmatch, after))
