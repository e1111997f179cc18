"""Isometric Diffusion of a text-to-image model: its latents, each with its caption.

Hahm et al. (arXiv 2407.11451), App. E, train latent diffusion of faces without text; under captions
h is a function of z_t and the text, and the isometry is that of z_t ↦ h for each caption.
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from latentgeo.core.run.device import moved
from latentgeo.models.bundles.prompted import Prompted
from latentgeo.models.bundles.text_to_image import save_bundle
from latentgeo.models.formats.load import find_model, load_text_to_image
from latentgeo.models.formats.load_image import image_layout
from latentgeo.train.data.draws import Draws
from latentgeo.train.data.latents import cached
from latentgeo.train.data.stream import open_source
from latentgeo.train.diffusion import drop_captions, sample_captions
from latentgeo.train.isometry import isometric
from latentgeo.train.isometry.isometric import IsometricTask
from latentgeo.train.isometry.settings import TrainIsometric
from latentgeo.train.loop.run import Loop
from latentgeo.train.loop.session import (
    channels_last,
    first_examples,
    session,
    stream,
    weight_hashes,
)
from latentgeo.train.loop.task import Batch, Part, Terms


class PromptedTask(IsometricTask):
    """What the loop trains: the UNet of a text-to-image model, on moments and captions."""

    def __init__(
        self,
        model: Prompted,
        settings: TrainIsometric,
        captions: Sequence[str],
        device: torch.device,
    ) -> None:
        super().__init__(model, settings, device)
        self.prompted, self.captions = model, list(captions)

    def stage(self, batch: Batch, draws: Draws) -> Part:
        """Return what both terms are computed from, and the tokens of the captions."""
        captions = drop_captions(batch[1], draws, self.settings.drop_caption)
        tokens = moved(self.prompted.bundle.tokenizer(captions), self.device)
        part = super().stage(batch, draws)
        return replace(part, tensors={**part.tensors, "tokens": tokens})

    def loss_of(self, part: Part) -> tuple[Tensor, Terms]:
        """Return the mean loss () of moments (B, 2 C, h, w) with captions.

        Iso Eq. 7   L = L_dsm + λ_iso(p, t) L_iso, both terms under the same captions
        """
        with torch.no_grad():
            self.prompted.context = self.prompted.bundle.text(part.tensors["tokens"])
        return super().loss_of(part)

    def sample_grid(self) -> Tensor | None:
        """Return images (N, 3, H, W) of the data's first captions, the same noise each time."""
        return sample_captions(self.prompted.bundle, self.captions, self.settings.seed)

    def save_model(self, folder: Path) -> None:
        """Write config.json and the weights of the three networks."""
        save_bundle(self.prompted.bundle, folder)


def train(settings: TrainIsometric) -> None:
    """Run `latentgeo train-isometric`, of a model with or without text.

    Raises ValueError for an autoencoder beside a model that has its own.
    """
    if settings.start is None or image_layout(find_model(settings.start)) is not None:
        isometric.train(settings)
        return
    if settings.vae is not None:
        raise ValueError(f"vae: got {settings.vae}, but {settings.start} has its own; leave it out")
    with session(settings, weight_hashes(settings.start)) as device:
        model = Prompted(load_text_to_image(settings.start, device=device))
        channels_last(settings, device, model.unet)
        size = model.config.sampling.size
        source = open_source(
            settings.data, size, settings.on_bad, flip=settings.flip, where=settings.where
        )
        captions = [example.caption for example in first_examples(source, settings.samples)]
        latents = cached(source, model.bundle.vae, device)
        task = PromptedTask(model, settings, captions, device)
        Loop(task, stream(latents, settings), settings, device).run()
