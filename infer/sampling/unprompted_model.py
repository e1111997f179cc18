"""What the commands on one model without text share: the model, its class, how it is sampled."""

from pathlib import Path

import torch
from torch import Tensor

from latentgeo.core.run.cli import version
from latentgeo.infer.sampling.loading import kept, load_image, loaded_hash, parse_model, predicting
from latentgeo.infer.sampling.sample import given_prediction
from latentgeo.infer.sampling.settings import Unprompted
from latentgeo.infer.sampling.unprompted import ImageSampling
from latentgeo.models.bundles.image_model import ImageModel
from latentgeo.models.bundles.settings import Prediction
from latentgeo.models.formats.load_image import load_image_model


def load_unprompted(cmd: Unprompted) -> tuple[ImageModel, int | None]:
    """Return the model, and the class to draw; ValueError for one of another kind."""
    model = load_image(cmd.model, cmd.device, cmd.dtype, cmd.model_config, cmd.prediction)
    known = model.config.classes or 0
    if (cmd.label is None) != (known == 0) or not 0 <= (cmd.label or 0) < max(known, 1):
        wanted = f"one of 0 to {known - 1}" if known else "none"
        raise ValueError(
            f"label: got {cmd.label}, wanted {wanted}: {model.config.name} has {known}"
        )
    return model, cmd.label


def load_plain(
    spec: str,
    device: torch.device,
    dtype: torch.dtype = torch.float32,
    config: str | Path | None = None,
    prediction: Prediction | None = None,
) -> ImageModel:
    """Return a frozen model of images alone, whose bottleneck is to be edited or measured.

    Raises ValueError for one with an adapter or with classes.
    """
    parsed = parse_model(spec)
    if parsed.loras:
        raise ValueError(f"model: got {spec}, wanted a model without a LoRA")
    key = ("image", spec, device, dtype, config, prediction)
    model = kept(
        key, lambda: predicting(load_image_model(parsed.source, device, dtype, config), prediction)
    )
    if model.config.classes is not None:
        raise ValueError(f"model: got {spec}, which has classes, wanted a model without")
    return model


def sampling_of(model: ImageModel, cmd: Unprompted) -> ImageSampling:
    """Return how the model is sampled: by DDIM without fresh noise."""
    steps = model.config.sampling.steps if cmd.steps is None else cmd.steps
    return ImageSampling(steps=steps, batch=cmd.batch)


def record(model: ImageModel, cmd: Unprompted, sampling: ImageSampling) -> dict[str, object]:
    """Return the settings that, with the seeds, make the images again."""
    return {
        "model": cmd.model,
        "weights": loaded_hash(model),
        "size": cmd.size or model.config.sampling.size,
        **sampling.plain(),
        **given_prediction(cmd),
        "version": version("latentgeo"),
    }


def labels_of(label: int | None, like: Tensor) -> Tensor | None:
    """Return the class for each of the B samples of `like` (B, ...), None if there is none."""
    if label is None:
        return None
    return torch.full((len(like),), label, dtype=torch.int64, device=like.device)
