"""`latentgeo interpolate --prompts`: the walk between prompts, by one coupling beside another.

Files: `strip.png` (a row per model and coupling), `<model>-<coupling>.gif`, `distances.svg` (pixel
L2 of each step), `distances.json`, and videos with --mp4. `prompt_walk.py` makes the walks.
"""

from pathlib import Path

from torch import Tensor

from latentgeo.core.run.progress import progress
from latentgeo.core.transport import path_length
from latentgeo.infer.sampling.loading import load_model
from latentgeo.infer.sampling.pipeline import image_noise, latent_shape, sampling_of
from latentgeo.infer.sampling.sample import record
from latentgeo.infer.walks.prompt_walk import clouds_of, context_walk, images_of
from latentgeo.infer.walks.settings import Interpolate
from latentgeo.infer.walks.walk import Walk, noise_walk, short_names, write_walks


def interpolate_prompts(cmd: Interpolate) -> list[Path]:
    """Walk through the prompts with every model and coupling, and return the files written."""
    walks: list[Walk] = []
    lengths: dict[str, float] = {}
    with progress(total=len(cmd.models) * len(cmd.coupling), label="walking", unit="walk") as bar:
        for spec, name in zip(cmd.models, short_names(cmd.models), strict=True):
            bundle = load_model(spec, cmd.device, cmd.dtype)
            sampling = sampling_of(bundle, cmd.steps, cmd.guidance, batch=cmd.batch)
            clouds = clouds_of(bundle, cmd.prompts)
            settings = record(bundle, spec, sampling, cmd.size)
            for coupling in cmd.coupling:
                context = context_walk(clouds, coupling, cmd.frames, cmd.seed)
                noise = noises(cmd, latent_shape(bundle, cmd.size), len(context))
                images = images_of(bundle, noise, context, sampling)
                walks.append(Walk(f"{name}-{coupling}", images, settings))
                lengths[walks[-1].name] = float(path_length(context))
                bar.update(1)
    about = {
        "prompts": list(cmd.prompts),
        "seed": cmd.seed,
        "seed_b": cmd.seed_b if cmd.noise_too else None,
        "path_length_w2": lengths,
    }
    return write_walks(cmd, walks, about)


def noises(cmd: Interpolate, shape: tuple[int, int, int], frames: int) -> Tensor:
    """Return the latents (F, C, h, w): that of the seed for all, or the walk to seed_b's."""
    start = image_noise(cmd.seed, shape)
    if cmd.noise_too:
        return noise_walk(start, image_noise(cmd.seed_b, shape), frames)
    return start.expand(frames, *shape)
