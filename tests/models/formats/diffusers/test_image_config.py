"""The JSON of image models' folders: both ways, diffusers' defaults, what is refused."""

from dataclasses import replace

import pytest

from latentgeo.models.bundles.image_config import ImageDefaults, ImageModelConfig, ScheduleConfig
from latentgeo.models.bundles.presets_image_models import IMAGE_PRESETS
from latentgeo.models.bundles.presets_images import DDPM_PRESETS, LDM_PRESETS, VQ_PRESETS
from latentgeo.models.formats.diffusers.image_config import (
    read_scheduler,
    read_unet,
    read_vq,
    scheduler_class,
    write_scheduler,
    write_unet,
    write_vq,
)

GOOGLE = {  # config.json of google/ddpm-cat-256, whose shape is CelebA-HQ's
    "_class_name": "UNet2DModel",
    "_diffusers_version": "0.0.4",
    "act_fn": "silu",
    "attention_head_dim": None,
    "block_out_channels": [128, 128, 256, 256, 512, 512],
    "center_input_sample": False,
    "down_block_types": ["DownBlock2D"] * 4 + ["AttnDownBlock2D", "DownBlock2D"],
    "downsample_padding": 0,
    "flip_sin_to_cos": False,
    "freq_shift": 1,
    "in_channels": 3,
    "layers_per_block": 2,
    "mid_block_scale_factor": 1,
    "norm_eps": 1e-06,
    "norm_num_groups": 32,
    "out_channels": 3,
    "sample_size": 256,
    "time_embedding_type": "positional",
    "up_block_types": ["UpBlock2D", "AttnUpBlock2D"] + ["UpBlock2D"] * 4,
}
SCHEDULER = {
    "_class_name": "DDPMScheduler",
    "beta_end": 0.02,
    "beta_schedule": "linear",
    "beta_start": 0.0001,
    "clip_sample": True,
    "num_train_timesteps": 1000,
    "timestep_values": None,
    "trained_betas": None,
    "variance_type": "fixed_small",
}
UNETS = {**DDPM_PRESETS, **{f"ldm {name}": config for name, config in LDM_PRESETS.items()}}


def test_the_published_ddpm_is_ours():
    assert read_unet(GOOGLE, "f") == (DDPM_PRESETS["celebahq256"], 256)
    how = read_scheduler(SCHEDULER, "f", 256)
    assert ImageModelConfig(**how) == IMAGE_PRESETS["ddpm-celebahq256"]


@pytest.mark.parametrize("name", UNETS)
def test_unets_there_and_back(name):
    assert read_unet(write_unet(UNETS[name], 24), "f") == (UNETS[name], 24)


@pytest.mark.parametrize("config", VQ_PRESETS.values())
def test_autoencoders_there_and_back(config):
    assert read_vq(write_vq(replace(config, scale=0.5), 24), "f") == replace(config, scale=0.5)


def test_an_autoencoder_of_before_there_was_a_scale_has_none():
    table = write_vq(VQ_PRESETS["tiny"], 24)
    del table["scaling_factor"]
    assert read_vq(table, "f").scale == 1.0


def test_what_diffusers_leaves_out_is_its_default():
    """UNet2DModel() is latent diffusion's network with 8 channels to a head."""
    config, size = read_unet({"sample_size": 64}, "f")
    wanted = replace(LDM_PRESETS["ldm-celebahq256"], head_width=8)
    assert (config, size) == (wanted, 64)
    with pytest.raises(ValueError, match=r"attention_head_dim is 8, wanted None"):
        read_unet({"sample_size": 64, **{n: GOOGLE[n] for n in GOOGLE if "head" not in n}}, "f")
    with pytest.raises(ValueError, match=r"norm_eps is 1e-05, wanted 1e-06"):
        read_unet({n: GOOGLE[n] for n in GOOGLE if n != "norm_eps"}, "f")


@pytest.mark.parametrize(
    "config",
    [
        *IMAGE_PRESETS.values(),
        ImageModelConfig(
            schedule=ScheduleConfig(start=0.001, end=0.01),
            prediction="v",
            sampling=ImageDefaults(spacing="trailing", offset=1, final="first", clip=False),
        ),
    ],
    ids=lambda config: f"{config.name} {config.prediction}",
)
def test_schedulers_there_and_back(config):
    table = write_scheduler(config)
    how = read_scheduler(table, "f", config.sampling.size)
    steps = {"steps": config.sampling.steps}
    assert replace(how["sampling"], **steps) == config.sampling
    assert (how["schedule"], how["prediction"]) == (config.schedule, config.prediction)
    latent = config.autoencoder is not None
    assert scheduler_class(config) == (
        "DDIMScheduler" if latent or config.sampling.final == "first" else "DDPMScheduler"
    )


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"sample_size": None}, "f: sample_size is None, wanted the side of what"),
        ({"down_block_types": ["ResnetDownsampleBlock2D"] * 6}, "AttnDownBlock2D and DownBlock2D"),
        ({"up_block_types": ["UpBlock2D"] * 6}, "wanted the mirror of down_block_types"),
        ({"num_class_embeds": 10}, "num_class_embeds is 10, wanted None"),
        ({"time_embedding_type": "fourier"}, "time_embedding_type is 'fourier'"),
        ({"freq_shift": 0}, "freq_shift is 0, wanted 1"),
        ({"unheard_of": 3}, "unheard_of is 3, wanted it off"),
        ({"flip_sin_to_cos": True}, "downsample_padding is 0, wanted 1"),
    ],
)
def test_unets_of_other_kinds_are_refused(setting, message):
    with pytest.raises(ValueError, match=message):
        read_unet(GOOGLE | setting, "f")


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"beta_schedule": "sigmoid"}, "beta_schedule is 'sigmoid', wanted one of scaled_linear"),
        ({"trained_betas": [0.1]}, "trained_betas is .*, wanted it off"),
        ({"variance_type": "learned"}, "variance_type is 'learned', wanted one of fixed_small"),
        ({"prediction_type": "score"}, "prediction_type is 'score', wanted one of epsilon"),
        ({"clip_sample_range": 2.0}, r"clip_sample_range is 2\.0, wanted 1\.0"),
        ({"timestep_spacing": "odd"}, "timestep_spacing is 'odd'"),
    ],
)
def test_other_schedulers_are_refused(setting, message):
    with pytest.raises(ValueError, match=message):
        read_scheduler(SCHEDULER | setting, "f", 256)


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"vq_embed_dim": 5}, "vq_embed_dim is 5, wanted latent_channels, 3"),
        ({"norm_type": "spatial"}, "norm_type is 'spatial', wanted 'group'"),
        ({"out_channels": 1}, "out_channels is 1, wanted 3"),
        ({"up_block_types": ["x"]}, "up_block_types is .*, wanted 3 times UpDecoderBlock2D"),
    ],
)
def test_other_autoencoders_are_refused(setting, message):
    with pytest.raises(ValueError, match=message):
        read_vq(write_vq(VQ_PRESETS["tiny"], 24) | setting, "f")


def test_patches_are_not_written():
    """diffusers' class has no such rearrangement: its file would be another network."""
    with pytest.raises(ValueError, match="patch: got 2, wanted 1"):
        write_unet(replace(UNETS["cifar10"], patch=2), 32)
