"""Walks between prompts under several couplings: what is measured of each, row by row.

Paper: The Role of Embedding Geometry in Image Interpolation for Stable Diffusion (poster; the full
version is arXiv 2511.12757). Its "PPL" is the mean LPIPS of consecutive images, without StyleGAN's
division by the squared step, so it has that name here. Pair, noise and frames are the same for all
couplings and all models. Both ends of a walk are the same image under every coupling, since the
network does not see the order of tokens, and are drawn once.

Units     pixels in [0, 1]; W2 of measures of mass 1, in the units of the embedding
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
from torch import Tensor

from latentgeo.core.couplings import index, optimal
from latentgeo.core.run.seeds import generator, mix
from latentgeo.core.transport import gaussian_squared_w2, matched, path_length, w2
from latentgeo.eval.runs.jobs import measured_rows
from latentgeo.eval.runs.rows import Row
from latentgeo.eval.transport.pairs import Pair
from latentgeo.infer.sampling.pipeline import Sampling
from latentgeo.infer.walks.prompt_walk import Clouds, clouds_of, context_walk, images_of
from latentgeo.infer.walks.walk import adjacent_distances
from latentgeo.models.bundles.text_to_image import TextToImage
from latentgeo.models.perceptual import Lpips


@dataclass(frozen=True, kw_only=True)
class Protocol:
    """What is walked, and how, the same for every model."""

    pairs: Sequence[Pair]
    first: int  # how many of the pairs are walked; does not change what a row holds
    couplings: tuple[str, ...]  # the first is what the others are compared with
    noises: int  # per pair
    frames: int  # both ends included
    seed: int

    def jobs(self) -> list[tuple[int, int]]:
        """Return (pair, noise) of every row, all pairs once before any twice."""
        return [(pair, noise) for noise in range(self.noises) for pair in range(self.first)]

    def plain(self) -> dict[str, object]:
        """Return everything that decides the rows; the prompts by their SHA-256."""
        text = json.dumps([(pair.first, pair.second) for pair in self.pairs]).encode()
        return {
            "couplings": list(self.couplings),
            "pairs": len(self.pairs),
            "prompts": hashlib.sha256(text).hexdigest()[:16],
            "noises": self.noises,
            "frames": self.frames,
            "seed": self.seed,
            "pixels": "[0,1]",
        }


def by_pair(row: Mapping[str, object]) -> tuple[int, int]:
    """Return the numbers of a row's pair and noise."""
    return int(str(row["pair"])), int(str(row["noise"]))


def measure(
    bundle: TextToImage,
    protocol: Protocol,
    sampling: Sampling,
    lpips: Lpips,
    folder: Path,
    identity: Mapping[str, object],
) -> list[Row]:
    """Measure all walks, continuing from the rows already in `folder`, and return every row.

    Ranks share the walks out (`measured_rows`).
    """
    walk = partial(measured_row, bundle, protocol, sampling, lpips)
    return measured_rows(
        folder,
        {**identity, **sampling.plain(), **protocol.plain()},
        protocol.jobs(),
        by_pair,
        1,
        lambda jobs: map(walk, jobs),
        f"walks {identity.get('model', '')}",
        "walk",
    )


def measured_row(
    bundle: TextToImage,
    protocol: Protocol,
    sampling: Sampling,
    lpips: Lpips,
    job: tuple[int, int],
) -> Row:
    """Walk one pair from one noise under every coupling, and return what was measured."""
    number, noise = job
    pair = protocol.pairs[number]
    clouds = clouds_of(bundle, [pair.first, pair.second])
    seed = mix(protocol.seed, "transport", number)
    walks = {name: context_walk(clouds, name, protocol.frames, seed) for name in protocol.couplings}
    x_T = torch.randn(
        1,
        *bundle.latent_shape,
        generator=generator(protocol.seed, "transport noise", number, noise),
    )
    images = images_of_walks(bundle, x_T, walks, sampling)
    return {
        "pair": number,
        "noise": noise,
        "first": pair.first,
        "second": pair.second,
        "similarity": pair.similarity,
        "bin": pair.bin,
        **geometry(clouds),
        "ends": image_steps(images[protocol.couplings[0]][[0, -1]], lpips),
        "couplings": {
            name: {**image_steps(images[name], lpips), "path": float(path_length(walks[name]))}
            for name in walks
        },
    }


def images_of_walks(
    bundle: TextToImage, x_T: Tensor, walks: Mapping[str, Tensor], sampling: Sampling
) -> dict[str, Tensor]:
    """Return the images (F, 3, H, W) of each walk (F, L, D), all from one noise (1, C, h, w)."""
    first = next(iter(walks.values()))
    context = torch.cat([first[[0, -1]], *(walk[1:-1] for walk in walks.values())])
    images = images_of(bundle, x_T.expand(len(context), *x_T.shape[1:]), context, sampling)
    between = images[2:].split(len(first) - 2)
    return {
        name: torch.cat([images[:1], inner, images[1:2]])
        for name, inner in zip(walks, between, strict=True)
    }


def image_steps(images: Tensor, lpips: Lpips) -> dict[str, list[float]]:
    """Return the steps of a walk of images (F, 3, H, W): LPIPS and L2 between neighbours.

    OT Sec. 5   the average LPIPS score between consecutive images
    """
    device = next(lpips.parameters()).device
    with torch.inference_mode():
        perceived = lpips.distance(images[:-1].to(device), images[1:].to(device))
    return {"lpips": perceived.tolist(), "pixels": adjacent_distances(images[None])[0].tolist()}


def geometry(clouds: Clouds) -> dict[str, object]:
    """Return what there is to know of a pair's two clouds before any image is drawn.

    `padded`: the share of each cloud that is padding; `padding_cost`: the share of the index
    coupling's cost that lies between two padding tokens; `moved`: the share of all tokens that the
    optimal coupling takes off their index, `moved_real` that of places real in both prompts.
    """
    x, y = clouds.points[:1], clouds.points[1:]
    size, both = x.shape[1], int(clouds.real.min())
    steps = (x - matched(y, index(x))).double().square().sum(dim=2)[0]  # (L,)
    moved = (optimal(x, y) != index(x))[0].double()
    padding = int(clouds.real.max())
    return {
        "real": clouds.real.tolist(),
        "padded": float(1 - clouds.real.double().mean() / size),
        "padding_cost": float(steps[padding:].sum() / steps.sum().clamp(min=1e-300)),
        "moved": float(moved.mean()),
        "moved_real": float(moved[:both].mean()),
        "w2": float(w2(x, y)),
        "w2_index": float(steps.mean().sqrt()),
        "w2_gaussian": float(gaussian_squared_w2(x, y).clamp(min=0).sqrt()),
    }
