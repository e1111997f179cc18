"""Null-text inversion, timed beside the published formulation of it in the same run.

Contenders  ours with all images at once, ours one image at a time, and the published one: one image
            at a time in float32, torch's Adam, every update's backward pass to the weights too,
            which its pipeline loads unfrozen, a last pass for both texts at each step; through our
            UNet and through diffusers', which has our weights
Same work   all fit the same number of steps with the same number of updates: the paths to follow
            are random, too far away for the early stop
Account     what one update holds and moves at full size in bfloat16, on PyTorch's meta device
"""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from latentgeo.core import ddim, null_text
from latentgeo.core.guidance import PredictWithContext, guide
from latentgeo.core.run.device import pick_device
from latentgeo.core.schedule import Schedule, batch_time, scaled_linear, times
from latentgeo.eval.bench.account import DEVICE, DTYPE, TOKENS, VARIANTS, row, running
from latentgeo.eval.bench.account import Account as Costs
from latentgeo.eval.bench.meter import Meter
from latentgeo.eval.bench.pairs import build, in_turn
from latentgeo.eval.bench.peers import diffusers_unet
from latentgeo.eval.bench.settings import BenchNullText
from latentgeo.eval.bench.step import count
from latentgeo.models.bundles.presets import UNET_PRESETS
from latentgeo.models.unet import UNet

PEER = "published (diffusers)"
GUIDANCE = 7.5


@dataclass(frozen=True, kw_only=True)
class Inputs:
    """What every contender is given, all on one device, in float32."""

    schedule: Schedule
    times: tuple[int, ...]
    pivot: Tensor  # (S + 1, B, C, h, w)
    context: Tensor  # (B, L, D)
    null: Tensor  # (B, L, D)
    inner: int


def bench_null_text(cmd: BenchNullText) -> str:
    """Return a table: seconds per image, memory and launches of each contender, in float32.

    With `account`, what one update costs instead (`account_null_text`).
    """
    if cmd.account:
        return account_null_text(cmd.preset, cmd.latent_size, cmd.n_images)
    shape = cmd.preset, cmd.latent_size, cmd.n_images, cmd.steps, cmd.inner
    every = contenders(*shape, pick_device(cmd.device))
    counts = {name: count(fit) for name, fit in every.items()}
    timings = {t.name: t.median for t in in_turn(dict(every), cmd.rounds)}
    peer = timings[PEER]
    heads = f"{'':<34}{'s / image':>10}{'/ peer':>8}{'peak GB':>9}{'launches':>10}"
    return "\n".join(
        [heads]
        + [
            f"{name:<34}{timings[name] / cmd.n_images:>10.3f}{timings[name] / peer:>8.3f}"
            f"{found.peak / 1e9:>9.3f}{found.launches:>10,}"
            for name, found in counts.items()
        ]
    )


def contenders(
    preset: str, size: int, images: int, steps: int, inner: int, device: torch.device
) -> dict[str, Callable[[], Tensor]]:
    """Return the contenders by name, each returning its ∅_t (S, B, L, D)."""
    unet = build(preset).to(device)
    peer = diffusers_unet(unet).to(device)
    loaded = build(preset).to(device)  # the same weights, not frozen
    unet.requires_grad_(False)
    given = draw(unet, size, images, steps, inner, device)
    ours = network(unet)

    def one_by_one() -> Tensor:
        found = [ours_batched(ours, one(given, i)) for i in range(images)]
        return torch.cat(found, 1)

    return {
        "ours, all images at once": lambda: ours_batched(ours, given),
        "ours, one at a time": one_by_one,
        "published (our UNet)": lambda: published(network(loaded), loaded, given),
        PEER: lambda: published(lambda x, t, c: peer(x, t - 1, c).sample, peer, given),
    }


def draw(
    unet: UNet, size: int, images: int, steps: int, inner: int, device: torch.device
) -> Inputs:
    """Return random inputs, the same for every contender."""
    schedule, drawn = scaled_linear(), torch.Generator().manual_seed(1)
    visited = times(schedule, steps)
    shape = (images, TOKENS, unet.config.context or 0)
    pivot = torch.randn(len(visited), images, unet.config.in_channels, size, size, generator=drawn)
    context, null = (torch.randn(shape, generator=drawn).to(device) for _ in range(2))
    return Inputs(
        schedule=schedule,
        times=visited,
        pivot=pivot.to(device),
        context=context,
        null=null,
        inner=inner,
    )


