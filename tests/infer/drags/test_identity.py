"""The identity LoRA learns one image, on the layers asked for, and leaves no trace."""

from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch

from latentgeo.core.run.seeds import generator
from latentgeo.core.schedule import linear
from latentgeo.infer.drags.identity import NAME, Identity, copies, denoising_loss, identity_lora
from latentgeo.models.bundles.text_to_image import load_bundle
from latentgeo.models.lora import adapter as lora
from latentgeo.models.lora import targets as lora_targets

HOW = Identity(rank=3, steps=3, lr=5e-2, batch=3)


@pytest.fixture
def bundle(tiny):
    return load_bundle(tiny.model)


@pytest.fixture(scope="module")
def image():
    return torch.rand(1, 3, 32, 32, generator=torch.Generator().manual_seed(1)) * 2 - 1


def test_released_settings_are_the_default():
    assert Identity() == Identity(rank=16, steps=80, lr=5e-4, batch=4, weight_decay=1e-2)


def test_training_lowers_the_loss_of_its_image(bundle, image):
    """Drag Eq. 2: measured on noise that the training did not see."""
    context = bundle.encode_text(["a sad person"])
    z_0 = bundle.encode(image).expand(64, -1, -1, -1)

    def loss():
        with torch.no_grad():
            many = context.expand(64, -1, -1)
            return denoising_loss(bundle, z_0, many, generator(5)).item()

    before = loss()
    with identity_lora(bundle, image, context, Identity(rank=3, steps=25, lr=2e-2), 0) as losses:
        assert loss() < before - 0.03 and len(losses) == 25
        assert losses[-1] < losses[0]
    assert loss() == before


def test_loss_is_that_of_the_noise_in_the_latents(bundle, image):
    """Drag Eq. 2: of a network that knows nothing (all zero) it is E ‖ε‖² per element, 1."""
    with torch.no_grad():
        for weight in bundle.unet.conv_out.parameters():
            weight.zero_()
        z_0 = bundle.encode(image).expand(101, -1, -1, -1)
        context = bundle.encode_text([""]).expand(101, -1, -1)
        found = denoising_loss(bundle, z_0, context, generator(2)).item()
    count = z_0.numel()
    assert abs(found - 1) < 5 * (2 / count) ** 0.5


def zeros_that_note(seen):
    """Return a network of zeros that appends every (z_t, t) to `seen`."""
    return lambda context: lambda z_t, t: seen.append((z_t, t)) or torch.zeros_like(z_t)


def test_times_are_all_of_the_schedules_and_no_other(bundle):
    """Drag Eq. 2: t is 1, 2 or 3 of three, and ε is the noise in the z_t that the network sees."""
    seen, short = [], linear(3)

    raw = zeros_that_note(seen)
    model = SimpleNamespace(schedule=short, config=bundle.config, raw=raw, dtype=torch.float32)
    z_0 = torch.randn(101, 4, 2, 3, generator=generator(1))
    found = denoising_loss(model, z_0, torch.zeros(101, 1, 1), generator(2))
    ((z_t, t),) = seen
    assert set(t.tolist()) == {1, 2, 3}
    bar = short.alpha_bar.float()[t].reshape(-1, 1, 1, 1)
    eps = (z_t - bar.sqrt() * z_0) / (1 - bar).sqrt()
    torch.testing.assert_close(found, eps.square().mean(), rtol=1e-4, atol=0)


def test_a_model_of_v_is_held_to_v():
    """Drag Eq. 2: in the terms of the model, v = √ᾱ ε - √(1-ᾱ) z_0 (Salimans and Ho)."""
    seen, short = [], linear(3)
    model = SimpleNamespace(
        schedule=short,
        config=SimpleNamespace(prediction="v"),
        raw=zeros_that_note(seen),
        dtype=torch.float32,
    )
    z_0 = torch.randn(31, 4, 2, 3, generator=generator(1))
    found = denoising_loss(model, z_0, torch.zeros(31, 1, 1), generator(2))
    ((z_t, t),) = seen
    bar = short.alpha_bar.float()[t].reshape(-1, 1, 1, 1)
    eps = (z_t - bar.sqrt() * z_0) / (1 - bar).sqrt()
    v = bar.sqrt() * eps - (1 - bar).sqrt() * z_0
    torch.testing.assert_close(found, v.square().mean(), rtol=1e-4, atol=0)


