"""The rows of the parity table for the networks that judge images: CLIP and FID's Inception."""

import json
from collections.abc import Iterator
from pathlib import Path

import torch

from latentgeo.models.clip_vision import CLIP, standardize
from latentgeo.models.formats.clip.config import write_clip_config
from latentgeo.models.formats.encoders import load_clip, load_inception
from tests.models.formats.openai_clip import openai_clip
from tests.models.test_inception import as_the_graph, network, torchvisions

Row = tuple[str, str, float]
ATTENTION = "PyTorch's MultiheadAttention"


def relative(ours: torch.Tensor, theirs: torch.Tensor) -> float:
    """Return the largest difference, relative to the largest value."""
    assert ours.shape == theirs.shape
    return float((ours - theirs).abs().max() / theirs.abs().max())


def encoder_rows(clip: CLIP, place: Path) -> Iterator[Row]:
    """Yield what was loaded, its judge, and the largest relative difference."""
    yield from transformers_rows(clip, place)
    yield from openai_rows(clip, place)
    yield inception_row(place)


def inputs(clip: CLIP) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return images in [-1, 1], the same standardized, and tokens with an end of text."""
    generator = torch.Generator().manual_seed(1)
    x = torch.rand(3, 3, 33, 26, generator=generator) * 2 - 1
    tokens = torch.randint(0, clip.config.end, (5, clip.config.text.context), generator=generator)
    tokens[torch.arange(5), torch.tensor([3, 12, 7, 5, 9])] = clip.config.end
    return x, standardize(x, clip.config.vision.size), tokens


@torch.no_grad()
def transformers_rows(clip: CLIP, place: Path) -> Iterator[Row]:
    """Yield the rows of a folder that transformers writes."""
    import transformers

    theirs = transformers.CLIPModel(transformers.CLIPConfig(**write_clip_config(clip.config)))
    generator = torch.Generator().manual_seed(5)
    for parameter in theirs.parameters():
        parameter.normal_(std=0.2, generator=generator)
    theirs.eval().save_pretrained(place / "clip")
    ours = load_clip(place / "clip")
    x, pixels, tokens = inputs(ours)
    out = theirs(input_ids=tokens, pixel_values=pixels)
    image = ours.vision_model.tokens(pixels), out.vision_model_output.last_hidden_state
    text = ours.text_model(tokens), out.text_model_output.last_hidden_state
    logits = ours.logits(x, tokens), out.logits_per_image
    for part, pair in {"image tower": image, "text tower": text, "logits": logits}.items():
        yield f"CLIP, folder of transformers, {part}", "transformers", relative(*pair)


@torch.no_grad()
def openai_rows(clip: CLIP, place: Path) -> Iterator[Row]:
    """Yield the rows of a state dict with the published names, as PyTorch's own module has it."""
    theirs = openai_clip(clip.config)
    state = theirs.state_dict() | {"latentgeo": settings(clip)}
    torch.save(state, place / "clip.pt")
    ours = load_clip(place / "clip.pt")
    x, pixels, tokens = inputs(ours)
    image = ours.image_features(x), theirs.visual(pixels)
    text = ours.text_features(tokens), theirs.encode_text(tokens)
    logits = ours.logits(x, tokens), theirs.logits(pixels, tokens)
    for part, pair in {"image tower": image, "text tower": text, "logits": logits}.items():
        yield f"CLIP, OpenAI's names, {part}", ATTENTION, relative(*pair)


def settings(clip: CLIP) -> str:
    """Return the configuration as a file carries it."""
    return json.dumps(write_clip_config(clip.config))


@torch.no_grad()
def inception_row(place: Path) -> Row:
    """Return the row of pytorch-fid's file, as torchvision's module writes it."""
    theirs = torchvisions(network())
    torch.save(theirs.state_dict(), place / "inception.pth")
    ours = load_inception(place / "inception.pth")
    x = torch.rand(1, 3, 107, 139, generator=torch.Generator().manual_seed(1)) * 2 - 1
    features, _ = as_the_graph(theirs, x)
    judge = "torchvision, its pooling put right"
    return "Inception, pytorch-fid's names", judge, relative(ours(x), features)
