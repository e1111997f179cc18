"""Reconstructions as rows: each against the image and against the autoencoder's, and resumed."""

import numpy as np
import pytest
import torch

from latentgeo.eval.metrics.heldout import captioned
from latentgeo.eval.smooth import inverted
from latentgeo.eval.smooth.inverted import TO_IMAGE, TO_VAE, VAE, measure, reconstruct, way
from latentgeo.infer.pictures.closeness import mse
from latentgeo.models.perceptual import load_lpips


@pytest.mark.parametrize(
    ("name", "method", "guidance"),
    [("ddim", "ddim", 1.0), ("ddim-guided", "ddim", 2.5), ("null-text", "null-text", 2.5)],
)
def test_ways_are_without_guidance_up_and_with_it_back(name, method, guidance):
    """Smooth Sec. 4.1 says 7.5 of sampling; the released demo goes up with 1."""
    how = way(name, 3, 2.5, "released", 10)
    assert (how.method, how.guidance, how.guidance_up) == (method, guidance, 1.0)


def test_rows_are_measured_once_and_add_up(tiny, bundle, tmp_path, monkeypatch):
    held, lpips = captioned(tiny.data).chosen(5, 0), load_lpips()
    how = way("ddim", 2, 2.0, "released", 10)
    given = (how, 2, lpips, tmp_path, {"model": "m"})
    whole = measure(bundle, held, *given)
    assert set(whole.columns) == {TO_IMAGE, TO_VAE, VAE}
    x = held.images(bundle.config.sampling.size)
    made, own = reconstruct(bundle, x, held.captions, how)
    for name, pair in {TO_IMAGE: (made, x), TO_VAE: (made, own), VAE: (own, x)}.items():
        np.testing.assert_allclose(whole.columns[name]["MSE"], mse(*pair), rtol=1e-3)
    monkeypatch.setattr(inverted, "reconstruct", None)
    again = measure(bundle, held, *given)
    np.testing.assert_array_equal(again.columns[VAE]["LPIPS"], whole.columns[VAE]["LPIPS"])
    with pytest.raises(ValueError, match="guidance"):
        measure(bundle, held, way("ddim-guided", 2, 3.0, "released", 10), *given[1:])


def test_what_is_missing_is_measured(tiny, bundle, tmp_path):
    held, lpips = captioned(tiny.data).chosen(4, 0), load_lpips()
    how = way("ddim", 2, 2.0, "released", 10)
    whole = measure(bundle, held, how, 3, lpips, tmp_path, {})
    rows = tmp_path / "rows-0.jsonl"
    lines = rows.read_text().splitlines()
    rows.write_text("\n".join([*lines[:2], lines[3][:20]]))
    again = measure(bundle, held, how, 3, lpips, tmp_path, {})
    np.testing.assert_allclose(again.columns[TO_IMAGE]["PSNR"], whole.columns[TO_IMAGE]["PSNR"])


def test_null_texts_come_nearer_than_guidance_alone(tiny, bundle):
    """SmoothS Eq. 4: to what the autoencoder makes of the image."""
    held = captioned(tiny.data).chosen(3, 0)
    x = held.images(bundle.config.sampling.size)
    miss = {}
    for name in ("ddim-guided", "null-text"):
        made, own = reconstruct(bundle, x, held.captions, way(name, 3, 5.0, "released", 10))
        miss[name] = mse(made, own).sum()
    assert miss["null-text"] < miss["ddim-guided"]


def test_a_broken_reconstruction_stops(bundle, monkeypatch):
    monkeypatch.setattr(
        inverted, "back", lambda bundle, noise, *rest: torch.full_like(noise, float("nan"))
    )
    x = torch.zeros(1, 3, 32, 32)
    with pytest.raises(RuntimeError, match="not finite"):
        reconstruct(bundle, x, ["a person"], way("ddim", 2, 2.0, "released", 10))
