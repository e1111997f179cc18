"""A diffusion model of images that takes no text, as one object: UNet, autoencoder, schedule.

DDPM, improved DDPM, ADM, the P2-weighted faces and unconditional latent diffusion. On disk a model
is a folder of `config.json` and `unet.safetensors`, with `autoencoder.safetensors` if it has one;
`models/formats/load_image.py` reads other programs' files.

Time       `predict`, `encode_h` and `decode_h` take the paper's t = 1 … T and call the UNet at
           τ = t - 1
Notation   x_t (B, C, h, w) what is diffused, an image in [-1, 1] or a scaled latent; h and skips
           the UNet's bottleneck and skip connections, or another layer's (`models/unet_layers.py`);
           v in [0, 1] the place of a learned variance
"""

import json
from collections.abc import Callable, Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from latentgeo.core import learned_variance
from latentgeo.core.parameterization import Predict, to_eps
from latentgeo.core.run.files import atomic_write
from latentgeo.core.run.text import read_text
from latentgeo.models.adm_unet import ADMUNet
from latentgeo.models.bundles.image_config import ImageModelConfig, config_from, plain_config
from latentgeo.models.bundles.networks import Networks
from latentgeo.models.bundles.text_to_image import Undrawn, load_weights
from latentgeo.models.ddpm_unet import DDPMUNet
from latentgeo.models.formats.files.safetensors import write_safetensors
from latentgeo.models.unet import UNet
from latentgeo.models.unet_layers import H, Skips
from latentgeo.models.vae import VAE, VAEConfig
from latentgeo.models.vqvae import VQVAE, VQConfig

Denoiser = DDPMUNet | ADMUNet | UNet
Autoencoder = VAE | VQVAE
UNETS: Mapping[str, Callable[..., Denoiser]] = {"ddpm": DDPMUNet, "adm": ADMUNet, "ldm": UNet}
CONFIG = "config.json"


class ImageModel(Networks):
    """The model, on one device in one dtype."""

    def __init__(
        self, config: ImageModelConfig, unet: Denoiser, autoencoder: Autoencoder | None = None
    ) -> None:
        self.config, self.unet, self.autoencoder = config, unet, autoencoder
        self.schedule = config.schedule.build()

    @property
    def modules(self) -> dict[str, nn.Module]:
        """The networks by name."""
        found: dict[str, nn.Module] = {"unet": self.unet}
        return found if self.autoencoder is None else {**found, "autoencoder": self.autoencoder}

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return next(self.unet.parameters()).device

    @property
    def dtype(self) -> torch.dtype:
        """The dtype of the UNet's first weight."""
        return next(self.unet.parameters()).dtype

    @property
    def shape(self) -> tuple[int, int, int]:
        """(C, h, w) of x_t for an image of the default size."""
        return self.config.shape

    def encode(self, x: Tensor) -> Tensor:
        """Return x_0 (B, C, h, w) of images x (B, 3, H, W) in [-1, 1]: itself, or its latent."""
        x = x.to(self.device, self.dtype)
        return x if self.autoencoder is None else self.autoencoder.encode(x)

    def decode(self, x_0: Tensor) -> Tensor:
        """Return images (B, 3, H, W) in [-1, 1] of x_0 (B, C, h, w), clamped."""
        x_0 = x_0.to(self.device, self.dtype)
        return (x_0 if self.autoencoder is None else self.autoencoder.decode(x_0)).clamp(-1, 1)

    def raw(self, labels: Tensor | None = None) -> Predict:
        """Return the UNet as a function of (x_t, paper time t), its output whole (B, C_out, h, w).

        `labels` (B,) are the classes of a class-conditional model.
        """
        self._check(labels)
        return lambda x_t, t: self.unet(x_t, t - 1, *self._given(labels, len(x_t)))

    def predict(self, labels: Tensor | None = None) -> Predict:
        """Return ε_θ as a function of x_t (B, C, h, w) and the paper's t (B,); labels as for `raw`.

        It returns ε (B, C, h, w), whatever the UNet itself does.
        """
        raw = self.raw(labels)
        first = learned_variance.noise_only(raw) if self.config.learned_variance else raw
        return to_eps(first, self.schedule, self.config.prediction)

    def encode_h(
        self, x_t: Tensor, t: Tensor, labels: Tensor | None = None, layer: str = H
    ) -> tuple[Tensor, Skips]:
        """Return h (B, C_h, H_h, W_h) of x_t at the paper's t (B,), and the skips."""
        self._check(labels)
        return self.unet.encode(x_t, t - 1, *self._given(labels, len(x_t)), layer=layer)

    def decode_h(
        self, h: Tensor, skips: Skips, t: Tensor, labels: Tensor | None = None, layer: str = H
    ) -> Tensor:
        """Return what the UNet predicts (B, C, h, w), `config.prediction`, from h and the skips."""
        self._check(labels)
        output = self.unet.decode(h, skips, t - 1, *self._given(labels, len(h)), layer=layer)
        return learned_variance.split(output)[0] if self.config.learned_variance else output

    def _given(self, labels: Tensor | None, count: int) -> tuple[Tensor, ...]:
        """Return the UNet's further arguments for a batch of `count`."""
        return () if labels is None else (labels,)

    def _check(self, labels: Tensor | None) -> None:
        """Raise ValueError for labels that the UNet cannot take, and where it needs some."""
        if (labels is None) != (self.config.classes is None):
            got = "none" if labels is None else f"{tuple(labels.shape)}"
            wanted = "none" if labels is not None else f"(B,) of {self.config.classes}"
            raise ValueError(f"labels: got {got}, wanted {wanted}")


