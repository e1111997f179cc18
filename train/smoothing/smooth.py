"""Training of Smooth Diffusion's adapter, Smooth-LoRA.

Guo et al., Smooth Diffusion (arXiv 2312.04410), Sec. 3.2, 3.3 and 4.1. The UNet of a text-to-image
model gets a LoRA, in the paper on its attention projections; everything else is frozen. Each step
adds the regularizer of core/smooth.py to the denoising loss. The command's defaults are the
paper's.

SmoothS Eq. 2   L_base = E ‖ε - ε_θ(x_t, t)‖²
Smooth Eq. 9    L_reg = E (v - a)²,   v = √(1-ᾱ_t) ‖J_εᵀ Δx̂_0‖
Smooth Eq. 14   L = L_base + λ L_reg

Statistic   a is averaged over all ranks and moved once per optimiser step. Every rank sees the same
            a, and a checkpoint holds it. (In the released code a is each rank's own, moves once per
            accumulated part and starts from zero again after a resume.)
Parts       The a that a part is compared with has moved by the parts of its step so far, itself
            included, as in the released code; what is kept moves once, at the end of the step.
"""

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from latentgeo.core.ddpm import simple_loss
from latentgeo.core.parameterization import target
from latentgeo.core.precision import norms, widened
from latentgeo.core.run.device import moved
from latentgeo.core.run.ranks import all_reduce_mean, ranks
from latentgeo.core.schedule import column
from latentgeo.core.smooth import (
    RunningMean,
    batch_sums,
    mean_at,
    objective,
    regularizer,
    running_mean,
    update,
)
from latentgeo.core.variation_routes import ROUTES, Variation, central_difference
from latentgeo.infer.data.shards import Shards
from latentgeo.kernels.wiring.dispatch import cast
from latentgeo.models.bundles.text_to_image import TextToImage
from latentgeo.models.formats.load import load_text_to_image
from latentgeo.models.held_casts import HeldCasts
from latentgeo.models.recompute import recompute_blocks
from latentgeo.train.data.cache import Cached, is_cache, open_cache
from latentgeo.train.data.draws import Draws
from latentgeo.train.data.latents import cached, moments, sample_latent
from latentgeo.train.data.stream import Source, open_source
from latentgeo.train.diffusion import drop_captions, sample_captions
from latentgeo.train.loop.run import Loop
from latentgeo.train.loop.session import (
    channels_last,
    first_examples,
    remembered,
    session,
    stream,
    weight_hashes,
)
from latentgeo.train.loop.sharded import shard
from latentgeo.train.loop.task import Batch, Part, Terms
from latentgeo.train.smoothing.adapter import adapt, save_adapter
from latentgeo.train.smoothing.settings import TrainSmooth

BINS = 10  # ranges of t for which the log has a mean of v
BF16_STEP = 0.05  # of central differences in bfloat16, see core/variation_routes.py


def direction_of(normal: Tensor, kind: str) -> Tensor:
    """Return Δx̂_0 (B, ...) of standard normals (B, ...): of unit length, or N(0, I / n).

    Smooth Eq. 9   "unit": ‖Δx̂_0‖ = 1; "official": as in the released code, in the mean square only
    """
    if kind == "official":
        return normal / normal[0].numel() ** 0.5
    return (widened(normal) / column(norms(normal), normal)).to(normal.dtype)


