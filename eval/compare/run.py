"""`latentgeo compare`: one model's adapters, alone and together, by every metric there is.

Base, smooth, isometric, and both: what does one adapter do to the other's measure, and what does
each cost? Files: `report.html`, which holds everything, `results.json`, `ratios.svg`, the pictures
as PNG, and the rows, from which a run that was stopped goes on. Under torchrun the jobs are shared
out, and all processes must see the folder.
"""

import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

from latentgeo.core.run.cli import write_run
from latentgeo.core.run.device import pick_device
from latentgeo.core.run.files import atomic_write
from latentgeo.core.run.ranks import is_main, process_group
from latentgeo.eval.compare.measure import (
    Bench,
    Outcome,
    geometry,
    istd,
    reconstruction,
    transport,
)
from latentgeo.eval.compare.page import Content, plotted, ratios, report
from latentgeo.eval.compare.samples import edit, quality
from latentgeo.eval.compare.settings import Compare
from latentgeo.eval.contenders import contender
from latentgeo.eval.demo.walks import samples_sheet, show_walk
from latentgeo.eval.metrics.editing import check_stated
from latentgeo.eval.metrics.heldout import captioned
from latentgeo.eval.metrics.quality import load_judges
from latentgeo.eval.metrics.separability import check_installed
from latentgeo.eval.runs.results import text_table, write_results
from latentgeo.infer.sampling.loading import parse_model
from latentgeo.models.perceptual import load_lpips

SAMPLES = 6  # captions that every model is shown under
SEPARABILITY = "separability"
MEASURES: Mapping[str, Callable[[Bench], Outcome]] = {
    "istd": istd,
    "ppl": partial(geometry, ("ppl",)),
    "mrtl": partial(geometry, ("mrtl",)),
    "jacobian": partial(geometry, ("mcn", "vor")),
    "reconstruction": reconstruction,
    "quality": quality,
    "transport": transport,
    "edit": edit,
    SEPARABILITY: partial(geometry, ("ls",)),
}


def run_compare(cmd: Compare) -> Path:
    """Measure everything, print the ratios to the base and return the path of the report."""
    check(cmd)
    device = pick_device(cmd.device)
    judges = load_judges(cmd.classifier)
    with process_group(device):
        contenders = [contender(cmd, name, spec) for name, spec in cmd.named().items()]
        bench = Bench(cmd, contenders, judges, load_lpips(device))
        outcomes, seconds = {}, {}
        for name in (*cmd.metrics, *((SEPARABILITY,) if cmd.n_samples else ())):
            start = time.monotonic()
            outcomes[name] = MEASURES[name](bench)
            seconds[name] = time.monotonic() - start
        if is_main():
            write_run(cmd, cmd.out)
            write_all(bench, outcomes, seconds)
    return cmd.out / "report.html"


def check(cmd: Compare) -> None:
    """Raise, before long work, where a model, its data or scikit-learn is not there."""
    for spec in cmd.named().values():
        parse_model(spec).check()
    held = captioned(cmd.data, "test", [*cmd.named().values()])
    if "edit" in cmd.metrics:
        check_stated(held.captions)
    if cmd.n_samples:
        check_installed()


def write_all(bench: Bench, outcomes: Mapping[str, Outcome], seconds: Mapping[str, float]) -> None:
    """Write results, plot, pictures and report, and print the ratios."""
    cmd = bench.cmd
    captions = captioned(cmd.data).chosen(max(SAMPLES, cmd.shown), cmd.seed, "shown").captions
    content = Content(
        models=cmd.named(),
        sampling=bench.base.sampling,
        seed=cmd.seed,
        outcomes=outcomes,
        seconds=seconds,
        samples=samples_sheet(bench.contenders, captions[:SAMPLES], cmd),
        walks=[show_walk(bench.contenders, i, captions[i], cmd) for i in range(cmd.shown)],
    )
    write_results(cmd.out / "results.json", [r for one in outcomes.values() for r in one.results])
    atomic_write(cmd.out / "ratios.svg", plotted(content))
    atomic_write(cmd.out / "report.html", report(content))
    print(text_table(ratios(outcomes)))
