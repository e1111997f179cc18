"""Training of a text-to-image latent diffusion model on a frozen autoencoder.

Latent Diffusion (Rombach et al., arXiv 2112.10752), Sec. 3.2 and 3.3; the text encoder is trained
with the UNet (as LDM's was), captions are dropped for classifier-free guidance (CFG Alg. 1).

LDM Eq. 3   L = E ‖ε - ε_θ(z_t, t, τ_θ(y))‖²,   t uniform on 1 … T

Weights    Min-SNR (Hang et al., arXiv 2303.09556) weights the loss by min(SNR, γ) in terms of x_0,
           SNR = ᾱ_t / (1 - ᾱ_t); off by default.
"""

from pathlib import Path

import torch
from torch import Tensor, nn

from latentgeo.core.ddpm import q_sample
from latentgeo.core.parameterization import target
from latentgeo.core.precision import widest
from latentgeo.core.run.device import moved
from latentgeo.core.run.seeds import mix
from latentgeo.core.schedule import Schedule
from latentgeo.infer.data.shards import Shards
from latentgeo.infer.sampling.pipeline import Sampling, generate, seed_noises
from latentgeo.models.bundles.presets import TEXT_PRESETS, UNET_PRESETS
from latentgeo.models.bundles.text_to_image import (
    BundleConfig,
    SamplingDefaults,
    TextToImage,
    load_bundle,
    save_bundle,
)
from latentgeo.models.clip import TextEncoder
from latentgeo.models.unet import UNet
from latentgeo.models.vae import VAE
from latentgeo.train.data.cache import Cached, is_cache, open_cache
from latentgeo.train.data.draws import Draws
from latentgeo.train.data.latents import cached, moments, sample_latent
from latentgeo.train.data.stream import Source, open_source
from latentgeo.train.loop.run import Loop
from latentgeo.train.loop.session import (
    channels_last,
    compiled,
    first_examples,
    remembered,
    session,
    stream,
    weight_hashes,
)
from latentgeo.train.loop.task import Batch, Stateless, Terms
from latentgeo.train.settings import TrainDiffusion
from latentgeo.train.vae import load_vae

SAMPLED_AT_ONCE = 8  # images of a sample grid


def snr_weight(schedule: Schedule, t: Tensor, kind: str, gamma: float) -> Tensor:
    """Return the factor (B,) on a loss in eps or v that makes it min(SNR, γ) in x_0.

    SNR = ᾱ_t / (1 - ᾱ_t);  ‖ε - ε̂‖² = SNR ‖x_0 - x̂_0‖²,  ‖v - v̂‖² = (SNR + 1) ‖x_0 - x̂_0‖²
    """
    bar = schedule.bar(t, t.to(widest(t.device)))
    snr = bar / (1 - bar)
    return snr.clamp(max=gamma) / (snr if kind == "eps" else snr + 1)


def drop_captions(captions: list[str], draws: Draws, probability: float) -> list[str]:
    """Return the captions, each replaced by the empty one with the given probability.

    CFG Alg. 1   c ← ∅ with probability p_uncond
    """
    dropped = draws.chance(probability)
    return ["" if drop else text for drop, text in zip(dropped, captions, strict=True)]


