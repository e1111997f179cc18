"""The names that diffusers gives to the layers of DDPM's UNet.

Our names are those of the original checkpoints, which count resolutions from the finest on both
ways; diffusers counts the way up from the coarsest. The 1 × 1 convolutions of an attention,
(C, C, 1, 1), are linear layers there, (C, C).
"""

from collections.abc import Mapping

from torch import Tensor

from latentgeo.models.ddpm_unet import DDPMConfig
from latentgeo.models.formats.files.strict import Layout, Stored
from latentgeo.models.formats.ldm.names import Names, inside, renamed

RESNET = {
    **{name: name for name in ("norm1", "conv1", "norm2", "conv2")},
    "temb_proj": "time_emb_proj",
    "nin_shortcut": "conv_shortcut",
}
ATTENTION = {"norm": "group_norm", "q": "to_q", "k": "to_k", "v": "to_v", "proj_out": "to_out.0"}


def diffusers_layout(config: DDPMConfig, state: Mapping[str, Tensor]) -> Layout:
    """Return how diffusers has the tensors of DDPM's UNet."""
    names = renamed(unet_names(config), state)
    return {key: Stored(names[key], _shape(names[key], value)) for key, value in state.items()}


def unet_names(config: DDPMConfig) -> Names:
    """Return diffusers' names of the modules of DDPM's UNet."""
    names = {
        "temb.dense.0": "time_embedding.linear_1",
        "temb.dense.1": "time_embedding.linear_2",
        "conv_in": "conv_in",
        "norm_out": "conv_norm_out",
        "conv_out": "conv_out",
    }
    names |= inside("mid.attn_1", "mid_block.attentions.0", ATTENTION)
    for j in (0, 1):
        names |= inside(f"mid.block_{j + 1}", f"mid_block.resnets.{j}", RESNET)
    levels = len(config.channels)
    for i in range(levels):
        names |= _level(f"down.{i}", f"down_blocks.{i}", config.blocks)
        names[f"down.{i}.downsample.conv"] = f"down_blocks.{i}.downsamplers.0.conv"
        theirs = f"up_blocks.{levels - 1 - i}"
        names |= _level(f"up.{i}", theirs, config.blocks + 1)
        names[f"up.{i}.upsample.conv"] = f"{theirs}.upsamplers.0.conv"
    return names


def _level(ours: str, theirs: str, blocks: int) -> Names:
    """Return the names of one resolution's blocks and attentions."""
    names: Names = {}
    for j in range(blocks):
        names |= inside(f"{ours}.block.{j}", f"{theirs}.resnets.{j}", RESNET)
        names |= inside(f"{ours}.attn.{j}", f"{theirs}.attentions.{j}", ATTENTION)
    return names


def _shape(name: str, value: Tensor) -> tuple[int, ...]:
    shape = tuple(value.shape)
    return shape[:2] if ".attentions." in name and len(shape) == 4 else shape
