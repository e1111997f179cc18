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
from latentgeo.core.precision import widest
from latentgeo.core.run.device import moved
from latentgeo.core.run.files import atomic_write
from latentgeo.core.run.ranks import all_reduce_mean, ranks
from latentgeo.core.sphere import onto, radius
from latentgeo.models.bundles.image_model import ImageModel
from latentgeo.models.lora.adapter import attach, save_lora
from latentgeo.train import ddpm
from latentgeo.train.data.draws import Draws
from latentgeo.train.isometry.settings import TrainIsometric
from latentgeo.train.loop.task import Batch, Part, Terms
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
        zeros = torch.zeros(3, dtype=widest(device), device=device)
        self.sums = zeros  # of this step: L_iso, Tr(R), parts with it

    def parameters(self) -> dict[str, nn.Parameter]:
        """Return what is trained: the UNet's weights, or the LoRA's."""
        return {name: w for name, w in super().parameters().items() if w.requires_grad}

    def stage(self, batch: Batch, draws: Draws) -> Part:
        """Return what both terms are computed from; of kind "iso" where λ_iso(p, t) is not 0.

        Iso Eq. 7   λ_iso(p, t) = λ_iso 1_{t > pT}
        """
        plain, T = super().stage(batch, draws), self.model.schedule.T
        t = draws.integers(1, T)[:1]  # of all images
        if not weight(t, T, self.settings.p, 1.0):  # with λ_iso = 0 L_iso is still measured
            return plain
        like = plain.tensors["eps"]
        more = {
            "t_iso": moved(t, self.device),
            "noise": draws.normal_like(like),
            "probes": torch.stack([draws.normal_like(like) for _ in range(self.settings.probes)]),
        }
        return Part(tensors={**plain.tensors, **more}, kind="iso")

    def loss_of(self, part: Part) -> tuple[Tensor, Terms]:
        """Return the mean loss () of images or moments of their latents.

        Iso Eq. 7   L = L_dsm + λ_iso(p, t) L_iso
        """
        base = self.denoising(part)
        terms = {"base": base.detach()}
        if part.kind != "iso":
            return base, terms
        x_0, given = self.clean(part), part.tensors
        found = self.traces(x_0, given["t_iso"].expand(len(x_0)), given["noise"], given["probes"])
        iso = LOSSES[self.settings.ratio](found)
        self.sums += torch.stack([iso, found.first.mean(), torch.ones_like(iso)]).detach()
        return base + self.settings.iso_weight * iso, terms

    def traces(self, x_0: Tensor, t: Tensor, noise: Tensor, probes: Tensor) -> Traces:
        """Return estimates of Tr(R) and Tr(R²) at x_t of x_0 (B, C, h, w), t (B,).

        x_t has the noise (B, C, h, w), and there are R probes (R, B, C, h, w).
        """
        schedule = self.model.schedule
        x_t = q_sample(schedule, x_0, t, noise)
        x = onto(x_t, radius(schedule, x_t, t, self.settings.radius))
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
        """Return the means of L_iso and Tr(R) over the parts of the step that had them, or NaN."""
        sums = self.sums.clone()
        self.sums.zero_()
        if ranks().world > 1:
            sums = all_reduce_mean(sums.float()).to(sums)
        iso, trace, count = sums
        return {"iso": iso / count, "trace": trace / count}


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
