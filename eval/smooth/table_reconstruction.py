"""Table 2 of Smooth Diffusion: reconstructions by two models and two methods of inversion.

DDIM inversion is without guidance, null-text inversion with the model's own; each image's caption
is its prompt. Below them what the autoencoder alone gives back: no inversion can be better.
"""

from collections.abc import Sequence

from latentgeo.core.run.device import pick_device
from latentgeo.eval.contenders import contender
from latentgeo.eval.metrics.heldout import captioned
from latentgeo.eval.runs.results import Result, result
from latentgeo.eval.runs.statistics import mean_interval
from latentgeo.eval.smooth.inverted import TO_IMAGE, VAE, Reconstructions, way
from latentgeo.eval.smooth.reconstruction import measured
from latentgeo.eval.smooth.settings import EvalTables, Way
from latentgeo.eval.smooth.table_rows import Row, Table
from latentgeo.models.perceptual import load_lpips

METHODS: dict[Way, str] = {"ddim": "DDIM", "null-text": "NTI"}
VAE_ROW = "VAE alone"


def reconstruction_table(cmd: EvalTables) -> tuple[Table, list[Result]]:
    """Return the table and its results, by the labels of its rows.

    Smooth Tab. 2   MSE, LPIPS, SSIM and PSNR of base and smooth model with DDIM and NTI
    """
    every = captioned(cmd.data, "test", cmd.models)
    every = every.chosen(max(cmd.inverted, cmd.fitted), cmd.seed, "inverted and fitted")
    counts = {"ddim": cmd.inverted, "null-text": cmd.fitted}
    lpips = load_lpips(pick_device(cmd.device))
    rows: list[Row] = []
    results: list[Result] = []
    for name, title in METHODS.items():
        for label, spec in zip(("base", "smooth"), cmd.models, strict=True):
            one = contender(cmd, spec, spec)
            how = way(name, one.sampling.steps, one.sampling.guidance, "released", cmd.inner)
            held = every.first(counts[name])
            found = measured(one, held, name, how, cmd.out / "rows", cmd.batch, lpips)
            rows.append(Row(label=f"{label} + {title}", spec=spec))
            results += _results(found, TO_IMAGE, rows[-1].label, cmd.seed)
            if name == "ddim" and label == "base":
                ceiling = _results(found, VAE, VAE_ROW, cmd.seed)
    rows.append(Row(label=VAE_ROW, spec=cmd.models[0]))
    table = Table(number=2, title="reconstruction", rows=rows)
    return table, [*results, *ceiling]


def _results(found: Reconstructions, what: str, label: str, seed: int) -> Sequence[Result]:
    return [
        result("Smooth", measure, label, mean_interval(values), seed, found.settings)
        for measure, values in found.columns[what].items()
    ]
