"""Directions, white noise and kept maps, each from another definition of it."""

from itertools import pairwise

import pytest
import torch

from latentgeo.core.pix2pix_zero import (
    Whitening,
    autocorrelation,
    divergence,
    edit_direction,
    guided_by_maps,
    map_distance,
    pyramid,
    whitened,
    whitening,
)
from latentgeo.eval.audit.errors import deviates, differs


def normal(*shape, seed=0):
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def smooth_noise(*shape, seed=0):
    """Noise whose neighbours share most of what they are, of another size and mean."""
    x = normal(*shape, seed=seed)
    return 0.4 * (x + x.roll(1, -1) + x.roll(1, -2)) + 0.3


def test_a_direction_has_only_what_all_sentences_differ_in():
    """PixZero Sec. 3.2: sentences c_i and c_i + v, whatever the c_i are, have the direction v."""
    rest, v = normal(5, 3, 7), normal(1, 3, 7, seed=1)
    torch.testing.assert_close(edit_direction(rest, rest + v), v)
    shuffled = (rest + v)[[3, 0, 4, 1, 2]]
    torch.testing.assert_close(edit_direction(rest, shuffled), v)
    least = edit_direction(rest, rest[:2])  # the translation with the least squared distances
    apart = (rest[:2, None] - (rest + least)[None]).sum((0, 1))
    torch.testing.assert_close(apart, torch.zeros_like(apart), rtol=0, atol=1e-12)


