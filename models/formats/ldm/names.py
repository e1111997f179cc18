"""The names that Latent Diffusion's code gives to the layers of its UNet and of its autoencoder.

Our names are those of diffusers. A layer's name is found from its place: Latent Diffusion counts
the blocks of all resolutions in one row, on the way down `input_blocks` from the first convolution
on, on the way up `output_blocks`; the autoencoder counts resolutions from the finest on both ways.
"""

from collections.abc import Iterable

from latentgeo.models.unet import UNetConfig
from latentgeo.models.vae import VAEConfig

TEXT_MODEL = "text_model."  # behind TEXT; transformers wrote it up to version 4

UNET_RESNET = {
    "norm1": "in_layers.0",
    "conv1": "in_layers.2",
    "time_emb_proj": "emb_layers.1",
    "norm2": "out_layers.0",
    "conv2": "out_layers.3",
    "conv_shortcut": "skip_connection",
}
VAE_RESNET = {
    **{name: name for name in ("norm1", "conv1", "norm2", "conv2")},
    "conv_shortcut": "nin_shortcut",
}
VAE_ATTENTION = {
    "group_norm": "norm",
    "to_q": "q",
    "to_k": "k",
    "to_v": "v",
    "to_out.0": "proj_out",
}
Names = dict[str, str]  # our name of a module -> Latent Diffusion's


def unet_names(config: UNetConfig) -> Names:
    """Return the names of the UNet's modules, without their common prefix."""
    names = {
        "time_embedding.linear_1": "time_embed.0",
        "time_embedding.linear_2": "time_embed.2",
        "conv_in": "input_blocks.0.0",
        "conv_norm_out": "out.0",
        "conv_out": "out.2",
        "mid_block.attentions.0": "middle_block.1",
    }
    names |= inside("mid_block.resnets.0", "middle_block.0", UNET_RESNET)
    names |= inside("mid_block.resnets.1", "middle_block.2", UNET_RESNET)
    levels = len(config.channels)
    for i in range(levels):
        names |= _down(i, config, i == levels - 1)
        names |= _up(i, config, i == levels - 1)
    return names


def _down(i: int, config: UNetConfig, last: bool) -> Names:
    """Return the names of resolution i, counted from the finest, on the way down."""
    names: Names = {}
    first = 1 + i * (config.blocks + 1)  # 0 is the first convolution
    for j in range(config.blocks):
        block = f"input_blocks.{first + j}"
        names |= inside(f"down_blocks.{i}.resnets.{j}", f"{block}.0", UNET_RESNET)
        if config.attention[i]:
            names[f"down_blocks.{i}.attentions.{j}"] = f"{block}.1"
    if not last:
        names[f"down_blocks.{i}.downsamplers.0.conv"] = f"input_blocks.{first + config.blocks}.0.op"
    return names


def _up(i: int, config: UNetConfig, last: bool) -> Names:
    """Return the names of resolution i, counted from the coarsest, on the way up."""
    names: Names = {}
    first = i * (config.blocks + 1)
    attend = config.attention[::-1][i]
    for j in range(config.blocks + 1):
        block = f"output_blocks.{first + j}"
        names |= inside(f"up_blocks.{i}.resnets.{j}", f"{block}.0", UNET_RESNET)
        if attend:
            names[f"up_blocks.{i}.attentions.{j}"] = f"{block}.1"
    if not last:
        position = 2 if attend else 1  # behind the residual block and its attention
        block = f"output_blocks.{first + config.blocks}"
        names[f"up_blocks.{i}.upsamplers.0.conv"] = f"{block}.{position}.conv"
    return names


def vae_names(config: VAEConfig) -> Names:
    """Return the names of the autoencoder's modules, without their common prefix."""
    names = {name: name for name in ("quant_conv", "post_quant_conv", "quantize")}
    levels = len(config.channels)
    for half in ("encoder", "decoder"):
        names |= {f"{half}.{name}": f"{half}.{name}" for name in ("conv_in", "conv_out")}
        names[f"{half}.conv_norm_out"] = f"{half}.norm_out"
        middle = f"{half}.mid_block"
        names |= inside(f"{middle}.attentions.0", f"{half}.mid.attn_1", VAE_ATTENTION)
        for j in (0, 1):
            names |= inside(f"{middle}.resnets.{j}", f"{half}.mid.block_{j + 1}", VAE_RESNET)
    for i in range(levels):
        theirs = f"encoder.down.{i}"
        names |= _level(f"encoder.down_blocks.{i}", theirs, config.blocks)
        names[f"encoder.down_blocks.{i}.downsamplers.0.conv"] = f"{theirs}.downsample.conv"
        theirs = f"decoder.up.{levels - 1 - i}"
        names |= _level(f"decoder.up_blocks.{i}", theirs, config.blocks + 1)
        names[f"decoder.up_blocks.{i}.upsamplers.0.conv"] = f"{theirs}.upsample.conv"
    return names


def _level(ours: str, theirs: str, blocks: int) -> Names:
    names: Names = {}
    for j in range(blocks):
        names |= inside(f"{ours}.resnets.{j}", f"{theirs}.block.{j}", VAE_RESNET)
    return names


def inside(ours: str, theirs: str, parts: Names) -> Names:
    """Return the names of a block's parts."""
    return {f"{ours}.{part}": f"{theirs}.{name}" for part, name in parts.items()}


def renamed(names: Names, keys: Iterable[str]) -> dict[str, str]:
    """Return Latent Diffusion's name of each of our layers or tensors.

    What follows the longest module name in `names` is the same in both. KeyError names a key that
    has none.
    """
    return {key: _renamed(names, key) for key in keys}


def _renamed(names: Names, key: str) -> str:
    module, rest = key, ""
    while module not in names:
        module, dot, last = module.rpartition(".")
        if not dot:
            raise KeyError(key)
        rest = f".{last}{rest}"
    return names[module] + rest
