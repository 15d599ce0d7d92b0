"""Whether a companion is of torch's build: the CUDA of both, compared as the companion does when it is imported."""

from __future__ import annotations

from gpuenv.dataclass import dataclass
from gpuenv.knowledge import Knowledge
from gpuenv.model.wheel import WheelContents
from gpuenv.select.candidates import CatalogEntry, label


@dataclass(frozen=True, slots=True)
class Unread:
    """The wheel has to be read before its build can be compared."""


@dataclass(frozen=True, slots=True)
class Apart:
    """The two do not go together, or nothing tells that they do (``unknown``)."""

    detail: str
    unknown: bool = False


def built_with(knowledge: Knowledge, entry: CatalogEntry, read: WheelContents | None) -> str | None:
    """CUDA of a companion (``""``: built without), by what was read out of it, else by its name or folder.

    ``None`` where nothing tells it. A file in a folder of wheels is believed only where it does not say otherwise.
    """
    if read is not None and read.cuda is not None:
        return read.cuda
    if entry.build in ("cuda", "cpu"):
        return knowledge.cuda_of(entry.variant or "") or ""
    return None


def same(knowledge: Knowledge, torch: CatalogEntry, entry: CatalogEntry, read: WheelContents | None) -> bool:
    """Whether a companion that goes with torch is of the very same CUDA, as far as anybody compares it."""
    if entry.wheel.project not in knowledge.import_checks or torch.variant is None:
        return True
    return built_with(knowledge, entry, read) in (knowledge.cuda_of(torch.variant) or "", None)


def compare(
    knowledge: Knowledge,
    torch: CatalogEntry,
    entry: CatalogEntry,
    read: WheelContents | None,
    *,
    unreadable: str | None = None,
) -> Unread | Apart | None:
    """Compare the build of a companion with that of a torch wheel; ``None`` where they go together.

    Projects outside the table compare nothing at import, and pass. So does everything beside a torch whose own build
    is not known yet: it is compared when that was read. ``unreadable`` says why the companion could not be read.
    """
    check = knowledge.import_checks.get(entry.wheel.project)
    if check is None or torch.variant is None:
        return None
    own = built_with(knowledge, entry, read)
    if unreadable is None and (read is None or read.cuda is None) and (own is None or _anybodys(entry)):
        return Unread()
    if own is None:
        return Apart(f"which CUDA {label(entry.wheel)} is built with is not known: {unreadable}", unknown=True)
    theirs = knowledge.cuda_of(torch.variant) or ""
    if check.passes(own, theirs):
        return None
    refuses = f"; {entry.wheel.project} compares the two at import ({check.source})" if own and theirs else ""
    return Apart(f"{label(entry.wheel)} is {_words(own)}, {label(torch.wheel)} is {_words(theirs)}{refuses}")


def _anybodys(entry: CatalogEntry) -> bool:
    """Whether a wheel is read although its name tells the build: a file in a folder may be anybody's."""
    return entry.wheel.source == "find-links"


def _words(cuda: str) -> str:
    return f"built with CUDA {cuda}" if cuda else "built without CUDA"
