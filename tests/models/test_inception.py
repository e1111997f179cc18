"""Tests of Inception as FID uses it: published names, another network, TensorFlow's input."""

import functools

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image

from latentgeo.models.inception import (
    BatchNorm,
    Inception,
    MixedA,
    MixedE,
    tensorflow_bilinear,
    tensorflow_input,
)
from tests.models.test_ddpm_unet import difference

models = pytest.importorskip("torchvision.models")


@functools.cache
def network() -> Inception:
    """Return a network whose batch norms do something and whose features neither die nor grow."""
    generator = torch.Generator().manual_seed(0)
    model = Inception()
    with torch.no_grad():
        for name, tensor in model.state_dict().items():
            noise = torch.randn(tensor.shape, generator=generator)
            if name.endswith("conv.weight"):
                tensor.copy_(noise * (2 / tensor[0].numel()) ** 0.5)
            elif name.endswith(("bn.weight", "running_var")):
                tensor.copy_(1 + 0.1 * noise.abs())
            else:
                tensor.copy_(0.1 * noise)
    return model


def images(size: tuple[int, int], dtype: torch.dtype = torch.float32) -> torch.Tensor:
    return torch.rand(2, 3, *size, generator=torch.Generator().manual_seed(1), dtype=dtype) * 2 - 1


def test_has_the_published_names_and_shapes():
    """Tensor for tensor those of pytorch-fid's file, which are torchvision's of 1,008 classes."""
    with torch.device("meta"):
        ours = Inception().state_dict()
        theirs = models.inception_v3(
            num_classes=1008, aux_logits=False, init_weights=False
        ).state_dict()
    wanted = {k: v.shape for k, v in theirs.items() if not k.endswith("num_batches_tracked")}
    assert {k: v.shape for k, v in ours.items()} == wanted
    with torch.device("meta"):
        assert set(wanted) - set(Inception(classes=None).state_dict()) == {"fc.weight", "fc.bias"}


def torchvisions(ours: Inception) -> torch.nn.Module:
    """Return torchvision's network with our weights."""
    theirs = models.inception_v3(num_classes=1008, aux_logits=False, init_weights=False).eval()
    theirs.load_state_dict(ours.state_dict(), strict=False)
    return theirs


