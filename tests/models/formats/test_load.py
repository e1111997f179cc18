"""Loading from any layout: the same model, with a LoRA of any grammar and learned tokens."""

import pytest
import torch

from latentgeo.models.bundles.text_to_image import save_bundle
from latentgeo.models.formats.diffusers.folder import write_folder
from latentgeo.models.formats.ldm.file import write_ldm
from latentgeo.models.formats.load import find_lora, find_model, layout_of, load_text_to_image
from latentgeo.models.formats.lora.files import GRAMMARS, write_lora_file
from latentgeo.models.formats.textual_inversion import write_embeddings
from latentgeo.models.zoo.places import ZOO

LAYOUTS = {
    "latentgeo": lambda bundle, folder: save_bundle(bundle, folder / "ours") or folder / "ours",
    "diffusers": lambda bundle, folder: write_folder(bundle, folder / "theirs"),
    "safetensors": lambda bundle, folder: write_ldm(bundle, folder / "one.safetensors"),
    "ckpt": lambda bundle, folder: write_ldm(bundle, folder / "one.ckpt"),
}
ATTENTIONS = {"unet": ("attn1.", "attn2."), "text": ("self_attn",)}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_layout_is_the_same_model(tiny, same, tmp_path, layout):
    place = LAYOUTS[layout](tiny, tmp_path)
    assert layout_of(find_model(place)) == {"safetensors": "ldm", "ckpt": "ldm"}.get(layout, layout)
    loaded = load_text_to_image(place, dtype=None)
    assert same(loaded, tiny)
    assert not any(p.requires_grad for m in loaded.modules.values() for p in m.parameters())
    assert not any(p.is_meta for m in loaded.modules.values() for p in m.parameters())
    half = load_text_to_image(str(place), dtype=torch.bfloat16)
    assert {p.dtype for m in half.modules.values() for p in m.parameters()} == {torch.bfloat16}


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("grammar", GRAMMARS)
def test_every_grammar_on_every_layout_has_the_same_effect(
    tiny, tmp_path, places, lora_on, layout, grammar
):
    """LoRA Eq. 3: on the UNet and the text encoder, whatever the two files look like."""
    lora = lora_on(**ATTENTIONS)
    path = write_lora_file(tmp_path / "adapter.safetensors", lora, GRAMMARS[grammar], places)
    place = LAYOUTS[layout](tiny, tmp_path)
    bundle = load_text_to_image(place, path, 0.5)
    assert bundle.lora == "adapter.safetensors"
    for part in ("unet", "text"):
        base = tiny.modules[part].state_dict()
        for layer, factors in lora.part(part).items():
            module = bundle.modules[part].get_submodule(layer)
            x = torch.randn(3, module.in_features)
            weight = base[f"{layer}.weight"] + 0.5 * factors.B @ factors.A
            wanted = torch.nn.functional.linear(x, weight, base.get(f"{layer}.bias"))
            torch.testing.assert_close(module(x), wanted, rtol=1e-4, atol=1e-4)


def test_a_lora_beside_the_model_is_found_by_its_name(tiny, tmp_path, places, lora_on):
    lora = lora_on(unet=("attn1.",))
    for layout, folder in (("latentgeo", tmp_path / "ours"), ("safetensors", tmp_path)):
        place = LAYOUTS[layout](tiny, tmp_path)
        write_lora_file(folder / "beside.safetensors", lora, GRAMMARS["peft"], places)
        assert find_lora("beside", find_model(place)) == folder / "beside.safetensors"
    with pytest.raises(FileNotFoundError, match=r"no LoRA at gone, nor .*gone\.safetensors"):
        find_lora("gone", tmp_path / "ours")


def test_learned_tokens_of_files(tiny, tmp_path):
    place = LAYOUTS["ckpt"](tiny, tmp_path)
    files = [
        write_embeddings(tmp_path / f"{token}.bin", {token: torch.ones(n, 16)})
        for n, token in ((1, "<a>"), (3, "<b>"))
    ]
    bundle = load_text_to_image(place, embeddings=files)
    assert bundle.learned == {"<a>": 1, "<b>": 3}
    assert bundle.encode_text(["an <a> of <b>"]).isfinite().all()


def test_a_lora_that_does_not_fit_names_its_file(tiny, tmp_path, places, lora_on):
    path = write_lora_file(
        tmp_path / "x.safetensors", lora_on(unet=("attn1.",)), GRAMMARS["kohya"], places
    )
    with pytest.raises(ValueError, match=r"x\.safetensors: .*unknown key lora_unet_"):
        load_text_to_image("avatars", path)
    write_lora_file(path, lora_on(unet=("attn1.",)), GRAMMARS["diffusers"], places)
    with pytest.raises(
        ValueError, match=r"x\.safetensors: the LoRA does not fit: there is no unet"
    ):
        load_text_to_image("avatars", path)


def test_embedded_names_come_before_paths():
    assert find_model("avatars") == ZOO / "avatars"
    assert load_text_to_image("avatars", "smooth_lora").lora == "smooth_lora.safetensors"


@pytest.mark.parametrize("wrong", ["nowhere", "nowhere.safetensors"])
def test_what_is_not_there_is_named_with_what_could_be(tmp_path, wrong):
    with pytest.raises(FileNotFoundError, match=rf"{wrong}.*a folder of diffusers, .*in one file"):
        load_text_to_image(tmp_path / wrong)
