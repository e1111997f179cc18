"""Shifts Δh_t of the bottleneck h: the implicit direction f_t, tables of Δh_t, one Δh for all t.

They are the same for the features of another layer, and tables for ε, in the place of h.

Kwon, Jeong & Uh (arXiv 2210.10960), Sec. 3.3, 3.4, 5.3 and App. E.

Names    of f_t those of the released files, so that a state dict is a file: conv1, temb_proj,
         norm2, conv2 for DDPM's networks; in_layers.{0,2}, emb_layers.1, out_layers.{0,3} for ADM's
Start    PyTorch's own initial weights, as released: f_t's first shift is small, not zero
Time     the paper's t, whose embedding temb (B, E) is the frozen network's own
"""

from collections.abc import Sequence
from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from latentgeo.models.adm_unet import ADMUNet
from latentgeo.models.bundles.image_model import ImageModel
from latentgeo.models.layers import Conv2d, GroupNormSiLU
from latentgeo.models.unet_layers import H

GROUPS = 32  # of every GroupNorm, or as many as divide the channels
DDPM_EPS, ADM_EPS = 1e-6, 1e-5  # as in the networks themselves


class Direction(Protocol):
    """What shifts h (B, C, H, W) at times t (B,), given their embedding temb (B, E)."""

    def __call__(self, h: Tensor, temb: Tensor, t: Tensor) -> Tensor:
        """Return Δh (B, C, H, W), or (1, C, H, W) for all samples."""


class ImplicitDirection(nn.Module):
    """f_t for DDPM's networks: two 1 × 1 convolutions with the time in between.

    Asyrp Sec. 3.4   Δh_t = f_t(h_t)
    """

    def __init__(self, channels: int, temb: int) -> None:
        super().__init__()
        self.conv1 = Conv2d(channels, channels, 1)
        self.temb_proj = nn.Linear(temb, channels)
        self.norm2 = GroupNormSiLU(groups_of(channels), channels, DDPM_EPS)
        self.conv2 = Conv2d(channels, channels, 1)

    def forward(self, h: Tensor, temb: Tensor, t: Tensor) -> Tensor:
        """Return Δh_t (B, C, H, W)."""
        shifted = self.conv1(h) + self.temb_proj(F.silu(temb))[:, :, None, None]
        found: Tensor = self.conv2(self.norm2(shifted))
        return found


class ImplicitDirectionADM(nn.Module):
    """f_t for improved DDPM's and ADM's networks: norm and SiLU before each convolution.

    Asyrp Sec. 3.4   Δh_t = f_t(h_t)
    """

    def __init__(self, channels: int, temb: int) -> None:
        super().__init__()
        groups = groups_of(channels)
        norm = GroupNormSiLU(groups, channels, ADM_EPS)
        self.in_layers = nn.Sequential(norm, nn.Identity(), Conv2d(channels, channels, 1))
        self.emb_layers = nn.Sequential(nn.SiLU(), nn.Linear(temb, channels))
        norm = GroupNormSiLU(groups, channels, ADM_EPS)
        last = Conv2d(channels, channels, 1)
        self.out_layers = nn.Sequential(norm, nn.Identity(), nn.Identity(), last)

    def forward(self, h: Tensor, temb: Tensor, t: Tensor) -> Tensor:
        """Return Δh_t (B, C, H, W)."""
        shifted = self.in_layers(h) + self.emb_layers(temb)[:, :, None, None]
        found: Tensor = self.out_layers(shifted)
        return found


class DirectionTable(nn.Module):
    """Δh_t of their own at some times: optimized, or the mean of f_t over samples (Δh_t^mean)."""

    times: Tensor

    def __init__(self, times: Sequence[int], shifts: Tensor) -> None:
        """Keep Δh_t (T_e, C, H, W) of distinct times; ValueError if they are not as many."""
        super().__init__()
        if len(times) != len(shifts) or len(set(times)) != len(times):
            raise ValueError(f"times: got {len(times)} for {len(shifts)} shifts, wanted as many")
        self.register_buffer("times", torch.tensor(list(times)))
        self.shifts = nn.Parameter(shifts)

    def forward(self, h: Tensor, temb: Tensor, t: Tensor) -> Tensor:
        """Return Δh_t (B, C, H, W) at the nearest of the times, 0 outside of their range."""
        distance = (t[:, None] - self.times).abs()  # (B, T_e)
        inside = (t >= self.times.min()) & (t <= self.times.max())
        return self.shifts[distance.argmin(1)] * inside[:, None, None, None]


class GlobalDirection(nn.Module):
    """One Δh at all times.

    Asyrp Sec. 5.3a   Δh^global
    """

    def __init__(self, shift: Tensor) -> None:
        """Keep Δh (C, H, W)."""
        super().__init__()
        self.shift = nn.Parameter(shift)

    def forward(self, h: Tensor, temb: Tensor, t: Tensor) -> Tensor:
        """Return Δh (1, C, H, W)."""
        return self.shift.unsqueeze(0)


@torch.no_grad()
def new_direction(model: ImageModel, layer: str = H) -> ImplicitDirection | ImplicitDirectionADM:
    """Return a fresh f_t for a layer of a model: of its network's layout, widths and device."""
    weight = next(model.unet.parameters())
    kind = ImplicitDirectionADM if isinstance(model.unet, ADMUNet) else ImplicitDirection
    first = torch.ones(1, dtype=torch.long, device=weight.device)
    labels = None if model.config.classes is None else first - 1
    temb = embedding(model, first, labels)
    h, _ = model.encode_h(torch.zeros(1, *model.shape).to(weight), first, labels, layer)
    return kind(h.shape[1], temb.shape[1]).to(weight)


def embedding(model: ImageModel, t: Tensor, labels: Tensor | None = None) -> Tensor:
    """Return the frozen network's own temb (B, E) of the paper's t (B,)."""
    if isinstance(model.unet, ADMUNet):
        return model.unet.embed(t - 1, labels)
    return model.unet.embed(t - 1, next(model.unet.parameters()))


def groups_of(channels: int) -> int:
    """Return how many groups a norm has: 32, or the largest divisor of the channels below."""
    return next(n for n in range(min(GROUPS, channels), 0, -1) if channels % n == 0)
