"""Answers the decision's questions about wheels, the cheapest way there is: memory, metadata file, byte ranges."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from typing import TYPE_CHECKING

from gpuenv.errors import IntegrityError
from gpuenv.index.facts import WheelFacts
from gpuenv.model.decision import About
from gpuenv.model.wheel import Wheel, WheelContents
from gpuenv.net.client import Absent, Client
from gpuenv.report import Reporter, Silent

if TYPE_CHECKING:
    from gpuenv.index.wheelfile import Want

_METADATA_LIMIT = 8 * 1024 * 1024


def learn(
    wheel: Wheel,
    about: About,
    *,
    http: Client,
    facts: WheelFacts,
    allow_download: bool = False,
    reporter: Reporter | None = None,
) -> WheelContents:
    """Learn one thing about a wheel, and remember it; returns all that is known of the wheel then.

    Metadata comes from the PEP 658 file where the index offers one, checked against its hash, else out of the wheel.
    Code for GPUs, and the build of a companion, are in the wheel alone. Raises
    :class:`~gpuenv.errors.IndexUnreachableError`, ``OfflineError``, and :class:`IntegrityError` where bytes are not
    what the index said.
    """
    known = facts.get(wheel)
    if known is not None and knows(known, about):
        return known
    contents = read_metadata(wheel, http) if about == "metadata" else None
    if contents is None:
        from gpuenv.index.wheelfile import read_contents

        # One opening of a companion answers both of the questions that may be put about it.
        want: tuple[Want, ...] = ("kernels",) if about == "kernels" else ("metadata", "build")
        reading = read_contents(wheel.url, http=http, want=want, filename=wheel.filename, allow_download=allow_download)
        contents = reading.contents
        (reporter or Silent()).detail(
            f"{wheel.filename}: read {reading.bytes:,} of {reading.size:,} bytes in {reading.requests} requests"
        )
    return facts.put(wheel, contents)


def knows(contents: WheelContents, about: About) -> bool:
    """Tell whether contents answer a question. A torch wheel that was looked into and names no kernels does not."""
    if about == "metadata":
        return contents.requires_dist is not None
    if about == "build":
        return contents.cuda is not None
    return contents.sass is not None and contents.ptx is not None


def read_metadata(wheel: Wheel, http: Client) -> WheelContents | None:
    """Read the PEP 658 metadata file of a wheel; ``None`` where the index offers none.

    A file that differs from its hash is fetched once more past the cache, then an :class:`IntegrityError`.
    """
    if wheel.metadata_sha256 is None or not wheel.url.startswith(("http://", "https://")):
        return None
    address = http.address(wheel.url)
    address = replace(address, path=f"{address.path}.metadata")
    for attempt in (1, 2):
        answer = http.get(address, accept="*/*", limit=_METADATA_LIMIT)
        if isinstance(answer, Absent):
            return None  # announced and not there: the wheel itself still has it
        found = hashlib.sha256(answer.body).hexdigest()
        if wheel.metadata_sha256 in ("", found):
            from gpuenv.index.inside import requirements_of

            requires, python = requirements_of(answer.body, filename=wheel.filename)
            return WheelContents(
                requires_dist=requires, requires_python=python, origin="metadata", detail="metadata file of the index"
            )
        http.forget(address)
        if attempt == 2 or not answer.kept:
            break
    raise IntegrityError(
        f"the metadata of {wheel.filename} is not what the index says",
        causes=[f"expected sha256 {wheel.metadata_sha256}", f"received {found}", f"address: {address}"],
        hints=["Run the command again with --refresh: the file may just have been replaced"],
    )
