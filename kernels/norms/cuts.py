"""How a norm's (B, C, S) is cut into tiles of channels by positions.

A group that fits one tile is one. Else, with positions the faster axis in memory, groups are cut
into few tiles of one group each; with channels the faster one, tiles are MIXED: CHANNELS of them,
whatever their groups, so that memory is read in full lines.
"""

from __future__ import annotations

from math import gcd
from typing import NamedTuple

from triton import cdiv, next_power_of_2

CHANNELS = 64  # of a mixed tile
MOST_WARPS = 16


class Cut(NamedTuple):
    """Tiles of `channels` by `places`, `abreast` of them to a span's channels."""

    channels: int
    places: int
    spans: int  # of channels in a sample, that are cut one by one: groups, or 1
    span: int  # channels of one
    abreast: int
    tiles: int  # of a span
    full: bool  # nothing of a tile is outside
    warps: int
    mixed: bool
    alone: bool  # one position

    @property
    def constants(self) -> dict[str, int]:
        """What the kernels take at compile time, and their warps."""
        filed = 1 if self.mixed else next_power_of_2(self.tiles)
        return {
            "MIXED": self.mixed, "FULL": self.full, "UNIT": gcd(self.span, 16),
            "ALONE": self.alone,
            "CB": self.channels, "KB": self.places, "TILES": filed, "num_warps": self.warps,
        }  # fmt: skip


def cut(groups: int, channels: int, places: int, last: bool, most: int, per_thread: int) -> Cut:
    """Return tiles of up to `most` numbers; mixed ones have twice as many to a thread."""
    width, long = channels // groups, next_power_of_2(places)
    if next_power_of_2(width) * long <= most:
        return _cut(width, groups, places, (next_power_of_2(width), long), False, per_thread)
    if last:
        block = min(CHANNELS, next_power_of_2(channels), most)
        tile = block, min(most // block, long)
        return _cut(channels, 1, places, tile, True, 2 * per_thread)
    tiles = [(min(most >> i, next_power_of_2(width)), 1 << i) for i in range(most.bit_length())]
    fitting = [tile for tile in tiles if tile[1] <= long]
    best = min(fitting, key=lambda tile: (_count(width, places, tile), -tile[1]))
    return _cut(width, groups, places, best, False, per_thread)


def _cut(
    span: int, spans: int, places: int, tile: tuple[int, int], mixed: bool, per_thread: int
) -> Cut:
    block, long = tile
    return Cut(
        channels=block,
        places=long,
        spans=spans,
        span=span,
        abreast=cdiv(span, block),
        tiles=_count(span, places, tile),
        full=span % block == 0 and places % long == 0,
        warps=min(max(block * long // (32 * per_thread), 1), MOST_WARPS),
        mixed=mixed,
        alone=places == 1,
    )


def _count(span: int, places: int, tile: tuple[int, int]) -> int:
    found: int = cdiv(span, tile[0]) * cdiv(places, tile[1])
    return found
