"""The networks that benchmarks run beside: our weights, not copies of them, and our outputs."""

import sys

import pytest
import torch

from latentgeo.eval.bench import peers
from latentgeo.eval.bench.pairs import preset_config
from latentgeo.models.bundles.text_to_image import new_bundle


@pytest.fixture(scope="module")
def bundle():
    pytest.importorskip("diffusers")
    pytest.importorskip("transformers")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return new_bundle(preset_config("tiny")).eval()


@torch.no_grad()
def test_a_peer_computes_the_same_with_the_same_memory(bundle):
    pipe = peers.diffusers_pipeline(bundle)
    networks = {"unet": pipe.unet, "vae": pipe.vae, "text": pipe.text_encoder}
    for part, peer in networks.items():
        ours = {value.data_ptr() for value in bundle.modules[part].state_dict().values()}
        assert {value.data_ptr() for value in peer.state_dict().values()} == ours
        assert not any(parameter.requires_grad for parameter in peer.parameters())
    z, t, c = torch.randn(2, 4, 8, 8), torch.tensor([3, 700]), torch.randn(2, 7, 16)
    torch.testing.assert_close(pipe.unet(z, t, c).sample, bundle.unet(z, t, c))
    theirs = pipe.vae.decode(z / bundle.config.vae.scale).sample
    torch.testing.assert_close(theirs, bundle.vae.decode(z))
    ids = pipe.tokenizer(
        ["a face"], padding="max_length", max_length=24, return_tensors="pt"
    ).input_ids
    assert torch.equal(ids, bundle.tokenizer(["a face"]))
    torch.testing.assert_close(pipe.text_encoder(ids).last_hidden_state, bundle.text(ids))


@pytest.mark.parametrize(
    ("name", "call"), [("diffusers", peers.diffusers), ("transformers", peers.transformers)]
)
def test_a_missing_package_is_named(monkeypatch, name, call):
    monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(RuntimeError, match=rf"need the package {name}: pip install 'latentgeo\["):
        call()
