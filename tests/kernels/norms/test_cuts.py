"""Tiles of norms: they cover a span once, hold no more than was allowed, and are full or masked."""

import pytest

pytest.importorskip("triton")

from latentgeo.kernels.norms.cuts import cut

MAPS = [
    (32, 320, 64 * 64),
    (32, 1280, 64),
    (32, 960, 48 * 40),
    (1, 768, 1),
    (5, 35, 7),
    (1, 9000, 1),
]


@pytest.mark.parametrize("last", [False, True])
@pytest.mark.parametrize(("groups", "channels", "places"), MAPS)
def test_tiles_cover_a_span(groups, channels, places, last):
    found = cut(groups, channels, places, last, most=4096, per_thread=16)
    assert found.channels * found.places <= 4096 and found.spans * found.span == channels
    splits = found.tiles // found.abreast
    assert found.abreast * found.channels >= found.span > (found.abreast - 1) * found.channels
    assert splits * found.places >= places > (splits - 1) * found.places
    numbers = found.tiles * found.channels * found.places
    assert found.full == (numbers == found.span * places)
    assert found.mixed == (last and found.tiles > 1)


def test_tiles_of_latents_have_nothing_outside():
    """Positions first: rows of a channel. Channels first: 64 of them, in full lines of memory."""
    first = cut(32, 320, 64 * 64, False, most=4096, per_thread=16)
    assert (first.channels, first.places, first.tiles, first.full) == (1, 4096, 10, True)
    last = cut(32, 320, 64 * 64, True, most=4096, per_thread=16)
    assert (last.channels, last.places, last.spans, last.full) == (64, 64, 1, True)
