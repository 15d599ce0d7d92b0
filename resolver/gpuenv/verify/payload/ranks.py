"""One of several processes, a GPU each: sums over all, a data-parallel step, and copies between every pair."""

from __future__ import annotations

import datetime
import hashlib
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import torch

from . import devices, exact
from .channel import Channel
from .gpt import MARKOV, initial, loss
from .language import markov_batches

ELEMENTS = (1, 1000, 1 << 20, 1 << 24)
SEED = 2


def run(settings: dict[str, Any], channel: Channel) -> None:
    """Join the group through a shared file, so that no port is opened for the meeting.

    Where torch shows fewer devices than there are ranks, every rank says so and joins nothing: none waits for another.
    """
    channel.emit("starting-cuda")
    gpu = settings["device"] != "cpu"
    rank, world = settings["rank"], settings["world"]
    scope = devices.in_scope(torch, settings) if gpu else []
    if gpu and len(scope) < world:
        channel.emit("no-device", rank=rank, found=len(scope))
        return
    device = f"cuda:{scope[rank]}" if gpu else "cpu"
    if gpu:
        torch.cuda.set_device(device)
    distributed = torch.distributed
    distributed.init_process_group(
        "nccl" if gpu else "gloo",
        init_method=f"file://{settings['meeting']}",
        rank=rank,
        world_size=world,
        timeout=datetime.timedelta(seconds=settings["timeout"]),
    )
    channel.emit("joined", rank=rank, world=world, device=device)
    sums(distributed, device, rank, world, channel, elements=settings.get("elements", ELEMENTS))
    step(distributed, device, rank, world, channel)
    distributed.barrier()
    if gpu and rank == 0:
        _pairs(scope, channel)
    distributed.barrier()
    distributed.destroy_process_group()


def sums(
    distributed: Any, device: str, rank: int, world: int, channel: Channel, *, elements: Sequence[int] = ELEMENTS
) -> None:
    """Sum known whole numbers, of which every type holds every partial sum: no order of the ranks rounds one."""
    share = world * (world + 1) // 2
    kinds = {"int64": 1021, **{kind.torch_type: min(kind.limit // share, 1021) for kind in _kinds(device)}}
    for count in elements:
        places = torch.arange(count, device=device)
        for name, most in kinds.items():
            if most == 0:
                continue  # more ranks than the type has whole numbers for
            numbers = places % most + 1
            mine = (numbers * (rank + 1)).to(getattr(torch, name))
            distributed.all_reduce(mine)
            wrong = int((mine.to(torch.int64) != numbers * share).sum().item())
            channel.emit("sum", rank=rank, elements=count, type=name, wrong=wrong)
    for kind in _kinds(device):
        part = gradient(device, kind, rank=rank, world=world, reduce=distributed.all_reduce)
        wrong, _, count = exact.compared(part)
        channel.emit("sum", rank=rank, elements=count, type=f"gradient in {kind.name}", wrong=wrong)


def _kinds(device: str) -> list[exact.Kind]:
    names = ["float32"] if device == "cpu" else ["float32", "float16", *(["bfloat16"] * devices.has_bf16(torch))]
    return [exact.KINDS[name] for name in names]


def gradient(device: str, kind: exact.Kind, *, rank: int, world: int, reduce: Callable[[Any], Any]) -> exact.Part:
    """Sum a layer's gradient over the ranks' rows of one batch: bit by bit that of the whole batch."""
    x, push = exact.odd(128, 64, bits=kind.bits, seed=81), exact.odd(128, 48, bits=1, seed=82)
    weight = exact.placed(exact.odd(48, 64, bits=1, seed=83), device, kind).requires_grad_()
    rows = slice(rank, None, world)
    out = torch.nn.functional.linear(exact.placed(x[rows], device, kind), weight)
    out.backward(exact.placed(push[rows], device, kind))
    reduce(weight.grad)
    sizes = partial(torch.mm, push.abs().t(), x.abs())
    return exact.Part("gradient over all ranks", weight.grad, torch.mm(push.t(), x), lambda: float(sizes().max()))


def step(distributed: Any, device: str, rank: int, world: int, channel: Channel) -> None:
    """Average the gradients of different halves of a batch; every rank must hold those of the whole batch."""
    torch.backends.cuda.matmul.allow_tf32 = False
    generator = torch.Generator().manual_seed(SEED)
    weights = initial(
        MARKOV,
        lambda size, deviation: torch.randn(size, generator=generator) * deviation,
        like=torch.zeros(1),
    )
    # The zeroed head would pass no gradient to the rest of the model in a first step.
    with torch.no_grad():
        weights[-1].normal_(0.0, 0.02, generator=generator)
    rows = torch.tensor(markov_batches(steps=1, batch=8 * world, length=MARKOV.context, seed=SEED)[0], device=device)
    shared = _gradients(weights, rows[rank::world], device)
    for gradient in shared:
        distributed.all_reduce(gradient)
        gradient /= world
    whole = _gradients(weights, rows, device)
    errors = [float((a - b).norm() / b.norm().clamp_min(1e-12)) for a, b in zip(shared, whole, strict=True)]
    digest = hashlib.sha256()
    for gradient in shared:
        digest.update(bytes(gradient.detach().cpu().contiguous().view(torch.uint8).flatten().tolist()))
    channel.emit("parallel-step", rank=rank, error=max(errors), tensors=len(errors), gradients=digest.hexdigest())


def _gradients(weights: list[Any], rows: Any, device: str) -> list[Any]:
    parameters = [tensor.detach().to(device).clone().requires_grad_() for tensor in weights]
    value = loss(MARKOV, parameters, rows[:, :-1], rows[:, 1:])
    return list(torch.autograd.grad(value, parameters))


def _pairs(scope: list[int], channel: Channel) -> None:
    """Copy a pattern from each GPU to each other one and back; peer access where the machine has it."""
    for source in scope:
        for target in scope:
            if source == target:
                continue
            pattern = torch.arange(1 << 20, device=f"cuda:{source}", dtype=torch.int32) * 31 + source
            there = pattern.to(f"cuda:{target}")
            back = there.to(f"cuda:{source}")
            channel.emit(
                "pair",
                source=source,
                target=target,
                peer=bool(torch.cuda.can_device_access_peer(source, target)),
                wrong=int((back != pattern).sum().item()) + int((there.cpu() != pattern.cpu()).sum().item()),
            )
