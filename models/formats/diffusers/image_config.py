"""The JSON files of an image model's diffusers folder, and our configuration: both ways.

UNet2DModel is two networks of ours, told apart by how the time is embedded: DDPM's (sines first,
the last wavelength the longest) and latent diffusion's (cosines first). As in
`config.py`, a setting that neither has is refused by its name and value.
"""

from typing import Any, get_args

from latentgeo.core.schedule import Spacing
from latentgeo.models.bundles.image_config import (
    ImageDefaults,
    ImageModelConfig,
    ScheduleConfig,
    Variance,
)
from latentgeo.models.ddpm_unet import DDPMConfig
from latentgeo.models.formats.diffusers.config import KINDS, SCHEDULES
from latentgeo.models.formats.files.json_kinds import (
    BETA,
    CHANNELS,
    COUNT,
    DROPOUT,
    FLAG,
    IDS,
    OFFSET,
    SCALE,
    SIDE,
    several,
    whole,
    word,
)
from latentgeo.models.formats.files.json_settings import VAE_DOWN, VAE_UP, Blocks, Json, Reader
from latentgeo.models.unet import UNetConfig
from latentgeo.models.vqvae import VQConfig

DOWN = Blocks("AttnDownBlock2D", "DownBlock2D")
UP = Blocks("AttnUpBlock2D", "UpBlock2D")
UNET_FIXED: Json = {
    "act_fn": "silu",
    "add_attention": True,
    "attn_norm_num_groups": None,
    "center_input_sample": False,
    "class_embed_type": None,
    "downsample_type": "conv",
    "mid_block_scale_factor": 1,
    "mid_block_type": "UNetMidBlock2D",
    "num_class_embeds": None,
    "resnet_time_scale_shift": "default",
    "time_embedding_type": "positional",
    "upsample_type": "conv",
}
DDPM_FIXED: Json = {
    "attention_head_dim": None,
    "downsample_padding": 0,
    "flip_sin_to_cos": False,
    "freq_shift": 1,
    "norm_eps": 1e-6,
}
LDM_FIXED: Json = {
    "downsample_padding": 1,
    "flip_sin_to_cos": True,
    "freq_shift": 0,
    "norm_eps": 1e-5,
}
VQ_FIXED: Json = {
    "act_fn": "silu",
    "lookup_from_codebook": False,
    "mid_block_add_attention": True,
    "norm_type": "group",
}
STEPS = whole(1, 100_000)  # T of a schedule
VARIANCES: dict[str, Variance] = {
    "fixed_small": "small",
    "fixed_large": "large",
    "learned_range": "learned",
}


def read_unet(data: Json, where: str) -> tuple[DDPMConfig | UNetConfig, int]:
    """Return the UNet's configuration, and the side of what it denoises.

    Raises ValueError for a setting that neither network of ours has.
    """
    reader = Reader(where, {**LDM_FIXED, "attention_head_dim": 8, **data})  # diffusers' defaults
    reader.fixed(UNET_FIXED)
    size = reader.one("sample_size", None, SIDE)
    if size is None:
        raise reader.error("sample_size", size, "the side of what the network denoises")
    shape = _shape(reader)
    dropout = reader.take("dropout", 0.0, DROPOUT)
    if not reader.take("flip_sin_to_cos", True, FLAG):
        reader.fixed(DDPM_FIXED)
        config: DDPMConfig | UNetConfig = DDPMConfig(**shape, dropout=dropout)
    else:
        reader.fixed(LDM_FIXED)
        width = reader.take("attention_head_dim", None, CHANNELS)
        if width is None:
            raise reader.error("attention_head_dim", width, "a width of heads")
        reader.divides("attention_head_dim", width, *shape["channels"])
        config = UNetConfig(**shape, head_width=width, transformer=False, context=None)
    reader.nothing_else()
    return config, size


def _shape(reader: Reader) -> dict[str, Any]:
    """Return what the two networks' configurations have in common."""
    channels = reader.take("block_out_channels", (224, 448, 672, 896), several(CHANNELS))
    return {
        "in_channels": reader.take("in_channels", 3, CHANNELS),
        "out_channels": reader.take("out_channels", 3, CHANNELS),
        "channels": channels,
        "attention": reader.attention(DOWN, UP, (False, True, True, True), len(channels)),
        "blocks": reader.take("layers_per_block", 2, COUNT),
        "groups": reader.divisor("norm_num_groups", 32, *channels),
    }


def write_unet(config: DDPMConfig | UNetConfig, size: int) -> dict[str, Any]:
    """Return the UNet's JSON; `size` is the side of what it denoises.

    Raises ValueError for a network that diffusers' class cannot be.
    """
    own: dict[str, Any] = {**DDPM_FIXED}
    if isinstance(config, DDPMConfig):
        if config.patch != 1:
            raise ValueError(f"patch: got {config.patch}, wanted 1: UNet2DModel has no patches")
        own["dropout"] = config.dropout
    else:
        own = {**LDM_FIXED, "attention_head_dim": config.head_width}
    attends = config.attention
    return {
        "_class_name": "UNet2DModel",
        **UNET_FIXED,
        **own,
        "block_out_channels": list(config.channels),
        "down_block_types": [DOWN.named(here) for here in attends],
        "in_channels": config.in_channels,
        "layers_per_block": config.blocks,
        "norm_num_groups": config.groups,
        "out_channels": config.out_channels,
        "sample_size": size,
        "up_block_types": [UP.named(here) for here in attends[::-1]],
    }


