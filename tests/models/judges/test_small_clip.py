"""A small CLIP: its features, its file, and the shapes and files that it refuses."""

import pytest
import torch
from torch.nn import functional as F

from latentgeo.models.clip import TextConfig
from latentgeo.models.clip_vision import standardize
from latentgeo.models.judges.headed import write_headed
from latentgeo.models.judges.small_clip import (
    EMBEDDED,
    SmallClip,
    SmallClipConfig,
    load_small_clip,
)

CONFIG = SmallClipConfig(
    size=8,
    channels=(4, 6),
    groups=2,
    text=TextConfig(vocabulary=23, context=11, width=6, layers=1, heads=2),
    projection=5,
)
END = 22


@pytest.fixture
def model() -> SmallClip:
    torch.manual_seed(0)
    return SmallClip(CONFIG).eval()


def test_image_features_are_a_projection_of_all_cells(model):
    """CLIP Sec. 2.3a: linear in what the encoder sees, which is the standardized image."""
    x = torch.randn(3, 3, 8, 8).clamp(-1, 1)
    seen = model.vision_model(standardize(x, 8))
    assert seen.shape == (3, 6 * 2 * 2)
    expected = seen @ model.visual_projection.weight.T
    torch.testing.assert_close(model.image_features(x), expected)
    assert model.image_features(F.interpolate(x, size=(16, 24))).shape == (3, 5)


def test_text_features_are_the_state_at_the_first_end(model):
    """CLIP Sec. 2.4b: whatever follows the end, and however long the row is."""
    tokens = torch.tensor([[3, 5, 7, END, END, END, END], [3, END, 9, 9, 9, 9, END]])
    states = model.text_model(tokens)
    ends = torch.stack([states[0, 3], states[1, 1]])
    found = model.text_features(tokens)
    torch.testing.assert_close(found, ends @ model.text_projection.weight.T)
    torch.testing.assert_close(model.text_features(tokens[:, :4]), found)
    with pytest.raises(ValueError, match="end of text, id 22"):
        model.text_features(torch.tensor([[3, 5, 7]]))


def test_image_features_have_a_gradient(model):
    x = torch.zeros(1, 3, 8, 8, requires_grad=True)
    model.image_features(x).square().sum().backward()
    assert x.grad is not None and x.grad.abs().sum() > 0


def test_file_round_trip_in_half_precision(tmp_path, model):
    loaded = load_small_clip(write_headed(model, tmp_path / "j.safetensors", torch.float16))
    assert loaded.config == CONFIG and not loaded.training
    assert not any(p.requires_grad for p in loaded.parameters())
    x = torch.randn(2, 3, 8, 8)
    torch.testing.assert_close(loaded.image_features(x), model.image_features(x), rtol=0, atol=5e-3)


def test_missing_and_wrong_files(tmp_path):
    with pytest.raises(FileNotFoundError, match="missing"):
        load_small_clip(tmp_path / "missing.safetensors")
    (tmp_path / "bad.safetensors").write_bytes(b"\0" * 20)
    with pytest.raises(ValueError, match="not a small CLIP"):
        load_small_clip(tmp_path / "bad.safetensors")
    with pytest.raises(ValueError, match="multiple of 16"):
        SmallClipConfig(size=40)
    with pytest.raises(ValueError, match="groups"):
        SmallClipConfig(channels=(6,))


def test_the_embedded_one_is_small():
    """At most 0.8 and 0.6 million weights of the two encoders, 2.5 MB."""
    model = load_small_clip()
    images = [model.vision_model, model.visual_projection]
    texts = [model.text_model, model.text_projection]
    of_images, of_texts = (
        sum(weight.numel() for part in parts for weight in part.parameters())
        for parts in (images, texts)
    )
    assert of_images <= 800_000 and of_texts <= 600_000
    assert EMBEDDED.stat().st_size <= 2_500_000
