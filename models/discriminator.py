"""The patch discriminator of VQGAN and Latent Diffusion: is each patch of an image a real one's?

Isola et al., arXiv 1611.07004, Sec. 3.2, as in the released code of Latent Diffusion: 4 × 4
convolutions, strided ones with twice the channels each, batch norm behind all but the first and the
last, leaky rectifiers. It is trained beside an autoencoder and is no part of a model.
"""

from itertools import pairwise

from torch import Tensor, nn

SLOPE = 0.2  # of the leaky rectifiers below 0
STD = 0.02  # of the initial weights, as published


class PatchDiscriminator(nn.Module):
    """Images (B, 3, H, W) in [-1, 1] to logits (B, 1, h, w), one per patch.

    A patch is 70 pixels wide with 3 strided convolutions, 34 with 2, 16 with 1.
    """

    def __init__(self, width: int = 64, strided: int = 3) -> None:
        super().__init__()
        widths = [width * min(2**i, 8) for i in range(strided + 1)]
        layers: list[nn.Module] = [nn.Conv2d(3, width, 4, stride=2, padding=1)]
        for i, (inp, out) in enumerate(pairwise(widths)):
            stride = 2 if i < strided - 1 else 1
            layers += [
                nn.LeakyReLU(SLOPE),
                nn.Conv2d(inp, out, 4, stride=stride, padding=1, bias=False),
                nn.BatchNorm2d(out),
            ]
        layers += [nn.LeakyReLU(SLOPE), nn.Conv2d(widths[-1], 1, 4, padding=1)]
        self.layers = nn.Sequential(*layers)
        for module in self.layers:
            if isinstance(module, nn.Conv2d):
                nn.init.normal_(module.weight, 0.0, STD)
            elif isinstance(module, nn.BatchNorm2d):
                nn.init.normal_(module.weight, 1.0, STD)

    def forward(self, x: Tensor) -> Tensor:
        """Return the logits (B, 1, h, w)."""
        logits: Tensor = self.layers(x)
        return logits