def test_copies_are_moved_by_up_to_the_shift_with_their_border_repeated():
    """Every corner of the range is drawn, and a pixel keeps its neighbours."""
    y, x = torch.meshgrid(torch.arange(5.0), torch.arange(7.0), indexing="ij")
    image = torch.stack([x, y])[None]
    found = copies(image, 211, 2, generator(1))
    assert found.shape == (211, 2, 5, 7)
    moved_x = found[:, 0, 0, 3] - 3
    moved_y = found[:, 1, 2, 0] - 2
    assert {*zip(moved_x.tolist(), moved_y.tolist(), strict=True)} == {
        (a, b) for a in range(-2, 3) for b in range(-2, 3)
    }
    wanted_x = (x + moved_x[:, None, None]).clamp(0, 6)
    assert torch.equal(found[:, 0], wanted_x)
    assert torch.equal(copies(image, 3, 0, generator(1)), image.expand(3, -1, -1, -1))


def test_only_attention_is_adapted_and_only_inside_the_block(bundle, image):
    before = {name: weight.clone() for name, weight in bundle.unet.state_dict().items()}
    context = bundle.encode_text([""])
    with identity_lora(bundle, image, context, HOW, 0):
        layers = {
            name.split(".lora.")[0]
            for name, _ in bundle.unet.named_parameters()
            if ".lora." in name
        }
        assert layers and all(".attn1." in name or ".attn2." in name for name in layers)
        assert not any(p.requires_grad for p in bundle.unet.parameters())
        assert all(torch.equal(bundle.unet.state_dict()[name], w) for name, w in before.items())
    after = bundle.unet.state_dict()
    assert after.keys() == before.keys() and lora.adapters(bundle.unet) == ()


def test_all_layers_are_adapted_if_asked_for(bundle, image):
    count = len(lora_targets.layers(bundle.unet))
    with identity_lora(bundle, image, bundle.encode_text([""]), replace(HOW, layers="all"), 0):
        assert len(lora.lora_parameters(bundle.unet, NAME)) == 2 * count
    assert lora.adapters(bundle.unet) == ()


def test_a_smooth_lora_stays_and_does_not_learn(tiny, image):
    from latentgeo.models.formats.load import load_text_to_image

    bundle = load_text_to_image(tiny.model, "smooth_lora")
    before = {name: weight.clone() for name, weight in bundle.unet.state_dict().items()}
    with identity_lora(bundle, image, bundle.encode_text([""]), HOW, 0):
        assert set(lora.adapters(bundle.unet)) == {lora.DEFAULT, NAME}
    after = bundle.unet.state_dict()
    assert lora.adapters(bundle.unet) == (lora.DEFAULT,)
    assert all(torch.equal(after[name], weight) for name, weight in before.items())


def test_a_seed_gives_one_adapter_and_the_global_generator_is_left_alone(bundle, image):
    context = bundle.encode_text([""])
    state = torch.get_rng_state()
    runs = []
    for seed in (3, 3, 4):
        with identity_lora(bundle, image, context, HOW, seed) as losses:
            runs.append(losses)
    assert runs[0] == runs[1] != runs[2]
    assert torch.equal(torch.get_rng_state(), state)


def test_no_steps_are_no_adapter_and_a_failure_removes_it(bundle, image):
    context = bundle.encode_text([""])
    with identity_lora(bundle, image, context, Identity(steps=0), 0) as losses:
        assert losses == [] and lora.adapters(bundle.unet) == ()
    with pytest.raises(KeyError), identity_lora(bundle, image, context, HOW, 0):
        raise KeyError
    assert lora.adapters(bundle.unet) == ()
