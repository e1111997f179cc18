"""Inception-v3 as the Fréchet Inception Distance uses it: the TensorFlow graph of December 2015.

Szegedy et al., arXiv 1512.00567; Heusel et al., arXiv 1706.08500. The graph differs from
torchvision's network: 1,008 classes; average pooling that leaves the padding out of its mean; max
pooling in the branch of the very last block; batch norms with eps 10⁻³ and nothing auxiliary. Its
own resizing (`tensorflow_bilinear`) and scaling of pixels (`tensorflow_input`) are here too.

Names      Those of pytorch-fid's file, which are torchvision's: Conv2d_1a_3x3.conv, .bn, …,
           Mixed_5b.branch5x5_1, …, fc. num_batches_tracked of the batch norms is in no use, and is
           left out. The graph as TorchScript has the same layers in the same order, each with
           weight, beta, mean and var: conv.weight, bn.bias and its moments; bn.weight is 1, and
           there is no fc
Notation   x images (B, 3, H, W) in [-1, 1]; features (B, 2048), the third pooling's (pool3)
Orders     Everything is PyTorch's own and differentiable twice; always in evaluation mode
"""

from typing import Self

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from latentgeo.models.perceptual import check_range

SIZE = 299  # image side of the graph
EPS = 1e-3  # of the batch norms
CLASSES = 1008
Side = int | tuple[int, int]


class BatchNorm(nn.Module):
    """Batch norm with stored moments, and without the count of the batches that made them."""

    running_mean: Tensor
    running_var: Tensor

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))
        self.register_buffer("running_mean", torch.zeros(channels))
        self.register_buffer("running_var", torch.ones(channels))

    def forward(self, x: Tensor) -> Tensor:
        """Return (B, C, H, W)."""
        moments = self.running_mean, self.running_var
        return F.batch_norm(x, *moments, self.weight, self.bias, eps=EPS)


class Conv(nn.Module):
    """Convolution, batch norm and ReLU."""

    def __init__(self, inp: int, out: int, side: Side, stride: int = 1, padding: Side = 0) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inp, out, side, stride, padding, bias=False)
        self.bn = BatchNorm(out)

    def forward(self, x: Tensor) -> Tensor:
        """Return (B, C', H', W')."""
        return F.relu(self.bn(self.conv(x)))


def mean_pool(x: Tensor) -> Tensor:
    """Return the mean (B, C, H, W) of each 3 × 3 neighbourhood, of what of it lies in the image."""
    return F.avg_pool2d(x, 3, stride=1, padding=1, count_include_pad=False)


def max_pool(x: Tensor) -> Tensor:
    """Return the maximum (B, C, H, W) of each 3 × 3 neighbourhood."""
    return F.max_pool2d(x, 3, stride=1, padding=1)


