"""Training of Isometric Diffusion: denoising, and an encoder close to a scaled isometry.

Hahm et al. (arXiv 2407.11451), Sec. 3.2 and 4.1.

Iso Eq. 7   L = L_dsm + λ_iso(p, t) L_iso,   λ_iso(p, t) = λ_iso 1_{t > pT}

Time      L_iso is of one t: its means are over x_t ~ P(x_t). So a part's images share one t, drawn
          on 1 … T, and there is no second term where t ≤ pT: in expectation, Eq. 7 over all t. (The
          released code draws t anew for each image, which asks for one c at all times.)
Cost      the encoder alone, once there with a tangent and back, and the gradient of that: 9 of its
          passes (core/round_trip.py). The decoder never runs for L_iso
"""

import json
from pathlib import Path

import torch
from torch import Tensor, nn

from latentgeo.core.ddpm import q_sample
from latentgeo.core.isometry import (
    Traces,
    isometry_loss,
    isometry_loss_per_sample,
    traces,
    weight,
)
from latentgeo.core.run.files import atomic_write
from latentgeo.core.run.ranks import all_reduce_mean, ranks
from latentgeo.core.sphere import onto, radius
from latentgeo.models.bundles.image_model import ImageModel
from latentgeo.models.lora.adapter import attach, save_lora
from latentgeo.train import ddpm
from latentgeo.train.data.draws import Draws
from latentgeo.train.isometry.settings import TrainIsometric
from latentgeo.train.loop.task import Batch, Terms
from latentgeo.train.settings import TrainDdpm

FILE, METHOD = "isometric_lora", "Isometric Diffusion as a LoRA, arXiv 2407.11451"
LOSSES = {"batch": isometry_loss, "sample": isometry_loss_per_sample}


class IsometricTask(ddpm.DdpmTask):
    """What the loop trains: the UNet, its encoder by both terms."""

    def __init__(self, model: ImageModel, settings: TrainDdpm, device: torch.device) -> None:
        assert isinstance(settings, TrainIsometric)
        super().__init__(model, settings, device)
        self.settings: TrainIsometric = settings
        if settings.adapter == "lora":
            adapt(model, settings)
        self.sums = torch.zeros(3, dtype=torch.float64)  # of this step: L_iso, Tr(R), parts with it

    def parameters(self) -> dict[str, nn.Parameter]:
        """Return what is trained: the UNet's weights, or the LoRA's."""
        return {name: w for name, w in super().parameters().items() if w.requires_grad}

    def loss(self, batch: Batch, draws: Draws) -> tuple[Tensor, Terms]:
        """Return the mean loss of a batch of images (B, 3, H, W) or moments (B, 2 C, h, w).

        Iso Eq. 7   L = L_dsm + λ_iso(p, t) L_iso
        """
        x_0, T = self.clean(batch, draws), self.model.schedule.T
        base = self.denoising(x_0, draws)
        terms = {"base": base.detach()}
        t = draws.integers(1, T, self.device)[:1]  # of all images
        above = weight(t, T, self.settings.p, 1.0).item()  # with λ_iso = 0 L_iso is still measured
        if not above:
            return base, terms
        found = self.traces(x_0, t.expand(len(x_0)), draws)
        iso = LOSSES[self.settings.ratio](found)
        self.sums += torch.stack([iso, found.first.mean(), torch.ones_like(iso)]).detach().cpu()
        return base + above * self.settings.iso_weight * iso, terms

    def traces(self, x_0: Tensor, t: Tensor, draws: Draws) -> Traces:
        """Return estimates of Tr(R) and Tr(R²) at x_t of x_0 (B, C, h, w), t (B,), by R probes."""
        schedule = self.model.schedule
        x_t = q_sample(schedule, x_0, t, draws.normal_like(x_0))
        x = onto(x_t, radius(schedule, x_t, t, self.settings.radius))
        probes = torch.stack([draws.normal_like(x) for _ in range(self.settings.probes)])
        return traces(lambda x: self.model.encode_h(x, t)[0], x, probes, self.settings.geometry)

    def save(self, folder: Path) -> None:
        """Write the model, or isometric_lora.safetensors and a .json that says how it was made."""
        if self.settings.adapter == "full":
            super().save(folder)
            return
        notes = {"method": METHOD, "base": str(self.settings.start)}
        path = save_lora(folder / f"{FILE}.safetensors", self.model.unet, notes=notes)
        atomic_write(folder / f"{FILE}.json", json.dumps(self.settings.plain(), indent=2) + "\n")
        print(f"wrote {path}", flush=True)

    def end_step(self) -> Terms:
        """Return the means of L_iso and Tr(R) over the parts of the step that had them, if any."""
        sums, self.sums = self.sums, torch.zeros_like(self.sums)
        if ranks().world > 1:
            sums = all_reduce_mean(sums.float().to(self.device)).cpu()
        iso, trace, count = sums.tolist()
        return {"iso": iso / count, "trace": trace / count} if count else {}


def adapt(model: ImageModel, settings: TrainIsometric) -> None:
    """Attach a LoRA to the UNet, so that the rest of it stays as it is.

    Raises ValueError that names the targets where one matches no layer.
    """
    try:
        attach(model.unet, settings.rank, targets=settings.targets)
    except ValueError as error:
        raise ValueError(f"targets: {error}") from error


def train(settings: TrainIsometric) -> None:
    """Run `latentgeo train-isometric`."""
    ddpm.train(settings, IsometricTask)
