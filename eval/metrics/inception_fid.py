"""FID: the Fréchet distance of the 2,048 features of Inception (Heusel et al., arXiv 1706.08500).

What makes published values incomparable, and what is done here:
Resize   as the TensorFlow graph does; pytorch-fid's and Pillow's resizing give other features
Pixels   images are rounded to the 8 bits that a file of them would have
Root     of C_1 C_2 with singular covariances, always so for n <= 2,048: see `eval/metrics/fid.py`
Size     the distance is biased upwards at small n: compare at one n, and never with a published
         value, which is of 10,000 images or more and of another reference set
"""

import torch
from torch import Tensor

from latentgeo.models.inception import Inception

WIDTH = 2048
FID = f"FID (Inception, {WIDTH}-d)"


@torch.no_grad()
def inception_features(model: Inception, images: Tensor, batch: int = 64) -> Tensor:
    """Return the features (N, 2048) on the CPU of images (N, 3, H, W) in [-1, 1], in batches.

    FID Eq. 6c   m and C are of the last pooling layer's features; images are as 8 bits hold them
    Raises ValueError if there are none, or for values outside [-1, 1].
    """
    if not len(images):
        raise ValueError("images: got none")
    weight = model.Conv2d_1a_3x3.conv.weight
    found = [
        model.features(eight_bits(x).to(weight.device, weight.dtype)).float().cpu()
        for x in images.split(batch)
    ]
    return torch.cat(found)


def eight_bits(images: Tensor) -> Tensor:
    """Return images (B, 3, H, W) in [-1, 1], rounded to the 256 values that 8 bits hold."""
    return ((images + 1) * 127.5).round() / 127.5 - 1
