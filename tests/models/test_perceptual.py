"""Tests of LPIPS: the published example, the formula by hand, the features, the errors."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file
from torch import Tensor
from torch.nn import functional as F

from latentgeo.models.perceptual import WEIGHTS, Lpips, build, load_lpips, read_weights

EXAMPLES = Path(__file__).parents[2].parent / "shared" / "assets" / "lpips-backbones"


@pytest.fixture(scope="module")
def metric() -> Lpips:
    return load_lpips()


def pair(size: tuple[int, int] = (37, 41)) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    x, y = torch.rand(2, 3, 3, *size, generator=generator) * 2 - 1
    return x, y


def example(name: str) -> Tensor:
    pixels = np.asarray(Image.open(EXAMPLES / f"ex_{name}.png").convert("RGB"))
    return torch.from_numpy(pixels.copy()).permute(2, 0, 1)[None].float() / 127.5 - 1


def test_published_pair(metric):
    """LPIPS Eq. 1: the example of the metric's authors, printed there as 0.722 and 0.138."""
    if not EXAMPLES.is_dir():
        pytest.skip(f"the example images are not at {EXAMPLES}")
    reference = example("ref")
    for name, printed in (("p0", "0.722"), ("p1", "0.138")):
        assert f"{float(metric.distance(reference, example(name))):.3f}" == printed


def test_half_precision_weights_change_little(metric):
    """LPIPS Eq. 1: fp16 weights give what the full ones do, to a thousandth of the distance."""
    if not EXAMPLES.is_dir():
        pytest.skip(f"the full weights are not at {EXAMPLES}")
    full = Lpips()
    stored = load_file(EXAMPLES / "alexnet_features_lpips.safetensors")
    full.metric = build({name: stored[name] for name in read_weights(WEIGHTS)})
    x, y = pair()
    torch.testing.assert_close(metric.distance(x, y), full.distance(x, y), rtol=1e-3, atol=0)
    assert not torch.equal(metric.distance(x, y), full.distance(x, y))


def by_hand(x: Tensor, weights: dict[str, Tensor]) -> list[Tensor]:
    """Return AlexNet's five ReLU layers, with functional calls on the stored weights."""
    mean, std = torch.tensor([[-0.030, -0.088, -0.188], [0.458, 0.448, 0.450]]).double()
    h, layers = (x.double() - mean[:, None, None]) / std[:, None, None], []
    for index, stride, padding, pool in ((0, 4, 2, 0), (3, 1, 2, 1), (6, 1, 1, 1), (8, 1, 1, 0)):
        h = F.max_pool2d(h, 3, 2) if pool else h
        weight, bias = (weights[f"features.{index}.{part}"].double() for part in ("weight", "bias"))
        layers.append(h := F.conv2d(h, weight, bias, stride, padding).relu())
    weight, bias = (weights[f"features.10.{part}"].double() for part in ("weight", "bias"))
    return [*layers, F.conv2d(h, weight, bias, 1, 1).relu()]


def test_equals_the_formula_by_hand(metric):
    """LPIPS Eq. 1: unit-length features, squared differences, weighted sums, means over pixels."""
    weights = read_weights(WEIGHTS)
    heads = [head.model[-1].weight.double() for head in metric.metric.lins]
    x, y = pair()
    total = torch.zeros(3, dtype=torch.float64)
    for head, u, v in zip(heads, by_hand(x, weights), by_hand(y, weights), strict=True):
        difference = (u / u.norm(dim=1, keepdim=True) - v / v.norm(dim=1, keepdim=True)) ** 2
        total += torch.einsum("bchw,c->bhw", difference, head[0, :, 0, 0]).mean(dim=(1, 2))
    assert all(bool((head >= 0).all()) for head in heads)
    torch.testing.assert_close(metric.distance(x, y).double(), total, rtol=1e-4, atol=1e-6)


def test_features_are_the_averages_of_the_layers(metric):
    """LPIPS Eq. 1: the same five layers, averaged over the pixels: 1152 numbers an image."""
    x, _ = pair()
    layers = by_hand(x, read_weights(WEIGHTS))
    wanted = torch.cat([layer.flatten(2).mean(2) for layer in layers], dim=1)
    assert wanted.shape == (3, 1152)
    torch.testing.assert_close(metric.features(x).double(), wanted, rtol=1e-4, atol=1e-5)


