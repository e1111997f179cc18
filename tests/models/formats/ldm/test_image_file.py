"""Latent diffusion without text in one file: both ways, its average and schedule."""

from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file, save_file

from latentgeo.models.adm_layers import ADMConfig
from latentgeo.models.adm_unet import ADMUNet
from latentgeo.models.bundles.image_config import ImageModelConfig
from latentgeo.models.bundles.image_model import empty_image_model
from latentgeo.models.bundles.presets_image_models import IMAGE_PRESETS
from latentgeo.models.bundles.presets_images import ADM_PRESETS
from latentgeo.models.formats.files.families import UNET, VAE
from latentgeo.models.formats.files.open import open_source
from latentgeo.models.formats.ldm.image_file import (
    average_name,
    layouts,
    passed,
    read_first_stage,
    read_ldm_image,
    write_ldm_image,
)
from latentgeo.models.vae import VAEConfig
from tests.models.bundles.test_image_model import CONFIGS, made, same
from tests.models.test_adm_unet import small
from tests.models.test_ddpm_unet import difference

LDM = CONFIGS["ldm"]
KL = replace(LDM, autoencoder=VAEConfig(latent_channels=3, channels=(8, 16), blocks=1, groups=4))
AS_ADM = ADMConfig(  # the same UNet, which has the names of LDM's files
    base=8,
    channels=(8, 16),
    attention=(False, True),
    blocks=1,
    head_width=8,
    groups=4,
    scale_shift=False,
    residual_resampling=False,
    learned_variance=False,
)


