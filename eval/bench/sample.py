"""`latentgeo bench-sample`: text to image by us and by diffusers, in turn, on the same weights.

From prompt to pixels: text encoder, DDIM with guidance, decoder. The weights are random, and both
begin with one noise, so that their images can be compared.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from latentgeo.core.run.device import pick_device, pick_dtype
from latentgeo.eval.bench.pairs import in_turn, preset_config, table
from latentgeo.eval.bench.peers import diffusers_pipeline
from latentgeo.eval.bench.settings import BenchSample
from latentgeo.eval.runs.statistics import ratio_interval
from latentgeo.infer.sampling.pipeline import Sampling, generate, image_noise, latent_shape
from latentgeo.models.bundles.text_to_image import TextToImage, new_bundle

PROMPT = "a photo of a cat in a red hat"
GUIDANCE = 7.5
Draw = Callable[[int], Tensor]  # steps -> image (1, 3, H, W) in [0, 1]


@dataclass(frozen=True, kw_only=True)
class Contenders:
    """Both ways to the image."""

    ours: Draw
    diffusers: Draw


def bench_sample(cmd: BenchSample) -> str:
    """Return a table of whole images, their ratio, and how far the images are apart."""
    torch.manual_seed(0)
    device, dtype = pick_device(cmd.device), pick_dtype(cmd.dtype)
    bundle = new_bundle(preset_config(cmd.preset)).eval().to(device, dtype)
    draws = contenders(bundle, cmd.size)
    apart = (draws.ours(1) - draws.diffusers(1)).abs().max()  # this is the warm-up, too
    runs = {name: _run(draw, cmd.steps) for name, draw in vars(draws).items()}
    ours, theirs = timings = in_turn(runs, cmd.rounds, warm_up=False)
    ratio = ratio_interval(ours.seconds, theirs.seconds)
    return "\n".join(
        [
            f"{cmd.size} × {cmd.size}, {cmd.steps} steps, {cmd.dtype} on {device}, w = {GUIDANCE}",
            table(timings),
            f"ours / diffusers: {ratio} (95 %, n = {ratio.n} rounds in turn)",
            f"largest difference of the images after one step: {apart:.2e} of 1",
        ]
    )


def contenders(bundle: TextToImage, size: int) -> Contenders:
    """Return both, for one prompt and one noise."""
    noise = image_noise(0, latent_shape(bundle, size))
    pipe = diffusers_pipeline(bundle)

    def ours(steps: int) -> Tensor:
        (image,) = generate(bundle, noise, [PROMPT], Sampling(steps=steps, guidance=GUIDANCE))
        return (image + 1) / 2

    def diffusers(steps: int) -> Tensor:
        found: Tensor = pipe(
            PROMPT,
            height=size,
            width=size,
            num_inference_steps=steps,
            guidance_scale=GUIDANCE,
            latents=noise.to(bundle.device, bundle.dtype),
            output_type="pt",
        ).images
        return found.float().cpu()

    return Contenders(ours=ours, diffusers=diffusers)


def _run(draw: Draw, steps: int) -> Callable[[], object]:
    return lambda: draw(steps)
