"""`latentgeo eval-transport`: couplings of prompts compared on the same pairs, noises and frames.

Files: a folder of rows per model, `results.json`, the same in short as `summary.json`, and
`report.html` with the table and both figures. Started again, it goes on where it stopped. Under
torchrun the walks are shared out; the folder must then be one that all processes see.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from latentgeo.core.run.cli import environment, write_run
from latentgeo.core.run.device import pick_device
from latentgeo.core.run.files import atomic_write
from latentgeo.core.run.ranks import is_main, process_group
from latentgeo.eval.contenders import Contender, check_models, contender, kept_rows
from latentgeo.eval.metrics.heldout import at_hand, drawn_captions
from latentgeo.eval.page import report as html
from latentgeo.eval.runs.results import Result, text_table, write_results
from latentgeo.eval.transport.page import section
from latentgeo.eval.transport.pairs import prompt_pairs
from latentgeo.eval.transport.results import Compared, compared, transport_results
from latentgeo.eval.transport.settings import EvalTransport
from latentgeo.eval.transport.walks import Protocol, measure
from latentgeo.models.perceptual import load_lpips


def evaluate_transport(cmd: EvalTransport) -> dict[str, Compared]:
    """Measure every model, write the results and print them; returns the walks by model."""
    check_models(cmd)
    walks: dict[str, Compared] = {}
    results: list[Result] = []
    protocol: Protocol | None = None
    with process_group(pick_device(cmd.device)):
        for spec in cmd.models:
            one = contender(cmd, spec, spec)
            protocol = protocol or protocol_of(cmd, one)
            walks[spec] = measured_walks(one, protocol, cmd.out / "rows")
            results += results_of(one, protocol, walks[spec])
        if is_main():
            write_run(cmd, cmd.out)
            write_all(cmd.out, walks, results)
            print(text_table(results))
    return walks


def demonstrated(one: Contender, cmd: EvalTransport) -> tuple[str, list[Result]]:
    """Return the report's section on one model's walks, for the demo, and their results."""
    protocol = protocol_of(cmd, one)
    walks = measured_walks(one, protocol, cmd.out / "rows" / "transport")
    results = results_of(one, protocol, walks)
    return section({one.name: walks}, results), results


def results_of(one: Contender, protocol: Protocol, walks: Compared) -> list[Result]:
    """Return the results of one model with everything that decides them."""
    settings = {**one.settings, **protocol.plain(), "walked": protocol.first}
    return transport_results(one.name, walks, protocol.seed, settings)


def write_all(out: Path, walks: Mapping[str, Compared], results: Sequence[Result]) -> None:
    """Write results.json, summary.json and report.html."""
    write_results(out / "results.json", results)
    atomic_write(out / "summary.json", summary(results))
    page = html.page("Couplings of prompts, measured", section(walks, results))
    atomic_write(out / "report.html", page)


def summary(results: Sequence[Result]) -> str:
    """Return JSON of the settings, once for each model, and a line of numbers per result."""
    settings = {one.model.split(": ")[0]: dict(one.settings) for one in results}
    lines = [json.dumps([one.model, one.metric, *_numbers(one), one.n]) for one in results]
    head = {"environment": environment(), "settings": settings}
    body = json.dumps(head, indent=1)[:-2]
    columns = json.dumps(["model", "metric", "value", "low", "high", "n"])
    return f'{body},\n "columns": {columns},\n "results": [\n  ' + ",\n  ".join(lines) + "\n ]\n}\n"


def _numbers(one: Result) -> list[float | None]:
    """Return value, low and high to four digits, None for an interval that there is not."""
    low, high = one.interval or (None, None)
    return [None if x is None else float(f"{x:.4g}") for x in (one.value, low, high)]


def protocol_of(cmd: EvalTransport, one: Contender) -> Protocol:
    """Return what a command walks; pairs are chosen by the text encoder of this model, its first.

    Without a prompt file, and with no number of prompts given, all held-out captions are at hand.
    """
    if cmd.n_prompts is None and cmd.prompt_file is None:
        found: Sequence[str] = at_hand(cmd.data, cmd.models).captions
    else:
        count = 4 * cmd.pairs if cmd.n_prompts is None else cmd.n_prompts
        found = drawn_captions(cmd.prompt_file, cmd.data, count, cmd.seed, cmd.models)
    return Protocol(
        pairs=prompt_pairs(one.bundle, found, cmd.pairs),
        first=cmd.limit or cmd.pairs,
        couplings=cmd.couplings,
        noises=cmd.noises,
        frames=cmd.frames,
        seed=cmd.seed,
    )


def measured_walks(one: Contender, protocol: Protocol, rows: Path) -> Compared:
    """Return the walks of one model, continuing from the rows in its folder below `rows`."""
    folder, identity = kept_rows(one, rows)
    lpips = load_lpips(one.bundle.device)
    return compared(measure(one.bundle, protocol, one.sampling, lpips, folder, identity))