class SmoothTask:
    """What the loop trains: the LoRA of the UNet, on latents (or images) and captions.

    `cache` is what `latentgeo cache` wrote, if the batches are read from that.
    """

    def __init__(
        self,
        bundle: TextToImage,
        settings: TrainSmooth,
        captions: list[str],
        device: torch.device,
        cache: Cached | None = None,
    ) -> None:
        self.bundle, self.settings, self.captions, self.device = bundle, settings, captions, device
        self.cache, self.means = cache, settings.means(bundle.schedule.T)
        self.casts = held_casts(bundle.unet, settings, device)
        self.mean = running_mean(self.means, settings.decay, device)
        self.bins = running_mean(BINS, device=device)
        self.sums = self.mean.raw.new_zeros(2, self.means)  # of this step's parts
        self.bin_sums = self.bins.raw.new_zeros(2, BINS)

    def parameters(self) -> dict[str, nn.Parameter]:
        """Return what is trained, A and B of every adapted layer, by their names in the UNet."""
        named = self.bundle.unet.named_parameters()
        return {name: weight for name, weight in named if weight.requires_grad}

    def loss(self, batch: Batch, draws: Draws) -> tuple[Tensor, Terms]:
        """Return the mean objective of a batch of moments (B, 2 C, h, w) or images (B, 3, H, W).

        Smooth Eq. 14   L = L_base + λ L_reg
        """
        return self.loss_of(self.stage(batch, draws))

    def stage(self, batch: Batch, draws: Draws) -> Part:
        """Return the batch, its captions as tokens or encoded, and the noises of its samples."""
        captions = drop_captions(batch[1], draws, self.settings.drop_caption)
        like = self.bundle.unet.conv_in.weight
        if self.cache is None:
            text = moved(self.bundle.tokenizer(captions), self.device)
        else:
            text = moved(self.cache.context(captions), self.device).to(like.dtype)
        kept = moved(batch[0], self.device)
        shape = self._latent_shape(kept)
        return Part(
            tensors={
                "kept": kept,
                "text": text,
                "latent": draws.normal(shape, like),
                "t": draws.integers(1, self.bundle.schedule.T, self.device),
                "eps": draws.normal(shape, like),
                "direction": draws.normal(shape, like),
            }
        )

    def loss_of(self, part: Part) -> tuple[Tensor, Terms]:
        """Return the mean objective () of what was staged.

        Smooth Eq. 14   L = L_base + λ L_reg
        """
        schedule, kind = self.bundle.schedule, self.bundle.config.prediction
        z_0, context = self._inputs(part)
        t, eps = part.tensors["t"], part.tensors["eps"]
        direction = direction_of(part.tensors["direction"], self.settings.delta_length)
        with self.casts():
            raw, v = self._variation(cast(context), z_0, eps, t, direction)
        wanted = target(schedule, z_0, eps, t, kind)
        base = simple_loss(wanted, raw.to(wanted.dtype))
        a = self._a(v, t)
        reg = regularizer(v, a)
        terms = {"base": base, "reg": reg, "v": v.mean(), "a": a.mean()}
        loss = objective(base, reg, self.settings.reg_weight)
        return loss, {name: term.detach() for name, term in terms.items()}

    @property
    def _encodes(self) -> bool:
        """Whether a batch is of images, to be encoded."""
        return self.cache is None and not self.settings.cache_latents

    def _latent_shape(self, kept: Tensor) -> tuple[int, int, int]:
        """Return (C, h, w) of the latents of a batch."""
        vae, (channels, height, width) = self.bundle.config.vae, kept.shape[1:]
        if self._encodes:
            return vae.latent_channels, height // vae.factor, width // vae.factor
        return channels // 2, height, width

    @torch.no_grad()
    def _inputs(self, part: Part) -> tuple[Tensor, Tensor]:
        """Return z_0 (B, C, h, w) and the context (B, L, K) of a part."""
        kept, text = part.tensors["kept"], part.tensors["text"]
        if self._encodes:
            kept = moments(self.bundle.vae, kept)
        z_0 = sample_latent(kept.to(self.bundle.dtype), part.tensors["latent"])
        return z_0, self.bundle.text(text) if self.cache is None else text

    def _variation(
        self, context: Tensor, z_0: Tensor, eps: Tensor, t: Tensor, direction: Tensor
    ) -> Variation:
        schedule, kind = self.bundle.schedule, self.bundle.config.prediction
        predict = self.bundle.raw(context)
        if self.settings.route == "central-difference":
            h = BF16_STEP if self.settings.dtype == "bf16" else None
            h = self.settings.difference_step or h
            return central_difference(predict, schedule, z_0, eps, t, direction, kind, h)
        return ROUTES[self.settings.route](predict, schedule, z_0, eps, t, direction, kind)

    def _a(self, v: Tensor, t: Tensor) -> Tensor:
        """Return a (B,) after the parts of this step so far, over all ranks.

        Smooth Eq. 9   a is the exponential moving average of v
        """
        schedule, v = self.bundle.schedule, v.detach()
        self.sums += self._over_ranks(batch_sums(self.mean, schedule, v, t))
        self.bin_sums += batch_sums(self.bins, schedule, v, t)
        return mean_at(update(self.mean, self.sums), schedule, t)

    def _over_ranks(self, sums: Tensor) -> Tensor:
        world = ranks().world
        return sums if world == 1 else all_reduce_mean(sums) * world

    def end_step(self) -> Terms:
        """Move a by all samples of the step; return the mean of v per tenth of t, or NaN."""
        moved_on = update(self.mean, self.sums)
        self.mean.raw.copy_(moved_on.raw)  # in place: a captured step reads what is there
        self.mean.count.copy_(moved_on.count)
        total, count = self._over_ranks(self.bin_sums)
        means = (total / count).unbind()
        self.sums.zero_()
        self.bin_sums.zero_()
        width = self.bundle.schedule.T // BINS
        return {f"v_{i * width + 1}_{(i + 1) * width}": mean for i, mean in enumerate(means)}

    def state(self) -> dict[str, Any]:
        """Return the running mean a."""
        return {"raw": self.mean.raw, "count": self.mean.count, "decay": self.mean.decay}

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Continue the running mean a; `ValueError` if it was kept for other ranges of t."""
        if len(state["raw"]) != self.means:
            raise ValueError(
                f"ranges: got {self.means}, but the checkpoint has {len(state['raw'])}"
            )
        self.mean = RunningMean(
            state["raw"].to(self.mean.raw), state["count"].to(self.device), self.settings.decay
        )

    def sample_grid(self) -> Tensor | None:
        """Return images (N, 3, H, W) of the data's first captions, the same noise each time."""
        return sample_captions(self.bundle, self.captions, self.settings.seed)

    def save(self, folder: Path) -> None:
        """Write the adapter, or the whole model, and how it was made."""
        a = {"raw": self.mean.raw.tolist(), "count": self.mean.count.tolist()}
        save_adapter(self.bundle, self.settings, folder, {"running_mean": a})


