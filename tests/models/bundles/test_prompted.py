"""A text-to-image model under prompts is a model of latents: its predictions, its bottleneck."""

import pytest
import torch

from latentgeo.infer.sampling.loading import load_model
from latentgeo.models.bundles.prompted import Prompted
from latentgeo.models.bundles.text_to_image import TextToImage
from tests.conftest import Tiny


@pytest.fixture
def bundle(tiny: Tiny) -> TextToImage:
    return load_model(str(tiny.model), "cpu")


def test_predictions_are_the_bundles(bundle: TextToImage) -> None:
    """LDM Sec. 3.3: ε_θ(z_t, t, τ_θ(y)), with a prompt for each sample or one for all."""
    prompts = ["a red disc", "a green disc"]
    model = Prompted(bundle, prompts)
    z, t = torch.randn(2, *model.shape), torch.tensor([700, 3])
    wanted = bundle.predict(bundle.encode_text(prompts))(z, t)
    torch.testing.assert_close(model.predict()(z, t), wanted)
    h, skips = model.encode_h(z, t)
    raw = bundle.raw(bundle.encode_text(prompts))(z, t)
    torch.testing.assert_close(model.decode_h(h, skips, t), raw)
    model.tell(["a green disc"])
    torch.testing.assert_close(model.encode_h(z, t)[0][1], h[1])
    assert not torch.allclose(model.encode_h(z, t)[0][0], h[0])


def test_latents_are_the_bundles(bundle: TextToImage) -> None:
    """Schedule, shape and autoencoder are those of the text-to-image model."""
    model = Prompted(bundle)
    assert model.shape == bundle.latent_shape
    assert torch.equal(model.schedule.alpha_bar, bundle.schedule.alpha_bar)
    z = torch.randn(1, *model.shape)
    torch.testing.assert_close(model.decode(z), bundle.decode(z))
