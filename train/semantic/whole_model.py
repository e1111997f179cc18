"""A baseline of Asyrp: the whole network fine-tuned to edit, by the same loss.

DiffusionCLIP (Kim, Kwon & Ye, arXiv 2110.02711): images are inverted up to t_0, and a copy of the
network learns to come down from there to what the target says. Here its loss is Asyrp's, of P_t at
every time beside P_t of the frozen network on its own path; a model comes out, for one attribute.

Notation   x (2, B, C, h, w) the frozen network's path and the copy's
"""

import copy
from pathlib import Path

import torch
from torch import Tensor, nn

from latentgeo.core import asyrp, ddim
from latentgeo.core.schedule import batch_time
from latentgeo.infer.sampling.unprompted import denoiser_of
from latentgeo.infer.sampling.unprompted_model import load_plain
from latentgeo.infer.semantic.editing import editing_times
from latentgeo.models.bundles.image_model import ImageModel, save_image_model
from latentgeo.train.data.draws import Draws
from latentgeo.train.loop.run import Loop
from latentgeo.train.loop.session import session, weight_hashes
from latentgeo.train.loop.task import Batch, Terms
from latentgeo.train.semantic.run import judge_of, run_loop, starts
from latentgeo.train.semantic.settings import TrainDiffusionClip
from latentgeo.train.semantic.trajectories import OnPaths, Paths


class WholeTask(OnPaths):
    """What the loop trains: the UNet of a copy of the model."""

    def __init__(
        self,
        model: ImageModel,
        judge: asyrp.Judge,
        texts: Tensor,
        recon_weight: float,
        visited: tuple[int, ...],
        settings: TrainDiffusionClip,
        shown: Tensor,
    ) -> None:
        """Learn at `visited`, times from t_0 to 0, for texts (2, K), E_T of source and target."""
        self.model, self.judge, self.texts, self.recon_weight = model, judge, texts, recon_weight
        self.visited, self.settings, self.shown = visited, settings, shown
        self.tuned = ImageModel(model.config, copy.deepcopy(model.unet), model.autoencoder)
        self.tuned.unet.requires_grad_(True)
        self.places = len(visited) - 1
        self.paths = Paths(2, settings.batch, self.places)
        self.device = model.device

    def parameters(self) -> dict[str, nn.Parameter]:
        """Return the copy's weights."""
        return dict(self.tuned.unet.named_parameters())

    def loss(self, batch: Batch, draws: Draws) -> tuple[Tensor, Terms]:
        """Return the mean loss of starts (B, C, h, w), at their next time.

        Asyrp Eq. 7   L^(t), with P^edit of the copy, whose ε is in P_t and in D_t
        """
        place, x = self.paths.at(draws.first, batch[0].to(self.model.device))
        t, t_prev = self.visited[place : place + 2]
        now, prev = batch_time(t, x[0]), batch_time(t_prev, x[0])
        schedule = self.model.schedule
        with torch.no_grad():
            eps_source = denoiser_of(self.model)(x[0], now)[0]
            P = asyrp.predicted(schedule, x[0], eps_source, now)
            source = self.judge.images(self.model.decode(P))
        x_edit = x[1].clone()  # the gradient needs it after x has gone on
        eps = denoiser_of(self.tuned)(x_edit, now)[0]
        P_edit = asyrp.predicted(schedule, x_edit, eps, now)
        seen = self.judge.images(self.model.decode(P_edit))
        direction = asyrp.directional_loss(source, seen, *self.texts)
        weights = self.settings.clip_weight, self.recon_weight
        loss = asyrp.training_loss(direction, P_edit, P, *weights).mean()
        with torch.no_grad():
            x[0] = ddim.step(schedule, x[0], eps_source, now, prev)
            x[1] = ddim.step(schedule, x_edit, eps.detach(), now, prev)
        recon = (P_edit.detach() - P).abs().mean()
        return loss, {"direction": direction.detach().mean(), "recon": recon}

    def sample_grid(self) -> Tensor:
        """Return each shown image as the frozen network and as the copy has it, (2 N, 3, H, W)."""
        start = self.shown.to(self.model.device)
        both = [edited_by(one, start, self.visited) for one in (self.model, self.tuned)]
        return torch.stack(both, dim=1).flatten(0, 1).cpu()

    def save(self, folder: Path) -> None:
        """Write the copy as a model."""
        save_image_model(self.tuned, folder)
        print(f"wrote the model {folder}", flush=True)


@torch.no_grad()
def edited_by(model: ImageModel, x: Tensor, visited: tuple[int, ...]) -> Tensor:
    """Return images (B, 3, H, W) in [-1, 1], float32, of x (B, C, h, w) at visited[0]."""
    denoiser = denoiser_of(model)
    x_0 = ddim.sample(lambda x, t: denoiser(x, t)[0], model.schedule, x, visited)
    return model.decode(x_0).float()


def train(settings: TrainDiffusionClip, judge: asyrp.Judge | None = None) -> None:
    """Run `latentgeo train-diffusion-clip`, with a judge of one's own in place of the named one."""
    with session(settings, weight_hashes(settings.model)) as device:
        model = load_plain(
            settings.model, device, config=settings.model_config, prediction=settings.prediction
        )
        judge = judge or judge_of(settings, device)
        with torch.no_grad():
            texts = judge.texts(list(settings.texts)).to(device)
        recon = settings.recon_weight
        if recon is None:
            recon = asyrp.recon_weight(torch.cosine_similarity(texts[0], texts[1], dim=0).item())
        every = editing_times(model.schedule, settings.trained_steps)
        visited = tuple(t for t in every if t <= settings.t_0)
        x = starts(settings, model, visited)
        task = WholeTask(model, judge, texts, recon, visited, settings, x[: settings.samples])
        run_loop(Loop, task, x, task.places, settings, device)
