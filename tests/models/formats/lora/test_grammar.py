"""What the grammars share: addresses to factors, with every unknown or lonely key in one error."""

import pytest
import torch

from latentgeo.models.formats.lora.adapter import Factors, Lora
from latentgeo.models.formats.lora.grammar import (
    Address,
    cannot_say,
    gathered,
    no_alphas,
    no_tokens,
    other_notes,
)


def address(key: str) -> Address | None:
    part, layer, role = key.split("/") if key.count("/") == 2 else (None, None, None)
    return Address(part, layer, role) if part else None


A, B = torch.ones(2, 5), torch.ones(7, 2)


def test_factors_are_put_together():
    tensors = {"unet/x/A": A, "unet/x/B": B, "text/x/B": B, "text/x/A": A}
    found = gathered(tensors | {"unet/x/alpha": torch.tensor([3.0])}, address)
    assert found["unet"]["x"].alpha == 3.0 and found["text"]["x"].alpha is None
    assert found["unet"]["x"].A is A and found["text"]["x"].B is B


def test_one_error_for_unknown_lonely_double_and_odd_keys():
    tensors = {"what": A, "unet/x/A": A, "unet/y/A": A, "unet/y/B": torch.ones(7, 3)}
    tensors |= {"unet/z/A": A, "unet/z/B": B, "unet/z/alpha": torch.ones(3)}
    with pytest.raises(ValueError) as caught:
        gathered(tensors, address)
    for said in (
        "unknown key what",
        "unet x: factor B is missing",
        "unet y: A (2, 5) and B (7, 3), wanted",
        "unet z: α has shape (3,), wanted one number",
    ):
        assert said in str(caught.value)
    with pytest.raises(ValueError, match="two says unet x a second time"):
        gathered({"one": A, "two": A, "b": B}, lambda key: Address("unet", "x", "AB"[key == "b"]))


def test_what_a_grammar_cannot_say_is_listed_with_reasons():
    lora = Lora(unet={"x": Factors(A, B, 5.0)}, tokens={"<cat>": A})
    assert no_tokens(lora) == ["it has no place for the learned tokens <cat>"]
    assert no_alphas(lora) == ["it has no α, and unet x has α = 5 at rank 2 (fold it into B first)"]
    cannot_say("g", [])
    with pytest.raises(ValueError, match=r"g cannot say this LoRA: a; b$"):
        cannot_say("g", ["a", "b"])
    with pytest.raises(ValueError, match=r"; and 5 more$"):
        cannot_say("g", ["a"] * 25)


def test_notes_are_what_the_grammar_does_not_make():
    assert other_notes({"format": "pt", "ss_seed": "3"}) == {"ss_seed": "3"}