@torch.no_grad()
def as_the_graph(theirs: torch.nn.Module, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return features and logits of torchvision's network, its pooling put right from outside."""
    inside, found = functools.partial(F.avg_pool2d, count_include_pad=False), {}
    with pytest.MonkeyPatch.context() as patch:
        hooks = [
            theirs.avgpool.register_forward_hook(lambda *args: found.update(pool3=args[2])),
            theirs.Mixed_7c.register_forward_pre_hook(
                lambda *_: patch.setattr(F, "avg_pool2d", F.max_pool2d)
            ),
        ]
        patch.setattr(F, "avg_pool2d", inside)
        logits = theirs(x)
    for hook in hooks:
        hook.remove()
    return found["pool3"].flatten(1), logits


def test_equals_torchvision_but_for_the_graphs_pooling():
    """Same weights in torchvision's network, its branches' pooling put right from outside."""
    ours, x = network(), images((107, 139))
    theirs = torchvisions(ours)
    with torch.no_grad():
        expected = ours(x)
        features, logits = as_the_graph(theirs, x)
        assert difference(expected, features) < 1e-5
        assert difference(ours.logits(expected), logits) < 1e-5
        assert difference(theirs(x), logits) > 1e-3  # torchvision as it comes is another network


def test_pooling_leaves_the_padding_out():
    """A constant image stays constant up to its edge, in the branch of a mean or a maximum."""
    x = torch.full((1, 5, 4, 6), 3.0)
    for block in (MixedA(5, pooled=7), MixedE(5, last=False), MixedE(5, last=True)):
        last = block.eval().branch_pool.conv.out_channels
        branch = block(x)[:, -last:]
        torch.testing.assert_close(branch, branch[:, :, :1, :1].expand_as(branch))
    x = torch.arange(24.0).reshape(1, 1, 4, 6)
    for last, pooled in (False, 3.5), (True, 7.0):  # of 0, 1, 6 and 7 in the corner
        assert float(MixedE(1, last=last).pool(x)[0, 0, 0, 0]) == pooled


def test_batch_norm_is_pytorchs_in_evaluation():
    """Stored moments and eps 10⁻³."""
    norm, theirs = BatchNorm(5), torch.nn.BatchNorm2d(5, eps=1e-3).eval()
    state = {k: torch.rand(5) + 0.5 for k in norm.state_dict()}
    norm.load_state_dict(state)
    theirs.load_state_dict(state, strict=False)
    x = torch.randn(2, 5, 3, 7)
    torch.testing.assert_close(norm(x), theirs(x))


def test_stays_frozen_and_in_evaluation():
    """Training mode and gradients of the weights are off for good."""
    model = network().train()
    assert not any(module.training for module in model.modules())
    assert not any(parameter.requires_grad for parameter in model.parameters())


@pytest.mark.parametrize("side", [32, 64, 256, 299, 341])
def test_resizing_is_tensorflows(side):
    """Pixel i is read at i · side / 299, interpolated along each axis, the last one repeated."""
    x = images((side, side + 5), torch.float64)
    got = tensorflow_bilinear(x, 299)
    for i, j in (0, 0), (1, 298), (150, 77), (298, 298):
        y, z = i * side / 299, j * (side + 5) / 299
        corners = [
            (abs(1 - (y - int(y)) - a) * abs(1 - (z - int(z)) - b))
            * x[..., min(int(y) + a, side - 1), min(int(z) + b, side + 4)]
            for a in (0, 1)
            for b in (0, 1)
        ]
        torch.testing.assert_close(got[..., i, j], sum(corners))


def test_resizing_by_pillow():
    """The same by Pillow's affine transform of an image of floats, which samples pixel centres."""
    x = images((53, 71))[:1, :1]
    scale = 71 / 299, 53 / 299
    shift = tuple((1 - each) / 2 for each in scale)  # centre i + ½ comes from i · scale + ½
    picture = Image.fromarray(x[0, 0].numpy())
    wanted = picture.transform(
        (299, 299),
        Image.Transform.AFFINE,
        (scale[0], 0, shift[0], 0, scale[1], shift[1]),
        Image.Resampling.BILINEAR,
    )
    got, inside = tensorflow_bilinear(x, 299)[0, 0], slice(296)  # it is 0 half a pixel from the end
    expected = torch.from_numpy(np.array(wanted))
    torch.testing.assert_close(got[inside, inside], expected[inside, inside], rtol=0, atol=1e-5)


def test_resizing_by_a_shifted_grid():
    """The same by torch's sampling of a grid that is shifted by half a pixel."""
    x = images((53, 71), torch.float64)
    rows, columns = (
        2 * (torch.arange(299, dtype=torch.float64) * side / 299 + 0.5) / side - 1
        for side in x.shape[2:]
    )
    grid = torch.stack(torch.meshgrid(columns, rows, indexing="xy"), dim=-1)
    wanted = F.grid_sample(
        x, grid.expand(2, -1, -1, -1), padding_mode="border", align_corners=False
    )
    torch.testing.assert_close(tensorflow_bilinear(x, 299), wanted)


def test_inputs_have_the_published_range():
    """Black and white are -1 and 127/128 in TensorFlow's graph."""
    x = torch.cat([-torch.ones(1, 3, 8, 9), torch.ones(1, 3, 8, 9)])
    got = tensorflow_input(x)
    assert got.shape == (2, 3, 299, 299)
    torch.testing.assert_close(got[0], torch.full_like(got[0], -1))
    torch.testing.assert_close(got[1], torch.full_like(got[1], 127 / 128))


def test_features_check_their_range():
    """Images in [0, 255] or with a NaN are refused; those in [-1, 1] have 2,048 features."""
    model = network()
    assert model.features(images((40, 50))[:1]).shape == (1, 2048)
    with pytest.raises(ValueError, match=r"x lies in \[0, 255\], wanted values in \[-1, 1\]"):
        model.features(torch.tensor([0.0, 255.0]).expand(1, 3, 40, 2))
    with pytest.raises(ValueError, match="nan"):
        model.features(torch.full((1, 3, 40, 40), float("nan")))


def test_second_derivatives():
    """Through a block and the resizing, to the second order, by finite differences."""
    torch.manual_seed(0)
    block = MixedE(3, last=True).double()
    x = images((4, 5), torch.float64)[:1].requires_grad_()

    def f(z: torch.Tensor) -> torch.Tensor:
        return block(tensorflow_bilinear(z, 3)).square().mean(dim=(2, 3))

    assert torch.autograd.gradcheck(f, x, check_forward_ad=True, fast_mode=True)
    assert torch.autograd.gradgradcheck(f, x, fast_mode=True)
