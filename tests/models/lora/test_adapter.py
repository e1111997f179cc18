"""Tests of low-rank adaptation: the equations, exact removal, derivatives, files, errors."""

import copy
import re

import pytest
import torch
from torch import Tensor, nn

from latentgeo.models.lora import adapter as lora
from latentgeo.models.unet import UNet, UNetConfig


class Net(nn.Module):
    """A convolution, an attention's projections under their usual names, a head."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 5, 3, stride=2, padding=1, padding_mode="reflect")
        self.attn1 = nn.ModuleDict({name: nn.Linear(5, 5, bias=False) for name in KEYS})
        self.attn1["to_out"] = nn.ModuleList([nn.Linear(5, 5)])
        self.head = nn.Linear(5, 7)

    def forward(self, x: Tensor) -> Tensor:
        h = self.conv(x).flatten(2).transpose(1, 2)  # (B, N, 5)
        q, k, v = (self.attn1[name](h) for name in KEYS)
        h = self.attn1["to_out"][0]((q @ k.transpose(1, 2)).softmax(-1) @ v)
        return self.head(torch.tanh(h))


KEYS = ("to_q", "to_k", "to_v")
ATTENTION = ["attn1.to_q", "attn1.to_k", "attn1.to_v", "attn1.to_out.0"]
EVERYWHERE = ("conv", "attn1.*", "head")


def net(dtype: torch.dtype = torch.float64) -> Net:
    torch.manual_seed(0)
    return Net().to(dtype)


def images(dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.randn(2, 3, 11, 7, generator=torch.Generator().manual_seed(1), dtype=dtype)


def trained(model: nn.Module, name: str = lora.DEFAULT) -> nn.Module:
    """Give A and B values as if they had been trained."""
    generator = torch.Generator().manual_seed(sum(name.encode()))
    with torch.no_grad():
        for parameter in lora.lora_parameters(model, name):
            parameter.copy_(torch.randn(parameter.shape, generator=generator))
    return model


def adapted(rank: int = 2, name: str = lora.DEFAULT, targets: object = EVERYWHERE) -> nn.Module:
    model = net()
    lora.attach(model, rank=rank, alpha=3, name=name, targets=targets)
    return trained(model, name)


def test_attach_changes_nothing():
    """LoRA Sec. 4.1: B starts at 0, A does not, and the output is the same to the last bit."""
    model = net()
    model.requires_grad_(False)  # torch's matmul takes another kernel for a weight that is frozen
    before = model(images())
    adapter = lora.attach(model, rank=2, targets=EVERYWHERE)
    assert torch.equal(model(images()), before)
    state = lora.lora_state(model, prefix="")
    assert all(bool((value == 0).all()) == ("lora_B" in key) for key, value in state.items())
    assert adapter.ranks == dict.fromkeys(["conv", *ATTENTION, "head"], 2)
    bound = 1 / 5**0.5  # kaiming, a = √5: uniform in ± 1/√k
    assert 0.5 * bound < float(state["head.lora_A.weight"].abs().max()) <= bound


def test_attention_is_the_default():
    """Smooth Eq. 6: the four projections of each attention, and only these, are adapted."""
    model = nn.ModuleDict({"mid": net(), "attn3": net().head})
    assert list(lora.attach(model, rank=2).ranks) == [f"mid.{name}" for name in ATTENTION]


def test_rank_is_8_unless_told():
    """LoRA Sec. 4.1: r of every layer."""
    assert set(lora.attach(net()).ranks.values()) == {8}


def test_stable_diffusion_has_the_published_count():
    """Smooth Eq. 6: rank 4 on SD 1.5's 128 projections is 797,184 numbers, as files of it hold."""
    with torch.device("meta"):
        unet = UNet(UNetConfig())
    assert len(lora.attach(unet, rank=4).ranks) == 128
    assert sum(p.numel() for p in lora.lora_parameters(unet)) == 797_184


@pytest.mark.parametrize("merged", [False, True])
def test_detach_restores_every_bit(merged):
    """Outputs, state dict, frozen flags and hooks are the original's, merged before or not."""
    model = adapted()
    if merged:
        lora.merge(model)
    assert not torch.equal(model(images()), net()(images()))
    lora.detach(model)
    reference = net()
    assert torch.equal(model(images()), reference(images()))
    assert list(model.state_dict()) == list(reference.state_dict())
    for key, value in reference.state_dict().items():
        assert torch.equal(model.state_dict()[key], value), key
    assert all(parameter.requires_grad for parameter in model.parameters())
    assert not any(module._forward_hooks for module in model.modules())
    assert vars(model).keys() == vars(reference).keys()


def test_detach_leaves_frozen_what_was_frozen():
    """Only what `attach` froze becomes trainable again, and only after the last adapter."""
    model = net()
    model.head.requires_grad_(False)
    for name in ("a", "b"):
        lora.attach(model, rank=1, name=name)
    lora.detach(model, "a")
    assert not model.conv.weight.requires_grad
    lora.detach(model, "b")
    assert model.conv.weight.requires_grad and not model.head.weight.requires_grad


