"""The tab Words: from prompt to prompt, their tokens paired by index, optimally, or otherwise."""

import json
from collections.abc import Sequence
from itertools import pairwise
from typing import Any, get_args

from latentgeo.core.run.text import read_text
from latentgeo.eval.page.report import table, text
from latentgeo.eval.studio.desk import Desk
from latentgeo.eval.studio.service.given import Given
from latentgeo.eval.studio.service.jobs import Job
from latentgeo.eval.studio.service.models import variants
from latentgeo.eval.studio.service.parts import scrubber, sheet, to_keep
from latentgeo.infer.pictures.photos import open_photo
from latentgeo.infer.pictures.plots import COLOURS, distances_plot
from latentgeo.infer.sampling.loading import load_model
from latentgeo.infer.walks.prompt_walk import COUPLINGS, Clouds, clouds_of
from latentgeo.infer.walks.settings import Coupling, Interpolate
from latentgeo.infer.walks.walk import short_names
from latentgeo.models.bundles.text_to_image import TextToImage

TITLE = "Words"
WHY = ("OT Eq. 1", "OT Eq. 2", "OT Sec. 2.1", "OT Sec. 2.2")
PROMPTS = "a person with red hair and glasses\na bald person with a beard on a green background"
MOST = 4  # prompts
STEPS = 50  # of a model whose own are not known here
HEIGHT, WIDTH, INDENT = 16, 420, 120  # of a token's line, of the drawing, of its words; pixels


def build(desk: Desk) -> None:
    """Fill the tab."""
    import gradio as gr

    known = variants(desk.cmd.model)
    couplings = list(get_args(Coupling))
    with desk.controls("Walk", WHY):
        prompts = gr.Textbox(PROMPTS, label="two to four prompts, one a line", lines=4)
        pairs = gr.CheckboxGroup(couplings, value=["index", "optimal"], label="couplings")
        name = gr.Radio(list(known), value=next(iter(known)), label="model")
        seed = gr.Number(0, label="seed", precision=0, minimum=0)
        frames = gr.Slider(2, 15, 7, step=1, label="frames per leg", elem_id="words-frames")
        steps = gr.Slider(1, 50, 15, step=1, label="steps", elem_id="words-steps")
        guidance = desk.number("guidance", "guidance w")

    def work(job: Job, given: Given, prompts: str, pairs: list[Coupling], *values: Any) -> str:
        name, seed, frames, steps, guidance = values
        how = Interpolate(
            prompts=prompts_of(prompts),
            coupling=tuple(pairs),
            seed=seed,
            seed_b=seed + 1,
            models=(known[name],),
            frames=frames,
            steps=steps,
            guidance=job.value("guidance", guidance),
            out=job.folder / "out" / "words",
            device=desk.cmd.device,
            dtype=desk.cmd.dtype,
        )
        return walked(job, how)

    desk.runs(work, Interpolate, [prompts, pairs, name, seed, frames, steps, guidance])


def prompts_of(lines: str) -> tuple[str, ...]:
    """Return the prompts of a text, one a line; ValueError for another number than 2 to 4."""
    found = tuple(line.strip() for line in lines.splitlines() if line.strip())
    if not 2 <= len(found) <= MOST:
        raise ValueError(f"prompts: got {len(found)} lines, wanted 2 to {MOST}")
    return found


def walked(job: Job, how: Interpolate) -> str:
    """Walk by every coupling; return the frames under a slider, W₂, and the tokens' pairs."""
    columns = (len(how.prompts) - 1) * (how.frames - 1) + 1
    job.run(how, len(how.coupling) * columns * (how.steps or STEPS) * 2)
    record = json.loads(read_text(how.out / "distances.json"))
    distances, lengths = record["distances"], record["path_length_w2"]
    names = short_names(list(distances))
    tile = open_photo(how.out / f"{names[0]}.gif").size
    strip = sheet(how.out / "strip.png", len(names), columns, tile)
    windows = [(strip.tiles(row), name) for row, name in enumerate(how.coupling)]
    marks = [f"image {i + 1} of {columns}" for i in range(columns)]
    rows = [
        [coupling, f"{lengths[name]:.2f}", f"{sum(distances[name]):.2f}", f"{max(d):.2f}"]
        for coupling, (name, d) in zip(how.coupling, distances.items(), strict=True)
    ]
    head = ["coupling", "W₂ of the path", "sum of the distances", "largest of them"]
    below = distances_plot(distances, place=True) + table(head, rows)
    bundle = load_model(how.models[0], how.device, how.dtype)
    keep = [how.out / "strip.png", *(how.out / f"{name}.gif" for name in names)]
    return (
        scrubber(windows, marks, below)
        + pairs_of(bundle, how)
        + to_keep([*keep, how.out / "distances.json"])
    )


def pairs_of(bundle: TextToImage, how: Interpolate) -> str:
    """Return a drawing per leg: the tokens of both prompts, and lines between those paired."""
    clouds = clouds_of(bundle, how.prompts)
    ways = {one: COUPLINGS[one](*clouds.legs(), how.seed).tolist() for one in how.coupling}
    words = [words_of(bundle, clouds, i, prompt) for i, prompt in enumerate(how.prompts)]
    legs = pairwise(words)
    drawings = [
        pairs_drawing(*leg, {name: sigma[i] for name, sigma in ways.items()})
        for i, leg in enumerate(legs)
    ]
    return f'<div class="side pairs">{"".join(drawings)}</div>'


def words_of(bundle: TextToImage, clouds: Clouds, i: int, prompt: str) -> list[str]:
    """Return what each of a prompt's tokens says; all that is padding is one, at the end."""
    tokenizer, real = bundle.tokenizer, int(clouds.real[i])
    ids = tokenizer.encode(prompt)[: real - 2]
    said = [tokenizer.decode([one]) if one < tokenizer.start else "learned" for one in ids]
    return ["start", *said, "end", f"{clouds.points.shape[1] - real} × padding"]


def pairs_drawing(first: Sequence[str], last: Sequence[str], ways: dict[str, Sequence[int]]) -> str:
    """Return the tokens of two prompts as columns, as SVG; `ways` has σ of each coupling.

    The last word of either stands for all of its padding.
    """

    def y(words: Sequence[str], token: int) -> float:
        return HEIGHT * (min(token, len(words) - 1) + 0.7)

    lines, key = [], []
    for k, ((name, sigma), colour) in enumerate(zip(ways.items(), COLOURS, strict=False)):
        ends = {(y(first, i), y(last, j)) for i, j in enumerate(sigma)}
        lines += [
            f'<line x1="{INDENT}" x2="{WIDTH - INDENT}" y1="{a}" y2="{b}" stroke="{colour}"/>'
            for a, b in sorted(ends)
        ]
        key.append(f'<text x="{90 * k}" y="{HEIGHT * 0.7}" fill="{colour}">{text(name)}</text>')
    labels = [
        f'<text x="{x}" y="{y(words, i) + 4}" text-anchor="{anchor}">{text(word)}</text>'
        for words, x, anchor in ((first, INDENT - 6, "end"), (last, WIDTH - INDENT + 6, "start"))
        for i, word in enumerate(words)
    ]
    height = HEIGHT * (max(len(first), len(last)) + 2)
    return (
        f'<svg viewBox="0 0 {WIDTH} {height}" role="img" aria-label="which token becomes which">'
        f'{"".join(key)}<g transform="translate(0 {HEIGHT})">{"".join(lines + labels)}</g></svg>'
    )
