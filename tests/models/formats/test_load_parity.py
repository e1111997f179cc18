"""Loaded models compute what independent implementations compute of the same files.

The judges are diffusers, transformers and peft; the table that is printed here (`pytest -rP`) is
kept in models/README.md.
"""

import json
import re
import shutil
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from latentgeo.infer.sampling.pipeline import Sampling, generate, image_noise
from latentgeo.models.formats.inspection import inspect
from latentgeo.models.formats.ldm.file import write_ldm
from latentgeo.models.formats.load import load_text_to_image
from latentgeo.models.formats.lora.adapter import places_of
from latentgeo.models.formats.lora.files import GRAMMARS, write_lora_file
from tests.models.formats.parity_encoders import encoder_rows, relative

README = Path(__file__).parents[3] / "models" / "README.md"
WANTED = 1e-5  # relative, in float32
PROMPTS = ["a smiling face", ""]
ALPHA = {"peft": 3.0, "kohya": 3.0, "kohya-ldm": 3.0}  # at rank 2; the others know none
ATTENTIONS = {"unet": ("attn1.", "attn2."), "text": ("self_attn",)}


def tokens(pipe) -> torch.Tensor:
    padded = pipe.tokenizer(PROMPTS, padding="max_length", max_length=77, return_tensors="pt")
    return padded.input_ids


@torch.no_grad()
def networks(ours, pipe) -> dict[str, float]:
    """Return the differences of the three networks' outputs on the same inputs."""
    generator = torch.Generator().manual_seed(1)
    z = torch.randn(2, 4, 8, 8, generator=generator)
    x = torch.rand(2, 3, 32, 32, generator=generator) * 2 - 1
    t = torch.tensor([3, 700])
    theirs = pipe.text_encoder(tokens(pipe)).last_hidden_state
    scale = ours.config.vae.scale
    return {
        "text": relative(ours.encode_text(PROMPTS), theirs),
        "UNet": relative(ours.unet(z, t, theirs), pipe.unet(z, t, theirs).sample),
        "VAE encode": relative(ours.vae.encode(x), pipe.vae.encode(x).latent_dist.mean * scale),
        "VAE decode": relative(ours.vae.decode(z), pipe.vae.decode(z / scale).sample),
    }


@torch.no_grad()
def picture(ours, pipe) -> float:
    """Return the difference of the images, 4 steps of guided DDIM from one noise, before 8 bits."""
    import diffusers

    noise = image_noise(11, ours.latent_shape)
    config = pipe.scheduler.config  # which has no clip_sample, and latents are never clipped
    pipe.scheduler = diffusers.DDIMScheduler.from_config(config, clip_sample=False)
    theirs = pipe(
        PROMPTS[0], num_inference_steps=4, guidance_scale=2.0, latents=noise, output_type="pt"
    )
    sampling = Sampling(steps=4, guidance=2.0)
    (mine,) = generate(ours, noise, PROMPTS[:1], sampling)
    return relative((mine + 1) / 2, theirs.images)


@pytest.fixture(scope="module")
def table(
    pipeline, pipeline_folder, lora_on, clip, tmp_path_factory
) -> list[tuple[str, str, float]]:
    """Measure every row: what was loaded, its judge, the largest relative difference."""
    pytest.importorskip("peft")
    place = tmp_path_factory.mktemp("parity")
    return [*rows(pipeline, pipeline_folder, lora_on, place), *encoder_rows(clip, place)]


def rows(pipeline, folder, lora_on, place) -> Iterator[tuple[str, str, float]]:
    ours = load_text_to_image(folder)
    for part, difference in networks(ours, pipeline).items():
        judge = "transformers" if part == "text" else "diffusers"
        yield f"diffusers folder, {part}", judge, difference
    yield "diffusers folder, 4 steps text to image", "diffusers", picture(ours, pipeline)
    one = write_ldm(ours, place / "one.safetensors")
    theirs = type(pipeline).from_single_file(one, config=str(folder), local_files_only=True)
    worst = max(networks(load_text_to_image(one), theirs).values())
    yield "single file, LDM names, all networks", "diffusers", worst
    for name in GRAMMARS:
        if name != "cloneofsimo":
            yield (
                f"LoRA, {name}",
                "diffusers, peft",
                adapted(name, pipeline, folder, lora_on, place),
            )


def adapted(name, pipeline, folder, lora_on, place) -> float:
    """Return the largest difference of UNet and text encoder with a LoRA of one grammar."""
    base = load_text_to_image(folder)
    lora = lora_on(**ATTENTIONS, alpha=ALPHA.get(name))
    path = write_lora_file(place / f"{name}.safetensors", lora, GRAMMARS[name], places_of(base))
    config = pipeline.unet.config  # by which diffusers tells the blocks of the other layout
    pipeline.load_lora_weights(place, weight_name=path.name, unet_config=config)
    try:
        ours = load_text_to_image(folder, path)
        with_lora = networks(ours, pipeline)
        assert relative(ours.encode_text(PROMPTS), base.encode_text(PROMPTS)) > 0.01
    finally:
        pipeline.unload_lora_weights()
    return max(with_lora["text"], with_lora["UNet"])


@pytest.mark.parametrize("one", [False, True])
@pytest.mark.parametrize("offset", [0, 1])
@torch.no_grad()
def test_a_folder_is_sampled_as_the_pipeline_samples_it(
    pipeline, pipeline_folder, one, offset, tmp_path
):
    """DDIM Eq. 12: StableDiffusionPipeline puts an offset of 1 in the place of any other."""
    folder = Path(shutil.copytree(pipeline_folder, tmp_path / "pipe"))
    path = folder / "scheduler" / "scheduler_config.json"
    table = json.loads(path.read_text()) | {"steps_offset": offset, "set_alpha_to_one": one}
    path.write_text(json.dumps(table | {"_class_name": "DDIMScheduler", "clip_sample": False}))
    index = json.loads((folder / "model_index.json").read_text())
    index["scheduler"] = ["diffusers", "DDIMScheduler"]
    (folder / "model_index.json").write_text(json.dumps(index))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the outdated offset
        pipe = type(pipeline).from_pretrained(folder, safety_checker=None)
    pipe.set_progress_bar_config(disable=True)
    assert picture(load_text_to_image(folder), pipe) <= WANTED
    assert dict(inspect(folder))["fits"].startswith("latentgeo sample")


def test_every_row_is_within_a_hundred_thousandth(table):
    """LDM Sec. 3.3, CLIP Sec. 2.3, CLIP Sec. 2.4, LoRA Eq. 3, DDIM Eq. 12: equal numbers."""
    for what, judge, difference in table:
        print(f"| {what} | {judge} | {difference:.1e} |")
    worst = max(difference for _, _, difference in table)
    assert worst <= WANTED


def test_the_table_in_the_readme_has_these_rows(table):
    """With numbers that the bound holds for, too."""
    text = README.read_text("utf-8").partition("### At full size")[0]  # which has its own test
    lines = re.findall(r"^\| (.+?) \| (.+?) \| (\d\.\de[-+]\d+) \|$", text, re.M)
    kept = {(what, judge): float(number) for what, judge, number in lines}
    assert kept.keys() == {(what, judge) for what, judge, _ in table}
    assert max(kept.values()) <= WANTED
