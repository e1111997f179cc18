"""Named shapes: Stable Diffusion 1.5, CLIP, the embedded models, and a tiny one for tests."""

from latentgeo.models.clip import TextConfig
from latentgeo.models.clip_vision import CLIPConfig, VisionConfig
from latentgeo.models.unet import UNetConfig
from latentgeo.models.vae import VAEConfig

VAE_PRESETS: dict[str, VAEConfig] = {
    "sd15": VAEConfig(),  # 83,653,863 parameters, 8 pixels to a latent cell
    "avatars": VAEConfig(channels=(32, 64, 96), blocks=1, groups=16, scale=1.0),  # 4 pixels
    "tiny": VAEConfig(channels=(8, 8, 16), blocks=1, groups=4, scale=1.0),
}
UNET_PRESETS: dict[str, UNetConfig] = {
    "sd15": UNetConfig(),  # 859,520,964 parameters
    "avatars": UNetConfig(
        channels=(64, 128, 128), attention=(False, True, True), blocks=1, heads=4, context=96
    ),
    "tiny": UNetConfig(
        channels=(8, 16), attention=(True, True), blocks=1, heads=2, context=16, groups=4
    ),
}
TEXT_PRESETS: dict[str, TextConfig] = {
    "sd15": TextConfig(),  # 123,060,480 parameters, the whole vocabulary
    "avatars": TextConfig(vocabulary=4514, context=64, width=96, layers=3, heads=4),
    "tiny": TextConfig(vocabulary=714, context=24, width=16, layers=1, heads=2),
}
CLIP_PRESETS: dict[str, CLIPConfig] = {
    "vit-b-32": CLIPConfig(  # 151,277,313 parameters
        vision=VisionConfig(), text=TextConfig(width=512, heads=8)
    ),
    "vit-b-16": CLIPConfig(vision=VisionConfig(patch=16), text=TextConfig(width=512, heads=8)),
    "vit-l-14": CLIPConfig(  # 427,616,513
        vision=VisionConfig(patch=14, width=1024, layers=24, heads=16),
        text=TextConfig(),
        projection=768,
    ),
    "tiny": CLIPConfig(
        vision=VisionConfig(size=24, patch=8, width=16, layers=1, heads=2),
        text=TEXT_PRESETS["tiny"],
        projection=8,
        end=713,
    ),
}
SPECIALS = 514  # ids that are not merges: 512 byte symbols, start and end


def merges(config: TextConfig) -> int:
    """Return how many of CLIP's merges make this vocabulary: all 48,894, or the first of them."""
    return config.vocabulary - SPECIALS
