"""The tab Directions: a noise's local basis, and images along each of its directions."""

import json
from typing import Any

from PIL import Image

from latentgeo.core.run.text import read_text
from latentgeo.eval.page.report import table
from latentgeo.eval.studio.desk import Desk
from latentgeo.eval.studio.service.given import Given
from latentgeo.eval.studio.service.jobs import Job
from latentgeo.eval.studio.service.parts import scrubber, sheet, to_keep
from latentgeo.infer.directions.settings import Directions
from latentgeo.infer.pictures.images import GAP, enlarge
from latentgeo.infer.sampling.unprompted import image_shape
from latentgeo.infer.sampling.unprompted_model import load_unprompted

TITLE = "Directions"
WHY = ("Iso Sec. 4.3", "Iso Eq. 3", "Iso Sec. C")
GAMMAS = (-3.0, -2.0, -1.0, 0.0, 1.0, 2.0, 3.0)
STEPS, BASIS = 50, 40  # steps of a model whose own are not known here; passes of a direction


def build(desk: Desk) -> None:
    """Fill the tab."""
    import gradio as gr

    with desk.controls("Find them", WHY):
        seed = gr.Number(0, label="seed", precision=0, minimum=0)
        at = gr.Slider(0.1, 1, 1, step=0.05, label="time, as a share of T", elem_id="at")
        count = gr.Slider(1, 8, 3, step=1, label="directions", elem_id="directions-count")
        angle = gr.Slider(1, 45, 10, step=1, label="degrees of γ = 1")
        move = gr.Radio(["arc", "line"], value="arc", label="move")
        steps = gr.Slider(1, 50, 10, step=1, label="steps", elem_id="directions-steps")

    def work(job: Job, given: Given, *values: Any) -> str:
        seed, at, count, angle, move, steps = values
        how = Directions(
            model=desk.cmd.image_model,
            seed=seed,
            at=at,
            count=count,
            gammas=GAMMAS,
            angle=angle,
            move=move,
            steps=steps,
            out=job.folder / "out" / "directions",
            device=desk.cmd.device,
            dtype=desk.cmd.dtype,
        )
        return moved(job, how)

    desk.runs(work, Directions, [seed, at, count, angle, move, steps])


def moved(job: Job, how: Directions) -> str:
    """Find the directions, and return the images along each under a slider of its own."""
    drawn = how.count * len(how.gammas) * (how.steps or STEPS)
    picture, record = job.run(how, drawn + BASIS * how.count)
    found = json.loads(read_text(record))
    tile = enlarge(Image.new("RGB", side_of(how))).size
    strip = sheet(picture, how.count, len(how.gammas), tile, GAP)
    marks = [f"γ = {gamma:g}" for gamma in how.gammas]
    middle = how.gammas.index(0)
    sliders = "".join(
        scrubber([(strip.tiles(row, middle), f"direction {row + 1}")], marks, at=middle)
        for row in range(how.count)
    )
    rows = [
        [str(i), f"{value:.3g}", f"{residual:.1e}"]
        for i, (value, residual) in enumerate(
            zip(found["values"], found["residuals"], strict=True), 1
        )
    ]
    head = ["direction", "singular value σ", "residual"]
    return f'<div class="side">{sliders}</div>{table(head, rows)}{to_keep([picture, record])}'


def side_of(how: Directions) -> tuple[int, int]:
    """Return the size of the model's images in pixels."""
    model, _ = load_unprompted(how)
    factor = model.config.autoencoder.factor if model.config.autoencoder else 1
    _, height, width = image_shape(model, how.size)
    return width * factor, height * factor
