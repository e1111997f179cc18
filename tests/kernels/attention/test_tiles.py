"""The widths of blocks and the table of tiles."""

import pytest

from latentgeo.kernels.attention.tiles import HALF, SINGLE, tile, widest, widths


def is_power(n):
    return n & (n - 1) == 0


def test_widths_are_powers_of_two_that_hold_d_and_waste_little():
    for d in range(1, 257):
        for bytes_each, least in ((2, 16), (4, 32), (8, 16)):
            first, second = widths(d, bytes_each)
            least = 32 if first == 128 else least
            assert is_power(first) and is_power(second) and first >= 16
            assert second == 0 or least <= second < first
            assert d <= first + second <= max(least, 1.5 * d + least // 2)


def test_widths_of_the_models_heads():
    """SD 1.5 has heads of 40, 80 and 160, others of 64, 72, 96, 128 and 136."""
    heads = (40, 80, 160, 64, 72, 96, 128, 136)
    half = [(32, 16), (64, 16), (128, 32), (64, 0), (64, 16), (64, 32), (128, 0), (128, 32)]
    single = [(64, 0), (64, 32), (128, 32), (64, 0), (64, 32), (64, 32), (128, 0), (128, 32)]
    assert [widths(d, 2) for d in heads] == half
    assert [widths(d, 4) for d in heads] == single


@pytest.mark.parametrize("capability", [None, (8, 0), (8, 6), (9, 0), (10, 0), (12, 0)])
@pytest.mark.parametrize("bytes_each, table", [(2, HALF), (4, SINGLE)])
def test_every_width_has_a_tile_of_powers_of_two(bytes_each, table, capability):
    for kernel in table:
        for d in range(1, widest(bytes_each) + 1):
            rows, columns, warps, stages = tile(kernel, d, bytes_each, capability)
            assert all(is_power(n) for n in (rows, columns, warps)) and stages >= 1
            assert rows >= 16 and columns >= 16


def test_capabilities_differ_where_they_should():
    assert tile("forward", 40, 2, (9, 0)) != tile("forward", 40, 2, (8, 0))
    assert tile("hvp_queries", 80, 2, (8, 0)) == tile("hvp_queries", 80, 2, None)
    assert tile("hvp_queries", 128, 2, (8, 0)) == tile("hvp_queries", 128, 2, (9, 0))
    assert tile("hvp_queries", 128, 2, (8, 0)) != tile("hvp_queries", 128, 2, (8, 6))
    assert tile("forward", 40, 4, (9, 0)) == tile("forward", 40, 4, None)