class DiffusionTask(Stateless):
    """What the loop trains: UNet and text encoder, on latents (or images) and captions."""

    def __init__(
        self,
        bundle: TextToImage,
        settings: TrainDiffusion,
        captions: list[str],
        device: torch.device,
    ) -> None:
        self.bundle, self.settings, self.captions, self.device = bundle, settings, captions, device
        bundle.text.requires_grad_(settings.train_text)
        bundle.unet.requires_grad_(True)

    def parameters(self) -> dict[str, nn.Parameter]:
        """Return the weights of the UNet and, if it is trained, of the text encoder."""
        parts = {"unet": self.bundle.unet, "text": self.bundle.text}
        return {
            f"{part}.{name}": weight
            for part, module in parts.items()
            for name, weight in module.named_parameters()
            if weight.requires_grad
        }

    def loss(self, batch: Batch, draws: Draws) -> tuple[Tensor, Terms]:
        """Return the mean loss of a batch of moments (B, 2 C, h, w) or images (B, 3, H, W).

        LDM Eq. 3   L = E ‖ε - ε_θ(z_t, t, τ_θ(y))‖²
        """
        kept, captions = moved(batch[0], self.device), batch[1]
        if not self.settings.cache_latents:
            kept = moments(self.bundle.vae, kept)
        z_0 = sample_latent(kept, draws.normal_like(kept.chunk(2, dim=1)[0]))
        t = draws.integers(1, self.bundle.schedule.T, self.device)
        eps = draws.normal_like(z_0)
        z_t = q_sample(self.bundle.schedule, z_0, t, eps)
        captions = drop_captions(captions, draws, self.settings.drop_caption)
        raw = self.bundle.raw(self.bundle.encode_text(captions))(z_t, t)
        kind = self.settings.prediction
        wanted = target(self.bundle.schedule, z_0, eps, t, kind)
        errors = (wanted - raw.to(wanted.dtype)).square().flatten(1).mean(dim=1)
        if self.settings.min_snr is not None:
            weight = snr_weight(self.bundle.schedule, t, kind, self.settings.min_snr)
            errors = errors * weight.to(errors)
        return errors.mean(), {}

    def sample_grid(self) -> Tensor | None:
        """Return images (N, 3, H, W) of the data's first captions, the same noise each time."""
        return sample_captions(self.bundle, self.captions, self.settings.seed)

    def save(self, folder: Path) -> None:
        """Write the model: config.json and the weights of its three networks."""
        save_bundle(self.bundle, folder)
        print(f"wrote the model {folder}", flush=True)


@torch.no_grad()
def sample_captions(bundle: TextToImage, captions: list[str], seed: int) -> Tensor | None:
    """Return one image (N, 3, H, W) per caption by guided DDIM, at the bundle's defaults."""
    if not captions:
        return None
    defaults = bundle.config.sampling
    sampling = Sampling(steps=defaults.steps, guidance=defaults.guidance, batch=SAMPLED_AT_ONCE)
    seeds = [mix(seed, "grid", i) for i in range(len(captions))]
    noise = seed_noises(seeds, bundle.latent_shape)
    return torch.cat(list(generate(bundle, noise, captions, sampling)))


def build(settings: TrainDiffusion, vae: VAE) -> TextToImage:
    """Return the model to train: fresh weights of a preset, or those of the model to start from."""
    sampling = SamplingDefaults(
        size=settings.size, steps=settings.sample_steps, guidance=settings.guidance
    )
    if settings.start is not None:
        started = load_bundle(settings.start)
        unet, text = started.unet, started.text
    else:
        unet, text = UNet(UNET_PRESETS[settings.preset]), TextEncoder(TEXT_PRESETS[settings.preset])
    config = BundleConfig(
        name=settings.out.name,
        unet=unet.config,
        vae=vae.config,
        text=text.config,
        schedule=settings.noise_schedule,
        prediction=settings.prediction,
        sampling=sampling,
    )
    return TextToImage(config, unet, vae, text)


def open_data(settings: TrainDiffusion, vae: VAE) -> Source | Shards:
    """Return the source of images that the settings name, or the cache, of which latents are read.

    Raises ValueError for a cache with settings that only images have.
    """
    if is_cache(settings.data):
        if settings.flip or settings.where or not settings.cache_latents:
            raise ValueError(
                f"flip, where and cache_latents: got some for the cache {settings.data}, whose "
                "images are encoded already; give --flip and --where to latentgeo cache"
            )
        return open_cache(Path(settings.data), settings.size, vae=vae)
    return open_source(
        settings.data, settings.size, settings.on_bad, flip=settings.flip, where=settings.where
    )


def train(settings: TrainDiffusion) -> None:
    """Run `latentgeo train-diffusion`."""
    with session(settings, weight_hashes(settings.vae, settings.start)) as device:
        vae = load_vae(settings.vae).to(device)
        bundle = build(settings, vae)
        for module in bundle.modules.values():
            module.to(device)
        channels_last(settings, device, *bundle.modules.values())
        if settings.compile:
            compiled(bundle.unet, bundle.text)
        source = open_data(settings, vae)
        captions = [example.caption for example in first_examples(source, settings.samples)]
        if not isinstance(source, Cached):
            latents = settings.cache_latents
            source = cached(source, vae, device) if latents else remembered(source)
        task = DiffusionTask(bundle, settings, captions, device)
        Loop(task, stream(source, settings), settings, device).run()