def read_vq(data: Json, where: str) -> VQConfig:
    """Return the autoencoder's configuration.

    A file of before there was a `scaling_factor` has latents as they are, as latent diffusion had.
    Raises ValueError for a setting that ours does not have.
    """
    reader = Reader(where, dict(data))
    reader.fixed(VQ_FIXED)
    channels = reader.take("block_out_channels", (64,), several(CHANNELS))
    reader.plain_levels(len(channels))
    inputs = reader.take("in_channels", 3, CHANNELS)
    latent = reader.take("latent_channels", 3, CHANNELS)
    reader.fixed({"out_channels": inputs})
    if (width := reader.take("vq_embed_dim", None, CHANNELS)) not in (None, latent):
        raise reader.error("vq_embed_dim", width, f"latent_channels, {latent}")
    config = VQConfig(
        in_channels=inputs,
        latent_channels=latent,
        channels=channels,
        blocks=reader.take("layers_per_block", 1, COUNT),
        groups=reader.divisor("norm_num_groups", 32, *channels),
        scale=reader.take("scaling_factor", 1.0, SCALE),
        codes=reader.take("num_vq_embeddings", 256, IDS),
    )
    reader.nothing_else()
    return config


def write_vq(config: VQConfig, size: int) -> dict[str, Any]:
    """Return the autoencoder's JSON; `size` is the side of its images."""
    return {
        "_class_name": "VQModel",
        **VQ_FIXED,
        "block_out_channels": list(config.channels),
        "down_block_types": [VAE_DOWN] * len(config.channels),
        "in_channels": config.in_channels,
        "latent_channels": config.latent_channels,
        "layers_per_block": config.blocks,
        "norm_num_groups": config.groups,
        "num_vq_embeddings": config.codes,
        "out_channels": config.in_channels,
        "sample_size": size,
        "scaling_factor": config.scale,
        "up_block_types": [VAE_UP] * len(config.channels),
        "vq_embed_dim": config.latent_channels,
    }


def read_scheduler(data: Json, where: str, size: int) -> dict[str, Any]:
    """Return schedule, prediction and sampling of the file, as fields of `ImageModelConfig`.

    `size` is the side of the images. Raises ValueError for another schedule.
    """
    reader = Reader(where, dict(data))
    reader.fixed({"clip_sample_range": 1.0})
    reader.off("trained_betas", "rescale_betas_zero_snr", "thresholding", "timestep_values")
    kind = reader.take("prediction_type", "epsilon", word([*KINDS]))
    spacing: Any = reader.take("timestep_spacing", "leading", word(get_args(Spacing)))
    sampling = ImageDefaults(
        size=size,
        spacing=spacing,
        offset=reader.take("steps_offset", 0, OFFSET),
        final="zero" if reader.take("set_alpha_to_one", True, FLAG) else "first",
        clip=reader.take("clip_sample", True, FLAG),
        variance=VARIANCES[reader.take("variance_type", "fixed_small", word([*VARIANCES]))],
    )
    return {"schedule": _schedule(reader), "prediction": KINDS[kind], "sampling": sampling}


def _schedule(reader: Reader) -> ScheduleConfig:
    """Return the noise schedule; ends that are the kind's own are left to it."""
    kind, own = SCHEDULES[reader.take("beta_schedule", "linear", word([*SCHEDULES]))]
    ends = {
        name: value
        for name, key, usual in (("start", "beta_start", 0.0001), ("end", "beta_end", 0.02))
        if (value := reader.take(key, usual, BETA)) != own.get(key)
    }
    T = reader.take("num_train_timesteps", 1000, STEPS)
    return ScheduleConfig(kind=kind, T=T, **ends if kind != "cosine" else {})


def write_scheduler(config: ImageModelConfig) -> dict[str, Any]:
    """Return the scheduler's JSON: DDPM's, or DDIM's where latents are sampled or ᾱ_1 is last."""
    how, schedule = config.sampling, config.schedule
    theirs, own = next(
        (theirs, own) for theirs, (ours, own) in SCHEDULES.items() if ours == schedule.kind
    )
    given = {"beta_start": schedule.start, "beta_end": schedule.end}
    table: dict[str, Any] = {
        "_class_name": scheduler_class(config),
        "beta_schedule": theirs,
        **{name: own.get(name) if value is None else value for name, value in given.items()},
        "clip_sample": how.clip,
        "num_train_timesteps": schedule.T,
        "prediction_type": next(k for k, kind in KINDS.items() if kind == config.prediction),
        "steps_offset": how.offset,
        "timestep_spacing": how.spacing,
        "trained_betas": None,
    }
    if scheduler_class(config) == "DDIMScheduler":
        table["set_alpha_to_one"] = how.final == "zero"
    if scheduler_class(config) == "DDPMScheduler" or how.variance != "small":
        table["variance_type"] = next(k for k, v in VARIANCES.items() if v == how.variance)
    return {name: value for name, value in table.items() if value is not None}


def scheduler_class(config: ImageModelConfig) -> str:
    """Return the class of diffusers that samples a model by default as it is sampled here."""
    ddim = config.autoencoder is not None or config.sampling.final == "first"
    return "DDIMScheduler" if ddim else "DDPMScheduler"
