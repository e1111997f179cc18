"""The judges of images by path: what the public way in returns, and their own preprocessing."""

import pytest
import torch

from latentgeo.models.bundles.presets import CLIP_PRESETS
from latentgeo.models.clip_vision import CLIP
from latentgeo.models.formats.clip.file import write_clip
from latentgeo.models.formats.encoders import (
    FAMILIES,
    clip_name,
    encoder_weights,
    load_clip,
    load_inception,
)
from latentgeo.models.formats.files.families import FAMILIES as KNOWN
from latentgeo.models.formats.inception_file import write_inception
from latentgeo.models.inception import Inception
from tests.models.test_inception import network


def test_clip_by_a_text_or_a_path(clip, tmp_path):
    path = write_clip(clip, tmp_path / "clip.pt", "openai")
    for place in (path, str(path)):
        model = load_clip(place, dtype=torch.float64)
        assert isinstance(model, CLIP) and model.logit_scale.dtype == torch.float64
        x = torch.rand(2, 3, 30, 47, generator=torch.Generator().manual_seed(0)) * 2 - 1
        wanted = clip.image_features(x).double()
        torch.testing.assert_close(model.image_features(x.double()), wanted, rtol=1e-4, atol=1e-4)


def test_inception_by_a_text(tmp_path):
    path = write_inception(network(), tmp_path / "inception.pth")
    found = load_inception(str(path))
    assert isinstance(found, Inception) and not found.training
    assert all(torch.equal(v, network().state_dict()[k]) for k, v in found.state_dict().items())


def test_names_of_shapes(clip):
    assert [clip_name(config) for config in CLIP_PRESETS.values()] == [*CLIP_PRESETS]
    assert clip_name(clip.config) == "patch 7, widths 24 and 32"


def test_families_are_those_that_files_are_told_by():
    assert set(FAMILIES) <= {family.name for family in KNOWN}


def test_the_weights_of_a_folder(clip, tmp_path):
    folder = write_clip(clip, tmp_path / "clip", "transformers")
    assert encoder_weights(folder) == folder / "model.safetensors"
    assert encoder_weights(folder / "x.pt") == folder / "x.pt"


@pytest.mark.parametrize("load", [load_clip, load_inception])
def test_a_missing_file_is_named(load, tmp_path):
    with pytest.raises(FileNotFoundError, match=r"gone\.pt"):
        load(tmp_path / "gone.pt")
