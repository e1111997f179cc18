"""Reconstructions of held-out images by one model, measured image by image and kept as rows.

Smooth Diffusion, Sec. 4.3 and Table 2: an image's own caption is the prompt. Three ways there and
back: `ddim` without guidance, `ddim-guided` up without and back with guidance w (as the released
demo's DDIM reconstruction does), `null-text` likewise but with the ∅_t fitted for it. Each is
compared with the image, and with what the autoencoder alone makes of it: the best it could do.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from latentgeo.eval.metrics.heldout import Captioned
from latentgeo.eval.runs.jobs import measured_rows
from latentgeo.eval.runs.rows import Row, by_prompt
from latentgeo.eval.smooth.settings import Way
from latentgeo.infer.inversion.invert import Inverting, ascend, back, encode, null_texts
from latentgeo.infer.inversion.settings import Times
from latentgeo.infer.pictures.closeness import compare
from latentgeo.models.bundles.text_to_image import TextToImage
from latentgeo.models.perceptual import Lpips

TO_IMAGE, TO_VAE, VAE = "reconstruction to image", "reconstruction to VAE's", "VAE's to image"


@dataclass(frozen=True, kw_only=True)
class Reconstructions:
    """What was measured of N reconstructions: by what is compared, then by measure, (N,) each."""

    columns: Mapping[str, Mapping[str, NDArray[np.float64]]]
    settings: Mapping[str, object]


def way(
    name: Way,
    steps: int,
    guidance: float,
    times: Times,
    inner: int,
    fit_from: Times = "released",
) -> Inverting:
    """Return how a way of the command inverts, w the guidance of those that have one."""
    return Inverting(
        method="null-text" if name == "null-text" else "ddim",
        steps=steps,
        guidance=1.0 if name == "ddim" else guidance,
        times=times,
        inner=inner,
        fit_from=fit_from,
    )


def measure(
    bundle: TextToImage,
    held: Captioned,
    how: Inverting,
    batch: int,
    lpips: Lpips,
    folder: Path,
    identity: Mapping[str, object],
) -> Reconstructions:
    """Reconstruct and measure every held-out image, continuing from the rows in `folder`.

    Ranks share the images out (`measured_rows`). `identity` names the model and its weights in the
    settings that rows are kept under.
    """
    settings = {**identity, **how.plain(), "images": len(held), "set": held.digest()}
    rows = measured_rows(
        folder,
        settings,
        range(len(held)),
        by_prompt,
        batch,
        partial(_rows, bundle, held, how, lpips),
        folder.name,
        "image",
    )
    return Reconstructions(columns=_columns(rows), settings=settings)


def _rows(
    bundle: TextToImage, held: Captioned, how: Inverting, lpips: Lpips, part: Sequence[int]
) -> list[Row]:
    some = held.at(part)
    x = some.images(bundle.config.sampling.size).to(bundle.device)
    made, own = reconstruct(bundle, x, some.captions, how)
    found = {TO_IMAGE: (made, x), TO_VAE: (made, own), VAE: (own, x)}
    numbers = {name: compare(a, b, lpips) for name, (a, b) in found.items()}
    return [
        {
            "prompt": i,
            "file": some.names[row],
            **{
                name: {key: float(values[row]) for key, values in measures.items()}
                for name, measures in numbers.items()
            },
        }
        for row, i in enumerate(part)
    ]


def reconstruct(
    bundle: TextToImage, x: Tensor, captions: Sequence[str], how: Inverting
) -> tuple[Tensor, Tensor]:
    """Return x (B, 3, H, W) in [-1, 1] inverted and made again, and through the autoencoder alone.

    Raises RuntimeError where a reconstruction is not finite.
    """
    texts = encode(bundle, captions)
    with torch.no_grad():
        z = bundle.encode(x).float()
    pivot = ascend(bundle, z, texts, how)
    nulls = None
    if how.method == "null-text":
        nulls = torch.stack([null for null, _ in null_texts(bundle, pivot, texts, how)])
    with torch.no_grad():
        made = bundle.decode(back(bundle, pivot[0], texts, nulls, how)).float()
        own = bundle.decode(z).float()
    if not made.isfinite().all():
        raise RuntimeError("a reconstruction is not finite")
    return made, own


def _columns(rows: Sequence[Row]) -> dict[str, dict[str, NDArray[np.float64]]]:
    """Return rows as arrays."""
    tables = {name: [row[name] for row in rows] for name in (TO_IMAGE, TO_VAE, VAE)}
    return {
        name: {key: np.array([entry[key] for entry in table]) for key in table[0]}  # type: ignore
        for name, table in tables.items()
    }
