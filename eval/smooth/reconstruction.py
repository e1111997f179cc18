"""`latentgeo eval-reconstruction`: how well several models give images back after inversion.

Files: a folder of rows per method and model, and `results.json`. Started again, it goes on where it
stopped. Under torchrun the images are shared out; all processes must then see the folder.
"""

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from latentgeo.core.run.cli import write_run
from latentgeo.core.run.device import pick_device
from latentgeo.core.run.ranks import is_main, process_group
from latentgeo.eval.contenders import Contender, check_models, contender, kept_rows
from latentgeo.eval.metrics.heldout import Captioned, captioned
from latentgeo.eval.runs.results import Result, result, text_table, write_results
from latentgeo.eval.runs.statistics import (
    Estimate,
    function_of_means,
    mean_interval,
    ratio_interval,
)
from latentgeo.eval.smooth.inverted import TO_IMAGE, TO_VAE, VAE, Reconstructions, measure, way
from latentgeo.eval.smooth.settings import EvalReconstruction, Way
from latentgeo.infer.inversion.invert import Inverting
from latentgeo.models.perceptual import Lpips, load_lpips


def evaluate_reconstruction(cmd: EvalReconstruction) -> list[Result]:
    """Measure every model by every method, write the results and print them."""
    check_models(cmd)
    held = captioned(cmd.data, "test", cmd.models).chosen(cmd.n_images, cmd.seed)
    lpips = load_lpips(pick_device(cmd.device))
    found: dict[str, dict[str, Reconstructions]] = {name: {} for name in cmd.methods}
    with process_group(pick_device(cmd.device)):
        for spec in cmd.models:
            one = contender(cmd, spec, spec)
            for name in cmd.methods:
                sampling = one.sampling
                given = (
                    sampling.steps,
                    sampling.guidance,
                    cmd.inversion_times,
                    cmd.inner,
                    cmd.fit_from,
                )
                how = way(name, *given)
                rows = cmd.out / "rows"
                found[name][spec] = measured(one, held, name, how, rows, cmd.batch, lpips)
        results = reconstruction_results(found, cmd.seed)
        if is_main():
            write_run(cmd, cmd.out)
            write_results(cmd.out / "results.json", results)
            print(text_table(results))
    return results


def measured(
    one: Contender, held: Captioned, name: Way, how: Inverting, rows: Path, batch: int, lpips: Lpips
) -> Reconstructions:
    """Measure one model by one method, in a folder below `rows` named by both and the weights."""
    folder, identity = kept_rows(one, rows / name)
    return measure(one.bundle, held, how, batch, lpips, folder, identity)


def reconstruction_results(
    found: Mapping[str, Mapping[str, Reconstructions]], seed: int
) -> list[Result]:
    """Return the results by method and model, and differences to the first model, image by image.

    Smooth Tab. 2   MSE, LPIPS, SSIM, PSNR by model and method, beside the VAE's own
    """
    results = []
    for method, by_model in found.items():
        first = next(iter(by_model.values()))
        for model, one in by_model.items():
            for metric, estimate in _own(one).items():
                results.append(_result(f"{method}: {metric}", model, estimate, seed, one))
            for metric, estimate in _against(one, first).items() if one is not first else ():
                results.append(_result(f"{method}: {metric}", model, estimate, seed, one))
    return results


def _own(one: Reconstructions) -> dict[str, Estimate]:
    """Return every measure's mean, and the error relative to the autoencoder's own."""
    estimates = {
        f"{key}, {what}": mean_interval(values)
        for what in (TO_IMAGE, TO_VAE, VAE)
        for key, values in one.columns[what].items()
    }
    for key in ("MSE", "LPIPS"):
        pair = one.columns[TO_IMAGE][key], one.columns[VAE][key]
        estimates[f"{key}, ratio to the VAE's own"] = ratio_interval(*pair)
    return estimates


def _against(one: Reconstructions, first: Reconstructions) -> dict[str, Estimate]:
    """Return paired differences to the first model's, with bootstrap intervals over images."""
    name = str(first.settings.get("model", "the first model"))
    return {
        f"{key}, {what}, less that of {name}": function_of_means(
            np.subtract, one.columns[what][key], first.columns[what][key]
        )
        for what in (TO_IMAGE, TO_VAE)
        for key in one.columns[what]
    }


def _result(metric: str, model: str, estimate: Estimate, seed: int, one: Reconstructions) -> Result:
    return result("Smooth", metric, model, estimate, seed, one.settings)
