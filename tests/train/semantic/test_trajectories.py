"""The stream of starts: each for all of its times, an epoch with each once, ranks and resuming."""

import pytest
import torch

from latentgeo.train.semantic.trajectories import Paths, Trajectories, steps_of

X = torch.arange(7.0).reshape(7, 1, 1, 1)


def seen(stream, count):
    return [next(stream)[0].flatten().tolist() for _ in range(count)]


def test_an_epoch_has_every_start_once_for_all_its_times():
    found = seen(Trajectories(X, 1, 3, seed=5), 2 * 21)
    assert all(found[n] == found[n - n % 3] for n in range(42))
    first, second = (sorted(x for [x] in found[start : start + 21 : 3]) for start in (0, 21))
    assert first == second == list(range(7))
    assert steps_of(7, 1, 3, 2) == 42 and steps_of(7, 2, 3, 1) == 12


def test_ranks_see_what_one_sees_and_a_state_goes_on():
    whole = seen(Trajectories(X, 4, 3, seed=1), 12)
    parts = [seen(Trajectories(X, 4, 3, 1, rank, 2), 12) for rank in (0, 1)]
    assert [a + b for a, b in zip(*parts, strict=True)] == whole
    stream = Trajectories(X, 4, 3, seed=1)
    seen(stream, 5)
    other = Trajectories(X, 4, 3, seed=1)
    other.load_state(stream.state())
    assert seen(other, 7) == whole[5:]
    with pytest.raises(ValueError, match="places: got 2, but the run was begun with 3"):
        Trajectories(X, 4, 2, seed=1).load_state(stream.state())


def test_paths_begin_where_they_start_and_keep_what_is_written():
    paths, start = Paths(2, 3, 4), torch.arange(3.0).reshape(3, 1, 1, 1)
    places = []
    for n in range(0, 15, 3):
        place, x = paths.at(n, start)
        places.append((place, x[:, 2].flatten().tolist()))
        x[1] += 1
    assert places == [(0, [2, 2]), (1, [2, 3]), (2, [2, 4]), (3, [2, 5]), (0, [2, 2])]
    paths.settle()
    other = Paths(2, 3, 4)
    other.load_state(paths.state(), torch.device("cpu"))
    assert torch.equal(other.at(3, start)[1], x)
