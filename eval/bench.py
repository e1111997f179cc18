"""Benchmarks against a peer in the same process: the UNet's forward pass, a `train-smooth` step.

Absolute times depend on the machine; the ratio to the peer, measured in turn with it, is the
result. The peers are the packages diffusers and peft (`pip install 'latentgeo[parity]'`),
with our weights.
"""

import resource
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from latentgeo.core.schedule import Schedule, scaled_linear
from latentgeo.core.smooth import unit_direction
from latentgeo.core.variation_routes import ROUTES
from latentgeo.models import lora
from latentgeo.models.presets import UNET_PRESETS
from latentgeo.models.unet import UNet

LAMBDA, A = 1.0, 0.5  # weight of the penalty and a value for a: neither changes the cost of a step


@dataclass(frozen=True, kw_only=True)
class Timing:
    """Seconds of one contender over its rounds."""

    name: str
    seconds: list[float]

    @property
    def median(self) -> float:
        """The figure to quote."""
        return statistics.median(self.seconds)


def in_turn(contenders: dict[str, Callable[[], object]], rounds: int) -> list[Timing]:
    """Run the contenders one after the other, `rounds` times after a warm-up, and time each."""
    for run in contenders.values():
        run()
    seconds: dict[str, list[float]] = {name: [] for name in contenders}
    for _ in range(rounds):
        for name, run in contenders.items():
            start = time.perf_counter()
            run()
            seconds[name].append(time.perf_counter() - start)
    return [Timing(name=name, seconds=times) for name, times in seconds.items()]


def table(timings: list[Timing]) -> str:
    """Return the timings as text, each with its ratio to the last, which is the peer."""
    peer = timings[-1].median
    lines = [f"{'':<34}{'median s':>10}{'min s':>10}{'max s':>10}{'/ peer':>9}"]
    for t in timings:
        low, high = min(t.seconds), max(t.seconds)
        lines.append(
            f"{t.name:<34}{t.median:>10.3f}{low:>10.3f}{high:>10.3f}{t.median / peer:>9.3f}"
        )
    return "\n".join(lines)


def bench_unet(preset: str, size: int, batch: int, rounds: int, only: str | None = None) -> str:
    """Return a table of forward passes, ours and diffusers', and the process's peak memory.

    `only` runs one of the two ("ours", "diffusers"), so that its peak memory stands alone.
    """
    unet = _unet(preset)
    x, t, context = _inputs(unet, batch, size)
    contenders: dict[str, Callable[[], object]] = {}
    if only in (None, "ours"):
        contenders["ours"] = lambda: unet(x, t, context)
    if only in (None, "diffusers"):
        peer = _peer(unet)
        contenders["diffusers"] = lambda: peer(x, t, context).sample
    with torch.no_grad():
        timings = in_turn(contenders, rounds)
        text = table(timings)
        if only is None:
            difference = (unet(x, t, context) - peer(x, t, context).sample).abs().max()
            text += f"\nlargest difference of the outputs: {difference:.2e}"
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    return f"{text}\npeak memory of this process: {peak:.2f} GiB"


def bench_step(preset: str, size: int, batch: int, rounds: int, rank: int) -> str:
    """Return a table of training steps: each of our routes, and the published formulation."""
    unet = _unet(preset)
    peer = _peer(unet)
    contenders: dict[str, Callable[[], object]] = {}
    x_0, t, context = _inputs(unet, batch, size)
    eps, direction = torch.randn_like(x_0), unit_direction(x_0)
    schedule, paper_time = scaled_linear(), t + 1
    lora.attach(unet, rank=rank)
    for name, route in ROUTES.items():

        def step(route: Any = route) -> Tensor:
            found = route(
                lambda x_t, t: unet(x_t, t - 1, context),
                schedule, x_0, eps, paper_time, direction, "eps",
            )  # fmt: skip
            return _backward(found.raw, found.v, eps, unet)

        contenders[f"ours, {name}"] = step
    _add_peft(peer, rank)
    contenders["published (diffusers + peft)"] = lambda: _published_step(
        peer, schedule, x_0, eps, paper_time, direction, context
    )
    return table(in_turn(contenders, rounds))


def _published_step(
    peer: nn.Module,
    schedule: Schedule,
    x_0: Tensor,
    eps: Tensor,
    t: Tensor,
    direction: Tensor,
    context: Tensor,
) -> Tensor:
    """One step as published: the inner gradient with create_graph, then backward through it."""
    bar, leaf = schedule.bar(t, x_0), eps.clone().requires_grad_()
    x_t = bar.sqrt() * x_0 + (1 - bar).sqrt() * leaf
    predicted = peer(x_t, t - 1, context).sample
    clean = (x_t - (1 - bar).sqrt() * predicted) / bar.sqrt()
    projected = (clean * (1 - bar).sqrt() * direction).sum()
    (row,) = torch.autograd.grad(projected, leaf, create_graph=True)
    return _backward(predicted, row.flatten(1).norm(dim=1), eps, peer)


def _backward(predicted: Tensor, v: Tensor, eps: Tensor, model: nn.Module) -> Tensor:
    loss = (predicted - eps).square().mean() + LAMBDA * (v - A).square().mean()
    loss.backward()
    model.zero_grad()
    return loss.detach()


def _unet(preset: str) -> UNet:
    if preset not in UNET_PRESETS:
        raise ValueError(f"preset must be one of {', '.join(UNET_PRESETS)}, got {preset!r}")
    torch.manual_seed(0)
    return UNet(UNET_PRESETS[preset])


def _inputs(unet: UNet, batch: int, size: int) -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(batch, unet.config.in_channels, size, size, generator=generator)
    context = torch.randn(batch, 77, unet.config.context or 0, generator=generator)
    return x, torch.randint(0, 1000, (batch,), generator=generator), context


def _peer(unet: UNet) -> Any:
    """Return diffusers' UNet of the same shape with the same weights."""
    try:
        from diffusers import UNet2DConditionModel
    except ImportError:
        raise RuntimeError(
            "benchmarks need the package diffusers: pip install 'latentgeo[parity]'"
        ) from None
    config = unet.config
    peer = UNet2DConditionModel(
        block_out_channels=config.channels,
        down_block_types=tuple(
            "CrossAttnDownBlock2D" if a else "DownBlock2D" for a in config.attention
        ),
        up_block_types=tuple(
            "CrossAttnUpBlock2D" if a else "UpBlock2D" for a in reversed(config.attention)
        ),
        layers_per_block=config.blocks,
        attention_head_dim=config.heads,
        cross_attention_dim=config.context,
        norm_num_groups=config.groups,
    )
    peer.load_state_dict(unet.state_dict())
    return peer


def _add_peft(peer: Any, rank: int) -> None:
    """Attach peft's LoRA and the attention that can be differentiated twice, as published."""
    from diffusers.models.attention_processor import AttnProcessor
    from peft import LoraConfig

    peer.requires_grad_(False)
    peer.add_adapter(LoraConfig(r=rank, target_modules=["to_q", "to_k", "to_v", "to_out.0"]))
    peer.set_attn_processor(AttnProcessor())
