"""PEFT's configuration: every key of the package is known, and what changes the result is refused.

The judge is the package itself: which initialisations change the base, and which keys there are.
"""

import dataclasses
import json

import pytest
import torch

from latentgeo.models.lora.peft import (
    HARMLESS,
    MOVED,
    OFF,
    PEFT,
    READ,
    peft_settings,
    stored_alpha,
)

LAYER = "down.0.to_q"


def alpha(config: object, rank: int = 2, prefix: str = "") -> object:
    return stored_alpha({PEFT: json.dumps(config)}, prefix, {LAYER: rank})


def test_every_key_of_the_package_is_known():
    peft = pytest.importorskip("peft")
    theirs = {field.name for field in dataclasses.fields(peft.LoraConfig)}
    assert not theirs - READ - HARMLESS - OFF.keys()
    assert not READ & HARMLESS and not (READ | HARMLESS) & OFF.keys()


@pytest.mark.parametrize(
    "start",
    [True, False, "gaussian", "orthogonal", "mica", "pissa", "pissa_niter_2", "olora", "OLoRA"],
)
def test_an_initialisation_is_refused_where_the_package_changes_the_base(start):
    peft = pytest.importorskip("peft")
    torch.manual_seed(0)
    net = torch.nn.Sequential(torch.nn.Linear(7, 5))
    before = net[0].weight.detach().clone()
    config = peft.LoraConfig(r=2, target_modules=["0"], init_lora_weights=start)
    after = peft.inject_adapter_in_model(config, net)[0].base_layer.weight
    if torch.equal(before, after):
        assert alpha({"r": 2, "lora_alpha": 3, "init_lora_weights": start}) == 3.0
    else:
        with pytest.raises(ValueError, match="changed the base's weights"):
            alpha({"r": 2, "lora_alpha": 3, "init_lora_weights": start})


@pytest.mark.parametrize("start", [*MOVED, "corda_x"])
def test_the_sentence_of_a_changed_base(start):
    name = next(name for begin, name in MOVED.items() if start.startswith(begin))
    with pytest.raises(ValueError) as caught:
        alpha({"r": 2, "init_lora_weights": start})
    assert str(caught.value) == (
        f'init_lora_weights is "{start}": {name} changed the base\'s weights, which are not in '
        "the file; convert it to plain LoRA, or merge it into a checkpoint, with PEFT"
    )


def test_without_lora_alpha_it_is_eight():
    """The package's own default, and the rank where there is no configuration at all."""
    peft = pytest.importorskip("peft")
    assert alpha({"r": 2}) == peft.LoraConfig().lora_alpha == 8
    assert alpha({"unet.r": 2}, prefix="unet") == 8
    assert alpha({"unet.r": 2}, prefix="text_encoder") is None
    assert alpha({}) is None and stored_alpha({}, "", {LAYER: 2}) is None


def test_rank_stabilized_lora_has_its_scale():
    """α / √r, the factor that PEFT has then, is our α / r with α √r."""
    assert alpha({"r": 4, "lora_alpha": 3, "use_rslora": True}, rank=4) == pytest.approx(6)


@pytest.mark.parametrize("name", OFF)
def test_what_makes_something_else_of_the_factors_is_refused_by_name(name):
    for value in (True, [1], {}, "all"):
        with pytest.raises(ValueError, match=rf"\({name}\) is not read here"):
            peft_settings({PEFT: json.dumps({f"unet.{name}": value})}, "unet")
    for value in (None, False, []):
        assert alpha({"r": 2, "lora_alpha": 5, name: value}) == 5


@pytest.mark.parametrize("name", sorted(HARMLESS))
def test_harmless_keys_are_passed_over(name):
    assert alpha({"r": 2, "lora_alpha": 5, name: {"any": ["thing"]}}) == 5


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"use_warp": 0}, "its configuration has 'use_warp', which is not known here"),
        ({"peft_type": "IA3"}, 'peft_type is "IA3", wanted LORA: another method of PEFT'),
        ({"use_rslora": "x"}, 'use_rslora is "x", wanted true or false'),
        ({"lora_alpha": [8]}, "lora_alpha is [8], wanted a number above 0"),
        ({"lora_alpha": None}, "lora_alpha is null, wanted a number above 0"),
        ({"lora_alpha": True}, "lora_alpha is true, wanted a number above 0"),
        ({"lora_alpha": "8"}, 'lora_alpha is "8", wanted a number above 0'),
        ({"lora_alpha": float("nan")}, "lora_alpha is NaN, wanted a number above 0"),
        ({"lora_alpha": -1}, "lora_alpha is -1, wanted a number above 0"),
        ({"r": {}}, "r is {}, wanted a number above 0"),
        ({"alpha_pattern": [1]}, "alpha_pattern is [1], wanted an object of numbers by pattern"),
        ({"alpha_pattern": {"q": []}}, "alpha_pattern of q is [], wanted a number above 0"),
        ({"r": 2, "rank_pattern": 3}, "rank_pattern is 3, wanted an object of numbers by pattern"),
        ({"r": 4}, f"{LAYER} has rank 2, and the configuration says 4"),
        (
            {"r": 2, "rank_pattern": {"to_q": 3}},
            f"{LAYER} has rank 2, and the configuration says 3",
        ),
        ({"init_lora_weights": 3}, "init_lora_weights is 3, wanted one of true, false, null, "),
        ({"init_lora_weights": "x"}, 'init_lora_weights is "x", wanted one of true, false, null, '),
        ([], f"{PEFT} is no JSON object but []"),
        (None, f"{PEFT} is no JSON object but null"),
    ],
)
def test_wrong_values_are_told(config, message):
    with pytest.raises(ValueError) as caught:
        alpha(config)
    assert str(caught.value).startswith(message)


@pytest.mark.parametrize("text", ["{", "[" * 100_000, "", '{"r": ' + "9" * 5000 + "}"])
def test_what_is_no_json_is_told(text):
    with pytest.raises(ValueError, match=f"{PEFT} is no JSON"):
        stored_alpha({PEFT: text}, "", {LAYER: 2})


@pytest.mark.parametrize("text", ["x", "nan", "0", "[8]", "1e400"])
def test_our_own_alpha_is_a_number(text):
    with pytest.raises(ValueError, match="wanted 'rank' or a number above 0"):
        stored_alpha({"alpha": text}, "", {LAYER: 2})
