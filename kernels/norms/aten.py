"""x̂ and A = ∂x̂/∂x as PyTorch's own operators compute them, which the reference is made of.

Notation   x, z (N, G, C / G, S): N samples, C channels in G groups, S positions; m, r (N, G) mean
           and 1/√(variance + eps) of each group; x̂ = (x - m) r
           A z = r (z - mean z - x̂ mean(x̂ z)): symmetric, so what PyTorch calls backward is A itself
Traffic    about one pass over the numbers each, where the formula written out takes seven
"""

from __future__ import annotations

import torch
from torch import Tensor

aten = torch.ops.aten


def normalized(x: Tensor, eps: float) -> tuple[Tensor, Tensor, Tensor]:
    """Return x̂ (N, G, C / G, S), m and r (N, G)."""
    samples, groups, channels, positions = x.shape
    if groups == positions == 1:
        found = aten.native_layer_norm(x.reshape(samples, channels), [channels], None, None, eps)
    else:
        sizes = samples, groups * channels, positions, groups
        found = aten.native_group_norm(_image(x, _layout(x)), None, None, *sizes, eps)
    x_hat, mean, rstd = found
    return x_hat.reshape(x.shape), mean.reshape(samples, groups), rstd.reshape(samples, groups)


def transposed(z: Tensor, x: Tensor, mean: Tensor, rstd: Tensor) -> Tensor:
    """Return A z (N, G, C / G, S), for m and r of any shape that holds N · G numbers."""
    samples, groups, channels, positions = x.shape
    mask = [True, False, False]
    if groups == positions == 1:
        rows, stats = (samples, channels), _dense((samples, 1), mean, rstd)
        found = aten.native_layer_norm_backward(
            z.reshape(rows), x.reshape(rows), [channels], *stats, None, None, mask
        )
    else:
        sizes, layout = (samples, groups * channels, positions, groups), _layout(x)
        images, stats = [_image(y, layout) for y in (z, x)], _dense((samples, groups), mean, rstd)
        found = aten.native_group_norm_backward(*images, *stats, None, *sizes, mask)
    gradient: Tensor = found[0]
    return gradient.reshape(x.shape)


def _dense(shape: tuple[int, int], *stats: Tensor) -> list[Tensor]:
    return [x.reshape(shape).contiguous() for x in stats]


def _layout(x: Tensor) -> torch.memory_format:
    """Return how PyTorch's operators are to have x and all that goes with it.

    Positions or channels innermost, as x has them; on a GPU they take positions only.
    """
    samples, groups, channels, positions = x.shape
    image = x.reshape(samples, groups * channels, positions)
    channels_last = image.stride(1) == 1 and positions > 1 and x.device.type == "cpu"
    return torch.channels_last if channels_last else torch.contiguous_format


def _image(x: Tensor, layout: torch.memory_format) -> Tensor:
    """Return (N, C, 1, S) in that layout, also by the strides of dimensions of 1.

    Those are how PyTorch's operators tell the layout of a single sample.
    """
    samples, channels, positions = len(x), x.shape[1] * x.shape[2], x.shape[3]
    image = x.reshape(samples, channels, positions).unsqueeze(2)
    image = image.contiguous(memory_format=layout)
    if layout != torch.channels_last:
        return image
    numbers = channels * positions
    return image.as_strided(image.shape, (numbers, 1, numbers, channels))
