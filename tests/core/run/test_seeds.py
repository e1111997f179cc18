"""Seeds and streams, and random states that come back exactly."""

import random

import numpy
import pytest
import torch

from latentgeo.core.run.seeds import (
    capture_random_state,
    generator,
    mix,
    restore_random_state,
    seed_everything,
)

NO_GPU = pytest.mark.skipif(torch.cuda.is_available(), reason="checks a machine without a GPU")
GPU = pytest.mark.skipif(not torch.cuda.is_available(), reason="torch finds no CUDA GPU")


@pytest.fixture(autouse=True)
def kept():
    """Tests leave the random state as it was."""
    state = capture_random_state()
    yield
    restore_random_state(state)


def test_streams_are_repeatable_and_differ():
    streams = [(seed, name, rank) for seed in range(5) for name in "ab" for rank in range(5)]
    assert len({mix(*stream) for stream in streams}) == len(streams)
    assert mix(3) == 3
    assert torch.equal(
        torch.randn(5, generator=generator(0, "noise", 1)),
        torch.randn(5, generator=generator(0, "noise", 1)),
    )


def test_mix_is_the_same_on_every_machine():
    """The value is fixed: changing it would change every seeded result."""
    assert mix(0, "noise", 1) == 1413489107338554685


def draw():
    numbers = [random.random(), random.gauss(), numpy.random.rand(), numpy.random.randn()]
    return [*numbers, *torch.randn(3).tolist()]


def test_a_seed_sets_all_generators_and_ranks_differ():
    drawn = []
    for seed, rank in [(0, 0), (0, 0), (0, 1), (1, 0)]:
        seed_everything(seed, rank)
        drawn.append(draw())
    assert drawn[0] == drawn[1]
    for one, two in [(0, 2), (0, 3), (2, 3)]:
        assert not set(drawn[one]) & set(drawn[two])


@pytest.mark.parametrize("before", range(3))
def test_a_random_state_comes_back_exactly(tmp_path, before):
    """After an odd number of normal draws both python and numpy hold a second one back."""
    seed_everything(7)
    for _ in range(before):
        draw()
    torch.save(capture_random_state(), tmp_path / "state.pt")
    first = draw()
    draw()
    restore_random_state(torch.load(tmp_path / "state.pt", weights_only=True))
    assert draw() == first


@NO_GPU
def test_a_gpu_state_without_a_gpu_warns():
    state = capture_random_state()
    with pytest.warns(UserWarning, match="not captured for device cpu"):
        restore_random_state(state | {"cuda": torch.zeros(16, dtype=torch.uint8)})


@GPU
@pytest.mark.gpu
def test_gpu_random_state_round_trip():
    state = capture_random_state("cuda")
    first = torch.rand(7, device="cuda")
    restore_random_state(state, "cuda")
    assert torch.equal(torch.rand(7, device="cuda"), first)


@pytest.mark.parametrize("seed", [-1, 2**64, 10**30])
def test_a_seed_of_no_generator_is_named(seed):
    for use in (mix, generator, seed_everything):
        with pytest.raises(ValueError, match=rf"^seed must be .* below 2\*\*64, got {seed}$"):
            use(seed)
    assert mix(2**64 - 1) == 2**64 - 1 and generator(2**64 - 1).initial_seed() == 2**64 - 1
