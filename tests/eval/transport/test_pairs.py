"""Pairs of prompts: spread over similarities, each prompt once, the first of them balanced."""

from collections import Counter

import pytest
import torch

from latentgeo.eval.metrics.heldout import captioned
from latentgeo.eval.transport.pairs import BINS, pooled, prompt_pairs, spread_pairs
from latentgeo.infer.sampling.loading import load_model
from latentgeo.infer.walks.prompt_walk import Clouds


def test_pooled_is_the_first_end_token_at_unit_length():
    points = torch.tensor([[[1.0, 0], [3, 4], [0, 2]], [[1, 0], [0, -2], [5, 5]]])
    found = pooled(Clouds(points=points, real=torch.tensor([2, 2])))
    torch.testing.assert_close(found, torch.tensor([[0.6, 0.8], [0, -1]], dtype=torch.float64))


def test_pairs_are_spread_evenly_and_share_nobody():
    generator = torch.Generator().manual_seed(0)
    points = torch.nn.functional.normalize(torch.randn(101, 3, generator=generator), dim=1)
    cosine = points @ points.T
    pairs = spread_pairs(cosine, 23)
    members = [member for pair in pairs for member in pair]
    assert len(set(members)) == 46 and all(i < j for i, j in pairs)
    found = torch.tensor([cosine[pair] for pair in pairs]).sort().values
    upper = cosine.triu(1)[torch.triu_indices(101, 101, 1).unbind()]
    even = torch.linspace(float(upper.min()), float(upper.max()), 23)
    assert (found - even).abs().max() < 0.02


def test_every_prompt_can_be_used():
    """With two prompts a pair nobody is left, and still all are apart."""
    cosine = torch.eye(14) + torch.arange(196.0).reshape(14, 14) / 1000
    pairs = spread_pairs(cosine, 7)
    assert sorted(member for pair in pairs for member in pair) == list(range(14))


def test_bins_are_fifths_and_balanced_from_the_first_pair(tiny):
    bundle = load_model(str(tiny.model), "cpu")
    captions = captioned(tiny.data).captions + captioned(tiny.data, "train").captions
    pairs = prompt_pairs(bundle, captions, 11)
    assert sorted(Counter(pair.bin for pair in pairs).values()) == [2, 2, 2, 2, 3]
    assert {pair.bin for pair in pairs[:BINS]} == set(range(BINS))
    by_similarity = sorted(pairs, key=lambda pair: pair.similarity)
    assert [pair.bin for pair in by_similarity] == sorted(pair.bin for pair in pairs)
    assert pairs == prompt_pairs(bundle, captions, 11)


def test_prompts_that_are_one_to_the_model_count_once(tiny):
    bundle = load_model(str(tiny.model), "cpu")
    prompts = ["a hat", "A hat ", "a cat"]
    (pair,) = prompt_pairs(bundle, prompts, 1)
    assert {pair.first, pair.second} == {"a hat", "a cat"}
    with pytest.raises(ValueError, match="got 2 different ones, wanted 2 for each of 2 pairs"):
        prompt_pairs(bundle, prompts, 2)
