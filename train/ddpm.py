"""Training of a diffusion model of images without text, of pixels or of latents.

DDPM (Ho et al., arXiv 2006.11239), Sec. 3.4, and LDM (arXiv 2112.10752), Sec. 3.2, without a text.

DDPM Eq. 14   L_simple = E ‖ε - ε_θ(√ᾱ_t x_0 + √(1-ᾱ_t) ε, t)‖²,   t uniform on 1 … T
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor, nn

from latentgeo.core.ddpm import q_sample, simple_loss
from latentgeo.core.parameterization import target
from latentgeo.core.run.device import moved
from latentgeo.core.run.seeds import mix
from latentgeo.infer.sampling.pipeline import seed_noises
from latentgeo.infer.sampling.unprompted import ImageSampling, generate_images
from latentgeo.models.bundles.image_model import ImageModel, new_image_model, save_image_model
from latentgeo.models.bundles.presets_image_models import TRAINED_PRESETS
from latentgeo.models.formats.load_image import load_image_model
from latentgeo.models.vae import VAE
from latentgeo.train.data.draws import Draws
from latentgeo.train.data.latents import cached, sample_latent
from latentgeo.train.data.stream import open_source
from latentgeo.train.loop.run import Loop
from latentgeo.train.loop.session import (
    channels_last,
    compiled,
    remembered,
    session,
    stream,
    weight_hashes,
)
from latentgeo.train.loop.task import Batch, Data, Part, Stateless, Terms
from latentgeo.train.settings import TrainDdpm
from latentgeo.train.vae import load_vae

SAMPLED_AT_ONCE = 16  # images of a sample grid


class DdpmTask(Stateless):
    """What the loop trains: the UNet, on images or on moments of their latents."""

    def __init__(self, model: ImageModel, settings: TrainDdpm, device: torch.device) -> None:
        self.model, self.settings, self.device = model, settings, device
        model.unet.eval().requires_grad_(True)

    def parameters(self) -> dict[str, nn.Parameter]:
        """Return the UNet's weights."""
        return dict(self.model.unet.named_parameters())

    def loss(self, batch: Batch, draws: Draws) -> tuple[Tensor, Terms]:
        """Return the mean loss of a batch of images (B, 3, H, W) or moments (B, 2 C, h, w).

        DDPM Eq. 14   L_simple = E ‖ε - ε_θ(x_t, t)‖²
        """
        return self.loss_of(self.stage(batch, draws))

    def stage(self, batch: Batch, draws: Draws) -> Part:
        """Return the images or moments, and the times and noises of their samples."""
        tensors = {"kept": moved(batch[0], self.device)}
        like = tensors["kept"]
        if self.model.autoencoder is not None:
            like = like.chunk(2, dim=1)[0]
            tensors["latent"] = draws.normal_like(like)
        tensors["t"] = draws.integers(1, self.model.schedule.T, self.device)
        return Part(tensors=tensors | {"eps": draws.normal_like(like)})

    def loss_of(self, part: Part) -> tuple[Tensor, Terms]:
        """Return the mean loss () of what was staged; there is nothing else to log.

        DDPM Eq. 14   L_simple = E ‖ε - ε_θ(x_t, t)‖²
        """
        return self.denoising(part), {}

    def clean(self, part: Part) -> Tensor:
        """Return x_0 (B, C, h, w): the images, or a sample of their latents."""
        kept, noise = part.tensors["kept"], part.tensors.get("latent")
        return kept if noise is None else sample_latent(kept, noise)

    def denoising(self, part: Part) -> Tensor:
        """Return the mean denoising loss () of x_0 (B, C, h, w)."""
        schedule, kind = self.model.schedule, self.model.config.prediction
        x_0, t, eps = self.clean(part), part.tensors["t"], part.tensors["eps"]
        with dropping_out(self.model.unet):
            raw = self.model.raw()(q_sample(schedule, x_0, t, eps), t)
        wanted = target(schedule, x_0, eps, t, kind)
        return simple_loss(wanted, raw.to(wanted.dtype))

    def sample_grid(self) -> Tensor | None:
        """Return images (N, 3, H, W), of the same noise each time."""
        seeds = [mix(self.settings.seed, "grid", i) for i in range(self.settings.samples)]
        how = ImageSampling(steps=self.settings.sample_steps, batch=SAMPLED_AT_ONCE)
        noise = seed_noises(seeds, self.model.shape)
        return torch.cat(list(generate_images(self.model, noise, how, seeds)))

    def save(self, folder: Path) -> None:
        """Write the model: config.json and the weights of its networks."""
        self.save_model(folder)
        print(f"wrote the model {folder}", flush=True)

    def save_model(self, folder: Path) -> None:
        """Write config.json and the weights of the networks."""
        save_image_model(self.model, folder)


@contextmanager
def dropping_out(network: nn.Module) -> Iterator[None]:
    """Run a network with its dropout, which it has in the denoising loss and nowhere else."""
    network.train()
    try:
        yield
    finally:
        network.eval()


def build(settings: TrainDdpm) -> ImageModel:
    """Return the model to train: fresh weights of a preset, or the model to start from.

    Raises ValueError for a preset that there is not, and for a model whose variance is learned.
    """
    vae = None if settings.vae is None else load_vae(settings.vae)
    if settings.start is not None:
        model = load_image_model(settings.start)
    else:
        if settings.preset not in TRAINED_PRESETS:
            known = ", ".join(TRAINED_PRESETS)
            raise ValueError(f"preset: got {settings.preset!r}, wanted one of {known}")
        config = TRAINED_PRESETS[settings.preset]
        model = new_image_model(config if vae is None else replace(config, autoencoder=vae.config))
    if model.config.learned_variance or model.config.classes is not None:
        name = model.config.name
        raise ValueError(
            f"preset and start: got {name}, wanted a model without a learned variance and classes"
        )
    model.config = replace(
        model.config,
        name=settings.out.name,
        prediction=settings.prediction or model.config.prediction,
        sampling=replace(model.config.sampling, steps=settings.sample_steps),
    )
    if vae is not None:
        model.autoencoder = vae
    return model


def open_batches(settings: TrainDdpm, model: ImageModel, device: torch.device) -> Data:
    """Return the run's batches: of images, or of latents that are encoded once.

    Raises ValueError for an autoencoder without a posterior to draw from (a VQ one).
    """
    size = model.config.sampling.size
    source = open_source(
        settings.data, size, settings.on_bad, flip=settings.flip, where=settings.where
    )
    vae = model.autoencoder
    if vae is None:
        return stream(remembered(source), settings)
    if not isinstance(vae, VAE):
        raise ValueError(
            f"start: got {settings.start} with a vector-quantized autoencoder, which latents are "
            "not drawn from; give another one as --vae"
        )
    return stream(cached(source, vae, device), settings)


def train(settings: TrainDdpm, task: type[DdpmTask] = DdpmTask) -> None:
    """Run `latentgeo train-ddpm`, or another task on the same model and data."""
    with session(settings, weight_hashes(settings.start, settings.vae)) as device:
        model = build(settings)
        for module in model.modules.values():
            module.to(device)
        channels_last(settings, device, model.unet)
        if settings.compile:
            compiled(model.unet)
        batches = open_batches(settings, model, device)
        Loop(task(model, settings, device), batches, settings, device).run()
