"""One rank of several hosts: sums, a data-parallel step, bandwidths, and copies over every link; told to all ranks.

Each rank tells what it found through the store that they met at, so that every host can name a rank that is wrong.
"""

from __future__ import annotations

import datetime
import json
import statistics
import time
from collections.abc import Callable, Iterator
from typing import Any

import torch

from . import devices, exact, meeting, ranks
from .channel import Channel

ELEMENTS = (1, 1000, 1 << 20)
ENTRIES = 1021
"""What a rank adds is a whole number from 1 to this: far below what int64 and any count of ranks need."""
SIZES = {"cuda": (1 << 13, 1 << 20, 1 << 26, 1 << 30), "cpu": (1 << 13, 1 << 20, 1 << 24)}
"""Bytes that are summed, to time it."""
COPIED = {"cuda": 1 << 28, "cpu": 1 << 23}
"""Bytes of one copy over a link."""
TIMES = 5
MOST_ROUNDS = 31
"""Rounds of copies, each between pairs that share no rank: every pair of up to 32 ranks."""
SILENCE = 20.0
"""Seconds that a rank may take to tell what it found once another has ended."""


def run(settings: dict[str, Any], channel: Channel) -> None:
    """Meet, join, do the work, and tell and hear what every rank found, also where the work fails."""
    gpu = settings["device"] != "cpu"
    scope = devices.in_scope(torch, settings) if gpu else []
    if gpu and len(scope) < settings["ranks"]:
        channel.emit("no-device", rank=settings["local"], found=len(scope))
        return
    met = meeting.meet(settings, channel)
    if met is None:
        return
    device = f"cuda:{scope[settings['local']]}" if gpu else "cpu"
    channel.keeps = True
    try:
        _work(settings, met, device, channel)
    except Exception as error:  # every library of collectives raises its own, and the other ranks have to hear of it
        channel.emit("rank-failed", rank=met.rank, kind=type(error).__name__, message=str(error)[:2000])
    channel.keeps = False
    _tell(settings, met, channel)
    meeting.leave(met)


def _work(settings: dict[str, Any], met: meeting.Met, device: str, channel: Channel) -> None:
    distributed, rank, world = torch.distributed, met.rank, met.world
    if device == "cpu":
        torch.set_num_threads(1)
        name, number = "CPU", -1
    else:
        channel.emit("starting-cuda")
        torch.cuda.set_device(device)
        number = int(device.partition(":")[2])
        name = str(devices.describe(torch, number)["name"])
    distributed.init_process_group(
        "gloo" if device == "cpu" else "nccl",
        store=distributed.PrefixStore("gpuenv/group", met.store),
        rank=rank,
        world_size=world,
        timeout=datetime.timedelta(seconds=settings["timeout"]),
    )
    channel.emit("joined", rank=rank, world=world, device=device, node=settings["node"], name=name, nccl=_nccl(device))
    _alone(distributed, device, rank, world, channel)
    _all(distributed, device, rank, world, channel)
    ranks.sums(distributed, device, rank, world, channel, elements=ELEMENTS)
    ranks.step(distributed, device, rank, world, channel)
    _bus(distributed, device, rank, channel)
    _links(distributed, device, rank, world, channel)
    distributed.barrier()
    channel.emit("done", rank=rank)
    distributed.destroy_process_group()


def _nccl(device: str) -> str:
    return "" if device == "cpu" else ".".join(map(str, torch.cuda.nccl.version()))


def part(rank: int, count: int) -> Any:
    """Return what a rank adds to a sum: whole numbers above zero that no other rank's are a multiple of."""
    return exact.mixed(count, seed=rank + 1) % ENTRIES + 1


def _alone(distributed: Any, device: str, rank: int, world: int, channel: Channel) -> None:
    """Sum over a group of one: what comes out must be what went in, and where it is not, this very rank is wrong."""
    groups = [distributed.new_group([each]) for each in range(world)]
    for count in ELEMENTS:
        mine = part(rank, count)
        there = mine.clone().to(device)
        distributed.all_reduce(there, group=groups[rank])
        channel.emit("alone", rank=rank, elements=count, wrong=int((there.cpu() != mine).sum().item()))


