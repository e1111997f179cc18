"""The identity LoRA: a UNet is made to know one image before that image is edited.

DragDiffusion (Shi et al., arXiv 2306.14435), Sec. 3.3. A LoRA on the attention projections is
trained with the denoising loss on copies of the one image, its caption given, all times t alike.
It is attached under its own name, beside a Smooth-LoRA that may be there, and detached after use.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from latentgeo.core.ddpm import q_sample, simple_loss
from latentgeo.core.parameterization import target
from latentgeo.core.run.progress import progress
from latentgeo.core.run.seeds import generator, mix
from latentgeo.models.bundles.text_to_image import TextToImage
from latentgeo.models.lora.adapter import ATTENTION, attach, detach, lora_parameters

NAME = "identity"  # of the adapter
Layers = Literal["attention", "all"]


@dataclass(frozen=True, kw_only=True)
class Identity:
    """How the adapter is trained. The defaults are the released ones, for Stable Diffusion 1.5."""

    rank: int = 16
    layers: Layers = "attention"  # that the adapter changes: the attention's projections, or all
    steps: int = 80  # 0 trains none
    lr: float = 5e-4  # of AdamW, constant
    batch: int = 4  # noisy copies of the image per step
    weight_decay: float = 1e-2
    shift: int = 0  # pixels that a copy is moved to any side at most, its border repeated


@contextmanager
def identity_lora(
    bundle: TextToImage, image: Tensor, context: Tensor, how: Identity, seed: int
) -> Iterator[list[float]]:
    """Train the adapter on an image (1, 3, H, W) in [-1, 1] with its context (1, L, D), and use it.

    Yields the losses; after the block the model is bit for bit what it was.
    """
    if how.steps == 0:
        yield []
        return
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(mix(seed, "identity"))
        targets = ATTENTION if how.layers == "attention" else "*"
        attach(bundle.unet, how.rank, targets=targets, name=NAME, dtype=torch.float32)
    try:
        yield train_identity(bundle, image, context, how, seed)
    finally:
        detach(bundle.unet, NAME)


def train_identity(
    bundle: TextToImage, image: Tensor, context: Tensor, how: Identity, seed: int
) -> list[float]:
    """Train the attached adapter, freeze it, and return the loss of every step.

    Drag Eq. 2   L_ft(z, Δθ) = E ‖ε - ε_{θ+Δθ}(α_t z + σ_t ε)‖²_2
    """
    weights = lora_parameters(bundle.unet, NAME)
    optimizer = torch.optim.AdamW(weights, lr=how.lr, weight_decay=how.weight_decay)
    draws, losses = generator(seed, "identity draws"), []
    context = context.expand(how.batch, -1, -1)
    for _ in progress(range(how.steps), label="learning the image"):
        with torch.no_grad():
            z_0 = bundle.encode(copies(image, how.batch, how.shift, draws), draws).float()
        loss = denoising_loss(bundle, z_0, context, draws)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    for weight in weights:
        weight.requires_grad_(False)
    return losses


def copies(image: Tensor, count: int, shift: int, draws: torch.Generator) -> Tensor:
    """Return an image (1, C, H, W) `count` times, each moved at random by up to `shift` pixels."""
    height, width = image.shape[-2:]
    wide = F.pad(image, (shift, shift, shift, shift), mode="replicate")
    corners = torch.randint(0, 2 * shift + 1, (count, 2), generator=draws).tolist()
    return torch.cat([wide[..., y : y + height, x : x + width] for x, y in corners])


def denoising_loss(
    bundle: TextToImage, z_0: Tensor, context: Tensor, draws: torch.Generator
) -> Tensor:
    """Return the loss () of latents z_0 (B, C, h, w), with fresh ε and t of every one.

    Drag Eq. 2   ‖ε - ε_{θ+Δθ}(α_t z + σ_t ε)‖²_2, its mean over elements, t uniform
    """
    schedule, kind = bundle.schedule, bundle.config.prediction
    t = torch.randint(1, schedule.T + 1, (len(z_0),), generator=draws).to(z_0.device)
    eps = torch.randn(z_0.shape, generator=draws).to(z_0)
    z_t = q_sample(schedule, z_0, t, eps)
    raw = bundle.raw(context)(z_t.to(bundle.dtype), t).float()
    return simple_loss(target(schedule, z_0, eps, t, kind), raw)
