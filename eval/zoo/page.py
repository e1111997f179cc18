"""The chain's page: of each step its command, time, curve, last grid and numbers."""

import json
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from latentgeo.core.run.progress import clock
from latentgeo.core.run.text import read_text
from latentgeo.eval.page import report as html
from latentgeo.eval.page.plots import curves_plot
from latentgeo.eval.runs.results import Result, table
from latentgeo.eval.zoo.chain import Step, words
from latentgeo.eval.zoo.kept import Kept
from latentgeo.eval.zoo.settings import Zoo
from latentgeo.infer.pictures.decoding import read_rgb

POINTS = 200  # of a curve


def report(cmd: Zoo, steps: Sequence[Step], kept: Kept) -> str:
    """Return the page of all steps that have been done or begun."""
    done = [step for step in steps if kept.record(step.name)]
    spent = sum(float(str(kept.record(step.name)["minutes"])) for step in done)
    opening = html.paragraph(f"{len(done)} of {len(steps)} steps, {clock(60 * spent)} in all.")
    parts = {step.part: "" for step in done}
    for step in done:
        parts[step.part] += of_step(step, cmd, kept.record(step.name))
    sections = [html.section(part, content) for part, content in parts.items()]
    return html.page(f"The chain {cmd.chain}", opening, *sections)


def of_step(step: Step, cmd: Zoo, record: Mapping[str, object]) -> str:
    """Return what there is of one step."""
    folder = cmd.out / step.name
    state = f"done {record['date']} at {record['commit']}" if "result" in record else "not done"
    parts = [html.paragraph(f"{clock(60 * float(str(record['minutes'])))}, {state}.", soft=True)]
    if step.command:
        typed = ["latentgeo", *words(step, cmd.out, cmd.embedded, cmd.device)]
        parts.append(html.preformatted(shlex.join(typed)))
    if curve := losses(folder / "log.jsonl"):
        plot = curves_plot({"loss": curve}, "step", "loss")
        parts.append(html.plot(plot, f"the loss of {step.name} by step"))
    for grid in sorted(folder.glob("samples/*.png"))[-1:]:
        with grid.open("rb") as file:
            parts.append(
                html.picture(read_rgb(file, grid.name), f"samples of {step.name}", grid.stem)
            )
    if (folder / "report.html").is_file():
        parts.append(html.paragraph(f"Its own page is {step.name}/report.html.", soft=True))
    if (folder / "results.json").is_file():
        found = json.loads(read_text(folder / "results.json"))["results"]
        parts.append(html.table(*table([Result(**one) for one in found])))
    return html.subsection(step.name, *parts)


def losses(log: Path) -> list[tuple[float, float, float, float]]:
    """Return the loss by step, with the range of the lines that a point stands for."""
    rows: list[dict[str, Any]] = []
    if log.is_file():
        rows = [json.loads(one) for one in read_text(log).splitlines() if one.endswith("}")]
    rows = [one for one in rows if "loss" in one]
    each = -(-len(rows) // POINTS) or 1
    groups = [rows[start : start + each] for start in range(0, len(rows), each)]
    return [point([one["step"] for one in some], [one["loss"] for one in some]) for some in groups]


def point(steps: Sequence[float], losses: Sequence[float]) -> tuple[float, float, float, float]:
    """Return mean step, mean loss, least and largest loss."""
    return sum(steps) / len(steps), sum(losses) / len(losses), min(losses), max(losses)
