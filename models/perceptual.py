"""LPIPS, the learned perceptual distance of two images, and the features behind it.

Paper: The Unreasonable Effectiveness of Deep Features as a Perceptual Metric, arXiv 1801.03924.
Notation: ŷ^l (C, H, W) the features of layer l with unit length at every pixel, w_l its weights.
The formula and the heads w_l are the package lpips's (v0.1, AlexNet); the convolutions are the
embedded ImageNet weights, so that nothing is downloaded. Images are (B, 3, H, W) in [-1, 1].
"""

import warnings
from pathlib import Path
from typing import Self

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from latentgeo.models.zoo.places import ZOO

WEIGHTS = ZOO / "lpips" / "alexnet.safetensors"
WEIGHTS_SIZE = 4_940_240  # bytes; fp16, which moves the distance by 2e-4 of itself at most
OVERSHOOT = 1e-3  # rounding may carry a pixel so far outside [-1, 1]
SMALLEST = 31  # pixels a side; below, AlexNet's second pooling has nothing left


class Lpips(nn.Module):
    """LPIPS v0.1 with AlexNet: frozen, always in evaluation mode, differentiable in the images."""

    def __init__(self, weights: Path = WEIGHTS) -> None:
        super().__init__()
        self.metric = build(read_weights(weights)).requires_grad_(False)
        self.train()

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        """Return the distance (B,) as `distance` does, without its test of the range.

        This is the one for a training loop, where a reconstruction may leave [-1, 1].
        """
        check_shapes(x, y)
        with torch.autocast(x.device.type, enabled=False):
            return self.metric(self.cast(x), self.cast(y)).flatten()

    def distance(self, x: Tensor, y: Tensor) -> Tensor:
        """Return the distance (B,) of x and y (B, 3, H, W) in [-1, 1]; 0 is equal.

        LPIPS Eq. 1   d(x, y) = Σ_l 1/(H_l W_l) Σ_hw ‖w_l ⊙ (x̂^l_hw - ŷ^l_hw)‖²; in v0.1 the heads
                      hold the squares of w_l, and the first layer's input is standardised
        Raises ValueError if the shapes differ or the values are not images in [-1, 1].
        """
        check_range("x", x)
        check_range("y", y)
        return self(x, y)

    def features(self, x: Tensor) -> Tensor:
        """Return the features (B, 1152) of images (B, 3, H, W) in [-1, 1].

        They are the global averages of the five ReLU layers (64, 192, 384, 256 and 256 channels),
        one after the other. A Fréchet distance of these is no FID, which has Inception's.
        """
        return torch.cat([layer.mean(dim=(2, 3)) for layer in self.layers(x)], dim=1)

    def layers(self, x: Tensor) -> tuple[Tensor, ...]:
        """Return the five ReLU layers (B, C_l, H_l, W_l) of images (B, 3, H, W) in [-1, 1]."""
        check_range("x", x)
        check_shapes(x, x)
        with torch.autocast(x.device.type, enabled=False):
            standardised = self.metric.get_submodule("scaling_layer")(self.cast(x))
            return tuple(self.metric.get_submodule("net")(standardised))

    def cast(self, x: Tensor) -> Tensor:
        """Return x (...) in the dtype of the weights."""
        return x.to(next(self.metric.parameters()).dtype)

    def train(self, mode: bool = True) -> Self:
        """Stay in evaluation mode: the heads have a dropout that belongs to their own training."""
        return super().train(False)


def load_lpips(device: torch.device | str = "cpu") -> Lpips:
    """Return the metric with the embedded weights on a device."""
    return Lpips().to(device)


def read_weights(path: Path) -> dict[str, Tensor]:
    """Return AlexNet's convolutions; FileNotFoundError or ValueError names the file."""
    if not path.is_file():
        raise FileNotFoundError(f"the weights of AlexNet for LPIPS are not at {path}")
    if path.stat().st_size != WEIGHTS_SIZE:
        raise ValueError(f"{path} has {path.stat().st_size} bytes, wanted {WEIGHTS_SIZE}")
    return load_file(path)


def build(convolutions: dict[str, Tensor]) -> nn.Module:
    """Return the package's module, its random AlexNet overwritten; torch's generator is untouched.

    Asked for pretrained weights the package would download them.
    """
    import lpips

    with warnings.catch_warnings(), torch.random.fork_rng(devices=[]):
        warnings.simplefilter("ignore", UserWarning)  # torchvision's, of a renamed argument
        metric = lpips.LPIPS(net="alex", version="0.1", pnet_rand=True, verbose=False)
    names = {key: f"features.{key.partition('.')[2]}" for key in metric.net.state_dict()}
    metric.net.load_state_dict({key: convolutions[name] for key, name in names.items()})
    return metric


def check_shapes(x: Tensor, y: Tensor) -> None:
    """Raise ValueError unless both are float images (B, 3, H, W) of one shape, sides ≥ 31."""
    for name, images in (("x", x), ("y", y)):
        if not images.is_floating_point():
            raise ValueError(f"{name} is {images.dtype}, wanted floats in [-1, 1]")
        if images.ndim != 4 or images.shape[1] != 3 or min(images.shape[2:]) < SMALLEST:
            got, wanted = tuple(images.shape), f"(B, 3, H, W) with sides of {SMALLEST} or more"
            raise ValueError(f"{name} is {got}, wanted {wanted}")
    if x.shape != y.shape:
        raise ValueError(f"x is {tuple(x.shape)} and y {tuple(y.shape)}, wanted one shape")


def check_range(name: str, images: Tensor) -> None:
    """Raise ValueError unless the values of images (...) lie in [-1, 1], up to rounding."""
    if not images.is_floating_point():
        raise ValueError(f"{name} is {images.dtype}, wanted floats in [-1, 1]")
    if images.numel() == 0:
        return
    low, high = (float(value) for value in images.detach().aminmax())
    if not (low >= -1 - OVERSHOOT and high <= 1 + OVERSHOOT):  # also if there is a NaN
        raise ValueError(f"{name} lies in [{low:g}, {high:g}], wanted values in [-1, 1]")
