"""CLIP's two grammars: every published name exactly once, and shapes to the published presets."""

import pytest
import torch

from latentgeo.models.bundles.presets import CLIP_PRESETS
from latentgeo.models.bundles.text_to_image import Undrawn
from latentgeo.models.clip_vision import CLIP
from latentgeo.models.formats.clip.names import GRAMMARS, config_of, openai_name

PUBLISHED = [
    ("clip_vit_b32_hf", "transformers", "vit-b-32"),
    ("clip_vit_b32_openai", "openai", "vit-b-32"),
    ("clip_vit_l14_openai", "openai", "vit-l-14"),
]


def state_of(preset: str) -> dict[str, torch.Tensor]:
    with torch.device("meta"), Undrawn():
        return CLIP(CLIP_PRESETS[preset]).state_dict()


@pytest.mark.parametrize(("name", "grammar", "preset"), PUBLISHED)
def test_every_published_tensor_is_taken_whole_and_once(manifest, name, grammar, preset):
    shapes = {key: tuple(shape) for key, shape in manifest(name)["keys"].items()}
    layout = GRAMMARS[grammar].layout(state_of(preset))
    assert {at.name: at.shape for at in layout.values()} == shapes
    parts: dict[str, list[tuple[int, int]]] = {}
    for at in layout.values():
        parts.setdefault(at.name, []).append(at.part)
    for found in parts.values():
        assert sorted(found) == [(i, len(found)) for i in range(len(found))]


@pytest.mark.parametrize(("name", "grammar", "preset"), PUBLISHED)
def test_published_shapes_tell_the_preset(manifest, name, grammar, preset):
    """CLIP Sec. 2.4: width, layers, patch and, a head per 64 of width, the heads."""
    shapes = {key: tuple(shape) for key, shape in manifest(name)["keys"].items()}
    assert config_of(shapes, GRAMMARS[grammar].name) == CLIP_PRESETS[preset]


@pytest.mark.parametrize("grammar", GRAMMARS)
def test_shapes_of_every_published_preset_tell_it(grammar):
    for preset in ("vit-b-32", "vit-b-16", "vit-l-14"):
        layout = GRAMMARS[grammar].layout(state_of(preset))
        shapes = {at.name: at.shape for at in layout.values()}
        assert config_of(shapes, GRAMMARS[grammar].name) == CLIP_PRESETS[preset]


def test_shapes_that_tell_nothing_are_named():
    layout = GRAMMARS["openai"].layout(state_of("tiny"))
    shapes = {at.name: at.shape for at in layout.values()}
    del shapes["token_embedding.weight"]
    shapes["visual.conv1.weight"] = (16, 3)
    with pytest.raises(ValueError, match=r"token_embedding\.weight is missing; visual\.conv1\.we"):
        config_of(shapes, openai_name)
    with pytest.raises(ValueError, match="cannot be told"):
        config_of({"visual.proj": (3, 4)}, openai_name)
