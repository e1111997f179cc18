"""The JSON files of a diffusers folder, and our configuration: from them, and to them.

A setting that our networks do not have is refused by its name and value, so that no model is built
with a part left out. Missing settings take the defaults that diffusers gives them.
"""

from dataclasses import replace
from typing import Any, get_args

from latentgeo.core.parameterization import Kind
from latentgeo.core.schedule import Spacing
from latentgeo.models.bundles.text_to_image import BundleConfig, SamplingDefaults
from latentgeo.models.clip import ACTIVATIONS, TextConfig
from latentgeo.models.formats.files.json_kinds import (
    CHANNELS,
    COUNT,
    EPS,
    FLAG,
    IDS,
    OFFSET,
    SCALE,
    SIDE,
    several,
    word,
)
from latentgeo.models.formats.files.json_settings import VAE_DOWN, VAE_UP, Blocks, Json, Reader
from latentgeo.models.unet import UNetConfig
from latentgeo.models.vae import VAEConfig

DOWN = Blocks("CrossAttnDownBlock2D", "DownBlock2D")
UP = Blocks("CrossAttnUpBlock2D", "UpBlock2D")
KINDS: dict[str, Kind] = {"epsilon": "eps", "v_prediction": "v", "sample": "x_0"}
SCHEDULES: dict[str, tuple[str, dict[str, float]]] = {  # theirs -> ours, with its constants
    "scaled_linear": ("scaled_linear", {"beta_start": 0.00085, "beta_end": 0.012}),
    "linear": ("linear", {"beta_start": 0.0001, "beta_end": 0.02}),
    "squaredcos_cap_v2": ("cosine", {}),
}
STEPS = 1000  # T of every schedule
UNET_FIXED: Json = {
    "act_fn": "silu",
    "attention_type": "default",
    "center_input_sample": False,
    "conv_in_kernel": 3,
    "conv_out_kernel": 3,
    "downsample_padding": 1,
    "flip_sin_to_cos": True,
    "freq_shift": 0,
    "mid_block_scale_factor": 1,
    "mid_block_type": "UNetMidBlock2DCrossAttn",
    "norm_eps": 1e-5,
    "resnet_out_scale_factor": 1.0,
    "resnet_time_scale_shift": "default",
    "time_embedding_type": "positional",
}
VAE_FIXED: Json = {
    "act_fn": "silu",
    "mid_block_add_attention": True,
    "use_post_quant_conv": True,
    "use_quant_conv": True,
}
TEXT_FIXED: Json = {"model_type": "clip_text_model"}


def read_unet(data: Json, where: str) -> tuple[UNetConfig, int]:
    """Return the UNet's configuration, and the side of its latents.

    Raises ValueError for a setting that ours does not have.
    """
    reader = Reader(where, dict(data))
    reader.fixed(UNET_FIXED)
    size = reader.one("sample_size", None, SIDE) or 64  # diffusers' own default
    channels = reader.take("block_out_channels", (320, 640, 1280, 1280), several(CHANNELS))
    attention = reader.attention(DOWN, UP, (True, True, True, False), len(channels))
    given = reader.one("num_attention_heads", None, CHANNELS)
    # The older setting is a number of heads, whatever its name says.
    heads = "attention_head_dim" if given is None else "num_attention_heads"
    older = reader.one("attention_head_dim", 8, CHANNELS) if given is None else given
    config = UNetConfig(
        in_channels=reader.take("in_channels", 4, CHANNELS),
        out_channels=reader.take("out_channels", 4, CHANNELS),
        channels=channels,
        attention=attention,
        blocks=reader.one("layers_per_block", 2, COUNT),
        heads=reader.divides(heads, older, *channels),
        depth=reader.one("transformer_layers_per_block", 1, COUNT),
        context=reader.one("cross_attention_dim", 1280, CHANNELS),
        groups=reader.divisor("norm_num_groups", 32, *channels),
    )
    if given is not None:
        reader.one("attention_head_dim", None, CHANNELS)  # has no effect
    reader.nothing_else()
    return config, size


def write_unet(config: UNetConfig, size: int) -> dict[str, Any]:
    """Return the UNet's JSON; `size` is the side of its latents."""
    return {
        "_class_name": "UNet2DConditionModel",
        **UNET_FIXED,
        "attention_head_dim": config.heads,
        "block_out_channels": list(config.channels),
        "cross_attention_dim": config.context,
        "down_block_types": [DOWN.named(attends) for attends in config.attention],
        "in_channels": config.in_channels,
        "layers_per_block": config.blocks,
        "norm_num_groups": config.groups,
        "out_channels": config.out_channels,
        "sample_size": size,
        "transformer_layers_per_block": config.depth,
        "up_block_types": [UP.named(attends) for attends in config.attention[::-1]],
    }


