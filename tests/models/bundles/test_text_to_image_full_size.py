"""Stable Diffusion 1.5 at full size computes what diffusers and transformers compute.

One set of random weights, 4.3 GB in float32, is shared with the judges. Images of 128 pixels: the
networks are whole, and a latent of 16 × 16 costs a sixteenth of one of 64 × 64. The rows printed
here (`pytest -rP`) are kept in models/README.md.
"""

import math
import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from latentgeo.infer.sampling.pipeline import Sampling, generate, image_noise, latent_shape
from latentgeo.models.bundles.text_to_image import BundleConfig, TextToImage, empty_bundle
from tests.models.drawn import Table

README = Path(__file__).parents[3] / "models" / "README.md"
HEADING = "### At full size"
WANTED = 1e-5  # relative, in float32
MEMORY = 7.5e9  # bytes that the machine must have; 5.6e9 are used
SIDE = 16  # of the latents
PROMPTS = ["a photo of a cat in a red hat", ""]
Rows = list[tuple[str, str, float]]


def relative(ours: torch.Tensor, theirs: torch.Tensor) -> float:
    """Return the largest difference, relative to the largest value."""
    assert ours.shape == theirs.shape and ours.isfinite().all()
    return float((ours - theirs).abs().max() / theirs.abs().max())


@pytest.fixture(scope="module")
def table() -> Rows:
    """Measure every row: what was computed, its judge, the largest relative difference."""
    pytest.importorskip("diffusers")
    pytest.importorskip("transformers")
    if (has := os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")) < MEMORY:
        pytest.skip(f"the machine has {has / 1e9:.1f} GB of memory, wanted {MEMORY / 1e9}")
    from latentgeo.eval.bench.peers import diffusers_pipeline

    ours = full_size()
    return [*rows(ours, diffusers_pipeline(ours))]


def full_size() -> TextToImage:
    """Return the model with random weights, in which no norm and no bias is the identity."""
    bundle, table = empty_bundle(BundleConfig()), Table(torch.float32)
    for network in bundle.modules.values():
        state = {}
        for name, weight in network.state_dict().items():
            fan_in = math.prod(weight.shape[1:]) if weight.ndim > 1 else 100
            state[name] = table.draw(weight.shape, fan_in**-0.5)
            if weight.ndim == 1 and name.endswith("weight"):
                state[name] += 1  # a norm's
        network.load_state_dict(state, assign=True)
    for network in bundle.modules.values():
        network.requires_grad_(False)
    return bundle.eval()


@torch.no_grad()
def rows(ours: TextToImage, pipe) -> Iterator[tuple[str, str, float]]:
    generator = torch.Generator().manual_seed(1)
    z = torch.randn(1, 4, SIDE, SIDE, generator=generator)
    x = torch.rand(1, 3, 8 * SIDE, 8 * SIDE, generator=generator) * 2 - 1
    ids, t, scale = ours.tokenizer(PROMPTS), torch.tensor([700]), ours.config.vae.scale
    context = pipe.text_encoder(ids).last_hidden_state
    yield "text encoder", "transformers", relative(ours.text(ids), context)
    theirs = pipe.unet(z, t, context[:1]).sample
    yield "UNet", "diffusers", relative(ours.unet(z, t, context[:1]), theirs)
    theirs = pipe.vae.encode(x).latent_dist.mean * scale
    yield "VAE encode", "diffusers", relative(ours.vae.encode(x), theirs)
    theirs = pipe.vae.decode(z / scale).sample
    yield "VAE decode", "diffusers", relative(ours.vae.decode(z), theirs)
    yield "4 steps text to image, 128 × 128, w = 7.5", "diffusers", picture(ours, pipe)


def picture(ours: TextToImage, pipe) -> float:
    """Return the difference of the images, before 8 bits, of one prompt and one noise."""
    noise = image_noise(11, latent_shape(ours, 8 * SIDE))
    theirs = pipe(
        PROMPTS[0], num_inference_steps=4, guidance_scale=7.5, latents=noise, output_type="pt"
    )
    (mine,) = generate(ours, noise, PROMPTS[:1], Sampling(steps=4, guidance=7.5))
    assert mine.std() > 0.05
    return relative((mine + 1) / 2, theirs.images)


@pytest.mark.slow
def test_every_row_is_within_a_hundred_thousandth(table):
    """LDM Sec. 3.1, LDM Sec. 3.3, CLIP Sec. 2.4, DDIM Eq. 12: the same weights and numbers."""
    for what, judge, difference in table:
        print(f"| {what} | {judge} | {difference:.1e} |")
    assert max(difference for _, _, difference in table) <= WANTED


@pytest.mark.slow
def test_the_table_in_the_readme_has_these_rows(table):
    """With numbers that the bound holds for, too."""
    text = README.read_text("utf-8").partition(HEADING)[2].partition("\n#")[0]
    lines = re.findall(r"^\| (.+?) \| (.+?) \| (\d\.\de[-+]\d+) \|$", text, re.M)
    assert [line[:2] for line in lines] == [(what, judge) for what, judge, _ in table]
    assert max(float(number) for _, _, number in lines) <= WANTED
