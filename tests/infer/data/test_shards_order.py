"""The order of the samples in shards: epochs, positions, ranks."""

from collections import Counter

import pytest

from latentgeo.infer.data.images import Framing
from latentgeo.infer.data.shards import ShardOrder, Shards
from tests.infer.data.test_shards import FRAMING, shards_of


def walk(order, n, first=0):
    return [int(order.read(i).image[0, 0, 0]) for i in range(first, first + n)]


def test_an_epoch_is_every_sample_once(tmp_path):
    """Shards and the samples inside them are permuted anew in each epoch, by the seed alone."""
    source = Shards(shards_of(tmp_path, 5, 0, 3, 4), FRAMING)
    epochs = walk(ShardOrder(source, seed=3), 36)
    assert [sorted(epochs[k : k + 12]) for k in (0, 12, 24)] == [list(range(12))] * 3
    assert epochs[:12] != epochs[12:24] != list(range(12))
    assert epochs == walk(ShardOrder(source, seed=3), 36) != walk(ShardOrder(source, seed=4), 36)
    assert walk(ShardOrder(source, seed=0, shuffle=False), 24) == [*range(12), *range(12)]


def test_any_position_can_be_read_first(tmp_path):
    """The sample at a position does not depend on what was read before."""
    paths = shards_of(tmp_path, 5, 3, 4)
    straight = walk(ShardOrder(Shards(paths, FRAMING), seed=1), 40)
    order = ShardOrder(Shards(paths, FRAMING), seed=1)
    assert [walk(order, 1, first=n)[0] for n in (37, 2, 20, 19)] == [
        straight[n] for n in (37, 2, 20, 19)
    ]


def test_ranks_share_out_the_shards(tmp_path):
    """With shards enough a rank reads whole shards, and no two ranks meet in an epoch."""
    source = Shards(shards_of(tmp_path, 3, 3, 3, 3), FRAMING)
    orders = [ShardOrder(source, 0, rank, 2) for rank in range(2)]
    assert [order.lanes for order in orders] == [2, 2]
    for epoch in range(3):
        seen = [walk(order, 6, first=6 * epoch) for order in orders]
        assert sorted(seen[0] + seen[1]) == list(range(12))
        assert all(len({v // 3 for v in part[k : k + 3]}) == 1 for part in seen for k in (0, 3))
    assert ShardOrder(source, 0, 4, 5).lanes == 1, "fewer shards than ranks: one common order"


def test_skipping_decodes_nothing(tmp_path, monkeypatch):
    """A far position is found from headers; only its own sample is decoded."""
    source = Shards(shards_of(tmp_path, 5, 3, 4), FRAMING)
    decoded = []
    monkeypatch.setattr(Framing, "tensor", lambda self, data, name, draw: decoded.append(name))
    ShardOrder(source, 0).read(1000)
    assert len(decoded) == 1


def test_lanes_without_any_sample_end(tmp_path):
    """In a fixed order a rank whose shards are all empty is told so, instead of waiting forever."""
    source = Shards(shards_of(tmp_path, 2, 0, 2, 0), FRAMING)
    assert walk(ShardOrder(source, 0, 0, 2, shuffle=False), 4) == [0, 1, 2, 3]
    with pytest.raises(ValueError, match="no sample in any shard"):
        ShardOrder(source, 0, 1, 2, shuffle=False).read(0)
    both = Counter(walk(ShardOrder(source, 0, 1, 2), 200))
    assert set(both) == {0, 1, 2, 3}, "shuffled, each rank comes to every shard"