class MixedA(nn.Module):
    """Branches of 1 × 1, 5 × 5 and twice 3 × 3, at 35 × 35."""

    def __init__(self, inp: int, pooled: int) -> None:
        super().__init__()
        self.branch1x1 = Conv(inp, 64, 1)
        self.branch5x5_1 = Conv(inp, 48, 1)
        self.branch5x5_2 = Conv(48, 64, 5, padding=2)
        self.branch3x3dbl_1 = Conv(inp, 64, 1)
        self.branch3x3dbl_2 = Conv(64, 96, 3, padding=1)
        self.branch3x3dbl_3 = Conv(96, 96, 3, padding=1)
        self.branch_pool = Conv(inp, pooled, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Return (B, 224 + pooled, H, W)."""
        five = self.branch5x5_2(self.branch5x5_1(x))
        three = self.branch3x3dbl_3(self.branch3x3dbl_2(self.branch3x3dbl_1(x)))
        return torch.cat([self.branch1x1(x), five, three, self.branch_pool(mean_pool(x))], dim=1)


class MixedB(nn.Module):
    """From 35 × 35 to 17 × 17."""

    def __init__(self, inp: int) -> None:
        super().__init__()
        self.branch3x3 = Conv(inp, 384, 3, stride=2)
        self.branch3x3dbl_1 = Conv(inp, 64, 1)
        self.branch3x3dbl_2 = Conv(64, 96, 3, padding=1)
        self.branch3x3dbl_3 = Conv(96, 96, 3, stride=2)

    def forward(self, x: Tensor) -> Tensor:
        """Return (B, 480 + C, H', W')."""
        three = self.branch3x3dbl_3(self.branch3x3dbl_2(self.branch3x3dbl_1(x)))
        return torch.cat([self.branch3x3(x), three, F.max_pool2d(x, 3, stride=2)], dim=1)


class MixedC(nn.Module):
    """Branches of 1 × 1 and of rows and columns of 7, at 17 × 17."""

    def __init__(self, inp: int, mid: int) -> None:
        super().__init__()
        self.branch1x1 = Conv(inp, 192, 1)
        self.branch7x7_1 = Conv(inp, mid, 1)
        self.branch7x7_2 = Conv(mid, mid, (1, 7), padding=(0, 3))
        self.branch7x7_3 = Conv(mid, 192, (7, 1), padding=(3, 0))
        self.branch7x7dbl_1 = Conv(inp, mid, 1)
        self.branch7x7dbl_2 = Conv(mid, mid, (7, 1), padding=(3, 0))
        self.branch7x7dbl_3 = Conv(mid, mid, (1, 7), padding=(0, 3))
        self.branch7x7dbl_4 = Conv(mid, mid, (7, 1), padding=(3, 0))
        self.branch7x7dbl_5 = Conv(mid, 192, (1, 7), padding=(0, 3))
        self.branch_pool = Conv(inp, 192, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Return (B, 768, H, W)."""
        once = self.branch7x7_3(self.branch7x7_2(self.branch7x7_1(x)))
        twice = self.branch7x7dbl_3(self.branch7x7dbl_2(self.branch7x7dbl_1(x)))
        twice = self.branch7x7dbl_5(self.branch7x7dbl_4(twice))
        return torch.cat([self.branch1x1(x), once, twice, self.branch_pool(mean_pool(x))], dim=1)


class MixedD(nn.Module):
    """From 17 × 17 to 8 × 8."""

    def __init__(self, inp: int) -> None:
        super().__init__()
        self.branch3x3_1 = Conv(inp, 192, 1)
        self.branch3x3_2 = Conv(192, 320, 3, stride=2)
        self.branch7x7x3_1 = Conv(inp, 192, 1)
        self.branch7x7x3_2 = Conv(192, 192, (1, 7), padding=(0, 3))
        self.branch7x7x3_3 = Conv(192, 192, (7, 1), padding=(3, 0))
        self.branch7x7x3_4 = Conv(192, 192, 3, stride=2)

    def forward(self, x: Tensor) -> Tensor:
        """Return (B, 512 + C, H', W')."""
        three = self.branch3x3_2(self.branch3x3_1(x))
        seven = self.branch7x7x3_3(self.branch7x7x3_2(self.branch7x7x3_1(x)))
        return torch.cat([three, self.branch7x7x3_4(seven), F.max_pool2d(x, 3, stride=2)], dim=1)


class MixedE(nn.Module):
    """Branches that fan out into a row and a column of 3, at 8 × 8; the last one pools maxima."""

    def __init__(self, inp: int, last: bool) -> None:
        super().__init__()
        self.pool = max_pool if last else mean_pool
        self.branch1x1 = Conv(inp, 320, 1)
        self.branch3x3_1 = Conv(inp, 384, 1)
        self.branch3x3_2a = Conv(384, 384, (1, 3), padding=(0, 1))
        self.branch3x3_2b = Conv(384, 384, (3, 1), padding=(1, 0))
        self.branch3x3dbl_1 = Conv(inp, 448, 1)
        self.branch3x3dbl_2 = Conv(448, 384, 3, padding=1)
        self.branch3x3dbl_3a = Conv(384, 384, (1, 3), padding=(0, 1))
        self.branch3x3dbl_3b = Conv(384, 384, (3, 1), padding=(1, 0))
        self.branch_pool = Conv(inp, 192, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Return (B, 2048, H, W)."""
        once = self.branch3x3_1(x)
        twice = self.branch3x3dbl_2(self.branch3x3dbl_1(x))
        branches = [
            self.branch1x1(x),
            self.branch3x3_2a(once),
            self.branch3x3_2b(once),
            self.branch3x3dbl_3a(twice),
            self.branch3x3dbl_3b(twice),
            self.branch_pool(self.pool(x)),
        ]
        return torch.cat(branches, dim=1)


class Inception(nn.Module):
    """Inception-v3, frozen and in evaluation mode; `classes=None` leaves the classifier out."""

    def __init__(self, classes: int | None = CLASSES) -> None:
        super().__init__()
        self.Conv2d_1a_3x3 = Conv(3, 32, 3, stride=2)
        self.Conv2d_2a_3x3 = Conv(32, 32, 3)
        self.Conv2d_2b_3x3 = Conv(32, 64, 3, padding=1)
        self.Conv2d_3b_1x1 = Conv(64, 80, 1)
        self.Conv2d_4a_3x3 = Conv(80, 192, 3)
        self.Mixed_5b = MixedA(192, pooled=32)
        self.Mixed_5c = MixedA(256, pooled=64)
        self.Mixed_5d = MixedA(288, pooled=64)
        self.Mixed_6a = MixedB(288)
        self.Mixed_6b = MixedC(768, mid=128)
        self.Mixed_6c = MixedC(768, mid=160)
        self.Mixed_6d = MixedC(768, mid=160)
        self.Mixed_6e = MixedC(768, mid=192)
        self.Mixed_7a = MixedD(768)
        self.Mixed_7b = MixedE(1280, last=False)
        self.Mixed_7c = MixedE(2048, last=True)
        if classes is not None:
            self.fc = nn.Linear(2048, classes)
        self.requires_grad_(False).train()

    def forward(self, x: Tensor) -> Tensor:
        """Return the features (B, 2048) of x (B, 3, H, W), resized and scaled, H and W ≥ 75."""
        x = self.Conv2d_2b_3x3(self.Conv2d_2a_3x3(self.Conv2d_1a_3x3(x)))
        x = self.Conv2d_4a_3x3(self.Conv2d_3b_1x1(F.max_pool2d(x, 3, stride=2)))
        x = F.max_pool2d(x, 3, stride=2)
        for name, block in self.named_children():
            if name.startswith("Mixed_"):
                x = block(x)
        return x.mean(dim=(2, 3))

    def features(self, x: Tensor) -> Tensor:
        """Return the features (B, 2048) of images x (B, 3, H, W) in [-1, 1], as the graph does.

        Raises ValueError for other values or shapes. Published statistics are of images in 8 bits:
        x should lie on that grid to be compared with them.
        """
        check_range("x", x)
        return self(tensorflow_input(x))

    def logits(self, features: Tensor) -> Tensor:
        """Return the logits (B, classes) of features (B, 2048)."""
        return self.fc(features)

    def train(self, mode: bool = True) -> Self:
        """Stay in evaluation mode: the batch norms' moments are part of the metric."""
        return super().train(False)


def tensorflow_input(x: Tensor) -> Tensor:
    """Return what the graph makes of images x (B, 3, H, W) in [-1, 1]: (B, 3, 299, 299).

    With p = 127.5 (x + 1) in 0 … 255 that is (p - 128) / 128 of the resized p, up to 0.9921875.
    """
    return (tensorflow_bilinear(x, SIZE) * 127.5 - 0.5) / 128


def tensorflow_bilinear(x: Tensor, size: int) -> Tensor:
    """Return x (B, C, H, W) at size × size as TensorFlow 1's `resize_bilinear` has it.

    Pixel i of the result is at i H / size of x, so that the corners at index 0 meet and the image
    shifts by half a pixel; what lies behind the last pixel is the last pixel. Nothing is smoothed.
    """
    rows, columns = (_interpolation(side, size, x) for side in x.shape[2:])
    return rows @ x @ columns.T


def _interpolation(side: int, size: int, like: Tensor) -> Tensor:
    """Return the matrix (size, side) of the resizing along one axis."""
    place = torch.arange(size, dtype=torch.float64, device=like.device) * side / size
    low = place.floor().long()
    weight = (place - low).to(like.dtype)[:, None]
    at_low = F.one_hot(low, side).to(like.dtype)
    at_high = F.one_hot((low + 1).clamp(max=side - 1), side).to(like.dtype)
    return (1 - weight) * at_low + weight * at_high
