"""Named shapes of the published models of images that take no text: LDM, DDPM, improved DDPM, ADM.

Counts of parameters are the papers', and tests hold the shapes to them. Schedules are not part of a
network: DDPM, ADM and P2 have `linear`, improved DDPM at 32 and 64 pixels and ADM at 64 `cosine`
(of 4,000 and 1,000 steps), LDM CelebA-HQ `scaled_linear(start=0.0015, end=0.0195)`.
"""

from dataclasses import replace

from latentgeo.models.adm_layers import ADMConfig
from latentgeo.models.ddpm_unet import DDPMConfig
from latentgeo.models.unet import UNetConfig
from latentgeo.models.vqvae import VQConfig

VQ_PRESETS: dict[str, VQConfig] = {
    "ldm-celebahq256": VQConfig(),
    "tiny": VQConfig(channels=(8, 8, 16), blocks=1, groups=4, codes=11),
}
LDM_PRESETS: dict[str, UNetConfig] = {
    "ldm-celebahq256": UNetConfig(  # of 64 × 64 × 3 latents
        in_channels=3,
        out_channels=3,
        channels=(224, 448, 672, 896),
        attention=(False, True, True, True),
        head_width=32,
        transformer=False,
        context=None,
    ),
    "tiny": UNetConfig(
        in_channels=3,
        out_channels=3,
        channels=(8, 16),
        attention=(False, True),
        blocks=1,
        head_width=8,
        transformer=False,
        context=None,
        groups=4,
    ),
}
DDPM_PRESETS: dict[str, DDPMConfig] = {
    "celebahq256": DDPMConfig(),  # 113,673,219 parameters; LSUN's bedroom, church and cat likewise
    "cifar10": DDPMConfig(  # 35.7 M
        channels=(128, 256, 256, 256), attention=(False, True, False, False), dropout=0.1
    ),
    "tiny": DDPMConfig(channels=(8, 16), attention=(False, True), blocks=1, groups=4),
}
IMAGENET_256 = ADMConfig(classes=1000)
IDDPM_64 = ADMConfig(
    base=128,
    channels=(128, 256, 384, 512),
    attention=(False, False, True, True),
    blocks=3,
    head_width=None,
    residual_resampling=False,
    time_scale=1000 / 4000,
)
ADM_PRESETS: dict[str, ADMConfig] = {
    "imagenet64": ADMConfig(  # 296 M
        base=192,
        channels=(192, 384, 576, 768),
        attention=(False, True, True, True),
        blocks=3,
        order="new",
        classes=1000,
        dropout=0.1,
    ),
    "imagenet128": replace(  # 422 M
        IMAGENET_256,
        channels=(256, 256, 512, 768, 1024),
        attention=(False, False, True, True, True),
        head_width=None,
    ),
    "imagenet256": IMAGENET_256,  # 554 M
    "imagenet256-unconditional": ADMConfig(),  # 552,814,086
    "imagenet512": replace(  # 559 M
        IMAGENET_256,
        channels=(128, 256, 256, 512, 512, 1024, 1024),
        attention=(False, False, False, False, True, True, True),
    ),
    "lsun256": ADMConfig(dropout=0.1),  # 552 M; bedroom, cat and horse
    "p2-256": ADMConfig(  # 93,563,910; P2's FFHQ, CelebA-HQ, MetFaces and AFHQ dogs
        base=128,
        channels=(128, 128, 256, 256, 512, 512),
        attention=(False, False, False, False, True, False),
        blocks=1,
    ),
    "iddpm-imagenet64": IDDPM_64,
    "iddpm-imagenet64-classes": replace(  # 270 M
        IDDPM_64, base=192, channels=(192, 384, 576, 768), classes=1000, time_scale=1.0
    ),
    "iddpm-cifar10": replace(
        IDDPM_64, channels=(128, 256, 256, 256), attention=(False, True, True, False), dropout=0.3
    ),
    "iddpm-lsun256": replace(
        IDDPM_64,
        channels=(128, 128, 256, 256, 512, 512),
        attention=(False, False, False, False, True, False),
        blocks=2,
        heads=1,
        scale_shift=False,
        time_scale=1.0,
    ),
    "ldm-celebahq256": ADMConfig(  # LDM_PRESETS' network, under the names of LDM's checkpoint
        base=224,
        channels=(224, 448, 672, 896),
        attention=(False, True, True, True),
        head_width=32,
        scale_shift=False,
        residual_resampling=False,
        learned_variance=False,
    ),
    "tiny": ADMConfig(
        base=8, channels=(8, 16), attention=(False, True), blocks=1, head_width=4, groups=4
    ),
}
