"""Tests of the published shapes: the papers' counts of parameters, and that small ones run."""

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode

from latentgeo.models.adm_unet import ADMUNet
from latentgeo.models.bundles.presets_images import (
    ADM_PRESETS,
    DDPM_PRESETS,
    LDM_PRESETS,
    VQ_PRESETS,
)
from latentgeo.models.ddpm_unet import DDPMUNet
from latentgeo.models.unet import UNet
from latentgeo.models.vqvae import VQVAE
from tests.models.test_unet import MANIFESTS

MILLIONS = {  # of the papers, which print 552 for 553, 120 for 121 and 270 for 273
    "imagenet64": 296,
    "imagenet128": 422,
    "imagenet256": 554,
    "imagenet256-unconditional": 553,
    "imagenet512": 559,
    "lsun256": 553,
    "p2-256": 94,
    "iddpm-imagenet64": 121,
    "iddpm-imagenet64-classes": 273,
    "iddpm-cifar10": 53,
    "iddpm-lsun256": 114,
    "ldm-celebahq256": 274,
}


def millions(model: torch.nn.Module) -> int:
    return round(sum(p.numel() for p in model.parameters()) / 1e6)


@pytest.mark.parametrize("name", MILLIONS)
def test_adm_has_the_published_size(name):
    """Improved DDPM and ADM: counts of parameters."""
    with torch.device("meta"):
        assert millions(ADMUNet(ADM_PRESETS[name])) == MILLIONS[name]


def test_every_preset_is_counted():
    """No shape of ADM is without its count."""
    assert set(ADM_PRESETS) == set(MILLIONS) | {"tiny"}


@pytest.mark.parametrize(("name", "count"), [("cifar10", 35.7e6), ("celebahq256", 113.7e6)])
def test_ddpm_has_the_published_size(name, count):
    """DDPM Sec. 4: 35.7 and 114 million parameters."""
    with torch.device("meta"):
        model = DDPMUNet(DDPM_PRESETS[name])
    assert sum(p.numel() for p in model.parameters()) == pytest.approx(count, rel=2e-3)


def test_ldm_has_the_published_size():
    """LDM-4 of CelebA-HQ has 274 M parameters, its autoencoder 55 M."""
    with torch.device("meta"):
        assert millions(UNet(LDM_PRESETS["ldm-celebahq256"])) == 274
        assert millions(VQVAE(VQ_PRESETS["ldm-celebahq256"])) == 55


@pytest.mark.parametrize(
    ("file", "time", "preset"),
    [
        ("smiling_LC_CelebA_HQ_t999_ninv40_ngen40_0.pth", "temb_proj", "celebahq256"),
        ("metface_smiling_LC_metfaces_t999_ninv40_ngen40_0.pth", "emb_layers.1", "p2-256"),
    ],
)
def test_published_edits_fit_the_bottleneck(file, time, preset):
    """Asyrp's released f_t act on h of these networks: as many channels, and as wide a temb."""
    path = MANIFESTS.parent / "asyrp-ft" / file
    if not path.is_file():
        pytest.skip(f"{file} is not beside this checkout")
    edit = torch.load(path, weights_only=True, map_location="cpu")["0"]
    first = edit["conv1.weight" if time == "temb_proj" else "in_layers.2.weight"]
    network = DDPMUNet if preset in DDPM_PRESETS else ADMUNet
    with FakeTensorMode(), torch.no_grad():  # shapes of the full size, no numbers
        unet = network({**DDPM_PRESETS, **ADM_PRESETS}[preset])
        x, t = torch.empty(1, 3, 256, 256), torch.zeros(1)
        h, _ = unet.encode(x, t)
        temb = unet.embed(t, x if preset in DDPM_PRESETS else None)
    assert h.shape == (1, first.shape[1], 8, 8)
    assert temb.shape == (1, edit[f"{time}.weight"].shape[1])


def test_small_presets_run():
    """The tiny shapes hold together."""
    x, t = torch.rand(2, 3, 8, 8), torch.tensor([0, 5])
    with torch.no_grad():
        assert DDPMUNet(DDPM_PRESETS["tiny"])(x, t).shape == x.shape
        assert UNet(LDM_PRESETS["tiny"])(x, t).shape == x.shape
        assert ADMUNet(ADM_PRESETS["tiny"])(x, t).shape == (2, 6, 8, 8)
        autoencoder = VQVAE(VQ_PRESETS["tiny"])
        assert autoencoder.decode(autoencoder.encode(x)).shape == x.shape
