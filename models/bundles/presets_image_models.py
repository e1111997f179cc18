"""Published models of images that take no text: network, schedule and sampling of each.

Ho et al. 2006.11239, Nichol & Dhariwal 2102.09672, Dhariwal & Nichol 2105.05233, Choi et al.
2204.00227, Rombach et al. 2112.10752. No two of them have tensors of the same names and shapes, so
that a file tells its preset; ADM's LSUN models are `adm-imagenet256-unconditional` in all but their
training, DDPM's LSUN models and those that P2 weights are trained on each other's shapes likewise.
"""

from dataclasses import replace

from latentgeo.models.bundles.image_config import (
    ImageDefaults,
    ImageModelConfig,
    Network,
    ScheduleConfig,
    Variance,
)
from latentgeo.models.bundles.presets import UNET_PRESETS
from latentgeo.models.bundles.presets_images import (
    ADM_PRESETS,
    DDPM_PRESETS,
    LDM_PRESETS,
    VQ_PRESETS,
)
from latentgeo.models.ddpm_unet import DDPMConfig

LINEAR = ScheduleConfig()  # DDPM's
COSINE = ScheduleConfig(kind="cosine")
COSINE_4000 = ScheduleConfig(kind="cosine", T=4000)


def _pixels(
    name: str, unet: Network, size: int, schedule: ScheduleConfig, variance: Variance = "learned"
) -> ImageModelConfig:
    """Return a model of images, not of latents."""
    sampling = ImageDefaults(size=size, variance=variance)
    return ImageModelConfig(name=name, unet=unet, schedule=schedule, sampling=sampling)


def _adm(name: str, size: int, schedule: ScheduleConfig = LINEAR) -> ImageModelConfig:
    """Return a model of `ADM_PRESETS` by its name there."""
    whole = name if name.startswith(("iddpm", "p2")) else f"adm-{name}"
    return _pixels(whole, ADM_PRESETS[name], size, schedule)


MODELS = (
    _pixels("ddpm-celebahq256", DDPM_PRESETS["celebahq256"], 256, LINEAR, "small"),
    _pixels("ddpm-cifar10", DDPM_PRESETS["cifar10"], 32, LINEAR, "large"),
    _adm("imagenet64", 64, COSINE),
    _adm("imagenet128", 128),
    _adm("imagenet256", 256),
    _adm("imagenet256-unconditional", 256),
    _adm("imagenet512", 512),
    _adm("p2-256", 256),
    _adm("iddpm-imagenet64", 64, COSINE_4000),
    _adm("iddpm-imagenet64-classes", 64, COSINE_4000),
    _adm("iddpm-cifar10", 32, COSINE_4000),
    _adm("iddpm-lsun256", 256),
    ImageModelConfig(
        name="ldm-celebahq256",
        unet=LDM_PRESETS["ldm-celebahq256"],
        autoencoder=VQ_PRESETS["ldm-celebahq256"],
        schedule=ScheduleConfig(kind="scaled_linear", start=0.0015, end=0.0195),
        sampling=ImageDefaults(clip=False),
    ),
)
IMAGE_PRESETS: dict[str, ImageModelConfig] = {model.name: model for model in MODELS}

AVATARS_DDPM = DDPMConfig(  # of 64 × 64 images, small enough for a CPU; h is 8 × 8 × 128
    channels=(64, 96, 128), attention=(False, True, True), blocks=1, groups=16, patch=2
)
TRAINED_PRESETS = {  # what train-ddpm and train-isometric make
    "avatars-ddpm": replace(  # of v: a loss of ε hardly weighs colours, and faces come out tinted
        _pixels("avatars-ddpm", AVATARS_DDPM, 64, LINEAR, "small"), prediction="v"
    ),
    "ddpm-cifar10": IMAGE_PRESETS["ddpm-cifar10"],
    "ddpm-celebahq256": IMAGE_PRESETS["ddpm-celebahq256"],
    "avatars-ldm": ImageModelConfig(  # of the embedded autoencoder's 16 × 16 × 4 latents
        name="avatars-ldm",
        unet=replace(UNET_PRESETS["avatars"], context=None),
        schedule=ScheduleConfig(kind="scaled_linear"),
        sampling=ImageDefaults(size=64, clip=False),
    ),
    "tiny": _pixels("tiny", DDPM_PRESETS["tiny"], 16, LINEAR, "small"),
}
