"""A text-to-image model under given prompts, as a model of latents without text.

Everything that takes an `ImageModel`, a bottleneck's geometry above all, takes this too. There is
no guidance: ε_θ(z_t, t, τ_θ(y)) of LDM (arXiv 2112.10752), Sec. 3.3, alone.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from latentgeo.models.bundles.image_config import ImageDefaults, ImageModelConfig, ScheduleConfig
from latentgeo.models.bundles.image_model import ImageModel
from latentgeo.models.bundles.text_to_image import TextToImage


class Prompted(ImageModel):
    """A text-to-image model whose batches have the prompts that it was last told."""

    def __init__(self, bundle: TextToImage, prompts: Sequence[str] = ("",)) -> None:
        """Share the networks of `bundle`; one prompt is for every sample, B for a batch of B."""
        made = bundle.config
        config = ImageModelConfig(
            name=made.name,
            unet=made.unet,
            autoencoder=made.vae,
            schedule=ScheduleConfig(kind=made.schedule),
            prediction=made.prediction,
            sampling=ImageDefaults(
                size=made.sampling.size,
                steps=made.sampling.steps,
                spacing=made.sampling.spacing,
                offset=made.sampling.offset,
                final=made.sampling.final,
                clip=False,
            ),
        )
        super().__init__(config, bundle.unet, bundle.vae)
        self.bundle = bundle
        self.tell(prompts)

    @torch.no_grad()
    def tell(self, prompts: Sequence[str]) -> None:
        """Give the next batches these prompts: one for every sample, or one for each."""
        self.context = self.bundle.encode_text(prompts)

    def _given(self, labels: Tensor | None, count: int) -> tuple[Tensor, ...]:
        """Return the context (B, L, K), which the UNet takes behind the time."""
        return (self.context.expand(count, -1, -1),)
