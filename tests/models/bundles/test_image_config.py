"""Configurations of image models: JSON both ways, and parts that do not go together."""

import json
from dataclasses import replace

import pytest
import torch

from latentgeo.core import schedule as schedules
from latentgeo.models.adm_layers import ADMConfig
from latentgeo.models.bundles.image_config import (
    ImageDefaults,
    ImageModelConfig,
    ScheduleConfig,
    config_from,
    plain_config,
)
from latentgeo.models.bundles.presets_image_models import IMAGE_PRESETS
from latentgeo.models.bundles.presets_images import VQ_PRESETS
from latentgeo.models.ddpm_unet import DDPMConfig
from latentgeo.models.vae import VAEConfig
from latentgeo.models.vqvae import VQConfig

LDM = IMAGE_PRESETS["ldm-celebahq256"]


@pytest.mark.parametrize("name", IMAGE_PRESETS)
def test_json_there_and_back(name):
    config = IMAGE_PRESETS[name]
    assert config_from(json.loads(json.dumps(plain_config(config))), "x") == config


def test_json_may_leave_out_what_is_usual():
    assert config_from({"network": "ddpm"}, "x") == ImageModelConfig()
    found = config_from({"network": "adm", "unet": {"classes": 7}, "name": "n"}, "x")
    assert found == ImageModelConfig(name="n", unet=ADMConfig(classes=7))


@pytest.mark.parametrize("kind", ["linear", "scaled_linear", "cosine"])
def test_schedules_are_the_named_ones(kind):
    """DDPM Eq. 4: built with their own ends, or with those given."""
    plain = ScheduleConfig(kind=kind, T=37).build()
    assert torch.equal(plain.beta, schedules.SCHEDULES[kind](37).beta)
    if kind != "cosine":
        beta = ScheduleConfig(kind=kind, T=37, start=0.25, end=0.5).build().beta
        torch.testing.assert_close(beta[[1, -1]], torch.tensor([0.25, 0.5], dtype=torch.float64))


def test_shapes_and_kinds():
    assert (LDM.network, LDM.shape, LDM.classes) == ("ldm", (3, 64, 64), None)
    assert isinstance(LDM.autoencoder, VQConfig) and not LDM.learned_variance
    adm = IMAGE_PRESETS["adm-imagenet64"]
    assert (adm.network, adm.shape, adm.classes) == ("adm", (3, 64, 64), 1000)
    assert adm.learned_variance and not ImageModelConfig().learned_variance
    kl = {"network": "ldm", "unet": {"in_channels": 4}, "autoencoder": {"latent_channels": 4}}
    assert type(config_from(kl | {"sampling": {"clip": False}}, "x").autoencoder) is VAEConfig


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: ScheduleConfig(kind="sigmoid"), "kind is 'sigmoid', wanted one of linear"),
        (lambda: ScheduleConfig(kind="cosine", end=0.1), "got a start or an end of cosine"),
        (
            lambda: ImageModelConfig(sampling=ImageDefaults(variance="learned")),
            "variance is 'learned', wanted small or large",
        ),
        (lambda: ImageModelConfig(prediction="score"), "one of eps, x_0, v, got 'score'"),
        (
            lambda: replace(LDM, unet=DDPMConfig(in_channels=5)),
            "the autoencoder has 3 latent channels, the UNet takes 5",
        ),
        (lambda: replace(LDM, sampling=ImageDefaults()), "clip is on, wanted it off"),
        (
            lambda: config_from({"network": "sd"}, "f"),
            "f: network is 'sd', wanted one of ddpm, adm, ldm",
        ),
        (lambda: config_from({"network": "ddpm", "unets": 1}, "f"), "f: unknown key 'unets'"),
        (
            lambda: config_from({"network": "adm", "unet": {"head": 1}}, "f"),
            "f: unet: unknown key 'head'",
        ),
        (lambda: config_from([], "f"), r"f: network is \[\]"),
    ],
)
def test_what_does_not_go_together_is_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_a_codebook_makes_an_autoencoder_vector_quantized():
    table = plain_config(replace(LDM, autoencoder=VQ_PRESETS["tiny"]))
    assert config_from(table, "x").autoencoder == VQ_PRESETS["tiny"]
