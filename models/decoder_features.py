"""Features of a UNet's residual blocks on the way up, changed in passing.

Blocks are counted from the coarsest, as the published ones of Stable Diffusion's twelve are; a
share of the way up means the same depth in a UNet of any shape.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from torch import Tensor, nn

from latentgeo.models.layers import ResnetBlock
from latentgeo.models.unet import UNet


def decoder_blocks(unet: UNet) -> tuple[ResnetBlock, ...]:
    """Return the residual blocks of the way up, coarsest first."""
    return tuple(block for block in unet.up_blocks.modules() if isinstance(block, ResnetBlock))


@contextmanager
def features_changed(block: ResnetBlock, change: Callable[[Tensor], Tensor]) -> Iterator[None]:
    """Have `change` replace what a block adds to its input, (B, C, H, W), inside the `with`.

    An adapter's update on the block's last convolution is part of it: hooks run in order.
    """

    def hook(module: nn.Module, args: tuple[Tensor, ...], output: Tensor) -> Tensor:
        return change(output)

    handle = block.conv2.register_forward_hook(hook)
    try:
        yield
    finally:
        handle.remove()
