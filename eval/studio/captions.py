"""The tab Captions: an image, what it shows and what it shall show, by several methods."""

from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

import numpy as np
import torch
from torch import Tensor

from latentgeo.eval.page.report import table
from latentgeo.eval.studio.desk import Desk
from latentgeo.eval.studio.service.given import Given
from latentgeo.eval.studio.service.jobs import Job
from latentgeo.eval.studio.service.models import variants
from latentgeo.eval.studio.service.parts import Sheet, chooser, sheet, side_by_side, to_keep
from latentgeo.infer.pictures.closeness import mse, psnr
from latentgeo.infer.pictures.images import GAP, enlarge
from latentgeo.infer.pictures.photos import open_photo
from latentgeo.infer.text_edits.settings import EditText, Method

TITLE = "Captions"
WHY = ("Smooth Eq. 15", "SDEdit Alg. 1", "P2P Alg. 1", "PnP Alg. 1", "Smooth Tab. 2")
DRAWN, IMAGE = "a drawn image", "an image"
CHOSEN = ("smooth", "sdedit", "prompt-to-prompt", "plug-and-play")
STEPS = 50  # of a model whose own are not known here
PASSES = {"disentangle": 60}  # images that a method looks at in a step; the others 8
SOURCE = "a person with red hair and glasses"
TARGET = "a person with blond hair and glasses"


def build(desk: Desk) -> None:
    """Fill the tab."""
    import gradio as gr

    known = variants(desk.cmd.model)
    with desk.controls("Edit", WHY):
        of = gr.Radio([DRAWN, IMAGE], value=DRAWN, label="of")
        seed = gr.Number(0, label="seed", precision=0, minimum=0)
        image = gr.HTML(chooser(desk.name, "image"), visible="hidden")
        source = gr.Textbox(SOURCE, label="what it shows")
        target = gr.Textbox(TARGET, label="what it shall show")
        methods = gr.CheckboxGroup(
            list(get_args(Method)), value=list(CHOSEN), label="methods", elem_id="captions-methods"
        )
        name = gr.Radio(list(known), value=list(known)[min(1, len(known) - 1)], label="model")
        steps = gr.Slider(2, 50, 15, step=1, label="steps", elem_id="captions-steps")
        guidance = desk.number("guidance", "guidance w")
    desk.shows(of, {DRAWN: seed, IMAGE: image})

    def work(
        job: Job, given: Given, of: str, name: str, methods: list[Method], *values: Any
    ) -> str:
        seed, source, target, steps, guidance = values
        how = EditText(
            source=source,
            target=(target,),
            models=(known[name],),
            seed=seed,
            steps=steps,
            guidance=job.value("guidance", guidance),
            out=job.folder / "out" / "captions",
            device=desk.cmd.device,
            dtype=desk.cmd.dtype,
        )
        if of == IMAGE:
            how = replace(how, image=given.needed("image", job.folder))
        return edited(job, how, methods)

    desk.runs(work, EditText, [of, name, methods, seed, source, target, steps, guidance])


def edited(job: Job, how: EditText, methods: list[Method]) -> str:
    """Edit by every method, and return the images beside each other, and what was rebuilt of one.

    Smooth Tab. 2   how near the reconstruction is to the image through the autoencoder
    """
    if not methods:
        raise ValueError("methods: got none, wanted one or more")
    shown: dict[str, str] = {}
    keep: dict[str, Path] = {}
    for method in methods:
        here = replace(how, method=method, out=how.out / method)
        strip, _, edit, *_ = job.run(here, PASSES.get(method, 8) * (how.steps or STEPS))
        tile = enlarge(open_photo(edit)).size
        tiles = sheet(strip, 1, 3, tile, GAP)
        if not shown:
            shown = {"the image": tiles.tiles(0, 0), "reconstruction": tiles.tiles(0, 1)}
            both = [column(strip, tiles, i) for i in (0, 1)]
        shown[method] = tiles.tiles(0, 2)
        keep[f"{method}.png"] = edit
        keep[f"{method}-strip.png"] = strip
    row = [f"{mse(*both).item():.2e}", f"{psnr(*both).item():.1f} dB"]
    head = ["MSE of the reconstruction, pixels in [0, 1]", "PSNR"]
    error = table(head, [row]) if how.image else ""  # a drawn image is drawn the same again
    figures = [(one, name) for name, one in shown.items()]
    return side_by_side(figures) + error + to_keep(keep)


def column(strip: Path, tiles: Sheet, i: int) -> Tensor:
    """Return an image of a strip (1, 3, H, W) in [-1, 1]."""
    (width, height), (x, y) = tiles.tile, tiles.start
    left = x + i * (width + tiles.gap)
    cut = np.array(open_photo(strip).crop((left, y, left + width, y + height)))
    return torch.from_numpy(cut).permute(2, 0, 1)[None].float() / 127.5 - 1
