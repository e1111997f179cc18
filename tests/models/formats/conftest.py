"""What the tests of formats share: a tiny model with random weights, published manifests."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from latentgeo.models.bundles.text_to_image import (
    BundleConfig,
    SamplingDefaults,
    TextToImage,
    new_bundle,
)
from latentgeo.models.clip import TextConfig
from latentgeo.models.clip_vision import CLIP, CLIPConfig, VisionConfig
from latentgeo.models.formats.diffusers.tokenizer import write_tokenizer
from latentgeo.models.formats.lora.adapter import PARTS, Factors, Lora, Places, places_of
from latentgeo.models.tokenizer import Tokenizer
from latentgeo.models.unet import UNetConfig
from latentgeo.models.vae import VAEConfig

ASSETS = Path(__file__).parents[3].parent / "shared" / "assets"
TRIALS = ASSETS.parent / "trials"
TINY = BundleConfig(
    name="tiny",
    unet=UNetConfig(
        channels=(8, 16, 24), attention=(True, True, False), blocks=2, heads=2, context=16, groups=4
    ),
    vae=VAEConfig(channels=(8, 8, 16), blocks=1, groups=4, scale=0.5),
    text=TextConfig(vocabulary=714, context=77, width=16, layers=2, heads=2),
    sampling=SamplingDefaults(size=32),
)
ENCODERS = CLIPConfig(
    vision=VisionConfig(size=21, patch=7, width=24, layers=3, heads=2),
    text=TextConfig(vocabulary=523, context=13, width=32, layers=2, heads=4),
    projection=11,
    end=522,
)
Manifest = Callable[[str], dict]


@pytest.fixture(scope="session")
def tiny() -> TextToImage:
    """A tiny model in which no two tensors of one shape are equal; tests do not change it."""
    return made()


@pytest.fixture
def fresh() -> TextToImage:
    """The same model, for tests that change it."""
    return made()


def made() -> TextToImage:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        bundle = new_bundle(TINY)
        for module in bundle.modules.values():
            for parameter in module.parameters():
                torch.nn.init.normal_(parameter, std=0.1)
    return bundle.eval()


@pytest.fixture(scope="session")
def clip() -> CLIP:
    """A small pair of encoders whose heads are not those that shapes tell; not to be changed."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = CLIP(ENCODERS)
        for parameter in model.parameters():
            torch.nn.init.normal_(parameter, std=0.2)
    return model.eval().requires_grad_(False)


@pytest.fixture(scope="session")
def places(tiny: TextToImage) -> Places:
    """The layers of the tiny model."""
    return places_of(tiny)


@pytest.fixture(scope="session")
def lora_on(places: Places) -> Callable[..., Lora]:
    """Make a LoRA of random factors on the layers of each network that contain a word.

    `rank` and `alpha` are for all, or functions of the layer's name.
    """

    def make(unet=(), text=(), rank=2, alpha=None, dtype=torch.float32, **more) -> Lora:
        generator = torch.Generator().manual_seed(3)
        found = {}
        for part, words in zip(PARTS, (unet, text), strict=True):
            found[part] = {}
            for layer, shape in places.part(part).items():
                if any(word in layer for word in words):
                    r = rank(layer) if callable(rank) else rank
                    a = alpha(layer) if callable(alpha) else alpha
                    A = torch.randn(r, *shape[1:], generator=generator).to(dtype)
                    B = torch.randn(shape[0], r, *[1] * (len(shape) - 2), generator=generator)
                    found[part][layer] = Factors(A, B.to(dtype), a)
        return Lora(unet=found["unet"], text=found["text"], **more)

    return make


@pytest.fixture(scope="session")
def manifest() -> Manifest:
    """Read a published manifest by its name, or skip where the assets are not there."""

    def read(name: str) -> dict:
        path = ASSETS / "key-manifests" / f"{name}.json"
        if not path.is_file():
            pytest.skip(f"{path.name} is not beside this checkout")
        return json.loads(path.read_text())

    return read


@pytest.fixture(scope="session")
def asset() -> Callable[[str], Path]:
    """Return the path of an asset, or skip where it is not there."""

    def find(name: str) -> Path:
        if not (ASSETS / name).exists():
            pytest.skip(f"{name} is not beside this checkout")
        return ASSETS / name

    return find


