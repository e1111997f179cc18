"""Training of the KL autoencoder that diffusion models work in.

Latent Diffusion (Rombach et al., arXiv 2112.10752), Sec. 3.1 and App. G:

LDM Sec. 3.1   L = mean |x - D(z)| + w LPIPS(x, D(z)) + w_KL KL(q(z|x) ‖ N(0, I)),   z ~ q(z|x)
LDM Eq. 25     and, from a step on, a patch discriminator's part (core/adversarial.py, critic.py)

Units      L1 is a mean over values in [-1, 1]; KL is nats per image, summed over the latent. The
           published code sums both L1 and KL, so its w_KL of 1e-6 is 1e-6 / (3 H W) here.
Scale      The latent scale factor is 1 / std(z), measured after training (LDM App. G).
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from latentgeo.core.adversarial import adaptive_weight
from latentgeo.core.run.files import atomic_write
from latentgeo.core.run.text import read_text
from latentgeo.models.bundles.presets import VAE_PRESETS
from latentgeo.models.bundles.text_to_image import find, from_plain, load_weights, read_config
from latentgeo.models.formats.files.safetensors import write_safetensors
from latentgeo.models.perceptual import load_lpips
from latentgeo.models.vae import VAE, VAEConfig, kl_divergence
from latentgeo.train.critic import Critic
from latentgeo.train.data.draws import Draws
from latentgeo.train.data.stream import Batches, collate, open_source
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
from latentgeo.train.loop.task import Batch, Terms
from latentgeo.train.settings import TrainVae

SHOWN = 12  # images in a sample grid
SCALE_BATCH = 32  # images encoded at once for the latent scale factor


class VAETask:
    """What the loop trains: encoder and decoder, on images; the discriminator by an optimiser here.

    A step takes the autoencoder's gradient first, then the discriminator's, of the same images.
    """

    def __init__(
        self,
        vae: VAE,
        lpips: nn.Module | None,
        settings: TrainVae,
        shown: Tensor,
        device: torch.device,
        scale_data: Batches | None = None,
    ) -> None:
        self.vae, self.lpips, self.settings = vae, lpips, settings
        self.shown, self.device, self.scale_data = shown, device, scale_data
        self.step = 0
        self.critic = Critic(settings, device) if settings.adversarial_weight else None

    def parameters(self) -> dict[str, nn.Parameter]:
        """Return the weights of the autoencoder that are trained, all or the decoder's."""
        named = self.vae.named_parameters()
        return {name: weight for name, weight in named if weight.requires_grad}

    def loss(self, batch: Batch, draws: Draws) -> tuple[Tensor, Terms]:
        """Return the loss and its terms for images (B, 3, H, W) in [-1, 1].

        LDM Sec. 3.1a   L = mean |x - D(z)| + w LPIPS(x, D(z)) + w_KL KL(q(z|x) ‖ N(0, I))
        LDM Eq. 25     … + w_adv λ (-E D_ψ(D(z))), λ the adaptive weight on the decoder's last layer
        """
        x = batch[0].to(self.device)
        mean, log_variance = (part.float() for part in self.vae.posterior(x))
        z = mean + (0.5 * log_variance).exp() * draws.normal_like(mean)
        y = self.vae.decode(z * self.vae.config.scale).float()
        like, kl = (x - y).abs().mean(), kl_divergence(mean, log_variance).mean()
        terms = {"l1": like.detach(), "kl": kl.detach()}
        if self.lpips is not None:
            lpips = self.lpips(x, y).mean()
            like = like + self.settings.perceptual_weight * lpips
            terms["lpips"] = lpips.detach()
        loss = like + self.settings.kl_weight * kl
        if self.critic is not None and self.step >= self.settings.adversarial_from:
            fooled = self.critic.judged(x, y)
            weight = adaptive_weight(like, fooled, self.vae.decoder.conv_out.weight)
            loss = loss + self.settings.adversarial_weight * weight * fooled
            terms |= {"fooled": fooled.detach(), "adaptive": weight}
        return loss, terms

    def end_step(self) -> Terms:
        """Let the discriminator learn from the images of this step; return its loss."""
        self.step += 1
        return {} if self.critic is None else self.critic.learn(self.step - 1)

    def state(self) -> dict[str, Any]:
        """Return the number of steps, and the discriminator with its optimiser."""
        critic = {} if self.critic is None else self.critic.state()
        return {"step": self.step, "critic": critic}

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Continue from `state`; a discriminator that it does not have begins anew."""
        self.step = state.get("step", 0)
        if self.critic is not None and state.get("critic"):
            self.critic.load_state(state["critic"])

    @torch.no_grad()
    def sample_grid(self) -> Tensor:
        """Return originals and their reconstructions from the posterior mean, in turns.

        Images (2 N, 3, H, W) in [-1, 1].
        """
        x = self.shown.to(self.device)
        y = self.vae.decode(self.vae.encode(x))
        return torch.stack([x, y], dim=1).flatten(0, 1)

    def save(self, folder: Path) -> None:
        """Write vae.safetensors and vae.json, with the latent scale factor measured now."""
        scale = self.vae.config.scale
        if self.scale_data is not None and not self.settings.decoder_only:
            scale = measure_scale(self.vae, self.scale_data, self.settings.scale_images)
        save_vae(self.vae, replace(self.vae.config, scale=scale), folder)
        print(f"latent scale factor {scale:.5f}; wrote {folder / 'vae.safetensors'}", flush=True)


@torch.no_grad()
def measure_scale(vae: VAE, data: Batches, images: int) -> float:
    """Return 1 / std(z) over all values of one posterior sample z per image (LDM App. G)."""
    device = vae.quant_conv.weight.device
    values, seen = [], 0
    while seen < images:
        x = next(data)[0].to(device)
        mean, log_variance = vae.posterior(x)
        noise = Draws(0, seen, len(x)).normal_like(mean)
        values.append((mean + (0.5 * log_variance).exp() * noise).double().cpu())
        seen += len(x)
    return 1 / torch.cat(values).std().item()


def save_vae(vae: VAE, config: VAEConfig, folder: Path) -> None:
    """Write an autoencoder's weights and configuration into a folder."""
    state = {name: tensor.float() for name, tensor in vae.state_dict().items()}
    write_safetensors(folder / "vae.safetensors", state)
    atomic_write(folder / "vae.json", json.dumps(asdict(config), indent=2) + "\n")


