"""What is measured of a walk, on a tiny model: ends are shared, paths are W2's, rows are kept."""

import json
from dataclasses import replace

import pytest
import torch

from latentgeo.eval.transport.pairs import Pair
from latentgeo.eval.transport.walks import (
    Protocol,
    geometry,
    image_steps,
    images_of_walks,
    measure,
    measured_row,
)
from latentgeo.infer.sampling.pipeline import sampling_of, seed_noises
from latentgeo.infer.walks.prompt_walk import Clouds, clouds_of, context_walk, images_of
from latentgeo.infer.walks.walk import adjacent_distances
from latentgeo.models.perceptual import load_lpips

PAIRS = [
    Pair(first="a sad person", second="a person with short hair", similarity=0.3, bin=0),
    Pair(first="a hat", second="a smiling person", similarity=0.5, bin=1),
]
COUPLINGS = ("index", "optimal", "random")
PROTOCOL = Protocol(pairs=PAIRS, first=2, couplings=COUPLINGS, noises=2, frames=4, seed=3)


@pytest.fixture(scope="module")
def lpips():
    return load_lpips()


@pytest.fixture(scope="module")
def sampling(bundle):
    return sampling_of(bundle, 1, 2.0, batch=5)


def test_ends_are_drawn_once_and_belong_to_every_walk(bundle, sampling):
    clouds = clouds_of(bundle, ["a hat", "a smiling person"])
    walks = {name: context_walk(clouds, name, 4, 0) for name in COUPLINGS}
    noise = seed_noises([5], bundle.latent_shape)
    found = images_of_walks(bundle, noise, walks, sampling)
    for name in COUPLINGS:
        alone = images_of(bundle, noise.expand(4, -1, -1, -1), walks[name], sampling)
        torch.testing.assert_close(found[name], alone, rtol=0, atol=1e-4)
        assert torch.equal(found[name][[0, -1]], found["index"][[0, -1]])


def test_steps_are_between_neighbours(lpips):
    """OT Sec. 5: one pair of neighbours at a time."""
    images = torch.rand(3, 3, 32, 32, generator=torch.Generator().manual_seed(0)) * 2 - 1
    found = image_steps(images, lpips)
    expected = [float(lpips.distance(images[i : i + 1], images[i + 1 : i + 2])) for i in (0, 1)]
    assert found["lpips"] == pytest.approx(expected)
    assert found["pixels"] == pytest.approx(adjacent_distances(images[None])[0].tolist())


def test_a_row_tells_the_geometry_and_the_steps(bundle, lpips, sampling):
    row = measured_row(bundle, PROTOCOL, sampling, lpips, (1, 0))
    assert (row["pair"], row["noise"], row["bin"]) == (1, 0, 1)
    walks = row["couplings"]
    assert list(walks) == list(COUPLINGS)
    assert all(len(walk["lpips"]) == len(walk["pixels"]) == 3 for walk in walks.values())
    assert walks["optimal"]["path"] == pytest.approx(row["w2"], rel=1e-5)
    assert walks["optimal"]["path"] <= walks["index"]["path"] <= row["w2_index"] * (1 + 1e-6)
    assert row["w2_gaussian"] <= row["w2"]
    assert json.loads(json.dumps(row)) == row
    other = measured_row(bundle, PROTOCOL, sampling, lpips, (1, 1))
    assert other["w2"] == row["w2"] and other["ends"] != row["ends"]


def test_geometry_of_clouds_that_are_known():
    """Two text tokens that change places, two of padding that move by 1: index pays for all."""
    x = torch.tensor([[0.0, 0], [5, 0], [0, 9], [0, 19]])
    y = torch.tensor([[5.0, 0], [0, 0], [0, 10], [0, 20]])
    found = geometry(Clouds(points=torch.stack([x, y]), real=torch.tensor([2, 2])))
    assert found["real"] == [2, 2] and found["padded"] == 0.5
    assert found["moved"] == 0.5 and found["moved_real"] == 1.0
    assert found["padding_cost"] == pytest.approx(2 / 52)
    assert found["w2"] == pytest.approx((2 / 4) ** 0.5)
    assert found["w2_index"] == pytest.approx((52 / 4) ** 0.5)


def test_rows_are_kept_and_gone_on_with(bundle, lpips, sampling, tmp_path):
    """Also from a run of the first pairs alone, whose rows are those of all."""
    identity = {"model": "tiny"}
    start = measure(bundle, replace(PROTOCOL, first=1), sampling, lpips, tmp_path, identity)
    assert [(row["pair"], row["noise"]) for row in start] == [(0, 0), (0, 1)]
    rows = measure(bundle, PROTOCOL, sampling, lpips, tmp_path, identity)
    assert [(row["pair"], row["noise"]) for row in rows] == [(0, 0), (1, 0), (0, 1), (1, 1)]
    path = tmp_path / "rows-0.jsonl"
    lines = path.read_text().splitlines()
    assert len(lines) == 4
    path.write_text("\n".join([lines[2], lines[0][:50]]))
    again = measure(bundle, PROTOCOL, sampling, lpips, tmp_path, identity)
    assert again == rows
    with pytest.raises(ValueError, match=r"other settings \(model\)"):
        measure(bundle, PROTOCOL, sampling, lpips, tmp_path, {"model": "other"})
