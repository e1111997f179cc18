"""Rows of a tiny model against what they are defined as, written out for one job."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from latentgeo.core.interpolate import slerp
from latentgeo.eval.isometric import rows as isometry_rows
from latentgeo.eval.isometric.rows import (
    Subject,
    encoder,
    packed,
    pair_rows,
    sample_rows,
    spectrum,
    spectrum_rows,
    unpacked,
    walk_rows,
)
from latentgeo.eval.isometric.settings import EvalIsometry
from latentgeo.eval.metrics.quality import FD, load_judges
from latentgeo.infer.sampling.unprompted import ImageSampling, generate_images, visited_times
from latentgeo.models.bundles.image_model import new_image_model
from latentgeo.models.bundles.presets_image_models import TRAINED_PRESETS
from latentgeo.models.perceptual import load_lpips

CMD = EvalIsometry(
    models=("m",), out=Path("out"), steps=2, frames=3, ppl_epsilon=1e-4, times=(700,)
)


@pytest.fixture(scope="module")
def subject():
    config = TRAINED_PRESETS["tiny"]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = new_image_model(replace(config, sampling=replace(config.sampling, size=32)))
        model.eval().unet.double()
    sampling = ImageSampling(steps=2, batch=5)
    return Subject(model=model, sampling=sampling, lpips=load_lpips().double())


def test_a_job_has_its_noise_whatever_is_with_it(subject):
    noise = subject.noise(1, "sample", range(5))
    assert torch.equal(subject.noise(1, "sample", [3])[0], noise[3])
    assert noise.dtype == torch.float64
    others = subject.noise(2, "sample", [3]), subject.noise(1, "pair a", [3])
    assert all((other[0] - noise[3]).abs().max() > 0.1 for other in others)


def test_images_are_those_of_the_sampler(subject):
    noise = subject.noise(0, "sample", range(3))
    (wanted,) = generate_images(subject.model, noise, subject.sampling, range(3))
    torch.testing.assert_close(subject.images(noise).float(), wanted)


def test_path_length_is_a_difference_quotient(subject):
    """Iso Sec. 4.1b: the printed form is ε times ours, and a tenth of ε finds the same."""
    (row,) = pair_rows(subject, CMD, [1])
    (linear,) = pair_rows(subject, replace(CMD, ppl_scale="linear"), [1])
    assert linear["length"] == pytest.approx(row["length"] * CMD.ppl_epsilon)
    (finer,) = pair_rows(subject, replace(CMD, ppl_epsilon=1e-5), [1])
    assert finer["length"] == pytest.approx(row["length"], rel=0.02)
    assert 0 <= row["rounding"] < 1e-9 * row["length"]  # of float64
    last, beyond = pair_rows(subject, CMD, [7, 8])
    assert "rounding" in last and "rounding" not in beyond


def test_both_places_of_a_pair_are_on_its_arc(subject, monkeypatch):
    """Iso Sec. 4.1b: w is uniform in [0, 1 - ε]; a pair has the same place of it for every ε."""
    seen = {}

    def noted(images, distance, a, b, w, epsilon, scale):
        seen[epsilon] = w
        return torch.zeros(len(w))

    monkeypatch.setattr(isometry_rows, "path_lengths", noted)
    for epsilon in (1e-9, 0.25, 0.5):
        pair_rows(subject, replace(CMD, ppl_epsilon=epsilon), range(50, 90))
    place = seen[1e-9]
    assert 0 <= place.min() < 0.1 and 0.9 < place.max() < 1
    for epsilon in (0.25, 0.5):
        torch.testing.assert_close(seen[epsilon], (1 - epsilon) * place)


def test_rounding_is_that_of_as_many_pairs_as_are_asked_for(subject):
    """Iso Sec. 4.1b: those below 8, which may be any number of those at hand."""
    rows = pair_rows(subject, CMD, [5, 6, 7, 8])
    assert [0 <= row.get("rounding", 1) < 1e-9 * row["length"] for row in rows] == [True] * 3 + [
        False
    ]


def test_walks_are_arcs_of_noise_and_what_they_become(subject):
    """Iso Sec. 4.1c, Iso Fig. 5, Iso Fig. 6: RTL at the first time is of h on the slerp itself."""
    both = walk_rows(subject, CMD, [0, 1])
    visited = visited_times(subject.model, subject.sampling)
    for job in (0, 1):
        a, b = (subject.noise(CMD.seed, f"walk {end}", [job]) for end in "ab")
        frames = torch.cat([a, slerp(a, b, 0.5), b])
        with torch.no_grad():
            h = subject.model.encode_h(frames, torch.full((3,), visited[0]))[0].flatten(1)
        first, second, whole = ((h[i] - h[j]).norm() for i, j in ((0, 1), (1, 2), (0, 2)))
        assert both[job]["rtl"][0] == pytest.approx(((first + second) / whole).item())
        assert tuple(both[job]["times"]) == visited[:-1]
        images = subject.images(frames)
        steps = subject.lpips.distance(images[:-1], images[1:])
        assert both[job]["lpips"] == pytest.approx(steps.tolist(), rel=1e-6)
    (alone,) = walk_rows(subject, CMD, [1])
    assert alone["rtl"] == pytest.approx(both[1]["rtl"])


def test_spectra_are_of_h_at_noisy_images(subject):
    """Iso Eq. 10, Iso Eq. 11: σ of ∂h/∂x_t, exactly of pooled h, from both ends of all of it."""
    x_0 = torch.zeros(2, 3, 32, 32, dtype=torch.float64)
    cmd = replace(CMD, cells=(16, 1), exact=0.2, lanczos=5)
    rows = spectrum_rows(subject, cmd, [0, 1], x_0)
    bar = subject.model.schedule.alpha_bar[700]
    x_t = (1 - bar).sqrt() * subject.noise(0, "noise at 700", [1])
    f = encoder(subject.model, 700, 16)
    J = torch.autograd.functional.jacobian(lambda x: f(x).flatten(), x_t).flatten(1)
    small = rows[1]["spectra"]["16"]["700"]
    assert "residual" not in small
    assert small["values"] == pytest.approx(torch.linalg.svdvals(J).tolist())
    large = rows[1]["spectra"]["1"]["700"]
    assert len(large["values"]) == len(large["residual"]) == 5


def test_both_ways_to_a_spectrum_agree(subject):
    """Iso Eq. 10: with as many steps as there are values."""
    x = subject.noise(0, "sample", [0])
    f = encoder(subject.model, 500, 16)
    (whole,) = spectrum(f, x, CMD)
    (ends,) = spectrum(f, x, replace(CMD, exact=0))
    assert ends["values"] == pytest.approx(whole["values"], rel=1e-8)


def test_samples_are_judged(subject):
    judges = load_judges()
    rows = sample_rows(
        subject, CMD, [0, 1], judges, lambda x: {"dark": torch.tensor([[0.25, 0.75]] * len(x))}
    )
    images = subject.images(subject.noise(0, "sample", [0, 1])).float()
    features = unpacked([row["features"] for row in rows], FD)
    torch.testing.assert_close(features, judges.judge(images, None).features)
    assert rows[1]["attributes"] == {"dark": [0.25, 0.75]}
    assert not sample_rows(subject, CMD, [0], judges, None)[0]["attributes"]


def test_vectors_come_back_from_text():
    vector = torch.tensor([1.5, -(2.0**-100), 3e38])
    assert torch.equal(unpacked([{"a": packed(vector)}], "a"), vector[None])
