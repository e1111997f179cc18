"""Tests of the text encoder: published names, an independent implementation, causality, errors."""

import dataclasses

import pytest
import torch
from torch.nn import functional as F

from latentgeo.models.clip import TextConfig, TextEncoder
from tests.models.test_unet import manifest

SMALL = TextConfig(vocabulary=101, context=13, width=21, layers=2, heads=3)


def small(config: TextConfig = SMALL) -> TextEncoder:
    """Return a float64 encoder in which no weight has its initial special value."""
    torch.manual_seed(0)
    model = TextEncoder(config).double()
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    return model


def tokens(length: int = 11) -> torch.Tensor:
    return torch.randint(0, 101, (5, length), generator=torch.Generator().manual_seed(1))


def test_has_the_published_parameters():
    """CLIP Sec. 2.4c: names, shapes and count are those of ViT-L/14's text encoder."""
    with torch.device("meta"):
        model = TextEncoder()
    state = {key: tuple(value.shape) for key, value in model.state_dict().items()}
    assert state == manifest("clip_vit_l14_text_hf")
    assert sum(p.numel() for p in model.parameters()) == 123_060_480


@pytest.mark.parametrize("activation", ["quick_gelu", "gelu"])
def test_equals_an_independent_implementation(activation):
    """CLIP Sec. 2.4: the same hidden states as transformers' CLIPTextModel with our weights."""
    transformers = pytest.importorskip("transformers")
    config = dataclasses.replace(SMALL, activation=activation)
    theirs = transformers.CLIPTextModel(
        transformers.CLIPTextConfig(
            vocab_size=101,
            hidden_size=21,
            intermediate_size=84,
            num_hidden_layers=2,
            num_attention_heads=3,
            max_position_embeddings=13,
            hidden_act=activation,
            bos_token_id=99,
            eos_token_id=100,
        )
    ).double()
    ours = small(config)
    old = any(key.startswith("text_model.") for key in theirs.state_dict())
    theirs.load_state_dict({"text_model." * old + k: v for k, v in ours.state_dict().items()})
    wanted = theirs.eval()(tokens()).last_hidden_state
    torch.testing.assert_close(ours(tokens()), wanted, rtol=1e-11, atol=1e-11)


def test_equals_the_equations_written_out():
    """CLIP Sec. 2.4c: a pre-norm causal transformer, computed token by token and head by head."""
    model, ids = small(), tokens()[0]
    weights = model.state_dict()

    def linear(name: str, x: torch.Tensor) -> torch.Tensor:
        return x @ weights[f"{name}.weight"].T + weights[f"{name}.bias"]

    def norm(name: str, x: torch.Tensor) -> torch.Tensor:
        centred = x - x.mean(-1, keepdim=True)
        unit = centred / (centred.square().mean(-1, keepdim=True) + 1e-5).sqrt()
        return unit * weights[f"{name}.weight"] + weights[f"{name}.bias"]

    h = weights["embeddings.token_embedding.weight"][ids]
    h = h + weights["embeddings.position_embedding.weight"][:11]
    for i in range(2):
        layer = f"encoder.layers.{i}"
        x = norm(f"{layer}.layer_norm1", h)
        q, k, v = (linear(f"{layer}.self_attn.{name}_proj", x) for name in "qkv")
        mixed = torch.zeros_like(x)
        for head in range(3):
            part = slice(7 * head, 7 * head + 7)
            for n in range(11):
                weight = F.softmax(k[: n + 1, part] @ q[n, part] / 7**0.5, dim=0)
                mixed[n, part] = weight @ v[: n + 1, part]
        h = h + linear(f"{layer}.self_attn.out_proj", mixed)
        x = linear(f"{layer}.mlp.fc1", norm(f"{layer}.layer_norm2", h))
        h = h + linear(f"{layer}.mlp.fc2", x / (1 + (-1.702 * x).exp()))
    wanted = norm("final_layer_norm", h)
    torch.testing.assert_close(model(tokens())[0], wanted, rtol=1e-11, atol=1e-11)


def test_a_token_does_not_see_later_ones():
    """CLIP Sec. 2.4c: a change at position 6 changes what follows, and nothing before it."""
    model, ids = small(), tokens()
    changed = ids.clone()
    changed[:, 6] = (ids[:, 6] + 1) % 101
    difference = (model(changed) - model(ids)).abs().amax(-1)
    assert difference[:, :6].max() == 0
    assert difference[:, 6:].min() > 1e-6


def test_initial_weights_have_the_published_spread():
    """CLIP Sec. 2.4: standard deviations of the published code, within 5 % for 10⁴ draws."""
    torch.manual_seed(0)
    model = TextEncoder(TextConfig(vocabulary=211, context=97, width=128, layers=2, heads=4))
    state = model.state_dict()
    layer = "encoder.layers.1"
    for name, std in {
        "embeddings.token_embedding": 0.02,
        "embeddings.position_embedding": 0.01,
        f"{layer}.self_attn.q_proj": 128**-0.5,
        f"{layer}.self_attn.k_proj": 128**-0.5,
        f"{layer}.self_attn.v_proj": 128**-0.5,
        f"{layer}.self_attn.out_proj": 128**-0.5 / 2,
        f"{layer}.mlp.fc1": 256**-0.5,
        f"{layer}.mlp.fc2": 128**-0.5 / 2,
    }.items():
        assert float(state[f"{name}.weight"].std()) == pytest.approx(std, rel=0.05), name
    assert float(state[f"{layer}.mlp.fc1.bias"].abs().max()) == 0


def test_no_texts_have_no_wrong_tokens():
    """CLIP Sec. 2.4: an empty batch has no least token to look at, and nothing to refuse."""
    small().check(torch.zeros(0, 5, dtype=torch.int64))


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (torch.zeros(1, 14, dtype=torch.int64), "length 14, wanted at most 13"),
        (torch.zeros(7, dtype=torch.int64), r"wanted int64 \(B, L\)"),
        (torch.zeros(1, 7), r"float32 \(1, 7\), wanted int64"),
        (torch.full((1, 7), 101), "lie in 101 to 101, wanted 0 to 100"),
    ],
)
def test_bad_tokens_are_refused(bad, message):
    """What was got and what was wanted are in the message."""
    with pytest.raises(ValueError, match=message):
        small()(bad)


def test_bad_shapes_are_refused():
    """A configuration that cannot be built says why."""
    with pytest.raises(ValueError, match="width 20 is not a multiple of heads 3"):
        TextConfig(width=20, heads=3)
    with pytest.raises(ValueError, match="activation is 'silu'"):
        TextConfig(activation="silu")
    with pytest.raises(ValueError, match="layers is 0"):
        TextConfig(layers=0)