def by_spectrum(level):
    """L_pair of one level by the theorem of Wiener and Khinchin: means of products from spectra."""
    power = torch.fft.fft2(level).abs().square()
    products = torch.fft.ifft2(power).real / (level.shape[-1] * level.shape[-2])
    height, width = level.shape[-2:]
    along = products[..., 1 : height // 2 + 1, 0].square().sum(-2).mean(-1)
    across = products[..., 0, 1 : width // 2 + 1].square().sum(-2).mean(-1)
    return along + across


def test_autocorrelation_is_that_of_the_power_spectrum():
    """PixZero Sec. 3.1a: level by level, with 2 x 2 means by slicing."""
    noise = normal(3, 5, 16, 20)
    half = noise[..., ::2, ::2] + noise[..., 1::2, ::2]
    half = (half + noise[..., ::2, 1::2] + noise[..., 1::2, 1::2]) / 2
    expected = by_spectrum(noise) + by_spectrum(half)
    torch.testing.assert_close(autocorrelation(noise), expected, rtol=1e-10, atol=1e-12)


def test_every_level_of_white_noise_is_white():
    """PixZero Sec. 3.1a: variance 1 at 32, 16 and 8 pixels."""
    levels = pyramid(normal(40, 4, 32, 32))
    assert [level.shape[-1] for level in levels] == [32, 16, 8]
    for level in levels:
        count = level.numel()
        variance = level.square().mean()
        assert deviates(variance, torch.ones(()), (2 / count) ** 0.5, count) < 4


def test_printed_pairs_have_no_minimum_at_white_noise():
    """PixZero Sec. 3.1a: the printed sum is below 0 on a chessboard, ours is not."""
    board = torch.ones(1, 1, 8, 8, dtype=torch.float64)
    board[..., ::2] = -1
    printed = sum((board * (board.roll(d, -1) + board.roll(d, -2))).sum() / 64 for d in range(1, 8))
    ours = autocorrelation(board)
    assert differs(printed, ours[0]) > 0.2
    torch.testing.assert_close(ours, torch.tensor([2.0]).double())  # every mean product is ±1
    column = board * torch.tensor([1.0, -1.0]).double().repeat(4)[:, None]
    below = sum((column * (column.roll(d, -1) + column.roll(d, -2))).sum() for d in range(1, 8))
    assert below < 0 < autocorrelation(column)


def test_divergence_is_twice_that_of_two_normals():
    """PixZero Sec. 3.1b: KL(N(μ, σ²) ‖ N(0, 1)) as torch.distributions has it."""
    noise = 0.7 * normal(3, 5, 8, 8) + 0.2
    flat = noise.flatten(1)
    normal_of = torch.distributions.Normal(flat.mean(1), flat.std(1))
    standard = torch.distributions.Normal(*torch.tensor([0.0, 1.0]).double())
    expected = 2 * torch.distributions.kl_divergence(normal_of, standard)
    torch.testing.assert_close(divergence(noise), expected, rtol=0, atol=1e-6)


def test_whitening_lowers_both_losses_and_spares_white_noise():
    """PixZero Sec. 3.1b: L_auto falls at every round, and image by image."""
    noise = smooth_noise(3, 4, 16, 16)
    losses = [
        autocorrelation(x) + divergence(x)
        for x in (whitened(noise, Whitening(rounds=n)) for n in (0, 1, 2, 5))
    ]
    for before, after in pairwise(losses):
        assert (after < before).all()
    alone = torch.cat([whitened(row[None], Whitening()) for row in noise])
    torch.testing.assert_close(whitened(noise, Whitening()), alone)
    white = normal(3, 4, 16, 16, seed=2)
    moved = [(whitened(x, Whitening()) - x).norm() / x.norm() for x in (white, noise)]
    assert moved[0] < 0.3 * moved[1]


def test_no_round_is_the_network_itself():
    """PixZero Sec. 3.1b: plain inversion's ε."""
    x, t = normal(2, 4, 8, 8), torch.tensor([5, 5])
    predict = whitening(lambda x, t: 2 * x, Whitening(rounds=0))
    assert torch.equal(predict(x, t), 2 * x)
    assert not torch.equal(whitening(lambda x, t: 2 * x, Whitening())(x, t), 2 * x)


def test_the_descent_is_that_of_finite_differences():
    """PixZero Sec. 3.1b: one round's two steps, each along the slope of its loss."""
    noise = smooth_noise(1, 2, 8, 8)

    def slope(loss, at):
        found = torch.zeros_like(at)
        for i in range(at.numel()):
            step = torch.zeros_like(at)
            step.view(-1)[i] = 1e-5
            found.view(-1)[i] = (loss(at + step) - loss(at - step)).item() / 2e-5
        return found

    half = noise - 3 * slope(divergence, noise)
    expected = half - 7 * slope(autocorrelation, half)
    how = Whitening(rounds=1, divergence=3.0, correlation=7.0)
    torch.testing.assert_close(whitened(noise, how), expected, rtol=0, atol=1e-7)
    at_once = noise - 3 * slope(divergence, noise) - 7 * slope(autocorrelation, noise)
    assert 1e-4 < differs(at_once, whitened(noise, how)) < 1


@pytest.mark.parametrize("weight", [0.0, 0.1])
def test_guidance_descends_to_the_maps_of_linear_layers(weight):
    """PixZero Sec. 3.3: maps A x and B x have the gradient 2 Σ Aᵀ(A x - M) / heads."""
    layers = [normal(3, 5, 7, 11, seed=1), normal(2, 13, 3, 11, seed=2)]  # (heads, N, L, D)
    x = normal(4, 11)

    def maps(x):
        return [torch.einsum("hnld,bd->bhnl", layer, x) for layer in layers]

    reference = [normal(4, *layer.shape[:3], seed=3 + i) for i, layer in enumerate(layers)]
    slope = torch.zeros_like(x)
    for layer, theirs, mine in zip(layers, reference, maps(x), strict=True):
        slope += 2 * torch.einsum("hnld,bhnl->bd", layer, mine - theirs) / len(layer)
    found = guided_by_maps(maps, x, reference, weight)
    torch.testing.assert_close(found, x - weight * slope, rtol=1e-12, atol=1e-12)
    lower = guided_by_maps(maps, x, reference, 1e-5)
    before, after = (map_distance(maps(y), reference) for y in (x, lower))
    both = zip(maps(x), reference, strict=True)
    gaps = torch.cat([(mine - theirs).mean(1).flatten(1) for mine, theirs in both], 1)
    assert differs(gaps.norm(dim=1), before) > 0.1  # as printed, without the square
    assert (after < before).all()
