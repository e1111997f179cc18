"""Latent Diffusion's names: the published map, key for key, and one to one for other shapes."""

import pytest
import torch

from latentgeo.models.formats.files.families import TEXT, UNET, VAE
from latentgeo.models.formats.ldm.names import renamed, unet_names, vae_names
from latentgeo.models.unet import UNet, UNetConfig
from latentgeo.models.vae import VAE as Autoencoder
from latentgeo.models.vae import VAEConfig


def published(manifest, part: str) -> dict[str, str]:
    """Return Latent Diffusion's name of every tensor of a part, by diffusers'."""
    pairs = manifest("sd1_ldm_to_diffusers_keymap")["ldm_diffusers_keymap"]
    return {ours.removeprefix(part): ldm for ldm, ours in pairs.items() if ours.startswith(part)}


@pytest.mark.parametrize(
    ("part", "prefix", "names", "keys"),
    [
        ("unet_", UNET, unet_names(UNetConfig()), "sd15_unet_diffusers"),
        ("vae_", VAE, vae_names(VAEConfig()), "sd15_vae_diffusers"),
        ("te_", TEXT, {"text_model": "text_model"}, None),
    ],
)
def test_every_published_name_is_met_exactly_once(manifest, part, prefix, names, keys):
    wanted = published(manifest, part)
    if keys is not None:
        assert wanted.keys() == manifest(keys)["keys"].keys()
    found = renamed(names, wanted)
    assert {key: prefix + name for key, name in found.items()} == wanted
    assert len(set(found.values())) == len(wanted)


@pytest.mark.parametrize("blocks", [1, 2, 3])
@pytest.mark.parametrize("attention", [(True, False, True), (False, False, True), (True,)])
def test_other_shapes_have_one_name_each(blocks, attention):
    config = UNetConfig(
        channels=(8,) * len(attention), attention=attention, blocks=blocks, heads=2, groups=4
    )
    with torch.device("meta"):
        unet, vae = UNet(config), Autoencoder(VAEConfig(channels=(8, 16), groups=4, blocks=blocks))
    for module, names in ((unet, unet_names(config)), (vae, vae_names(vae.config))):
        keys = [*module.state_dict()]
        assert len(set(renamed(names, keys).values())) == len(keys)


def test_a_layer_without_a_name_is_named():
    with pytest.raises(KeyError, match=r"mid_block\.attentions\.7\.norm\.weight"):
        renamed(unet_names(UNetConfig()), ["mid_block.attentions.7.norm.weight"])