def network(unet: nn.Module) -> PredictWithContext:
    """Return our UNet as a function of x_t, the paper's t and the text."""
    return lambda x_t, t, context: unet(x_t, t - 1, context)


def one(given: Inputs, i: int) -> Inputs:
    """Return the inputs of one image."""
    return Inputs(
        schedule=given.schedule,
        times=given.times,
        pivot=given.pivot[:, i : i + 1],
        context=given.context[i : i + 1],
        null=given.null[i : i + 1],
        inner=given.inner,
    )


def ours_batched(predict: PredictWithContext, given: Inputs) -> Tensor:
    """Return ∅_t (S, B, L, D) of all images together."""
    steps = null_text.descend(
        predict, given.schedule, given.pivot, given.times, given.context, given.null,
        GUIDANCE, given.inner,
    )  # fmt: skip
    return torch.stack([null for null, _ in steps])


def published(predict: PredictWithContext, model: nn.Module, given: Inputs) -> Tensor:
    """Return ∅_t (S, B, L, D) as published, image after image."""
    found = torch.cat([published_one(predict, one(given, i)) for i in range(len(given.context))], 1)
    model.zero_grad()
    return found


def published_one(predict: PredictWithContext, given: Inputs) -> Tensor:
    """Return ∅_t (S, 1, L, D) of one image; NTI Alg. 1 in the released formulation."""
    x, null, found = given.pivot[0], given.null, []
    for i, (t, t_prev) in enumerate(pairwise(given.times)):
        now, prev = batch_time(t, x), batch_time(t_prev, x)
        null = null.clone().detach().requires_grad_()
        optimizer = torch.optim.Adam([null], lr=1e-2 * (1 - i / 100))
        with torch.no_grad():
            eps_cond = predict(x, now, given.context)
        for _ in range(given.inner):
            eps = guide(eps_cond, predict(x, now, null), GUIDANCE)
            loss = F.mse_loss(ddim.step(given.schedule, x, eps, now, prev), given.pivot[i + 1])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            if loss.item() < 1e-5 + 2e-5 * i:
                break
        found.append(null.detach())
        with torch.no_grad():
            both = torch.cat([given.context, null])
            cond, uncond = predict(torch.cat([x, x]), torch.cat([now, now]), both).chunk(2)
            x = ddim.step(given.schedule, x, guide(cond, uncond, GUIDANCE), now, prev)
    return torch.stack(found)


def account_null_text(preset: str, size: int, images: int) -> str:
    """Return a table of what one update costs in bfloat16, in each of bench-account's ways."""
    lines = [f"{'':<28}{'launches':>9}{'GB moved':>10}{'TFLOP':>8}{'GB live':>9}{'GB peak':>9}"]
    with torch.device(DEVICE):
        unet = UNet(UNET_PRESETS[preset]).to(DTYPE).requires_grad_(False)
    weights = sum(weight.numel() for weight in unet.parameters()) * DTYPE.itemsize
    for name in VARIANTS:
        lines.append(row(name, update_costs(unet, size, images, name)))
    return "\n".join([*lines, f"{weights / 1e9:.2f} GB of weights come on top"])


def update_costs(unet: UNet, size: int, images: int, variant: str) -> Costs:
    """Return what one gradient of ∅ (fp32 ∅ and latents, bfloat16 network) costs."""
    schedule, meter = scaled_linear(), Meter()
    with torch.device(DEVICE):
        shape = (images, unet.config.in_channels, size, size)
        x, eps, target = (torch.empty(shape) for _ in range(3))
        null = torch.empty(images, TOKENS, unet.config.context or 0)
        t = torch.full((images,), 500)

        def predict(x_t: Tensor, t: Tensor, context: Tensor) -> Tensor:
            return unet(x_t.to(DTYPE), t - 1, context.to(DTYPE)).to(x_t.dtype)

        goal = null_text.Goal(schedule, x, eps, target, t, t - 20, GUIDANCE)
        with running(VARIANTS[variant], meter), meter:
            null_text.gradient(predict, goal, null)
    return Costs(
        calls=meter.calls, moved=meter.moved, flop=meter.flop, live=meter.live, peak=meter.peak
    )