@pytest.fixture(scope="session")
def trial() -> Callable[[str], Path]:
    """Return the path of a file that once failed, or skip where it is not there."""

    def find(name: str) -> Path:
        if not (TRIALS / name).exists():
            pytest.skip(f"{name} is not beside this checkout")
        return TRIALS / name

    return find


@pytest.fixture(scope="session")
def same() -> Callable[[TextToImage, TextToImage], bool]:
    """Whether two models are equal to the last bit, configuration included but for the name."""

    def compare(one: TextToImage, other: TextToImage) -> bool:
        states = [(m.state_dict(), other.modules[n].state_dict()) for n, m in one.modules.items()]
        return all(
            a.keys() == b.keys() and all(equal(value, b[key]) for key, value in a.items())
            for a, b in states
        ) and vars(one.config) | {"name": ""} == vars(other.config) | {"name": ""}

    return compare


@pytest.fixture(scope="session")
def same_lora() -> Callable[[Lora, Lora], bool]:
    """Whether two LoRAs are equal to the last bit, α and learned tokens included."""

    def compare(one: Lora, other: Lora) -> bool:
        if any(one.part(part).keys() != other.part(part).keys() for part in PARTS):
            return False
        pairs = [(factors, other.part(part)[layer]) for part, layer, factors in one]
        tokens = one.tokens.keys() == other.tokens.keys() and all(
            equal(vectors, other.tokens[token]) for token, vectors in one.tokens.items()
        )
        return tokens and all(
            equal(a.A, b.A) and equal(a.B, b.B) and a.alpha == b.alpha for a, b in pairs
        )

    return compare


def equal(one: torch.Tensor, other: torch.Tensor) -> bool:
    return one.dtype == other.dtype and torch.equal(one, other)


@pytest.fixture(scope="session")
def pipeline(tmp_path_factory):
    """Make a tiny pipeline of the package diffusers with weights of its own, or skip without it."""
    diffusers, transformers = pytest.importorskip("diffusers"), pytest.importorskip("transformers")
    folder = tmp_path_factory.mktemp("tokenizer")
    write_tokenizer(Tokenizer(merges=200), folder)
    torch.manual_seed(5)
    unet = diffusers.UNet2DConditionModel(
        block_out_channels=(8, 16, 24),
        down_block_types=("CrossAttnDownBlock2D", "CrossAttnDownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "CrossAttnUpBlock2D", "CrossAttnUpBlock2D"),
        layers_per_block=2,
        attention_head_dim=2,
        cross_attention_dim=16,
        norm_num_groups=4,
        sample_size=8,
    )
    vae = diffusers.AutoencoderKL(
        block_out_channels=(8, 8, 16),
        down_block_types=("DownEncoderBlock2D",) * 3,
        up_block_types=("UpDecoderBlock2D",) * 3,
        layers_per_block=1,
        norm_num_groups=4,
        latent_channels=4,
        sample_size=32,
        scaling_factor=0.5,
    )
    config = transformers.CLIPTextConfig(
        vocab_size=714,
        hidden_size=16,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=2,
        max_position_embeddings=77,
        bos_token_id=712,
        eos_token_id=713,
    )
    scheduler = diffusers.PNDMScheduler(
        beta_schedule="scaled_linear",
        beta_start=0.00085,
        beta_end=0.012,
        skip_prk_steps=True,
        set_alpha_to_one=False,
        steps_offset=1,
    )
    made = diffusers.StableDiffusionPipeline(
        unet=unet,
        vae=vae,
        text_encoder=transformers.CLIPTextModel(config),
        tokenizer=transformers.CLIPTokenizer.from_pretrained(folder),
        scheduler=scheduler,
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    for module in (made.unet, made.vae, made.text_encoder):
        for parameter in module.parameters():
            torch.nn.init.normal_(parameter, std=0.1)
        module.eval().requires_grad_(False)
    made.set_progress_bar_config(disable=True)
    return made


@pytest.fixture(scope="session")
def pipeline_folder(pipeline, tmp_path_factory):
    """Return the folder into which diffusers writes that pipeline."""
    folder = tmp_path_factory.mktemp("diffusers")
    pipeline.save_pretrained(folder)
    return folder