def _all(distributed: Any, device: str, rank: int, world: int, channel: Channel) -> None:
    """Sum over all; a sum that is off by a multiple of one rank's part, and of no other's, names that rank."""
    for count in ELEMENTS:
        parts = [part(each, count) for each in range(world)]
        there = parts[rank].clone().to(device)
        distributed.all_reduce(there)
        apart = there.cpu() - torch.stack(parts).sum(0)
        wrong = int((apart != 0).sum().item())
        blamed = [each for each in range(world) if count > 1 and _multiple(apart, parts[each])] if wrong else []
        channel.emit("total", rank=rank, elements=count, wrong=wrong, blamed=blamed)


def _multiple(apart: Any, part: Any) -> bool:
    times = int(apart[0].item()) // int(part[0].item())
    return times != 0 and bool((apart == times * part).all().item())


def _timed(device: str, work: Callable[[], object]) -> float:
    """Return the median of the seconds that some work takes, the first time left out."""
    seconds = []
    for _ in range(TIMES + 1):
        devices.synchronize(torch, device)
        start = time.perf_counter()
        work()
        devices.synchronize(torch, device)
        seconds.append(time.perf_counter() - start)
    return statistics.median(seconds[1:])


def _bus(distributed: Any, device: str, rank: int, channel: Channel) -> None:
    for size in SIZES["cpu" if device == "cpu" else "cuda"]:
        there = torch.ones(size // 4, device=device, dtype=torch.float32)
        distributed.barrier()
        seconds = _timed(device, lambda there=there: distributed.all_reduce(there))  # type: ignore[misc] # bound here
        channel.emit("bus", rank=rank, bytes=size, seconds=seconds)


def rounds(world: int) -> Iterator[list[tuple[int, int]]]:
    """Yield rounds of pairs, in which every rank meets every other once (the circle method).

    >>> list(rounds(3))
    [[(1, 2)], [(0, 2)], [(0, 1)]]
    """
    circle = list(range(world + world % 2))
    for _ in range(len(circle) - 1):
        half = len(circle) // 2
        pairs = zip(circle[:half], reversed(circle[half:]), strict=True)
        yield sorted((min(pair), max(pair)) for pair in pairs if max(pair) < world)
        circle = [circle[0], circle[-1], *circle[1:-1]]


def _links(distributed: Any, device: str, rank: int, world: int, channel: Channel) -> None:
    """Copy one way and back over each link; the receiver compares every byte and times it."""
    size = COPIED["cpu" if device == "cpu" else "cuda"]
    held = torch.empty(size // 4, device=device, dtype=torch.int32)
    places = torch.arange(size // 4, device=device, dtype=torch.int32)
    for number, pairs in enumerate(rounds(world)):
        if number == MOST_ROUNDS:
            break
        distributed.barrier()
        pair = next((pair for pair in pairs if rank in pair), None)
        if pair is None:
            continue
        for source, target in (pair, pair[::-1]):
            sent = places * 31 + source
            if rank == source:
                _timed(device, lambda sent=sent, to=target: distributed.send(sent, to))  # type: ignore[misc] # bound here
                continue
            held.zero_()
            seconds = _timed(device, lambda of=source: distributed.recv(held, of))  # type: ignore[misc] # bound here
            wrong = int((held != sent).sum().item())
            channel.emit("link", rank=rank, source=source, target=target, bytes=size, seconds=seconds, wrong=wrong)


def _tell(settings: dict[str, Any], met: meeting.Met, channel: Channel) -> None:
    """Tell the others what was found; the first process of each host hears all of them, and waits for no silent one."""
    store, key = met.store, f"gpuenv/{settings['id']}/found"
    try:
        store.set(f"{key}/{met.rank}", json.dumps(channel.kept))
        if not met.first:
            return
        end = time.monotonic() + SILENCE
        for rank in range(met.world):
            name = f"{key}/{rank}"
            while not store.check([name]) and time.monotonic() < end:
                time.sleep(meeting.EVERY)
            if store.check([name]):
                channel.emit("found", rank=rank, events=json.loads(store.get(name)))
            else:
                channel.emit("silent", rank=rank)
    except Exception as error:  # the store is gone with the process that held it
        channel.emit("unheard", rank=met.rank, message=str(error)[:500])
        if met.first:
            channel.emit("found", rank=met.rank, events=channel.kept)
