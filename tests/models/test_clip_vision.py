"""Tests of CLIP's image encoder and shared space: an independent implementation, preprocessing."""

import numpy as np
import pytest
import torch
from PIL import Image

from latentgeo.models.bundles.presets import CLIP_PRESETS
from latentgeo.models.clip import TextConfig
from latentgeo.models.clip_vision import (
    CLIP,
    DEVIATION,
    MEAN,
    CLIPConfig,
    VisionConfig,
    cosines,
    standardize,
)
from tests.models.test_ddpm_unet import check_derivatives, difference
from tests.models.test_unet import manifest

SMALL = CLIPConfig(
    vision=VisionConfig(size=21, patch=7, width=20, layers=2, heads=4),
    text=TextConfig(vocabulary=101, context=13, width=21, layers=2, heads=3),
    projection=11,
    end=100,
)


def small(dtype: torch.dtype = torch.float64) -> CLIP:
    torch.manual_seed(0)
    model = CLIP(SMALL).to(dtype).eval()
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    return model


def images(size: tuple[int, int] = (21, 21), dtype: torch.dtype = torch.float64) -> torch.Tensor:
    return torch.rand(3, 3, *size, generator=torch.Generator().manual_seed(1), dtype=dtype) * 2 - 1


def tokens() -> torch.Tensor:
    ids = torch.randint(0, 99, (5, 13), generator=torch.Generator().manual_seed(2))
    ids[torch.arange(5), torch.tensor([3, 12, 7, 5, 9])] = SMALL.end
    return ids


@pytest.mark.parametrize(
    ("preset", "parameters"),
    [("vit-b-32", 151_277_313), ("vit-b-16", 149_620_737), ("vit-l-14", 427_616_513)],
)
def test_has_the_published_parameters(preset, parameters):
    """CLIP Sec. 2.4a: names and shapes of transformers' CLIPModel, and the published counts."""
    with torch.device("meta"):
        model = CLIP(CLIP_PRESETS[preset])
    assert sum(p.numel() for p in model.parameters()) == parameters
    if preset == "vit-b-32":
        state = {key: tuple(value.shape) for key, value in model.state_dict().items()}
        assert state == manifest("clip_vit_b32_hf")


@pytest.mark.parametrize(
    ("preset", "name"),
    [("vit-b-32", "clip_vit_b32_openai"), ("vit-l-14", "clip_vit_l14_openai")],
)
def test_shapes_are_those_of_the_original_files(preset, name):
    """CLIP Sec. 2.4: as many numbers, tower by tower, as in OpenAI's manifests."""
    published = manifest(name)
    with torch.device("meta"):
        model = CLIP(CLIP_PRESETS[preset])
    visual = sum(np.prod(v, dtype=int) for k, v in published.items() if k.startswith("visual."))
    ours = [*model.vision_model.parameters(), *model.visual_projection.parameters()]
    assert sum(p.numel() for p in ours) == visual
    patch = model.vision_model.embeddings.patch_embedding.weight
    assert tuple(patch.shape) == published["visual.conv1.weight"]
    place = model.vision_model.embeddings.position_embedding.weight
    assert tuple(place.shape) == published["visual.positional_embedding"]


def test_equals_an_independent_implementation():
    """CLIP Sec. 2.3a, CLIP Sec. 2.4a, CLIP Sec. 2.4b: features and logits of transformers."""
    transformers = pytest.importorskip("transformers")
    vision, text = SMALL.vision, SMALL.text
    config = transformers.CLIPConfig(
        text_config={
            "vocab_size": text.vocabulary,
            "hidden_size": text.width,
            "intermediate_size": 4 * text.width,
            "num_hidden_layers": text.layers,
            "num_attention_heads": text.heads,
            "max_position_embeddings": text.context,
            "hidden_act": "quick_gelu",
            "bos_token_id": 99,
            "eos_token_id": SMALL.end,
            "projection_dim": SMALL.projection,
        },
        vision_config={
            "hidden_size": vision.width,
            "intermediate_size": 4 * vision.width,
            "num_hidden_layers": vision.layers,
            "num_attention_heads": vision.heads,
            "image_size": vision.size,
            "patch_size": vision.patch,
            "hidden_act": "quick_gelu",
            "projection_dim": SMALL.projection,
        },
        projection_dim=SMALL.projection,
    )
    ours, x = small(torch.float32), images(dtype=torch.float32)
    theirs = transformers.CLIPModel(config).eval()
    theirs.load_state_dict(ours.state_dict())
    with torch.no_grad():
        wanted = theirs(input_ids=tokens(), pixel_values=standardize(x, vision.size))
        got = ours.image_features(x), ours.text_features(tokens()), ours.logits(x, tokens())
    for feature, embedding in zip(got, (wanted.image_embeds, wanted.text_embeds), strict=False):
        assert difference(feature / feature.norm(dim=-1, keepdim=True), embedding) < 1e-5
    assert difference(got[2], wanted.logits_per_image) < 1e-5


def test_features_of_the_vision_model_alone():
    """CLIP Sec. 2.4: transformers' CLIPVisionModelWithProjection, its features not normalized."""
    transformers = pytest.importorskip("transformers")
    vision = SMALL.vision
    theirs = transformers.CLIPVisionModelWithProjection(
        transformers.CLIPVisionConfig(
            hidden_size=vision.width,
            intermediate_size=4 * vision.width,
            num_hidden_layers=vision.layers,
            num_attention_heads=vision.heads,
            image_size=vision.size,
            patch_size=vision.patch,
            projection_dim=SMALL.projection,
        )
    ).eval()
    ours = small(torch.float32)
    x = images(dtype=torch.float32)
    state = ours.state_dict()
    theirs.load_state_dict({k: v for k, v in state.items() if k.startswith("vis")})
    with torch.no_grad():
        wanted = theirs(pixel_values=standardize(x, vision.size)).image_embeds
        assert difference(ours.image_features(x), wanted) < 1e-5