def new_image_model(config: ImageModelConfig) -> ImageModel:
    """Return a model of this shape with fresh weights from torch's global generator."""
    return ImageModel(config, *new_networks(config))


def empty_image_model(config: ImageModelConfig) -> ImageModel:
    """Return a model of this shape without weights, on the meta device, for an importer to fill."""
    with torch.device("meta"), Undrawn():
        networks = new_networks(config)
    return ImageModel(config, *networks)


def new_networks(config: ImageModelConfig) -> tuple[Denoiser, Autoencoder | None]:
    """Return the UNet, and the autoencoder if there is one."""
    unet = UNETS[config.network](config.unet)
    return unet, None if config.autoencoder is None else new_autoencoder(config.autoencoder)


def new_autoencoder(config: VAEConfig) -> Autoencoder:
    """Return an autoencoder: of a VQConfig a vector-quantized one, else one with a KL penalty."""
    return VQVAE(config) if isinstance(config, VQConfig) else VAE(config)


def save_image_model(model: ImageModel, folder: Path, dtype: torch.dtype | None = None) -> Path:
    """Write config.json and the files of weights, each atomically, and return the folder.

    `dtype` None keeps that of each weight.
    """
    for name, module in model.modules.items():
        state = {key: value.to(dtype or value.dtype) for key, value in module.state_dict().items()}
        write_safetensors(folder / f"{name}.safetensors", state)
    atomic_write(folder / CONFIG, json.dumps(plain_config(model.config), indent=2) + "\n")
    return folder


def load_own_folder(
    folder: Path, device: torch.device | str = "cpu", dtype: torch.dtype | None = torch.float32
) -> ImageModel:
    """Return the model that `save_image_model` wrote, frozen; `dtype` None keeps the files'.

    Raises FileNotFoundError naming the file that is missing, ValueError where one does not fit.
    """
    model = empty_image_model(read_config(folder / CONFIG))
    for name, module in model.modules.items():
        load_weights(module, folder / f"{name}.safetensors", device, dtype)
    return model.eval()


def read_config(path: Path) -> ImageModelConfig:
    """Return the configuration in a JSON file; ValueError names what is wrong with it."""
    if not path.is_file():
        raise FileNotFoundError(f"no model at {path.parent}: wanted {path.name} in it")
    try:
        data = json.loads(read_text(path))
    except ValueError as error:
        raise ValueError(f"{path} is no JSON: {error}") from None
    return config_from(data, str(path))
