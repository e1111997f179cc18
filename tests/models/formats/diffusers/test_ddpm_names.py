"""diffusers' names of DDPM's tensors: the published ones, once each, and by a rule of its own."""

import pytest

from latentgeo.models.bundles.image_config import ImageModelConfig
from latentgeo.models.bundles.image_model import empty_image_model
from latentgeo.models.bundles.presets_images import DDPM_PRESETS
from latentgeo.models.formats.diffusers.ddpm_names import diffusers_layout
from tests.models.test_ddpm_unet import published


def test_every_published_tensor_is_asked_for_once(manifest):
    config = DDPM_PRESETS["celebahq256"]
    state = empty_image_model(ImageModelConfig(unet=config)).unet.state_dict()
    layout = diffusers_layout(config, state)
    shapes = {name: tuple(s) for name, s in manifest("ddpm_celebahq256_diffusers")["keys"].items()}
    assert {at.name: at.shape for at in layout.values()} == shapes
    assert len(layout) == len(shapes) == 450


@pytest.mark.parametrize("name", DDPM_PRESETS)
def test_names_are_those_of_the_rule(name):
    """As `ddpm_unet.py` states it, and a test of that file applies it by substitutions."""
    config = DDPM_PRESETS[name]
    state = empty_image_model(ImageModelConfig(unet=config)).unet.state_dict()
    layout = diffusers_layout(config, state)
    levels = len(config.channels)
    assert {key: at.name for key, at in layout.items()} == {k: published(k, levels) for k in state}
    for key, at in layout.items():
        assert at.shape == tuple(state[key].shape)[: 2 if ".attentions." in at.name else 4]