def test_logits_are_scaled_cosines():
    """CLIP Sec. 2.3a: between ±e^τ, and unmoved by the length of a feature."""
    model, x = small(), images()
    logits = model.logits(x, tokens())
    assert logits.shape == (3, 5)
    a, b = model.image_features(x), model.text_features(tokens())
    angle = torch.nn.functional.cosine_similarity(a[:, None], b[None], dim=-1)
    torch.testing.assert_close(cosines(3 * a, b / 7), angle)
    torch.testing.assert_close(logits, angle * model.logit_scale.exp())


def test_what_follows_the_end_is_not_seen():
    """CLIP Sec. 2.4b: a text's features are those at its first end; another end changes nothing."""
    model, ids = small(), tokens()
    changed = ids.clone()
    changed[0, 4:] = torch.tensor([1, 100, 2, 3, 100, 4, 5, 6, 7])
    torch.testing.assert_close(model.text_features(changed)[0], model.text_features(ids)[0])
    with pytest.raises(ValueError, match="must have an end of text, id 100"):
        model.text_features(torch.zeros(2, 5, dtype=torch.int64))


def test_standardize_is_the_published_preprocessing():
    """Bicubic, middle square, mean and deviation, as Pillow does it up to rounding to 8 bits."""
    coarse = np.random.default_rng(0).integers(64, 192, (9, 13, 3), dtype=np.uint8)
    picture = Image.fromarray(coarse).resize((130, 90), Image.Resampling.BICUBIC)
    x = torch.from_numpy(np.array(picture)).permute(2, 0, 1)[None].float() / 127.5 - 1
    got = standardize(x, 30)[0]
    resized = np.array(picture.resize((43, 30), Image.Resampling.BICUBIC))[:, 6:36]
    pixels = torch.from_numpy(resized).permute(2, 0, 1) / 255
    mean, deviation = (torch.tensor(values)[:, None, None] for values in (MEAN, DEVIATION))
    assert (got * deviation + mean - pixels).abs().max() < 1.5 / 255
    same = torch.rand(2, 3, 30, 30)
    torch.testing.assert_close(standardize(same, 30) * deviation + mean, (same + 1) / 2)


@pytest.mark.parametrize("size", [(90, 125), (77, 60), (61, 61), (30, 47), (45, 113)])
def test_standardize_is_torchvisions_preprocessing(size):
    """As the published code has it, on pictures in 8 bits: sides and corners of odd sizes, too."""
    transforms = pytest.importorskip("torchvision.transforms")
    published = transforms.Compose(
        [
            transforms.Resize(30, interpolation=transforms.InterpolationMode.BICUBIC),
            transforms.CenterCrop(30),
            transforms.ToTensor(),
            transforms.Normalize(MEAN, DEVIATION),
        ]
    )
    picture = smooth_picture(size)
    x = torch.from_numpy(np.array(picture)).permute(2, 0, 1)[None].float() / 127.5 - 1
    deviation = torch.tensor(DEVIATION)[:, None, None]
    off = (standardize(x, 30)[0] - published(picture)) * deviation
    assert off.abs().max() < 1.5 / 255  # it rounds after each of two passes


@pytest.mark.parametrize("size", [(90, 126), (30, 48), (61, 61), (120, 77)])
def test_standardize_is_transformers_preprocessing(size):
    """Where the corner is no half pixel, on which the two published programs differ."""
    transformers = pytest.importorskip("transformers")
    side = {"height": 30, "width": 30}
    process = transformers.CLIPImageProcessor(size={"shortest_edge": 30}, crop_size=side)
    picture = smooth_picture(size)
    x = torch.from_numpy(np.array(picture)).permute(2, 0, 1)[None].float() / 127.5 - 1
    off = standardize(x, 30) - process(picture, return_tensors="pt")["pixel_values"]
    assert (off * torch.tensor(DEVIATION)[:, None, None]).abs().max() < 1.5 / 255


def smooth_picture(size: tuple[int, int]) -> Image.Image:
    """Return a picture in which a shift by a pixel shows and bicubic does not leave 8 bits."""
    coarse = np.random.default_rng(0).integers(64, 192, (9, 13, 3), dtype=np.uint8)
    return Image.fromarray(coarse).resize(size[::-1], Image.Resampling.BICUBIC)


def test_second_derivatives():
    """Forward and reverse mode of the image features, to the second order, by differences."""
    torch.manual_seed(0)
    model = CLIP(CLIP_PRESETS["tiny"]).double()
    check_derivatives(model.image_features, images((24, 24))[:1])


def test_refuses_what_does_not_fit():
    """Errors name what was got and what was wanted."""
    with pytest.raises(ValueError, match="size 224 is not a multiple of patch 30"):
        VisionConfig(patch=30)
    with pytest.raises(ValueError, match="patch is 0, wanted 1 or more"):
        VisionConfig(patch=0)
    with pytest.raises(ValueError, match=r"images are \(3, 3, 20, 21\)"):
        small().vision_model(images((20, 21)))
    with pytest.raises(ValueError, match=r"images are \(3, 20, 21\), wanted \(B, 3, H, W\)"):
        standardize(images((20, 21))[0], 21)
