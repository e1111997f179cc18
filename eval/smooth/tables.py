"""`latentgeo eval-tables smooth`: the four tables of Smooth Diffusion, measured.

Table 1   a model and its smoothed twin: ISTD, Fréchet distance, how captions are followed
Table 2   the two models' reconstructions of held-out images, by method of inversion
Table 3   adapters by λ, the weight of the penalty
Table 4   adapters by rank, and the whole model fine-tuned

A table's models all walk under the same captions between the same noises, and draw the same
captions with the same seeds. A model that two tables have is measured once. Where FID's Inception
or CLIP are not given by path, the embedded judges stand in, under their own names.

Files: `tables.md`, `results.json`, and the rows of long measurements, from which a run that was
stopped goes on.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from latentgeo.core.run.cli import write_run
from latentgeo.core.run.device import pick_device
from latentgeo.core.run.files import atomic_write
from latentgeo.eval.contenders import contender, judged, measured
from latentgeo.eval.metrics.heldout import captioned
from latentgeo.eval.metrics.quality import Judged, load_judges, quality_results
from latentgeo.eval.metrics.smoothness import Walks, smoothness_results
from latentgeo.eval.runs.results import RATIO, Result, write_results
from latentgeo.eval.smooth.quality import judge_hashes
from latentgeo.eval.smooth.settings import EvalTables
from latentgeo.eval.smooth.table_reconstruction import reconstruction_table
from latentgeo.eval.smooth.table_rows import Table, tables_of

SMOOTHNESS = ("ISTD, pixels [0,1]", "ISTD / mean adjacent distance")


@dataclass(frozen=True, kw_only=True)
class ModelScores:
    """What was measured of one model, whatever tables it is in."""

    walks: Walks
    judged: Judged
    settings: Mapping[str, object]


def evaluate_tables(cmd: EvalTables) -> list[Result]:
    """Measure every table asked for, write results and Markdown, print the tables."""
    tables = tables_of(cmd)
    write_run(cmd, cmd.out, judge_hashes(cmd.clip_model, cmd.inception))
    results: list[tuple[Table, Sequence[Result]]] = []
    if tables:
        found, target = measure_models(cmd, tables)
        results = [(one, generation_results(one, found, target, cmd.seed)) for one in tables]
    if "2" in cmd.tables:
        results.append(reconstruction_table(cmd))
    results.sort(key=lambda pair: pair[0].number)
    text = "\n".join(markdown(table, own) for table, own in results)
    every = [
        replace(one, model=f"table {table.number}: {one.model}")
        for table, own in results
        for one in own
    ]
    write_results(cmd.out / "results.json", every)
    atomic_write(cmd.out / "tables.md", text)
    print(text)
    return every


def measure_models(
    cmd: EvalTables, tables: Sequence[Table]
) -> tuple[dict[str, ModelScores], Judged]:
    """Return what was measured of every model in the tables, by its spec, and the held-out set."""
    held = captioned(cmd.data, "test", cmd.models)
    held = held.chosen(max(cmd.n_prompts, cmd.n_images), cmd.seed, "n_prompts and n_images")
    some = held.first(cmd.n_images)
    judges = load_judges(cmd.classifier, cmd.clip_model, cmd.inception, pick_device(cmd.device))
    specs = dict.fromkeys(row.spec for table in tables for row in table.rows if row.spec)
    found: dict[str, ModelScores] = {}
    for spec in specs:
        one = contender(cmd, spec, spec)
        found[spec] = ModelScores(
            walks=measured(one, held.captions[: cmd.n_prompts], cmd.out / "rows", cmd.seed),
            judged=judged(one, judges, some.captions, cmd.seed),
            settings=one.settings,
        )
        size = one.bundle.config.sampling.size
    return found, judges.judge(some.images(size), some.captions)


def generation_results(
    table: Table, found: Mapping[str, ModelScores], target: Judged, seed: int
) -> list[Result]:
    """Return smoothness and quality of a table's models, by the labels of their rows.

    Smooth Tab. 1   ISTD, FID and CLIP score of the base and the smooth model
    """
    rows = {row.label: found[row.spec] for row in table.rows if row.spec is not None}
    smoothness = smoothness_results({label: one.walks for label, one in rows.items()})
    quality = quality_results(
        target,
        {label: one.judged for label, one in rows.items()},
        seed,
        {label: one.settings for label, one in rows.items()},
        table.rows[0].label,
    )
    return [*smoothness, *quality]


def markdown(table: Table, results: Sequence[Result]) -> str:
    """Return a table as Markdown: a row per model, and below it what its numbers rest on."""
    metrics = columns(results)
    cells = {(one.model, one.metric): one for one in results}
    lines = [
        f"Table {table.number}, {table.title}",
        "",
        f"| | {' | '.join(metrics)} |",
        f"| --- |{' --- |' * len(metrics)}",
    ]
    for row in table.rows:
        shown = [cells.get((row.label, metric)) for metric in metrics]
        texts = [one.text if one is not None else "–" for one in shown]
        lines.append(f"| {row.label} | {' | '.join(texts)} |")
    sizes = ", ".join(f"{name}: n = {_sizes(results, name)}" for name in metrics)
    missing = [row.label for row in table.rows if row.spec is None]
    lines += ["", f"Brackets are 95 % intervals. {sizes}; seed {results[0].seed}."]
    if missing:
        lines.append(f"No model is here for: {', '.join(missing)} (train one with train-smooth).")
    return "\n".join([*lines, ""])


def columns(results: Sequence[Result]) -> list[str]:
    """Return the metrics that a table shows: no comparison, no part of another."""
    names = dict.fromkeys(one.metric for one in results)
    other = [name for name in names if name.startswith(("ISTD", "mean adjacent", "distance b"))]
    first = [name for name in SMOOTHNESS if name in names]
    return [*first, *(n for n in names if n not in other and not _derived(n))]


def _derived(name: str) -> bool:
    return any(mark in name for mark in (", minus ", RATIO, ": "))


def _sizes(results: Sequence[Result], metric: str) -> str:
    found = sorted({one.n for one in results if one.metric == metric})
    return " or ".join(map(str, found))
