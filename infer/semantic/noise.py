"""Where semantic edits start: x_T of real images, inverted once and kept on disk.

A file is safetensors: `noise` (n, C, h, w) of up to PART images. Its name is a digest of all that
decides it: weights, dtype, times, rounds, and the images' pixels. So another run, another method or
another attribute finds it, and an inversion that was stopped goes on with the next file.
"""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from latentgeo.core import ddim
from latentgeo.core.run.progress import progress
from latentgeo.core.run.ranks import barrier, ranks
from latentgeo.infer.pictures.photos import photo_hash
from latentgeo.infer.sampling.loading import loaded_hash
from latentgeo.infer.sampling.unprompted import denoiser_of
from latentgeo.models.bundles.image_model import ImageModel
from latentgeo.models.formats.files.safetensors import SafeFile, write_safetensors

PART = 20  # images in a file, and at a time


@torch.no_grad()
def noises_of(
    model: ImageModel, images: Tensor, visited: tuple[int, ...], folder: Path, refine: int = 0
) -> Tensor:
    """Return x_T (N, C, h, w), float32 on the CPU, of images (N, 3, H, W) in [-1, 1].

    Asyrp Alg. 1   its first step (corrected: x_{τ_{s+1}} = √α_{τ_{s+1}} P + √(1-α_{τ_{s+1}}) ε)
    Asyrp Alg. 2   the same for N images

    Under torchrun the ranks share the work, and all must see the folder. Raises RuntimeError where
    an inversion is not finite.
    """
    parts, here = images.split(PART), ranks()
    settings = {
        "weights": loaded_hash(model),
        "dtype": str(model.dtype).removeprefix("torch."),
        "times": list(visited),
        "refine": refine,
        "clip": model.config.sampling.clip,
    }
    paths = [folder / f"{_digest(settings, part)}.safetensors" for part in parts]
    todo = [i for i, path in enumerate(paths) if not path.is_file()]
    mine = todo[here.rank :: here.world]
    with progress(total=len(mine) * PART, label="inverting", unit="image") as bar:
        for i in mine:
            noise = invert(model, model.encode(parts[i]), visited, refine).float().cpu()
            if not noise.isfinite().all():
                raise RuntimeError(f"the inversion of images {i * PART} and on is not finite")
            write_safetensors(paths[i], {"noise": noise})
            bar.update(PART)
    barrier()
    return torch.cat([SafeFile(path).read("noise").clone() for path in paths])


def invert(model: ImageModel, x_0: Tensor, visited: tuple[int, ...], refine: int = 0) -> Tensor:
    """Return x (B, C, h, w) at visited[0] of x_0 at visited[-1], with ε as the model is sampled."""
    denoiser = denoiser_of(model)
    return ddim.invert(lambda x, t: denoiser(x, t)[0], model.schedule, x_0, visited, refine)


def _digest(settings: Mapping[str, object], images: Tensor) -> str:
    whole = {**settings, "images": [photo_hash(image[None]) for image in images]}
    return hashlib.sha256(json.dumps(whole, sort_keys=True).encode()).hexdigest()[:16]
