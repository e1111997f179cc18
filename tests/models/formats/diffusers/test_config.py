"""The JSON files of a diffusers folder: both ways, held against diffusers, and what is refused."""

import json
from dataclasses import replace

import pytest
import torch

from latentgeo.core.schedule import SCHEDULES, times
from latentgeo.models.bundles.text_to_image import BundleConfig
from latentgeo.models.clip import TextConfig
from latentgeo.models.formats.diffusers import config as configs
from latentgeo.models.unet import UNet, UNetConfig
from latentgeo.models.vae import VAE, VAEConfig

UNETS = [
    UNetConfig(),
    UNetConfig(
        channels=(8, 12), attention=(False, True), blocks=1, heads=4, context=5, groups=4, depth=2
    ),
]
VAES = [VAEConfig(), VAEConfig(channels=(8, 16), blocks=3, groups=4, scale=0.7, latent_channels=3)]
PUBLISHED_UNET = {  # of Stable Diffusion 1.5, as its folder has it
    "_class_name": "UNet2DConditionModel",
    "_diffusers_version": "0.6.0",
    "act_fn": "silu",
    "attention_head_dim": 8,
    "block_out_channels": [320, 640, 1280, 1280],
    "center_input_sample": False,
    "cross_attention_dim": 768,
    "down_block_types": ["CrossAttnDownBlock2D"] * 3 + ["DownBlock2D"],
    "downsample_padding": 1,
    "flip_sin_to_cos": True,
    "freq_shift": 0,
    "in_channels": 4,
    "layers_per_block": 2,
    "mid_block_scale_factor": 1,
    "norm_eps": 1e-05,
    "norm_num_groups": 32,
    "out_channels": 4,
    "sample_size": 64,
    "up_block_types": ["UpBlock2D"] + ["CrossAttnUpBlock2D"] * 3,
}
PUBLISHED_TEXT = {
    "architectures": ["CLIPTextModel"],
    "attention_dropout": 0.0,
    "bos_token_id": 0,
    "dropout": 0.0,
    "eos_token_id": 2,
    "hidden_act": "quick_gelu",
    "hidden_size": 768,
    "initializer_factor": 1.0,
    "initializer_range": 0.02,
    "intermediate_size": 3072,
    "layer_norm_eps": 1e-05,
    "max_position_embeddings": 77,
    "model_type": "clip_text_model",
    "num_attention_heads": 12,
    "num_hidden_layers": 12,
    "pad_token_id": 1,
    "torch_dtype": "float32",
    "vocab_size": 49408,
}


def plain(table):
    return json.loads(json.dumps(table))


@pytest.mark.parametrize("config", UNETS)
def test_a_unet_both_ways(config):
    assert configs.read_unet(plain(configs.write_unet(config, 8)), "x")[0] == config


@pytest.mark.parametrize("config", VAES)
def test_an_autoencoder_both_ways(config):
    assert configs.read_vae(plain(configs.write_vae(config, 32)), "x") == config


@pytest.mark.parametrize("config", [TextConfig(), TextConfig(width=6, heads=3, mlp=2, layers=1)])
def test_a_text_encoder_both_ways(config):
    assert configs.read_text(plain(configs.write_text(config)), "x") == config


@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize("kind", ["eps", "v", "x_0"])
def test_a_scheduler_both_ways(schedule, kind):
    config = BundleConfig(schedule=schedule, prediction=kind)
    for offset, final, spacing in ((1, "first", "leading"), (0, "zero", "trailing")):
        sampling = replace(config.sampling, offset=offset, final=final, spacing=spacing)
        wanted = replace(config, sampling=sampling)
        table = plain(configs.write_scheduler(wanted))
        assert configs.read_scheduler(table, "x", BundleConfig()) == wanted


def test_published_files_are_stable_diffusions_shape():
    assert configs.read_unet(PUBLISHED_UNET, "x")[0] == UNetConfig()
    assert configs.read_text(PUBLISHED_TEXT, "x") == TextConfig()
    vae = {"block_out_channels": [128, 256, 512, 512], "layers_per_block": 2, "sample_size": 512}
    assert configs.read_vae(vae, "x") == VAEConfig()


@pytest.mark.parametrize("config", UNETS)
def test_diffusers_makes_the_same_unet_of_our_file(config):
    diffusers = pytest.importorskip("diffusers")
    with torch.device("meta"):
        theirs = diffusers.UNet2DConditionModel.from_config(configs.write_unet(config, 8))
        ours = UNet(config)
    wanted = {key: value.shape for key, value in theirs.state_dict().items()}
    assert {key: value.shape for key, value in ours.state_dict().items()} == wanted
    assert configs.read_unet(plain(dict(theirs.config)), "x")[0] == config


