"""Features of a UNet on the way up: those of its blocks changed in passing, its stages' read.

Blocks, the residual ones, are counted from the coarsest, as the published ones of Stable
Diffusion's twelve are; a share of the way up means the same depth in a UNet of any shape.
Stages, several blocks and their upsampling, are counted from the coarsest, too, beginning with 1;
stage 0 is the middle block, whose output is the bottleneck h. DragDiffusion and DIFT count so.
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


def second_last_stage(unet: UNet) -> int:
    """Return the stage before the last one: 3 in Stable Diffusion 1.x, at the latent's own size."""
    return len(unet.up_blocks) - 1


def check_stage(unet: UNet, stage: int) -> None:
    """Raise ValueError unless the way up has this stage."""
    if not 0 <= stage <= len(unet.up_blocks):
        raise ValueError(f"stage: got {stage}, wanted 0..{len(unet.up_blocks)} of the decoder")


def predict_with_features(
    unet: UNet, x: Tensor, t: Tensor, context: Tensor | None, stage: int
) -> tuple[Tensor, Tensor]:
    """Return the prediction (B, C_out, H, W) for z_t = x and a stage's output (B, C, H', W').

    t (B,) is the network's own index, as for `UNet.forward`. Raises ValueError for a stage that is
    not there.
    """
    check_stage(unet, stage)
    parts: list[nn.Module] = [unet.mid_block, *unet.up_blocks]
    seen: list[Tensor] = []
    handle = parts[stage].register_forward_hook(lambda part, args, output: seen.append(output))
    try:
        return unet(x, t, context), seen[0]
    finally:
        handle.remove()
