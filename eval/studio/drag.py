"""The tab Drag: points of an image go to other places, and what is there goes with them."""

from pathlib import Path
from typing import Any

from PIL import Image

from latentgeo.eval.page.report import points as listed
from latentgeo.eval.studio.desk import Desk
from latentgeo.eval.studio.service.given import Given
from latentgeo.eval.studio.service.jobs import Job
from latentgeo.eval.studio.service.models import variants
from latentgeo.eval.studio.service.parts import canvas, chooser, of_picture, picture, to_keep
from latentgeo.eval.studio.settings import Studio
from latentgeo.infer.drags.settings import Drag
from latentgeo.infer.sampling.settings import Sample

TITLE = "Drag"
WHY = ("Drag Eq. 3", "Drag Eq. 4", "Drag Eq. 5", "Drag Eq. 2", "Drag Sec. 3.5")
DRAWN, IMAGE = "a drawn image", "an image"
LORA_STEPS, ITERATIONS, STEPS = 250, 80, 15  # where the model's own are used, of a small one


def build(desk: Desk) -> None:
    """Fill the tab."""
    import gradio as gr

    known = variants(desk.cmd.model)
    with desk.controls("Drag", WHY):
        of = gr.Radio([DRAWN, IMAGE], value=DRAWN, label="of")
        prompt = gr.Textbox("a person with red hair and glasses", label="what it shows")
        name = gr.Radio(list(known), value=list(known)[min(1, len(known) - 1)], label="model")
        with gr.Row() as drawing:
            seed = gr.Number(0, label="seed", precision=0, minimum=0)
            draw = gr.Button("Draw it", elem_id="drag-draw")
        image = gr.HTML(chooser(desk.name, "image"), visible="hidden")
        gr.HTML(canvas(desk.name))
        protect = gr.Checkbox(True, label="put back what must stay")
        with gr.Accordion("how many steps", open=False):
            steps = desk.number("steps", "steps")
            iterations = desk.number("iterations", "updates at most")
            lora_steps = desk.number("lora_steps", "steps that learn the image")
    desk.shows(of, {DRAWN: drawing, IMAGE: image})
    for control in (of, prompt, name, seed):
        control.change(None, js="() => studio.outdated('drag')")

    def preview(job: Job, given: Given, name: str, prompt: str, seed: int, steps: str) -> str:
        path = drawn(desk.cmd, job, known[name], prompt, seed, steps)
        return f'<div class="drawn">{picture(path, prompt)}</div>'

    def work(
        job: Job, given: Given, of: str, name: str, prompt: str, seed: int, *values: Any
    ) -> str:
        protect, steps, iterations, lora_steps = values
        model = known[name]
        if of == DRAWN:
            path = drawn(desk.cmd, job, model, prompt, seed, steps)
        else:
            path = given.needed("image", job.folder)
        mask = given.image("mask", job.folder)
        how = Drag(
            image=path,
            out=job.folder / "out" / "drag",
            prompt=prompt,
            point=tuple("{:g},{:g}:{:g},{:g}".format(*row) for row in given.points),
            mask=mask,
            model=model,
            steps=job.value("steps", steps),
            iterations=job.value("iterations", iterations),
            lora_steps=job.value("lora_steps", lora_steps),
            protect=protect if mask else None,
            device=desk.cmd.device,
            dtype=desk.cmd.dtype,
        )
        return dragged(job, how)

    desk.runs(
        preview, Sample, [name, prompt, seed, steps], [draw.click], then="studio.take('drag')"
    )
    desk.runs(work, Drag, [of, name, prompt, seed, protect, steps, iterations, lora_steps])


def drawn(cmd: Studio, job: Job, model: str, prompt: str, seed: int, steps: str) -> Path:
    """Draw an image and return its file."""
    how = Sample(
        model=model,
        prompts=(prompt,),
        seed=seed,
        steps=job.value("steps", steps),
        out=job.folder / "out" / "face",
        device=cmd.device,
        dtype=cmd.dtype,
    )
    job.run(how, 2 * (how.steps or STEPS))
    return how.out / f"0000-seed{seed}.png"


def dragged(job: Job, how: Drag) -> str:
    """Drag, show what the latent would become meanwhile, and return what came of it."""

    def shown(frame: Image.Image) -> None:
        job.html = of_picture(frame, "the drag on its way")

    passes = 8 * (LORA_STEPS if how.lora_steps is None else how.lora_steps)
    passes += 2 * (how.iterations or ITERATIONS) + 60
    *found, edited, strip, animation, record = job.run(how, passes, shown=shown)
    keep = [edited, strip, animation, record, *([how.mask] if how.mask else [])]
    whole = [picture(strip, "the drag"), listed(found), picture(animation, "its way")]
    return "".join([*whole, to_keep(keep)])