@pytest.mark.parametrize("config", [LDM, KL], ids=["vq", "kl"])
@pytest.mark.parametrize("ending", ["safetensors", "ckpt"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
def test_a_round_trip_is_bit_exact(config, ending, dtype, tmp_path):
    model = made(config)
    path = write_ldm_image(model, tmp_path / f"x.{ending}", dtype)
    back = read_ldm_image(path, dtype=None)
    assert same(back, model.to("cpu", dtype))
    again = write_ldm_image(back, tmp_path / f"again.{ending}")
    assert {n: e.shape for n, e in open_source(again).entries.items()} == {
        n: e.shape for n, e in open_source(path).entries.items()
    }
    assert same(read_ldm_image(again, dtype=None), back)


def test_names_and_shapes_are_those_of_the_published_network():
    """That ADM's network, which has LDM's names, has in the shape of LDM CelebA-HQ."""
    published = ADMUNet
    with torch.device("meta"):
        state = published(ADM_PRESETS["ldm-celebahq256"]).state_dict()
    wanted = {UNET + key: tuple(value.shape) for key, value in state.items()}
    found = {at.name: at.shape for at in layouts(IMAGE_PRESETS["ldm-celebahq256"])["unet"].values()}
    for name in [name for name in found if name.rpartition(".q.")[1]]:
        head, _, kind = name.rpartition(".q.")
        (width, *rest), *others = (found.pop(f"{head}.{letter}.{kind}") for letter in "qkv")
        assert others == [(width, *rest)] * 2
        found[f"{head}.qkv.{kind}"] = (3 * width, *rest)
    assert found == wanted


def test_computes_what_the_network_of_these_names_computes(tmp_path):
    """LDM Sec. 3.3: q, k and v are taken apart head by head, as ADM's own block takes them."""
    unet = small(AS_ADM, torch.float32)
    path = write_ldm_image(made(LDM), tmp_path / "x.safetensors")
    state = {n: t for n, t in load_file(path).items() if not n.startswith(UNET)}
    state |= {UNET + name: value for name, value in unet.state_dict().items()}
    save_file(state, path, dict(open_source(path).metadata))
    model = read_ldm_image(path)
    x, t = torch.randn(2, 3, 6, 10), torch.tensor([2, 700])
    with torch.no_grad():
        assert difference(model.unet(x, t), unet(x, t)) < 1e-5
    packed = load_file(write_ldm_image(model, tmp_path / "y.safetensors"))
    assert all(torch.equal(packed[UNET + name], value) for name, value in unet.state_dict().items())


@pytest.mark.parametrize("config", [LDM, KL], ids=["vq", "kl"])
def test_the_autoencoders_names_are_those_that_diffusers_knows(config, tmp_path):
    utils = pytest.importorskip("diffusers.loaders.single_file_utils")
    model = made(config)
    state = load_file(write_ldm_image(model, tmp_path / "x.safetensors"))
    levels = [""] * len(config.autoencoder.channels)
    found = utils.convert_ldm_vae_checkpoint(
        state, {"down_block_types": levels, "up_block_types": levels}
    )
    ours = model.autoencoder.state_dict()
    assert found.keys() == ours.keys() - {"quantize.embedding.weight"}
    assert all(
        torch.equal(value.reshape(ours[key].shape), ours[key]) for key, value in found.items()
    )
    if "quantize.embedding.weight" in ours:
        assert f"{VAE}quantize.embedding.weight" in state


def rewritten(tmp_path, change, config: ImageModelConfig = LDM):
    """Write the tiny model with its tensors changed, as a published file with its configuration."""
    path = write_ldm_image(made(config), tmp_path / "x.safetensors")
    metadata = dict(open_source(path).metadata)
    save_file(change(load_file(path)), path, metadata)
    return path


def test_the_average_of_the_unet_is_taken_unless_it_is_not_wanted(tmp_path):
    """As LDM names it: without the dots, and beside two counts."""

    def change(state):
        mean = {average_name(n): -t for n, t in state.items() if average_name(n)}
        counts = {"model_ema.decay": torch.ones(1), "model_ema.num_updates": torch.tensor(3)}
        assert "model_ema.diffusion_modelinput_blocks00weight" in mean
        return state | mean | counts

    path, plain = rewritten(tmp_path, change), made(LDM)
    found = read_ldm_image(path)
    for key, value in plain.unet.state_dict().items():
        assert torch.equal(found.unet.state_dict()[key], -value), key
    first = plain.autoencoder.state_dict()
    assert all(torch.equal(v, first[k]) for k, v in found.autoencoder.state_dict().items())
    assert same(read_ldm_image(path, ema=False), plain)


def test_averages_have_names_of_their_own():
    """Without dots, no two tensors of the published model are called the same."""
    names = {f"{UNET}{key}" for key in ADMUNet(AS_ADM).state_dict()}
    assert len({average_name(name) for name in names}) == len(names)
    assert average_name(f"{VAE}quant_conv.weight") is None


def test_the_schedule_of_the_file_must_be_the_configurations(tmp_path):
    betas = LDM.schedule.build().beta[1:].float()
    extra = {
        "betas": betas,
        "alphas_cumprod": (1 - betas).cumprod(0),
        "posterior_variance": 2 * betas,
    }
    assert same(read_ldm_image(rewritten(tmp_path, lambda state: state | extra)), made(LDM))
    other = {"betas": torch.linspace(0.0001, 0.02, 1000)}
    with pytest.raises(ValueError, match=r"betas are 1000 from 0\.0001 to 0\.02, wanted 1000 from"):
        read_ldm_image(rewritten(tmp_path, lambda state: state | other))


def test_the_scale_of_the_latents_is_the_files(tmp_path):
    path = rewritten(tmp_path, lambda state: state | {"scale_factor": torch.tensor(0.25)})
    found = read_ldm_image(path)
    assert found.config.autoencoder.scale == 0.25
    x = torch.rand(1, 3, 24, 24)
    torch.testing.assert_close(found.encode(x), made(LDM).encode(x) / 4)
    assert passed("scale_factor") and not passed(f"{VAE}quantize.embedding.weight")


def test_one_error_for_both_networks(tmp_path):
    def change(state):
        del state[f"{UNET}out.2.bias"]
        del state[f"{VAE}quantize.embedding.weight"], state[f"{VAE}quant_conv.bias"]
        state[f"{VAE}quantize.embedding.weight"] = torch.ones(7, 3)
        return state | {"stranger": torch.ones(1)}

    with pytest.raises(ValueError) as caught:
        read_ldm_image(rewritten(tmp_path, change))
    for said in (
        f"missing {UNET}out.2.bias (3,)",
        f"missing {VAE}quant_conv.bias (3,)",
        f"{VAE}quantize.embedding.weight is (7, 3), wanted (11, 3)",
        "unexpected stranger (1,)",
    ):
        assert said in str(caught.value)


def test_a_file_that_says_nothing_is_held_against_the_published_model(tmp_path):
    path = write_ldm_image(made(LDM), tmp_path / "x.safetensors")
    save_file(load_file(path), path)
    with pytest.raises(ValueError, match="is none of ldm-celebahq256; give --model-config"):
        read_ldm_image(path)
    assert same(read_ldm_image(path, config=LDM), made(LDM))


@pytest.mark.parametrize("config", [LDM, KL], ids=["vq", "kl"])
def test_the_first_stage_alone(config, tmp_path):
    """As it is trained, with the loss's own networks beside it."""
    state = load_file(write_ldm_image(made(config), tmp_path / "x.safetensors"))
    alone = {n.removeprefix(VAE): t for n, t in state.items() if n.startswith(VAE)}
    alone |= {"loss.discriminator.main.0.weight": torch.ones(3)}
    torch.save({"state_dict": alone}, tmp_path / "first.ckpt")
    found = read_first_stage(tmp_path / "first.ckpt", config.autoencoder)
    wanted = made(config).autoencoder.state_dict()
    assert all(torch.equal(value, wanted[key]) for key, value in found.state_dict().items())
    with pytest.raises(ValueError, match=r"does not fit: .*conv_in\.weight is"):
        read_first_stage(
            tmp_path / "first.ckpt", replace(config.autoencoder, channels=(16, 16, 16))
        )
    with pytest.raises(ValueError, match=r"looks like a latent diffusion model .*, wanted an auto"):
        read_first_stage(tmp_path / "x.safetensors", config.autoencoder)


def test_other_families_are_refused_by_name(tmp_path):
    save_file({"lora_unet_mid_block.lora_up.weight": torch.ones(8, 2)}, tmp_path / "x.safetensors")
    with pytest.raises(ValueError, match="looks like LoRA, wanted latent diffusion without text"):
        read_ldm_image(tmp_path / "x.safetensors")
    with pytest.raises(ValueError, match="ddpm is not latent diffusion, with an autoencoder"):
        write_ldm_image(made(CONFIGS["ddpm"]), tmp_path / "y.safetensors")


def test_the_published_model_is_recognised(tmp_path):
    """By its tensors alone: no shape of the preset is asked for twice."""
    found = layouts(IMAGE_PRESETS["ldm-celebahq256"])
    names = [at.name for layout in found.values() for at in layout.values()]
    assert len(names) == len(set(names))
    model = empty_image_model(IMAGE_PRESETS["ldm-celebahq256"])
    assert len(names) == sum(len(module.state_dict()) for module in model.modules.values())
