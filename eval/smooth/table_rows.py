"""Which models are in which table of Smooth Diffusion, and where they are found.

Adapters lie beside the base model under names that say what was varied:
`smooth_lora_lambda_<λ>.safetensors` and `smooth_lora_rank_<rank>.safetensors`. A row of the paper
for which there is no model stays in the table, empty.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from latentgeo.eval.contenders import adapters_beside
from latentgeo.eval.smooth.settings import EvalTables
from latentgeo.infer.sampling.loading import parse_model

LAMBDA, RANK = "smooth_lora_lambda_", "smooth_lora_rank_"  # how files of a sweep begin
RATIOS = ("0.1", "1", "10")  # Smooth Table 3
RANKS = ("4", "8", "16", "full")  # Smooth Table 4


@dataclass(frozen=True, kw_only=True)
class Row:
    """One model of a table."""

    label: str
    spec: str | None  # as `load_model` reads it; None where there is no such model


@dataclass(frozen=True, kw_only=True)
class Table:
    """One table: what is compared, the first row's model being the reference."""

    number: int
    title: str
    rows: Sequence[Row]


def tables_of(cmd: EvalTables) -> list[Table]:
    """Return those of tables 1, 3 and 4 that are asked for: their models generate.

    Raises FileNotFoundError where a model that was named is not there.
    """
    base, smooth = cmd.models
    pair = [Row(label="base", spec=base), Row(label="smooth", spec=smooth)]
    ratios = varied(base, LAMBDA, cmd.ratio_models, RATIOS)
    ranks = varied(base, RANK, cmd.rank_models, RANKS)
    every = {
        "1": Table(number=1, title="interpolation and text to image", rows=pair),
        "3": Table(number=3, title="λ", rows=[pair[0], *labelled("λ = ", ratios)]),
        "4": Table(number=4, title="rank of the LoRA", rows=[pair[0], *labelled("rank ", ranks)]),
    }
    chosen = [table for number, table in every.items() if number in cmd.tables]
    for table in chosen:
        for row in table.rows:
            if row.spec is not None:
                parse_model(row.spec).check()
    return chosen


def varied(
    base: str, prefix: str, given: Sequence[str], paper: Sequence[str]
) -> dict[str, str | None]:
    """Return the models of a sweep by what was varied, the paper's rows at least."""
    if given:
        found = {value: spec for value, _, spec in (one.partition("=") for one in given)}
    else:
        found = {
            path.stem.removeprefix(prefix): f"{base}+{path.stem}"
            for path in adapters_beside(base, prefix)
        }
    names = sorted({*paper, *found}, key=_order)
    return {name: found.get(name) for name in names}


def labelled(prefix: str, specs: Mapping[str, str | None]) -> list[Row]:
    """Return a row for each model, named by what was varied."""
    return [
        Row(label=prefix + name if name != "full" else "all weights", spec=spec)
        for name, spec in specs.items()
    ]


def _order(name: str) -> tuple[bool, float, str]:
    """Order values as numbers, words after them."""
    try:
        return (False, float(name), name)
    except ValueError:
        return (True, 0.0, name)