def test_adapters_add_up():
    """LoRA Eq. 3: two adapters on one layer give W_0 x + B_1 A_1 x + s B_2 A_2 x."""
    model = nn.ModuleDict({"layer": nn.Linear(5, 7).double()})
    x = torch.randn(3, 5, dtype=torch.float64)
    before = model["layer"](x)
    change = {}
    for name in ("one", "two"):
        lora.attach(model, rank=2, targets="layer", name=name)
        trained(model, name)
        change[name] = model["layer"](x) - before - sum(change.values())
    lora.set_scale(model, "two", -0.5)
    wanted = before + change["one"] - 0.5 * change["two"]
    torch.testing.assert_close(model["layer"](x), wanted, rtol=1e-12, atol=1e-12)
    lora.merge(model, "two")
    torch.testing.assert_close(model["layer"](x), wanted, rtol=1e-12, atol=1e-12)
    lora.detach(model, "one")
    assert lora.adapters(model) == ("two",)
    torch.testing.assert_close(
        model["layer"](x), before - 0.5 * change["two"], rtol=1e-12, atol=1e-12
    )
    lora.set_scale(model, "two", 0)
    assert torch.equal(model["layer"](x), before)


def test_unmerge_and_fuse():
    """Smooth Eq. 6: unmerge returns W_0 to the bit; fuse keeps W_0 + B A when the adapter goes."""
    model, reference = adapted(), net()
    beside = model(images())
    lora.merge(model)
    lora.unmerge(model)
    assert torch.equal(model.head.weight, reference.head.weight)
    assert torch.equal(model(images()), beside)
    lora.fuse(model)
    assert list(model.state_dict()) == list(reference.state_dict())
    torch.testing.assert_close(model(images()), beside, rtol=1e-11, atol=1e-11)


def test_fuse_beside_a_merged_adapter():
    """Smooth Eq. 6: fusing one and detaching the other, merged one leaves W_0 + B_1 A_1."""
    model = adapted(name="kept")
    beside = model(images())
    lora.attach(model, rank=1, name="gone", targets=EVERYWHERE)
    trained(model, "gone")
    lora.merge(model, "gone")
    lora.fuse(model, "kept")
    lora.detach(model, "gone")
    torch.testing.assert_close(model(images()), beside, rtol=1e-11, atol=1e-11)


def test_a_copy_is_independent():
    """A deep copy carries the adapter, and detaching it there leaves the original as it is."""
    model = adapted()
    beside = model(images())
    other = copy.deepcopy(model)
    assert torch.equal(other(images()), beside)
    lora.detach(other)
    assert torch.equal(other(images()), net()(images()))
    assert torch.equal(model(images()), beside)


def test_a_state_is_loaded_strictly():
    """Unknown keys, missing keys and shapes, each named; a failed load leaves no adapter behind."""
    model, source = net(), adapted(targets=lora.ATTENTION)
    state = lora.lora_state(source)
    assert next(iter(state)) == "unet.attn1.to_q.lora_A.weight"
    lora.attach_state(model, state, alpha=3)
    assert torch.equal(model(images()), source(images()))
    lora.detach(model)

    state["unet.attn1.to_q.lora_B.weight"] = torch.zeros(5, 3)
    del state["unet.attn1.to_v.lora_B.weight"]
    message = (
        r"missing unet\.attn1\.to_v\.lora_B.*to_q\.lora_B\.weight got \(5, 3\) wanted \(5, 2\)"
    )
    with pytest.raises(ValueError, match=message):
        lora.attach_state(model, state)
    assert lora.adapters(model) == () and all(p.requires_grad for p in model.parameters())
    for key in ("unet.attn9.to_q.lora_A.weight", "attn1.to_q.lora_A.weight", "unet.conv.dora"):
        with pytest.raises(ValueError, match=f"unknown {re.escape(key)}"):
            lora.attach_state(model, {key: torch.zeros(2, 5)})
    with pytest.raises(ValueError, match=r"no key of the form unet\.<layer>\.lora_A"):
        lora.attach_state(model, {})


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"targets": "attn1.to_x"}, r"target 'attn1\.to_x' matches no .*'attn1\.to_"),
        ({"targets": re.compile("hea")}, "target 'hea' matches no .*'head'"),
        ({"targets": []}, "targets is empty"),
        ({"targets": "grouped"}, "'grouped' has 2 groups"),
        ({"rank": 0}, "rank is 0"),
        ({"rank": 2.0}, r"rank is 2\.0"),
        ({"alpha": 0}, "alpha is 0"),
        ({"alpha": float("nan")}, "alpha is nan"),
        ({"name": "a.b"}, "adapter name 'a.b'"),
        ({"name": "train"}, "adapter name 'train'"),
        ({"name": "base"}, "adapter name 'base'"),
        ({"name": "taken"}, "'taken' is already attached"),
    ],
)
def test_bad_arguments_are_refused(wrong, message):
    """What was got is in the message, and the model is as it was."""
    model = net()
    model.grouped = nn.Conv2d(4, 4, 1, groups=2)
    lora.attach(model, rank=1, name="taken", freeze_base=False)
    before = list(model.state_dict())
    with pytest.raises(ValueError, match=message):
        lora.attach(model, **wrong)
    assert list(model.state_dict()) == before
    assert all(parameter.requires_grad for parameter in model.parameters())


def test_an_unknown_adapter_is_named():
    """Every call that takes a name says which there are."""
    for call in (lora.detach, lora.merge, lora.unmerge, lora.fuse, lora.lora_parameters):
        with pytest.raises(ValueError, match=r"no adapter 'other'; the model has \['default'\]"):
            call(adapted(), "other")
    with pytest.raises(ValueError, match="scale is nan"):
        lora.set_scale(adapted(), lora.DEFAULT, float("nan"))