def test_is_a_distance_per_sample(metric):
    """LPIPS Eq. 1: 0 for equal images, symmetric, positive, independent of the batch."""
    x, y = pair()
    assert torch.equal(metric.distance(x, x), torch.zeros(3))
    torch.testing.assert_close(metric.distance(x, y), metric.distance(y, x))
    assert float(metric.distance(x, y).min()) > 0
    torch.testing.assert_close(metric.distance(x[1:2], y[1:2]), metric.distance(x, y)[1:2])


def test_gradient_is_finite_and_right(metric):
    """LPIPS Eq. 1: against a central difference in float64, and finite on flat images."""
    exact = Lpips().double()
    x, y = (images[:1].double() for images in pair((32, 33)))
    x.requires_grad_()
    (gradient,) = torch.autograd.grad(exact(x, y).sum(), x)
    u, h = torch.randn_like(x), 1e-6
    with torch.no_grad():
        slope = (exact(x + h * u, y) - exact(x - h * u, y)) / (2 * h)
    assert float((gradient * u).sum()) == pytest.approx(float(slope), rel=1e-4)
    flat = torch.full((1, 3, 64, 64), -1.0, requires_grad=True)
    metric(flat, flat.detach() + 0.1).sum().backward()
    assert bool(flat.grad.isfinite().all())


def test_stays_frozen_and_in_evaluation_mode():
    """No parameter trains, and `train()` does not wake the heads' dropout."""
    metric = Lpips().train()
    assert not any(module.training for module in metric.modules())
    assert not any(parameter.requires_grad for parameter in metric.parameters())
    x, y = pair()
    assert torch.equal(metric.distance(x, y), metric.distance(x, y))


def test_half_precision_images_are_compared_in_float32(metric):
    """Under autocast, and with bf16 images, the network runs in the dtype of its weights."""
    x, y = (images.bfloat16() for images in pair())
    wanted = metric.distance(x.float(), y.float())
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(metric.distance(x, y), wanted)


def test_a_training_loop_may_leave_the_range(metric):
    """Calling the module does not test the range; `distance` does, and allows for rounding."""
    x, y = pair()
    assert metric(1.5 * x, y).shape == (3,)
    metric.distance((x * 1.0005).clamp(-1.0009, 1.0009), y)


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (torch.full((3, 3, 37, 41), 255.0), r"x lies in \[255, 255\], wanted values in \[-1, 1\]"),
        (torch.full((3, 3, 37, 41), float("nan")), r"x lies in \[nan, nan\]"),
        (torch.zeros(3, 3, 37, 41, dtype=torch.uint8), "x is torch.uint8, wanted floats"),
        (torch.zeros(3, 1, 37, 41), r"x is \(3, 1, 37, 41\), wanted \(B, 3, H, W\)"),
        (torch.zeros(3, 3, 37, 30), "sides of 31 or more"),
        (torch.zeros(3, 3, 37, 37), "wanted one shape"),
    ],
)
def test_bad_images_are_refused(metric, bad, message):
    """What was got and what was wanted are in the message."""
    with pytest.raises(ValueError, match=message):
        metric.distance(bad, pair()[1])


def test_the_smallest_image_is_31_pixels(metric):
    """At 31 pixels every layer has an output; the limit is AlexNet's, not ours."""
    assert metric.features(torch.zeros(2, 3, 31, 31)).shape == (2, 1152)


def test_building_leaves_the_generator_alone():
    """The random AlexNet that is overwritten does not move torch's global generator."""
    torch.manual_seed(0)
    wanted = torch.rand(3)
    torch.manual_seed(0)
    build(read_weights(WEIGHTS))
    assert torch.equal(torch.rand(3), wanted)


def test_bad_weights_are_named(tmp_path):
    """A missing file, and a pointer in its place, say which file is wanted."""
    with pytest.raises(FileNotFoundError, match=r"alexnet\.safetensors"):
        Lpips(tmp_path / "alexnet.safetensors")
    (tmp_path / "pointer").write_text("version https://git-lfs.github.com/spec/v1")
    with pytest.raises(ValueError, match=r"pointer has 42 bytes, wanted 4940240"):
        Lpips(tmp_path / "pointer")
