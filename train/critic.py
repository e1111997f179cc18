"""The discriminator beside an autoencoder in training, and how it learns.

Rombach et al., arXiv 2112.10752, App. G: the two play against each other. The autoencoder's turn is
the loop's (train/vae.py); the discriminator's comes behind it, with Adam and the same constants.
"""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from latentgeo.core.adversarial import discriminator_loss, generator_loss
from latentgeo.core.run.ranks import average_gradients
from latentgeo.models.discriminator import PatchDiscriminator
from latentgeo.train.loop.task import Terms
from latentgeo.train.settings import TrainVae


class Critic:
    """A patch discriminator with its optimiser and the images that it learns from next."""

    def __init__(self, settings: TrainVae, device: torch.device) -> None:
        self.settings, self.device = settings, device
        net = PatchDiscriminator(settings.patch_width, settings.patch_strided)
        self.net = net.to(device).requires_grad_(False)
        self.optimizer = torch.optim.Adam(
            self.net.parameters(), lr=settings.rate, betas=(settings.beta_1, settings.beta_2)
        )
        self.seen: list[tuple[Tensor, Tensor]] = []

    def judged(self, x: Tensor, y: Tensor) -> Tensor:
        """Return what the autoencoder makes small (), and keep both images (B, 3, H, W) to learn.

        LDM Eq. 25   -E D_ψ(D(E(x))); no gradient enters the discriminator
        """
        self.seen.append((x, y.detach()))
        return generator_loss(self.net(y).float())

    def learn(self, step: int) -> Terms:
        """Take one step, at the rate of `step`, on the images judged since; return its loss."""
        if not self.seen:
            return {}
        self.net.requires_grad_(True)
        self.optimizer.zero_grad(set_to_none=True)
        total = torch.zeros((), device=self.device)
        for x, y in self.seen:
            with torch.autocast(
                self.device.type, torch.bfloat16, enabled=self.settings.dtype == "bf16"
            ):
                real, fake = self.net(x), self.net(y)
            loss = discriminator_loss(real.float(), fake.float()) / len(self.seen)
            loss.backward()
            total += loss.detach()
        average_gradients(self.net.parameters())
        for group in self.optimizer.param_groups:
            group["lr"] = self.settings.rate_at(step)
        self.optimizer.step()
        self.net.requires_grad_(False)
        self.seen.clear()
        return {"critic": total}

    def state(self) -> dict[str, Any]:
        """Return weights and optimiser."""
        return {"net": self.net.state_dict(), "optimizer": self.optimizer.state_dict()}

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Continue from `state`."""
        self.net.load_state_dict(state["net"])
        self.optimizer.load_state_dict(state["optimizer"])
