"""Edits of attention maps, entry by entry as the paper prints them."""

import pytest
import torch

from latentgeo.core.prompt_to_prompt import (
    Word,
    align,
    blended,
    edited,
    region,
    reweighted,
    together,
    word_map,
    word_pairs,
)

L = 11


def words(*sizes, texts):
    """Words of so many tokens each, one after the other, and what pads the rest to L."""
    found, at = [], 0
    for size, text in zip(sizes, texts.split(), strict=True):
        found.append(Word(text, tuple(range(at, at + size))))
        at += size
    return [*found, Word("pad", tuple(range(at, L)))]


def maps(*shape, seed=0):
    return torch.randn(
        *shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed)
    ).softmax(-1)


SOURCE = words(1, 2, 1, 3, texts="a black cat sleeping")
SWAPPED = words(1, 2, 1, 3, texts="a black dog sleeping")
REFINED = words(1, 2, 1, 1, 3, texts="a black old cat sleeping")
SHORTER = words(1, 1, 1, 3, texts="a white cat sleeping")


def test_the_same_prompt_is_the_identity():
    """P2P Sec. 3.2b: A(j) = j, so the edit gives the source's maps."""
    same = align(SOURCE, SOURCE, L)
    assert torch.equal(same.matrix[0], torch.eye(L, dtype=torch.float64)) and not same.own.any()


def test_a_swapped_word_takes_the_sources_map():
    """P2P Sec. 3.2a, word swap: Edit = M_t, whatever the target's maps are."""
    source, target = maps(2, 3, 5, L), maps(2, 3, 5, L, seed=1)
    swap = together([align(SOURCE, SWAPPED, L), align(SOURCE, SOURCE, L)])
    torch.testing.assert_close(edited(source, target, swap), source, rtol=0, atol=1e-15)
    kept = edited(source[:1], target[:1], align(SOURCE, SWAPPED, L, swap=False))
    for j in range(L):
        expected = target[:1, ..., j] if j == 3 else source[:1, ..., j]
        torch.testing.assert_close(kept[..., j], expected, rtol=0, atol=1e-15)


def test_refinement_is_the_printed_edit():
    """P2P Sec. 3.2b: (M*_t)_{i,j} where A(j) is none, else (M_t)_{i,A(j)}, entry by entry."""
    source, target = maps(1, 2, 5, L), maps(1, 2, 5, L, seed=1)
    out = edited(source, target, align(SOURCE, REFINED, L))
    behind = {0: 0, 1: 1, 2: 2, 3: None, 4: 3, 5: 4, 6: 5, 7: 6, 8: 7, 9: 8}  # the last: padding
    for j, its in behind.items():
        expected = target[..., j] if its is None else source[..., its]
        torch.testing.assert_close(out[..., j], expected, rtol=0, atol=1e-15)
    torch.testing.assert_close(out[..., 10], source[..., 9:].sum(-1), rtol=0, atol=1e-15)


def test_words_of_other_lengths_share_the_attention_out():
    """P2P Sec. 3.2a: rows of maps still sum to 1 where no word is added, in both directions."""
    for one, other in ((SOURCE, SHORTER), (SHORTER, SOURCE)):
        found = align(one, other, L)
        torch.testing.assert_close(found.matrix.sum(-1), torch.ones(1, L).double())
        out = edited(maps(1, 2, 5, L), maps(1, 2, 5, L, seed=1), found)
        torch.testing.assert_close(out.sum(-1), torch.ones(1, 2, 5).double())
    merged = align(SOURCE, SHORTER, L).matrix[0, :, 1]  # "black" has two tokens, "white" one
    assert merged.tolist() == [0, 1, 1, *[0] * 8]


def test_words_that_were_taken_out_are_behind_nothing():
    found = align(REFINED, SOURCE, L)
    assert found.matrix[0, 3].sum() == 0 and not found.own.any()


def test_pairs_follow_the_order_and_swap_only_one_for_one():
    source, target = "a red car by the sea".split(), "a blue van by a lake".split()
    assert word_pairs(source, target, True) == [(i, i) for i in range(6)]
    assert word_pairs(source, target, False) == [(0, 0), (3, 3)]
    assert word_pairs(["red", "car"], ["small", "old", "bus"], True) == []


def test_weights_scale_their_tokens():
    """P2P Sec. 3.2c: c (M_t)_{i,j} at j*, the rest as it was; c = 1 changes nothing at all."""
    source = maps(2, 3, 5, L)
    weights = torch.ones(2, L, dtype=torch.float64)
    assert torch.equal(reweighted(source, weights), source)
    weights[1, 4] = -2.0
    out = reweighted(source, weights)
    torch.testing.assert_close(out[1, ..., 4], -2 * source[1, ..., 4], rtol=0, atol=0)
    out[1, ..., 4] = source[1, ..., 4]
    assert torch.equal(out, source)


def test_a_word_map_is_the_words_attention_by_pixel():
    attention, chosen = maps(2, 3, 6, L), torch.zeros(2, L, dtype=torch.float64)
    chosen[0, 2] = chosen[1, 7] = chosen[1, 8] = 1
    out = word_map(attention, chosen, (2, 3))
    assert out.shape == (2, 1, 2, 3)
    expected = attention[0, :, 4, 2].mean()  # pixel 4 is row 1, column 1
    torch.testing.assert_close(out[0, 0, 1, 1], expected)
    torch.testing.assert_close(out[1, 0, 0, 2], attention[1, :, 2, 7:9].sum(-1).mean())


def test_a_region_is_where_the_map_is_high():
    """P2P Alg. 1: B(x) = x > k over the largest value, the same for a map of any scale."""
    found = torch.tensor([[0.1, 0.2, 1.0], [0.1, 0.29, 0.31]]).double()[None, None]
    inside = region(torch.cat([found, 1e-4 * found]), (2, 3), 0.3)
    assert inside[0].tolist() == [[[False, False, True], [False, False, True]]]
    assert torch.equal(inside[0], inside[1])
    assert region(found, (7, 5), 0.0).all()
    assert not region(torch.zeros(1, 1, 2, 3), (4, 6)).any()


@pytest.mark.parametrize("value", [True, False])
def test_a_mask_of_ones_is_no_blend(value):
    """P2P Alg. 1: α = 1 leaves the target, α = 0 the source."""
    source, target = torch.zeros(2, 3, 5, 7), torch.ones(2, 3, 5, 7)
    out = blended(source, target, torch.full((2, 1, 5, 7), value))
    assert torch.equal(out, target if value else source)
