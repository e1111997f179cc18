"""What edits in the bottleneck take for a model, and what they refuse."""

import pytest
import torch

from latentgeo.infer.sampling.unprompted_model import load_plain
from latentgeo.models.bundles.image_model import save_image_model
from tests.models.bundles.test_image_model import CONFIGS, made

CPU = torch.device("cpu")


def test_a_plain_model_is_loaded_frozen(tmp_path):
    save_image_model(made(CONFIGS["ddpm"]), tmp_path / "ddpm")
    model = load_plain(str(tmp_path / "ddpm"), CPU, torch.float64)
    assert model.dtype == torch.float64
    assert not any(weight.requires_grad for weight in model.unet.parameters())


def test_adapters_and_classes_are_refused_by_name(tmp_path):
    """The first before any weight is read."""
    with pytest.raises(ValueError, match=r"model: got nowhere\+x, wanted a model without a LoRA"):
        load_plain("nowhere+x", CPU)
    with pytest.raises(ValueError, match=r"^avatars: a model with text, wanted one without"):
        load_plain("avatars", CPU)
    save_image_model(made(CONFIGS["adm"]), tmp_path / "adm")
    with pytest.raises(ValueError, match="adm, which has classes, wanted a model without"):
        load_plain(str(tmp_path / "adm"), CPU)
