"""A UNet is cut behind any of its layers: forward all the same, shifts where hooks put them."""

import pytest
import torch

from latentgeo.models.adm_unet import ADMUNet
from latentgeo.models.bundles.image_model import ImageModel
from latentgeo.models.ddpm_unet import DDPMUNet
from latentgeo.models.unet_layers import layers, number
from tests.models.bundles.test_image_model import CONFIGS, inputs, made

CASES = [
    (name, layer) for name, config in CONFIGS.items() for layer in layers(len(config.unet.channels))
]
each = pytest.mark.parametrize(("name", "layer"), CASES)


def module_of(model: ImageModel, layer: str) -> torch.nn.Module:
    """Return the module whose last output is a layer's, by the names of published checkpoints."""
    unet, (kind, _, i) = model.unet, layer.partition(".")
    if isinstance(unet, ADMUNet):  # 2 resolutions of 1 block: in, block, halved, block
        found = {"in": "input_blocks.0", "down.0": "input_blocks.2", "down.1": "input_blocks.3"}
        found |= {"h": "middle_block", "up.1": "output_blocks.1", "up.0": "output_blocks.3"}
        return unet.get_submodule(found[layer])
    if isinstance(unet, DDPMUNet):
        return unet.get_submodule({"in": "conv_in", "h": "mid"}.get(layer, layer))
    last = len(unet.up_blocks) - 1
    found = {"in": "conv_in", "h": "mid_block", "down": f"down_blocks.{i}"}
    found["up"] = f"up_blocks.{last - int(i or 0)}"
    return unet.get_submodule(found[kind])


@torch.no_grad()
def hooked(model: ImageModel, layer: str, delta, x, t, labels):
    """Return the prediction with delta(h) added to what a layer's module returns, and its h."""
    seen = []

    def added(module, given, output):
        rest, h = (output[:-1], output[-1]) if isinstance(output, tuple) else ((), output)
        seen.append(h)
        shifted = h + delta(h)
        return (*rest, shifted) if isinstance(output, tuple) else shifted

    handle = module_of(model, layer).register_forward_hook(added)
    try:
        return model.raw(labels)(x, t)[:, :3], seen[0]
    finally:
        handle.remove()


@each
@torch.no_grad()
def test_a_network_cut_anywhere_is_the_network(name, layer):
    """Asyrp Sec. D.3: to the bit; a shift is one of the module's output, and so of its skip."""
    model = made(CONFIGS[name]).to("cpu", torch.float64)
    x, t, labels = inputs(model)
    x = x.double()
    h, skips = model.encode_h(x, t, labels, layer)
    assert torch.equal(model.decode_h(h, skips, t, labels, layer), model.raw(labels)(x, t)[:, :3])
    generator = torch.Generator().manual_seed(2)
    delta = torch.randn(h.shape, generator=generator, dtype=h.dtype)
    wanted, seen = hooked(model, layer, lambda h: delta, x, t, labels)
    assert torch.equal(h, seen)
    found = model.decode_h(h + delta, skips, t, labels, layer)
    torch.testing.assert_close(found, wanted, rtol=1e-9, atol=1e-12)
    assert (
        found - model.raw(labels)(x, t)[:, :3]
    ).abs().max() > 1e-6  # small weights, and as small


def test_the_bottleneck_is_the_eighth_of_six_resolutions():
    """Asyrp Sec. D.3: numbers as the paper has them, and no layer by a name that there is not."""
    assert layers(2) == ("in", "down.0", "down.1", "h", "up.1", "up.0")
    assert [number("h", 6), number("down.5", 6), number("up.5", 6), number("in", 6)] == [8, 7, 9, 1]
    with pytest.raises(ValueError, match=r"layer: got 'up\.2', wanted one of in, down\.0"):
        number("up.2", 2)
