"""One layer with its update: the equations, the derivatives, the types."""

import pytest
import torch
from torch import Tensor, nn

from latentgeo.models.lora import adapter as lora
from tests.models.lora.test_adapter import ATTENTION, adapted, images, net, trained


def test_merge_is_w_plus_scaled_ba():
    """LoRA Eq. 3, Smooth Eq. 6: merged weights are W_0 + s (α / r) B A, by explicit sums."""
    model, base = adapted(rank=2), net().state_dict()
    lora.set_scale(model, lora.DEFAULT, 0.7)
    state = lora.lora_state(model, prefix="")
    lora.merge(model)
    merged = lora.base_state(model)
    for layer in (*ATTENTION, "head", "conv"):
        A, B = (state[f"{layer}.lora_{factor}.weight"] for factor in "AB")
        wanted = base[f"{layer}.weight"].clone()
        for r in range(2):
            outer = B[:, r].reshape(-1, *[1] * (A.ndim - 1)) * A[r][None]
            wanted += 0.7 * 3 / 2 * outer
        torch.testing.assert_close(merged[f"{layer}.weight"], wanted, rtol=1e-14, atol=1e-14)


@pytest.mark.parametrize("scale", [0.0, 1.0, 2.0, -1.0])
def test_update_is_times_its_scale(scale):
    """LoRA Eq. 3: s B A x of any s; α / r is 1 here."""
    model = nn.Sequential(nn.Linear(5, 7).double())
    x = torch.randn(3, 5, dtype=torch.float64)
    plain = model(x)
    lora.attach(model, rank=2, alpha=2, targets=("0",))
    A, B = (lora.lora_state(trained(model), prefix="")[f"0.lora_{key}.weight"] for key in "AB")
    lora.set_scale(model, lora.DEFAULT, scale)
    torch.testing.assert_close(model(x) - plain, scale * x @ A.T @ B.T)


@pytest.mark.parametrize("padding_mode", ["zeros", "reflect"])
def test_update_is_the_merged_layer(padding_mode):
    """LoRA Eq. 3: h = W_0 x + B A x equals the plain layer with the weight W_0 + B A."""
    layer = nn.Conv2d(3, 5, (3, 5), (2, 1), (1, 2), (1, 2), padding_mode=padding_mode).double()
    model, x = nn.Sequential(layer, nn.Flatten(2), nn.Linear(21, 11).double()), images()
    model[2] = nn.Linear(model[:2](x).shape[-1], 11).double()
    lora.attach(model, rank=2, targets=("0", "2"), alpha=1)
    trained(model)
    beside = model(x)
    lora.merge(model)
    torch.testing.assert_close(model(x), beside, rtol=1e-12, atol=1e-12)


def test_gradient_reaches_only_the_adapter():
    """LoRA Sec. 4.1: W_0 gets none; A and B get autograd's, checked by finite differences."""
    model = adapted()
    parameters = lora.lora_parameters(model)
    assert len(parameters) == 12
    model(images()).square().sum().backward()
    with_gradient = {id(p) for p in model.parameters() if p.grad is not None}
    assert with_gradient == {id(p) for p in parameters}
    A = model.head.lora[lora.DEFAULT].A.weight
    values = []
    for step in (1e-5, -1e-5):
        with torch.no_grad():
            A[1, 3] += step
            values.append(model(images()).square().sum())
            A[1, 3] -= step
    assert float(A.grad[1, 3]) == pytest.approx(float(values[0] - values[1]) / 2e-5, rel=1e-6)


def test_double_backward_and_forward_mode():
    """LoRA Eq. 3: ∂‖J^T v‖² / ∂A by double backward is the one through torch.func's jvp."""
    model, x = adapted(), images()
    parameters = dict(model.named_parameters())
    keys = [key for key, parameter in parameters.items() if parameter.requires_grad]
    v = torch.randn_like(model(x))

    x_leaf = x.clone().requires_grad_()
    (pulled,) = torch.autograd.grad(model(x_leaf), x_leaf, v, create_graph=True)
    twice = torch.autograd.grad(pulled.square().sum(), [parameters[key] for key in keys])

    u = pulled.detach()
    frozen = {key: parameter.detach() for key, parameter in parameters.items()}

    def pushed(trainable: dict[str, Tensor]) -> Tensor:
        def at(x: Tensor) -> Tensor:
            return torch.func.functional_call(model, frozen | trainable, (x,))

        return 2 * (v * torch.func.jvp(at, (x,), (u,))[1]).sum()

    mixed = torch.func.grad(pushed)({key: frozen[key] for key in keys})
    for key, gradient in zip(keys, twice, strict=True):
        torch.testing.assert_close(gradient, mixed[key], rtol=1e-9, atol=1e-9)


def test_bf16_autocast():
    """LoRA Eq. 3: factors run in bf16 as the layer does; 2 % is a few roundings of 2⁻⁸ each."""
    model, x = nn.Sequential(nn.Linear(5, 7)), torch.randn(11, 5)
    lora.attach(model, rank=2, targets="0")
    wanted = trained(model)(x)
    with torch.autocast("cpu", torch.bfloat16):
        y = model(x)
    assert y.dtype == torch.bfloat16
    assert float(((y - wanted).norm() / wanted.norm()).detach()) < 0.02
    y.float().sum().backward()
    assert all(p.grad.dtype == torch.float32 for p in lora.lora_parameters(model))


def test_float32_adapter_on_a_bf16_model():
    """The factors can be kept in float32; the output stays in the model's dtype."""
    model = net(torch.bfloat16)
    lora.attach(model, rank=2, dtype=torch.float32)
    trained(model)
    assert all(p.dtype == torch.float32 for p in lora.lora_parameters(model))
    assert model(images(torch.bfloat16)).dtype == torch.bfloat16
    lora.merge(model)
    assert model.attn1["to_q"].weight.dtype == torch.bfloat16
