"""`latentgeo eval-typical`: what is usual for a model, from held-out images of what it learned.

A model of text is given each image's own caption. `infer/sampling/typical.py` says what is
measured, and reads the file from the folder of the model.
"""

from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from torch import Tensor

from latentgeo.core.parameterization import Predict
from latentgeo.core.run.cli import version, write_run
from latentgeo.core.run.device import pick_device, pick_dtype
from latentgeo.core.run.progress import progress
from latentgeo.eval.metrics.heldout import captioned
from latentgeo.eval.smooth.settings import EvalTypical
from latentgeo.infer.sampling.loading import load_model, loaded_hash, parse_model
from latentgeo.infer.sampling.typical import FILE, Typical, one_step, write_typical
from latentgeo.infer.sampling.unprompted_model import load_plain
from latentgeo.models.bundles.image_model import ImageModel
from latentgeo.models.bundles.text_to_image import TextToImage
from latentgeo.models.formats.load_image import image_layout

Under = Callable[[Sequence[str]], Predict]  # ε under one prompt per image


def evaluate_typical(cmd: EvalTypical) -> list[str | Path]:
    """Measure the images, write the file, and return what to print: the bound, and the file."""
    held = captioned(cmd.data, models=[cmd.model]).chosen(cmd.n_images, cmd.seed)
    model, under = loaded(cmd)
    size = model.config.sampling.size
    found: list[float] = []
    with progress(total=len(held), label="coming back", unit="image") as bar:
        for first in range(0, len(held), cmd.batch):
            some = held.at(range(first, min(first + cmd.batch, len(held))))
            found += one_step(model, under(some.captions), some.images(size)).tolist()
            bar.update(len(some))
    about = {
        "model": cmd.model,
        "weights": loaded_hash(model),
        "images": len(held),
        "set": held.digest(),
        "seed": cmd.seed,
        "version": version("latentgeo"),
    }
    measured = Typical(
        psnr=tuple(round(one, 3) for one in sorted(found)), size=size, settings=about
    )
    write_run(cmd, cmd.out)
    path = write_typical(cmd.out / FILE, measured)
    return [f"{measured.usual} {measured.bound:.1f} dB or more", path]


def loaded(cmd: EvalTypical) -> tuple[TextToImage | ImageModel, Under]:
    """Return the model, and its ε under prompts, which one without text leaves unread."""
    if image_layout(parse_model(cmd.model).source) is None:
        bundle = load_model(cmd.model, cmd.device, cmd.dtype)
        return bundle, lambda prompts: bundle.predict(encoded(bundle, prompts))
    plain = load_plain(cmd.model, pick_device(cmd.device), pick_dtype(cmd.dtype))
    return plain, lambda _: plain.predict()


@torch.no_grad()
def encoded(bundle: TextToImage, prompts: Sequence[str]) -> Tensor:
    """Return the context (B, L, C) of prompts."""
    return bundle.encode_text(prompts)
