"""Learned tokens: their vectors stand where the prompt has them, and nothing else changes."""

import dataclasses

import pytest
import torch

from latentgeo.models.bundles.learned_tokens import add_tokens
from latentgeo.models.bundles.presets import TEXT_PRESETS, UNET_PRESETS, VAE_PRESETS
from latentgeo.models.bundles.text_to_image import (
    BundleConfig,
    load_bundle,
    new_bundle,
    save_bundle,
)

WIDTH = TEXT_PRESETS["tiny"].width


@pytest.fixture
def bundle():
    torch.manual_seed(0)
    config = BundleConfig(
        unet=UNET_PRESETS["tiny"], vae=VAE_PRESETS["tiny"], text=TEXT_PRESETS["tiny"]
    )
    return new_bundle(config).eval()


def test_a_prompt_without_them_is_encoded_as_before(bundle):
    before = bundle.encode_text(["a cat", ""])
    add_tokens(bundle, {"<cat>": torch.randn(3, WIDTH)})
    assert torch.equal(bundle.encode_text(["a cat", ""]), before)


def test_each_vector_takes_a_place_of_its_own(bundle):
    """CLIP Sec. 2.4d: the embedding's input there is the vectors, in order, wherever a token is."""
    vectors, one = torch.randn(3, WIDTH), torch.randn(WIDTH)
    add_tokens(bundle, {"<cat>": vectors, "<dog>": one})
    ids = bundle.tokenizer(["a <cat>, <dog>"])[0]
    known = bundle.config.text.vocabulary
    places = (ids >= known).nonzero().flatten().tolist()
    assert ids[places].tolist() == [known, known + 1, known + 2, known + 3]
    found = bundle.text.embeddings.token_embedding(ids[places])
    assert torch.equal(found, torch.cat([vectors, one[None]]))
    assert bundle.learned == {"<cat>": 3, "<dog>": 1}
    assert bundle.encode_text(["a <cat>, <dog>"]).shape == (1, bundle.config.text.context, WIDTH)


def test_a_token_is_the_vector_of_its_word(bundle):
    """With the vector of a known token, the prompt means what it means with that token."""
    (word,) = bundle.tokenizer.encode("a")
    vector = bundle.text.embeddings.token_embedding.weight[word].detach()
    before = bundle.encode_text(["the a of it"])
    add_tokens(bundle, {"<new>": vector})
    assert torch.equal(bundle.encode_text(["the <new> of it"]), before)


def test_tokens_are_added_one_file_after_another(bundle):
    add_tokens(bundle, {"<one>": torch.ones(2, WIDTH)})
    add_tokens(bundle, {"<two>": torch.full((WIDTH,), 2.0)})
    add_tokens(bundle, {})
    ids = bundle.tokenizer.encode("<two> <one>")
    found = bundle.text.embeddings.token_embedding(torch.tensor(ids))
    assert found.mean(1).tolist() == [2.0, 1.0, 1.0]


def test_case_does_not_matter(bundle):
    add_tokens(bundle, {"<Cat>": torch.ones(WIDTH)})
    assert bundle.tokenizer.encode("<cat>") == bundle.tokenizer.encode("<CAT>")
    assert len(bundle.tokenizer.encode("<cat>")) == 1


def test_a_saved_model_is_without_them(bundle, tmp_path):
    before = {key: value.clone() for key, value in bundle.text.state_dict().items()}
    add_tokens(bundle, {"<cat>": torch.ones(2, WIDTH)})
    save_bundle(bundle, tmp_path)
    found = load_bundle(tmp_path)
    assert all(torch.equal(found.text.state_dict()[key], value) for key, value in before.items())
    assert found.text.config == dataclasses.replace(bundle.config.text)


@pytest.mark.parametrize(
    ("token", "vectors", "message"),
    [
        ("<x>", torch.ones(3, WIDTH + 1), r"token '<x>' is \(3, 17\), wanted \(n, 16\)"),
        ("<x>", torch.ones(0, WIDTH), r"wanted \(n, 16\)"),
        ("<x>", torch.ones(1, 2, WIDTH), r"wanted \(n, 16\)"),
        ("", torch.ones(WIDTH), "is empty or has spaces"),
        (" <x>", torch.ones(WIDTH), "is empty or has spaces"),
        ("a", torch.ones(WIDTH), "token 'a' is in the vocabulary already"),
        ("<|endoftext|>", torch.ones(WIDTH), "is in the vocabulary already"),
        ("<taken>", torch.ones(WIDTH), "is in the vocabulary already"),
    ],
)
def test_what_is_no_token_is_refused(bundle, token, vectors, message):
    """And the model is as it was."""
    add_tokens(bundle, {"<taken>": torch.ones(WIDTH)})
    before = bundle.text.embeddings.token_embedding.weight.clone()
    with pytest.raises(ValueError, match=message):
        add_tokens(bundle, {"<good>": torch.ones(WIDTH), token: vectors})
    assert torch.equal(bundle.text.embeddings.token_embedding.weight, before)
    assert bundle.learned == {"<taken>": 1}
