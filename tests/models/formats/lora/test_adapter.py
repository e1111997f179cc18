"""A LoRA apart from files: what fits a model, and its effect: W_0 x + (α / r) B A x."""

import pytest
import torch

from latentgeo.models.bundles.text_to_image import BundleConfig
from latentgeo.models.formats.lora.adapter import (
    Factors,
    Lora,
    attach_lora,
    converted,
    folded,
    misfits,
    places_in,
    places_of,
)
from latentgeo.models.lora.adapter import adapters, base_state, merge

EVERYTHING = {"unet": ("",), "text": ("",)}


def test_places_are_the_models_layers(tiny, places, manifest):
    assert places_in(tiny.config).unet == places.unet
    assert places.unet["mid_block.attentions.0.transformer_blocks.0.attn1.to_out.0"] == (24, 24)
    assert places.text["encoder.layers.1.self_attn.q_proj"] == (16, 16)
    full = places_in(BundleConfig())
    weights = {k: tuple(s) for k, s in manifest("sd15_unet_diffusers")["keys"].items()}
    assert all(weights[f"{layer}.weight"] == shape for layer, shape in full.unet.items())


def test_attached_it_adds_scaled_products(fresh, tiny, lora_on):
    """LoRA Eq. 3: by explicit sums, convolutions and the text encoder included, ranks per layer."""
    lora = lora_on(
        **EVERYTHING,
        rank=lambda layer: 3 if "conv" in layer else 2,
        alpha=lambda layer: 5.0 if "conv" in layer else None,
        dtype=torch.float64,
    )
    attach_lora(fresh, lora, 0.7)
    for part in ("unet", "text"):
        merge(fresh.modules[part])
        found, base = base_state(fresh.modules[part]), tiny.modules[part].state_dict()
        for layer, factors in lora.part(part).items():
            scale = 0.7 * (5 / 3 if "conv" in layer else 1)
            delta = torch.einsum("or,ri->oi", factors.B.flatten(1), factors.A.flatten(1))
            wanted = base[f"{layer}.weight"] + scale * delta.view_as(base[f"{layer}.weight"])
            torch.testing.assert_close(
                found[f"{layer}.weight"], wanted.float(), rtol=1e-4, atol=1e-5
            )


def test_learned_tokens_come_with_it(fresh, lora_on):
    lora = lora_on(unet=("attn1",), tokens={"<cat>": torch.ones(2, 16)})
    attach_lora(fresh, lora)
    assert fresh.learned == {"<cat>": 2}


def test_what_does_not_fit_is_listed_and_nothing_is_changed(fresh, places):
    good = Factors(torch.ones(2, 8), torch.ones(8, 2))
    lora = Lora(
        unet={
            "down_blocks.0.attentions.0.transformer_blocks.0.attn1.to_q": good,
            "down_blocks.7.conv": good,
            "conv_in": good,
        },
        text={"encoder.layers.0.mlp.fc1": good},
        tokens={"<cat>": torch.ones(2, 16)},
    )
    said = misfits(lora, places)
    assert "there is no unet layer down_blocks.7.conv" in said
    assert any(
        s.startswith("unet conv_in has A (2, 8) and B (8, 2), wanted (2, 4, 3, 3)") for s in said
    )
    assert any(s.startswith("text encoder.layers.0.mlp.fc1 has A") for s in said)
    assert len(said) == 3
    with pytest.raises(ValueError, match="the LoRA does not fit: there is no unet layer"):
        attach_lora(fresh, lora)
    assert not adapters(fresh.unet) and not fresh.learned
    assert places_of(fresh) == places


@pytest.mark.parametrize(
    ("A", "B", "alpha", "message"),
    [
        ((2, 8), (8, 3), None, r"A \(2, 8\) and B \(8, 3\), wanted A \(r, in"),
        ((8,), (8, 8), None, "wanted A"),
        ((0, 8), (8, 0), None, "the rank is 0, wanted 1 or more"),
        ((2, 8), (8, 2), 0.0, "α is 0.0"),
        ((2, 8), (8, 2), float("nan"), "α is nan"),
    ],
)
def test_factors_that_are_none_are_refused(A, B, alpha, message):
    with pytest.raises(ValueError, match=message):
        Factors(torch.ones(A), torch.ones(B), alpha)


def test_an_alpha_that_is_the_rank_is_no_alpha():
    assert Factors(torch.ones(3, 8), torch.ones(8, 3), 3.0).alpha is None
    assert Factors(torch.ones(3, 8), torch.ones(8, 3)).scale == 1
    assert Factors(torch.ones(3, 8), torch.ones(8, 3), 6.0).scale == 2


def test_folding_keeps_the_update_and_leaves_no_alpha(lora_on):
    lora = lora_on(unet=("attn1",), rank=4, alpha=2.0)
    for (_, layer, before), (_, same, after) in zip(lora, folded(lora), strict=True):
        assert layer == same and after.alpha is None
        assert torch.equal(after.B @ after.A, (before.B * 0.5) @ before.A)


def test_another_dtype(lora_on):
    lora = lora_on(unet=("attn1",), alpha=1.0, tokens={"<x>": torch.ones(1, 16)})
    half = converted(lora, torch.float16)
    assert all(f.A.dtype == f.B.dtype == torch.float16 and f.alpha == 1.0 for _, _, f in half)
    assert half.tokens["<x>"].dtype == torch.float16


@pytest.mark.parametrize(
    ("token", "vectors", "message"),
    [
        ("<cat>", torch.ones(2, 17), r"token '<cat>' is (2, 17), wanted (n, 16)"),
        ("<cat>", torch.ones(0, 16), r"token '<cat>' is (0, 16), wanted (n, 16)"),
        ("<cat>", torch.ones(2, 16).int(), "token '<cat>' is torch.int32, wanted a floating-point"),
        (" a", torch.ones(16), "token ' a' is empty or has spaces at its ends"),
        ("a", torch.ones(16), "token 'a' is in the vocabulary already; give it another name"),
    ],
)
def test_tokens_that_do_not_fit_are_told_before_anything_is_changed(
    fresh, places, lora_on, token, vectors, message
):
    """By the same words that `inspect` has for it."""
    lora = lora_on(unet=("attn1",), tokens={token: vectors})
    (said,) = misfits(lora, places)
    assert said.startswith(message)
    with pytest.raises(ValueError) as caught:
        attach_lora(fresh, lora)
    assert str(caught.value) == f"the LoRA does not fit: {said}"
    assert not adapters(fresh.unet) and not fresh.learned