def load_vae(source: str) -> VAE:
    """Return the frozen autoencoder that `save_vae` wrote, or that of a model's folder or name."""
    folder = Path(source)
    if (folder / "vae.json").is_file():
        config = from_plain(VAEConfig, json.loads(read_text(folder / "vae.json")), source)
    else:
        folder = find(source)
        config = read_config(folder / "config.json").vae
    vae = VAE(config)
    load_weights(vae, folder / "vae.safetensors")
    return vae.eval().requires_grad_(False)


def build(settings: TrainVae) -> VAE:
    """Return the autoencoder to train: fresh weights of a preset, or one to start from.

    Its latents are not scaled while it learns: the factor is measured at the end. That of a frozen
    encoder stays.
    """
    if settings.start is None:
        return VAE(VAE_PRESETS[settings.preset])
    vae = load_vae(settings.start).requires_grad_(True)
    if settings.decoder_only:
        vae.encoder.requires_grad_(False)
        vae.quant_conv.requires_grad_(False)
    else:
        vae.config = replace(vae.config, scale=1.0)
    return vae


def train(settings: TrainVae) -> None:
    """Run `latentgeo train-vae`."""
    with session(settings, weight_hashes(settings.start)) as device:
        opened = open_source(
            settings.data,
            settings.size,
            flip=settings.flip,
            on_bad=settings.on_bad,
            allow_uncaptioned=True,
            where=settings.where,
        )
        source = remembered(opened)
        shown = collate(first_examples(source, SHOWN))[0]
        vae = build(settings).to(device)
        channels_last(settings, device, vae)
        if settings.compile:
            compiled(vae.encoder, vae.decoder)
        lpips = load_lpips(device) if settings.perceptual_weight else None
        scale_data = Batches(source, SCALE_BATCH, settings.seed)
        task = VAETask(vae, lpips, settings, shown, device, scale_data)
        Loop(task, stream(source, settings), settings, device).run()
