"""Reads the page of an answer: from what the cache keeps of it in compact form, else by parsing it, which is kept then.

A form holds for the very bytes of a page at its very address, and for the code that read it: with another of them it is
made again. So one mirror never speaks for another, and a parser that was changed is believed at once.
"""

from __future__ import annotations

import hashlib
import sys
from functools import cache
from pathlib import Path

import packaging

from gpuenv.index.listed import Page, decode, encode
from gpuenv.model.wheel import Channel, SourceKind
from gpuenv.net.cache import PageCache
from gpuenv.net.client import Answer
from gpuenv.net.location import Location

_READERS = ("index/page.py", "index/names.py", "index/listed.py", "metadata.py", "model/wheel.py", "net/location.py")


def read_page(
    cache: PageCache, where: Location, answer: Answer, *, kind: SourceKind, channel: Channel, variant: str
) -> Page:
    """Read what was answered at ``where``. Raises what :func:`gpuenv.index.page.parse_page` does."""
    key = "\t".join((made_by(), answer.digest, answer.where.url, answer.content_type, kind, channel, variant))
    may_be_kept = bool(answer.digest and made_by()) and "\n" not in key
    form = cache.get_form(where, key) if may_be_kept else None
    if form is not None and (kept := decode(form)) is not None:
        return kept
    from gpuenv.index.page import parse_page

    page = parse_page(
        answer.body, url=answer.where.url, content_type=answer.content_type, kind=kind, channel=channel, variant=variant
    )
    if may_be_kept and (form := encode(page)) is not None:
        cache.put_form(where, key, form)
    return page


@cache
def made_by() -> str:
    """Name what reads pages here: our code by its bytes, packaging, Python. Empty where the code cannot be read."""
    total = hashlib.sha256(f"{packaging.__version__}\t{sys.version}".encode())
    try:
        for name in _READERS:
            total.update((Path(__file__).parents[1] / name).read_bytes())
    except OSError:  # an archive
        return ""
    return total.hexdigest()
