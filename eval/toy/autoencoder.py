"""The toy of Isometric Diffusion: an autoencoder from a sphere to the plane, and its training.

Hahm et al. (arXiv 2407.11451), Sec. 3 (Fig. 2) and App. A.1 (Fig. II, III). The sphere is of radius
1 in three dimensions, without a cap about the north pole: all of it has no picture in the plane
that does not tear or fold.

Notation  x (B, 3) points of the sphere; h = encode(x) (B, 2) their places in the plane
"""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import count
from typing import Literal

import torch
from torch import Tensor, nn

from latentgeo.core.isometry import Geometry, exact_traces, isometry_loss, traces
from latentgeo.core.run.seeds import generator, mix
from latentgeo.eval.toy.settings import ToyIsometry

Kind = Literal["reconstruction", "plane", "sphere", "estimated"]
GEOMETRY: dict[Kind, Geometry] = {"plane": "plane", "sphere": "sphere", "estimated": "sphere"}
EVERY = 25  # steps between two points of a curve


@dataclass(frozen=True, eq=False)
class Trained:
    """An autoencoder, and L_iso on held-out points while it was trained."""

    encode: nn.Module  # float64
    decode: nn.Module
    curve: list[tuple[int, float]]  # step, L_iso with exact traces and the sphere's G


def points_of(count: int, gap: float, draw: torch.Generator) -> Tensor:
    """Return points (count, 3), even over the sphere but for `gap` degrees about the north pole."""
    top = torch.deg2rad(torch.tensor(gap)).cos()
    z = -1 + (1 + top) * torch.rand(count, 1, generator=draw)  # Archimedes: area is even in z
    turn = 2 * torch.pi * torch.rand(count, 1, generator=draw)
    return torch.cat([(1 - z**2).sqrt() * torch.cat([turn.cos(), turn.sin()], 1), z], 1)


def layers(inputs: int, outputs: int, width: int) -> nn.Sequential:
    """Return a network of two hidden layers."""
    hidden = nn.Linear(inputs, width), nn.Tanh(), nn.Linear(width, width), nn.Tanh()
    return nn.Sequential(*hidden, nn.Linear(width, outputs))


def every_axis(x: Tensor) -> tuple[Tensor, Tensor]:
    """Return x (3B, 3) and probes (1, 3B, 3) whose estimates average to the exact traces of x.

    Iso Eq. 8   Tr(A) = E vᵀAv for v with E vvᵀ = I: √3 times the three axes have it, each a third
    """
    axes = 3**0.5 * torch.eye(3, dtype=x.dtype)
    return x.repeat(3, 1), axes.repeat_interleave(len(x), 0).unsqueeze(0)


def penalty(encode: nn.Module, x: Tensor, kind: Kind, draw: torch.Generator) -> Tensor:
    """Return L_iso () of the points x (B, 3), exact, or by one normal probe if "estimated".

    Iso Eq. 6   with G = I if "plane", with the sphere's otherwise
    """
    if kind == "estimated":
        probed, probes = x, torch.randn(1, *x.shape, generator=draw)
    else:
        probed, probes = every_axis(x)
    return isometry_loss(traces(encode, probed, probes, GEOMETRY[kind]))


def trained(cmd: ToyIsometry, kind: Kind, repeat: int) -> Trained:
    """Return an autoencoder trained from the repeat's own weights and points.

    Iso Sec. 3   L = E ‖decode(encode(x)) - x‖² + λ L_iso (Fig. 2), λ = 0 for "reconstruction"
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(mix(cmd.seed, "weights", repeat))
        encode, decode = layers(3, 2, cmd.width), layers(2, 3, cmd.width)
    weights = [*encode.parameters(), *decode.parameters()]
    optimizer = torch.optim.Adam(weights, cmd.rate)
    cosine = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, cmd.steps)
    draw, probing = generator(cmd.seed, "points", repeat), generator(cmd.seed, "probes", repeat)
    held_out, curve = held_out_points(cmd, 256).float(), []
    for step in count():
        if step % EVERY == 0 or step == cmd.steps:
            curve.append((step, exact_loss(encode, held_out)))
        if step == cmd.steps:
            break
        x = points_of(cmd.batch, cmd.gap, draw)
        loss = error(encode, decode, x)
        if kind != "reconstruction":
            loss = loss + cmd.iso_weight * penalty(encode, x, kind, probing)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        cosine.step()
    return Trained(encode.double().requires_grad_(False), decode.double(), curve)


def error(encode: nn.Module, decode: nn.Module, x: Tensor) -> Tensor:
    """Return E ‖decode(encode(x)) - x‖² () of the points x (B, 3)."""
    return (decode(encode(x)) - x).square().sum(1).mean()


def held_out_points(cmd: ToyIsometry, count: int) -> Tensor:
    """Return points (count, 3), float64, that no training draws."""
    return points_of(count, cmd.gap, generator(cmd.seed, "held out")).double()


def exact_loss(encode: Callable[[Tensor], Tensor], x: Tensor) -> float:
    """Return L_iso of the points x (B, 3) with exact traces and the sphere's G.

    Iso Eq. 6   its least value on the sphere of three dimensions is 1/2
    """
    first, second = exact_traces(encode, x)
    return (second.mean() / first.mean().square()).item()
