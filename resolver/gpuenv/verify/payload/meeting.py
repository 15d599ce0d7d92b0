"""How the processes of several hosts find each other: torchrun's rendezvous (c10d), and who of them is missing.

One process of each host joins the rendezvous; the others of its host learn from it where they belong. Ranks follow the
rendezvous' order of hosts, each host's GPUs next to each other, as torchrun numbers them.
"""

from __future__ import annotations

import datetime
import json
import time
from dataclasses import dataclass
from typing import Any

import torch

from .channel import Channel

EVERY = 0.25
"""Seconds between two looks at who has come."""
PARTING = 10.0
"""Seconds that the host of the meeting waits for the others' last questions."""


@dataclass(frozen=True)
class Met:
    """Where this process belongs. ``store`` is shared by all ranks."""

    store: Any
    rank: int
    world: int
    first: bool
    """Whether this process is the first of its host: one of these holds the store, and must be the last to go."""


def meet(settings: dict[str, Any], channel: Channel) -> Met | None:
    """Find the other hosts; ``None`` where they did not come, which the first process of the host has told."""
    distributed = torch.distributed
    wait = datetime.timedelta(seconds=settings["wait"] + 30)
    own = distributed.FileStore(settings["meeting"], -1)
    if settings["local"] == 0:
        found = _first(settings, channel)
        place = None if found is None else {"rank": found.rank, "world": found.world}
        own.set("place", json.dumps(place))
        return found
    own.set_timeout(wait)
    place = json.loads(own.get("place"))
    if place is None:
        return None
    host, _, port = settings["endpoint"].rpartition(":")
    # torch's own names of these differ between versions, the order does not: number of processes, whether it serves.
    store = distributed.TCPStore(host, int(port), None, False, wait)  # noqa: FBT003
    return Met(store, place["rank"] + settings["local"], place["world"], first=False)


def _first(settings: dict[str, Any], channel: Channel) -> Met | None:
    """Join the rendezvous for this host, once every host has come."""
    from torch.distributed.elastic.rendezvous import RendezvousParameters
    from torch.distributed.elastic.rendezvous.c10d_rendezvous_backend import create_backend
    from torch.distributed.elastic.rendezvous.dynamic_rendezvous import create_handler

    nodes, wait = settings["nodes"], settings["wait"]
    more = {} if settings["serves"] is None else {"is_host": settings["serves"]}
    parameters = RendezvousParameters(
        backend="c10d",
        endpoint=settings["endpoint"],
        run_id=settings["id"],
        min_nodes=nodes,
        max_nodes=nodes,
        join_timeout=wait,
        read_timeout=wait,
        **more,
    )
    end = time.monotonic() + wait
    channel.emit("meeting", endpoint=settings["endpoint"], nodes=nodes, wait=wait)
    try:
        backend, store = create_backend(parameters)
    except Exception as error:  # torch raises errors of its own, of the store and of the system here
        channel.emit("missing", came=[settings["node"]], lost=_cause(error))
        return None
    mine = {"node": settings["node"], "ranks": settings["ranks"], **settings["tells"], "torch": str(torch.__version__)}
    key = f"gpuenv/{settings['id']}/{nodes}"
    came = _gather(store, key, mine, nodes, end, channel)
    if len(came) != nodes:
        return None
    handler = create_handler(store, backend, parameters)
    answer = handler.next_rendezvous()
    # A tuple before torch 2.4.
    number = int(answer.rank if hasattr(answer, "rank") else answer[1])
    store.set(f"{key}/order/{number}", json.dumps(mine))
    order = [json.loads(store.get(f"{key}/order/{place}")) for place in range(nodes)]
    counts = [int(each["ranks"]) for each in order]
    channel.emit("met", node=number, nodes=order)
    return Met(store, sum(counts[:number]), sum(counts), first=True)


def _gather(
    store: Any, key: str, mine: dict[str, Any], nodes: int, end: float, channel: Channel
) -> list[dict[str, Any]]:
    """Wait for every host and return what each says of itself; tell who came by the end where one is missing."""
    came: list[dict[str, Any]] = []
    try:
        place = store.add(f"{key}/count", 1) - 1
        store.set(f"{key}/came/{place}", json.dumps(mine))
        while True:
            count = int(store.add(f"{key}/count", 0))
            if count > len(came):
                came += [json.loads(store.get(f"{key}/came/{each}")) for each in range(len(came), count)]
                channel.emit("came", nodes=[each["node"] for each in came], of=nodes)
            if count >= nodes or time.monotonic() > end:
                break
            time.sleep(EVERY)
        if count != nodes:
            channel.emit("missing", came=[each["node"] for each in came], lost="")
            store.add(f"{key}/left", 1)
            _last(store, f"{key}/left", count)
    except Exception as error:
        channel.emit("missing", came=[each["node"] for each in came], lost=_cause(error))
        return []
    return came


def leave(met: Met) -> None:
    """End together, so that none asks a store that is gone."""
    try:
        met.store.add("gpuenv/left", 1)
        if met.first:
            _last(met.store, "gpuenv/left", met.world)
    except Exception:
        return  # whoever held the store is gone already: there is nothing to wait for


def _last(store: Any, key: str, count: int) -> None:
    end = time.monotonic() + PARTING
    while int(store.add(key, 0)) < count and time.monotonic() < end:
        time.sleep(EVERY)


def _cause(error: BaseException) -> str:
    first = error.__cause__ or error
    return f"{type(error).__name__}: {first}"[:500]
