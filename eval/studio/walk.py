"""The tab Walk: between two noises or two images, models side by side, how even their steps are."""

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import torch

from latentgeo.core.run.text import read_text
from latentgeo.eval.metrics.smoothness import deviations
from latentgeo.eval.page.report import table
from latentgeo.eval.studio.desk import Desk
from latentgeo.eval.studio.service.given import Given
from latentgeo.eval.studio.service.jobs import Job
from latentgeo.eval.studio.service.models import variants
from latentgeo.eval.studio.service.parts import chooser, scrubber, sheet, to_keep
from latentgeo.eval.studio.settings import Studio
from latentgeo.infer.pictures.photos import open_photo
from latentgeo.infer.pictures.plots import distances_plot
from latentgeo.infer.walks.settings import Interpolate
from latentgeo.infer.walks.walk import short_names

TITLE = "Walk"
WHY = ("SmoothS Eq. 3", "SmoothS Sec. A.3", "Smooth Eq. 9", "SmoothS Eq. 5", "CFG Eq. 6")
SLOTS = ("first image", "last image")
SEEDS, IMAGES = "two seeds", "two images"
STEPS = 50  # of a model whose own are not known here
INVERTED = 12  # null texts cost about so many times the walk


def build(desk: Desk) -> None:
    """Fill the tab."""
    import gradio as gr

    known = variants(desk.cmd.model)
    chosen = [name for name in known if name in ("base", "smooth")]
    with desk.controls("Walk", WHY):
        prompt = gr.Textbox("a person with red hair and glasses", label="prompt")
        ends = gr.Radio([SEEDS, IMAGES], value=SEEDS, label="between")
        with gr.Row(elem_id="walk-seeds") as seeds:
            seed = gr.Number(0, label="first seed", precision=0, minimum=0)
            seed_b = gr.Number(1, label="last seed", precision=0, minimum=0)
        images = gr.HTML(chooser(desk.name, *SLOTS), visible="hidden")
        names = gr.CheckboxGroup(list(known), value=chosen, label="models")
        frames = gr.Slider(3, 31, 11, step=1, label="frames", elem_id="walk-frames")
        steps = gr.Slider(1, 50, 12, step=1, label="steps", elem_id="walk-steps")
        guidance = desk.number("guidance", "guidance w")
    desk.shows(ends, {SEEDS: seeds, IMAGES: images})

    def work(job: Job, given: Given, ends: str, names: list[str], *values: Any) -> str:
        how = settings(desk.cmd, job, [known[name] for name in names], *values)
        if ends == IMAGES:
            both = tuple(given.needed(slot, job.folder) for slot in SLOTS)
            how = replace(how, images=both)
        return walked(job, how)

    desk.runs(work, Interpolate, [ends, names, prompt, seed, seed_b, frames, steps, guidance])


def settings(
    cmd: Studio,
    job: Job,
    models: list[str],
    prompt: str,
    seed: int,
    seed_b: int,
    frames: int,
    steps: int,
    guidance: str,
) -> Interpolate:
    """Return the settings of `interpolate` for the values of the tab's controls."""
    return Interpolate(
        prompt=prompt,
        seed=seed,
        seed_b=seed_b,
        models=tuple(models),
        frames=frames,
        steps=steps,
        guidance=job.value("guidance", guidance),
        out=job.folder / "out" / "walk",
        device=cmd.device,
        dtype=cmd.dtype,
    )


def walked(job: Job, how: Interpolate) -> str:
    """Walk, and return the frames under a slider, their distances, and ISTD of each walk."""
    passes = len(how.models) * how.frames * (how.steps or STEPS) * 2
    job.run(how, passes * (INVERTED if how.images else 1))
    names = short_names(how.models)
    distances = json.loads(read_text(how.out / "distances.json"))["distances"]
    tile = open_photo(how.out / f"{names[0]}.gif").size
    strip = sheet(how.out / "strip.png", len(names), how.frames, tile)
    windows = [(strip.tiles(row), name) for row, name in enumerate(names)]
    marks = [f"image {i + 1} of {how.frames}" for i in range(how.frames)]
    below = distances_plot(distances, place=True) + evenness(distances)
    keep = [how.out / "strip.png", *(how.out / f"{name}.gif" for name in names)]
    return scrubber(windows, marks, below) + to_keep([*keep, how.out / "distances.json"])


def evenness(distances: Mapping[str, list[float]]) -> str:
    """Return a table of each walk's own ISTD, its mean distance and their ratio.

    SmoothS Sec. A.3   of one prompt: the standard deviation of d_1, …, d_{F-1}
    """
    rows = []
    for name, d in distances.items():
        mean, deviation = sum(d) / len(d), deviations(torch.tensor([d])).item()
        rows.append([name, f"{deviation:.3f}", f"{mean:.3f}", f"{deviation / mean:.3f}"])
    return table(["model", "its ISTD, pixels in [0, 1]", "mean distance", "ratio"], rows)
