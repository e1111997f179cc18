"""A training step of Smooth Diffusion, timed and counted beside the published formulation of it.

Contenders  a plain step without the regularizer, ours by each route of core/variation_routes.py,
            and the published one: double backward through diffusers' UNet with peft's LoRA, our
            weights
Launches    operations that compute or move something, and Triton kernels, as `meter.py` counts them
Memory      the most that tensors made in the step hold at once, on a CPU as `meter.py` has it, on a
            GPU as PyTorch's allocator has it; weights are there before and are not part of it
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from latentgeo.core.run.device import pick_device
from latentgeo.core.schedule import Schedule, scaled_linear
from latentgeo.core.smooth import objective, regularizer, unit_direction
from latentgeo.core.variation_routes import ROUTES
from latentgeo.eval.bench.meter import Meter
from latentgeo.eval.bench.pairs import build, in_turn, inputs
from latentgeo.eval.bench.peers import diffusers_unet
from latentgeo.eval.bench.settings import BenchStep
from latentgeo.models.lora import adapter as lora

LAMBDA, A = 1.0, torch.tensor(0.5)  # neither changes what a step costs
PUBLISHED = "published (diffusers + peft)"
TARGETS = ["to_q", "to_k", "to_v", "to_out.0"]  # of the LoRA, as in the paper


@dataclass(frozen=True, kw_only=True)
class Inputs:
    """What a step is given, all on one device."""

    schedule: Schedule
    x_0: Tensor  # (B, C, H, W)
    eps: Tensor
    t: Tensor  # (B,) in 1..T
    direction: Tensor
    context: Tensor  # (B, M, K)


@dataclass(frozen=True, kw_only=True)
class Count:
    """What one step launches and holds."""

    launches: int
    peak: int  # bytes


def bench_step(cmd: BenchStep) -> str:
    """Return a table of training steps, in float32: seconds, memory and launches of each."""
    contenders = steps(cmd.preset, cmd.latent_size, cmd.batch, cmd.rank, pick_device(cmd.device))
    counts = {name: count(step) for name, step in contenders.items()}
    timings = {t.name: t.median for t in in_turn(contenders, cmd.rounds)}
    peer, memory = timings[PUBLISHED], counts[PUBLISHED].peak
    heads = f"{'':<34}{'median s':>10}{'/ peer':>8}{'peak GB':>9}{'/ peer':>8}{'launches':>10}"
    return "\n".join(
        [heads]
        + [
            f"{name:<34}{timings[name]:>10.3f}{timings[name] / peer:>8.3f}"
            f"{found.peak / 1e9:>9.3f}{found.peak / memory:>8.3f}{found.launches:>10,}"
            for name, found in counts.items()
        ]
    )


def steps(
    preset: str, size: int, batch: int, rank: int, device: torch.device
) -> dict[str, Callable[[], object]]:
    """Return the contenders by name, each a step that returns its loss."""
    unet = build(preset).to(device)
    peer = diffusers_unet(unet).to(device)
    x_0, t, context = (x.to(device) for x in inputs(unet, batch, size))
    given = Inputs(
        schedule=scaled_linear(),
        x_0=x_0,
        eps=torch.randn_like(x_0),
        t=t + 1,
        direction=unit_direction(x_0),
        context=context,
    )
    lora.attach(unet, rank=rank)
    _add_peft(peer, rank)
    return {
        "plain, no regularizer": lambda: plain_step(unet, given),
        **{f"ours, {name}": _step_of(unet, given, name) for name in ROUTES},
        PUBLISHED: lambda: published_step(peer, given),
    }


def count(step: Callable[[], object]) -> Count:
    """Run a step once and count it."""
    meter = Meter()
    if torch.cuda.is_initialized():
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
    with meter, meter.counting():
        step()
    peak = meter.peak
    if torch.cuda.is_initialized():
        peak = torch.cuda.max_memory_allocated() - before
    return Count(launches=sum(meter.calls.values()), peak=peak)


def _step_of(unet: nn.Module, given: Inputs, route: str) -> Callable[[], Tensor]:
    def step() -> Tensor:
        raw, v = ROUTES[route](
            lambda x_t, t: unet(x_t, t - 1, given.context),
            given.schedule, given.x_0, given.eps, given.t, given.direction, "eps",
        )  # fmt: skip
        return _backward(objective(_base(raw, given), regularizer(v, A), LAMBDA), unet)

    return step


def plain_step(unet: nn.Module, given: Inputs) -> Tensor:
    """Take one step of training the adapters on the base loss alone, and return it ()."""
    raw = unet(_noised(given, given.eps), given.t - 1, given.context)
    return _backward(_base(raw, given), unet)


def published_step(peer: Any, given: Inputs) -> Tensor:
    """Take one step as published, and return its loss ().

    The inner gradient is taken with create_graph, and backward goes through it.
    """
    bar, leaf = given.schedule.bar(given.t, given.x_0), given.eps.clone().requires_grad_()
    x_t = _noised(given, leaf)
    predicted = peer(x_t, given.t - 1, given.context).sample
    clean = (x_t - (1 - bar).sqrt() * predicted) / bar.sqrt()
    projected = (clean * (1 - bar).sqrt() * given.direction).sum()
    (row,) = torch.autograd.grad(projected, leaf, create_graph=True)
    v = row.flatten(1).norm(dim=1)
    return _backward(_base(predicted, given) + LAMBDA * (v - A).square().mean(), peer)


def _noised(given: Inputs, eps: Tensor) -> Tensor:
    bar = given.schedule.bar(given.t, given.x_0)
    return bar.sqrt() * given.x_0 + (1 - bar).sqrt() * eps


def _base(raw: Tensor, given: Inputs) -> Tensor:
    return (raw - given.eps).square().mean()


def _backward(loss: Tensor, model: nn.Module) -> Tensor:
    loss.backward()
    model.zero_grad()
    return loss.detach()


def _add_peft(peer: Any, rank: int) -> None:
    """Attach peft's LoRA and the attention that can be differentiated twice, as published."""
    from diffusers.models.attention_processor import AttnProcessor
    from peft import LoraConfig

    peer.requires_grad_(False)
    peer.add_adapter(LoraConfig(r=rank, target_modules=TARGETS))
    peer.set_attn_processor(AttnProcessor())
