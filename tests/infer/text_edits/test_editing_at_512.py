"""The methods at 512 × 512 on a narrow Stable Diffusion without data: shapes, and what is held."""

import pytest
import torch

from latentgeo.eval.bench.meter import Meter
from latentgeo.infer.text_edits.disentangle import drawn
from latentgeo.infer.text_edits.editing import cycle_diffusion, editing
from latentgeo.infer.text_edits.pix2pix_zero import PixToPixZero, Sentences, pix2pix_zero
from latentgeo.models.bundles.text_to_image import BundleConfig, empty_bundle
from latentgeo.models.clip import TextConfig
from latentgeo.models.unet import UNetConfig

SMALL = UNetConfig(channels=(32, 32), attention=(True, False), blocks=1, context=32)
SHAPE = (1, 4, 64, 64)
X = 4 * 4 * 64 * 64  # bytes of x_t


@pytest.fixture(scope="module")
def bundle():
    text = TextConfig(width=32, layers=1, heads=4)
    model = empty_bundle(BundleConfig(unet=SMALL, text=text)).eval()
    for network in model.modules.values():
        network.requires_grad_(False)
    return model


def cycle(edit, x):
    return cycle_diffusion(edit, x, lambda n: x.expand(n, *SHAPE), 1.0, 0.1)


def zero(edit, x):
    how = PixToPixZero(sentences=(Sentences(source=("a cat",), target=("a dog",)),))
    return pix2pix_zero(edit, x, how).chunk(2)[1]


def weighed(kept):
    """Disentangle's way from λ to x and back, which its rounds repeat."""

    def run(edit, x):
        weights = x.new_zeros(edit.steps, 1).requires_grad_()
        z = drawn(edit, x, weights, kept)
        (slope,) = torch.autograd.grad(z.sum(), weights)
        assert slope.shape == weights.shape
        return z.detach()

    return run


def held(bundle, run, steps):
    """Return the bytes that a run of so many steps holds at once."""
    edit = editing(bundle, ["a cat"], ["a dog"], steps, 7.5, 1.0)
    x = torch.empty(SHAPE, device="meta")
    with Meter() as meter:
        assert run(edit, x).shape == SHAPE
    return meter.peak


@pytest.mark.parametrize(("run", "rows"), [(cycle, 3), (zero, 1), (weighed(1), 3)])
def test_memory_is_that_of_one_step(bundle, run, rows):
    """Cycle Alg. 1, PixZero Alg. 1, Disentangle Sec. 4a: a step more holds a few more x_t."""
    assert held(bundle, run, 3) - held(bundle, run, 2) <= rows * X


def test_kept_graphs_are_held(bundle):
    """Disentangle Sec. 4a: each step whose graph is kept adds one, far more than its x_t."""
    assert held(bundle, weighed(2), 2) - held(bundle, weighed(1), 2) > 100 * X