def read_vae(data: Json, where: str) -> VAEConfig:
    """Return the autoencoder's configuration.

    Raises ValueError for a setting that ours does not have.
    """
    reader = Reader(where, dict(data))
    reader.fixed(VAE_FIXED)
    channels = reader.take("block_out_channels", (64,), several(CHANNELS))
    reader.plain_levels(len(channels))
    inputs = reader.take("in_channels", 3, CHANNELS)
    if (outputs := reader.take("out_channels", 3, CHANNELS)) != inputs:
        raise reader.error("out_channels", outputs, f"in_channels, {inputs}")
    config = VAEConfig(
        in_channels=inputs,
        latent_channels=reader.take("latent_channels", 4, CHANNELS),
        channels=channels,
        blocks=reader.one("layers_per_block", 1, COUNT),
        groups=reader.divisor("norm_num_groups", 32, *channels),
        scale=reader.take("scaling_factor", 0.18215, SCALE),
    )
    reader.nothing_else()
    return config


def write_vae(config: VAEConfig, size: int) -> dict[str, Any]:
    """Return the autoencoder's JSON; `size` is the side of its images."""
    return {
        "_class_name": "AutoencoderKL",
        **VAE_FIXED,
        "block_out_channels": list(config.channels),
        "down_block_types": [VAE_DOWN] * len(config.channels),
        "in_channels": config.in_channels,
        "latent_channels": config.latent_channels,
        "layers_per_block": config.blocks,
        "norm_num_groups": config.groups,
        "out_channels": config.in_channels,
        "sample_size": size,
        "scaling_factor": config.scale,
        "up_block_types": [VAE_UP] * len(config.channels),
    }


def read_text(data: Json, where: str) -> TextConfig:
    """Return the text encoder's configuration.

    Raises ValueError for a setting that ours does not have.
    """
    reader = Reader(where, dict(data))
    reader.fixed(TEXT_FIXED)
    config = TextConfig(
        vocabulary=reader.take("vocab_size", 49408, IDS),
        context=reader.take("max_position_embeddings", 77, CHANNELS),
        **read_tower(reader, width=512, inner=2048, heads=8),
    )
    reader.nothing_else()
    return config


def read_tower(reader: Reader, width: int, inner: int, heads: int) -> dict[str, Any]:
    """Return what CLIP's two encoders have in common, with these defaults."""
    width = reader.take("hidden_size", width, CHANNELS)
    inner = reader.take("intermediate_size", inner, CHANNELS)
    if inner % width:
        raise reader.error("intermediate_size", inner, f"a multiple of hidden_size, {width}")
    return {
        "width": width,
        "layers": reader.take("num_hidden_layers", 12, COUNT),
        "heads": reader.divisor("num_attention_heads", heads, width),
        "mlp": inner // width,
        "activation": reader.take("hidden_act", "quick_gelu", word([*ACTIVATIONS])),
        "eps": reader.take("layer_norm_eps", 1e-5, EPS),
    }


def write_text(config: TextConfig) -> dict[str, Any]:
    """Return the text encoder's JSON."""
    return {
        "architectures": ["CLIPTextModel"],
        **TEXT_FIXED,
        "bos_token_id": config.vocabulary - 2,
        "eos_token_id": config.vocabulary - 1,
        "hidden_act": config.activation,
        "hidden_size": config.width,
        "intermediate_size": config.mlp * config.width,
        "layer_norm_eps": config.eps,
        "max_position_embeddings": config.context,
        "num_attention_heads": config.heads,
        "num_hidden_layers": config.layers,
        "vocab_size": config.vocabulary,
    }


def read_scheduler(data: Json, where: str, config: BundleConfig) -> BundleConfig:
    """Return the configuration with the noise schedule and the sampling times of the file.

    Whatever sampler the folder names, it is DDIM here, on the same schedule at the same times.
    Those of leading spacing begin at an offset of 1 whatever the file has: StableDiffusionPipeline
    puts 1 in its place, and so do we. Raises ValueError for another schedule.
    """
    reader = Reader(where, dict(data))
    schedule, constants = SCHEDULES[reader.take("beta_schedule", "linear", word([*SCHEDULES]))]
    reader.fixed({"num_train_timesteps": STEPS, **constants})
    reader.off("trained_betas", "rescale_betas_zero_snr", "thresholding")
    kind = reader.take("prediction_type", "epsilon", word([*KINDS]))
    spacing: Any = reader.take("timestep_spacing", "leading", word(get_args(Spacing)))
    offset = reader.take("steps_offset", 0, OFFSET)
    sampling: SamplingDefaults = replace(
        config.sampling,
        spacing=spacing,
        offset=1 if spacing == "leading" else offset,
        final="zero" if reader.take("set_alpha_to_one", True, FLAG) else "first",
    )
    return replace(config, schedule=schedule, prediction=KINDS[kind], sampling=sampling)


def write_scheduler(config: BundleConfig) -> dict[str, Any]:
    """Return the scheduler's JSON: DDIM on our schedule at our times."""
    theirs = next(name for name, (ours, _) in SCHEDULES.items() if ours == config.schedule)
    return {
        "_class_name": "DDIMScheduler",
        "beta_schedule": theirs,
        **SCHEDULES[theirs][1],
        "clip_sample": False,
        "num_train_timesteps": STEPS,
        "prediction_type": next(k for k, kind in KINDS.items() if kind == config.prediction),
        "set_alpha_to_one": config.sampling.final == "zero",
        "steps_offset": config.sampling.offset,
        "timestep_spacing": config.sampling.spacing,
        "trained_betas": None,
    }
