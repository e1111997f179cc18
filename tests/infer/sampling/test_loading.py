"""Names of models: what they are taken apart into, and what is loaded."""

import pytest
import torch

from latentgeo.infer.sampling.loading import load_image, load_model, loaded_hash, parse_model
from latentgeo.infer.sampling.pipeline import seed_noises
from latentgeo.models.bundles.text_to_image import load_bundle
from latentgeo.models.formats.load import load_text_to_image
from latentgeo.models.lora.adapter import adapters
from tests.infer.sampling.test_pipeline import PROMPTS, images_of


def test_the_adapter_and_its_scale_are_loaded(tiny, bundle):
    smooth = load_model(tiny.smooth, "cpu")
    none = load_model(f"{tiny.smooth}@0", "cpu")
    base = images_of(bundle, [3], PROMPTS[:1])
    assert (images_of(smooth, [3], PROMPTS[:1]) - base).abs().max() > 1e-3
    torch.testing.assert_close(images_of(none, [3], PROMPTS[:1]), base)


def test_the_hash_tells_weights_apart(tiny, bundle):
    assert loaded_hash(bundle) == loaded_hash(load_model(str(tiny.model), "cpu"))
    assert loaded_hash(bundle) != loaded_hash(load_model(tiny.smooth, "cpu"))


@pytest.mark.parametrize("spec", ["", "+a", "tiny+", "tiny+@2", "tiny+a@x", "tiny+a@nan"])
def test_bad_model_names_are_refused(spec):
    with pytest.raises(ValueError, match="model"):
        load_model(spec, "cpu")


def test_a_missing_model_names_the_file_wanted():
    with pytest.raises(FileNotFoundError, match="nowhere"):
        load_model("nowhere", "cpu")


def test_adapters_stack_and_their_updates_add_up(tiny):
    """LoRA Sec. 4.1: 0.3 ΔW and 0.7 ΔW of one file are ΔW."""
    whole = load_model(tiny.smooth, "cpu")
    parts = load_model(f"{tiny.smooth}@0.3+{tiny.model}/smooth_lora.safetensors@0.7", "cpu")
    x, t = seed_noises([1], whole.latent_shape), torch.tensor([500])
    with torch.no_grad():
        eps = [one.predict(one.encode_text(PROMPTS[:1]))(x, t) for one in (whole, parts)]
        plain = load_model(str(tiny.model), "cpu")
        base = plain.predict(plain.encode_text(PROMPTS[:1]))(x, t)
    torch.testing.assert_close(*eps, rtol=0, atol=2e-5)
    assert (eps[0] - base).abs().max() > 1e-2
    assert parts.lora == "smooth_lora.safetensors+smooth_lora.safetensors"


def test_an_adapter_is_part_of_the_weights_where_they_hold_it(tiny):
    """LoRA Sec. 4.1: no layer more than the base has, and the same output; not so in 16 bits."""
    beside = load_text_to_image(tiny.model, "smooth_lora")
    fused, half = (load_model(tiny.smooth, "cpu", dtype) for dtype in ("fp32", "bf16"))
    assert fused.unet.state_dict().keys() == load_bundle(tiny.model).unet.state_dict().keys()
    assert adapters(fused.unet) == () != adapters(half.unet) == adapters(beside.unet)
    x, t = seed_noises([1], fused.latent_shape), torch.tensor([500])
    with torch.no_grad():
        eps = [one.predict(one.encode_text(PROMPTS[:1]))(x, t) for one in (beside, fused)]
    torch.testing.assert_close(*eps, rtol=0, atol=2e-5)


def test_names_of_models_are_taken_apart():
    found = parse_model("avatars-smooth+b@-0.5+c")
    assert found.source == "avatars"
    assert found.loras == (("smooth_lora", 1.0), ("b", -0.5), ("c", 1.0))
    assert parse_model("a/folder").loras == ()


@pytest.mark.parametrize("spec", ["", "a+", "+a", "a++b", "a+b@x", "a+@2", "a+b@inf"])
def test_wrong_names_of_models_are_refused(spec):
    with pytest.raises(ValueError, match="model"):
        parse_model(spec)


@pytest.mark.parametrize(("word", "kind"), [("eps", "eps"), ("v", "v"), ("x_0", "x_0")])
def test_what_the_network_predicts_can_be_said(tiny, word, kind):
    assert load_model(str(tiny.model), "cpu", prediction=word).config.prediction == kind
    assert load_image("avatars-ddpm", "cpu", prediction=word).config.prediction == kind