def held_casts(
    unet: nn.Module, settings: TrainSmooth, device: torch.device
) -> Callable[[], AbstractContextManager[None]]:
    """Return what the UNet's passes run in: with its weights cast ahead, in bf16 with a LoRA.

    On a CPU, whose time they are no part of, casts are autocast's.
    """
    if settings.dtype != "bf16" or settings.adapter == "full" or device.type == "cpu":
        return nullcontext
    held = HeldCasts(unet, torch.bfloat16)
    return nullcontext if settings.checkpoint_activations else held.of_a_pass


def open_data(settings: TrainSmooth, bundle: TextToImage) -> Source | Shards:
    """Return the source of images that the settings name, or the cache.

    Raises ValueError for a cache with settings that only images have.
    """
    size = settings.size or bundle.config.sampling.size
    if is_cache(settings.data):
        if settings.flip or settings.where:
            raise ValueError(
                f"flip and where: got some for the cache {settings.data}, whose images are encoded "
                "already; give them to latentgeo cache"
            )
        return open_cache(Path(settings.data), size, vae=bundle.vae, text=bundle)
    return open_source(
        settings.data, size, settings.on_bad, flip=settings.flip, where=settings.where
    )


def train(settings: TrainSmooth) -> None:
    """Run `latentgeo train-smooth`."""
    with session(settings, weight_hashes(settings.model)) as device:
        bundle = load_text_to_image(settings.model, device=device, prediction=settings.prediction)
        adapt(bundle.unet, settings)
        channels_last(settings, device, bundle.unet)
        if settings.checkpoint_activations:
            recompute_blocks(bundle.unet)
        source = open_data(settings, bundle)
        captions = [example.caption for example in first_examples(source, settings.samples)]
        cache = source if isinstance(source, Cached) else None
        if cache is None:
            latents = settings.cache_latents
            source = cached(source, bundle.vae, device) if latents else remembered(source)
        sharded = shard(bundle.unet, device, settings.route) if settings.adapter == "full" else None
        task = SmoothTask(bundle, settings, captions, device, cache)
        Loop(task, stream(source, settings), settings, device, sharded).run()