@pytest.mark.parametrize("config", VAES)
def test_diffusers_makes_the_same_autoencoder_of_our_file(config):
    diffusers = pytest.importorskip("diffusers")
    with torch.device("meta"):
        theirs = diffusers.AutoencoderKL.from_config(configs.write_vae(config, 32))
        ours = VAE(config)
    wanted = {key: value.shape for key, value in theirs.state_dict().items()}
    assert {key: value.shape for key, value in ours.state_dict().items()} == wanted
    assert configs.read_vae(plain(dict(theirs.config)), "x") == config


@pytest.mark.parametrize("one", [True, False])
@pytest.mark.parametrize(("spacing", "offset"), [("leading", 1), ("leading", 0), ("trailing", 0)])
def test_diffusers_visits_the_same_times(spacing, offset, one):
    """Our t is its τ + 1, and what its last step lands on is its final ᾱ.

    The offset of leading spacing is 1 whatever the file has, as in StableDiffusionPipeline.
    """
    diffusers = pytest.importorskip("diffusers")
    table = {
        "beta_schedule": "scaled_linear",
        "beta_start": 0.00085,
        "beta_end": 0.012,
        "timestep_spacing": spacing,
        "steps_offset": offset,
        "set_alpha_to_one": one,
    }
    piped = table | ({"steps_offset": 1} if spacing == "leading" else {})
    theirs = diffusers.DDIMScheduler.from_config(piped)
    config = configs.read_scheduler(table, "x", BundleConfig())
    schedule, how = SCHEDULES[config.schedule](), config.sampling
    for steps in (4, 20, 50):
        theirs.set_timesteps(steps)
        visited = times(schedule, steps, how.spacing, how.offset, how.final)
        assert [t - 1 for t in visited[:-1]] == theirs.timesteps.tolist()
        final = float(schedule.alpha_bar[visited[-1]])
        assert final == pytest.approx(float(theirs.final_alpha_cumprod), abs=1e-6)


@pytest.mark.parametrize(
    ("reader", "setting", "message"),
    [
        ("unet", {"use_linear_projection": True}, "use_linear_projection is True, wanted it off"),
        ("unet", {"class_embed_type": "timestep"}, "class_embed_type is 'timestep'"),
        ("unet", {"addition_embed_type": "text_time"}, "addition_embed_type"),
        ("unet", {"norm_eps": 1e-6}, r"norm_eps is 1e-06, wanted 1e-05"),
        ("unet", {"flip_sin_to_cos": False}, "flip_sin_to_cos is False, wanted True"),
        ("unet", {"resnet_time_scale_shift": "scale_shift"}, "resnet_time_scale_shift"),
        ("unet", {"attention_head_dim": [5, 10, 20, 20]}, "wanted one value for all resolutions"),
        ("unet", {"down_block_types": ["AttnDownBlock2D"] * 4}, "CrossAttnDownBlock2D and"),
        ("unet", {"up_block_types": ["UpBlock2D"] * 4}, "the mirror of down_block_types"),
        ("unet", {"something_new": 3}, "something_new is 3, wanted it off"),
        ("vae", {"shift_factor": 0.1}, "shift_factor is 0.1"),
        ("vae", {"use_quant_conv": False}, "use_quant_conv is False, wanted True"),
        ("vae", {"down_block_types": ["AttnDownEncoderBlock2D"]}, "1 times DownEncoderBlock2D"),
        ("vae", {"out_channels": 4}, "out_channels is 4, wanted in_channels, 3"),
        ("text", {"intermediate_size": 100, "hidden_size": 64}, "a multiple of hidden_size, 64"),
        ("text", {"model_type": "bert"}, "model_type is 'bert', wanted 'clip_text_model'"),
        ("text", {"hidden_act": "relu"}, "hidden_act is 'relu', wanted one of quick_gelu"),
        ("scheduler", {"beta_schedule": "sigmoid"}, "beta_schedule is 'sigmoid', wanted one of"),
        ("scheduler", {"beta_start": 0.5}, r"beta_start is 0\.5, wanted 0\.0001"),
        ("scheduler", {"num_train_timesteps": 500}, "num_train_timesteps is 500, wanted 1000"),
        ("scheduler", {"rescale_betas_zero_snr": True}, "rescale_betas_zero_snr is True"),
        ("scheduler", {"trained_betas": [0.1]}, "trained_betas"),
        ("scheduler", {"thresholding": True}, "thresholding is True"),
        ("scheduler", {"prediction_type": "flow"}, "prediction_type is 'flow', wanted one of eps"),
        ("scheduler", {"timestep_spacing": "karras"}, "timestep_spacing is 'karras'"),
    ],
)
def test_what_our_networks_do_not_have_is_refused(reader, setting, message):
    """By the setting's name and value, and the file's name."""
    with pytest.raises(ValueError, match=f"^file: .*{message}"):
        if reader == "scheduler":
            configs.read_scheduler(setting, "file", BundleConfig())
        else:
            getattr(configs, f"read_{reader}")(setting, "file")
