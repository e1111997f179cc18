"""Attention sees a measure: order, multiplicity and masks, against PyTorch's own attention."""

import pytest
import torch
from torch.nn.functional import scaled_dot_product_attention

from latentgeo.core.attention_measure import attend


def tokens(m=7, seed=0):
    generator = torch.Generator().manual_seed(seed)
    q = torch.randn(5, 3, generator=generator, dtype=torch.float64)
    k = torch.randn(m, 3, generator=generator, dtype=torch.float64)
    v = torch.randn(m, 2, generator=generator, dtype=torch.float64)
    return q, k, v, torch.full((m,), 1 / m, dtype=torch.float64)


def same(a, b):
    torch.testing.assert_close(a, b, rtol=1e-12, atol=1e-13)


def test_uniform_mass_is_attention():
    """OT Eq. 1: softmax_row(QKᵀ/√D) V by another implementation."""
    q, k, v, mass = tokens()
    same(attend(q, k, v, mass), scaled_dot_product_attention(q[None], k[None], v[None])[0])


def test_rows_permute_and_columns_do_not():
    """OT Sec. 2.1, OT Err. 1: tokens are rows; the columns, which the poster names, are not
    free.
    """
    q, k, v, mass = tokens()
    order = torch.tensor([3, 0, 6, 1, 5, 2, 4])
    out = attend(q, k, v, mass)
    same(attend(q, k[order], v[order], mass[order]), out)
    assert (attend(q, k[order], v, mass) - out).abs().max() > 0.1
    assert (attend(q, k, v[order], mass) - out).abs().max() > 0.1
    columns = torch.tensor([2, 0, 1])
    assert (attend(q, k[:, columns], v[:, [1, 0]], mass) - out).abs().max() > 0.1


def test_a_token_twice_is_twice_the_mass():
    """OT Sec. 2.1: two δ at one place are one of the sum; all tokens twice is the same measure."""
    q, k, v, mass = tokens()
    merged = attend(q, k, v, torch.tensor([2.0, 1, 1, 1, 1, 1, 1], dtype=torch.float64))
    more = [0, *range(7)]
    same(attend(q, k[more], v[more], torch.ones(8, dtype=torch.float64)), merged)
    twice = torch.cat([mass, mass]) / 2
    same(attend(q, k.repeat(2, 1), v.repeat(2, 1), twice), attend(q, k, v, mass))


def test_a_mask_is_a_part_of_the_measure():
    """OT Sec. 2.1: a masked token has no mass; tokens may be permuted with their masks only."""
    q, k, v, mass = tokens()
    mask = torch.tensor([True, True, True, False, True, False, False])
    kept = mass * mask
    out = attend(q, k, v, kept)
    masked = scaled_dot_product_attention(q[None], k[None], v[None], attn_mask=mask[None, None])
    same(out, masked[0])
    same(out, attend(q, k[mask], v[mask], kept[mask]))
    order = torch.tensor([3, 0, 6, 1, 5, 2, 4])
    same(attend(q, k[order], v[order], kept[order]), out)
    assert (attend(q, k[order], v[order], kept) - out).abs().max() > 0.1


@pytest.mark.parametrize("mass", [torch.zeros(7), -torch.ones(7), torch.ones(6)])
def test_masses_must_be_those_of_a_measure(mass):
    q, k, v, _ = tokens()
    with pytest.raises(ValueError, match="mass: wanted 7"):
        attend(q, k, v, mass.double())
