"""Which model a file is: by its tensors, by what it says, by what is given."""

import json

import pytest
import torch
from safetensors.torch import save_file

from latentgeo.models.bundles.image_config import plain_config
from latentgeo.models.bundles.presets_image_models import IMAGE_PRESETS
from latentgeo.models.formats.files.open import open_source
from latentgeo.models.formats.ldm.file import CONFIG
from latentgeo.models.formats.ldm.presets import config_of, named_config
from tests.models.bundles.test_image_model import CONFIGS


def opened(tmp_path, metadata=None):
    save_file({"a": torch.ones(1)}, tmp_path / "x.safetensors", metadata)
    return open_source(tmp_path / "x.safetensors")


def test_the_first_published_model_that_fits(tmp_path):
    tried = []

    def misfits(config):
        tried.append(config.name)
        return [] if config.name == "adm-imagenet256" else ["missing a"]

    assert config_of(opened(tmp_path), "adm", misfits) == IMAGE_PRESETS["adm-imagenet256"]
    assert tried == ["adm-imagenet64", "adm-imagenet128", "adm-imagenet256"]


def test_a_file_that_is_nearly_one_says_which(tmp_path):
    def misfits(config):
        return ["missing b (3,)"] if config.name == "ddpm-cifar10" else ["odd"] * 30

    with pytest.raises(ValueError) as caught:
        config_of(opened(tmp_path), "ddpm", misfits)
    assert "x.safetensors is none of ddpm-celebahq256, ddpm-cifar10; give --model-config" in str(
        caught.value
    )
    assert str(caught.value).endswith("nearest is ddpm-cifar10: missing b (3,)")
    with pytest.raises(ValueError) as caught:
        config_of(opened(tmp_path), "ddpm", lambda config: ["odd"] * 30)
    assert "odd" not in str(caught.value)


def test_what_is_given_is_before_what_the_file_says(tmp_path):
    source = opened(tmp_path, {CONFIG: json.dumps(plain_config(CONFIGS["ddpm"]))})
    assert config_of(source, "ddpm", lambda config: []) == CONFIGS["ddpm"]
    given = IMAGE_PRESETS["ddpm-cifar10"]
    assert config_of(source, "ddpm", lambda config: [], given) == given
    with pytest.raises(ValueError, match=r"held against ddpm-cifar10; missing a"):
        config_of(source, "ddpm", lambda config: ["missing a"], given)


@pytest.mark.parametrize(
    ("text", "message"), [("{", "is no JSON"), ('{"network": "x"}', "network is 'x', wanted one")]
)
def test_a_configuration_that_is_none_is_refused(tmp_path, text, message):
    with pytest.raises(ValueError, match=message):
        config_of(opened(tmp_path, {CONFIG: text}), "ddpm", lambda config: [])


def test_names_and_files(tmp_path):
    assert named_config("p2-256") == IMAGE_PRESETS["p2-256"]
    path = tmp_path / "c.json"
    path.write_text(json.dumps(plain_config(CONFIGS["adm"])))
    assert named_config(path) == CONFIGS["adm"]
    with pytest.raises(FileNotFoundError, match=r"no configuration gone; .* one of ddpm-celeb"):
        named_config("gone")
