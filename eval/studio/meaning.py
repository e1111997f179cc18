"""The tab Meaning: a face, drawn or the user's, edited along directions in h-space (Asyrp)."""

from dataclasses import replace
from typing import Any

from latentgeo.eval.studio.desk import Desk
from latentgeo.eval.studio.service.given import Given
from latentgeo.eval.studio.service.jobs import Job
from latentgeo.eval.studio.service.models import directions_of
from latentgeo.eval.studio.service.parts import chooser, sheet, side_by_side, to_keep
from latentgeo.infer.pictures.photos import open_photo
from latentgeo.infer.semantic.settings import EditSemantic

TITLE = "Meaning"
WHY = ("Asyrp Eq. 9", "Asyrp Alg. 1", "Asyrp Sec. N.2", "Asyrp Thm. 1", "DDIM Eq. 12")
SEED, IMAGE = "a seed", "an image"
STRIPS = {"without and with": (0.0, 1.0), "a strip of five": (-1.0, -0.5, 0.0, 0.5, 1.0)}
SHOWN = "image"  # above the column of a real image


def build(desk: Desk) -> None:
    """Fill the tab."""
    import gradio as gr

    names = directions_of(desk.cmd.image_model)
    with desk.controls("Edit", WHY):
        of = gr.Radio([SEED, IMAGE], value=SEED, label="of")
        seed = gr.Number(0, label="seed", precision=0, minimum=0)
        image = gr.HTML(chooser(desk.name, "image"), visible="hidden")
        scales = [
            gr.Slider(-2, 2, 0, step=0.1, label=name, elem_id=f"meaning-{name}") for name in names
        ]
        strip = gr.Radio(list(STRIPS), value=next(iter(STRIPS)), label="columns")
        with gr.Accordion("steps and times", open=False):
            steps = gr.Slider(2, 100, 40, step=1, label="steps", elem_id="meaning-steps")
            t_edit = desk.number("t_edit", "t_edit")
            t_boost = desk.number("t_boost", "t_boost")
    desk.shows(of, {SEED: seed, IMAGE: image})

    def work(job: Job, given: Given, of: str, seed: int, strip: str, *values: Any) -> str:
        steps, t_edit, t_boost, *moved = values
        chosen = {name: c for name, c in zip(names, moved, strict=True) if c} or {names[0]: 0.0}
        how = EditSemantic(
            model=desk.cmd.image_model,
            direction=tuple(chosen),
            scale=tuple(map(float, chosen.values())),
            combine=len(chosen) > 1,
            strip=STRIPS[strip],
            seeds=(seed,),
            steps=steps,
            t_edit=job.value("t_edit", t_edit),
            t_boost=job.value("t_boost", t_boost),
            out=job.folder / "out" / "edit",
            device=desk.cmd.device,
            dtype=desk.cmd.dtype,
        )
        if of == IMAGE:
            how = replace(how, seeds=(), images=(given.needed("image", job.folder),))
        return edited(job, how)

    moves = [slider.release for slider in scales]
    desk.runs(
        work,
        EditSemantic,
        [of, seed, strip, steps, t_edit, t_boost, *scales],
        [desk.go.click, *moves],
    )


def edited(job: Job, how: EditSemantic) -> str:
    """Edit one image, and return what it was and what became of it beside each other."""
    columns = [f"{factor:+g} ×" if factor else "without" for factor in how.strip]
    inverted = how.steps if how.images else 0
    row, *_, grid = job.run(how, how.steps * len(columns) + inverted)
    columns = [SHOWN, *columns] if how.images else columns
    width, height = open_photo(row).size
    strip = sheet(row, 1, len(columns), (width // len(columns), height))
    shown = [(strip.tiles(0, i), name) for i, name in enumerate(columns)]
    return side_by_side(shown) + to_keep([row, grid])
