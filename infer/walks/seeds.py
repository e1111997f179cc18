"""The walk between two noises under one prompt: `latentgeo interpolate --prompt`."""

from pathlib import Path

from latentgeo.infer.sampling.loading import load_model
from latentgeo.infer.sampling.pipeline import (
    image_noise,
    latent_shape,
    sampling_of,
)
from latentgeo.infer.sampling.sample import record
from latentgeo.infer.walks.settings import Interpolate
from latentgeo.infer.walks.walk import Walk, noise_walk, walk, write_walks


def interpolate_seeds(cmd: Interpolate) -> list[Path]:
    """Walk between the two seeds with every model and return the files written."""
    assert cmd.prompt is not None  # the command has seen to it
    walks = []
    for spec in cmd.models:
        bundle = load_model(spec, cmd.device, cmd.dtype)
        sampling = sampling_of(bundle, cmd.steps, cmd.guidance, batch=cmd.batch)
        shape = latent_shape(bundle, cmd.size)
        noise = noise_walk(image_noise(cmd.seed, shape), image_noise(cmd.seed_b, shape), cmd.frames)
        images = walk(bundle, noise, cmd.prompt, sampling, f"interpolating {spec}")
        walks.append(Walk(spec, images, record(bundle, spec, sampling, cmd.size)))
    about = {"prompt": cmd.prompt, "seed_a": cmd.seed, "seed_b": cmd.seed_b}
    return write_walks(cmd, walks, about)
