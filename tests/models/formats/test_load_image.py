"""Loading image models from any layout: the same model; what is none of them is told."""

import json

import pytest
import torch
from safetensors.torch import save_file

from latentgeo.models.bundles.image_config import plain_config
from latentgeo.models.bundles.image_model import save_image_model
from latentgeo.models.bundles.text_to_image import save_bundle
from latentgeo.models.formats.convert_image import convert_image
from latentgeo.models.formats.load_image import image_layout, load_image_model
from tests.models.bundles.test_image_model import CONFIGS, made, same

FILES = {"ddpm": "x.ckpt", "adm": "x.pt", "ldm": "x.ckpt"}


@pytest.mark.parametrize("name", CONFIGS)
def test_every_layout_is_recognised_and_is_the_same_model(name, tmp_path):
    model = made(CONFIGS[name])
    ours = save_image_model(model, tmp_path / "ours")
    config = tmp_path / "c.json"
    config.write_text(json.dumps(plain_config(CONFIGS[name])))
    places = {"latentgeo": ours, name: tmp_path / FILES[name]}
    if name != "adm":
        places["diffusers"] = tmp_path / "theirs"
    for layout, place in places.items():
        if layout != "latentgeo":
            convert_image(ours, place)
        assert image_layout(place) == layout
        given = config if layout in ("ddpm", "adm") else None
        found = load_image_model(str(place), config=given)
        assert not any(p.requires_grad for p in found.unet.parameters())
        if layout == "diffusers":  # which says nothing of a number of steps
            assert found.config.unet == model.config.unet
            found.config = model.config
        assert same(found, model)
        half = load_image_model(place, dtype=torch.bfloat16, config=given)
        assert {p.dtype for m in half.modules.values() for p in m.parameters()} == {torch.bfloat16}


def test_other_models_have_no_such_layout(tiny, tmp_path):
    save_bundle(tiny, tmp_path / "text")
    assert image_layout("avatars") is None and image_layout(tmp_path / "text") is None
    save_file({"unet:0:up": torch.ones(8, 2)}, tmp_path / "lora.safetensors")
    assert image_layout(tmp_path / "lora.safetensors") is None
    with pytest.raises(
        ValueError, match=r"lora\.safetensors looks like .*, wanted a model without text"
    ):
        load_image_model(tmp_path / "lora.safetensors")
    with pytest.raises(FileNotFoundError, match="gone"):
        image_layout(tmp_path / "gone")


def test_a_folder_has_its_own_configuration(tmp_path):
    folder = save_image_model(made(CONFIGS["ddpm"]), tmp_path)
    with pytest.raises(ValueError, match=r"model_config: .* has its own, leave it out"):
        load_image_model(folder, config="p2-256")
